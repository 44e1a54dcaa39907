"""Data sets by name, as arrays with ids.

The paper's three data sets are read with tensorflow-datasets, without TensorFlow;
``images:PATH`` reads a folder, a file, zips or a pattern of these. A data set is
decoded once and kept as 8-bit pixels: all of CelebA takes 2 GB.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tqdm
from absl import logging

from inpaint_jax.data.decoding import read_picture
from inpaint_jax.data.files import ImageError, Picture, find_pictures, printable
from inpaint_jax.data.images import crop_and_resize, parse_crop
from inpaint_jax.names import checksum

# The crops of the paper's section 4; `box` is the data set's own bounding box.
_CROPS = {"celeb_a": "center", "svhn_cropped": "none", "cars196": "box"}
_CHUNK = 64  # Pictures per task; all tasks are queued at once, so few are better.


class DataError(ValueError):
    """A fault of a data set's name, split or files, in one printable line."""

    def __init__(self, line: str):
        super().__init__(printable(line))


_Read = Callable[[int], tuple[str, np.ndarray]]


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Pictures held in memory.

    Attributes:
      name: Name of the data set, as passed to ``load``.
      split: Name of the split, as passed to ``load``.
      images: ``[N, S, S, 3]`` uint8.
      ids: N strings, unique; the same picture has the same id in every run.
      crop: The crop of the original pictures: ``center``, ``none``, a number of pixels,
        or ``box``.
      failed: The reason for each picture that could not be read and was left out.
    """

    name: str
    split: str
    images: np.ndarray
    ids: tuple[str, ...]
    crop: str = ""
    failed: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """A data set whose pictures are read one by one, when they are needed.

    Attributes:
      name: Name of the data set, as passed to ``open_source``.
      split: Name of the split, as passed to ``open_source``.
      crop: As for ``Dataset``.
      size: Side of the images.
      count: Number of pictures.
      ids: Ids of all pictures, if they are known before one is read; otherwise None.
      read: A function from an index to the picture's id and ``[S, S, 3]`` uint8. It
        raises ``ImageError`` when the picture cannot be read, and may be called from
        several threads.
      pictures: The files of ``images:PATH``; otherwise None.
    """

    name: str
    split: str
    crop: str
    size: int
    count: int
    ids: tuple[str, ...] | None
    read: _Read
    pictures: tuple[Picture, ...] | None = None

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
) -> Source:
    """Opens a data set without reading any picture.

    Args:
      name: ``celeb_a``, ``svhn_cropped``, ``cars196``, or ``images:PATH`` with a path
        or pattern as ``pictures.find_pictures`` takes it.
      split: Name of a split in tensorflow-datasets (``train``, ``validation``,
        ``test``, ``extra``, or a slice such as ``train[:1000]``). ``images:`` has no
        splits and only records the name.
      data_dir: Folder in which tensorflow-datasets has prepared its data; None: its
        default folder. ``images:`` does not use it.
      crop: As for ``images.crop_and_resize``, or ``box`` for ``cars196``. None: the
        paper's crop, which is the centre square for faces and ``images:``, the bounding
        box for cars, and the whole frame for house numbers.
      size: Side of the images.
      limit: Number of pictures to take from the beginning; None: all.

    Returns:
      A ``Source``, in the data set's own order.

    Raises:
      DataError: The name, split or crop is unknown, the data is not prepared, the extra
        ``tfds`` is not installed, or the split is empty.
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

    pictures: list[Picture] | None = None
    if path:
        pictures, read = _open_pictures(path, crop, size)
        count = len(pictures)
    else:
        with _hushed():
            count, read = _open_tfds(name, split, data_dir, crop, size)
    count = count if limit is None else min(count, limit)
    if not count:
        raise DataError(f"{name}: the split {split!r} is empty")
    if pictures is None:
        return Source(name, split, str(crop), size, count, None, read)
    del pictures[count:]
    ids = tuple(picture.id for picture in pictures)
    return Source(name, split, str(crop), size, count, ids, read, tuple(pictures))


def load(
    name: str,
    *,
    split: str = "train",
    data_dir: str | os.PathLike[str] | None = None,
    crop: str | int | None = None,
    size: int = 64,
    limit: int | None = None,
    progress: bool = False,
) -> Dataset:
    """Reads a data set into memory, cropped and resized.

    Pictures that cannot be read are left out; one line in the log says so.

    Args:
      name: As for ``open_source``.
      split: As for ``open_source``.
      data_dir: As for ``open_source``.
      crop: As for ``open_source``.
      size: As for ``open_source``.
      limit: As for ``open_source``.
      progress: Whether to show a progress bar if standard error is a terminal.

    Returns:
      A ``Dataset``, in the source's order.

    Raises:
      DataError: As for ``open_source``, or no picture can be read.

    Examples:
      >>> faces = load("images:faces/*.zip", limit=1000)  # doctest: +SKIP
      >>> faces.images.shape  # doctest: +SKIP
      (1000, 64, 64, 3)
    """
    source = open_source(
        name, split=split, data_dir=data_dir, crop=crop, size=size, limit=limit
    )
    return read(source, progress=progress)


