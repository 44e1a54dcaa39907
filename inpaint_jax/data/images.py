"""Images as arrays: crops, masks, values, writing, contact sheets.

What happens between a decoded picture and the model's ``[size, size, 3]`` array is
here, so that every program sees the same pixels, and so is the way back to a file.
"""

import contextlib
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from inpaint_jax.data.pictures import ImageError, Picture, read_picture
from inpaint_jax.pixels import to_uint8

# From fewer pixels than this a side, a 64-pixel image is one pixel smeared over
# 8x8: an icon or a tracking pixel that came along, never a picture to fill.
MIN_SIDE = 8


# --- cropping ----------------------------------------------------------------


def parse_crop(crop: str | int) -> str | int:
    """Checks a crop: ``center``, ``none``, or a number of pixels (text will do).

    Raises:
      ImageError: It is anything else.
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
    """The rows and columns that a crop keeps."""
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


def _resize(image: Image.Image, size: int) -> np.ndarray:
    """Resizes a picture or its mask to ``[size, size]``, aspect not kept.

    Pillow weighs source pixels by position and size alone, whatever the mode, and no
    weight is negative: a new pixel of a float mask is 0 exactly when every source pixel
    that the same pixel of its picture is made of is 0.
    """
    shrinks = min(image.size) >= size
    resample = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    return np.array(image.resize((size, size), resample))


def crop_and_resize(
    image: np.ndarray,
    *,
    crop: str | int = "center",
    size: int = 64,
    box: Sequence[float] | None = None,
) -> np.ndarray:
    """Crops a picture and resizes it to the model's square.

    Shrinking takes the mean of the source pixels whose centres a new pixel covers;
    where a side is enlarged, both are interpolated bilinearly. Sharper filters
    (Lanczos, bicubic) reach two or three new pixels far and overshoot: a hole in the
    picture would bleed that far into what is known, and ``read_mask`` would have to
    give all of it up. Here it is at most the pixel at the edge.

    Args:
      image: ``[H, W, 3]`` uint8.
      crop: ``center``, the centre square of the shorter side (the centre 178x178 of
        CelebA's 178x218); a number, the centre square of so many pixels; ``none``, the
        whole frame, aspect not kept.
      size: Side of the result.
      box: Two opposite corners, ymin, xmin, ymax, xmax, as shares of the height and
        width in [0, 1]; taken instead of ``crop``, aspect not kept. One pixel is
        enough: who drew the box meant what is in it.

    Returns:
      ``[size, size, 3]`` uint8; where the crop has that size already, its pixels bit
      for bit.

    Raises:
      ImageError: An unknown crop, one larger than the picture, or one with a side below
        ``MIN_SIDE`` pixels.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ImageError(f"not RGB of 8 bits: {image.dtype} {list(image.shape)}")
    rows, columns = _region(image.shape[0], image.shape[1], crop, box)
    return _resize(Image.fromarray(image[rows, columns]), size)


def read_mask(
    mask: Picture | str | os.PathLike[str],
    *,
    image_size: tuple[int, int],
    crop: str | int = "center",
    size: int = 64,
    known: str = "black",
) -> np.ndarray:
    """Reads a mask and resizes it as ``crop_and_resize`` resizes its picture.

    A pixel is missing when any source pixel that has a weight in it is missing, so that
    nothing from inside the hole is ever taken for known.

    Args:
      mask: An image file in which white is missing and black is known, cut at half
        grey. Transparent is white: a hole may be made with an eraser.
      image_size: Height and width of the picture it belongs to, before the crop.
      crop: The picture's crop.
      size: Side of the result.
      known: Colour of what is known, ``black`` or ``white``.

    Returns:
      ``[size, size, 1]`` float32: 1 where known, 0 where missing.

    Raises:
      ImageError: The file cannot be read, is not of the picture's size, or is written
        with the values 0 and 1.
    """
    hole = read_hole(mask, image_size=image_size, known=known)
    return crop_hole(hole, crop=crop, size=size)


def read_hole(
    mask: Picture | str | os.PathLike[str],
    *,
    image_size: tuple[int, int],
    known: str = "black",
) -> np.ndarray:
    """Reads a mask as it is, before any crop; the arguments are ``read_mask``'s.

    Returns:
      ``[H, W]`` bool, True where pixels are missing.

    Raises:
      ImageError: As ``read_mask``.
    """
    if known not in ("black", "white"):
        raise ImageError(f"known={known!r}: give black or white")
    image = read_picture(mask)
    height, width = image_size
    if image.shape[:2] != (height, width):
        raise ImageError(
            f"{mask}: the mask is {image.shape[1]}x{image.shape[0]}, its picture"
            f" {width}x{height}; both must be of one size"
        )
    if image.max() == 1:
        raise ImageError(f"{mask}: the mask holds 0 and 1; write it as 0 and 255")
    white = np.asarray(Image.fromarray(image).convert("L")) >= 128
    return white if known == "black" else ~white


def crop_hole(hole: np.ndarray, *, crop: str | int, size: int) -> np.ndarray:
    """Crops and resizes a hole ``[H, W]`` bool as ``crop_and_resize`` its picture.

    Returns:
      ``[size, size, 1]`` float32: 0 where a source pixel of weight is missing, else 1.
    """
    rows, columns = _region(hole.shape[0], hole.shape[1], crop, None)
    share = _resize(Image.fromarray(hole[rows, columns].astype(np.float32)), size)
    return (share == 0).astype(np.float32)[..., None]


def share_outside(hole: np.ndarray, crop: str | int) -> float:
    """How much of a hole ``[H, W]`` bool a crop cuts off, in [0, 1]; 0 of no hole."""
    rows, columns = _region(hole.shape[0], hole.shape[1], crop, None)
    whole, inside = np.count_nonzero(hole), np.count_nonzero(hole[rows, columns])
    return (whole - inside) / whole if whole else 0.0


# --- values and writing ------------------------------------------------------


def write_png(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Writes a PNG as a whole or not at all, making its folder.

    Args:
      path: Where to; an existing file is replaced.
      image: ``[H, W, 3]``, ``[H, W, 1]`` or ``[H, W]`` uint8.

    Raises:
      ImageError: ``image`` is no such array, or the file cannot be written.
    """
    path, image = Path(path), np.asarray(image)
    flat = image[..., 0] if image.shape[2:] == (1,) else image
    right = flat.ndim == 2 or (flat.ndim == 3 and flat.shape[2] == 3)
    if image.dtype != np.uint8 or not image.size or not right:
        raise ImageError(f"{path}: cannot write {image.dtype} {list(image.shape)}")
    # In the same folder: a rename is atomic on one file system only.
    unfinished = path.parent / f".{path.name}.{os.getpid()}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(flat).save(unfinished, format="PNG")
        unfinished.replace(path)
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink()


# --- contact sheets ----------------------------------------------------------


def grid(
    images: Any,
    *,
    column_labels: Sequence[str] | None = None,
    row_labels: Sequence[str] | None = None,
    captions: Sequence[Sequence[str]] | None = None,
    scale: int = 2,
    pad: int = 4,
) -> np.ndarray:
    """Lays images out in rows and columns on white, with labels.

    Args:
      images: Rows of images of one size, ``[H, W, 3]`` or ``[H, W, 1]`` each, uint8 or
        float in [-1, 1]; rows may be short. Or ``[R, C, H, W, 3]``.
      column_labels: A text above each column; cut to the column's width.
      row_labels: A text left of each row.
      captions: A text below each image, rows of as many as there are images; cut to
        the image's width.
      scale: Each pixel becomes a square of so many.
      pad: White pixels around every image.

    Returns:
      ``[height, width, 3]`` uint8.

    Raises:
      ImageError: No images, different sizes, or a wrong number of labels.
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
    if captions is not None and list(map(len, captions)) != list(map(len, cells)):
        raise ImageError("captions must be as many as images, row by row")

    columns_text = [" ".join(str(text).split()) for text in column_labels or ()]
    rows_text = [" ".join(str(text).split()) for text in row_labels or ()]
    font = ImageFont.load_default(12)
    line = 16
    top = line + pad if column_labels else pad
    widest = max((font.getlength(label) for label in rows_text), default=0)
    margin = min(math.ceil(widest), 2 * width)
    left = margin + 2 * pad if row_labels else pad
    down, across = height + pad + (line if captions else 0), width + pad
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
    for i, row_of_text in enumerate(captions or ()):
        for j, text in enumerate(row_of_text):
            place = left + j * across + width / 2, top + i * down + height + line / 2
            draw.text(place, _fit(text, font, width), "black", font, anchor="mm")
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
    """Lays a flat list of images out in a nearly square ``grid``, no labels.

    Args:
      images: ``[N, H, W, 3]``, or a list of as many, as for ``grid``.
      scale: As for ``grid``.
      pad: As for ``grid``.

    Returns:
      ``[height, width, 3]`` uint8.

    Raises:
      ImageError: No images, or of different sizes.
    """
    columns = max(1, math.ceil(math.sqrt(len(images))))
    rows = [images[i : i + columns] for i in range(0, len(images), columns)]
    return grid(rows, scale=scale, pad=pad)
