"""What lies outside all frames is filled by a classic, at a photograph's own size."""

import importlib.util

import numpy as np

from inpaint_jax.baselines.classics import fill_by_telea

WAYS = ("telea", "harmonic", "leave")
"""Ways to fill; ``leave`` leaves it as it is."""


def default() -> str:
    """Telea's where OpenCV is installed, and otherwise the harmonic fill."""
    return "harmonic" if importlib.util.find_spec("cv2") is None else "telea"


def fill(picture: np.ndarray, hole: np.ndarray, way: str) -> np.ndarray:
    """A picture with its hole filled by one of ``WAYS``.

    Args:
      picture: ``[H, W, C]`` float32, in levels from 0 to 255, of 1 or 3 channels.
      hole: ``[H, W]`` bool.
      way: How.

    Returns:
      ``[H, W, C]`` float32; ``picture`` bit for bit outside the hole.

    Raises:
      FillError: OpenCV is not installed and ``way`` is ``telea``.
    """
    if way == "leave" or not hole.any():
        return picture
    if way == "harmonic":
        from inpaint_jax.photographs import seams  # Here, as it brings SciPy along.

        return seams.membrane(picture, hole)
    eight = np.rint(picture.clip(0, 255)).astype(np.uint8)
    filled = fill_by_telea(eight, hole).reshape(picture.shape)
    return np.where(hole[..., None], filled.astype(np.float32), picture)
