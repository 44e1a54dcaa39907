"""Pixel values: 8 bits in files, [-1, 1] in networks."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def to_float(image: ArrayLike) -> np.ndarray:
    """Maps uint8 to float32 in [-1, 1], any shape. ``to_uint8`` is the inverse."""
    return np.asarray(image, np.float32) / np.float32(127.5) - np.float32(1)


def to_uint8(image: Any) -> np.ndarray:
    """Maps values in [-1, 1] to uint8, any shape, by clipping and rounding.

    Raises:
      ValueError: A value is not a number.
    """
    image = np.asarray(image, np.float32)
    if np.isnan(image).any():
        raise ValueError("the image holds values that are not numbers")
    return np.rint((image.clip(-1, 1) + 1) * np.float32(127.5)).astype(np.uint8)


def with_hole(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Images ``[..., H, W, 3]`` uint8, black where masks ``[..., H, W, 1]`` are 0."""
    return np.where(mask > 0.5, image, 0).astype(np.uint8)
