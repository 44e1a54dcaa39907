"""An evaluation of a method on the images of a data set, in a work folder.

``experiments.evaluate`` runs one, ``experiments.compare`` one for each cell of its
table.
"""

import contextlib
import dataclasses
import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

import inpaint_jax
from experiments.filling import (
    batches,
    measures,
    methods,
    pipeline,
    realism,
    sheets,
    workfolder,
)
from experiments.filling.problems import OfDataset
from experiments.runtime import distributed, program
from inpaint_jax import parallel
from inpaint_jax.baselines import HoleError
from inpaint_jax.data import sources
from inpaint_jax.photographs import faces

_COMPARED = 2048  # Images, the first ones: distances of sets take memory and minutes.
# Values of fields that older config.json files lack.
_OLDER = {
    "blend": True,
    "latent_weight": 0.0,
    "start_weight": 0.0,
    "candidates": 1,
    "answer": "best",
}


class Given(NamedTuple):
    """Images of a benchmark, whose masks are not drawn.

    Attributes:
      masks: ``[N, S, S, 1]`` float32, 1 = known, the mask of each image.
      identical: Number of the benchmark's images that are the same to the last bit.
      places: ``[3, 2]``, where faces have eyes and mouth, as shares of S, or None.
    """

    masks: np.ndarray
    identical: int
    places: np.ndarray | None


class Slow(NamedTuple):
    """What counts as a slow method, and the images that it is spared.

    Attributes:
      seconds: Time per image, the median of the first ones; one that takes longer is
        slow.
      limit: Number of images that it fills, the first ones.
    """

    seconds: float
    limit: int


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The settings of an evaluation.

    Attributes:
      workdir: Folder of the run.
      source: The images.
      mask: Name of the masks.
      seed: Seed of masks and searches.
      batch_size: Number of images that are filled at once, on all devices together.
      method: The method to fill holes.
      given: The masks, if ``mask`` is only their name; None: they are drawn.
      slow: When fewer images will do; None: never.
    """

    workdir: Path
    source: sources.Source
    mask: str
    seed: int
    batch_size: int
    method: methods.Method
    given: Given | None = None
    slow: Slow | None = None

    @property
    def job(self) -> pipeline.Job:
        """The job of filling the holes."""
        if self.given is None:
            problems = OfDataset(self.source, self.mask)
        else:
            problems = OfDataset(self.source, None, self.given.masks)
        return pipeline.Job(problems, self.method, self.seed, self.batch_size)

    def masks_of(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """The masks ``[N, S, S, 1]`` of the rows' images, 1 = known."""
        if self.given is not None:
            return self.given.masks[[row["index"] for row in rows]]
        names = [self.source.name_of(row["index"], row["id"]) for row in rows]
        shape = (self.source.size, self.source.size)
        return batches.draw_masks(names, self.mask, self.seed, shape)[0]

    @property
    def places(self) -> np.ndarray | None:
        """Where faces have eyes and mouth: in the benchmark, or for the model."""
        if self.given is not None:
            return self.given.places
        return faces.places_of(self.method.model.name, self.method.model.metadata)

    def row(self) -> dict[str, Any]:
        """The settings that must be equal for a run to go on with another's results.

        The number of images is not among them, as each image is filled on its own.
        """
        return {
            "dataset": program.absolute(self.source.name),
            "split": self.source.split,
            "crop": self.source.crop,
            "image_size": self.source.size,
            "mask": self.mask,
            "seed": self.seed,
            **({"identical": self.given.identical} if self.given else {}),
            **self.method.row(),
        }


