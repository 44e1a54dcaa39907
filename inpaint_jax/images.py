"""Pictures and masks: finding, reading, cropping, writing, contact sheets.

Pillow decodes; what happens between a file and the model's `[size, size, 3]`
array is here, so that every program sees the same pixels. Whatever is wrong
with a file ends in an `ImageError` of one line that names the file.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import glob
import io
import math
import os
import re
import threading
import unicodedata
import uuid
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

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
MAX_PIXELS = 90_000_000  # 270 MB as RGB; decompression bombs declare more
MAX_BYTES = 1 << 30
# From fewer pixels than this a side, a 64-pixel image is one pixel smeared over
# 8x8: an icon or a tracking pixel that came along, never a picture to fill.
MIN_SIDE = 8


class ImageError(ValueError):
    """What is wrong with a picture, a mask or a path, in one line."""


@dataclasses.dataclass(frozen=True)
class Picture:
    """Where a picture is. Nothing is read until `read_picture`.

    Attributes:
      id: its relative path in the folder or zip, without the extension; longer
        where that would not be unique among the pictures found together.
      stem: `id` as a flat file name without extension, unique and safe to write.
      path: the file that holds it.
      member: its name inside `path` when that is a zip, else None.
    """

    id: str
    stem: str
    path: str
    member: str | None = None

    def __str__(self) -> str:
        name = self.path if self.member is None else f"{self.path}: {self.member}"
        return name.replace("\n", " ")


# --- finding -----------------------------------------------------------------


def find_pictures(inputs: Sequence[str | os.PathLike[str]]) -> list[Picture]:
    """Lists the pictures in files, folders, zips and patterns of those.

    Folders and zips are searched to the bottom, in sorted order, for names with
    a picture's suffix; hidden entries and `__MACOSX` are skipped. A picture
    reached twice is listed once. Nothing is decoded, so thousands are cheap.

    Args:
      inputs: a path or a glob pattern (`**` included) each.

    Returns:
      The pictures, in the order of `inputs`; `id` and `stem` are unique.

    Raises:
      ImageError: an input does not exist, holds no pictures, or is a broken zip.
    """
    if isinstance(inputs, str | os.PathLike):
        inputs = [inputs]
    # By place: the path as given, and how many last parts make the short name.
    places: dict[tuple[str, str | None], tuple[str, int]] = {}
    for given in inputs:
        path = os.path.expanduser(os.fspath(given))
        if os.path.exists(path):
            found = _expand(path)
        elif glob.has_magic(path):
            matches = sorted(glob.glob(path, recursive=True))
            if not matches:
                raise ImageError(f"{given}: nothing matches this pattern")
            found = [
                entry
                for match in matches
                if os.path.isdir(match) or _suffix(match) in SUFFIXES | {".zip"}
                for entry in _expand(match)
            ]
        else:
            raise ImageError(f"{given}: no such file or folder")
        if not found:
            pattern = os.path.join(path, "*.zip")
            hint = f"; for its zips give {pattern}" if glob.glob(pattern) else ""
            raise ImageError(f"{given}: no pictures there{hint}")
        for file, member, depth in found:
            places.setdefault((os.path.abspath(file), member), (file, depth))
    if not places:
        raise ImageError("no input: give files, folders or zips of pictures")

    parts = [_parts(file) + _parts(member or "") for file, member in places]
    ids = _unique_ids(parts, [depth for _, depth in places.values()])
    return [
        Picture(id, stem, file, member)
        for id, stem, (_, member), (file, _) in zip(
            ids, _unique_stems(ids), places, places.values(), strict=True
        )
    ]


def _expand(path: str) -> list[tuple[str, str | None, int]]:
    """Returns (file, member, depth) for every picture at an existing path."""
    found: list[tuple[str, str | None, int]] = []
    if os.path.isdir(path):
        names: list[str] = []
        for folder, folders, files in os.walk(path, onerror=_raise_os_error):
            folders[:] = [name for name in folders if not _hidden(name)]
            names += [
                os.path.relpath(os.path.join(folder, name), path)
                for name in files
                if not _hidden(name) and _suffix(name) in SUFFIXES
            ]
        for name in sorted(names, key=_parts):
            found.append((os.path.join(path, name), None, len(_parts(name))))
    elif not os.path.isfile(path):
        raise ImageError(f"{path}: neither a file nor a folder")
    elif _suffix(path) == ".zip":
        for name in sorted(set(_open_zip(path).namelist())):
            parts = _parts(name)
            if _suffix(name) in SUFFIXES and not any(map(_hidden, parts)):
                found.append((path, name, len(parts)))
    else:
        found.append((path, None, 1))
    return found


def _raise_os_error(error: OSError) -> None:
    raise ImageError(f"{error.filename}: {error.strerror}") from error


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _parts(path: str) -> list[str]:
    # Zips made on Windows may hold backslashes; others begin every name with ./
    return [part for part in re.split(r"[/\\]", path) if part not in ("", ".")]


def _unique_ids(paths: list[list[str]], depths: list[int]) -> list[str]:
    """Lengthens clashing names: the extension first, then folder after folder."""
    levels = [0] * len(paths)
    while True:
        names = [
            "/".join(parts[-(depth + level // 2) :])
            for parts, depth, level in zip(paths, depths, levels, strict=True)
        ]
        names = [
            name if level % 2 else os.path.splitext(name)[0]
            for name, level in zip(names, levels, strict=True)
        ]
        counts = collections.Counter(names)
        clashing = [
            i
            for i, name in enumerate(names)
            if counts[name] > 1 and levels[i] <= 2 * (len(paths[i]) - depths[i])
        ]
        if not clashing:  # but for a zip's a.png beside its ./a.png
            return _numbered(names, str)
        for i in clashing:
            levels[i] += 1


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
      path: one file for all, or a folder or zip with one mask a picture, of the
        same `id`, `stem` or file name (extensions may differ).
      pictures: as `find_pictures` returned them.

    Returns:
      As many as `pictures`: the mask, or the error of a picture that lacks one,
      which costs that picture and no other.

    Raises:
      ImageError: `path` does not exist or no picture has a mask there.
    """
    masks = find_pictures([path])
    file = os.path.expanduser(path)
    if os.path.isfile(file) and _suffix(os.fspath(file)) != ".zip":
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
    """Returns what a picture and its mask can have in common, best first."""
    file = _parts(picture.member or picture.path)[-1]
    return picture.id, picture.stem, os.path.splitext(file)[0]


