"""The paper's data sets in the files that people have, without tensorflow-datasets.

Those of the owners' pages, of Kaggle and of torchvision, wherever they lie below one
folder. The splits are the official ones, and so are the ids: numbers of CelebA and
Stanford Cars, and of SVHN those that tensorflow-datasets gives.
"""

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

from inpaint_jax.data import archives, matlab
from inpaint_jax.data.archives import Original, Task
from inpaint_jax.data.files import DataError

PUBLISHED: dict[str, dict[str, int]] = {
    "celeb_a": {"train": 162_770, "validation": 19_867, "test": 19_962},
    "svhn_cropped": {"train": 73_257, "test": 26_032, "extra": 531_131},
    "cars196": {"train": 8_144, "test": 8_041},
}
"""Number of pictures in each official split, by the name of the data set."""


class MissingError(DataError):
    """A split of which nothing is there, where other parts of its data set may be."""


_FACES = ("img_align_celeba.zip", "img_align_celeba")
_PARTITIONS = ("list_eval_partition.txt", "list_eval_partition.csv")
_DEVKIT = "car_devkit.tgz"
# The boxes are the same in both files of the test split; only labels differ.
_ANNOTATIONS = {
    "train": ("cars_train_annos.mat",),
    "test": ("cars_test_annos_withlabels.mat", "cars_test_annos.mat"),
}
_CARS = {
    split: (f"cars_{split}.tgz", f"cars_{split}.tar", f"cars_{split}")
    for split in _ANNOTATIONS
}
_NAMES: dict[str, tuple[str, ...]] = {
    "celeb_a": _FACES + _PARTITIONS,
    "svhn_cropped": tuple(f"{x}_32x32.mat" for x in PUBLISHED["svhn_cropped"]),
    "cars196": (
        *(name for names in _CARS.values() for name in names),
        *(name for names in _ANNOTATIONS.values() for name in names),
        _DEVKIT,
    ),
}


class _Guide(NamedTuple):
    """What is expected of a data set, and where people get it."""

    files: str
    where: str


_GUIDES = {
    "celeb_a": _Guide(
        "img_align_celeba.zip or the folder img_align_celeba, and "
        "list_eval_partition.txt or .csv",
        "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html, torchvision, or Kaggle's "
        "jessicali9530/celeba-dataset, whose archive.zip is to be unpacked",
    ),
    "svhn_cropped": _Guide(
        "train_32x32.mat, test_32x32.mat and, for the split extra, extra_32x32.mat",
        "http://ufldl.stanford.edu/housenumbers, or torchvision",
    ),
    "cars196": _Guide(
        "cars_train.tgz and cars_test.tgz or folders of these names, and "
        "cars_train_annos.mat and cars_test_annos_withlabels.mat or car_devkit.tgz",
        "the places that https://github.com/pytorch/vision/issues/7545 lists, or "
        "Kaggle's jessicali9530/stanford-cars-dataset, whose archive.zip is to be "
        "unpacked",
    ),
}

_SLICE = re.compile(r"(?P<name>\w+)(?:\[(?P<first>-?\d+%?)?:(?P<stop>-?\d+%?)?\])?")
# The official partition of CelebA: the last number of each split.
_LAST = {"train": 162_770, "validation": 182_637, "test": 202_599}
_LINE = re.compile(r"(\d{6})\.(?:jpg|png)(?:[ \t]+|,)([012])")
_MOST_BYTES = 64 << 20  # The partition file has 4 MB.


def is_there(name: str, folder: str) -> bool:
    """Whether a folder holds any of a data set's own files."""
    return bool(archives.find(folder, _NAMES[name]))


def guide(name: str) -> str:
    """The files expected of a data set, and where to get them, as part of a line."""
    return f"{_GUIDES[name].files} (from {_GUIDES[name].where})"


def open_split(name: str, split: str, folder: str) -> Original:
    """Opens a split of a data set in its own files; no picture is read.

    Args:
      name: ``celeb_a``, ``svhn_cropped`` or ``cars196``.
      split: Name of an official split, as in ``PUBLISHED``.
      folder: Folder with the files, at most a few folders down.

    Returns:
      The split, ids in sorted order.

    Raises:
      MissingError: A file is missing, or the split is empty. The line says what was
        found and what is missing.
      DataError: There is no such split, or a file is damaged.
    """
    if split not in PUBLISHED[name]:
        raise DataError(f"{name} has no split {split!r}: give {_listed(name)}")
    found = archives.find(folder, _NAMES[name])
    open_one = {"celeb_a": _faces, "svhn_cropped": _digits, "cars196": _cars}[name]
    opened = open_one(split, _Files(name, split, folder, found))
    if not opened.ids:
        line = f"{name}: {opened.place} has no picture of the split {split!r}"
        raise MissingError(line)
    published = PUBLISHED[name][split]
    if len(opened.ids) != published:
        note = (
            f"{name}: {opened.place} has {len(opened.ids):,} pictures of the split "
            f"{split!r}; {published:,} are published"
        )
        opened = opened._replace(notes=(*opened.notes, note))
    return opened


def parse_split(split: str) -> tuple[str, Callable[[int], slice]]:
    """The name of a split, and a function from its number of pictures to those wanted.

    Args:
      split: A name, or a slice as tensorflow-datasets writes it: ``train[:1000]``,
        ``train[-10%:]``.

    Raises:
      DataError: It is neither.
    """
    match = _SLICE.fullmatch(split)
    if match is None:
        raise DataError(
            f"split {split!r}: give a name, or a slice as train[:1000] or train[50%:]"
        )
    first, stop = match["first"], match["stop"]

    def at(text: str | None, count: int) -> int | None:
        if text is None or not text.endswith("%"):
            return None if text is None else int(text)
        return round(int(text[:-1]) / 100 * count)

    return match["name"], lambda count: slice(at(first, count), at(stop, count))


