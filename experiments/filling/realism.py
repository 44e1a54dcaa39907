"""How real completed pictures look: one by one, and all of them as a set."""

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from experiments.filling import measures
from inpaint_jax.quality import dists, identity, perceptual, separation, sets

_LEAST = 4  # Images of which each half has a covariance.

OF_PAIRS = ("lpips", "lpips_vgg", "dists")
"""Figures of single images that networks see, averaged."""

AROUND_HOLES = ("lpips_hole",)
"""The same of what is around a hole."""

OF_SETS = ("kid_vgg", "frechet_vgg")
"""Distances of what a network sees in sets of images."""

OF_A_JUDGE = ("u_ids_vgg", "p_ids_vgg")
"""How often a linear judge takes completed images for whole ones."""

OF_FACES = ("identity_distance",)
"""How far a completed face is from the same person's."""


class _LackError(ValueError):
    """The images do not have what a figure takes."""


_REASONS = (
    _LackError,
    perceptual.PerceptualError,
    separation.SeparationError,
    identity.IdentityError,
)


class Measured(NamedTuple):
    """What was measured, and what was not.

    Attributes:
      figures: JSON values by name of the figure.
      not_computed: The reason by name of each figure that could not be computed.
    """

    figures: dict[str, Any]
    not_computed: dict[str, str]


class _Known(NamedTuple):
    """An array as a key of a cache.

    The cells of a comparison have their originals in common, and read them anew, so
    they are known by what they contain. The floor of patches and what is seen in the
    faces are a fifth of all that is measured; what VGG16 sees takes too much memory.
    """

    content: bytes
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, array: np.ndarray) -> "_Known":
        return cls(array.tobytes(), array.shape, array.dtype)

    @property
    def array(self) -> np.ndarray:
        return np.frombuffer(self.content, self.dtype).reshape(self.shape)


def measure(
    completed: np.ndarray,
    originals: np.ndarray,
    masks: np.ndarray,
    *,
    places: np.ndarray | None = None,
) -> Measured:
    """Figures of how real completed images look beside their originals.

    Args:
      completed: ``[N, S, S, 3]`` uint8, N at least 1.
      originals: ``[N, S, S, 3]`` uint8.
      masks: ``[N, S, S, 1]``, 1 = known, 0 = missing.
      places: ``[3, 2]``, where faces have eyes and mouth, as shares of S; None: they
        are no faces.

    Returns:
      ``swd``: the sliced Wasserstein distance by level. Of what networks see (extra
      ``lpips``, S at least 32): ``lpips``, ``lpips_vgg`` and ``dists``, means over
      images; ``lpips_hole``, the mean over those with a hole, around it; ``kid_vgg``
      and ``frechet_vgg``, kernel and Fréchet distance of what VGG16 sees in both sets;
      ``u_ids_vgg`` and ``p_ids_vgg``, how often a linear judge of that is wrong (extra
      ``figures``). Of faces (extra ``identity``): ``identity_distance``, the mean over
      images.

      A figure of sets has beside it the ``floor``, that between the two halves of the
      originals. A distance may be below that: each completed image shares what was
      known with its original.
    """
    pair, size = (completed, originals), completed.shape[1]
    # What VGG16 sees, once for all that is computed from it: most of the time.
    seen = functools.cache(lambda: perceptual.look(*pair))
    groups: dict[tuple[str, ...], Callable[[], dict[str, Any]]] = {
        OF_PAIRS: lambda: _of_pairs(*pair, seen()),
        AROUND_HOLES: lambda: _around_holes(*pair, masks),
        OF_SETS: lambda: _of_sets(seen().a, seen().b),
        OF_A_JUDGE: lambda: _of_a_judge(seen().a, seen().b),
    }
    figures: dict[str, Any] = {"swd": _sliced(*pair)}
    not_computed: dict[str, str] = {}
    if size < perceptual.LEAST:
        reason = f"it takes {perceptual.LEAST} pixels, not {size}"
        not_computed = dict.fromkeys(itertools.chain(*groups), reason)
        groups = {}
    if places is not None:
        groups[OF_FACES] = lambda: _of_faces(*pair, places)
    for names, compute in groups.items():
        try:
            figures |= compute()
        except _REASONS as error:
            not_computed |= dict.fromkeys(names, str(error))
    return Measured(figures, not_computed)


