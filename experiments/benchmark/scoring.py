"""Figures of a folder of completed pictures, by whatever they were made."""

import collections
import dataclasses
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from experiments.benchmark.frozen import PictureSet
from experiments.benchmark.recognition import Located
from experiments.filling import batches, evaluation, measures, realism
from experiments.runtime import program
from inpaint_jax import pixels
from inpaint_jax.data import images
from inpaint_jax.data.files import file_name
from inpaint_jax.data.pictures import ImageError, Picture, list_pictures, read_picture

_SHOWN = 3  # Reasons that are printed; the result has them all.
# Pictures from one move of the progress bar to the next: they keep all threads at work.
_AT_ONCE = 16


class Files(NamedTuple):
    """The pictures in a folder.

    Attributes:
      folder: The folder.
      by_name: The files by their name without its extension.
    """

    folder: Path
    by_name: dict[str, list[Picture]]

    def only(self, id: str) -> Picture:
        """The one file of a picture; raises ``ImageError`` if there is none or more."""
        found = self.by_name.get(id, [])
        if not found:
            raise ImageError(f"there is no {id}.png in {self.folder}")
        if len(found) > 1:
            raise ImageError(f"{found[0]} and {found[1]} have the id {id}; leave one")
        return found[0]


@dataclasses.dataclass(frozen=True)
class _Scored:
    """A picture that was scored: its row, itself, and its largest change.

    Attributes:
      row: Id, file and figures as JSON values.
      completed: ``[S, S, 3]`` uint8.
      largest: Largest difference of a known pixel from the input, in levels.
    """

    row: dict[str, Any]
    completed: np.ndarray
    largest: int


def score(
    given: PictureSet, located: Located, mask: str, files: Files, name: str
) -> dict[str, Any] | None:
    """Measures completed pictures as they are, known pixels included.

    Args:
      given: The benchmark's pictures.
      located: Their pixels.
      mask: Kind of the masks.
      files: The completed pictures (``find``).
      name: Name of the method.

    Returns:
      The result, as the benchmark's schema describes it, with the machine's versions;
      None if no picture can be scored, for the reasons that were printed.
    """

    def attempt(index: int) -> _Scored:
        return _measure(given, located, mask, index, files.only(given.ids[index]))

    scored, failed = [], []
    for start in tqdm(range(0, len(given), _AT_ONCE), "scoring", disable=None):
        indices = range(start, min(start + _AT_ONCE, len(given)))
        for index, found in zip(
            indices, batches.read_all(attempt, indices), strict=True
        ):
            if isinstance(found, ImageError):
                failed.append({"id": given.ids[index], "reason": str(found)})
            else:
                scored.append((index, found))
    for each in failed[:_SHOWN]:
        program.warn(each["reason"])
    if len(failed) > _SHOWN:
        program.warn(f"... and {len(failed) - _SHOWN} more")
    if not scored:
        return None
    rows = [each.row for _, each in scored]
    kept = [index for index, _ in scored]
    originals = located.images[kept]
    masks = given.masks[mask][kept]
    completed = np.stack([each.completed for _, each in scored])
    known = int(masks.sum(dtype=np.float64))
    changed = [row["known_changed"] for row in rows]
    realistic = realism.measure(completed, originals, masks, places=given.places)
    return {
        "benchmark": given.version,
        "set": given.name,
        "mask": mask,
        "name": name,
        "n": len(rows),
        "identical": located.identical,
        "figures": measures.summarise(rows) | realistic.figures,
        "not_computed": realistic.not_computed,
        "known": {
            "pictures": sum(count > 0 for count in changed),
            "share": sum(changed) / max(known, 1),
            "largest": max(each.largest for _, each in scored),
        },
        "images": rows,
        "failed": failed,
        **evaluation.machine(),
    }


def find(folder: Path, given: PictureSet) -> Files:
    """Finds completed pictures.

    Args:
      folder: Folder with a file ``ID.png`` for each picture. Other formats will do.
      given: The benchmark's pictures.

    Raises:
      ImageError: The folder is not there or holds no pictures.
      program.UsageError: It is a file, or no file has the name of a picture.
    """
    if folder.is_file():
        raise program.UsageError(
            f"{folder} is a file: give a folder with a picture ID.png for each id"
        )
    files: dict[str, list[Picture]] = collections.defaultdict(list)
    for picture in list_pictures(folder).pictures:
        files[os.path.splitext(file_name(picture))[0]].append(picture)
    others = sorted(files.keys() - set(given.ids))
    if len(others) == len(files):
        raise program.UsageError(
            f"{folder}: no file has the name of one of the {len(given)} pictures of "
            f"{given.name}, such as {given.ids[0]}.png; there is "
            f"{file_name(files[others[0]][0])}"
        )
    if others:
        program.warn(
            f"{folder}: files that have the name of no picture of {given.name} do not "
            f"count: {len(others)}, such as {file_name(files[others[0]][0])}"
        )
    return Files(folder, files)


def _measure(
    given: PictureSet, located: Located, mask: str, index: int, file: Picture
) -> _Scored:
    completed = read_picture(file)
    original, known = located.images[index], given.masks[mask][index]
    if completed.shape != original.shape:
        size = given.image_size
        raise ImageError(
            f"{file} is {completed.shape[1]}x{completed.shape[0]} and must be "
            f"{size}x{size}, as the input is"
        )
    change = np.abs(completed.astype(int) - original).max(-1, keepdims=True)
    change = np.where(known > 0.5, change, 0)
    row = {
        "id": given.ids[index],
        "file": file_name(file),
        **measures.measure(original, known, completed),
        "known_changed": int((change > 0).sum()),
    }
    return _Scored(measures.for_json(row), completed, int(change.max()))


def write_inputs(
    folder: Path, given: PictureSet, located: Located, masks: list[str]
) -> None:
    """Writes what a method to be scored starts from, as PNGs.

    ``originals/ID.png``, and for each kind of mask ``MASK/masked/ID.png`` with the hole
    black and ``MASK/masks/ID.png``, white where a pixel is missing.
    """
    rooms = [program.make_folder(folder / "originals")]
    for mask in masks:
        rooms += [program.make_folder(folder / mask / x) for x in ("masked", "masks")]
    for index, id in enumerate(tqdm(given.ids, "writing", disable=None)):
        original = located.images[index]
        pictures = [original]
        for mask in masks:
            known = given.masks[mask][index]
            missing = np.where(known > 0.5, 0, 255).astype(np.uint8)
            pictures += [pixels.with_hole(original, known), missing]
        for room, picture in zip(rooms, pictures, strict=True):
            images.write_png(room / f"{id}.png", picture)
