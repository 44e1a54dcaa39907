"""Films of searches: how a hole fills, step by step."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

_SHOWN = 48  # Iterates.
_SIDE = 256  # Least side in pixels.
# Milliseconds that the hole is shown, the whole course of the search, and the result.
_HOLE, _COURSE, _RESULT = 700, 3000, 2000


def iterates(steps: int) -> np.ndarray:
    """The iterates to show, of ``steps`` + 1: most are from the beginning."""
    shares = np.linspace(0, 1, _SHOWN) ** 2
    return np.unique(np.rint(shares * steps).astype(int))


def encode(
    masked: np.ndarray, course: Sequence[np.ndarray], completed: np.ndarray
) -> bytes:
    """An animated WebP, in a loop: the hole, the course of the search, the result.

    Args:
      masked: ``[S, S, 3]`` uint8.
      course: ``[S, S, 3]`` uint8 each, completed images at iterates of the search; at
        least one.
      completed: ``[S, S, 3]`` uint8.
    """
    shown = [_enlarged(each) for each in [masked, *course, completed]]
    # Few iterates are each shown for longer, so that one can watch short searches, too.
    each = _COURSE // len(course)
    durations = [_HOLE, *[each] * len(course), _RESULT]
    file = io.BytesIO()
    shown[0].save(
        file,
        "WEBP",
        save_all=True,
        append_images=shown[1:],
        duration=durations,
        loop=0,
        quality=90,
    )
    return file.getvalue()


def _enlarged(image: np.ndarray) -> Image.Image:
    side = len(image) * -(-_SIDE // len(image))
    return Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)
