"""A photograph as it is in its file: mode, size, orientation, profile, transparency."""

import io
import types
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from inpaint_jax.data import decoding
from inpaint_jax.data.decoding import PictureLike
from inpaint_jax.data.files import ImageError
from inpaint_jax.photographs.frames import Window

_TURN_BACK = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""For each EXIF orientation the way from the upright picture to the file's pixels."""
_TO_RGB = np.array([0.299, 0.587, 0.114], np.float32)
"""The weights by which Pillow makes a grey of a colour."""

_OPTIONS: dict[str, dict[str, Any]] = {
    "AVIF": {"quality": 95},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True},
}
"""Options by format, so that lossy compression loses as little as possible."""


class Photograph(NamedTuple):
    """A picture of any mode, upright.

    Attributes:
      image: The picture in the mode of its file.
      orientation: The EXIF orientation in its file.
      format: Pillow's name of the file's format; empty for images and arrays.
      options: What it is saved with: EXIF, colour profile, resolution.
      note: What is lost when it is read, or empty.
    """

    image: Image.Image
    orientation: int = 1
    format: str = ""
    options: Mapping[str, Any] = types.MappingProxyType({})
    note: str = ""

    @classmethod
    def read(cls, picture: PictureLike) -> "Photograph":
        """Reads a picture; arrays may also be ``[H, W]`` uint16.

        Raises:
          ImageError: As for ``read_picture``.
        """
        if isinstance(picture, np.ndarray) and picture.dtype == np.uint16:
            picture = Image.fromarray(picture)
        with decoding.decoded(picture) as found:
            note = ""
            if found.sixteen_bit_colours:
                note = "of the 16 bits of its colours the upper 8 are kept"
            elif found.pictures > 1:
                note = f"of the {found.pictures} pictures in its file the first is kept"
            return cls(
                found.image, found.orientation, found.format, found.options, note
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.image.height, self.image.width

    def rgb(self) -> np.ndarray:
        """``[H, W, 3]`` uint8, as ``read_picture`` reads it."""
        return decoding.to_rgb(self.image)

    def colours(self, window: Window) -> np.ndarray:
        """Some rows and columns, ``[rows, columns, C]`` float32, in levels 0 to 255.

        One channel of greys, or three of colours; what is transparent has its colour.
        """
        rows, columns = window
        corners = columns.start, rows.start, columns.stop, rows.stop
        part = self.image.crop(corners)
        if self._is_grey:
            grey = part.getchannel(0) if part.mode == "LA" else part
            levels = np.asarray(grey, np.float32)[..., None]
            return levels * np.float32(255 / self._white)
        return np.asarray(part.convert("RGB"), np.float32)

    def as_channels(self, colours: np.ndarray) -> np.ndarray:
        """Colours ``[..., 3]`` as ``colours`` gives them: greys for a grey picture."""
        if self._is_grey:
            return np.asarray(colours @ _TO_RGB)[..., None]
        return colours

    def filled(
        self, window: Window, hole: np.ndarray, levels: np.ndarray, *, opaque: bool
    ) -> Image.Image:
        """The picture, upright, with other colours in a hole; the rest bit for bit.

        Args:
          window: The rows and columns that the hole lies in.
          hole: ``[rows, columns]`` bool.
          levels: ``[rows, columns, C]`` as ``colours`` gives them.
          opaque: Whether the hole is no longer transparent.

        Raises:
          ImageError: Pillow cannot make colours of the picture's mode.
        """
        image, mode = self.image.copy(), self.image.mode
        wanted = levels.clip(0, 255)[hole]
        if mode in ("P", "PA"):
            new = self._of_palette(wanted)
        elif mode == "1":
            new = wanted[:, 0] >= 127.5
        elif self._is_grey:
            scaled = wanted[:, 0].astype(np.float64) * (self._white / 255)
            new = scaled if mode == "F" else np.rint(scaled)
        else:
            colours = np.rint(wanted).astype(np.uint8)
            new = _converted(colours, mode.replace("RGBA", "RGB"))
        rows, columns = window
        corner = columns.start, rows.start
        part = np.array(image.crop((*corner, columns.stop, rows.stop)))
        if mode in ("RGBA", "LA", "PA"):
            part[hole, :-1] = new.reshape(len(new), -1)
            if opaque:
                part[hole, -1] = 255
        else:
            part[hole] = new.astype(part.dtype)
        changed = Image.fromarray(part) if mode == "1" else _of_mode(part, mode)
        image.paste(changed, corner)
        return image

    def encode(self, image: Image.Image, format: str = "") -> bytes:
        """The file of a picture made of this one, in the orientation of this one's.

        Args:
          image: The picture, upright.
          format: Pillow's name of a format; empty: ``own_format``. A picture of a mode
            that it cannot hold becomes RGB.

        Raises:
          ImageError: The picture cannot be written.
        """
        format = format or self.own_format
        if self.orientation in _TURN_BACK:
            image = image.transpose(_TURN_BACK[self.orientation])
        options = dict(self.options)
        if format != self.own_format:
            for name in ("qtables", "subsampling"):
                options.pop(name, None)
        if "qtables" not in options:
            options = _OPTIONS.get(format, {}) | options
        for each in (image, Image.fromarray(decoding.to_rgb(image))):
            file = io.BytesIO()
            try:
                each.save(file, format, **options)
                return file.getvalue()
            except (OSError, ValueError, KeyError) as error:
                reason = str(error)
        raise ImageError(f"it cannot be written as {format}: {reason}")

    @property
    def own_format(self) -> str:
        """The format of its file where that can be written, otherwise PNG."""
        Image.init()
        own = self.format.replace("MPO", "JPEG")  # A JPEG with a second picture.
        return own if own in Image.SAVE else "PNG"

    @property
    def _is_grey(self) -> bool:
        return self.image.mode in ("1", "L", "LA") or self.image.mode[0] in "IF"

    @property
    def _white(self) -> float:
        """The value of white in a grey picture."""
        if self.image.mode[0] in "IF":
            return decoding.white_of(np.asarray(self.image))
        return 1 if self.image.mode == "1" else 255

    def _of_palette(self, colours: np.ndarray) -> np.ndarray:
        """The nearest colours ``[N]`` of the palette; none that is transparent."""
        # Here, as most photographs have no palette.
        from scipy.spatial import KDTree

        palette = self.image.palette
        if palette is None:
            raise ImageError("its palette is missing")
        entries = np.asarray(self.image.getpalette("RGBA"), np.float32).reshape(-1, 4)
        usable = np.flatnonzero(entries[:, 3] == 255)
        if not len(usable):
            raise ImageError("no colour of its palette is opaque")
        return usable[KDTree(entries[usable, :3]).query(colours)[1]]


def _converted(colours: np.ndarray, mode: str) -> np.ndarray:
    """Colours ``[N, 3]`` uint8 in another mode."""
    if mode == "RGB":
        return colours
    try:
        return np.asarray(Image.fromarray(colours[None]).convert(mode))[0]
    except ValueError as error:
        raise ImageError(f"pictures of mode {mode} cannot be filled") from error


def _of_mode(pixels: np.ndarray, mode: str) -> Image.Image:
    """An image of exactly this mode; ``Image.fromarray`` would guess it."""
    size: Sequence[int] = pixels.shape[1::-1]
    return Image.frombytes(mode, (size[0], size[1]), np.ascontiguousarray(pixels))
