"""Meaning of masks: which pixels of a picture are missing.

The meaning of a mask is decided from the file itself. The first kind that fits counts:

- the very picture that it belongs to: its transparent pixels are missing;
- transparency that varies: it is the mask, and colour does not count. Where at least
  half of the layer is painted, it is a picture (or a black sheet) in which the hole was
  erased: what is not opaque is missing. Where less than a third is painted, in one
  colour, it is a hole painted on an empty layer: what is painted is missing;
- greys of two values, one of them 0 (0 and 1, 0 and 255, 0 and 65535, a single label):
  the other one is white;
- black and white, of 8 bits, 16, 32 or floats, in grey, colours or a palette, with a
  little noise: white is missing, cut at half grey.

Anything else is refused, and the message says what would be right.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from inpaint_jax.data.decoding import Decoded, PictureLike, decoded
from inpaint_jax.data.files import ImageError, Picture
from inpaint_jax.data.opening import FileLike

# A quarter of the range at either end is near black or near white. It includes the
# noise of JPEG, even at quality 30, and the 16 and 235 of video.
_NEAR = 63
_ONE_COLOUR = 32  # Greatest distance of a brush's pixels from their typical colour.
_OTHERS = 0.02  # Greatest share of neither black nor white: edges drawn smoothly.
# Encoders leave this much noise in transparency.
_CLEAR, _OPAQUE = 5, 250
_FEW = 24  # Greatest number of values in a label image.
_LOSSY = frozenset(["JPEG", "MPO", "WEBP", "AVIF", "HEIF", "JPEG2000"])
_RIGHT = "paint the hole white and all else black, or erase it to transparency"


def read_missing(
    mask: PictureLike,
    *,
    image_size: tuple[int, int] | None = None,
    known: str = "black",
) -> np.ndarray:
    """Reads which pixels of a picture are missing, by the rules of this module.

    A mask of another size than its picture, but of the same aspect ratio, is resized: a
    pixel is missing if any part of it is.

    Args:
      mask: A file, a PIL image, or an array of bool or whole numbers, ``[H, W]``,
        ``[H, W, 1]``, ``[H, W, 3]``, or ``[H, W, 4]`` with the transparency.
      image_size: Height and width of the picture; None: the mask's own.
      known: Colour of known pixels, ``black`` or ``white``.

    Returns:
      ``[H, W]`` bool, True where missing.

    Raises:
      ImageError: The mask cannot be read, is neither transparent nor black and white,
        or has another aspect ratio than its picture; the line says what would be right.
    """
    if known not in ("black", "white"):
        raise ImageError(f"known={known!r}: give black or white")
    only_alpha = isinstance(mask, Picture) and mask.only_alpha
    if isinstance(mask, FileLike | Image.Image):
        with decoded(mask) as found:
            missing = _missing(_of_image(found), known, only_alpha)
            return _fitted(missing, image_size)
    try:
        return _fitted(_missing(_of_array(np.asarray(mask)), known), image_size)
    except ImageError as error:
        raise ImageError(f"the mask: {error}") from error


class _Pixels(NamedTuple):
    """Content of a mask's file.

    Attributes:
      values: ``[H, W]`` greys of any type, or ``[H, W, 3]`` uint8.
      alpha: ``[H, W]`` uint8, 255 = opaque; None: all opaque.
      lossy: Whether values may be a little off.
      upper_bits: Whether the decoder lost values below 256.
    """

    values: np.ndarray
    alpha: np.ndarray | None = None
    lossy: bool = False
    upper_bits: bool = False


def _of_image(found: Decoded) -> _Pixels:
    image, lossy = found.image, found.format in _LOSSY
    alpha = None
    if image.mode[0] in "IF":
        values = np.asarray(image)
        if "transparency" in image.info:
            clear = values == image.info["transparency"]
            alpha = np.where(clear, 0, 255).astype(np.uint8)
        return _Pixels(values, alpha, lossy)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = np.asarray(image.getchannel("A"))
    image = image.convert("L" if image.mode in ("1", "L") else "RGB")
    return _Pixels(np.asarray(image), alpha, lossy, found.sixteen_bit_colours)


def _of_array(array: np.ndarray) -> _Pixels:
    flat = array[..., 0] if array.shape[2:] == (1,) else array
    colours = flat.ndim == 3 and flat.shape[2] in (3, 4) and flat.dtype == np.uint8
    if flat.dtype == bool:
        flat = flat.astype(np.uint8)
    if flat.dtype.kind not in "iu" or not flat.size or not (flat.ndim == 2 or colours):
        raise ImageError(
            f"{array.dtype} {list(array.shape)} is not a mask: give bool"
            " or uint8 [H, W], True or 255 where missing"
        )
    if flat.ndim == 3 and flat.shape[2] == 4:
        return _Pixels(flat[..., :3], flat[..., 3])
    return _Pixels(flat)


def _missing(pixels: _Pixels, known: str, only_alpha: bool = False) -> np.ndarray:
    """``[H, W]`` bool."""
    alpha = pixels.alpha
    if alpha is not None and alpha.max() > _CLEAR and np.ptp(alpha) <= _CLEAR:
        alpha = None  # Constant transparency distinguishes no pixels.
    if only_alpha and alpha is None:
        raise ImageError(
            "a picture is its own mask by its transparency alone, and has none: erase"
            " the hole, or put a mask beside it (a_mask.png for a.png)"
        )
    if alpha is not None and known == "white":
        raise ImageError(
            "its transparency is the mask, whatever the colour of what is known: leave"
            " mask_known=white out"
        )
    if alpha is not None and only_alpha:
        return alpha < _OPAQUE
    if alpha is not None:
        return _missing_by_alpha(alpha, pixels.values)
    white = _white(pixels)
    return white if known == "black" else ~white


def _missing_by_alpha(alpha: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The pixels ``[H, W]`` that were erased from a layer or painted on it."""
    painted = alpha > _CLEAR
    share = painted.mean()
    if not share:
        raise ImageError(f"all of it is transparent: {_RIGHT}")
    colours = _to_255(values)[alpha > min(127, alpha.max() - 1)]
    colours = colours.reshape(len(colours), -1).astype(np.int16)
    typical = np.median(colours, axis=0)
    one_colour = (abs(colours - typical) <= _ONE_COLOUR).all(-1).mean() >= 1 - _OTHERS
    black = (colours <= _NEAR).all(-1).mean()
    white = (colours >= 255 - _NEAR).all(-1).mean()
    if share >= 1 / 2:
        if black + white >= 1 - _OTHERS and white > _OTHERS:
            raise ImageError(
                "it is white as well as transparent, and either could be the hole:"
                f" {_RIGHT}"
            )
        if one_colour and black < 1 - _OTHERS:
            raise ImageError(
                "one colour covers most of it, and either that or the rest could be"
                f" the hole: {_RIGHT}"
            )
        return alpha < _OPAQUE
    if share < 1 / 3 and one_colour:
        return painted
    raise ImageError(
        f"{100 * (1 - share):.1f} % of it is transparent, and either that or the rest"
        f" could be the hole: {_RIGHT}"
    )


