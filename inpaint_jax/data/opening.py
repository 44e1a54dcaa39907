"""Opening picture files: their bytes, their formats, what they say without decoding.

Any fault of a file becomes an ``ImageError`` of one line that names the file. All
functions can be called from several threads.
"""

import contextlib
import functools
import io
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, ImageFile, PngImagePlugin

from inpaint_jax.data.files import ImageError, Picture, open_zip
from inpaint_jax.data.formats import formats_for, is_raw, why_not_read, why_unknown

MAX_BYTES = 1 << 30

# Pillow warns of oddities in files that it reads nevertheless. The filter holds for the
# whole process, because `catch_warnings` is not safe in threads.
warnings.filterwarnings("ignore", module=r"PIL\.")


class Encoded(NamedTuple):
    """A picture file that was read already.

    Attributes:
      name: Its name, for messages, with its suffix.
      data: Its content.
    """

    name: str
    data: bytes

    def __str__(self) -> str:
        return self.name


FileLike = Picture | Encoded | str | os.PathLike
"""What stands for a file: a picture from ``find_pictures``, a content, or a path."""


def size_of(picture: Picture | str | os.PathLike[str]) -> tuple[int, int]:
    """Width and height of a file's picture as it is stored; no pixel is decoded.

    Raises:
      ImageError: As for ``read_picture``, except for faults of the pixel data.
    """
    with named(picture), open_file(picture) as image:
        return image.size


def has_transparency(picture: Picture | str | os.PathLike[str]) -> bool:
    """Whether a file holds transparency; no pixel is decoded.

    Raises:
      ImageError: As for ``read_picture``, except for faults of the pixel data.
    """
    with named(picture), open_file(picture) as image:
        return image.has_transparency_data


@contextlib.contextmanager
def named(picture: Any) -> Iterator[None]:
    """Turns any exception into an ``ImageError`` that names the picture."""
    try:
        yield
    except Exception as error:  # Pillow's plugins raise nearly every kind.
        raise ImageError(f"{_name(picture)}: {_reason(error)}") from error


def _name(picture: Any) -> str:
    if isinstance(picture, Image.Image):
        return str(getattr(picture, "filename", "")) or "an image given"
    if isinstance(picture, FileLike):
        return str(picture)
    return "an array given"


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "too large for the memory"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def open_file(picture: FileLike) -> ImageFile.ImageFile:
    """Opens a file without decoding its pixels.

    ``PIL.Image.open`` refuses pictures of more than twice a bound of pixels, which is a
    setting of the whole process and not ours to change. Therefore this function tries
    the formats one by one. ``named`` is to be around it: a plugin may raise anything.
    """
    if not isinstance(picture, Picture | Encoded):
        picture = Picture(id="", stem="", path=os.fspath(picture))
    name = picture.name
    if isinstance(picture, Picture):
        name = picture.member or picture.path
    if is_raw(name):  # Pillow would read the thumbnail.
        raise ImageError(why_not_read(name))
    data = _without_long_texts(_read_bytes(picture))
    for format in formats_for(name, data):
        factory, accepts = Image.OPEN[format]
        accepted = accepts is None or accepts(data[:16])
        if accepted and not isinstance(accepted, str):  # A string says what is wrong.
            # These errors mean another format after all, as in ``PIL.Image.open``.
            with contextlib.suppress(SyntaxError, IndexError, TypeError, struct.error):
                return factory(io.BytesIO(data), "")
    raise ImageError(why_unknown(name, data))


def _read_bytes(picture: Picture | Encoded) -> bytes:
    if isinstance(picture, Encoded):
        size, read = len(picture.data), lambda: picture.data
    elif picture.member is None:
        size, read = os.path.getsize(picture.path), Path(picture.path).read_bytes
    else:
        archive = open_zip(picture.path)
        size = archive.getinfo(picture.member).file_size
        read = functools.partial(archive.read, picture.member)
    if not size:
        raise ImageError("the file is empty")
    if size > MAX_BYTES:
        raise ImageError(f"{size} bytes are more than the {MAX_BYTES} accepted")
    return read()


def _without_long_texts(data: bytes) -> bytes:
    """A PNG without the texts and profiles that are too long for Pillow.

    Pillow's bounds are settings of the whole process. Other files are returned as they
    are.
    """
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    kept, at, start, total = [], 0, 8, 0
    while start + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, start)
        end = start + 12 + length
        if kind in (b"tEXt", b"zTXt", b"iTXt", b"iCCP"):
            size, most = _text_size(kind, data[start + 8 : end - 4])
            if size > most or total + size > PngImagePlugin.MAX_TEXT_MEMORY:
                kept.append(data[at:start])
                at = end
            else:
                total += size
        start = end
    return b"".join([*kept, data[at:]]) if kept else data


def _text_size(kind: bytes, body: bytes) -> tuple[int, int]:
    """Unpacked size in bytes of a PNG's text or profile, and Pillow's bound for it."""
    value = body.find(b"\0") + 1
    if kind in (b"zTXt", b"iCCP"):
        packed = body[value + 1 :]
    elif kind == b"iTXt" and body[value : value + 1] == b"\1":
        packed = body[value + 2 :].split(b"\0", 2)[-1]
    else:
        return len(body), PngImagePlugin.MAX_TEXT_MEMORY
    most = PngImagePlugin.MAX_TEXT_CHUNK
    try:
        return len(zlib.decompressobj().decompress(packed, most + 1)), most
    except zlib.error:
        return 0, most
