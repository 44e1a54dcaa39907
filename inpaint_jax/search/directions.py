"""How strongly each direction of the latent space moves the image.

Near a latent z the image moves by J dz, and its squared distance, weighted by W, by
dz' (J' W J) dz. That matrix, averaged over latents, is much the same everywhere and has
few large eigenvalues and many small ones. Adam, which adapts its rate to each
coordinate, does far better along the eigenvectors than along the axes of z, which have
no special meaning. And the gradient, multiplied by the inverse of the matrix, leads
almost to the minimum where the image is near to linear in z.

The average is kept for each region of the image (``Metric``), so that the matrix for
any W is a weighted sum over regions. A latent of any shape is flattened to its L
values. This module depends on no neural network library.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from inpaint_jax import latents as latent_spaces
from inpaint_jax import linalg
from inpaint_jax.latents import LatentSpace
from inpaint_jax.types import Generate, Metric, Model, as_pytree

GRID = 8
"""Number of regions along a side of the image."""

_WHOLE = 2**25
"""Greatest size of a Jacobian that is computed whole."""
_LARGE = 2**22
"""Size of all whole matrices from which on their largest factors are kept instead."""
_RANK = 16
"""Number of columns of these, of each region."""
_RESIDUAL = 0.1
"""Size of a typical difference from a known channel, in [-1, 1]; |r| has the curvature
of r^2 / 2, divided by this."""


def with_metric(model: Model) -> Model:
    """The model with a metric, so that searches can go along principal directions.

    Computing it takes some seconds on a CPU. The files of the shipped models hold it.

    Args:
      model: Any model; one that has a metric is returned as it is.

    Returns:
      The model with ``metric``: whole matrices, or factors of their greatest part if
      these would take 16 MiB or more; and factors that are estimated, which needs
      little memory, if the Jacobian of an image takes more than 128 MiB.

    Raises:
      ValueError: The image's side is not a multiple of ``GRID``.
    """
    if model.metric is not None:
        return model
    length = latent_spaces.size(model.latents)
    generate, key = as_pytree(model.generate), jax.random.key(0)
    if length * 3 * model.image_size**2 > _WHOLE:
        metric = regional_factors(generate, key, latents=model.latents)
    elif (GRID * length) ** 2 >= _LARGE:
        metric = regional_metric(generate, key, latents=model.latents, samples=8)
        metric = largest_factors(metric, _RANK)
    else:
        metric = regional_metric(generate, key, latents=model.latents)
    return dataclasses.replace(model, metric=metric)


def linearise(generate: Generate, latent: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The linearisation of a generator at a latent: G(z + dz) is about G(z) + dz J.

    Args:
      generate: ``[L] -> [S, S, 3]``.
      latent: ``[L]`` z.

    Returns:
      G(z) ``[S, S, 3]`` and its Jacobian J ``[L, S, S, 3]``.
    """
    image, pull_back = jax.vjp(generate, latent)
    # J dz as the transpose of the transpose: a generator whose layers have a custom
    # reverse-mode rule has no forward-mode one.
    _, push = jax.vjp(lambda u: pull_back(u)[0], jnp.zeros_like(image))
    (jacobian,) = jax.vmap(push)(jnp.eye(latent.size, dtype=latent.dtype))
    return image, jacobian


@functools.partial(jax.jit, static_argnames=("latents", "samples"))
def regional_metric(
    generate: Generate, key: jax.Array, *, latents: LatentSpace, samples: int = 48
) -> Metric:
    """J'J of a generator, averaged over latents, for each region of the image.

    Args:
      generate: ``[*L] -> [S, S, 3]``, S a multiple of ``GRID``.
      key: Draws the latents; consumed.
      latents: The latent space.
      samples: Number of latents to average over.

    Returns:
      ``[GRID, GRID, L, L]``, each symmetric and positive semidefinite, summed over
      the region's pixels.

    Raises:
      ValueError: S is not a multiple of ``GRID``.
    """
    flat, drawn = _flat(generate, latents), _draw(latents, key, samples)
    side = _region_side(flat, drawn)

    def of_one(latent: jax.Array) -> jax.Array:
        _, jacobian = linearise(flat, latent)
        regions = jacobian.reshape(latent.size, GRID, side, GRID, side, -1)
        return jnp.einsum("ihawbc,jhawbc->hwij", regions, regions, precision="highest")

    return Metric(jax.lax.map(of_one, drawn).mean(0))


