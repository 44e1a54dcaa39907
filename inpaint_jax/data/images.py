"""Images as arrays: crops, masks, writing.

This module turns a decoded picture into the model's ``[size, size, 3]`` array, so that
every program sees the same pixels, and writes arrays to files.
"""

import contextlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from inpaint_jax.data.decoding import PictureLike, read_picture
from inpaint_jax.data.files import ImageError
from inpaint_jax.data.mask_meaning import read_missing

# --- cropping ----------------------------------------------------------------


def parse_crop(crop: str | int) -> str | int:
    """Checks a crop: ``center``, ``none``, or a number of pixels (text will do).

    Raises:
      ImageError: The crop is anything else.
    """
    if crop in ("center", "none"):
        return crop
    if re.fullmatch(r"[0-9]+", str(crop)) and int(crop) > 0:
        return int(crop)
    raise ImageError(
        f"crop {str(crop)!r}: give center, none, or the side in pixels of a square"
    )


def region(
    height: int, width: int, crop: str | int, box: Sequence[float] | None = None
) -> tuple[slice, slice]:
    """The rows and columns of a picture that a crop, or a ``box``, keeps.

    Raises:
      ImageError: The crop is unknown or larger than the picture.
    """
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
    return rows, columns


def _resize(image: Image.Image, size: int) -> np.ndarray:
    """Resizes a picture or its mask to ``[size, size]``, aspect ratio not kept.

    Pillow weighs source pixels by position and size alone, whatever the mode, and no
    weight is negative. So a new pixel of a float mask is 0 exactly if the mask is 0 at
    every source pixel of the same new pixel of the picture.
    """
    shrinks = min(image.size) >= size
    resample = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    return np.array(image.resize((size, size), resample))


def _is_rgb(image: np.ndarray) -> bool:
    return image.dtype == np.uint8 and image.shape[2:] == (3,) and image.size > 0


def crop_and_resize(
    image: PictureLike,
    *,
    crop: str | int = "center",
    size: int = 64,
    box: Sequence[float] | None = None,
) -> np.ndarray:
    """Crops a picture and resizes it to the model's square.

    Shrinking takes the mean of the source pixels whose centres a new pixel covers;
    where a side is enlarged, both are interpolated bilinearly. Sharper filters
    (Lanczos, bicubic) reach two or three new pixels far and overshoot: a hole in the
    picture would bleed that far into the known pixels, and ``read_mask`` would have to
    make all of these missing. Here only the pixel at the edge is lost.

    Args:
      image: ``[H, W, 3]`` uint8 of any size from one pixel on, or anything else that
        ``read_picture`` reads.
      crop: ``center``, the centre square of the shorter side (the centre 178x178 of
        CelebA's 178x218); a number, the centre square of so many pixels; ``none``, the
        whole frame, aspect ratio not kept.
      size: Side of the result.
      box: Two opposite corners, ymin, xmin, ymax, xmax, as shares of the height and
        width in [0, 1]; used instead of ``crop``, aspect ratio not kept. A box may be
        as small as one pixel.

    Returns:
      ``[size, size, 3]`` uint8; if the crop has that size already, its pixels bit for
      bit.

    Raises:
      ImageError: The crop is unknown or larger than the picture, or as for
        ``read_picture``.
    """
    if isinstance(image, np.ndarray) and _is_rgb(image):
        rgb = image  # Not copied, as it may be large.
    else:
        rgb = read_picture(image)
    rows, columns = region(rgb.shape[0], rgb.shape[1], crop, box)
    return _resize(Image.fromarray(rgb[rows, columns]), size)


# --- masks -------------------------------------------------------------------


def read_mask(
    mask: PictureLike,
    *,
    image_size: tuple[int, int],
    crop: str | int = "center",
    size: int = 64,
    known: str = "black",
) -> np.ndarray:
    """Reads a mask and resizes it as ``crop_and_resize`` resizes its picture.

    White or transparent pixels are missing. ``read_missing`` reads the mask, and the
    docstring of its module says which files are valid masks; ``crop_mask`` resizes it.

    Args:
      mask: As for ``read_missing``: a file, a PIL image or an array.
      image_size: Height and width of the picture it belongs to, before the crop.
      crop: The picture's crop.
      size: Side of the result.
      known: Colour of known pixels, ``black`` or ``white``.

    Returns:
      ``[size, size, 1]`` float32: 1 where known, 0 where missing.

    Raises:
      ImageError: As for ``read_missing``, or the crop is unknown or larger than the
        picture.
    """
    missing = read_missing(mask, image_size=image_size, known=known)
    return crop_mask(missing, crop=crop, size=size)


def crop_mask(
    missing: np.ndarray, *, crop: str | int = "center", size: int = 64
) -> np.ndarray:
    """Resizes a mask as ``crop_and_resize`` resizes its picture.

    A pixel is missing if any of its source pixels with a weight is missing, so that no
    known pixel contains colour from inside the hole.

    Args:
      missing: ``[H, W]`` bool, as ``read_missing`` returns it.
      crop: The picture's crop.
      size: Side of the result.

    Returns:
      ``[size, size, 1]`` float32: 1 where known, 0 where missing.

    Raises:
      ImageError: The crop is unknown or larger than the picture.
    """
    rows, columns = region(missing.shape[0], missing.shape[1], crop)
    kept = missing[rows, columns].astype(np.float32)
    return (_resize(Image.fromarray(kept), size) == 0).astype(np.float32)[..., None]


# --- writing -----------------------------------------------------------------


def write_png(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Writes a PNG atomically and makes its folder.

    Args:
      path: The file; an existing one is replaced.
      image: ``[H, W, 3]``, ``[H, W, 1]`` or ``[H, W]`` uint8.

    Raises:
      ImageError: ``image`` is not such an array, or the file cannot be written.
    """
    path, image = Path(path), np.asarray(image)
    flat = image[..., 0] if image.shape[2:] == (1,) else image
    right = flat.ndim == 2 or (flat.ndim == 3 and flat.shape[2] == 3)
    if image.dtype != np.uint8 or not image.size or not right:
        raise ImageError(f"{path}: cannot write {image.dtype} {list(image.shape)}")
    # In the same folder, as a rename is atomic only within a file system.
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


def writable_format(path: str | os.PathLike[str]) -> str:
    """Pillow's name of the format that a path's suffix stands for.

    Raises:
      ImageError: The suffix stands for no format that can be written.
    """
    Image.init()
    name = Image.EXTENSION.get(Path(path).suffix.lower(), "")
    if name not in Image.SAVE:
        raise ImageError(f"{path}: give it the suffix of a picture, as .png or .jpg")
    return name
