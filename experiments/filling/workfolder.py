"""The work folder of an evaluation: what is done, what is missing, all of it together.

Everything here but ``write_completed`` and ``parts`` is for one process, the first.
"""

import datetime
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.filling import batches
from experiments.filling.parts import Parts
from experiments.runtime import program
from inpaint_jax.data import datasets, images
from inpaint_jax.data.pictures import ImageError, read_picture

MERGED = ("metrics.json", "grid.png")
"""What is written when all is done, and only then there."""

_PATIENCE = 60.0  # Seconds in which a shared folder shows what others wrote.
_AT_ONCE = 256
_FOLLOWED = ("psnr", "ssim", "psnr_hole", "context_loss")


class Plan(NamedTuple):
    """What an attempt is to do.

    Attributes:
      attempt: Its number.
      missing: Indices of the images that are not done.
    """

    attempt: int
    missing: list[int]


class WorkFolder:
    """A work folder.

    Args:
      path: The folder.
      source: The data set that is evaluated on.
    """

    def __init__(self, path: Path, source: datasets.Source) -> None:
        self.path, self.source = path, source
        self.parts = Parts(program.make_folder(path / "parts"))
        self._done: dict[int, dict[str, Any]] = {}

    def write_completed(self, name: str, picture: np.ndarray) -> None:
        """Writes a completed picture ``[S, S, 3]`` uint8."""
        images.write_png(self.path / "completed" / name, picture)

    def plan(self) -> Plan:
        """Finds what is missing.

        Where something is missing, what an earlier attempt merged is out of date, and
        removed.
        """
        self._find_done()
        missing = [i for i in range(len(self.source)) if i not in self._done]
        if missing:
            for name in MERGED:
                (self.path / name).unlink(missing_ok=True)
        return Plan(self.parts.next_attempt(), missing)

    def done(self) -> list[dict[str, Any]]:
        """The rows of what is done, in the data set's order."""
        self._find_done()
        return [self._done[index] | {"index": index} for index in sorted(self._done)]

    def _find_done(self) -> None:
        """Looks at lines and pictures.

        An image is done when there is a row of it, the picture that was filled is still
        the one in the data set, and the completed one can be read.
        """
        ids = self.source.ids
        index_of: dict[Any, int] | None = None
        if ids is not None:
            index_of = {id: i for i, id in enumerate(ids)}
        claimed = {}
        for row in self.parts.rows():
            names = [row.get(name) for name in ("id", "file")]
            if not all(isinstance(name, str) for name in names):
                continue
            where = row.get("index") if index_of is None else index_of.get(names[0])
            if isinstance(where, int) and 0 <= where < len(self.source):
                claimed[where] = row
        indices = sorted(claimed)
        self._done = {}
        for i in range(0, len(indices), _AT_ONCE):
            self._done |= self._borne_out(indices[i : i + _AT_ONCE], claimed)

    def count_done(self, plan: Plan) -> int:
        """How many images are done, by the plan and the lines that followed it."""
        lines = self.parts.rows(plan.attempt)
        fresh = {row["index"] for row in lines if "failed" not in row}
        return len(self.source) - len(plan.missing) + len(fresh)

    def merged(self, plan: Plan) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """All rows in the data set's order, and those of images that failed.

        Args:
          plan: Of the attempt that has just ended.

        Raises:
          program.UsageError: Lines of other processes do not appear.
        """
        deadline = time.monotonic() + _PATIENCE
        while True:
            found = {row.get("index"): row for row in self.parts.rows(plan.attempt)}
            lost = [index for index in plan.missing if index not in found]
            if not lost:
                break
            if time.monotonic() > deadline:
                raise program.UsageError(
                    f"{len(lost)} images were done of which {self.path / 'parts'} has "
                    "no line: do all processes share that folder? Start again to do "
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
        for found in batches.read_all(self.source, [row["index"] for row in rows]):
            if isinstance(found, ImageError):  # It could be read a moment ago.
                raise found
            originals.append(found[1])
        completed = [
            read_picture(self.path / "completed" / row["file"]) for row in rows
        ]
        return np.stack(originals), np.stack(completed)

    def _borne_out(
        self, indices: list[int], claimed: dict[int, dict[str, Any]]
    ) -> dict[int, dict[str, Any]]:
        """The rows of which both pictures are what they should be."""
        done = {}
        for index, found in zip(
            indices, batches.read_all(self.source, indices), strict=True
        ):
            row = claimed[index]
            if isinstance(found, ImageError) or found[0] != row["id"]:
                continue
            try:
                completed = read_picture(self.path / "completed" / row["file"])
            except ImageError:
                continue
            same = row.get("crc32") == batches.fingerprint(found[1])
            if same and completed.shape == found[1].shape:
                done[index] = row
        return done


class ProgressLog:
    """``progress.jsonl``: a line for every batch of the first process, for dashboards.

    Args:
      folder: The work folder.
      done: Images that are done already.
      total: Of all.
    """

    def __init__(self, folder: Path, done: int, total: int) -> None:
        self._path = folder / "progress.jsonl"
        self._first, self._done, self._total = done, done, total
        self._sums = dict.fromkeys(_FOLLOWED, 0.0)
        self._counts = dict.fromkeys(_FOLLOWED, 0)
        self._began = time.monotonic()

    def add(self, rows: Sequence[dict[str, Any]], processes: int) -> None:
        """Writes a line: what is done, how fast, and means of the figures so far.

        Args:
          rows: Of the batch.
          processes: Of which each is taken to have done as much.
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
