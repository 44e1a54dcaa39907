"""Data sets by name, opened: their pictures, to be read one by one.

The paper's three data sets are read from the files that their owners publish, or as
tensorflow-datasets has prepared them; ``images:PATH`` reads a folder, a file, zips or a
pattern of these, or parquet shards. Archives are decoded once and kept on the disk
(``cache``).
"""

import dataclasses
import os

import numpy as np

from inpaint_jax.data import cache, originals, parquet, prepared
from inpaint_jax.data.decoding import read_picture
from inpaint_jax.data.files import DataError, ImageError, Picture, find_pictures
from inpaint_jax.data.images import crop_and_resize, parse_crop
from inpaint_jax.data.prepared import Read

# The crops of the paper's section 4; `box` is the data set's own bounding box.
_CROPS = {"celeb_a": "center", "svhn_cropped": "none", "cars196": "box"}


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """A data set whose pictures are read one by one, or mapped from the disk.

    Attributes:
      name: Name of the data set, as passed to ``open_source``.
      split: Name of the split, as passed to ``open_source``.
      crop: The crop of the original pictures: ``center``, ``none``, a number of pixels,
        or ``box``.
      size: Side of the images.
      count: Number of pictures.
      ids: Ids of all pictures, if they are known before one is read; otherwise None.
      read: A function from an index to the picture's id and ``[S, S, 3]`` uint8. It
        raises ``ImageError`` when the picture cannot be read, and may be called from
        several threads.
      pictures: The files of ``images:PATH``; otherwise None.
      cached: Those of its pictures that could be decoded, if they are mapped from the
        disk; otherwise None.
      notes: What is unusual about its files, a line each.
    """

    name: str
    split: str
    crop: str
    size: int
    count: int
    ids: tuple[str, ...] | None
    read: Read
    pictures: tuple[Picture, ...] | None = None
    cached: cache.Cached | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.count

    def name_of(self, index: int, id: str) -> str:
        """The name from which a picture's random key is derived.

        For a file it does not depend on the other files of the data set.

        Args:
          index: Index of the picture.
          id: Id of the picture.
        """
        return id if self.pictures is None else self.pictures[index].name


