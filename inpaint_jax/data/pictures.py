"""Pictures as files: finding them in folders and zips, and decoding them.

Pillow decodes. What is decided here is which files count, what each is called, and that
every format, mode and orientation becomes the same ``[H, W, 3]`` uint8. Whatever is
wrong with a file ends in an ``ImageError`` of one line that names the file.
"""

import collections
import contextlib
import dataclasses
import functools
import glob
import io
import os
import re
import unicodedata
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from inpaint_jax.data import written
from inpaint_jax.names import readable

# Pillow can do more, but some of it runs other programs (EPS) or takes any file
# for its own (TGA): only these are tried, whatever the file's name.
_FORMATS = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jfif"),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "AVIF": (".avif",),
    "JPEG2000": (".jp2",),
}
SUFFIXES = frozenset(suffix for each in _FORMATS.values() for suffix in each)
MAX_PIXELS = 89_000_000  # 267 MB as RGB; just below what Pillow takes for a bomb
MAX_BYTES = 1 << 30
_OPAQUE = 250  # Of 255: what a soft eraser leaves of its edge counts as erased.

# Pillow remarks on oddities of files that it reads nevertheless. For the process, as
# `catch_warnings` round every picture is not safe in threads.
warnings.filterwarnings("ignore", module=r"PIL\.")


class ImageError(ValueError):
    """What is wrong with a picture, a mask or a path, in one line."""


@dataclasses.dataclass(frozen=True)
class Picture:
    """Where a picture is. Nothing is read until ``read_picture``.

    Attributes:
      id: ``name``, or longer where that would not be unique among the pictures found
        together.
      stem: ``id`` as a flat file name without extension, unique and safe to write.
      path: The file that holds it.
      member: Its name inside ``path`` when that is a zip, else None.
      name: Its relative path in the folder or zip, without the extension, whatever
        was found beside it: what its randomness hangs on.
    """

    id: str
    stem: str
    path: str
    member: str | None = None
    name: str = ""

    def __str__(self) -> str:
        name = self.path if self.member is None else f"{self.path}: {self.member}"
        return readable(name).replace("\n", " ")


# --- finding -----------------------------------------------------------------


class _Place(NamedTuple):
    path: str
    member: str | None
    depth: int  # how many of the last parts make the short name


def find_pictures(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
) -> list[Picture]:
    """Lists the pictures in files, folders, zips and patterns of those.

    Folders and zips are searched to the bottom, in sorted order, for names with a
    picture's suffix; hidden entries, ``__MACOSX`` and what programs wrote there
    (``written``) are skipped. A picture reached twice is listed once. Nothing is
    decoded, so thousands are cheap.

    Args:
      inputs: Paths or glob patterns (``**`` included), or one of them.

    Returns:
      The pictures, in the order of ``inputs``; ``id`` and ``stem`` are unique.

    Raises:
      ImageError: An input does not exist, holds no pictures, or is a broken zip.
    """
    if isinstance(inputs, str | os.PathLike):
        inputs = [inputs]
    places: dict[tuple[str, str | None], _Place] = {}
    for given in inputs:
        for place in _search(os.fspath(given)):
            places.setdefault((os.path.abspath(place.path), place.member), place)
    if not places:
        raise ImageError("no input: give files, folders or zips of pictures")
    choices = [_choose_names(place) for place in places.values()]
    short = [names[0] for names in choices]
    ids = _unique_ids(choices)
    return [
        Picture(id, stem, place.path, place.member, name)
        for id, stem, place, name in zip(
            ids, _unique_stems(ids), places.values(), short, strict=True
        )
    ]


def _search(given: str) -> list[_Place]:
    """Every picture at a path or at the matches of a pattern; at least one."""
    path = os.path.expanduser(given)
    if os.path.exists(path):
        found = list(_expand(path))
    elif glob.has_magic(path):
        notes, top = functools.cache(written.read), _fixed_part(path)
        matches = [
            match
            for match in sorted(glob.glob(path, recursive=True))
            if not written.is_noted(match, top, notes)
        ]
        if not matches:
            raise ImageError(f"{given}: nothing matches this pattern")
        found = [
            place
            for match in matches
            if os.path.isdir(match) or _suffix(match) in SUFFIXES | {".zip"}
            for place in _expand(match)
        ]
    else:
        raise ImageError(f"{given}: no such file or folder")
    if not found:
        pattern = os.path.join(path, "*.zip")
        hint = f"; for its zips give {pattern}" if glob.glob(pattern) else ""
        if written.read(path):
            hint = " but what programs wrote; to take that give its own folder"
        raise ImageError(f"{given}: no pictures there{hint}")
    return found


def _fixed_part(pattern: str) -> str:
    """The folder that a pattern names before its first wildcard."""
    folder = os.path.dirname(pattern)
    while glob.has_magic(folder):
        folder = os.path.dirname(folder)
    return folder


