"""Films of searches: how a hole fills, step by step."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

_SHOWN = 48  # Iterates.
_SIDE = 256  # Least side in pixels.
_FIRST, _EACH, _LAST = 700, 60, 2000  # Milliseconds that a picture is shown.


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
      course: ``[S, S, 3]`` uint8 each, completed images at iterates of the search.
      completed: ``[S, S, 3]`` uint8.
    """
    shown = [_enlarged(each) for each in [masked, *course, completed]]
    durations = [_FIRST, *[_EACH] * len(course), _LAST]
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
