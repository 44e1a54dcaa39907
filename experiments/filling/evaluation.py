"""An evaluation: a way to fill holes, on the images of a data set, in a work folder.

What ``experiments.evaluate`` does once and ``experiments.compare`` for each cell of its
table.
"""

import contextlib
import dataclasses
import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

import inpaint_jax
from experiments.filling import (
    batches,
    measures,
    methods,
    pipeline,
    sheets,
    workfolder,
)
from experiments.filling.problems import OfDataset
from experiments.runtime import distributed, program
from inpaint_jax import parallel
from inpaint_jax.baselines import HoleError
from inpaint_jax.data import datasets
from inpaint_jax.quality import sets

_SWD_IMAGES = 2048
_OLDER = {"blend": True}  # What a config.json without it meant.


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What is evaluated, and where.

    Attributes:
      workdir: Folder of the run.
      source: The images.
      mask: Name of what is missing.
      seed: Of masks and searches.
      batch_size: Images that are filled at once, on all devices together.
      method: The way to fill holes.
    """

    workdir: Path
    source: datasets.Source
    mask: str
    seed: int
    batch_size: int
    method: methods.Method

    @property
    def job(self) -> pipeline.Job:
        """What is to be filled, and how."""
        problems = OfDataset(self.source, self.mask)
        return pipeline.Job(problems, self.method, self.seed, self.batch_size)

    def masks_of(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """The masks ``[N, S, S, 1]`` of the images of rows, 1 = known."""
        names = [self.source.name_of(row["index"], row["id"]) for row in rows]
        shape = (self.source.size, self.source.size)
        return batches.draw_masks(names, self.mask, self.seed, shape)[0]

    def row(self) -> dict[str, Any]:
        """What two runs must share to go on with each other's images.

        How many images there are is not among it: each is done for itself.
        """
        return {
            "dataset": program.absolute(self.source.name),
            "split": self.source.split,
            "crop": self.source.crop,
            "image_size": self.source.size,
            "mask": self.mask,
            "seed": self.seed,
            **self.method.row(),
        }


def run(evaluation: Evaluation) -> int:
    """Does what is missing of an evaluation, and all figures when nothing is.

    Returns:
      The exit status: 0, also when told to stop; 1 where images failed, 2 if all did.

    Raises:
      HoleError: The method can fill none of the holes.
    """
    source, row = evaluation.source, evaluation.row()
    folder = workfolder.WorkFolder(program.make_folder(evaluation.workdir), source)

    # --- What earlier runs did: the first process finds out for all ------------------
    with contextlib.ExitStack() as held:

        def begin() -> workfolder.Plan:
            program.make_folder(folder.path, workfolder.PICTURES)
            held.enter_context(program.lock(folder.path))
            folder.remember(row, _OLDER)
            return folder.plan()

        plan = workfolder.Plan(*distributed.from_first(begin))
        done = len(source) - len(plan.missing)
        if done:
            distributed.say(f"{done} of {len(source)} images are done already")

        # --- Batch by batch: read, fill, measure, write ------------------------------
        mesh = parallel.make_mesh()
        stopped = _work(evaluation, folder, plan, mesh)
        distributed.wait_for_all("all images are done")
        if stopped:
            if distributed.is_first():  # The others need not read all the parts.
                print(
                    f"stopped by signal: {folder.count_done(plan)} of {len(source)} "
                    "images are done; start again to go on"
                )
            return 0

        # --- All together ------------------------------------------------------------
        outcome = distributed.from_first(
            lambda: _merge(evaluation, row, folder, plan, mesh.size)
        )
        if isinstance(outcome, str):
            raise HoleError(outcome)
        return int(outcome)


def _work(
    evaluation: Evaluation,
    folder: workfolder.WorkFolder,
    plan: workfolder.Plan,
    mesh: Mesh,
) -> bool:
    """Does this process's share of what is missing; returns whether it was stopped."""
    total = len(evaluation.source)
    log = workfolder.ProgressLog(folder.path, total - len(plan.missing), total)

    def write(results: list[batches.Result]) -> None:
        rows = [folder.write(result) for result in results]
        folder.parts.append(plan.attempt, jax.process_index(), rows)
        if distributed.is_first():
            log.add(rows, jax.process_count())

    with distributed.Stop() as stop:
        return pipeline.fill(
            evaluation.job, plan.missing, write, mesh=mesh, stopped=stop.at
        )


def _merge(
    evaluation: Evaluation,
    config: dict[str, Any],
    folder: workfolder.WorkFolder,
    plan: workfolder.Plan,
    devices: int,
) -> int | str:
    """Writes what all processes found together.

    Returns:
      The exit status; or, if the method can fill none of the holes, why.
    """
    rows, failures = folder.merged(plan)
    if not rows and all("refused" in each for each in failures):
        return str(failures[0]["refused"])
    failed = [each["failed"] for each in failures]
    for reason in failed:
        program.warn(reason)
    if not rows:
        return 2
    originals, completed = folder.pairs(rows[:_SWD_IMAGES])
    summary: dict[str, Any] = measures.summarise(rows)
    line = measures.outcome(f"{len(rows)} images", len(failed), summary)
    summary["swd"] = _swd(completed, originals)
    program.write_json(
        folder.path / "metrics.json",
        {
            "n": len(rows),
            "figures": summary,
            "failed": failed,
            "config": config,
            "versions": {
                name: importlib.metadata.version(name)
                for name in ("jax", "jaxlib", "flax", "optax", "numpy")
            }
            | {"inpaint_jax": inpaint_jax.__version__},
            "device": str(jax.devices()[0].device_kind),
            "devices": devices,
        },
    )
    shown = slice(sheets.ROWS)
    _write_grid(evaluation, rows[shown], originals[shown], completed[shown])
    print(line)
    print(f"look at {folder.path / workfolder.GRID}")
    return 1 if failed else 0


def _swd(completed: np.ndarray, originals: np.ndarray) -> dict[str, float]:
    """Sliced Wasserstein distance of the completed images to the originals.

    Low only where texture is right, which PSNR hardly looks at. Of the first images
    alone where there are many: it takes memory and minutes.
    """
    distances = sets.sliced_wasserstein(completed, originals)
    return {**measures.by_level(distances), "n": len(completed)}


def _write_grid(
    evaluation: Evaluation,
    rows: list[dict[str, Any]],
    originals: np.ndarray,
    completed: np.ndarray,
) -> None:
    masks = evaluation.masks_of(rows)
    shown = [
        sheets.Shown(row["id"], original, original, mask, [result])
        for row, original, mask, result in zip(
            rows, originals, masks, completed, strict=True
        )
    ]
    sheets.write(evaluation.workdir / workfolder.GRID, shown)
