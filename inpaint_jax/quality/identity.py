"""Whether two pictures of a face show one person, as a network sees it.

The network is dlib's ResNet with 29 layers; its weights, which are in the public domain
(CC0), come with the package ``face-recognition-models`` (extra ``identity``). dlib
itself, which has to be compiled, is not needed: the network is written anew here.
Its descriptors of any two faces point almost the same way (cosines of 0.8 and more), so
they are compared by their distance, for which it was trained.
"""

import functools
import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from inpaint_jax.quality import perceptual

_FILE = "dlib_face_recognition_resnet_model_v1.dat"
_DIGEST = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
_MEAN = np.array([122.782, 117.001, 104.298], np.float32)
_SCALE = 256
_SIDE = 150
"""Side of the pictures that the network sees."""
_EYES = ((0.31822, 0.31426), (0.66854, 0.31416))
"""Where it expects the eyes, as shares of that side: the mean face of dlib's
``get_face_chip_details`` with a padding of 0.25."""
_BLOCKS = (32,) * 3 + (64,) * 4 + (128,) * 3 + (256,) * 4
"""Channels of each residual block; where they grow, and in the last, sides halve."""
LEAST = 64
"""Least side of images: of smaller ones the network takes all persons for alike."""
SAME = 0.6
"""Distance below which dlib takes two pictures for one person."""


class IdentityError(ValueError):
    """The network cannot be loaded; the message is one line that says why."""


class Weights(NamedTuple):
    """The weights of the network.

    Attributes:
      kernels: ``[h, w, channels, features]`` of each convolution, in its order.
      biases: ``[features]``.
      last: ``[256, 128]``, from what is seen to the descriptor.
    """

    kernels: tuple[jax.Array, ...]
    biases: tuple[jax.Array, ...]
    last: jax.Array


def is_installed() -> bool:
    """Whether ``load`` finds its package."""
    return importlib.util.find_spec("face_recognition_models") is not None


@functools.cache
def load() -> Weights:
    """The network's weights.

    Raises:
      IdentityError: The extra ``identity`` is not installed, or its file is another.
    """
    package = importlib.util.find_spec("face_recognition_models")
    if package is None or package.origin is None:
        raise IdentityError(
            "identity needs face-recognition-models: pip install "
            "'inpaint_jax[identity]'"
        )
    # Not imported: it wants a module that setuptools no longer has.
    path = Path(package.origin).parent / "models" / _FILE
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != _DIGEST:
        raise IdentityError(f"{path} is not dlib's network of version 1")
    return _read(content)


def _read(content: bytes) -> Weights:
    """The weights in dlib's file.

    Each layer begins with its name, and nearly all are followed by its numbers at once.
    What it says of strides and pads is what ``_describe`` does.
    """
    kernels, biases, end = [], [], 0
    inputs = 3
    for layer in range(2 * len(_BLOCKS) + 1):
        convolution, end = _tensor(content, b"con_4", end)
        affine, end = _tensor(content, b"affine_", end)
        scale, shift = np.split(affine, 2)
        features, side = len(scale), 7 if layer == 0 else 3
        kernel, bias = np.split(convolution, [-features])
        kernel = kernel.reshape(features, inputs, side, side).transpose(2, 3, 1, 0)
        kernels.append(jnp.asarray(kernel * scale))
        biases.append(jnp.asarray(bias * scale + shift))
        inputs = features
    # Two numbers before its own: those of outputs and inputs.
    last, _ = _tensor(content, b"fc_2", end, skipped=2)
    return Weights(tuple(kernels), tuple(biases), jnp.asarray(last.reshape(inputs, -1)))


def _tensor(
    content: bytes, name: bytes, start: int, skipped: int = 0
) -> tuple[np.ndarray, int]:
    """The numbers of the next layer of a name, and where they end."""
    at = content.index(name, start) + len(name)
    for _ in range(skipped):
        _, at = _integer(content, at)
    count = 1
    _, at = _integer(content, at)  # Version of the format.
    for _ in range(4):
        size, at = _integer(content, at)
        count *= size
    return np.frombuffer(content, "<f4", count, at), at + 4 * count


def _integer(content: bytes, at: int) -> tuple[int, int]:
    """A number, which says first how many bytes it has, and where it ends."""
    end = at + 1 + content[at]
    return int.from_bytes(content[at + 1 : end], "little"), end