def _white(pixels: _Pixels) -> np.ndarray:
    """The white pixels ``[H, W]`` of a black and white mask."""
    values = pixels.values
    if values.ndim == 3 and (values == values[..., :1]).all():
        values = values[..., 0]
    if values.ndim == 3:
        return _white_of_colours(values)
    if not np.isfinite(values).all() or values.min() < 0:
        raise ImageError("it holds negative values or such as are no numbers")
    levels, counts = np.unique(values, return_counts=True)
    if levels.max() == 0:
        if pixels.upper_bits:
            raise ImageError(
                "its colours have 16 bits, of which the upper 8 are all black: write it"
                " with 8 bits"
            )
        return np.zeros(values.shape, bool)
    if len(levels) == 1 and levels[0] in (1, *_WHITES):
        return np.ones(values.shape, bool)
    if len(levels) == 2 and levels[0] == 0 and not pixels.lossy:
        return values > 0
    grey, most = _to_255(values), _to_255(levels)
    _check_black_and_white(grey <= _NEAR, grey >= 255 - _NEAR)
    common = (most <= _NEAR) & (counts > _OTHERS * values.size)
    if len(levels) <= _FEW and common.sum() > 1 and not pixels.lossy:
        few = ", ".join(f"{level:g}" for level in levels[common][:3])
        raise ImageError(f"its values {few} are labels of more than one kind: {_RIGHT}")
    return grey >= 128