def explain(not_computed: dict[str, str]) -> list[str]:
    """Lines that say which figures were not computed, one for each reason."""
    names: dict[str, list[str]] = {}
    for name, reason in not_computed.items():
        names.setdefault(reason, []).append(name)
    return [
        f"not computed: {', '.join(each)} ({reason})" for reason, each in names.items()
    ]


def _sliced(completed: np.ndarray, originals: np.ndarray) -> dict[str, float]:
    distance = measures.by_level(sets.sliced_wasserstein(completed, originals))
    found = {"n": len(completed), **distance}
    if len(originals) >= _LEAST:
        found["floor"] = _sliced_floor(_Known.of(originals))
    return found


@functools.lru_cache(maxsize=1)
def _sliced_floor(originals: _Known) -> float:
    halves = _halves(originals.array)
    return measures.by_level(sets.sliced_wasserstein(*halves))["mean"]


def _halves(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two halves of equal size, of every other row."""
    half = len(rows) // 2
    return rows[0::2][:half], rows[1::2][:half]


def _of_pairs(
    completed: np.ndarray, originals: np.ndarray, seen: perceptual.Seen
) -> dict[str, Any]:
    return {
        "lpips": _mean(perceptual.distances(completed, originals)),
        "lpips_vgg": _mean(seen.distances),
        "dists": _mean(dists.distances(completed, originals)),
    }


def _around_holes(
    completed: np.ndarray, originals: np.ndarray, masks: np.ndarray
) -> dict[str, Any]:
    each = perceptual.hole_distances(completed, originals, masks)
    has_hole = ~np.isnan(each)
    if not has_hole.any():
        raise _LackError("no image has a hole")
    return {"lpips_hole": _mean(each[has_hole])}


def _of_sets(seen: np.ndarray, real: np.ndarray) -> dict[str, Any]:
    if len(real) < _LEAST:
        raise _LackError(f"it takes {_LEAST} images, not {len(real)}")
    count, of_halves = {"n": len(seen)}, _halves(real)
    return {
        "kid_vgg": count
        | {
            "value": sets.kernel_distance(seen, real, paired=True),
            "floor": sets.kernel_distance(*of_halves),
        },
        "frechet_vgg": count
        | {
            "value": sets.frechet_distance_of(seen, real),
            "floor": sets.frechet_distance_of(*of_halves),
        },
    }


def _of_a_judge(seen: np.ndarray, real: np.ndarray) -> dict[str, Any]:
    scores = separation.separate(seen, real)
    figures = {name: _mean(each) for name, each in zip(OF_A_JUDGE, scores, strict=True)}
    if len(real) >= 2 * separation.LEAST:
        for name, each in zip(
            OF_A_JUDGE, separation.separate(*_halves(real)), strict=True
        ):
            figures[name]["floor"] = float(each.mean())
    return figures


def _of_faces(
    completed: np.ndarray, originals: np.ndarray, places: np.ndarray
) -> dict[str, Any]:
    seen = identity.describe(completed, places)
    real = _faces(_Known.of(originals), _Known.of(places))
    each = np.linalg.norm(seen - real, axis=-1)
    found = _mean(each) | {"same": float((each < identity.SAME).mean())}
    if len(real) > 1:
        others = np.linalg.norm(np.subtract(*_halves(real)), axis=-1)
        found["others"] = float(others.mean())
    return {"identity_distance": found}


@functools.lru_cache(maxsize=1)
def _faces(originals: _Known, places: _Known) -> np.ndarray:
    return identity.describe(originals.array, places.array)


def _mean(each: np.ndarray) -> dict[str, Any]:
    """Number, mean and standard error of a figure ``[N]`` of single images."""
    deviation = float(each.std(ddof=1)) if len(each) > 1 else 0.0
    mean = float(each.mean(dtype=np.float64))
    return {"n": len(each), "mean": mean, "sem": deviation / math.sqrt(len(each))}
