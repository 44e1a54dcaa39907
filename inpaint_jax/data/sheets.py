"""Contact sheets: images in rows and columns, with labels."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from inpaint_jax.data.files import ImageError
from inpaint_jax.pixels import to_uint8


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
      row_labels: A text to the left of each row.
      captions: A text below each image, in rows like ``images``; cut to the image's
        width.
      scale: Side in pixels of the square that each pixel becomes.
      pad: Width in pixels of the white frame of every image.

    Returns:
      ``[height, width, 3]`` uint8.

    Raises:
      ImageError: There are no images, their sizes differ, or the number of labels is
        wrong.
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
    """Lays a flat list of images out in a nearly square ``grid`` without labels.

    Args:
      images: ``[N, H, W, 3]``, or a list of N images, as for ``grid``.
      scale: As for ``grid``.
      pad: As for ``grid``.

    Returns:
      ``[height, width, 3]`` uint8.

    Raises:
      ImageError: There are no images, or their sizes differ.
    """
    columns = max(1, math.ceil(math.sqrt(len(images))))
    rows = [images[i : i + columns] for i in range(0, len(images), columns)]
    return grid(rows, scale=scale, pad=pad)
