"""Pictures of where several answers differ."""

import functools

import numpy as np

_MOST = 48
"""Spread in levels of 8 bits that has the brightest colour, in all pictures."""


@functools.cache
def _colours() -> np.ndarray:
    """``[256, 3]`` uint8, from black over purple and red to yellow."""
    import matplotlib  # Here, as most runs need not wait for it.

    colours = matplotlib.colormaps["inferno"](np.arange(256), bytes=True)
    return np.asarray(colours)[:, :3]


def picture_of(
    completed: np.ndarray, missing: np.ndarray, spread: np.ndarray
) -> np.ndarray:
    """A completed picture in grey, the spread of the answers in colours in its hole.

    Args:
      completed: ``[H, W, 3]`` uint8.
      missing: ``[H, W]`` bool, the hole, without what the model did not fill: there
        the answers agree, and that says nothing.
      spread: ``[H, W]``, the standard deviation of the answers, in levels of 8 bits:
        black where all agree, yellow from 48 levels on.

    Returns:
      ``[H, W, 3]`` uint8.
    """
    picture = completed.mean(-1, keepdims=True).astype(np.uint8).repeat(3, -1)
    shares = (spread[missing] / _MOST).clip(0, 1)
    picture[missing] = _colours()[np.rint(255 * shares).astype(np.uint8)]
    return picture
