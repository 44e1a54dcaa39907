"""Frames: where a model's square lies in a photograph, and the way there and back."""

import dataclasses
import math
import re
from collections.abc import Sequence

import numpy as np
from PIL import Image

from inpaint_jax.data import images
from inpaint_jax.data.files import ImageError

Window = tuple[slice, slice]
"""Rows and columns of a photograph."""


@dataclasses.dataclass(frozen=True)
class Frame:
    """A parallelogram in a photograph that is seen by a model as its square.

    Places in a photograph are in pixels, x to the right and y down, from the upper left
    corner: the first pixel reaches from 0 to 1. Places in the frame are shares of its
    sides, u to the right and v down.

    Attributes:
      corner: x and y of the frame's upper left corner.
      across: x and y of the way along the frame's upper side.
      down: x and y of the way along its left side.
    """

    corner: tuple[float, float]
    across: tuple[float, float]
    down: tuple[float, float]

    @classmethod
    def of_window(cls, window: Window) -> "Frame":
        """The frame of some rows and columns, aspect ratio not kept."""
        rows, columns = window
        width, height = columns.stop - columns.start, rows.stop - rows.start
        corner = float(columns.start), float(rows.start)
        return cls(corner, (float(width), 0.0), (0.0, float(height)))

    @classmethod
    def of_points(cls, places: np.ndarray, points: np.ndarray) -> "Frame":
        """The square frame in which points lie as nearly as can be at given places.

        The similarity (shift, turn and scale, but no reflection) of least squares.

        Args:
          places: ``[N, 2]``, u and v of N points in the frame, not all the same.
          points: ``[N, 2]``, their x and y in the photograph.

        References:
          Umeyama, Least-squares estimation of transformation parameters between two
          point patterns, IEEE TPAMI, 1991
        """
        # In the plane of complex numbers a similarity is z -> turn * z + shift.
        z = places[:, 0] + 1j * places[:, 1]
        w = points[:, 0] + 1j * points[:, 1]
        centred = z - z.mean()
        turn = complex(np.vdot(centred, w - w.mean()) / np.vdot(centred, centred))
        shift = complex(w.mean() - turn * z.mean())
        across, down = (turn.real, turn.imag), (-turn.imag, turn.real)
        return cls((shift.real, shift.imag), across, down)

    @property
    def window(self) -> Window | None:
        """The rows and columns that the frame consists of, or None for another."""
        x, y = self.corner
        width, height = self.across[0], self.down[1]
        numbers = (x, y, width, height)
        if self.across[1] or self.down[0] or any(n != round(n) for n in numbers):
            return None
        rows = slice(round(y), round(y + height))
        return rows, slice(round(x), round(x + width))

    def places(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """u and v of places in the photograph, arrays of any shape."""
        (a, d), (b, e) = self.across, self.down
        x, y = x - self.corner[0], y - self.corner[1]
        area = a * e - b * d
        return (e * x - b * y) / area, (a * y - d * x) / area

    def points(self, places: np.ndarray) -> np.ndarray:
        """x and y ``[N, 2]`` of places ``[N, 2]`` in the frame."""
        matrix = np.array([self.across, self.down])
        return np.asarray(places @ matrix + np.array(self.corner))

    def around(self, shape: Sequence[int], margin: int = 0) -> Window:
        """The rows and columns of a photograph of this shape that the frame reaches."""
        corners = self.points(np.array([[0, 0], [1, 0], [0, 1], [1, 1]], float))
        spans = []
        for axis, length in ((1, shape[0]), (0, shape[1])):
            start = math.floor(corners[:, axis].min()) - margin
            stop = math.ceil(corners[:, axis].max()) + margin
            start = min(max(start, 0), length - 1)
            spans.append(slice(start, max(min(stop, length), start + 1)))
        return spans[0], spans[1]


def parse(given: str) -> str | tuple[int, int, int, int]:
    """``auto``, ``face``, ``center`` or ``whole`` as it is; ``x,y,w,h`` as numbers.

    Raises:
      ImageError: It is anything else.
    """
    if given in ("auto", "face", "center", "whole"):
        return given
    found = re.fullmatch(r"(\d+),(\d+),([1-9]\d*),([1-9]\d*)", given, re.ASCII)
    if found is None:
        raise ImageError(
            f"frame {given!r}: give auto, face, center, whole, or x,y,w,h in pixels"
        )
    x, y, width, height = map(int, found.groups())
    return x, y, width, height


def rectangle(numbers: tuple[int, int, int, int], shape: Sequence[int]) -> Frame:
    """The frame of x, y, width and height in pixels of a photograph of ``shape``.

    Raises:
      ImageError: It does not lie within the photograph.
    """
    x, y, width, height = numbers
    if x + width > shape[1] or y + height > shape[0]:
        raise ImageError(
            f"the frame {x},{y},{width},{height} does not lie within the picture's "
            f"{shape[1]}x{shape[0]}"
        )
    return Frame.of_window((slice(y, y + height), slice(x, x + width)))


def cut(
    picture: np.ndarray, missing: np.ndarray, frame: Frame, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """What a model sees of a photograph.

    A frame of whole rows and columns is resized as ``images.crop_and_resize`` and
    ``images.crop_mask`` do it. In any other a pixel is the mean of what is known of its
    area in the photograph, and known if that is at least half: so thin scratches in a
    large face hide little of it, and no colour comes from inside the hole.

    Args:
      picture: ``[H, W, 3]`` uint8.
      missing: ``[H, W]`` bool.
      frame: The frame; what of it lies outside the photograph is missing.
      size: Side S of the result.

    Returns:
      ``[S, S, 3]`` uint8, and ``[S, S, 1]`` float32: 1 where known, 0 where missing.
    """
    window = frame.window
    if window is not None:
        shown = images.crop_and_resize(picture[window], crop="none", size=size)
        return shown, images.crop_mask(missing[window], crop="none", size=size)
    around = frame.around(picture.shape, margin=2)
    rows, columns = around
    sides = math.hypot(*frame.across), math.hypot(*frame.down)
    finer = max(1, math.ceil(max(sides) / size))
    known = ~missing[around]
    (a, d), (b, e), (c, f) = frame.across, frame.down, frame.corner
    scale = size * finer
    matrix = (
        *(a / scale, b / scale, c - columns.start),
        *(d / scale, e / scale, f - rows.start),
    )

    def means(channel: np.ndarray) -> np.ndarray:
        turned = Image.fromarray(channel.astype(np.float32)).transform(
            (scale, scale),
            Image.Transform.AFFINE,
            matrix,
            Image.Resampling.BILINEAR,
        )
        blocks = np.asarray(turned).reshape(size, finer, size, finer)
        return np.asarray(blocks.mean(axis=(1, 3)))

    share = means(known)
    seen = [means(known * picture[around][..., channel]) for channel in range(3)]
    shown = np.stack(seen, axis=-1) / np.maximum(share, 1e-3)[..., None]
    mask = (share >= 0.5).astype(np.float32)[..., None]
    return np.rint(shown).clip(0, 255).astype(np.uint8), mask


def lay(square: np.ndarray, frame: Frame, window: Window) -> np.ndarray:
    """A model's image as it lies in a photograph, interpolated bicubically.

    Args:
      square: ``[S, S, 3]`` uint8.
      frame: The frame.
      window: Rows and columns of the photograph. Near the frame its edge goes on
        outside.

    Returns:
      ``[rows, columns, 3]`` float32, in levels from 0 to 255.
    """
    size = len(square)
    rows, columns = window
    height, width = rows.stop - rows.start, columns.stop - columns.start
    if frame.window == window and square.shape[:2] == (height, width):
        return square.astype(np.float32)
    margin = size // 3  # Around a frame that is turned there are corners.
    wider = np.pad(square, ((margin, margin), (margin, margin), (0, 0)), "edge")
    u, v = frame.places(
        np.array([columns.start, columns.start + 1, columns.start], float),
        np.array([rows.start, rows.start, rows.start + 1], float),
    )
    u, v = size * u + margin, size * v + margin
    matrix = (u[1] - u[0], u[2] - u[0], u[0], v[1] - v[0], v[2] - v[0], v[0])
    channels = [
        np.asarray(
            Image.fromarray(wider[..., channel].astype(np.float32)).transform(
                (width, height),
                Image.Transform.AFFINE,
                matrix,
                Image.Resampling.BICUBIC,
            )
        )
        for channel in range(3)
    ]
    return np.stack(channels, axis=-1)


def hole_of(mask: np.ndarray, frame: Frame, shape: Sequence[int]) -> np.ndarray:
    """The pixels of a photograph whose middles lie in missing pixels of a frame.

    Args:
      mask: ``[S, S, 1]``, 1 = known, 0 = missing.
      frame: The frame.
      shape: Height and width of the photograph.

    Returns:
      ``[H, W]`` bool, True where missing.
    """
    rows, columns = frame.around(shape)
    x = np.arange(columns.start, columns.stop) + 0.5
    y = np.arange(rows.start, rows.stop) + 0.5
    u, v = (len(mask) * each for each in frame.places(x[None], y[:, None]))
    inside = (u >= 0) & (u < len(mask)) & (v >= 0) & (v < len(mask))
    known = np.ones(u.shape, bool)
    known[inside] = mask[v[inside].astype(int), u[inside].astype(int), 0] > 0.5
    hole = np.zeros((shape[0], shape[1]), bool)
    hole[rows, columns] = ~known
    return hole


def owners(frames: Sequence[Frame], missing: np.ndarray) -> np.ndarray:
    """The frame that each missing pixel is filled from.

    Args:
      frames: The frames.
      missing: ``[H, W]`` bool, N pixels.

    Returns:
      ``[N]`` int: of the frames in which a pixel lies, the number of the one in whose
      middle it lies most; -1 where it lies in none.
    """
    rows, columns = np.nonzero(missing)
    best = np.full(len(rows), 0.5, np.float32)
    owner = np.full(len(rows), -1, np.int16)
    for number, frame in enumerate(frames):
        u, v = frame.places(
            columns.astype(np.float32) + np.float32(0.5),
            rows.astype(np.float32) + np.float32(0.5),
        )
        distance = np.maximum(np.abs(u - 0.5), np.abs(v - 0.5))
        nearer = distance < best
        owner[nearer], best[nearer] = number, distance[nearer]
    return owner


def within(frames: Sequence[Frame], missing: np.ndarray) -> np.ndarray:
    """The missing pixels that lie in any frame, ``[H, W]`` bool; as for ``owners``."""
    inside = missing.copy()
    inside[missing] = owners(frames, missing) >= 0
    return inside
