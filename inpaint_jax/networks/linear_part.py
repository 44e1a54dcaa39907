"""The linear part of an ``autoencoder``: its image, and guesses for pictures.

Pure functions of arrays, which training and search share; importing this module does
not import Flax.
"""

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from inpaint_jax import linalg
from inpaint_jax.networks.products import multiply_exactly


def see(image: jax.Array, mask: jax.Array) -> jax.Array:
    """The encoder's input ``[..., S, S, 4]``: the image with a black hole, the mask.

    Args:
      image: ``[..., S, S, 3]`` in [-1, 1]; pixels in the hole are ignored.
      mask: ``[..., S, S, 1]``, 1 = known, 0 = missing.
    """
    mask = jnp.broadcast_to(mask, (*image.shape[:-1], 1))
    return jnp.concatenate([jnp.where(mask > 0.5, image, -1.0), mask], -1)


def guess(
    decoder: Mapping[str, jax.Array], images: jax.Array, mask: jax.Array
) -> jax.Array:
    """The most probable latents of pictures with one hole, for the linear part alone.

    Coarse pixels are averages of the known pixels that they cover, each counted by the
    share that is known. The latents minimise |z|^2 / 2 plus the squared differences,
    divided by twice the noise (Tipping and Bishop, 1999, for the whole image).

    Args:
      decoder: Parameters of a ``Decoder``: ``components``, ``mean`` and ``noise``.
      images: ``[B, S, S, 3]`` in [-1, 1]; pixels in the hole are ignored.
      mask: ``[S, S, 1]`` of all images, 1 = known, 0 = missing.

    Returns:
      ``[B, L]``.
    """
    right = evidence(decoder, images, mask)
    return jax.scipy.linalg.cho_solve((factor(decoder, mask), True), right.T).T


def factor(decoder: Mapping[str, jax.Array], mask: jax.Array) -> jax.Array:
    """The lower factor ``[L, L]`` of the equations of a mask ``[S, S, 1]``."""
    components = decoder["components"]
    flat = components.reshape(len(components), -1)
    matrix = linalg.gram(flat, _precisions(decoder, mask))
    return linalg.cholesky(matrix + jnp.eye(len(matrix), dtype=matrix.dtype))


def evidence(
    decoder: Mapping[str, jax.Array], images: jax.Array, mask: jax.Array
) -> jax.Array:
    """The right sides ``[B, L]`` of these equations, of images ``[B, S, S, 3]``."""
    components = decoder["components"]
    length, side = components.shape[:2]
    known = _shrink(mask[None], side)
    averages = _shrink(jnp.where(mask > 0.5, images, 0.0), side)
    averages = averages / jnp.maximum(known, 1e-6)
    differences = (averages - decoder["mean"]).reshape(len(images), -1)
    # Not the components by their precisions, a whole matrix for every mask.
    weighted = differences * _precisions(decoder, mask)[None]
    return multiply_exactly(weighted, components.reshape(length, -1).T)


def _precisions(decoder: Mapping[str, jax.Array], mask: jax.Array) -> jax.Array:
    """``[s * s * 3]``: the known share of each coarse channel, divided by the noise."""
    side = decoder["components"].shape[1]
    known = jnp.broadcast_to(_shrink(mask[None], side), (1, side, side, 3))
    return known.reshape(-1) / decoder["noise"]


def variance(decoder: Mapping[str, jax.Array]) -> jax.Array:
    """Variance ``[L]`` of each number that a whole image leaves to the linear part.

    It is that of orthogonal components, as they are when training begins.

    Args:
      decoder: Parameters of a ``Decoder``: ``components`` and ``noise``.
    """
    strength = jnp.square(decoder["components"]).sum((1, 2, 3))
    return decoder["noise"] / (decoder["noise"] + strength)


def enlarge(images: jax.Array, size: int) -> jax.Array:
    """Images ``[..., s, s, C]`` at side ``size``, by bilinear interpolation."""
    matrix = _interpolation(images.shape[-2], size)
    return jnp.einsum("ia,jb,...abc->...ijc", matrix, matrix, images)


@functools.cache
def _interpolation(side: int, size: int) -> np.ndarray:
    """Bilinear interpolation as a matrix ``[size, side]``; the edge is repeated."""
    place = np.clip((np.arange(size) + 0.5) * side / size - 0.5, 0, side - 1)
    distance = np.abs(place[:, None] - np.arange(side))
    return np.maximum(1 - distance, 0).astype(np.float32)


def _shrink(images: jax.Array, side: int) -> jax.Array:
    """Averages of blocks: ``[B, S, S, C]`` to ``[B, side, side, C]``."""
    count, size, _, depth = images.shape
    block = size // side
    return images.reshape(count, side, block, side, block, depth).mean((2, 4))
