"""Results of an inpainting run: pictures, a contact sheet and results.json."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np
from PIL import Image, ImageOps

from experiments.filling import doubt, film, measures, sheets
from experiments.filling.batches import Failed, Filled
from experiments.filling.restoring import Restored
from experiments.runtime import distributed, program
from inpaint_jax import pixels
from inpaint_jax.data import images, written

GRID, RESULTS = "grid.png", "results.json"

PICTURES = ("completed", "uncertainty", "frames", "candidates", "film", GRID)
"""Subfolders for the pictures that a run writes."""

Rows = list[dict[str, Any]]


class Destination(Protocol):
    """A place for results."""

    @property
    def shown(self) -> Path:
        """The file to look at in the end."""

    def write(self, results: Sequence[Restored], rows: Rows, failed: Rows) -> None:
        """Writes the results of a batch.

        Args:
          results: The filled pictures of the batch.
          rows: Rows of all pictures that were filled so far, at least one.
          failed: Id and reason of each picture that was not filled, or only in part.
        """


class Report:
    """Gathers results, passes them on to be written, and reports the outcome.

    Args:
      destination: Place for the results. Nothing is written before the first result,
        and until then an earlier run's results stay.
      ids: Ids of all pictures.
    """

    def __init__(self, destination: Destination, ids: Sequence[str]) -> None:
        self._destination, self._ids = destination, ids
        self._rows: Rows = []
        self._failed: Rows = []
        self._in_part = 0

    def fail(self, id: str, reason: str) -> None:
        """Notes a fault of a picture or an input."""
        self._failed.append({"id": id, "reason": reason})

    def add(self, results: Sequence[Restored | Failed]) -> None:
        """Notes and writes results."""
        filled = []
        for result in results:
            id = self._ids[result.index]
            if isinstance(result, Failed):
                self.fail(id, result.reason)
                continue
            filled.append(result)
            for note in result.notes:
                program.warn(note)
            if result.warning:
                self._in_part += 1
                self.fail(id, result.warning)
            if result.row["missing"] == 1:
                program.warn(
                    f"{id}: nothing is known under its mask, white where something is "
                    "missing (--mask_known=white turns it round); the result is a "
                    "generated image"
                )
            elif result.row["missing"] == 0 and not result.row["outside"]:
                program.warn(
                    f"{id}: nothing is missing under its mask; the result is the "
                    "picture itself"
                )
        self._rows += [result.row for result in filled]
        if self._rows:
            self._destination.write(filled, self._rows, self._failed)

    def close(self) -> int:
        """Prints the outcome and returns the exit status."""
        for failure in self._failed:
            program.warn(failure["reason"])
        if not self._rows:
            return 2
        completed = f"{len(self._rows)} completed"
        if self._in_part:
            completed += f" ({self._in_part} in part)"
        failed = len(self._failed) - self._in_part
        print(measures.outcome(completed, failed, measures.summarise(self._rows)))
        print(f"look at {self._destination.shown}")
        return 1 if self._failed else 0


class ToFile:
    """A file for the only completed picture.

    Args:
      path: The file; its suffix determines the format.
    """

    def __init__(self, path: Path) -> None:
        self.shown = path

    def write(self, results: Sequence[Restored], rows: Rows, failed: Rows) -> None:
        """Writes the picture."""
        for result in results:
            content = result.encode(images.writable_format(self.shown))
            program.write_bytes(self.shown, content)


class ToFolder:
    """A folder for pictures, a sheet of the first ones, and results.json.

    The results of an earlier run are deleted when the first new result comes.

    Args:
      folder: The folder.
      config: The run's configuration, for results.json.
    """

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self._folder, self._config = folder, config
        self._sheet: list[sheets.Shown] = []
        self._begun = False

    @property
    def shown(self) -> Path:
        """The sheet."""
        return self._folder / GRID

    def write(self, results: Sequence[Restored], rows: Rows, failed: Rows) -> None:
        """Writes a batch's pictures, and the sheet and results.json for all so far."""
        if not self._begun:
            self._begin()
        files = {
            path: picture
            for result in results
            for each in result.filled
            for path, picture in _pictures(each).items()
        }
        files |= {
            f"uncertainty/{Path(each.row['file']).stem}.png": doubt.picture_of(
                each.completed, each.searched, each.spread
            )
            for each in results
            if each.spread is not None
        }
        films = {
            f"film/{Path(each.problem.file).stem}.webp": each
            for result in results
            for each in result.filled
            if each.film
        }
        photographs = {f"completed/{each.row['file']}": each for each in results}
        # The note comes first, so that it lists every file even if the run is killed.
        written.add(self._folder, "inpaint", [*files, *films, *photographs])
        for path, picture in files.items():
            images.write_png(self._folder / path, picture)
        for path, filmed in films.items():
            masked = pixels.with_hole(filmed.problem.image, filmed.mask)
            self._write_file(path, film.encode(masked, filmed.film, filmed.completed))
        for path, result in photographs.items():
            self._write_file(path, result.encode(images.writable_format(path)))
        rows_of_sheet = itertools.chain.from_iterable(map(_shown, results))
        room = sheets.ROWS - len(self._sheet)
        fresh = list(itertools.islice(rows_of_sheet, room))
        if fresh:
            self._sheet += fresh
            unknown = results[0].filled[0].problem.original is None
            first = "picture" if unknown else "original"
            sheets.write(self.shown, self._sheet, first=first)
        content = {
            "config": self._config,
            "summary": _summary(rows, failed),
            "images": rows,
            "failed": failed,
        }
        program.write_json(self._folder / RESULTS, content)

    def _write_file(self, path: str, content: bytes) -> None:
        """Writes a file by its path in the folder, and makes its own folder."""
        place = self._folder / path
        program.make_folder(place.parent)
        program.write_bytes(place, content)

    def _begin(self) -> None:
        """Deletes the results of an earlier run."""
        self._begun = True
        (self._folder / RESULTS).unlink(missing_ok=True)
        before = written.delete_own(self._folder, "inpaint")
        if before:
            line = f"{self._folder} held {before} pictures of an earlier run: replaced"
            distributed.say(line)
        written.add(self._folder, "inpaint", PICTURES)


