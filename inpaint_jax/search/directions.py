"""How strongly each direction of the latent space moves the image.

Near a latent z the image moves by J dz, and its squared distance, weighted by W, by
dz' (J' W J) dz. That matrix, averaged over latents, is much the same everywhere and has
few large eigenvalues and many small ones: Adam, which fits a rate to each coordinate,
does far better along its eigenvectors than along the axes of z, which mean nothing.

The average is kept by regions of the image, so that the matrix of any W is their
weighted sum. For ONE latent space; nothing here knows a framework.
"""

import functools

import jax
import jax.numpy as jnp

from inpaint_jax.types import Generate, Model

GRID = 8
"""Regions along a side of the image."""


def linearise(generate: Generate, latent: jax.Array) -> tuple[jax.Array, jax.Array]:
    """A generator near a latent: G(z + dz) is about G(z) + dz J.

    Args:
      generate: ``[L] -> [S, S, 3]``.
      latent: ``[L]`` z.

    Returns:
      G(z) ``[S, S, 3]`` and its Jacobian J ``[L, S, S, 3]``.
    """
    image, pull_back = jax.vjp(generate, latent)
    # J dz as the transpose of the transpose: a generator whose layers have their own
    # reverse rule has no forward one.
    _, push = jax.vjp(lambda u: pull_back(u)[0], jnp.zeros_like(image))
    (jacobian,) = jax.vmap(push)(jnp.eye(latent.size, dtype=latent.dtype))
    return image, jacobian


@functools.partial(jax.jit, static_argnames=("latent_size", "samples"))
def regional_metric(
    generate: Generate, key: jax.Array, *, latent_size: int, samples: int = 48
) -> jax.Array:
    """J'J of a generator, averaged over latents, for each region of the image.

    Args:
      generate: ``[L] -> [S, S, 3]``, S a multiple of ``GRID``.
      key: Draws the latents, from U[-1, 1]; consumed.
      latent_size: L.
      samples: How many latents.

    Returns:
      ``[GRID, GRID, L, L]``, each symmetric and positive semidefinite, summed over
      the region's pixels.

    Raises:
      ValueError: S is not a multiple of ``GRID``.
    """
    side = jax.eval_shape(generate, jnp.zeros(latent_size)).shape[0]
    if side % GRID:
        raise ValueError(
            f"principal directions need images of {GRID}n pixels a side, not {side}"
        )
    shape = (samples, latent_size)
    latents = jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)

    def of_one(latent: jax.Array) -> jax.Array:
        image, jacobian = linearise(generate, latent)
        side = image.shape[0] // GRID
        regions = jacobian.reshape(latent_size, GRID, side, GRID, side, -1)
        return jnp.einsum("ihawbc,jhawbc->hwij", regions, regions, precision="highest")

    return jax.lax.map(of_one, latents).mean(0)


@functools.lru_cache(maxsize=8)
def metric_of(model: Model) -> jax.Array:
    """The metric that a model brings, or else that of its generator: found once.

    Args:
      model: Its ``image_size`` is a multiple of ``GRID`` if it brings none.

    Returns:
      ``[GRID, GRID, L, L]``, as from ``regional_metric``.
    """
    if model.metric is not None:
        return model.metric
    return regional_metric(
        model.generate, jax.random.key(0), latent_size=model.latent_size
    )


def principal_directions(metric: jax.Array, weights: jax.Array) -> jax.Array:
    """The directions along which to search for an image with these weights.

    Args:
      metric: ``[GRID, GRID, L, L]`` from ``regional_metric``.
      weights: ``[S, S, 1]`` W of eq. 3.

    Returns:
      ``[L, L]`` orthonormal columns, the least effective first.
    """
    side = weights.shape[0] // GRID
    regions = weights.reshape(GRID, side, GRID, side).mean((1, 3))
    weighted = jnp.einsum("hw,hwij->ij", regions, metric, precision="highest")
    _, directions = jnp.linalg.eigh(weighted)
    return directions


def to_triangles(metric: jax.Array) -> jax.Array:
    """``[..., L, L]`` symmetric matrices as what is on and above their diagonals."""
    rows, columns = jnp.triu_indices(metric.shape[-1])
    return metric[..., rows, columns]


def from_triangles(triangles: jax.Array) -> jax.Array:
    """Takes ``to_triangles`` back."""
    length = int((2 * triangles.shape[-1]) ** 0.5)  # L (L + 1) / 2 numbers.
    rows, columns = jnp.triu_indices(length)
    square = jnp.zeros((*triangles.shape[:-1], length, length), triangles.dtype)
    square = square.at[..., rows, columns].set(triangles)
    return square.at[..., columns, rows].set(triangles)