# --- reading -----------------------------------------------------------------


_lock = threading.Lock()
_inside = 0
_filters = warnings.catch_warnings()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Ignores warnings while any thread is inside.

    `warnings.catch_warnings` alone is not safe here: two threads that leave in
    the order they came put back each other's filters. The first to come in sets
    them aside and the last to leave puts them back.
    """
    global _inside, _filters
    with _lock:
        if not _inside:
            _filters = warnings.catch_warnings()
            _filters.__enter__()
            warnings.simplefilter("ignore")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _filters.__exit__(None, None, None)


def _open_zip(path: str) -> zipfile.ZipFile:
    try:
        stat = os.stat(path)
        return _cached_zip(os.path.abspath(path), stat.st_mtime_ns, stat.st_size)
    except Exception as error:
        raise ImageError(f"{path}: not a readable zip ({_reason(error)})") from error


@functools.lru_cache(maxsize=32)
def _cached_zip(path: str, mtime: int, size: int) -> zipfile.ZipFile:
    # Opening a zip parses its whole directory: once, not once a picture. Time
    # and size are part of the key so that a replaced file is opened anew.
    del mtime, size
    return zipfile.ZipFile(path)


@functools.cache
def _formats() -> list[str]:
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def _as_picture(picture: Picture | str | os.PathLike[str]) -> Picture:
    if isinstance(picture, Picture):
        return picture
    stem = Path(picture).stem
    return Picture(id=stem, stem=stem, path=os.fspath(picture))


def read_picture(picture: Picture | str | os.PathLike[str]) -> np.ndarray:
    """Reads a picture of any mode as RGB, upright.

    Transparency is laid over white; 16-bit, 32-bit and float greys are scaled
    to 8 bits, not clipped; EXIF's orientation is applied; of an animation the
    first frame is taken. Safe to call from several threads.

    Args:
      picture: what `find_pictures` returned, or a file's path.

    Returns:
      `[H, W, 3]` uint8, writable.

    Raises:
      ImageError: the file is missing, empty, truncated, no picture, or larger
        than `MAX_PIXELS`; the line begins with its path.
    """
    picture = _as_picture(picture)
    try:
        with _quiet():
            return _decode(_read_bytes(picture))
    except Exception as error:  # Pillow's plugins raise nearly every kind
        raise ImageError(f"{picture}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a picture, or of a format that is not supported"
    if isinstance(error, MemoryError):
        return "too large for the memory"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def _read_bytes(picture: Picture) -> bytes:
    if picture.member is None:
        size = os.path.getsize(picture.path)
    else:
        size = _open_zip(picture.path).getinfo(picture.member).file_size
    if size > MAX_BYTES:
        raise ImageError(f"{size} bytes are more than the {MAX_BYTES} accepted")
    if picture.member is None:
        return Path(picture.path).read_bytes()
    return _open_zip(picture.path).read(picture.member)


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
    """Scales by the smallest usual white that no pixel of `[H, W]` exceeds."""
    high = float(wide.max())
    whites: tuple[float, ...] = (65535, 2**31 - 1)
    if wide.dtype.kind == "f":
        whites = (1, 255, 65535)
        if not (np.isfinite(wide).all() and wide.min() >= 0 and high <= 65535):
            raise ImageError("float pixels outside 0..1, 0..255 and 0..65535")
    white = next(white for white in whites if high <= white)
    return np.rint(wide.clip(0) * (255.0 / white)).astype(np.uint8)


# --- cropping ----------------------------------------------------------------


def parse_crop(crop: str | int) -> str | int:
    """Checks a crop: `center`, `none`, or a number of pixels (text will do).

    Raises:
      ImageError: anything else.
    """
    if crop in ("center", "none"):
        return crop
    if re.fullmatch(r"[0-9]+", str(crop)) and int(crop) > 0:
        return int(crop)
    raise ImageError(
        f"crop {str(crop)!r}: give center, none, or the side in pixels of a square"
    )


def _region(
    height: int, width: int, crop: str | int, box: Sequence[float] | None
) -> tuple[slice, slice]:
    """Returns the rows and columns that a crop keeps."""
    crop = parse_crop(crop)
    if box is not None:
        corners = np.clip(np.asarray(box, np.float64), 0, 1)
        if np.isnan(corners).any():
            raise ImageError(f"bounding box {corners.tolist()} is not of numbers")
        spans = []
        for pair, length in ((corners[::2], height), (corners[1::2], width)):
            start, stop = sorted(np.rint(pair * length).astype(int).tolist())
            start = min(start, length - 1)
            spans.append(slice(start, max(stop, start + 1)))
        return spans[0], spans[1]
    if crop == "none":
        rows, columns = slice(0, height), slice(0, width)
    else:
        side = min(height, width) if crop == "center" else int(crop)
        if side > min(height, width):
            raise ImageError(
                f"a centre square of {side} pixels is larger than the picture's"
                f" {width}x{height}"
            )
        top, left = (height - side) // 2, (width - side) // 2
        rows, columns = slice(top, top + side), slice(left, left + side)
    kept = rows.stop - rows.start, columns.stop - columns.start
    if min(kept) < MIN_SIDE:
        raise ImageError(
            f"{kept[1]}x{kept[0]} pixels are too few; the smallest side accepted"
            f" is {MIN_SIDE}"
        )
    return rows, columns


@functools.lru_cache(maxsize=64)
def _weights(length: int, size: int) -> np.ndarray:
    """Returns `[size, length]`: what each source pixel gives to each new one.

    In whole numbers until the last division, so that a pixel which only touches
    has a weight of exactly zero and equal lengths give the identity.
    """
    new, old = np.arange(size)[:, None], np.arange(length)
    if length >= size:  # the share of the new pixel's extent that the old covers
        stop = np.minimum((new + 1) * length, (old + 1) * size)
        start = np.maximum(new * length, old * size)
        weights = np.maximum(stop - start, 0) / length
    else:  # between the two nearest centres, the outermost repeated
        whole, part = np.divmod((2 * new + 1) * length - size, 2 * size)
        weights = np.zeros((size, length))
        for column, weight in ((whole, 2 * size - part), (whole + 1, part)):
            weights += (column.clip(0, length - 1) == old) * weight / (2 * size)
    weights = weights.astype(np.float32)
    weights.flags.writeable = False
    return weights


def _resample(image: np.ndarray, size: int) -> np.ndarray:
    """Resizes `[H, W, C]` to float32 `[size, size, C]`, aspect not kept."""
    height, width, channels = image.shape
    flat = image.reshape(height, width * channels)
    narrow = np.empty((size, width * channels), np.float32)
    for i, row in enumerate(_weights(height, size)):
        # Only the rows that count: the picture is never whole in float32.
        used = np.flatnonzero(row)
        band = slice(used[0], used[-1] + 1)
        narrow[i] = row[band] @ flat[band].astype(np.float32)
    return _weights(width, size) @ narrow.reshape(size, width, channels)


def crop_and_resize(
    image: np.ndarray,
    *,
    crop: str | int = "center",
    size: int = 64,
    box: Sequence[float] | None = None,
) -> np.ndarray:
    """Crops a picture and resizes it to the model's square.

    Shrinking takes the mean over the area that a new pixel covers, with
    fractional weights at its edges; enlarging is bilinear. Sharper filters
    (Lanczos, bicubic) reach two or three new pixels far and overshoot: a hole
    in the picture would bleed that far into what is known, and `read_mask`
    would have to give all of it up. Here it is at most the pixel at the edge.

    Args:
      image: `[H, W, 3]` uint8.
      crop: `center`, the centre square of the shorter side (the centre 178x178
        of CelebA's 178x218); a number, the centre square of so many pixels;
        `none`, the whole frame, aspect not kept.
      size: the side of the result.
      box: two opposite corners, ymin, xmin, ymax, xmax, as shares of the height
        and width in [0, 1]; taken instead of `crop`, aspect not kept. One pixel
        is enough: who drew the box meant what is in it.

    Returns:
      `[size, size, 3]` uint8; where the crop has that size already, its pixels
      bit for bit.

    Raises:
      ImageError: an unknown crop, one larger than the picture, or one with a
        side below `MIN_SIDE` pixels.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ImageError(f"not RGB of 8 bits: {image.dtype} {list(image.shape)}")
    rows, columns = _region(image.shape[0], image.shape[1], crop, box)
    kept = image[rows, columns]
    if kept.shape[:2] == (size, size):
        return kept.copy()
    return np.rint(_resample(kept, size)).astype(np.uint8)


def read_mask(
    mask: Picture | str | os.PathLike[str],
    *,
    image_size: tuple[int, int],
    crop: str | int = "center",
    size: int = 64,
    known: str = "black",
) -> np.ndarray:
    """Reads a mask and reduces it as `crop_and_resize` reduces its picture.

    A pixel is missing when any source pixel that has a weight in it is missing,
    so that nothing from inside the hole is ever taken for known.

    Args:
      mask: an image file in which white is missing and black is known, cut at
        half grey.
      image_size: height and width of the picture it belongs to, before the crop.
      crop: the picture's crop.
      size: the side of the result.
      known: the colour of what is known, `black` or `white`.

    Returns:
      `[size, size, 1]` float32: 1 where known, 0 where missing.

    Raises:
      ImageError: the file cannot be read, is not of the picture's size, or is
        written with the values 0 and 1.
    """
    if known not in ("black", "white"):
        raise ImageError(f"known={known!r}: give black or white")
    mask = _as_picture(mask)
    image = read_picture(mask)
    height, width = image_size
    if image.shape[:2] != (height, width):
        raise ImageError(
            f"{mask}: the mask is {image.shape[1]}x{image.shape[0]}, its picture"
            f" {width}x{height}; both must be of one size"
        )
    if image.max() == 1:
        raise ImageError(f"{mask}: the mask holds 0 and 1; write it as 0 and 255")
    rows, columns = _region(height, width, crop, None)
    white = np.asarray(Image.fromarray(image[rows, columns]).convert("L")) >= 128
    missing = white if known == "black" else ~white
    reduced = _resample(missing[..., None], size)
    return (reduced == 0).astype(np.float32)


# --- values and writing ------------------------------------------------------


def to_float(image: np.ndarray) -> np.ndarray:
    """Maps uint8 to float32 in [-1, 1], any shape. `to_uint8` takes it back."""
    return np.asarray(image, np.float32) / np.float32(127.5) - np.float32(1)


def to_uint8(image: Any) -> np.ndarray:
    """Maps values in [-1, 1] to uint8, any shape: clipped, then rounded.

    Raises:
      ImageError: a value is not a number.
    """
    image = np.asarray(image, np.float32)
    if np.isnan(image).any():
        raise ImageError("the image holds values that are not numbers")
    return np.rint((image.clip(-1, 1) + 1) * np.float32(127.5)).astype(np.uint8)


def write_png(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Writes a PNG as a whole or not at all, making its folder.

    Args:
      path: where to; an existing file is replaced.
      image: `[H, W, 3]`, `[H, W, 1]` or `[H, W]` uint8.

    Raises:
      ImageError: not such an array, or the file cannot be written.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or not image.size:
        raise ImageError(f"{path}: cannot write {image.dtype} {list(image.shape)}")
    path = Path(path)
    # Short and in the same folder: a rename is atomic on one file system only.
    unfinished = path.parent / f".{uuid.uuid4().hex}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = image[..., 0] if image.shape[2:] == (1,) else image
        Image.fromarray(pixels).save(unfinished, format="PNG")
        os.replace(unfinished, path)
    except (OSError, TypeError, ValueError) as error:
        raise ImageError(f"{path}: {_reason(error)}") from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink()


# --- contact sheets ----------------------------------------------------------


def grid(
    images: Any,
    *,
    column_labels: Sequence[str] | None = None,
    row_labels: Sequence[str] | None = None,
    scale: int = 2,
    pad: int = 4,
) -> np.ndarray:
    """Lays images out in rows and columns on white, with labels.

    Args:
      images: rows of images of one size, `[H, W, 3]` or `[H, W, 1]` each, uint8
        or float in [-1, 1]; rows may be short. Or `[R, C, H, W, 3]`.
      column_labels: a text above each column; cut to the column's width.
      row_labels: a text left of each row.
      scale: each pixel becomes a square of so many.
      pad: white pixels around every image.

    Returns:
      `[height, width, 3]` uint8.

    Raises:
      ImageError: no images, different sizes, or a wrong number of labels.
    """
    cells = [[_cell(image, scale) for image in row] for row in images]
    columns = max(map(len, cells), default=0)
    shapes = {cell.shape for row in cells for cell in row}
    if len(shapes) != 1:
        raise ImageError(f"a grid needs images of one size, not {sorted(shapes)}")
    height, width, _ = shapes.pop()
    for what, labels, count in (
        ("column", column_labels, columns),
        ("row", row_labels, len(cells)),
    ):
        if labels is not None and len(labels) != count:
            raise ImageError(f"{len(labels)} {what} labels for {count} {what}s")

    columns_text = [" ".join(str(text).split()) for text in column_labels or ()]
    rows_text = [" ".join(str(text).split()) for text in row_labels or ()]
    font = ImageFont.load_default(12)
    line = 16
    top = line + pad if column_labels else pad
    widest = max((font.getlength(label) for label in rows_text), default=0)
    margin = min(math.ceil(widest), 2 * width)
    left = margin + 2 * pad if row_labels else pad
    down, across = height + pad, width + pad
    sheet = np.full(
        (top + len(cells) * down, left + columns * across, 3), 255, np.uint8
    )
    for i, row in enumerate(cells):
        for j, cell in enumerate(row):
            y, x = top + i * down, left + j * across
            sheet[y : y + height, x : x + width] = cell

    canvas = Image.fromarray(sheet)
    draw = ImageDraw.Draw(canvas)
    for j, label in enumerate(columns_text):
        place = left + j * across + width / 2, top - pad / 2 - line / 2
        draw.text(place, _fit(label, font, width), "black", font, anchor="mm")
    for i, label in enumerate(rows_text):
        place = left - pad, top + i * down + height / 2
        draw.text(place, _fit(label, font, margin), "black", font, anchor="rm")
    return np.array(canvas)


def _cell(image: Any, scale: int) -> np.ndarray:
    image = np.asarray(image)
    image = image if image.dtype == np.uint8 else to_uint8(image)
    if image.ndim != 3 or image.shape[2] not in (1, 3):
        raise ImageError(f"not an image: {image.dtype} {list(image.shape)}")
    image = np.broadcast_to(image, (*image.shape[:2], 3))
    return image.repeat(scale, axis=0).repeat(scale, axis=1)


def _fit(label: str, font: Any, width: float) -> str:
    if font.getlength(label) <= width:
        return label
    while label and font.getlength(label + "..") > width:
        label = label[:-1]
    return label + ".."


def tile(images: Any, *, scale: int = 1, pad: int = 2) -> np.ndarray:
    """Lays a flat list of images out in a nearly square `grid`, no labels.

    Args:
      images: `[N, H, W, 3]`, or a list of as many, as for `grid`.
      scale: as for `grid`.
      pad: as for `grid`.

    Returns:
      `[height, width, 3]` uint8.

    Raises:
      ImageError: no images, or of different sizes.
    """
    columns = max(1, math.ceil(math.sqrt(len(images))))
    rows = [images[i : i + columns] for i in range(0, len(images), columns)]
    return grid(rows, scale=scale, pad=pad)