def _pictures(result: Filled) -> dict[str, np.ndarray]:
    """The images to write for a frame, by path in the folder."""
    problem, file = result.problem, result.problem.file
    pictures = {
        f"frames/picture/{file}": problem.image,
        f"frames/masked/{file}": pixels.with_hole(problem.image, result.mask),
        f"frames/completed/{file}": result.completed,
    }
    if result.generated is not None:
        pictures[f"frames/generated/{file}"] = result.generated
    folder = f"candidates/{file.removesuffix('.png')}"
    for rank, candidate in enumerate(result.candidates, start=1):
        pictures[f"{folder}/{rank}.png"] = candidate
    return pictures


def _shown(result: Restored) -> Iterator[sheets.Shown]:
    """The rows of a photograph's frames in the sheet, made when they are asked for."""
    for each in result.filled:
        problem = each.problem
        size = len(problem.image)
        whole = result.completed.shape[:2] == (size, size)
        photographs = [] if whole else [result.given, result.completed]
        thumbnails = [_thumbnail(rgb, 2 * size) for rgb in photographs]
        found = (each.row.get(f"candidate_{what}", ()) for what in ("seeds", "losses"))
        captions = [
            f"seed {seed}: {loss:.1f}" for seed, loss in zip(*found, strict=True)
        ]
        hole, spread = each.mask[..., 0] < 0.5, each.spread
        yield sheets.Shown(
            problem.id,
            problem.image if problem.original is None else problem.original,
            problem.image,
            each.mask,
            each.completed,
            each.generated,
            each.candidates,
            captions,
            None
            if spread is None
            else doubt.picture_of(each.completed, hole, spread[..., 0]),
            thumbnails,
        )


def _thumbnail(rgb: np.ndarray, side: int) -> np.ndarray:
    """A picture ``[H, W, 3]`` in a white square ``[side, side, 3]``."""
    fitted = ImageOps.pad(Image.fromarray(rgb), (side, side), color="white")
    return np.asarray(fitted)


def _summary(rows: Rows, failed: Rows) -> dict[str, Any]:
    """Counts, and the mean of each figure over the images where it is defined."""
    means = {name: of["mean"] for name, of in measures.summarise(rows).items()}
    return {
        "n": len(rows),
        "failed": len(failed),
        "device": str(jax.devices()[0].device_kind),
        **dict.fromkeys(measures.FIGURES),
        **means,
    }