def _expand(path: str) -> Iterator[_Place]:
    """Every picture at an existing path."""
    if os.path.isdir(path):
        found: list[str] = []
        noted: set[str] = set()
        for folder, folders, files in os.walk(path, onerror=_raise_os_error):
            noted |= {os.path.join(folder, name) for name in written.read(folder)}
            own = {name for name in folders + files if not _hidden(name)}
            own -= {name for name in own if os.path.join(folder, name) in noted}
            folders[:] = [name for name in folders if name in own]
            found += [
                os.path.relpath(os.path.join(folder, name), path)
                for name in files
                if name in own and _suffix(name) in SUFFIXES
            ]
        for name in sorted(found, key=_parts):
            yield _Place(os.path.join(path, name), None, len(_parts(name)))
    elif not os.path.isfile(path):
        raise ImageError(f"{path}: neither a file nor a folder")
    elif _suffix(path) == ".zip":
        for name in sorted(set(_open_zip(path).namelist())):
            parts = _parts(name)
            if _suffix(name) in SUFFIXES and not any(map(_hidden, parts)):
                yield _Place(path, name, len(parts))
    else:
        yield _Place(path, None, 1)


def _raise_os_error(error: OSError) -> None:
    raise ImageError(f"{error.filename}: {error.strerror}") from error


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _parts(path: str) -> list[str]:
    # Zips made on Windows may hold backslashes; others begin every name with ./
    return [part for part in re.split(r"[/\\]", path) if part not in ("", ".")]


def _choose_names(place: _Place) -> list[str]:
    """What a picture can be called: ever longer, the extension before each folder."""
    parts = _parts(place.path) + _parts(place.member or "")
    parts = [readable(part) for part in parts]
    longer = ["/".join(parts[-n:]) for n in range(place.depth, len(parts) + 1)]
    return [each for name in longer for each in (os.path.splitext(name)[0], name)]


def _unique_ids(choices: list[list[str]]) -> list[str]:
    """The first of each list of names, or a later one where names clash."""
    choices = [list(names) for names in choices]
    while True:
        counts = collections.Counter(names[0] for names in choices)
        clashing = [x for x in choices if counts[x[0]] > 1 and len(x) > 1]
        if not clashing:  # but for a zip's a.png beside its ./a.png
            return _numbered([names[0] for names in choices], str)
        for names in clashing:
            del names[0]


def _unique_stems(ids: list[str]) -> list[str]:
    stems = []
    for id in ids:
        flat = re.sub(r"[^\w.-]+", "_", unicodedata.normalize("NFC", id)).strip(".")
        stems.append(flat.encode()[:180].decode(errors="ignore") or "picture")
    return _numbered(stems, str.casefold)  # as some file systems compare them


def _numbered(names: list[str], key: Callable[[str], str]) -> list[str]:
    """Adds -2, -3 ... to names of which another before has the same key."""
    taken: set[str] = set()
    result = []
    for name in names:
        unique, count = name, 1
        while key(unique) in taken:
            count += 1
            unique = f"{name}-{count}"
        taken.add(key(unique))
        result.append(unique)
    return result


def find_masks(
    path: str | os.PathLike[str], pictures: Sequence[Picture]
) -> list[Picture | ImageError]:
    """Finds the mask that belongs to each picture.

    Args:
      path: One file for all, or a folder or zip with one mask a picture, of the same
        ``id``, ``stem`` or file name (extensions may differ).
      pictures: As ``find_pictures`` returned them.

    Returns:
      As many as ``pictures``: the mask, or the error of a picture that lacks one, which
      costs that picture and no other.

    Raises:
      ImageError: ``path`` does not exist or no picture has a mask there.
    """
    masks = find_pictures(path)
    if masks[0].path == os.path.expanduser(path) and masks[0].member is None:
        return [masks[0]] * len(pictures)
    index: dict[tuple[int, str], list[Picture]] = collections.defaultdict(list)
    for mask in masks:
        for key in enumerate(_names(mask)):
            index[key].append(mask)

    result: list[Picture | ImageError] = []
    for picture in pictures:
        keys = enumerate(_names(picture))
        named = next((index[key] for key in keys if key in index), [])
        if len(named) == 1:
            result.append(named[0])
        elif named:
            several = f"both {named[0]} and {named[1]} could be its mask"
            result.append(ImageError(f"{picture}: {several}"))
        else:
            lacks = f"no mask in {os.fspath(path)} has its name"
            result.append(ImageError(f"{picture}: {lacks}"))
    if pictures and all(isinstance(mask, ImageError) for mask in result):
        raise ImageError(str(result[0]))
    return result


def _names(picture: Picture) -> tuple[str, str, str]:
    """What a picture and its mask can have in common, best first."""
    file = _parts(picture.member or picture.path)[-1]
    return picture.id, picture.stem, os.path.splitext(file)[0]


# --- reading -----------------------------------------------------------------