def _listed(name: str) -> str:
    return ", ".join(PUBLISHED[name])


class _Files(NamedTuple):
    """What was found of a data set.

    Attributes:
      name: Name of the data set.
      split: Name of the split that is wanted.
      folder: Where it was looked for.
      found: Paths by name.
    """

    name: str
    split: str
    folder: str
    found: Mapping[str, str]

    def first(self, names: Collection[str]) -> str | None:
        """The path of the first of these names that is there."""
        return next((self.found[name] for name in names if name in self.found), None)

    def need(self, names: Collection[str]) -> str:
        """The path of the first of these names that is there.

        Raises:
          MissingError: None is.
        """
        path = self.first(names)
        if path is None:
            raise self.lacks(names)
        return path

    def lacks(self, names: Collection[str]) -> MissingError:
        """The error for a split of which none of these files is there."""
        here = ", ".join(os.path.relpath(x, self.folder) for x in self.found.values())
        return MissingError(
            f"{self.name}, split {self.split!r}: no {' or '.join(names)} in "
            f"{self.folder}, where there is {here or 'nothing of it'}; expected are "
            f"{guide(self.name)}"
        )


# --- CelebA ------------------------------------------------------------------


def _faces(split: str, files: _Files) -> Original:
    pictures = archives.list_pictures(files.need(_FACES))
    numbered = sorted(x for x in pictures.names if re.fullmatch(r"\d{6}", x))
    partition, notes = files.first(_PARTITIONS), tuple[str, ...]()
    if partition is None:
        bounds = [0, *_LAST.values()]
        at = list(_LAST).index(split)
        ids = tuple(x for x in numbered if bounds[at] < int(x) <= bounds[at + 1])
        notes = (
            f"celeb_a: there is no {' or '.join(_PARTITIONS)} in {files.folder}, so "
            "the splits are the official ranges of numbers: "
            f"train to {_LAST['train']:06d}, validation to {_LAST['validation']:06d}",
        )
    else:
        wanted = list(_LAST).index(split)
        part_of = _read_partition(partition)
        ids = tuple(x for x in numbered if part_of.get(x) == wanted)

    def tasks(done: Collection[int]) -> Iterator[Task]:
        for index, id in enumerate(ids):
            if index not in done:
                yield Task(index, pictures.picture(id))

    fingerprint = archives.digest(pictures.marks(ids))
    return Original(ids, fingerprint, tasks, pictures.path, notes)


def _read_partition(path: str) -> dict[str, int]:
    """The number of the split of each picture of CelebA, by the picture's number."""
    try:
        if os.path.getsize(path) > _MOST_BYTES:
            raise DataError(f"{path}: too large to be CelebA's partition")
        with open(path, encoding="utf-8-sig") as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text"
        raise DataError(f"{path}: {reason}: download it again") from error
    part_of: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or (number == 1 and line.strip() == "image_id,partition"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None or match[1] in part_of:
            wrong = "names a picture again" if match else "is strange"
            raise DataError(
                f"{path}, line {number} {wrong}: {line.strip()[:60]!r}, where lines "
                "are as '000001.jpg 0' with 0, 1 or 2: download it again"
            )
        part_of[match[1]] = int(match[2])
    if not part_of:
        raise DataError(f"{path}: is empty: download it again")
    return part_of


# --- SVHN --------------------------------------------------------------------


def _digits(split: str, files: _Files) -> Original:
    path = files.need((f"{split}_32x32.mat",))
    ids = tuple(f"{split}_{i:06d}" for i in range(matlab.count_digits(path)))

    def tasks(done: Collection[int]) -> Iterator[Task]:
        digits = matlab.read_digits(path)
        for index in range(len(ids)):
            if index not in done:
                yield Task(index, digits[..., index])

    return Original(ids, archives.mark_of(path), tasks, path)


# --- Stanford Cars -----------------------------------------------------------


def _cars(split: str, files: _Files) -> Original:
    place = files.need(_CARS[split])
    by_file = _read_annotations(split, files)
    by_id = {os.path.splitext(name)[0]: box for name, box in sorted(by_file.items())}
    ids, boxes = tuple(by_id), tuple(by_id.values())
    lines = (f"{id} {box}" for id, box in by_id.items())
    if os.path.isdir(place):
        pictures = archives.list_pictures(place)
        marks: Any = pictures.marks(id for id in ids if id in pictures.names)

        def tasks(done: Collection[int]) -> Iterator[Task]:
            for index, id in enumerate(ids):
                if index not in done and id in pictures.names:
                    yield Task(index, pictures.picture(id), boxes[index])

    else:
        marks = [archives.mark_of(place)]

        def tasks(done: Collection[int]) -> Iterator[Task]:
            wanted = {id: i for i, id in enumerate(ids) if i not in done}
            for index, picture in archives.stream_pictures(place, wanted):
                yield Task(index, picture, boxes[index])

    return Original(ids, archives.digest([*lines, *marks]), tasks, place)


def _read_annotations(split: str, files: _Files) -> Mapping[str, Any]:
    """The boxes of a split: those of a file of their own, or in the packed devkit."""
    path = files.first(_ANNOTATIONS[split])
    if path is not None:
        return matlab.read_boxes(path)
    devkit = files.first((_DEVKIT,))
    if devkit is not None:
        for name in _ANNOTATIONS[split]:
            data = archives.read_member(devkit, name)
            if data is not None:
                return matlab.read_boxes(f"{devkit}: {name}", data)
    raise files.lacks(_ANNOTATIONS[split])
