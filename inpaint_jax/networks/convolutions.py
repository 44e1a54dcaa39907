"""The two stride-2 convolutions of a DCGAN, in the forms a CPU runs fast.

``upsample`` (a 5x5 transposed convolution) and ``downsample`` (a 5x5 convolution of
stride 2) agree with ``lax.conv_transpose`` and ``lax.conv_general_dilated`` with
``padding="SAME"``, which is what runs on a GPU or TPU. XLA's CPU back end is slow at
dilated convolutions, by an order of magnitude; a transposed convolution is one, and so
is the input gradient of a strided one. On a CPU both are matrix products instead, in
one of two forms:

* *Tiles*: a 5x5 stride-2 layer is a 3x3 stride-1 convolution between the small image
  and the large one with its 2x2 blocks as channels. Winograd's algorithm does that with
  9 multiplications a small pixel and pair of channels where the layer itself has 25.
* *Patches*: all 25 taps in one matrix product, the 5x5 patches gathered before it or
  added up after it. For layers with few channels, where tiles cost more to transform
  than they save, and for few images, where reading the tiled kernel, almost six times
  as large, costs more than multiplying.

A 4x4 kernel, a context encoder's, is a 5x5 one with a row and a column of zeros: tiles
need as many multiplications for either.

Images are ``[H, W, B, C]``, the batch beside the channels: what both forms work in.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from inpaint_jax.networks import winograd

KERNEL_SIZE = 5
_TAPS = KERNEL_SIZE**2
_DIMENSIONS = ("HWNC", "HWIO", "HWNC")

_FEW_CHANNELS = 8  # A side of a layer with fewer makes it one for patches.
_FEW_ROWS = 16  # Likewise fewer rows in the matrix products of tiles.


class Kernel(NamedTuple):
    """A kernel rearranged for matrix products; it need only be done once.

    Attributes:
      patches: Up: ``[C, 25 * N]``; down: ``[25 * C, N]``.
      tiles: ``[36, 4 * N, C]`` or ``[36, 4 * C, N]``, the larger image's channels
        first; None for few channels, and in 16 bits.
    """

    patches: jax.Array
    tiles: jax.Array | None


def upsample(image: jax.Array, kernel: jax.Array | Kernel) -> jax.Array:
    """5x5 or 4x4 transposed convolution with stride 2 and ``SAME`` padding.

    Args:
      image: ``[H, W, B, C]``.
      kernel: ``[5, 5, C, N]`` or ``[4, 4, C, N]``, or what ``arrange_upsample`` made
        of one.

    Returns:
      ``[2H, 2W, B, N]``; that of ``lax.conv_transpose(image, kernel, (2, 2), "SAME")``.
    """
    if not isinstance(kernel, Kernel):
        kernel = arrange_upsample(kernel)
    if not isinstance(kernel, Kernel):
        return lax.conv_transpose(
            image, kernel, (2, 2), "SAME", dimension_numbers=_DIMENSIONS
        )
    height, width, batch, _ = image.shape
    if kernel.tiles is not None and _tiles_pay(height, width, batch):
        blocks = winograd.convolve(image, kernel.tiles.swapaxes(1, 2))
        channels = blocks.shape[-1] // 4
        blocks = blocks.reshape(height, width, batch, 2, 2, channels)
        blocks = blocks.transpose(0, 3, 1, 4, 2, 5)
        return blocks.reshape(2 * height, 2 * width, batch, channels)
    return _add_patches(image @ kernel.patches)


def downsample(image: jax.Array, kernel: jax.Array | Kernel) -> jax.Array:
    """5x5 or 4x4 convolution with stride 2 and ``SAME`` padding.

    Args:
      image: ``[H, W, B, C]``, H and W even.
      kernel: ``[5, 5, C, N]`` or ``[4, 4, C, N]``, or what ``arrange_downsample`` made
        of one.

    Returns:
      ``[H/2, W/2, B, N]``; that of ``lax.conv_general_dilated(image, kernel, (2, 2),
      "SAME")``.

    Raises:
      ValueError: H or W is odd.
    """
    if image.shape[0] % 2 or image.shape[1] % 2:
        raise ValueError(f"height and width must be even, not {image.shape[:2]}")
    if not isinstance(kernel, Kernel):
        kernel = arrange_downsample(kernel)
    if not isinstance(kernel, Kernel):
        return lax.conv_general_dilated(
            image, kernel, (2, 2), "SAME", dimension_numbers=_DIMENSIONS
        )
    height, width, batch = image.shape[0] // 2, image.shape[1] // 2, image.shape[2]
    if kernel.tiles is not None and _tiles_pay(height, width, batch):
        channels = image.shape[-1]
        blocks = image.reshape(height, 2, width, 2, batch, channels)
        blocks = blocks.transpose(0, 2, 4, 1, 3, 5)
        blocks = blocks.reshape(height, width, batch, 4 * channels)
        return winograd.convolve(blocks, kernel.tiles)
    return _take_patches(image) @ kernel.patches


def arrange_upsample(kernel: jax.Array) -> jax.Array | Kernel:
    """A kernel as ``upsample`` wants it: arranged on a CPU, else as it is."""
    if jax.default_backend() != "cpu":
        return kernel
    if kernel.shape[0] < KERNEL_SIZE:  # Its taps are the last ones of a larger kernel.
        kernel = jnp.pad(kernel, ((1, 0), (1, 0), (0, 0), (0, 0)))
    inputs, outputs = kernel.shape[2:]
    flipped = jnp.flip(kernel, (0, 1)).transpose(2, 0, 1, 3)
    tiles = None
    if _suits_tiles(kernel):
        # Output pixel 2m + p meets small pixels m - 1, m, m + 1 through taps 1, 3 and
        # none (p = 0), or 0, 2, 4 (p = 1).
        tiles = winograd.transform_kernel(
            kernel.swapaxes(2, 3), ((1, 3, None), (0, 2, 4))
        )
        tiles = tiles.reshape(-1, 4 * outputs, inputs)
    return Kernel(flipped.reshape(inputs, _TAPS * outputs), tiles)


def arrange_downsample(kernel: jax.Array) -> jax.Array | Kernel:
    """A kernel as ``downsample`` wants it: arranged on a CPU, else as it is."""
    if jax.default_backend() != "cpu":
        return kernel
    if kernel.shape[0] < KERNEL_SIZE:  # Its taps are the first ones of a larger kernel.
        kernel = jnp.pad(kernel, ((0, 1), (0, 1), (0, 0), (0, 0)))
    inputs, outputs = kernel.shape[2:]
    tiles = None
    if _suits_tiles(kernel):
        # Small pixel m meets large pixels 2m - 1 .. 2m + 3, which are, as 2m' + p:
        # p = 0 through taps 1 (m' = m) and 3 (m + 1), p = 1 through 0, 2, 4.
        tiles = winograd.transform_kernel(kernel, ((None, 1, 3), (0, 2, 4)))
        tiles = tiles.reshape(-1, 4 * inputs, outputs)
    return Kernel(kernel.reshape(_TAPS * inputs, outputs), tiles)


def _suits_tiles(kernel: jax.Array) -> bool:
    """Whether tiles may be worth it, and are exact enough: not in 16 bits."""
    return min(kernel.shape[2:]) >= _FEW_CHANNELS and kernel.dtype.itemsize >= 4


def _tiles_pay(height: int, width: int, batch: int) -> bool:
    """Whether a small image of this size and a batch of them suit tiles."""
    tile = winograd.TILE
    if height % tile or width % tile:
        return False
    return batch * (height // tile) * (width // tile) >= _FEW_ROWS


@jax.custom_vjp
def _take_patches(image: jax.Array) -> jax.Array:
    """``[2H, 2W, B, C]`` to the patches a kernel sees, ``[H, W, B, 25 * C]``."""
    height, width = image.shape[:2]
    # Small pixel i meets large pixels 2i - 1 .. 2i + 3.
    image = jnp.pad(image, ((1, 2), (1, 2), (0, 0), (0, 0)))
    image = lax.optimization_barrier(image)  # Or it is padded anew for every tap.
    taps = range(KERNEL_SIZE)
    return jnp.concatenate(
        [image[i : i + height : 2, j : j + width : 2] for i in taps for j in taps], -1
    )


@jax.custom_vjp
def _add_patches(patches: jax.Array) -> jax.Array:
    """The adjoint: every patch added where it was taken, ``[2H, 2W, B, C]``."""
    height, width, batch, size = patches.shape
    channels = size // _TAPS
    taps = (KERNEL_SIZE, KERNEL_SIZE)
    patches = patches.reshape(height, width, batch, *taps, channels)
    patches = jnp.pad(patches, ((1, 1), (1, 1)) + ((0, 0),) * 4)
    # Large pixel 2m meets small pixels m, m - 1 at taps 1, 3; and 2m + 1 meets m + 1,
    # m, m - 1 at taps 0, 2, 4. The padding puts small pixel i at i + 1.
    parities = (((1, 1), (3, 0)), ((0, 2), (2, 1), (4, 0)))
    rows = [
        jnp.stack(
            [
                sum(
                    patches[i : i + height, j : j + width, :, row, column]
                    for row, i in of_row
                    for column, j in of_column
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
