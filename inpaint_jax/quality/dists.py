"""DISTS, a perceptual distance that takes one texture for another of its kind.

It compares, channel by channel of the image and of what VGG16 sees in it, means (the
texture) and covariances (the structure). VGG16 is that of ``perceptual``; the weights
of the channels, 12 KB, are the authors' and lie beside this file (``dists.md``).

Images are compared in the size they have. The authors' program does so too with images
of up to 256 pixels, and shrinks larger ones.
"""

import functools
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load_file

from inpaint_jax.quality import perceptual, vgg

_FILE = Path(__file__).with_name("dists.safetensors")
_CHANNELS = (3, 64, 128, 256, 512, 512)
"""Channels of the image and of each of VGG16's stages."""
_EPSILON = 1e-6


class Weights(NamedTuple):
    """The weights of the distance; those of textures and structures sum to 1.

    Attributes:
      network: VGG16.
      textures: ``[channels]`` of the image and of each of five stages.
      structures: ``[channels]``, likewise.
    """

    network: vgg.Vgg
    textures: tuple[jax.Array, ...]
    structures: tuple[jax.Array, ...]


@functools.cache
def load() -> Weights:
    """The authors' weights.

    Raises:
      PerceptualError: The extra ``lpips`` is not installed.
    """
    network = perceptual.load_vgg().network
    stored = load_file(_FILE)
    total = sum(float(each.sum(dtype=np.float64)) for each in stored.values())
    ends = np.cumsum(_CHANNELS)[:-1]
    textures, structures = (
        tuple(jnp.asarray(part) for part in np.split(stored[name] / total, ends))
        for name in ("alpha", "beta")
    )
    return Weights(network, textures, structures)


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """DISTS of images as they are written, to their counterparts.

    Args:
      a: ``[N, S, S, 3]`` uint8, S at least 32.
      b: ``[N, S, S, 3]`` uint8.

    Returns:
      ``[N]``.

    Raises:
      PerceptualError: The extra ``lpips`` is not installed.
    """
    return perceptual.in_groups(functools.partial(dists, load()), a, b)


@jax.jit
def dists(weights: Weights, a: jax.Array, b: jax.Array) -> jax.Array:
    r"""The distance of each image to its counterpart.

    .. math::

      1 - \sum_c \alpha_c \frac{2 \mu_a \mu_b + \epsilon}{\mu_a^2 + \mu_b^2 + \epsilon}
      - \sum_c \beta_c \frac{2 \sigma_{ab} + \epsilon}
      {\sigma_a^2 + \sigma_b^2 + \epsilon}

    Args:
      weights: The result of ``load``.
      a: ``[B, S, S, 3]`` in [-1, 1], S at least 32. With S = 64 the last stage has 16
        pixels to take means of.
      b: ``[B, S, S, 3]`` in [-1, 1].

    Returns:
      ``[B]``, 0 for equal images.

    References:
      Ding et al., Image quality assessment: unifying structure and texture similarity,
      IEEE TPAMI 2020
    """
    total = jnp.zeros(len(a), a.dtype)
    for texture, structure, *pair in zip(
        weights.textures,
        weights.structures,
        _features(weights.network, a),
        _features(weights.network, b),
        strict=True,
    ):
        means = [features.mean((1, 2), keepdims=True) for features in pair]
        away = [features - mean for features, mean in zip(pair, means, strict=True)]
        total += _unlike(*means) @ texture + _unlike(*away) @ structure
    return total


def _unlike(a: jax.Array, b: jax.Array) -> jax.Array:
    """A similarity of the formula above, taken off 1, of ``[B, h, w, channels]``.

    So it is exactly 0 for equal images, and no difference of large numbers.
    """
    difference, one, other = (jnp.square(x).mean((1, 2)) for x in (a - b, a, b))
    return difference / (one + other + _EPSILON)


def _features(network: vgg.Vgg, images: jax.Array) -> list[jax.Array]:
    """The images in [0, 1], and what VGG16 sees with another pooling."""
    return [(images + 1) / 2, *vgg.features(network, images, _pooled)]


def _pooled(x: jax.Array) -> jax.Array:
    """Roots of weighted means of squares in 3x3 windows, at every other pixel."""
    squares = jnp.pad(jnp.square(x), ((1, 1), (1, 1), (0, 0), (0, 0)))
    for axis in (0, 1):
        end = 2 * ((x.shape[axis] + 1) // 2) - 1
        before, at, after = (
            jax.lax.slice_in_dim(squares, start, start + end, stride=2, axis=axis)
            for start in range(3)
        )
        # Hann's window.
        squares = 0.25 * before + 0.5 * at + 0.25 * after
    return jnp.sqrt(squares + 1e-12)