def open_source(
    name: str,
    *,
    split: str = "train",
    data_dir: str | os.PathLike[str] | None = None,
    crop: str | int | None = None,
    size: int = 64,
    limit: int | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Source:
    """Opens a data set.

    Files, and what tensorflow-datasets has prepared, are not read before they are asked
    for. Archives are decoded now, unless the cache has them already.

    Args:
      name: ``celeb_a``, ``svhn_cropped``, ``cars196``, or ``images:PATH`` with a path
        or pattern as ``pictures.find_pictures`` takes it, or parquet shards.
      split: Name of a split (``train``, ``validation``, ``test``, ``extra``, or a slice
        such as ``train[:1000]`` or ``train[50%:]``). ``images:`` has no splits and only
        records the name.
      data_dir: Folder with the data set's own files (``originals``), or in which
        tensorflow-datasets has prepared it; None: the default folder of that.
        ``images:`` does not use it.
      crop: As for ``images.crop_and_resize``, or ``box`` for ``cars196``. None: the
        paper's crop, which is the centre square for faces and ``images:``, the bounding
        box for cars, and the whole frame for house numbers.
      size: Side of the images.
      limit: Number of pictures to take from the beginning; None: all.
      cache_dir: Folder for what is decoded of archives; None: the user's (``cache``).
      progress: Whether to show a progress bar while archives are decoded, if standard
        error is a terminal.

    Returns:
      A ``Source``, in the data set's own order.

    Raises:
      DataError: The name, split or crop is unknown, the data is not there or damaged,
        an extra that it needs is not installed, or the split is empty.
    """
    kind, _, path = name.partition(":")
    if (not path and name not in _CROPS) or (path and kind != "images"):
        known = ", ".join(_CROPS)
        raise DataError(f"unknown data set {name!r}: give {known}, or images:PATH")
    if limit is not None and limit < 1:
        raise DataError(f"limit {limit}: give at least 1")
    if size < 1:
        raise DataError(f"size {size}: give at least 1")
    crop = _CROPS.get(name, "center") if crop is None else crop
    if crop != "box" or name != "cars196":
        try:
            crop = parse_crop(crop)
        except ImageError as error:
            raise DataError(f"{name}: {error}") from error

    if path:
        shards = _shards_of(path)
        if not shards:
            pictures, read = _open_pictures(path, crop, size)
            pictures = pictures[:limit]
            ids = tuple(picture.id for picture in pictures)
            return Source(
                name, split, str(crop), size, len(ids), ids, read, tuple(pictures)
            )
        original, label = parquet.open_shards(shards), "images"
        ids = original.ids[:limit]
    else:
        folder = _folder_of(data_dir)
        if prepared.is_there(name, folder) or not originals.is_there(name, folder):
            return _open_prepared(name, split, folder, crop, size, limit)
        whole, rows_of = originals.parse_split(split)
        original, label = originals.open_split(name, whole, folder), f"{name}-{whole}"
        ids = original.ids[rows_of(len(original.ids))][:limit]
    if not ids:
        raise DataError(f"{name}: the split {split!r} is empty")
    found = cache.load(
        original, label, crop=crop, size=size, folder=cache_dir, progress=progress
    )
    cached, read = _part_of(found, ids)
    return Source(
        name,
        split,
        str(crop),
        size,
        len(ids),
        ids,
        read,
        cached=cached,
        notes=original.notes,
    )


def _part_of(found: cache.Cached, ids: tuple[str, ...]) -> tuple[cache.Cached, Read]:
    """The part of a decoded split with these ids, which follow one another there."""
    failed = {id: found.failed[id] for id in ids if id in found.failed}
    kept = tuple(id for id in ids if id not in failed)
    first = found.ids.index(kept[0]) if kept else 0
    images = found.images[first : first + len(kept)]
    row_of = {id: row for row, id in enumerate(kept)}

    def read(index: int) -> tuple[str, np.ndarray]:
        id = ids[index]
        if id in failed:
            raise ImageError(failed[id])
        return id, np.array(images[row_of[id]])

    return found._replace(images=images, ids=kept, failed=failed), read


def _folder_of(data_dir: str | os.PathLike[str] | None) -> str:
    if data_dir is None:
        data_dir = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return os.path.expanduser(data_dir)


def _open_prepared(
    name: str, split: str, folder: str, crop: str | int, size: int, limit: int | None
) -> Source:
    """A source of what tensorflow-datasets has prepared."""
    try:
        with prepared.hushed():
            count, read = prepared.open_split(name, split, folder, crop, size)
    except DataError as error:
        if prepared.is_there(name, folder):
            raise
        raise DataError(
            f"{name} is not in {folder}: expected are {originals.guide(name)}; or "
            f"prepare it: {prepared.command(name, folder)}"
        ) from error
    count = count if limit is None else min(count, limit)
    if not count:
        raise DataError(f"{name}: the split {split!r} is empty")
    return Source(name, split, str(crop), size, count, None, read)


def _shards_of(path: str) -> list[str]:
    """Parquet shards at a path that has no picture files; empty if it has some."""
    shards = parquet.find_shards(path)
    if not shards or os.path.isfile(path):
        return shards
    try:
        find_pictures([path])
    except ImageError:
        return shards
    return []


def _open_pictures(path: str, crop: str | int, size: int) -> tuple[list[Picture], Read]:
    try:
        pictures = find_pictures([path])
    except ImageError as error:
        raise DataError(str(error)) from error

    def read(index: int) -> tuple[str, np.ndarray]:
        picture = pictures[index]
        # A crop in pixels refers to the pixels of the file.
        at_least = None if isinstance(crop, int) else 2 * size
        image = read_picture(picture, at_least=at_least)
        try:
            image = crop_and_resize(image, crop=crop, size=size)
        except ImageError as error:
            raise ImageError(f"{picture}: {error}") from error
        return picture.id, image

    return pictures, read
