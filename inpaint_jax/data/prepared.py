"""The paper's data sets as prepared by tensorflow-datasets, without TensorFlow."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from inpaint_jax.data.files import DataError, ImageError
from inpaint_jax.data.images import crop_and_resize

Read = Callable[[int], tuple[str, np.ndarray]]
"""A function from an index to the picture's id and ``[S, S, 3]`` uint8."""


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Silences tensorflow-datasets, which warns of things that do not matter here.

    As that OpenCV is not installed, or that a folder holds no data yet, for which a
    DataError says more.
    """
    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)


def is_there(name: str, folder: str) -> bool:
    """Whether a data set was prepared in a folder; a bucket is not looked into."""
    return "://" in folder or any(Path(folder, name).glob("*/dataset_info.json"))


def command(name: str, folder: str) -> str:
    """The command that prepares a data set, as part of a line."""
    return (
        f"tfds build {name} --file_format=array_record --data_dir={folder}"
        " (this one step needs tensorflow)"
    )


def open_split(
    name: str, split: str, folder: str, crop: str | int, size: int
) -> tuple[int, Read]:
    """Opens a prepared split without reading any picture.

    Args:
      name: ``celeb_a``, ``svhn_cropped`` or ``cars196``.
      split: Name of a split in tensorflow-datasets, or a slice of one.
      folder: Folder or bucket in which it was prepared.
      crop: As for ``crop_and_resize``, or ``box``.
      size: Side of the images.

    Returns:
      The number of pictures, and a function that reads one.

    Raises:
      DataError: The split is unknown, the data is not prepared or otherwise stored, or
        the extra ``tfds`` is not installed.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise DataError(
            f"{name} as prepared in {folder} needs tensorflow-datasets: pip install "
            "'inpaint_jax[tfds]'; or give --data_dir with the data set's own files, or "
            "images:PATH"
        ) from error

    builder = None
    try:
        builder = tfds.builder(name, data_dir=folder)
        source = builder.as_data_source(split)
        count = len(source)
    except Exception as error:
        raise DataError(_reason(name, split, builder, folder, error)) from error

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


def _reason(name: str, split: str, builder: Any, folder: str, error: Exception) -> str:
    """The reason, in one line, why tensorflow-datasets could not open a data set."""
    splits = list(builder.info.splits) if builder is not None else []
    if builder is not None and not splits:
        return (
            f"{name} is not prepared in {folder}; prepare it: {command(name, folder)}"
        )
    if isinstance(error, NotImplementedError):
        return (
            f"{name} in {folder} is not stored as array_record; prepare it in another"
            f" folder: {command(name, folder)}"
        )
    if splits and split.partition("[")[0] not in splits:
        return f"{name} has no split {split!r}: give {', '.join(splits)}"
    reason = " ".join(str(error).split()) or type(error).__name__
    return f"{name}: cannot read the split {split!r}: {reason}"
