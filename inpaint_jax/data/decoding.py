"""Decoding: every format, mode and orientation becomes ``[H, W, 3]`` uint8.

Pillow decodes. Any fault of a file becomes an ``ImageError`` of one line that names the
file. All functions can be called from several threads.
"""

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps, JpegImagePlugin, TiffImagePlugin

from inpaint_jax.data.files import ImageError, Picture
from inpaint_jax.data.opening import Encoded, FileLike, named, open_file

PictureLike = Picture | Encoded | str | os.PathLike[str] | Image.Image | np.ndarray
"""A picture from ``find_pictures``, the content of a file, a file's path, a PIL image,
or an array of 8 bits, ``[H, W]``, ``[H, W, 1]``, ``[H, W, 3]`` or ``[H, W, 4]``
(transparency last)."""

MAX_PIXELS = 250_000_000  # Telephones have 200 million; more is a decompression bomb.
# Larger pictures are decoded one at a time, whatever the number of threads: they take 4
# bytes per pixel in Pillow, and as many again when converted. The number is that of
# Pillow's own warning.
LARGE_PIXELS = 89_000_000

_TELLING = (
    *("ImageDescription", "Make", "Model", "Software"),
    *("DateTime", "Artist", "HostComputer", "Copyright"),
)
"""Tags of a TIFF that tell of its picture; most others tell how its pixels lie."""

_one_large = threading.RLock()


class Decoded(NamedTuple):
    """A decoded picture in the mode of its file.

    Attributes:
      image: The picture, upright, in the file's own mode, with its pixels loaded.
      format: Pillow's name of the file's format; empty for images and arrays.
      sixteen_bit_colours: Whether the file's colours have 16 bits, of which ``image``
        keeps the upper 8.
      orientation: The EXIF orientation that the file's pixels have, 1 to 8; 1 is
        upright.
      options: What the file has to be saved with, to stay what it was: EXIF, colour
        profile, resolution, a JPEG's tables.
      pictures: Number of pictures in the file, of which ``image`` is the first:
        those of an animation, pages of a TIFF, what a camera adds to a JPEG.
    """

    image: Image.Image
    format: str
    sixteen_bit_colours: bool
    orientation: int
    options: dict[str, Any]
    pictures: int


def read_picture(picture: PictureLike, *, at_least: int | None = None) -> np.ndarray:
    """Reads a picture of any mode as RGB, upright.

    Transparency is laid over white; 16-bit, 32-bit and float greys are scaled to 8
    bits, not clipped; the EXIF orientation is applied; an animation is read as its
    first frame.

    Args:
      picture: A file, a PIL image or an array.
      at_least: Least number of pixels of the shorter side. A picture of more than
        ``LARGE_PIXELS`` is read at half its width and height, rounded up, to save
        memory, if its shorter side then still has so many. None: every picture is read
        in full, as a crop in pixels of the file needs it.

    Returns:
      ``[H, W, 3]`` uint8, writable.

    Raises:
      ImageError: The file is missing, empty, truncated, not a picture, in an
        unsupported format, or larger than ``MAX_PIXELS``; the line begins with its
        path.
    """
    with decoded(picture, at_least=at_least) as found:
        return to_rgb(found.image)


@contextlib.contextmanager
def decoded(picture: PictureLike, *, at_least: int | None = None) -> Iterator[Decoded]:
    """Opens a picture; any exception in the block becomes an ``ImageError``.

    Args:
      picture: As for ``read_picture``.
      at_least: As for ``read_picture``.

    Yields:
      The picture in the mode of its file.

    Raises:
      ImageError: The picture cannot be read; the line begins with its name.
    """
    with named(picture), contextlib.ExitStack() as stack:
        if isinstance(picture, FileLike):
            image: Image.Image = stack.enter_context(open_file(picture))
        else:
            image = _as_image(picture)
        width, height = image.size
        if width * height > MAX_PIXELS:
            line = f"{width}x{height} pixels are more than {MAX_PIXELS} in all"
            raise ImageError(line)
        halve = False
        if width * height > LARGE_PIXELS:
            stack.enter_context(_one_large)
            halve = at_least is not None and min(width, height) >= 2 * at_least
        yield _load(image, halve, may_draft=image is not picture)


def _as_image(given: Any) -> Image.Image:
    """A PIL image made from an array; a PIL image is returned as it is."""
    if isinstance(given, Image.Image):
        return given
    array = np.asarray(given)
    flat = array[..., 0] if array.shape[2:] == (1,) else array
    right = flat.ndim == 2 or (flat.ndim == 3 and flat.shape[2] in (3, 4))
    if flat.dtype != np.uint8 or not right or not flat.size:
        raise ImageError(f"not RGB of 8 bits: {array.dtype} {list(array.shape)}")
    return Image.fromarray(flat)


