"""VGG16, through which perceptual distances look at images, fast on a CPU.

All its convolutions are 3x3 with stride 1. On a CPU Winograd's algorithm does them with
a quarter of the multiplications (``networks.winograd``), in about half the time.

References:
  Simonyan and Zisserman, Very deep convolutional networks for large-scale image
  recognition, ICLR 2015
"""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from inpaint_jax.networks import winograd

_STAGES = (2, 2, 3, 3, 3)
"""Convolutions from one pooling to the next."""
_TILE = 4
_DIMENSIONS = ("HWNC", "HWIO", "HWNC")
# Mean and standard deviation of ImageNet's colours for images in [-1, 1].
_SHIFT = np.array([-0.030, -0.088, -0.188], np.float32)
_SCALE = np.array([0.458, 0.448, 0.450], np.float32)

Pool = Callable[[jax.Array], jax.Array]
"""Halves the sides of features ``[h, w, B, channels]``."""


class Vgg(NamedTuple):
    """The network.

    Attributes:
      kernels: ``[3, 3, channels, features]`` of each convolution.
      biases: ``[features]`` of each.
      tiles: ``[36, channels, features]`` of each, the kernels as Winograd's algorithm
        wants them; None for the first one, which has few channels, and for all of them
        where there is a better way than this.
    """

    kernels: tuple[jax.Array, ...]
    biases: tuple[jax.Array, ...]
    tiles: tuple[jax.Array | None, ...]


def arrange(kernels: Sequence[jax.Array], biases: Sequence[jax.Array]) -> Vgg:
    """The network of these kernels and biases, arranged for this machine."""
    tiles: list[jax.Array | None] = [None] * len(kernels)
    if jax.default_backend() == "cpu":
        tiles[1:] = map(_arranged, kernels[1:])
    return Vgg(tuple(kernels), tuple(biases), tuple(tiles))


@jax.jit
def _arranged(kernel: jax.Array) -> jax.Array:
    tiles = winograd.transform_kernel(kernel, ((0, 1, 2),), _TILE)
    return tiles.reshape(-1, *kernel.shape[2:])


def of_imagenet(images: jax.Array) -> jax.Array:
    """Images in [-1, 1] with the mean and deviation that ImageNet's networks expect."""
    return (images - _SHIFT) / _SCALE


def features(
    network: Vgg, images: jax.Array, pool: Pool | None = None
) -> list[jax.Array]:
    """What the network's convolutions see, before each pooling.

    Args:
      network: The result of ``arrange``.
      images: ``[B, S, S, 3]`` in [-1, 1], S at least 32.
      pool: By default it takes the greatest of 2x2.

    Returns:
      ``[B, h, w, channels]`` of each of five stages.
    """
    # Rows, columns, images, channels: how Winograd's products need them.
    x = jnp.moveaxis(of_imagenet(images), 0, 2)
    layers = iter(zip(*network, strict=True))
    found = []
    for stage, count in enumerate(_STAGES):
        if stage:
            x = (pool or _greatest)(x)
        for kernel, bias, tiles in itertools.islice(layers, count):
            x = jax.nn.relu(_convolved(x, kernel, tiles) + bias)
        found.append(jnp.moveaxis(x, 2, 0))
    return found


def _convolved(x: jax.Array, kernel: jax.Array, tiles: jax.Array | None) -> jax.Array:
    if tiles is None or x.shape[0] % _TILE or x.shape[1] % _TILE:
        return lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=_DIMENSIONS
        )
    return winograd.convolve(x, tiles)


def _greatest(x: jax.Array) -> jax.Array:
    window = (2, 2, 1, 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")
