"""The work folder of an evaluation: finished images, missing images, merged results.

Everything here but ``write`` and ``parts`` is for the first process alone.
"""

import datetime
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.filling import batches, measures
from experiments.filling.parts import Parts
from experiments.runtime import program
from inpaint_jax.data import images, sources
from inpaint_jax.data.pictures import ImageError, read_picture
from inpaint_jax.names import readable

COMPLETED, GRID = "completed", "grid.png"

PICTURES = (COMPLETED, GRID)
"""Subfolder for the pictures that a run writes."""

MERGED = ("metrics.json", GRID)
"""Files that are written when all images are done, and only then exist."""

_PATIENCE = 60.0  # Seconds within which a shared folder shows other processes' files.
_AT_ONCE = 256
_FOLLOWED = (*measures.SIMILARITIES, "context_loss")


class Plan(NamedTuple):
    """The work of an attempt.

    Attributes:
      attempt: Number of the attempt.
      missing: Indices of the images that are not done.
    """

    attempt: int
    missing: list[int]


class WorkFolder:
    """A work folder.

    Args:
      path: The folder.
      source: The data set.
    """

    def __init__(self, path: Path, source: sources.Source) -> None:
        self.path, self.source = path, source
        self.parts = Parts(program.make_folder(path / "parts"))
        self._done: dict[int, dict[str, Any]] = {}
        # Numbers of images that have a row; and, of those that are in the data set, of
        # images that are the same picture as in the row and of those that are not.
        self._claimed = self._same = self._changed = 0

    def write(self, result: batches.Result) -> dict[str, Any]:
        """Writes a completed picture.

        Returns:
          The line to append to ``parts`` after it.
        """
        row: dict[str, Any] = {"index": result.index}
        if isinstance(result, batches.Failed):
            refused = {"refused": result.refused} if result.refused else {}
            return row | {"failed": result.reason} | refused
        path = self.path / COMPLETED / result.problem.file
        images.write_png(path, result.completed)
        return result.row | row | {"crc32": _fingerprint(result.problem.image)}

    def remember(self, config: dict[str, Any], older: dict[str, Any]) -> None:
        """Writes the run's configuration, or checks it against the one that is there.

        Pictures, and training images, may have moved or have another name if they are
        the same.

        Args:
          config: The configuration.
          older: Values of fields that older files lack.

        Raises:
          program.UsageError: The folder belongs to a run of another configuration or
            with other pictures; or the data set is the folder's own results.
        """
        inputs = [picture.path for picture in self.source.pictures or ()]
        program.refuse_input(self.path / COMPLETED, inputs)
        path = self.path / "config.json"
        named = ["dataset", "train_dataset", "train_pixels"]
        there = program.remember(path, config, older, unchecked=named)
        if there.get("train_pixels") != config.get("train_pixels"):
            then, wanted = there.get("train_dataset"), config.get("train_dataset")
            other = f"{wanted}, whose pictures are others"
            raise program.another_run(self.path, "train_dataset", then, other)
        before, now = there["dataset"], readable(config["dataset"])
        if before != now:
            self._find_done()
            if self._changed or (self._claimed and not self._same):
                raise program.another_run(self.path, "dataset", before, now)
            program.write_json(path, there | config)

    def plan(self) -> Plan:
        """Finds the images that are not done.

        If there are any, the merged results of an earlier attempt are out of date and
        are removed.
        """
        self._find_done()
        missing = [i for i in range(len(self.source)) if i not in self._done]
        if missing:
            for name in MERGED:
                (self.path / name).unlink(missing_ok=True)
        return Plan(self.parts.next_attempt(), missing)

    def done(self) -> list[dict[str, Any]]:
        """The rows of the images that are done, in the data set's order."""
        self._find_done()
        return [self._done[index] | {"index": index} for index in sorted(self._done)]

    def _find_done(self) -> None:
        """Checks lines and pictures.

        An image is done if it has a row, the picture that was filled is still the one
        in the data set, and the completed one can be read.
        """
        ids = self.source.ids
        index_of: dict[Any, int] | None = None
        if ids is not None:
            index_of = {id: i for i, id in enumerate(ids)}
        claimed, ids_claimed = {}, set()
        for row in self.parts.rows():
            names = [row.get(name) for name in ("id", "file")]
            if not all(isinstance(name, str) for name in names):
                continue
            ids_claimed.add(names[0])
            where = row.get("index") if index_of is None else index_of.get(names[0])
            if isinstance(where, int) and 0 <= where < len(self.source):
                claimed[where] = row
        indices = sorted(claimed)
        self._done, self._claimed = {}, len(ids_claimed)
        self._same = self._changed = 0
        for i in range(0, len(indices), _AT_ONCE):
            self._done |= self._borne_out(indices[i : i + _AT_ONCE], claimed)

    def count_done(self, plan: Plan) -> int:
        """The number of images done, by the plan and the lines written since."""
        lines = self.parts.rows(plan.attempt)
        fresh = {row["index"] for row in lines if "failed" not in row}
        return len(self.source) - len(plan.missing) + len(fresh)

    def merged(self, plan: Plan) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """All rows in the data set's order, and the rows of images that failed.

        Args:
          plan: Plan of the attempt that has just ended.

        Raises:
          program.UsageError: The lines of other processes cannot be seen.
        """
        deadline = time.monotonic() + _PATIENCE
        while True:
            found = {row.get("index"): row for row in self.parts.rows(plan.attempt)}
            lost = [index for index in plan.missing if index not in found]
            if not lost:
                break
            if time.monotonic() > deadline:
                raise program.UsageError(
                    f"{self.path / 'parts'} lacks the lines of {len(lost)} finished "
                    "images: do all processes share that folder? Start again to do "
                    "what is missing"
                )
            time.sleep(1)
        fresh = {index: found[index] for index in plan.missing}
        failed = [row for row in fresh.values() if "failed" in row]
        whole = self._done | {i: row for i, row in fresh.items() if "failed" not in row}
        return [whole[index] | {"index": index} for index in sorted(whole)], failed

    def pairs(self, rows: Sequence[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
        """The original and the completed pictures ``[N, S, S, 3]`` uint8 of rows."""
        originals = []
        indices = [row["index"] for row in rows]
        for found in batches.read_all(self.source.read, indices):
            if isinstance(found, ImageError):  # It was readable a moment ago.
                raise found
            originals.append(found[1])
        completed = [read_picture(self.path / COMPLETED / row["file"]) for row in rows]
        return np.stack(originals), np.stack(completed)

    def _borne_out(
        self, indices: list[int], claimed: dict[int, dict[str, Any]]
    ) -> dict[int, dict[str, Any]]:
        """The rows whose two pictures can be read and are the right ones."""
        done = {}
        for index, found in zip(
            indices, batches.read_all(self.source.read, indices), strict=True
        ):
            row = claimed[index]
            if isinstance(found, ImageError) or found[0] != row["id"]:
                continue
            if row.get("crc32") != _fingerprint(found[1]):
                self._changed += 1
                continue
            self._same += 1
            try:
                completed = read_picture(self.path / COMPLETED / row["file"])
            except ImageError:
                continue
            if completed.shape == found[1].shape:
                done[index] = row
        return done


def _fingerprint(original: np.ndarray) -> int:
    """A checksum by which to notice that an image was replaced."""
    return zlib.crc32(original.tobytes())


class ProgressLog:
    """``progress.jsonl``: a line for every batch of the first process, for dashboards.

    Args:
      folder: The work folder.
      done: Number of images that are done already.
      total: Number of all images.
    """

    def __init__(self, folder: Path, done: int, total: int) -> None:
        self._path = folder / "progress.jsonl"
        self._first, self._done, self._total = done, done, total
        self._sums = dict.fromkeys(_FOLLOWED, 0.0)
        self._counts = dict.fromkeys(_FOLLOWED, 0)
        self._began = time.monotonic()

    def add(self, rows: Sequence[dict[str, Any]], processes: int) -> None:
        """Writes a line: number of images done, speed, and means of the figures so far.

        Args:
          rows: Rows of the batch.
          processes: Number of processes, each assumed to have done as many images.
        """
        self._done = min(self._total, self._done + processes * len(rows))
        speed = (self._done - self._first) / (time.monotonic() - self._began)
        line = {
            "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "done": self._done,
            "total": self._total,
            "images_per_second": round(speed, 3),
            "seconds_left": round((self._total - self._done) / max(speed, 1e-9)),
        }
        for name in _FOLLOWED:
            values = [row[name] for row in rows if row.get(name) is not None]
            self._sums[name] += sum(values)
            self._counts[name] += len(values)
            if self._counts[name]:
                line[name] = self._sums[name] / self._counts[name]
        program.append_lines(self._path, [line])
