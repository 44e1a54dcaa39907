"""How real completed pictures look: one by one, and all of them as a set."""

import math
from typing import Any

import numpy as np

from experiments.filling import measures
from inpaint_jax.quality import perceptual, sets

_LEAST = 4  # Images of which each half has a covariance.


def measure(completed: np.ndarray, originals: np.ndarray) -> dict[str, Any]:
    """Figures of how real completed images look beside their originals.

    Args:
      completed: ``[N, S, S, 3]`` uint8.
      originals: ``[N, S, S, 3]`` uint8.

    Returns:
      JSON values by name of the figure. ``swd``: the sliced Wasserstein distance by
      level. Where the extra ``lpips`` is installed and images are large enough:
      ``lpips`` and ``lpips_vgg``, means over images; ``kid_vgg`` and ``frechet_vgg``,
      kernel and Fréchet distance of what VGG16 sees in both sets. A distance of sets
      has beside it the ``floor``, that between the two halves of the originals. It may
      be below that: each completed image shares what was known with its original.
    """
    half = len(originals) // 2
    halves = originals[0::2][:half], originals[1::2][:half]
    count = {"n": len(completed)}
    found: dict[str, Any] = {"swd": count | _sliced(completed, originals)}
    if len(originals) >= _LEAST:
        found["swd"]["floor"] = _sliced(*halves)["mean"]
    if not perceptual.is_installed() or completed.shape[1] < perceptual.LEAST:
        return found
    for name, network in (("lpips", "alex"), ("lpips_vgg", "vgg")):
        each = perceptual.distances(completed, originals, network=network)
        deviation = float(each.std(ddof=1)) if len(each) > 1 else 0.0
        error = deviation / math.sqrt(len(each))
        mean = float(each.mean(dtype=np.float64))
        found[name] = count | {"mean": mean, "sem": error}
    if len(originals) >= _LEAST:
        seen, real = (perceptual.describe(images) for images in (completed, originals))
        of_halves = real[0::2], real[1::2]
        for name, value, floor in (
            (
                "kid_vgg",
                sets.kernel_distance(seen, real, paired=True),
                sets.kernel_distance(*of_halves),
            ),
            (
                "frechet_vgg",
                sets.frechet_distance_of(seen, real),
                sets.frechet_distance_of(*of_halves),
            ),
        ):
            found[name] = count | {"value": value, "floor": floor}
    return found


def _sliced(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    return measures.by_level(sets.sliced_wasserstein(a, b))