def read_picture(picture: Picture | str | os.PathLike[str]) -> np.ndarray:
    """Reads a picture of any mode as RGB, upright.

    Transparency is laid over white; 16-bit, 32-bit and float greys are scaled to 8
    bits, not clipped; EXIF's orientation is applied; of an animation the first frame is
    taken. Safe to call from several threads.

    Args:
      picture: What ``find_pictures`` returned, or a file's path.

    Returns:
      ``[H, W, 3]`` uint8, writable.

    Raises:
      ImageError: The file is missing, empty, truncated, no picture, or larger than
        ``MAX_PIXELS``; the line begins with its path.
    """
    if not isinstance(picture, Picture):
        picture = Picture(id="", stem="", path=os.fspath(picture))
    try:
        return _decode(_read_bytes(picture))
    except Exception as error:  # Pillow's plugins raise nearly every kind
        raise ImageError(f"{picture}: {_reason(error)}") from error


def has_transparency(picture: Picture) -> bool:
    """Whether a picture can say which pixels are transparent; its pixels are not read.

    Raises:
      ImageError: The file is missing, empty or no picture.
    """
    try:
        with Image.open(io.BytesIO(_read_bytes(picture)), formats=_formats()) as image:
            return image.has_transparency_data
    except Exception as error:
        raise ImageError(f"{picture}: {_reason(error)}") from error


def read_transparency(picture: Picture) -> np.ndarray:
    """Where a picture is not opaque: ``[H, W]`` bool, upright.

    Colours of what is nearly transparent are those of what it is laid over, hence a
    pixel counts unless it is opaque.

    Raises:
      ImageError: The file is missing, empty or no picture.
    """
    try:
        with Image.open(io.BytesIO(_read_bytes(picture)), formats=_formats()) as image:
            upright: Image.Image = image
            with contextlib.suppress(Exception):
                upright = ImageOps.exif_transpose(image)
            return np.asarray(upright.convert("RGBA").getchannel("A")) < _OPAQUE
    except Exception as error:
        raise ImageError(f"{picture}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a picture, or of a format that is not supported"
    if isinstance(error, MemoryError):
        return "too large for the memory"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def _open_zip(path: str) -> zipfile.ZipFile:
    try:
        stat = os.stat(path)
        return _cached_zip(os.path.abspath(path), stat.st_mtime_ns, stat.st_size)
    except Exception as error:
        raise ImageError(f"{path}: not a readable zip ({_reason(error)})") from error


@functools.lru_cache(maxsize=32)
def _cached_zip(path: str, mtime: int, size: int) -> zipfile.ZipFile:
    # Opening a zip parses its whole directory: once, not once a picture. Time and size
    # are part of the key so that a replaced file is opened anew.
    del mtime, size
    return zipfile.ZipFile(path)


def _read_bytes(picture: Picture) -> bytes:
    if picture.member is None:
        size, read = os.path.getsize(picture.path), Path(picture.path).read_bytes
    else:
        archive = _open_zip(picture.path)
        size = archive.getinfo(picture.member).file_size
        read = functools.partial(archive.read, picture.member)
    if size > MAX_BYTES:
        raise ImageError(f"{size} bytes are more than the {MAX_BYTES} accepted")
    return read()


@functools.cache
def _formats() -> list[str]:
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]  # AVIF is an option


def _decode(data: bytes) -> np.ndarray:
    if not data:
        raise ImageError("the file is empty")
    with Image.open(io.BytesIO(data), formats=_formats()) as image:
        if image.width * image.height > MAX_PIXELS:
            size = f"{image.width}x{image.height}"
            raise ImageError(f"{size} pixels are more than {MAX_PIXELS} in all")
        image.load()
        upright: Image.Image = image
        with contextlib.suppress(Exception):  # a broken EXIF block harms no pixel
            upright = ImageOps.exif_transpose(image)
    if upright.mode[0] in "IF":
        wide = np.asarray(upright)
        grey = _to_eight_bits(wide)
        grey[wide == upright.info.get("transparency")] = 255
        return np.repeat(grey[..., None], 3, axis=-1)
    if upright.has_transparency_data:
        white = Image.new("RGBA", upright.size, "white")
        upright = Image.alpha_composite(white, upright.convert("RGBA"))
    return np.array(upright.convert("RGB"))


def _to_eight_bits(wide: np.ndarray) -> np.ndarray:
    """Scales by the smallest usual white that no pixel of ``[H, W]`` exceeds."""
    high = float(wide.max())
    whites: tuple[float, ...] = (65535, 2**31 - 1)
    if wide.dtype.kind == "f":
        whites = (1, 255, 65535)
        if not (np.isfinite(wide).all() and wide.min() >= 0 and high <= 65535):
            raise ImageError("float pixels outside 0..1, 0..255 and 0..65535")
    white = next(white for white in whites if high <= white)
    return np.rint(wide.clip(0) * (255.0 / white)).astype(np.uint8)
