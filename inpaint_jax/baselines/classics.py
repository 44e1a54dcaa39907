"""The fills that come with image libraries: what people reach for first.

Telea's fast marching and Navier-Stokes are OpenCV's, the biharmonic equation is
scikit-image's; both come with the extra ``competitors``.
"""

import numpy as np

from inpaint_jax.baselines.fill import HostFill, require

_RADIUS = 3
"""Of the neighbourhood, in pixels; OpenCV's own examples use it."""


def _telea(image: np.ndarray, hole: np.ndarray, seed: int) -> np.ndarray:
    return _opencv("INPAINT_TELEA", image, hole)


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
"""Telea, An image inpainting technique based on the fast marching method, 2004."""

navier_stokes_fill = HostFill(_navier_stokes, "cv2", "OpenCV")
"""Bertalmio et al., Navier-Stokes, fluid dynamics, and image and video inpainting,
2001."""

biharmonic_fill = HostFill(_biharmonic, "skimage", "scikit-image")
"""Damelin and Hoang, On surface completion and image inpainting by biharmonic
functions, 2018."""
