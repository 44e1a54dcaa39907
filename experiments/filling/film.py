"""Films of searches: how a hole fills, step by step."""

import io

import numpy as np
from PIL import Image

from experiments.filling.batches import Filled
from inpaint_jax import pixels

_SIDE = 256  # Least side in pixels.
_FIRST, _EACH, _LAST = 700, 60, 2000  # Milliseconds that a picture is shown.


def encode(filled: Filled) -> bytes:
    """An animated WebP, in a loop: the hole, the course of the search, the result.

    Args:
      filled: A frame that was filled, with its ``film``.
    """
    problem = filled.problem
    first = pixels.with_hole(problem.image, filled.mask)
    shown = [_enlarged(each) for each in [first, *filled.film, filled.completed]]
    durations = [_FIRST, *[_EACH] * len(filled.film), _LAST]
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
