"""Measures of a generator that need no other network.

Three figures answer three questions. Do its images look like real ones (sliced
Wasserstein distance)? Are they as different from each other as real images are (MS-SSIM
of pairs)? How much of a real image can it express (the ceiling: PSNR of reconstructions
for which the search sees the whole image)?
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from inpaint_jax import metrics
from inpaint_jax.configs import SEARCHES, RefineConfig, SearchConfig, check_counts
from inpaint_jax.quality import sets
from inpaint_jax.search.batches import search_batch
from inpaint_jax.search.directions import with_metric
from inpaint_jax.search.refinement import refine_batch
from inpaint_jax.types import Model, Seen, as_pytree

GROUP = 64
"""Number of images that are processed at once."""


@dataclasses.dataclass(frozen=True)
class QualityConfig:
    """How much work goes into the figures.

    Attributes:
      images: Number of generated images, and of real ones beside them, at most.
      directions: Random projections of the sliced Wasserstein distance for each level.
      pairs: Number of pairs of images whose MS-SSIM is averaged.
      reconstructions: Number of real images to reconstruct, at most.
      steps: Steps of the search for a reconstruction.
      refinement: How to take reconstructions beyond the generator's range; None: they
        stay in it.

    Raises:
      ValueError: A number is below 1.
    """

    images: int = 2048
    directions: int = 512
    pairs: int = 1000
    reconstructions: int = 128
    steps: int = 1500
    refinement: RefineConfig | None = None

    def __post_init__(self) -> None:
        check_counts(self, "images", "directions", "pairs", "reconstructions", "steps")


class Quality(NamedTuple):
    """The figures of a generator, and the images they were computed from.

    Attributes:
      swd: Sliced Wasserstein distance of samples to real images, times 1000, by level
        of the pyramid, ``{S: ..., 16: ...}``; lower is better.
      ms_ssim: Mean over pairs of samples. The value of real images is the one to reach;
        a higher one means that samples repeat each other.
      ceiling: ``[R]`` dB, PSNR of the reconstruction of each real image.
      samples: ``[N, S, S, 3]`` in [-1, 1].
      reconstructions: ``[R, S, S, 3]`` in [-1, 1], of the first R real images.
    """

    swd: dict[int, float]
    ms_ssim: float
    ceiling: np.ndarray
    samples: np.ndarray
    reconstructions: np.ndarray

    @property
    def mean_swd(self) -> float:
        """Mean of ``swd`` over the levels."""
        return sum(self.swd.values()) / len(self.swd)


def measure(
    model: Model,
    images: np.ndarray,
    *,
    config: QualityConfig,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> Quality:
    """Compares a generator with real images that it was not trained on.

    Args:
      model: The model whose generator is judged.
      images: ``[N, S, S, 3]`` in [-1, 1], S a power of two of at least 16.
      config: How much work to do.
      seed: Seed of latents, patches, projections and pairs.
      progress: As for ``reconstruct``.

    Returns:
      The figures; a function of the arguments alone.

    Raises:
      ValueError: ``images`` do not have the model's size, or are too small.
    """
    real = images[: config.images]
    samples = sample(model, len(real), seed=seed)
    reconstructions = reconstruct(
        model,
        images[: config.reconstructions],
        steps=config.steps,
        refinement=config.refinement,
        seed=seed,
        progress=progress,
    )
    return Quality(
        sets.sliced_wasserstein(samples, real, seed=seed, directions=config.directions),
        diversity(samples, config.pairs, seed=seed),
        np.asarray(_psnr(reconstructions, images[: len(reconstructions)])),
        samples,
        reconstructions,
    )


def sample(model: Model, count: int, *, seed: int = 0) -> np.ndarray:
    """``[count, S, S, 3]`` in [-1, 1]: images of latents drawn from the prior."""
    # Each latent has a key of its own: more samples begin with the same ones.
    keys = jax.vmap(jax.random.fold_in, (None, 0))(
        jax.random.key(seed), jnp.arange(-(-count // GROUP) * GROUP)
    )
    latents = jax.vmap(model.latents.sample)(keys)
    batches = latents.reshape(-1, GROUP, *latents.shape[1:])
    generate = as_pytree(model.generate)
    return np.concatenate([_generate(generate, z) for z in batches])[:count]


def diversity(images: np.ndarray, pairs: int, *, seed: int = 0) -> float:
    """Mean MS-SSIM over random pairs of different images of ``[N, S, S, 3]``.

    Raises:
      ValueError: There are fewer than two images, or they are too small.
    """
    if len(images) < 2:
        raise ValueError("diversity needs at least two images")
    rng = np.random.default_rng(seed)
    # A whole number of groups needs one compilation only.
    count = -(-pairs // GROUP) * GROUP
    first = rng.integers(0, len(images), count).reshape(-1, GROUP)
    second = (first + rng.integers(1, len(images), first.shape)) % len(images)
    values = [
        _ms_ssim(images[a], images[b]) for a, b in zip(first, second, strict=True)
    ]
    return float(np.concatenate(values)[:pairs].mean(dtype=np.float64))


def reconstruct(
    model: Model,
    images: np.ndarray,
    *,
    steps: int,
    refinement: RefineConfig | None = None,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> np.ndarray:
    """Reconstructs whole images with the generator.

    A search with every pixel known, all weights of the context loss 1 and no prior
    loss says how close the generator comes to a whole image. A search that has to fit
    fewer pixels can come closer to those, and blending adds to that. It is the paper's
    search, or, for a model that is best searched from an encoder's guess alone, the
    model's own with a falling rate.

    Args:
      model: The model whose generator is searched.
      images: ``[N, S, S, 3]`` in [-1, 1].
      steps: Steps of the search.
      refinement: How to change the generator's features after the search; None: they
        stay as they are.
      seed: Seed of the starts.
      progress: Called with the number of steps just done, in all ``steps`` for every
        64 images.

    Returns:
      ``[N, S, S, 3]`` in [-1, 1].

    Raises:
      ValueError: ``images`` do not have the model's size.
    """
    size = model.image_size
    if images.ndim != 4 or images.shape[1:] != (size, size, 3):
        raise ValueError(
            f"images must be [N, {size}, {size}, 3], not {list(images.shape)}"
        )
    judged = dataclasses.replace(model, critic=None)
    config = SearchConfig(steps=steps)
    own = SEARCHES[model.search]
    if own.start_weight:
        judged = with_metric(judged)
        config = dataclasses.replace(
            own, steps=steps, latent_weight=0.0, start_weight=0.0
        )
    key = jax.random.key(seed)
    # Groups of one size need one compilation, however many images there are.
    group = min(GROUP, len(images))
    everywhere = jnp.ones((group, size, size, 1), jnp.float32)
    found = []
    for start in range(0, len(images), group):
        rows = np.arange(start, start + group) % len(images)
        wanted = jnp.asarray(images[rows])
        result, generated = search_batch(
            judged,
            Seen(wanted, everywhere, everywhere),
            jax.vmap(jax.random.fold_in, (None, 0))(key, rows),
            config=config,
            progress=progress,
        )
        if refinement is not None:
            generated = refine_batch(
                judged, result.latent, wanted, everywhere, config=refinement
            )
        found.append(np.asarray(generated))
    return np.concatenate(found)[: len(images)]


_generate = jax.jit(lambda generate, latents: jax.vmap(generate)(latents))
_ms_ssim = jax.jit(jax.vmap(metrics.ms_ssim))
_psnr = jax.jit(jax.vmap(metrics.psnr))
