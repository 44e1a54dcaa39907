"""The two stride-2 convolutions of a DCGAN, in forms that a CPU runs fast.

``upsample`` (a 5x5 transposed convolution) and ``downsample`` (a 5x5 convolution of
stride 2) agree with ``lax.conv_transpose`` and ``lax.conv_general_dilated`` with
``padding="SAME"``, which are what runs on a GPU or TPU. XLA's CPU back end is an order
of magnitude slower on dilated convolutions; a transposed convolution is one, and so is
the input gradient of a strided one. On a CPU both are matrix products instead, in one
of two forms:

* *Tiles*: a 5x5 stride-2 layer is a 3x3 stride-1 convolution between the small image
  and the large one with its 2x2 blocks as channels. Winograd's algorithm does that with
  9 multiplications for each small pixel and pair of channels where the layer itself
  has 25.
* *Patches*: all 25 taps are one matrix product; the 5x5 patches are gathered before it
  or added up after it. This form is for layers with few channels, where tiles cost more
  to transform than they save, and for few images, where reading the tiled kernel, which
  is almost six times as large, costs more than multiplying.

A context encoder's 4x4 kernel is treated as a 5x5 kernel with a row and a column of
zeros: tiles need the same number of multiplications for both.

Images are ``[H, W, B, C]``, the batch beside the channels, as both forms need them.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from inpaint_jax.networks import winograd
from inpaint_jax.networks.products import at_least_float32, multiply

KERNEL_SIZE = 5
_TAPS = KERNEL_SIZE**2
_DIMENSIONS = ("HWNC", "HWIO", "HWNC")

_FEW_CHANNELS = 8  # With fewer input or output channels a layer uses patches.
_FEW_ROWS = 16  # With fewer rows in the products of tiles it uses patches as well.


class Kernel(NamedTuple):
    """A kernel that was rearranged, once, for matrix products.

    Attributes:
      patches: ``[C, 25 * N]`` to upsample, ``[25 * C, N]`` to downsample.
      tiles: ``[P, 4 * N, C]`` to upsample, ``[P, 4 * C, N]`` to downsample (the larger
        image's channels first), for tiles of 4x4 (P = 36) or, where products have
        factors of 16 bits, of 2x2 (P = 16); None for few channels.
    """

    patches: jax.Array
    tiles: jax.Array | None


def upsample(
    image: jax.Array, kernel: jax.Array | Kernel, dtype: DTypeLike | None = None
) -> jax.Array:
    """5x5 or 4x4 transposed convolution with stride 2 and ``SAME`` padding.

    Args:
      image: ``[H, W, B, C]``.
      kernel: ``[5, 5, C, N]`` or ``[4, 4, C, N]``, or the result of
        ``arrange_upsample`` for one.
      dtype: Type that the factors of products are rounded to; None: that of the kernel.
        On a GPU or TPU the layer's result and its derivatives are rounded to it, too.

    Returns:
      ``[2H, 2W, B, N]``, as ``lax.conv_transpose(image, kernel, (2, 2), "SAME")``; at
      least float32.
    """
    if not isinstance(kernel, Kernel):
        kernel = arrange_upsample(kernel, dtype)
    if not isinstance(kernel, Kernel):
        dtype = dtype or kernel.dtype
        image, kernel = image.astype(dtype), kernel.astype(dtype)
        convolved = lax.conv_transpose(
            image, kernel, (2, 2), "SAME", dimension_numbers=_DIMENSIONS
        )
        return at_least_float32(convolved)
    height, width, batch, _ = image.shape
    if kernel.tiles is not None and _tiles_pay(kernel.tiles, height, width, batch):
        blocks = winograd.convolve(image, kernel.tiles.swapaxes(1, 2), dtype)
        channels = blocks.shape[-1] // 4
        blocks = blocks.reshape(height, width, batch, 2, 2, channels)
        blocks = blocks.transpose(0, 3, 1, 4, 2, 5)
        return blocks.reshape(2 * height, 2 * width, batch, channels)
    return _add_patches(multiply(image, kernel.patches, dtype))


def downsample(
    image: jax.Array, kernel: jax.Array | Kernel, dtype: DTypeLike | None = None
) -> jax.Array:
    """5x5 or 4x4 convolution with stride 2 and ``SAME`` padding.

    Args:
      image: ``[H, W, B, C]``, H and W even.
      kernel: ``[5, 5, C, N]`` or ``[4, 4, C, N]``, or the result of
        ``arrange_downsample`` for one.
      dtype: As for ``upsample``.

    Returns:
      ``[H/2, W/2, B, N]``, as ``lax.conv_general_dilated(image, kernel, (2, 2),
      "SAME")``; at least float32.

    Raises:
      ValueError: H or W is odd.
    """
    if image.shape[0] % 2 or image.shape[1] % 2:
        raise ValueError(f"height and width must be even, not {image.shape[:2]}")
    if not isinstance(kernel, Kernel):
        kernel = arrange_downsample(kernel, dtype)
    if not isinstance(kernel, Kernel):
        dtype = dtype or kernel.dtype
        image, kernel = image.astype(dtype), kernel.astype(dtype)
        convolved = lax.conv_general_dilated(
            image, kernel, (2, 2), "SAME", dimension_numbers=_DIMENSIONS
        )
        return at_least_float32(convolved)
    height, width, batch = image.shape[0] // 2, image.shape[1] // 2, image.shape[2]
    if kernel.tiles is not None and _tiles_pay(kernel.tiles, height, width, batch):
        channels = image.shape[-1]
        blocks = image.reshape(height, 2, width, 2, batch, channels)
        blocks = blocks.transpose(0, 2, 4, 1, 3, 5)
        blocks = blocks.reshape(height, width, batch, 4 * channels)
        return winograd.convolve(blocks, kernel.tiles, dtype)
    return multiply(_take_patches(image), kernel.patches, dtype)


def arrange_upsample(
    kernel: jax.Array, dtype: DTypeLike | None = None
) -> jax.Array | Kernel:
    """Arranges a kernel for ``upsample`` on a CPU; elsewhere returns it unchanged.

    Args:
      kernel: ``[5, 5, C, N]`` or ``[4, 4, C, N]``.
      dtype: Type that the factors of products will be rounded to, on which the form of
        the layer depends; None: the kernel's. Whoever keeps the result for long rounds
        it, too.
    """
    if jax.default_backend() != "cpu":
        return kernel
    if kernel.shape[0] < KERNEL_SIZE:  # Its taps are the last ones of a larger kernel.
        kernel = jnp.pad(kernel, ((1, 0), (1, 0), (0, 0), (0, 0)))
    inputs, outputs = kernel.shape[2:]
    flipped = jnp.flip(kernel, (0, 1)).transpose(2, 0, 1, 3)
    # Output pixel 2m + p depends on the small pixels m - 1, m, m + 1 through taps
    # 1, 3 and none (p = 0), or 0, 2, 4 (p = 1).
    tiles = _tiles(kernel.swapaxes(2, 3), ((1, 3, None), (0, 2, 4)), dtype)
    return Kernel(flipped.reshape(inputs, _TAPS * outputs), tiles)


def arrange_downsample(
    kernel: jax.Array, dtype: DTypeLike | None = None
) -> jax.Array | Kernel:
    """Arranges a kernel for ``downsample``, as ``arrange_upsample`` does."""
    if jax.default_backend() != "cpu":
        return kernel
    if kernel.shape[0] < KERNEL_SIZE:  # Its taps are the first ones of a larger kernel.
        kernel = jnp.pad(kernel, ((0, 1), (0, 1), (0, 0), (0, 0)))
    inputs, outputs = kernel.shape[2:]
    # Small pixel m depends on the large pixels 2m - 1 to 2m + 3. Written as 2m' + p
    # these are p = 0 with taps 1 (m' = m) and 3 (m' = m + 1), and p = 1 with taps
    # 0, 2, 4.
    tiles = _tiles(kernel, ((None, 1, 3), (0, 2, 4)), dtype)
    return Kernel(kernel.reshape(_TAPS * inputs, outputs), tiles)


def _tiles(
    kernel: jax.Array, taps: winograd.Taps, dtype: DTypeLike | None
) -> jax.Array | None:
    """A kernel ``[5, 5, C, N]`` for tiles; None where patches are always faster."""
    if min(kernel.shape[2:]) < _FEW_CHANNELS:
        return None
    exact = jnp.dtype(dtype or kernel.dtype).itemsize >= 4
    tiles = winograd.transform_kernel(kernel, taps, 4 if exact else 2)
    return tiles.reshape(-1, 4 * kernel.shape[2], kernel.shape[3])


def _tiles_pay(tiles: jax.Array, height: int, width: int, batch: int) -> bool:
    """Whether tiles are faster for a batch of small images of this size."""
    tile = winograd.tile_of(tiles)
    if height % tile or width % tile:
        return False
    return batch * (height // tile) * (width // tile) >= _FEW_ROWS


@jax.custom_vjp
def _take_patches(image: jax.Array) -> jax.Array:
    """Patches that a kernel sees, ``[H, W, B, 25 * C]``, of ``[2H, 2W, B, C]``."""
    height, width = image.shape[:2]
    # Small pixel i depends on the large pixels 2i - 1 to 2i + 3.
    image = jnp.pad(image, ((1, 2), (1, 2), (0, 0), (0, 0)))
    # Without the barrier the image would be padded anew for every tap.
    image = lax.optimization_barrier(image)
    taps = range(KERNEL_SIZE)
    # ``lax.slice``, as tracing an index takes many times as long.
    bottom, right, rest = height - 1, width - 1, image.shape[2:]
    return lax.concatenate(
        [
            lax.slice(image, (i, j, 0, 0), (i + bottom, j + right, *rest), (2, 2, 1, 1))
            for i in taps
            for j in taps
        ],
        3,
    )


@jax.custom_vjp
def _add_patches(patches: jax.Array) -> jax.Array:
    """Adjoint of ``_take_patches``: every patch is added where it was taken."""
    height, width, batch, size = patches.shape
    channels = size // _TAPS
    taps = (KERNEL_SIZE, KERNEL_SIZE)
    patches = patches.reshape(height, width, batch, *taps, channels)
    patches = jnp.pad(patches, ((1, 1), (1, 1)) + ((0, 0),) * 4)
    # Large pixel 2m depends on the small pixels m, m - 1 through taps 1, 3; 2m + 1
    # depends on m + 1, m, m - 1 through taps 0, 2, 4. Because of the padding small
    # pixel i is at index i + 1.
    parities = (((1, 1), (3, 0)), ((0, 2), (2, 1), (4, 0)))

    def of_tap(row: int, i: int, column: int, j: int) -> jax.Array:
        start = i, j, 0, row, column, 0
        stop = i + height, j + width, batch, row + 1, column + 1, channels
        # Not an index, which takes many times as long to trace.
        return lax.squeeze(lax.slice(patches, start, stop), (3, 4))

    rows = [
        jnp.stack(
            [
                functools.reduce(
                    lax.add,
                    [of_tap(*of, *at) for of in of_row for at in of_column],
                )
                for of_column in parities
            ],
            axis=2,
        )
        for of_row in parities
    ]
    return jnp.stack(rows, 1).reshape(2 * height, 2 * width, batch, channels)


_take_patches.defvjp(
    lambda image: (_take_patches(image), None),
    lambda _, patches: (_add_patches(patches),),
)
_add_patches.defvjp(
    lambda patches: (_add_patches(patches), None),
    lambda _, image: (_take_patches(image),),
)