def read(source: Source, *, progress: bool = False) -> Dataset:
    """Reads all of a source into memory.

    Args:
      source: The data set.
      progress: As for ``load``.

    Returns:
      A ``Dataset`` of the pictures that can be read. One line in the log tells of the
      others.

    Raises:
      DataError: No picture can be read.
    """
    with _hushed():
        images, ids, failed = _read_all(source, progress)
    if failed and len(failed) == len(source):
        counts = f"{len(failed)} of {len(source)} pictures could not be read"
        first = failed[min(failed)]
        raise DataError(f"{source.name}: {counts}; the first: {first}")
    reasons = tuple(failed[index] for index in sorted(failed))
    return Dataset(source.name, source.split, images, ids, source.crop, reasons)


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    # tensorflow-datasets warns of things that do not matter here: that OpenCV is not
    # installed, or that a folder holds no data yet (for which a DataError says more).
    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _open_pictures(
    path: str, crop: str | int, size: int
) -> tuple[list[Picture], _Read]:
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


def _open_tfds(
    name: str,
    split: str,
    data_dir: str | os.PathLike[str] | None,
    crop: str | int,
    size: int,
) -> tuple[int, _Read]:
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise DataError(
            f"{name} needs tensorflow-datasets: pip install 'inpaint_jax[tfds]';"
            " or give images:PATH"
        ) from error

    builder = None
    try:
        builder = tfds.builder(name, data_dir=data_dir)
        source = builder.as_data_source(split)
        count = len(source)
    except Exception as error:
        reason = _tfds_reason(name, split, builder, data_dir, error)
        raise DataError(reason) from error

    def read(index: int) -> tuple[str, np.ndarray]:
        # CelebA's records have no id; their order is fixed when the data is prepared.
        id = f"{split}-{index:06d}"
        try:
            example = source[index]
            given = example.get("id", id)
            id = given.decode() if isinstance(given, bytes) else str(given)
            box = example["bbox"] if crop == "box" else None
            image = crop_and_resize(
                example["image"],
                crop="none" if crop == "box" else crop,
                size=size,
                box=box,
            )
        except Exception as error:  # A damaged record can raise anything.
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ImageError(f"{id}: {reason}") from error
        return id, image

    return count, read


def _tfds_reason(
    name: str, split: str, builder: Any, data_dir: Any, error: Exception
) -> str:
    """The reason, in one line, why tensorflow-datasets could not open a data set."""
    place = os.path.expanduser(data_dir or os.path.join("~", "tensorflow_datasets"))
    command = (
        f"tfds build {name} --file_format=array_record --data_dir={place}"
        " (this one step needs tensorflow)"
    )
    splits = list(builder.info.splits) if builder is not None else []
    if builder is not None and not splits:
        return f"{name} is not prepared in {place}; prepare it: {command}"
    if isinstance(error, NotImplementedError):
        return (
            f"{name} in {place} is not stored as array_record; prepare it in another"
            f" folder: {command}"
        )
    if splits and split.partition("[")[0] not in splits:
        return f"{name} has no split {split!r}: give {', '.join(splits)}"
    reason = " ".join(str(error).split()) or type(error).__name__
    return f"{name}: cannot read the split {split!r}: {reason}"


def _read_all(
    source: Source, progress: bool
) -> tuple[np.ndarray, tuple[str, ...], dict[int, str]]:
    """Reads a source in a few threads; returns images, ids and reasons of failures."""
    count = len(source)
    images = np.empty((count, source.size, source.size, 3), np.uint8)
    ids = [""] * count
    failed: dict[int, str] = {}

    def work(indices: range) -> int:
        for i in indices:
            try:
                ids[i], images[i] = source.read(i)
            except ImageError as error:
                failed[i] = str(error)
        return len(indices)

    # Pillow releases the interpreter's lock while it decodes.
    pool = concurrent.futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    chunks = [range(i, min(i + _CHUNK, count)) for i in range(0, count, _CHUNK)]
    quiet = not (progress and sys.stderr.isatty())
    try:
        with tqdm.tqdm(total=count, desc="reading", unit="image", disable=quiet) as bar:
            for done in pool.map(work, chunks):
                bar.update(done)
    finally:  # An interrupt must not wait for the whole data set.
        pool.shutdown(cancel_futures=True)

    kept = [i for i in range(count) if i not in failed]
    if failed:
        images = images[kept]
    seen: collections.Counter[str] = collections.Counter()
    unique = []
    for i in kept:
        seen[ids[i]] += 1
        unique.append(ids[i] if seen[ids[i]] == 1 else f"{ids[i]}-{i:06d}")
    return images, tuple(unique), failed


def hold_back(dataset: Dataset, count: int) -> tuple[Dataset, Dataset]:
    """Divides a data set into images to train on and images to judge by.

    The images held back are those whose ids have the smallest CRC-32, so the choice
    does not depend on their order.

    Args:
      dataset: The data set to divide.
      count: Number of images to hold back.

    Returns:
      The rest, and the ``count`` images held back; both in the source's order.

    Raises:
      DataError: One of the two would be empty.
    """
    if not 0 < count < len(dataset):
        raise DataError(f"cannot hold back {count} of {len(dataset)} images")
    digests = [checksum(id) for id in dataset.ids]
    taken = np.zeros(len(dataset), bool)
    taken[np.argsort(digests, kind="stable")[:count]] = True

    return select(dataset, ~taken), select(dataset, taken)


def select(dataset: Dataset, chosen: np.ndarray) -> Dataset:
    """Selects the images where ``chosen``, ``[N]`` bool, is True."""
    ids = tuple(dataset.ids[row] for row in np.flatnonzero(chosen))
    return dataclasses.replace(dataset, images=dataset.images[chosen], ids=ids)