def distances(a: np.ndarray, b: np.ndarray, places: np.ndarray) -> np.ndarray:
    """How far the persons in pictures are from those in their counterparts.

    Args:
      a: ``[N, S, S, 3]`` uint8, S at least 64.
      b: ``[N, S, S, 3]`` uint8.
      places: ``[3, 2]``, where the left eye in the picture, the right one and the
        middle of the mouth are, as shares of S.

    Returns:
      ``[N]``, Euclidean distances; below ``SAME`` dlib says that it is one person.

    Raises:
      IdentityError: S is less than 64, or the extra ``identity`` is not installed.
    """
    one, other = (describe(images, places) for images in (a, b))
    return np.asarray(np.linalg.norm(one - other, axis=-1))


def describe(images: np.ndarray, places: np.ndarray) -> np.ndarray:
    """What the network sees in the faces of pictures.

    Args:
      images: ``[N, S, S, 3]`` uint8, S at least 64.
      places: Where eyes and mouth are, as for ``distances``.

    Returns:
      ``[N, 128]``.

    Raises:
      IdentityError: S is less than 64, or the extra ``identity`` is not installed.
    """
    if images.shape[1] < LEAST:
        raise IdentityError(f"it takes {LEAST} pixels, not {images.shape[1]}")
    weights, eyes = load(), jnp.asarray(places[:2], jnp.float32)
    return perceptual.in_groups(lambda batch: _describe(weights, batch, eyes), images)


@jax.jit
def _describe(weights: Weights, images: jax.Array, eyes: jax.Array) -> jax.Array:
    """``describe`` for a batch in [-1, 1], given the eyes' places ``[2, 2]``."""
    size, wanted = images.shape[1], jnp.array(_EYES, jnp.float32) * _SIDE
    found = eyes * size
    scale = (wanted[1, 0] - wanted[0, 0]) / (found[1, 0] - found[0, 0])
    shift = wanted.mean(0) - scale * found.mean(0)
    chips = jax.vmap(
        lambda image: jax.image.scale_and_translate(
            image,
            (_SIDE, _SIDE, 3),
            (0, 1),
            jnp.array([scale, scale]),
            shift[::-1],
            "linear",
        )
    )(127.5 * (images + 1))
    return describe_chips(weights, chips)


def describe_chips(weights: Weights, chips: jax.Array) -> jax.Array:
    """What the network sees in aligned faces.

    Args:
      weights: The result of ``load``.
      chips: ``[B, 150, 150, 3]`` in 0 to 255.

    Returns:
      ``[B, 128]``. Two pictures of one person are less than 0.6 apart.

    References:
      He et al., Deep residual learning for image recognition, CVPR 2016; King,
      Dlib-ml: a machine learning toolkit, JMLR 2009
    """
    layers = iter(zip(weights.kernels, weights.biases, strict=True))
    x = _convolution((chips - _MEAN) / _SCALE, *next(layers), stride=2)
    x = _pooled(jax.nn.relu(x), 3, jax.lax.max, -jnp.inf)
    for block, features in enumerate(_BLOCKS):
        halves = features > x.shape[-1] or block == len(_BLOCKS) - 1
        seen = _convolution(x, *next(layers), stride=2 if halves else 1)
        seen = _convolution(jax.nn.relu(seen), *next(layers), stride=1)
        if halves:
            x = _pooled(x, 2, jax.lax.add, 0.0) / 4
        x = jax.nn.relu(_sum(x, seen))
    return x.mean((1, 2)) @ weights.last


def _convolution(
    x: jax.Array, kernel: jax.Array, bias: jax.Array, *, stride: int
) -> jax.Array:
    padding = "SAME" if stride == 1 else "VALID"
    numbers = ("NHWC", "HWIO", "NHWC")
    return bias + jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=numbers
    )


def _pooled(
    x: jax.Array,
    side: int,
    reduction: Callable[[jax.Array, jax.Array], jax.Array],
    initial: float,
) -> jax.Array:
    window, strides = (1, side, side, 1), (1, 2, 2, 1)
    return jax.lax.reduce_window(x, initial, reduction, window, strides, "VALID")


def _sum(a: jax.Array, b: jax.Array) -> jax.Array:
    """The sum of features, where the smaller ones have zeros after their last."""
    shape = tuple(map(max, zip(a.shape, b.shape, strict=True)))
    a, b = (
        jnp.pad(x, [(0, want - has) for want, has in zip(shape, x.shape, strict=True)])
        for x in (a, b)
    )
    return a + b
