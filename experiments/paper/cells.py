"""The cells of the comparison: a data set, a mask and a method each.

A cell is an evaluation in a folder of its own (``filling.evaluation``). What was
computed once is read from there, for the table and for the figures.
"""

import dataclasses
import functools
import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.filling import evaluation, parts, workfolder
from experiments.paper.columns import Column
from experiments.paper.comparison import Case
from experiments.runtime import program
from inpaint_jax import pixels
from inpaint_jax.baselines import HoleError

_METRICS, _REFUSED = "metrics.json", "refused.json"  # Files in a cell's folder.
_SEED = 0
BATCH_SIZE = 32
"""Images that are filled at once; also those of a slow method, unless one is told.

In a larger batch the copies that pad it would take as long as these.
"""


class Examples(NamedTuple):
    """Images of a cell.

    Attributes:
      ids: Ids of the test images.
      originals: ``[N, S, S, 3]`` uint8.
      masks: ``[N, S, S, 1]``, 1 = known, 0 = missing.
      completed: ``[N, S, S, 3]`` uint8.
      rows: Figures of each image.
    """

    ids: list[str]
    originals: np.ndarray
    masks: np.ndarray
    completed: np.ndarray
    rows: list[dict[str, Any]]

    @property
    def masked(self) -> np.ndarray:
        """Originals with the hole black, ``[N, S, S, 3]`` uint8."""
        return pixels.with_hole(self.originals, self.masks)

    def select(self, wanted: Collection[str]) -> "Examples":
        """Selects the images with these ids."""
        kept = [i for i, id in enumerate(self.ids) if id in wanted]
        return Examples(
            [self.ids[i] for i in kept],
            self.originals[kept],
            self.masks[kept],
            self.completed[kept],
            [self.rows[i] for i in kept],
        )


class Stopped(Exception):  # noqa: N818 It is no error.
    """A signal asked the program to stop."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """A method on a data set under a mask.

    Attributes:
      case: The data set.
      mask: Name of the mask.
      name: Name of the method, which the folder's name has as well.
      column: The method.
      workdir: Folder of the comparison.
    """

    case: Case
    mask: str
    name: str
    column: Column
    workdir: Path

    @property
    def folder(self) -> Path:
        """Folder of the evaluation."""
        return self.workdir / "-".join([self.case.name, self.mask, self.name])

    @functools.cached_property
    def _evaluation_row(self) -> dict[str, Any]:
        """The configuration of the evaluation, as JSON gives it back."""
        row: dict[str, Any] = json.loads(json.dumps(self._evaluation(None).row()))
        return row

    def found(self) -> dict[str, Any] | None:
        """Looks for the cell's results, as it is described now.

        Returns:
          ``metrics.json`` of the evaluation; ``{"n": n, "refused": reason}`` if the
          method could fill none of ``n`` holes; None if there are no results.
        """
        for name in (_METRICS, _REFUSED):
            try:
                found: dict[str, Any] = json.loads((self.folder / name).read_text())
                if found["config"] == self._evaluation_row:
                    return found
            # There is no file, or a network or a library is missing (a ValueError).
            except (OSError, ValueError, LookupError, TypeError):
                continue
        return None

    def compute(
        self, limit: int, slow: evaluation.Slow | None = None
    ) -> dict[str, Any]:
        """Computes the first images, where that was not done before.

        Args:
          limit: Least number of images; if there are more already they are kept.
          slow: When fewer images will do; None: never.

        Returns:
          The results, as ``found`` returns them.

        Raises:
          program.UsageError: The folder holds an evaluation of something else.
          Stopped: A signal asked the program to stop.
        """
        found = self.found()
        evaluation_ = dataclasses.replace(self._evaluation(limit), slow=slow)
        count = len(evaluation_.source)
        if found is None or not _suffices(found, count, slow):
            print(f"{self.case.title}, {self.mask}: {self.column.title}", flush=True)
            try:
                status = evaluation.run(evaluation_)
            except HoleError as error:
                row = self._evaluation_row
                count = count if slow is None else min(count, slow.limit)
                found = {"n": count, "refused": str(error), "config": row}
                program.write_json(self.folder / _REFUSED, found)
                return found
            found = self.found()
            if found is None and status:
                raise program.UsageError(f"{self.folder}: no image could be filled")
            if found is None:
                raise Stopped
        return found

    def first(self, count: int) -> dict[str, Any]:
        """Number ``n`` of the first images that were filled, and their mean ``psnr``.

        An image that was filled exactly has no PSNR and does not count in the mean.
        """
        lines = parts.Parts(self.folder / "parts").rows()
        rows = {row["id"]: row for row in lines if "failed" not in row}
        # An index in a line may be that of an earlier state of the data set.
        ids = self.case.open_test(count).ids or [
            row["id"] for row in rows.values() if row["index"] < count
        ]
        values = [rows[id]["psnr"] for id in ids if id in rows]
        numbers = [value for value in values if value is not None]
        mean = math.fsum(numbers) / len(numbers) if numbers else None
        return {"n": len(values), "psnr": mean}

    def check(self) -> None:
        """Checks that the cell's images, networks and libraries are there.

        Raises:
          DataError: The images cannot be read.
          FillError: A library is not installed.
          ModelError: There is no such network.
        """
        _ = self._evaluation_row

    def _evaluation(self, limit: int | None) -> evaluation.Evaluation:
        source, name, given = self.case.open_test(limit), self.mask, None
        if self.case.given is not None:
            name = f"{self.case.given.version}/{self.mask}"
            masks = self.case.given.masks[self.mask][: len(source)]
            identical, places = self.case.located.identical, self.case.given.places
            given = evaluation.Given(masks, identical, places)
        return evaluation.Evaluation(
            workdir=self.folder,
            source=source,
            mask=name,
            seed=_SEED,
            batch_size=BATCH_SIZE,
            method=self.case.method(self.column),
            given=given,
        )

    def examples(self, limit: int) -> Examples:
        """Returns the first images, and computes them first where necessary."""
        self.compute(limit)
        evaluation_ = self._evaluation(limit)
        folder = workfolder.WorkFolder(self.folder, evaluation_.source)
        rows = folder.done()
        originals, completed = folder.pairs(rows)
        ids, masks = [row["id"] for row in rows], evaluation_.masks_of(rows)
        return Examples(ids, originals, masks, completed, rows)


def _suffices(
    found: Mapping[str, Any], count: int, slow: evaluation.Slow | None
) -> bool:
    """Whether results are of ``count`` images, or of fewer as the method is slow."""
    done = found["n"] + len(found.get("failed", ()))
    if done >= count or slow is None:
        return bool(done >= count)
    if done < slow.limit:
        return False
    return "refused" in found or found["figures"]["seconds"]["median"] > slow.seconds