@functools.partial(jax.jit, static_argnames=("latents", "samples"))
def regional_factors(
    generate: Generate, key: jax.Array, *, latents: LatentSpace, samples: int = 32
) -> Metric:
    """An estimate of ``regional_metric`` for large latents and images.

    The pull-back of white noise on a region's pixels has J'J of that region as its
    second moment, so R pull-backs, each at another latent, form a factor of the
    estimate. Memory is that of one pass through the generator and of the result.

    Args:
      generate: ``[*L] -> [S, S, 3]``, S a multiple of ``GRID``.
      key: Draws latents and noise; consumed.
      latents: The latent space.
      samples: Number of latents, R.

    Returns:
      The metric as factors ``[GRID, GRID, L, R]``.

    Raises:
      ValueError: S is not a multiple of ``GRID``.
    """
    flat = _flat(generate, latents)
    key_latents, key_noise = jax.random.split(key)
    drawn = _draw(latents, key_latents, samples)
    side = _region_side(flat, drawn)
    regions = jnp.arange(GRID * GRID)

    def of_one(given: tuple[jax.Array, jax.Array]) -> jax.Array:
        latent, key = given
        image, pull_back = jax.vjp(flat, latent)
        noise = jax.random.rademacher(key, image.shape, image.dtype)

        def of_region(region: jax.Array) -> jax.Array:
            row, column = region // GRID, region % GRID
            rows = jnp.arange(GRID * side) // side == row
            columns = jnp.arange(GRID * side) // side == column
            inside = rows[:, None, None] & columns[None, :, None]
            return pull_back(jnp.where(inside, noise, jnp.zeros_like(noise)))[0]

        return jax.lax.map(of_region, regions)

    pulled = jax.lax.map(of_one, (drawn, jax.random.split(key_noise, samples)))
    factors = jnp.moveaxis(pulled, 0, -1).reshape(GRID, GRID, -1, samples)
    return Metric(factors / samples**0.5, factored=True)


@functools.partial(jax.jit, static_argnames="rank")
def largest_factors(metric: Metric, rank: int) -> Metric:
    """Factors of the greatest part of each region's matrix.

    Args:
      metric: Whole matrices.
      rank: Number of eigenvectors to keep, R.

    Returns:
      ``[GRID, GRID, L, R]``.
    """

    def of_region(matrix: jax.Array) -> jax.Array:
        values, vectors = linalg.eigh(matrix)
        strengths = jnp.sqrt(jnp.maximum(values[-rank:], 0.0))
        return vectors[:, -rank:] * strengths[None]

    flat = metric.blocks.reshape(-1, *metric.blocks.shape[2:])
    factors = jax.lax.map(of_region, flat)
    return Metric(factors.reshape(GRID, GRID, *factors.shape[1:]), factored=True)


def principal_directions(metric: Metric, weights: jax.Array) -> jax.Array:
    """The principal directions of the latent space for an image with given weights.

    Args:
      metric: From ``regional_metric`` or ``regional_factors``.
      weights: ``[S, S, 1]`` W of eq. 3.

    Returns:
      ``[L, L]`` orthonormal columns, the least effective first.
    """
    return linalg.eigh(_weighted(_side_by_side(metric), _of_regions(weights)))[1]


