"""Data sets as arrays with ids: read, divided, selected.

A data set is decoded once and kept as 8-bit pixels: all of CelebA takes 2.5 GB.
"""

import collections
import dataclasses
import os
import sys

import numpy as np
import tqdm

from inpaint_jax.data import prepared
from inpaint_jax.data.files import DataError, ImageError
from inpaint_jax.data.rows import Rows
from inpaint_jax.data.sources import Source, open_source
from inpaint_jax.data.threads import in_threads
from inpaint_jax.names import checksum

_CHUNK = 64  # Pictures per task.


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Decoded pictures, in memory or mapped from the disk.

    Attributes:
      name: Name of the data set, as passed to ``load``.
      split: Name of the split, as passed to ``load``.
      images: ``[N, S, S, 3]`` uint8. ``Rows`` if it is the larger part of a data set
        that is mapped.
      ids: N strings, unique; the same picture has the same id in every run.
      crop: As for ``Source``.
      failed: The reason for each picture that could not be read and was left out.
    """

    name: str
    split: str
    images: np.ndarray | Rows
    ids: tuple[str, ...]
    crop: str = ""
    failed: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)


def load(
    name: str,
    *,
    split: str = "train",
    data_dir: str | os.PathLike[str] | None = None,
    crop: str | int | None = None,
    size: int = 64,
    limit: int | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Dataset:
    """Reads a data set, cropped and resized.

    Pictures that cannot be read are left out; one line in the log says so.

    Args:
      name: As for ``open_source``.
      split: As for ``open_source``.
      data_dir: As for ``open_source``.
      crop: As for ``open_source``.
      size: As for ``open_source``.
      limit: As for ``open_source``.
      cache_dir: As for ``open_source``.
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
        name,
        split=split,
        data_dir=data_dir,
        crop=crop,
        size=size,
        limit=limit,
        cache_dir=cache_dir,
        progress=progress,
    )
    return read(source, progress=progress)


def read(source: Source, *, progress: bool = False) -> Dataset:
    """Reads all of a source into memory, unless it is mapped from the disk.

    Args:
      source: The data set.
      progress: As for ``load``.

    Returns:
      A ``Dataset`` of the pictures that can be read. One line in the log tells of the
      others.

    Raises:
      DataError: No picture can be read.
    """
    if source.cached is not None:
        images, ids = source.cached.images, source.cached.ids
        reasons = tuple(source.cached.failed.values())
    else:
        with prepared.hushed():
            images, ids, failed = _read_all(source, progress)
        reasons = tuple(failed[index] for index in sorted(failed))
    if reasons and len(reasons) == len(source):
        counts = f"{len(reasons)} of {len(source)} pictures could not be read"
        raise DataError(f"{source.name}: {counts}; the first: {reasons[0]}")
    return Dataset(source.name, source.split, images, ids, source.crop, reasons)


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

    chunks = [range(i, min(i + _CHUNK, count)) for i in range(0, count, _CHUNK)]
    quiet = not (progress and sys.stderr.isatty())
    with tqdm.tqdm(total=count, desc="reading", unit="image", disable=quiet) as bar:
        for done in in_threads(work, chunks):
            bar.update(done)

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
      The rest, and the ``count`` images held back; both in the source's order. The
      rest of a data set that is mapped from the disk is still there (``Rows``).

    Raises:
      DataError: One of the two would be empty.
    """
    if not 0 < count < len(dataset):
        raise DataError(f"cannot hold back {count} of {len(dataset)} images")
    digests = [checksum(id) for id in dataset.ids]
    taken = np.zeros(len(dataset), bool)
    taken[np.argsort(digests, kind="stable")[:count]] = True

    held_back = select(dataset, taken)
    if not isinstance(dataset.images, np.memmap):
        return select(dataset, ~taken), held_back
    left = np.flatnonzero(~taken)
    rest = dataclasses.replace(
        dataset,
        images=Rows(dataset.images, left),
        ids=tuple(dataset.ids[row] for row in left),
    )
    return rest, held_back


def select(dataset: Dataset, chosen: np.ndarray) -> Dataset:
    """Selects the images where ``chosen``, ``[N]`` bool, is True, into memory."""
    rows = np.flatnonzero(chosen)
    ids = tuple(dataset.ids[row] for row in rows)
    images = np.asarray(dataset.images[rows])
    return dataclasses.replace(dataset, images=images, ids=ids)
