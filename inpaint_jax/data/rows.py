"""Images of a data set that is larger than the memory should be."""

from collections.abc import Iterator
from typing import Any

import numpy as np


class Rows:
    """Some images of a memory map, read from the disk when they are asked for.

    Args:
      images: ``[M, S, S, 3]`` uint8, all images.
      rows: ``[N]``, which of them, in ascending order.
    """

    def __init__(self, images: np.ndarray, rows: np.ndarray):
        self._images, self._rows = images, rows
        self.shape = (len(rows), *images.shape[1:])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: Any) -> np.ndarray:
        return np.asarray(self._images[self._rows[rows]])

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        del copy  # It is one already.
        return np.asarray(self[:], dtype)


def chunks(images: np.ndarray | Rows, count: int = 4096) -> Iterator[np.ndarray]:
    """All images in their order, at most ``count`` in memory at a time."""
    for start in range(0, len(images), count):
        yield images[start : start + count]