def _load(image: Image.Image, halve: bool, may_draft: bool) -> Decoded:
    """Decodes a picture, at half its size on request, and turns it upright."""
    tiles = getattr(image, "tile", None) or [("", None, 0, "")]
    sixteen = ";16" in str(tiles[0][3]) and image.mode[0] not in "IF"
    format, width = image.format or "", image.width
    pictures = getattr(image, "n_frames", 1)
    if halve and may_draft and isinstance(image, JpegImagePlugin.JpegImageFile):
        # No pixel spreads further than in JPEG's own blocks of 8x8 or 16x16.
        image.draft(None, (width // 2, image.height // 2))
    image.load()
    if halve and image.width == width:
        image = _halve(image)
    orientation, options = 1, _options(image)
    with contextlib.suppress(Exception):  # A broken EXIF block leaves pixels intact.
        turned = image.getexif().get(ExifTags.Base.Orientation, 1)
        if turned != 1:
            image = ImageOps.exif_transpose(image)
            orientation = turned
    return Decoded(image, format, sixteen, orientation, options, pictures)


def _options(image: Image.Image) -> dict[str, Any]:
    """What a picture has beside its pixels, as ``PIL.Image.Image.save`` takes it."""
    options = {
        name: image.info[name]
        for name in ("exif", "icc_profile", "dpi")
        if image.info.get(name)
    }
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        with contextlib.suppress(Exception):  # Pixels stay intact without.
            options |= _exif_of_tiff(image)
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        # With its own tables a block of known pixels is compressed as it was before.
        sampling = JpegImagePlugin.get_sampling(image)
        options["qtables"] = image.quantization
        options["subsampling"] = max(sampling, 0)
    return options


def _exif_of_tiff(image: Image.Image) -> dict[str, bytes]:
    """The option ``exif``, which Pillow does not make of a TIFF's tags.

    The orientation is left out: Pillow turns a TIFF upright as it loads it.
    """
    given, kept = image.getexif(), Image.Exif()
    for name in _TELLING:
        tag = ExifTags.Base[name]
        if tag in given:
            kept[tag] = given[tag]
    for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        if values := given.get_ifd(ifd):
            kept.get_ifd(ifd).update(values)
            kept[ifd] = kept.get_ifd(ifd)
    return {"exif": kept.tobytes()} if len(kept) else {}


def _halve(image: Image.Image) -> Image.Image:
    """The means of blocks of 2x2 pixels; blocks at the edge may be smaller."""
    if image.mode[0] == "I":
        image = image.convert("I")  # Pillow cannot average 16 bits.
    elif image.has_transparency_data:
        image = image.convert("RGBA")
    elif image.mode in ("1", "P"):
        image = image.convert("RGB")
    return image.reduce(2)


def to_rgb(image: Image.Image) -> np.ndarray:
    """A picture of any mode as ``read_picture`` returns it, ``[H, W, 3]`` uint8."""
    if image.mode[0] in "IF":
        wide = np.asarray(image)
        grey = _to_eight_bits(wide)
        grey[wide == image.info.get("transparency")] = 255
        return np.repeat(grey[..., None], 3, axis=-1)
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def white_of(wide: np.ndarray) -> float:
    """The smallest usual white that no pixel of ``[H, W]`` exceeds.

    Raises:
      ImageError: There is none.
    """
    high = float(wide.max())
    whites: tuple[float, ...] = (65535, 2**31 - 1)
    if wide.dtype.kind == "f":
        whites = (1, 255, 65535)
        if not (np.isfinite(wide).all() and wide.min() >= 0 and high <= 65535):
            raise ImageError("float pixels outside 0..1, 0..255 and 0..65535")
    return next(white for white in whites if high <= white)


def _to_eight_bits(wide: np.ndarray) -> np.ndarray:
    """Scales greys ``[H, W]`` by ``white_of`` them."""
    white = white_of(wide)
    grey = np.empty(wide.shape, np.uint8)
    for rows, of in zip(_strips(grey), _strips(wide), strict=True):
        rows[:] = np.rint(of.clip(0) * (255.0 / white))
    return grey


def _strips(array: np.ndarray) -> list[np.ndarray]:
    """Views of some rows each, so that computations on them take little memory."""
    return [array[i : i + 256] for i in range(0, len(array), 256)]
