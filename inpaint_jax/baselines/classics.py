"""Fills of image libraries, which people try first.

Telea's fast marching method and Navier-Stokes are OpenCV's, the biharmonic equation is
scikit-image's; the extra ``competitors`` installs both libraries.
"""

import numpy as np

from inpaint_jax.baselines.fill import HostFill, require

_RADIUS = 3
"""Radius of the neighbourhood in pixels, as in OpenCV's own examples."""


def fill_by_telea(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Telea's fill of one picture of any size.

    Args:
      image: ``[H, W, 3]`` or ``[H, W, 1]`` uint8.
      hole: ``[H, W]`` bool.

    Raises:
      FillError: OpenCV is not installed.
    """
    return _opencv("INPAINT_TELEA", image, hole)


def _telea(image: np.ndarray, hole: np.ndarray, seed: int) -> np.ndarray:
    return fill_by_telea(image, hole)


def _navier_stokes(image: np.ndarray, hole: np.ndarray, seed: int) -> np.ndarray:
    return _opencv("INPAINT_NS", image, hole)


def _opencv(kind: str, image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    cv2 = require("cv2", "OpenCV")
    filled = cv2.inpaint(image, hole.astype(np.uint8), _RADIUS, getattr(cv2, kind))
    return np.asarray(filled)


def _biharmonic(image: np.ndarray, hole: np.ndarray, seed: int) -> np.ndarray:
    restoration = require("skimage.restoration", "scikit-image")
    filled = restoration.inpaint_biharmonic(image / 255, hole, channel_axis=-1)
    return np.asarray(np.rint(255 * np.clip(filled, 0, 1)), np.uint8)


telea_fill = HostFill(_telea, "cv2", "OpenCV")
"""Fast marching: Telea, An image inpainting technique based on the fast marching
method, 2004."""

navier_stokes_fill = HostFill(_navier_stokes, "cv2", "OpenCV")
"""Fluid dynamics: Bertalmio et al., Navier-Stokes, fluid dynamics, and image and video
inpainting, 2001."""

biharmonic_fill = HostFill(_biharmonic, "skimage", "scikit-image")
"""Biharmonic equation: Damelin and Hoang, On surface completion and image inpainting by
biharmonic functions, 2018."""