def run(evaluation: Evaluation) -> int:
    """Fills the images that an evaluation lacks, and summarises it when none is left.

    Returns:
      The exit status: 0, also when stopped by a signal; 1 if images failed, 2 if all
      did.

    Raises:
      HoleError: The method can fill none of the holes.
    """
    source, row = evaluation.source, evaluation.row()
    folder = workfolder.WorkFolder(program.make_folder(evaluation.workdir), source)

    # --- Results of earlier runs: the first process looks for all --------------------
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
        log = workfolder.ProgressLog(folder.path, done, len(source))
        filled = _first(plan, evaluation.slow)
        stopped = _work(evaluation, folder, filled, log, mesh)
        rest = plan.missing[len(filled.missing) :]
        if rest and not stopped and not _is_slow(evaluation, folder, filled):
            more, filled = plan._replace(missing=rest), plan
            stopped = _work(evaluation, folder, more, log, mesh)
        distributed.wait_for_all("all images are done")
        if stopped:
            if distributed.is_first():  # The others need not read all lines.
                print(
                    f"stopped by signal: {folder.count_done(plan)} of {len(source)} "
                    "images are done; start again to go on"
                )
            return 0

        # --- Summary of all images ---------------------------------------------------
        outcome = distributed.from_first(
            lambda: _merge(evaluation, row, folder, filled, mesh.size)
        )
        if isinstance(outcome, str):
            raise HoleError(outcome)
        return int(outcome)


def _first(plan: workfolder.Plan, slow: Slow | None) -> workfolder.Plan:
    """The images that are filled in any case: the first ones, or all."""
    if slow is None:
        return plan
    return plan._replace(missing=[i for i in plan.missing if i < slow.limit])


def _is_slow(
    evaluation: Evaluation, folder: workfolder.WorkFolder, filled: workfolder.Plan
) -> bool:
    """Whether the first images took long, or none of them could be filled."""
    slow = evaluation.slow
    assert slow is not None
    distributed.wait_for_all("the first images are done")

    def judge() -> bool:
        rows, _ = folder.merged(filled)
        seconds = [row["seconds"] for row in rows if row["index"] < slow.limit]
        return not seconds or float(np.median(seconds)) > slow.seconds

    return bool(distributed.from_first(judge))


def _work(
    evaluation: Evaluation,
    folder: workfolder.WorkFolder,
    plan: workfolder.Plan,
    log: workfolder.ProgressLog,
    mesh: Mesh,
) -> bool:
    """Fills this process's share of the missing images; returns True if stopped."""

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
    """Writes the summary of the results of all processes.

    Returns:
      The exit status; or the reason if the method can fill none of the holes.
    """
    rows, failures = folder.merged(plan)
    if not rows and all("refused" in each for each in failures):
        return str(failures[0]["refused"])
    failed = [each["failed"] for each in failures]
    for reason in failed:
        program.warn(reason)
    if not rows:
        return 2
    originals, completed = folder.pairs(rows[:_COMPARED])
    summary: dict[str, Any] = measures.summarise(rows)
    line = measures.outcome(f"{len(rows)} images", len(failed), summary)
    realistic = realism.measure(
        completed,
        originals,
        evaluation.masks_of(rows[:_COMPARED]),
        places=evaluation.places,
    )
    summary |= realistic.figures
    if evaluation.method.candidates > 1:
        summary["calibration_of_pictures"] = measures.calibration_of_pictures(rows)
    program.write_json(
        folder.path / "metrics.json",
        {
            "n": len(rows),
            "figures": summary,
            "not_computed": realistic.not_computed,
            "failed": failed,
            "config": config,
            **machine(),
            "devices": devices,
        },
    )
    shown = slice(sheets.ROWS)
    _write_grid(evaluation, rows[shown], originals[shown], completed[shown])
    for reason in realism.explain(realistic.not_computed):
        print(reason)
    print(line)
    print(f"look at {folder.path / workfolder.GRID}")
    return 1 if failed else 0


def machine() -> dict[str, Any]:
    """Versions of the packages that compute figures, and the device, for JSON."""
    packages = ("jax", "jaxlib", "flax", "optax", "numpy")
    versions = {name: importlib.metadata.version(name) for name in packages}
    return {
        "versions": versions | {"inpaint_jax": inpaint_jax.__version__},
        "device": str(jax.devices()[0].device_kind),
    }


def _write_grid(
    evaluation: Evaluation,
    rows: list[dict[str, Any]],
    originals: np.ndarray,
    completed: np.ndarray,
) -> None:
    masks = evaluation.masks_of(rows)
    shown = [
        sheets.Shown(row["id"], original, original, mask, result)
        for row, original, mask, result in zip(
            rows, originals, masks, completed, strict=True
        )
    ]
    sheets.write(evaluation.workdir / workfolder.GRID, shown)
