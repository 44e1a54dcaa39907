"""The completed frames of a photograph are put back into it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from inpaint_jax.photographs import outside
from inpaint_jax.photographs.frames import Frame, Window, lay, owners
from inpaint_jax.photographs.photograph import Photograph

_MARGIN = 8  # Known pixels around a hole that fills look at.


class Composed(NamedTuple):
    """A photograph whose hole is filled.

    Attributes:
      image: The picture, upright, in the mode of the given one.
      outside: The share of its missing pixels that lies outside all frames, in [0, 1].
    """

    image: Image.Image
    outside: float


def compose(
    photograph: Photograph,
    missing: np.ndarray,
    frames: Sequence[Frame],
    completed: Sequence[np.ndarray],
    *,
    way: str,
    opaque: bool = False,
) -> Composed:
    """Fills the hole of a photograph from frames in which it is filled.

    A missing pixel takes the gradients of the frame in whose middle it lies most, and
    the colours of the known pixels around (eq. 6, at the size of the photograph). Then
    what lies outside all frames is filled, from these and from the known pixels. These
    stay as they are, bit for bit.

    Args:
      photograph: The photograph.
      missing: ``[H, W]`` bool.
      frames: The frames.
      completed: ``[S, S, 3]`` uint8 each, what they hold.
      way: How to fill what lies outside, one of ``outside.WAYS``.
      opaque: Whether what is filled is no longer transparent.

    Raises:
      FillError: A library that ``way`` needs is not installed.
      ImageError: Pillow cannot make colours of the photograph's mode.
    """
    from inpaint_jax.photographs import seams  # Here, as it brings SciPy along.

    if not missing.any():
        return Composed(photograph.image, 0.0)
    window = _around(missing, _MARGIN)
    hole = missing[window]
    levels = photograph.colours(window)
    rows, columns = window
    owner = np.full(hole.shape, -1, np.int16)
    owner[hole] = owners([_moved(each, window) for each in frames], hole)
    rest = hole.copy()
    for number, (frame, square) in enumerate(zip(frames, completed, strict=True)):
        own = owner == number
        if not own.any():
            continue
        part = _around(own, 1)
        there = slice(*(part[0].start + rows.start, part[0].stop + rows.start))
        here = slice(*(part[1].start + columns.start, part[1].stop + columns.start))
        laid = photograph.as_channels(lay(square, frame, (there, here)))
        # The rest of the hole counts as missing as well: there is no seam to it.
        correction = seams.membrane(levels[part] - laid, rest[part])
        inner = own[part]
        levels[part][inner] = (laid + correction)[inner].clip(0, 255)
        rest &= ~own
    share = float(np.count_nonzero(rest) / np.count_nonzero(hole))
    levels = outside.fill(levels, rest, way)
    if way == "leave":
        hole &= ~rest
    image = photograph.filled(window, hole, levels, opaque=opaque)
    return Composed(image, share)


def laid_spread(
    missing: np.ndarray, frames: Sequence[Frame], spreads: Sequence[np.ndarray]
) -> np.ndarray:
    """How far the answers to a photograph's hole are from each other.

    Args:
      missing: ``[H, W]`` bool.
      frames: The frames.
      spreads: ``[S, S, 1]`` each, the spread of the answers in a frame.

    Returns:
      ``[H, W]`` float32, in the units of ``spreads``; 0 on known pixels, and outside
      all frames, where there is only one answer.
    """
    laid = np.zeros(missing.shape, np.float32)
    owner = np.full(missing.shape, -1, np.int16)
    owner[missing] = owners(frames, missing)
    for number, (frame, spread) in enumerate(zip(frames, spreads, strict=True)):
        own = owner == number
        if own.any():
            part = _around(own, 0)
            inner = own[part]
            there = lay(spread.repeat(3, -1), frame, part)[..., 0]
            laid[part][inner] = there[inner].clip(min=0)
    return laid


def _around(mask: np.ndarray, margin: int) -> Window:
    """The rows and columns of the true pixels, and so many around them."""
    spans = []
    for axis in (1, 0):
        (places,) = np.nonzero(mask.any(axis=axis))
        start, stop = places[0] - margin, places[-1] + 1 + margin
        spans.append(slice(max(0, int(start)), min(int(stop), mask.shape[1 - axis])))
    return spans[0], spans[1]


def _moved(frame: Frame, window: Window) -> Frame:
    """A frame in pixels of a window."""
    x, y = frame.corner
    corner = x - window[1].start, y - window[0].start
    return Frame(corner, frame.across, frame.down)