def _white_of_colours(values: np.ndarray) -> np.ndarray:
    black, white = values.max(-1) <= _NEAR, values.min(-1) >= 255 - _NEAR
    _check_black_and_white(black, white)
    return np.asarray(Image.fromarray(values).convert("L")) >= 128


def _check_black_and_white(black: np.ndarray, white: np.ndarray) -> None:
    """Checks that nearly all pixels, ``[H, W]`` bool, are black or white.

    Raises:
      ImageError: They are not.
    """
    others = np.count_nonzero(~(black | white)) / black.size
    if others > _OTHERS:
        raise ImageError(
            f"{100 * others:.1f} % of its pixels are neither black nor white: {_RIGHT}"
        )
    if not white.any():
        raise ImageError(f"it is dark all over, but not black: {_RIGHT}")


_WHITES = (255, 65535, 2**31 - 1)


def _to_255(values: np.ndarray) -> np.ndarray:
    """Values of 16 bits, 32 bits or floats, none negative, scaled to 0..255."""
    if values.dtype == np.uint8:
        return values
    whites = (1, *_WHITES) if values.dtype.kind == "f" else _WHITES
    high = values.max()
    white = next((white for white in whites if high <= white), high)
    return values * np.float32(255 / white)


# --- sizes -------------------------------------------------------------------


def _fitted(missing: np.ndarray, image_size: tuple[int, int] | None) -> np.ndarray:
    """A mask at its picture's size; a pixel is missing if any part of it is."""
    if image_size is None or missing.shape == tuple(image_size):
        return missing
    if not (_scaled(missing.shape, image_size) or _scaled(image_size, missing.shape)):
        (height, width), (rows, columns) = missing.shape, image_size
        raise ImageError(
            f"{width}x{height} pixels do not fit the picture's {columns}x{rows}: give a"
            " mask of that size, or of that shape"
        )
    for axis, length in enumerate(image_size):
        missing = _any_of(missing, length, axis)
    return missing


def _scaled(size: Sequence[int], other: Sequence[int]) -> bool:
    """Whether ``other`` is ``size`` times one factor, up to rounding of each side."""
    least = max((b - 1) / a for a, b in zip(size, other, strict=True))
    most = min((b + 1) / a for a, b in zip(size, other, strict=True))
    return least < most


def _any_of(missing: np.ndarray, length: int, axis: int) -> np.ndarray:
    """Resizes an axis: a new pixel is true if any old one that it touches is true."""
    old = missing.shape[axis]
    new = np.arange(length)
    first, stop = new * old // length, -(-(new + 1) * old // length)
    block = -(-old // length)
    if -(-old // block) == length:
        # The picture may have been shrunk by whole blocks, with a smaller last one.
        stop = np.minimum(np.maximum(stop, (new + 1) * block), old)
    result = np.logical_or.reduceat(missing, first, axis=axis)
    following = np.append(first[1:], old)  # Where each segment of reduceat ends.
    for more in range((stop - following).max()):
        extra = np.minimum(following + more, stop - 1)
        result |= missing.take(extra, axis=axis)
    return result
