"""Principal components of coarse images, with which an autoencoder begins."""

from typing import Any, NamedTuple

import jax
import numpy as np

from inpaint_jax.networks.products import multiply_exactly

_CHUNK = 4096
_LEAST = 1e-3
"""Least variance of a component, and of what they all leave: that of four of the 255
steps of a pixel's range."""


class Principal(NamedTuple):
    """Probabilistic PCA of images (Tipping and Bishop, 1999).

    Attributes:
      mean: ``[s, s, 3]``.
      components: ``[L, s, s, 3]``: an image is the mean plus N(0, 1) times each.
      noise: ``[]``: variance of a pixel's channel beside them.
    """

    mean: Any
    components: Any
    noise: Any


def principal_components(
    images: Any, count: int, side: int, *, flip: bool = False
) -> Principal:
    """Fits a linear model with normal latents to images of less resolution.

    Args:
      images: ``[N, S, S, 3]`` uint8: an array, or what is cut into slices like one.
      count: Number L of components, fewer than ``3 * side**2``.
      side: s, a divisor of S: the images are averaged over blocks.
      flip: Whether the mirrored images count as well.

    Raises:
      ValueError: There are not fewer components than numbers in a coarse image.
    """
    size = 3 * side**2
    if count >= size:
        raise ValueError(
            f"latent_size must be less than {size}, the numbers of a coarse image, not "
            f"{count}"
        )
    total, squares, seen = np.zeros(size), np.zeros((size, size)), 0
    block = images.shape[1] // side
    for start in range(0, len(images), _CHUNK):
        chunk = images[start : start + _CHUNK].astype(np.float32) / 127.5 - 1
        chunk = chunk.reshape(len(chunk), side, block, side, block, 3).mean((2, 4))
        for each in (chunk, chunk[:, :, ::-1]) if flip else (chunk,):
            rows = each.reshape(len(each), -1)
            total += rows.sum(0, dtype=np.float64)
            squares += np.asarray(_squares(rows))
            seen += len(rows)
    mean = total / seen
    covariance = squares / seen - np.outer(mean, mean)
    values, vectors = np.linalg.eigh(covariance.astype(np.float32))
    values, vectors = values[::-1], vectors[:, ::-1]
    noise = max(float(values[count:].mean()), _LEAST)
    scales = np.sqrt(np.maximum(values[:count] - noise, _LEAST))
    components = (vectors[:, :count] * scales).T
    return Principal(
        mean.astype(np.float32).reshape(side, side, 3),
        components.astype(np.float32).reshape(count, side, side, 3),
        np.array(noise, np.float32),
    )


@jax.jit
def _squares(rows: jax.Array) -> jax.Array:
    """Products ``[D, D]`` of the columns of ``[N, D]``."""
    return multiply_exactly(rows.T, rows)
