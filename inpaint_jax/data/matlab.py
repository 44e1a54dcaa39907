"""MATLAB files: the digits of SVHN and the boxes of Stanford Cars, by SciPy."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from inpaint_jax.data.files import DataError

_MOST_DIGITS = 600_000  # Of 3 kB each. The largest file, extra, has 531,131.
_MOST_BYTES = 64 << 20  # Annotations take less than 1 MB.
_HEADER, _COMPRESSED = 128, 15  # Bytes before the first element; a type of element.

T = TypeVar("T")


def count_digits(path: str) -> int:
    """The number of digits in a file of SVHN; none of them is read.

    Args:
      path: ``train_32x32.mat``, or another of that format.

    Raises:
      DataError: The file is damaged, or holds something else.
    """
    import scipy.io  # Here, as it takes longer to import than most programs need.

    variables = _guarded(path, lambda: scipy.io.whosmat(path))
    shapes = {name: (shape, kind) for name, shape, kind in variables}
    shape, kind = shapes.get("X", ((), ""))
    if len(shape) != 4 or shape[:3] != (32, 32, 3) or kind != "uint8":
        raise DataError(f"{path}: has no X of 32x32x3xN bytes, as SVHN's files have")
    if not 0 < shape[3] <= _MOST_DIGITS:
        raise DataError(f"{path}: {shape[3]} digits are not what SVHN has")
    return int(shape[3])


def read_digits(path: str) -> np.ndarray:
    """The digits of a file of SVHN.

    Returns:
      ``[32, 32, 3, N]`` uint8.

    Raises:
      DataError: As for ``count_digits``.
    """
    import scipy.io

    count = count_digits(path)
    read = _guarded(path, lambda: scipy.io.loadmat(path, variable_names=["X"])["X"])
    digits = np.asarray(read)
    if digits.shape != (32, 32, 3, count) or digits.dtype != np.uint8:
        raise DataError(f"{path}: damaged: download it again")
    return digits


def read_boxes(
    path: str, data: bytes | None = None
) -> dict[str, tuple[float, float, float, float]]:
    """The bounding boxes of Stanford Cars.

    Args:
      path: ``cars_train_annos.mat``, or another of that format; with ``data`` only a
        name for messages.
      data: The file's content, if it is not to be read from ``path``.

    Returns:
      By file name of the picture, ymin, xmin, ymax and xmax in pixels.

    Raises:
      DataError: The file is damaged, or holds something else.
    """
    import scipy.io

    if data is None:
        data = _guarded(path, lambda: _read_small(path))
    _guarded(path, lambda: _check_unpacked(data))
    found = _guarded(path, lambda: scipy.io.loadmat(io.BytesIO(data), squeeze_me=True))
    names = ("bbox_y1", "bbox_x1", "bbox_y2", "bbox_x2")
    try:
        rows = np.atleast_1d(found["annotations"])
        return {
            str(row["fname"]): tuple(float(row[name]) for name in names)  # type: ignore[misc]
            for row in rows
        }
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise DataError(
            f"{path}: has no annotations with bbox_x1, bbox_y1, bbox_x2, bbox_y2 and "
            "fname, as those of Stanford Cars have"
        ) from error


def _read_small(path: str) -> bytes:
    with Path(path).open("rb") as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise ValueError(f"more than {_MOST_BYTES} bytes")
    return data


def _check_unpacked(data: bytes) -> None:
    """Refuses a file whose elements are many times as large when unpacked."""
    left, at = _MOST_BYTES, _HEADER
    order = "<" if data[126:128] == b"IM" else ">"
    while at + 8 <= len(data):
        kind, length = struct.unpack_from(f"{order}II", data, at)
        if kind == _COMPRESSED:
            packed = data[at + 8 : at + 8 + length]
            left -= len(zlib.decompressobj().decompress(packed, left + 1))
            if left < 0:
                raise ValueError(f"more than {_MOST_BYTES} bytes when unpacked")
        at += 8 + length


def _guarded(path: str, read: Callable[[], T]) -> T:
    """Calls a function; whatever it raises becomes a ``DataError``."""
    try:
        return read()
    except Exception as error:  # SciPy's readers raise nearly every kind.
        reason: Any = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise DataError(
            f"{path}: not a readable .mat file ({reason or type(error).__name__}): "
            "download it again"
        ) from error
