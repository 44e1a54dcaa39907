"""Masks: which pixels of an image are known.

A mask is ``[H, W, 1]`` float32, 1 where the pixel is known and 0 where it is
missing, all channels together (``M`` in Yeh et al., 2017, section 3). Every function
here takes a PRNG key and a static ``(height, width)``, is pure, and can be jitted and
vmapped; the masks that involve no chance take the key as well, so that all are called
in the same way.

The four masks of section 4.1 are ``center``, ``pattern``, ``random80`` and ``half``.
"""

import functools
import re
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

MaskFunction = Callable[[jax.Array, tuple[int, int]], jax.Array]
"""A PRNG key and a static ``(height, width)`` to one mask ``[H, W, 1]``."""

# `pattern`: 3 cells of noise make 50 pixels, the 0.06 of Pathak et al.
_CELLS, _PIXELS = 3, 50
_BITS = 14  # Bits of the fixed-point noise and of the interpolation weights.
_THRESHOLD = 2 ** (2 * _BITS) // 4  # 0.25
# Coverage settles at 17 % as images grow: at 512 x 512 one crop in 400 is kept, at
# 768 x 768 hardly one in a million.
_MAX_PATTERN_PIXELS = 512 * 512


def center(key: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Central block missing: half the height by half the width, 25 % of the pixels.

    Args:
      key: A PRNG key, not used.
      size: Static ``(H, W)``; 64x64 loses rows and columns 16 to 47.

    Returns:
      ``[H, W, 1]`` float32, 1 = known, 0 = missing.
    """
    del key
    height, width = size
    first_row, first_column = (height - height // 2) // 2, (width - width // 2) // 2
    rows = slice(first_row, first_row + height // 2)
    columns = slice(first_column, first_column + width // 2)
    return _as_mask(jnp.ones(size, bool).at[rows, columns].set(False))


def top(key: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Upper half missing; with an odd height the middle row stays known.

    Args:
      key: A PRNG key, not used.
      size: Static ``(H, W)``.

    Returns:
      ``[H, W, 1]`` float32, 1 = known, 0 = missing.
    """
    del key
    height, width = size
    rows = jnp.arange(height)[:, None] >= height // 2
    return _as_mask(jnp.broadcast_to(rows, (height, width)))


def bottom(key: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Lower half missing: ``top`` upside down."""
    return top(key, size)[::-1]


def left(key: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Left half missing: ``top`` transposed."""
    height, width = size
    return top(key, (width, height)).transpose(1, 0, 2)


def right(key: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Right half missing: ``left`` mirrored."""
    return left(key, size)[:, ::-1]


def half(key: jax.Array, size: tuple[int, int]) -> jax.Array:
    """One of ``top``, ``bottom``, ``left`` and ``right`` missing, each equally likely.

    Args:
      key: A PRNG key, consumed.
      size: Static ``(H, W)``.

    Returns:
      ``[H, W, 1]`` float32, 1 = known, 0 = missing.
    """
    sides = jnp.stack([side(key, size) for side in (top, bottom, left, right)])
    return sides[jax.random.randint(key, (), 0, 4, jnp.int32)]


def random_pixels(key: jax.Array, size: tuple[int, int], missing: float) -> jax.Array:
    """Every pixel missing independently, with probability ``missing``.

    Args:
      key: A PRNG key, consumed.
      size: Static ``(H, W)``.
      missing: The probability, in [0, 1], that a pixel is *missing*.

    Returns:
      ``[H, W, 1]`` float32, 1 = known, 0 = missing.

    Raises:
      ValueError: If ``missing`` is not in [0, 1].
    """
    if not 0 <= missing <= 1:
        raise ValueError(f"missing must be a share from 0 to 1, got {missing}")
    return _as_mask(jax.random.uniform(key, size, jnp.float32) >= missing)


def any_pixels(key: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Every pixel missing independently, with a probability that is itself drawn.

    Args:
      key: A PRNG key, consumed.
      size: Static ``(H, W)``.

    Returns:
      ``[H, W, 1]`` float32, 1 = known, 0 = missing; every share of missing pixels from
      0 to 1 is equally likely.
    """
    key_share, key_pixels = jax.random.split(key)
    missing = jax.random.uniform(key_share, dtype=jnp.float32)
    return _as_mask(jax.random.uniform(key_pixels, size, jnp.float32) >= missing)


def box(key: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Rectangle missing, at any place inside the image.

    Args:
      key: A PRNG key, consumed.
      size: Static ``(H, W)``.

    Returns:
      ``[H, W, 1]`` float32, 1 = known, 0 = missing; the rectangle's sides are at
      least an eighth and less than three quarters of the image's.
    """

    def inside(key: jax.Array, length: int) -> jax.Array:
        key_side, key_start = jax.random.split(key)
        side = jax.random.randint(
            key_side, (), max(1, length // 8), 3 * length // 4, jnp.int32
        )
        start = jax.random.randint(key_start, (), 0, length - side + 1, jnp.int32)
        position = jnp.arange(length)
        return (position >= start) & (position < start + side)

    height, width = size
    key_rows, key_columns = jax.random.split(key)
    rows, columns = inside(key_rows, height), inside(key_columns, width)
    return _as_mask(~(rows[:, None] & columns[None]))


@functools.partial(jax.jit, static_argnames="size")
def pattern(key: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Smooth random blobs missing, between 20 % and 30 % of the pixels.

    Pathak et al. enlarge a small picture of uniform noise bicubically by 1/0.06 and
    take as missing what is below 0.25. They cut random crops out of the result and keep
    those with 20 % to 30 % missing (a crop loses 17 % on average). Only the crop is
    computed here; crops are drawn until one is kept.

    The interpolation is in integers, so that a key gives the same mask alone, in a
    batch and on every device: a rounding error at the threshold would flip a pixel.

    Args:
      key: A PRNG key, consumed.
      size: Static ``(H, W)``, at most 512x512 pixels.

    Returns:
      ``[H, W, 1]`` float32, 1 = known, 0 = missing; the share missing is strictly
      between 0.20 and 0.30.

    Raises:
      ValueError: If no crop of this size is ever kept (so few pixels that no share of
        them lies in between), or so few crops that drawing would not end.

    References:
      Pathak et al., `Context Encoders: Feature Learning by Inpainting
      <https://arxiv.org/abs/1604.07379>`_, 2016
    """
    height, width = size
    pixels = height * width
    if pixels > _MAX_PATTERN_PIXELS:
        raise ValueError(
            f"a pattern mask holds at most {_MAX_PATTERN_PIXELS} pixels (512x512), got "
            f"{height}x{width}: so large a crop hardly ever has 20 % to 30 % missing"
        )
    fewest = pixels // 5 + 1  # Above 20 %, in integers and so without rounding.
    most = -(-3 * pixels // 10) - 1  # Below 30 %.
    if fewest > most:
        raise ValueError(
            f"no mask of {height}x{width} pixels has more than 20 % and less than 30 % "
            "missing: a pattern mask needs more pixels"
        )

    def rejected(state: tuple[jax.Array, jax.Array]) -> jax.Array:
        _, known = state
        missing = jnp.sum(~known)
        return (missing < fewest) | (missing > most)

    def draw(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        key, noise_key, crop_key = jax.random.split(state[0], 3)
        cells = (_noise_cells(height), _noise_cells(width))
        noise = jax.random.randint(noise_key, cells, 0, 2**_BITS, jnp.int32)
        # The enlarged picture repeats its phase every 50 pixels, so all crops start in
        # one such stretch; the second stretch is clear of the border.
        corner = jax.random.randint(crop_key, (2,), _PIXELS, 2 * _PIXELS, jnp.int32)
        field = _enlarged_crop(noise, corner, size)
        return key, field >= _THRESHOLD

    # The start, with nothing missing, is rejected, so at least one crop is drawn.
    _, known = jax.lax.while_loop(rejected, draw, (key, jnp.ones(size, bool)))
    return _as_mask(known)


def mask_function(name: str) -> MaskFunction:
    """Returns the mask with this name.

    Args:
      name: One of ``MASK_NAMES``, or ``random<NN>`` with ``NN`` the per cent missing,
        1 to 99.

    Returns:
      A function from a PRNG key and a static ``(H, W)`` to a ``[H, W, 1]`` mask.

    Raises:
      ValueError: If there is no such mask.

    Examples:
      >>> mask_function("random80")(jax.random.key(0), (64, 64)).shape
      (64, 64, 1)
    """
    if name in _BY_NAME:
        return _BY_NAME[name]
    if match := re.fullmatch(r"random([1-9][0-9]?)", name):
        return functools.partial(random_pixels, missing=int(match[1]) / 100)
    raise ValueError(
        f"unknown mask {name!r}: use {', '.join(_BY_NAME)} or random<NN>, where NN is "
        "the per cent missing, 1 to 99"
    )


@functools.partial(jax.jit, static_argnames=("name", "size"))
def make_masks(name: str, keys: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Draws a batch of masks, one for each key.

    Args:
      name: As for ``mask_function``; static.
      keys: ``[B]`` PRNG keys, consumed. Each mask depends on its own key alone.
      size: Static ``(H, W)``.

    Returns:
      ``[B, H, W, 1]`` float32, 1 = known, 0 = missing.

    Raises:
      ValueError: If there is no such mask, or none of this size.
    """
    function = mask_function(name)
    return jax.vmap(lambda key: function(key, size))(keys)


def masks_in_turn(
    functions: Sequence[MaskFunction],
    key: jax.Array,
    count: int,
    size: tuple[int, int],
) -> jax.Array:
    """Draws masks of several kinds in turn, for networks to be trained on.

    Args:
      functions: The kinds.
      key: A PRNG key for all masks, consumed.
      count: Number of masks.
      size: Static ``(H, W)``.

    Returns:
      ``[count, H, W, 1]``, 1 = known, 0 = missing.
    """
    of_each = -(-count // len(functions))
    drawn = []
    for kind, function in enumerate(functions):
        keys = jax.random.split(jax.random.fold_in(key, kind), of_each)
        drawn.append(jax.vmap(lambda key, function=function: function(key, size))(keys))
    return jnp.stack(drawn, 1).reshape(-1, *size, 1)[:count]


_BY_NAME: dict[str, MaskFunction] = {
    "center": center,
    "pattern": pattern,
    "half": half,
    "top": top,
    "bottom": bottom,
    "left": left,
    "right": right,
}
MASK_NAMES = ("center", "pattern", "random80", "half", "top", "bottom", "left", "right")
"""All names but the other ``random<NN>``; the first four are the paper's masks."""


def _as_mask(known: jax.Array) -> jax.Array:
    """``[H, W]`` truth values as a ``[H, W, 1]`` float32 mask."""
    return known[:, :, None].astype(jnp.float32)


def _noise_cells(length: int) -> int:
    """Number of cells that make a picture with room for every crop of ``length``.

    A crop ends before pixel ``2 * 50 + length``, and the interpolation reaches two
    cells (34 pixels) further.
    """
    return _CELLS * -(-(2 * _PIXELS + length + 34) // _PIXELS)


def _keys_weights() -> tuple[np.ndarray, np.ndarray]:
    """Bicubic interpolation for each of the 50 phases of a pixel in its cells.

    Pixel ``X`` of the enlarged picture lies at ``(X + 1/2) 3/50 - 1/2`` cells.

    Returns:
      ``[50]`` the cell at or before the pixel, and ``[50, 4]`` the fixed-point weights
      of that cell's predecessor, itself and its two successors: Keys' kernel,
      a = -1/2.
    """
    position = (np.arange(_PIXELS) + 0.5) * _CELLS / _PIXELS - 0.5
    cell = np.floor(position).astype(np.int32)
    t = np.abs((position - cell)[:, None] - np.arange(-1, 3))
    near = 1.5 * t**3 - 2.5 * t**2 + 1
    far = -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    weights = np.where(t < 1, near, far)
    return cell, np.round(weights * 2**_BITS).astype(np.int32)


def _enlarged_crop(
    noise: jax.Array, corner: jax.Array, size: tuple[int, int]
) -> jax.Array:
    """A crop of the noise enlarged bicubically by 50/3.

    Args:
      noise: ``[m, n]`` int32 in [0, 2**14), the cells.
      corner: ``[2]`` int32, row and column of the enlarged picture where the crop
        starts.
      size: Static ``(H, W)`` of the crop, which keeps two cells away from the border.

    Returns:
      ``[H, W]`` int32, the picture's values times 2**28.
    """
    cells, weights = _keys_weights()

    def enlarge(values: jax.Array, start: jax.Array, length: int) -> jax.Array:
        # [m, n] -> [length, n], 2**14 times larger because of the weights.
        pixel = start + jnp.arange(length)
        cell = jnp.asarray(cells)[pixel % _PIXELS] + pixel // _PIXELS * _CELLS
        taps = values[cell[:, None] + jnp.arange(-1, 3)[None, :]]  # [length, 4, n]
        return jnp.sum(jnp.asarray(weights)[pixel % _PIXELS][:, :, None] * taps, axis=1)

    # Rows are rounded back to 14 bits: 28 bits and the overshoot then fit an int32.
    rows = (enlarge(noise, corner[0], size[0]) + 2 ** (_BITS - 1)) >> _BITS
    return enlarge(rows.T, corner[1], size[1]).T
