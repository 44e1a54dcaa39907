"""Versions of the benchmark, as they were frozen.

A version is a folder. ``sets.json`` says of each data set its title, the side of its
images, how they are cropped, its name as ``--dataset`` takes it where its owner's
archives are read, and where faces have eyes and mouth. ``NAME.csv`` lists its pictures:
id, SHA-256 and fingerprint (``recognition.Mark``). ``NAME.npz`` holds, for each kind of
mask, ``[N, S * S / 8]`` uint8: the mask of every picture, packed by ``numpy.packbits``,
a bit for each pixel row by row, 1 = known. ``schema.json`` describes results.
"""

import csv
import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from experiments.benchmark import recognition
from experiments.benchmark.recognition import Located, Mark
from experiments.flags import dataset as dataset_flags
from experiments.runtime import program

_HERE = Path(__file__).parent

VERSIONS = {"v1": "96eaa9198953588dc7524e4134a202017b4ebbdb0b83ead3aff8bf183f17cad8"}
"""All versions, and the SHA-256 of each one's content. Neither ever changes."""


@dataclasses.dataclass(frozen=True, eq=False)
class PictureSet:
    """The benchmark's pictures from one data set, without their pixels.

    Attributes:
      version: Version of the benchmark.
      name: Name of the set, such as ``celeba64``.
      title: Its title in tables.
      image_size: Side of the images, S.
      crop: How its pictures are cropped, as for ``sources.open_source``.
      places: ``[3, 2]``, where faces have the left eye, the right one and the middle of
        the mouth, as shares of S; None: they are no faces.
      dataset: Name of its owner's data set, or None if that holds no such pictures.
      ids: Ids of the pictures, in the order of the benchmark.
      marks: What each is recognised by.
      masks: By kind, the pictures' masks ``[N, S, S, 1]`` float32, 1 = known.
    """

    version: str
    name: str
    title: str
    image_size: int
    crop: str
    places: np.ndarray | None
    dataset: str | None
    ids: tuple[str, ...]
    marks: tuple[Mark, ...]
    masks: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.ids)

    def locate(self, dataset: str | None) -> Located:
        """Finds the pictures in a data set.

        Args:
          dataset: The data set as ``--dataset`` takes it; None: its owner's.

        Raises:
          program.UsageError: It is None, and the owner's has no such pictures.
          DataError: The pictures are not there.
        """
        name = dataset or self.dataset
        if name is None:
            raise program.UsageError(
                f"give --dataset=images:PATH, where the pictures of {self.name} are"
            )
        source = dataset_flags.open_source(
            name, "test", size=self.image_size, crop=self.crop
        )
        found = recognition.locate(source, self.ids, self.marks)
        if found.identical < len(self.ids):
            program.warn(
                f"{name}: only {found.identical} of {len(self.ids)} pictures are the "
                f"benchmark's to the last bit, the others are these in other pixels; "
                "results say so"
            )
        return found


def read(version: str) -> dict[str, PictureSet]:
    """Reads the sets of a version, by name.

    Raises:
      program.UsageError: There is no such version, or its files are not what they were.
    """
    if version not in VERSIONS:
        raise program.UsageError(
            f"there is no benchmark {version!r}; there is {', '.join(VERSIONS)}"
        )
    folder = _HERE / version
    try:
        intact = digest(folder) == VERSIONS[version]
    except (OSError, ValueError):  # A file is missing, or sets.json is damaged.
        intact = False
    if not intact:
        raise program.UsageError(
            f"{folder} is not the benchmark {version} as it was released: install "
            "inpaint_jax again"
        )
    described = json.loads((folder / "sets.json").read_text())
    return {
        name: _read_set(folder, name, **fields) for name, fields in described.items()
    }


def digest(folder: Path) -> str:
    """The SHA-256 of a version: of its files' names in order, each with its own.

    What else lies in the folder, such as an editor's backup, does not count.

    Raises:
      OSError: A file is missing.
      ValueError: ``sets.json`` is not JSON.
    """
    sets = json.loads((folder / "sets.json").read_text(encoding="utf-8"))
    files = [f"{name}.{suffix}" for name in sets for suffix in ("csv", "npz")]
    lines = [
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
        for name in sorted([*files, "schema.json", "sets.json"])
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _read_set(
    folder: Path,
    name: str,
    *,
    title: str,
    image_size: int,
    crop: str,
    dataset: str | None,
    face: list[list[float]] | None,
) -> PictureSet:
    with (folder / f"{name}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    shape = (len(rows), image_size, image_size, 1)
    with np.load(folder / f"{name}.npz") as packed:
        masks = {
            kind: np.unpackbits(packed[kind], axis=1).reshape(shape).astype(np.float32)
            for kind in packed.files
        }
    return PictureSet(
        folder.name,
        name,
        title,
        image_size,
        crop,
        None if face is None else np.array(face),
        dataset,
        tuple(row["id"] for row in rows),
        tuple(Mark(row["sha256"], row["fingerprint"]) for row in rows),
        masks,
    )