def inverse_curvature(
    metric: Metric, weights: jax.Array, damping: float = 0.0
) -> jax.Array:
    """The inverse of an objective's second derivative, of the Gauss-Newton kind.

    The objective is a weighted l1 distance of the image from its known pixels, with
    residuals of a typical size, plus ``damping |z|^2 / 2``.

    Args:
      metric: From ``with_metric``.
      weights: ``[S, S, 1]`` W of eq. 3.
      damping: Weight of the latent's squared length; at least a thousandth of the mean
        curvature is taken, for directions that the known pixels do not determine.

    Returns:
      ``[L, L]``, symmetric and positive definite.
    """
    # Masks of a batch are often the same. What all of them have in common is arranged
    # before, once.
    find = linalg.once_for_equal(functools.partial(_inverse_curvature, damping))
    found: jax.Array = find(_side_by_side(metric), _of_regions(weights))
    return found


def _inverse_curvature(
    damping: float, blocks: jax.Array, regions: jax.Array
) -> jax.Array:
    matrix = _weighted(blocks, regions) / _RESIDUAL
    eye = jnp.eye(len(matrix), dtype=matrix.dtype)
    least = 1e-3 * jnp.trace(matrix) / len(matrix)
    # Not 0 without any known pixel either.
    least = jnp.maximum(least, max(damping, 1e-6))
    return linalg.inverse(matrix + least * eye)


def _side_by_side(metric: Metric) -> jax.Array:
    """A metric's factors as one matrix ``[L, GRID * GRID * R]``; whole matrices as
    they are."""
    blocks = metric.blocks
    if not metric.factored:
        return blocks
    return jnp.moveaxis(blocks, 2, 0).reshape(blocks.shape[2], -1)


def _weighted(blocks: jax.Array, regions: jax.Array) -> jax.Array:
    """The sum ``[L, L]`` of matrices with a weight ``[GRID, GRID]`` for each region.

    Args:
      blocks: From ``_side_by_side``.
      regions: The weights.

    Returns:
      The sum; of factors, its lower triangle alone.
    """
    if blocks.ndim == 2:
        columns = blocks.shape[1] // regions.size
        return linalg.gram(blocks, jnp.repeat(regions.ravel(), columns))
    highest = jax.lax.Precision.HIGHEST
    return jnp.einsum("hw,hwij->ij", regions, blocks, precision=highest)


def _of_regions(weights: jax.Array) -> jax.Array:
    """Means ``[GRID, GRID]`` of weights ``[S, S, 1]`` over regions."""
    side = weights.shape[0] // GRID
    return weights.reshape(GRID, side, GRID, side).mean((1, 3))


def to_triangles(blocks: ArrayLike) -> np.ndarray:
    """Upper triangles, with diagonal, of symmetric matrices ``[..., L, L]``.

    On the host, like ``from_triangles``: files are read and written there.
    """
    matrices = np.asarray(blocks)
    rows, columns = np.triu_indices(matrices.shape[-1])
    return np.asarray(matrices[..., rows, columns])


def from_triangles(triangles: ArrayLike) -> np.ndarray:
    """Inverse of ``to_triangles``."""
    given = np.asarray(triangles)
    length = int((2 * given.shape[-1]) ** 0.5)  # L (L + 1) / 2 numbers.
    rows, columns = np.triu_indices(length)
    square = np.zeros((*given.shape[:-1], length, length), given.dtype)
    square[..., rows, columns] = given
    square[..., columns, rows] = given
    return square


def _flat(generate: Generate, latents: LatentSpace) -> Generate:
    """The generator as a function of a flat latent ``[L]``."""
    return lambda numbers: generate(numbers.reshape(latents.shape))


def _draw(latents: LatentSpace, key: jax.Array, count: int) -> jax.Array:
    """Random flat latents ``[count, L]``."""
    drawn = jax.vmap(latents.sample)(jax.random.split(key, count))
    return drawn.reshape(count, -1)


def _region_side(generate: Generate, drawn: jax.Array) -> int:
    """Pixels along a side of a region, or a ``ValueError``."""
    side = jax.eval_shape(generate, drawn[0]).shape[0]
    if side % GRID:
        raise ValueError(
            f"principal directions need images of {GRID}n pixels a side, not {side}"
        )
    return int(side) // GRID
