"""An evaluation: a way to fill holes, on the images of a data set, in a work folder.

What ``experiments.evaluate`` does once and ``experiments.compare`` for each cell of its
table.
"""

import contextlib
import dataclasses
import importlib.metadata
import math
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from tqdm import tqdm

import inpaint_jax
from experiments.filling import batches, methods, report, workfolder
from experiments.runtime import distributed, overlap, program
from experiments.runtime.stopwatch import Stopwatch
from inpaint_jax import parallel, pixels
from inpaint_jax.baselines import HoleError
from inpaint_jax.data import datasets, images, sheets
from inpaint_jax.quality import sets

_GRID_ROWS = 32
_SWD_IMAGES = 2048
_FIGURES = (
    "missing",
    "context_loss",
    "prior_loss",
    "psnr",
    "ssim",
    "psnr_hole",
    "seconds",
)
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
            held.enter_context(program.lock(folder.path))
            program.remember(folder.path / "config.json", row, _OLDER)
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
    source, processes = folder.source, jax.process_count()
    size = _local_batch_size(evaluation, mesh)
    mine = plan.missing[jax.process_index() :: processes]
    # As many rounds in every process: one that has no image left does empty ones.
    rounds = math.ceil(math.ceil(len(plan.missing) / processes) / size)
    shares = [mine[i * size : (i + 1) * size] for i in range(rounds)]
    done = len(source) - len(plan.missing)
    with (
        tqdm(
            total=len(source),
            initial=done,
            unit="image",
            disable=None if distributed.is_first() else True,
            bar_format="{l_bar}{bar}| {n:.0f}/{total_fmt} [{elapsed}<{remaining}, "
            "{rate_fmt}]",
        ) as bar,
        overlap.Behind() as writer,
        distributed.Stop() as stop,
    ):
        complete = evaluation.method.prepare(
            lambda done: bar.update(min(done * processes, bar.total - bar.n)), mesh
        )
        log = workfolder.ProgressLog(folder.path, done, len(source))

        def read(share: list[int]) -> batches.Batch:
            return batches.read(source, share, size, evaluation.mask, evaluation.seed)

        def write(
            batch: batches.Batch, found: dict[str, np.ndarray], seconds: float
        ) -> None:
            rows = batches.measure(batch, found, seconds, folder.write_completed)
            folder.parts.append(plan.attempt, jax.process_index(), rows)
            if distributed.is_first():
                log.add(rows, processes)

        for step, batch in enumerate(overlap.ahead(read, shares)):
            if stop.at(step):
                return True
            with Stopwatch() as watch:
                floats = pixels.to_float(batch.originals)
                found = complete(floats, batch.masks, batch.keys)
            # Copies that fill a batch up are as much work as others.
            seconds = watch.seconds / len(batch.originals)
            writer.call(write, batch, found, seconds)
            done += processes * len(batch.indices)
            bar.update(min(done, len(source)) - bar.n)
        return stop.at(rounds)


def _local_batch_size(evaluation: Evaluation, mesh: Mesh) -> int:
    """How many images this process fills at once: a multiple of its devices."""
    devices = parallel.local_size(mesh)
    count = min(evaluation.batch_size, len(evaluation.source))
    per_process = count / jax.process_count()
    return devices * math.ceil(per_process / devices)


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
    summary: dict[str, Any] = _summary(rows)
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
    shown = slice(_GRID_ROWS)
    _write_grid(evaluation, rows[shown], originals[shown], completed[shown])
    figures = ", ".join(
        f"{name} {summary[name]['mean']:.{digits}f}{unit}"
        for name, digits, unit in (
            ("psnr", 2, " dB"),
            ("ssim", 3, ""),
            ("psnr_hole", 2, " dB"),
        )
        if name in summary
    )
    print(f"{len(rows)} images, {len(failed)} failed; {figures}")
    print(f"look at {folder.path / 'grid.png'}")
    return 1 if failed else 0


def _summary(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Mean, median, deviation and standard error of every figure that rows have.

    Over the n rows where it is a number: of an image without a hole there is no PSNR in
    the hole, and an exact fill's is infinite.
    """
    summary = {}
    for name in _FIGURES:
        values = [row[name] for row in rows if row.get(name) is not None]
        if values:
            deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
            summary[name] = {
                "mean": math.fsum(values) / len(values),
                "median": float(np.median(values)),
                "std": deviation,
                "sem": deviation / math.sqrt(len(values)),
                "n": len(values),
            }
    return summary


def _swd(completed: np.ndarray, originals: np.ndarray) -> dict[str, float]:
    """Sliced Wasserstein distance of the completed images to the originals.

    Low only where texture is right, which PSNR hardly looks at. Of the first images
    alone where there are many: it takes memory and minutes.
    """
    distances = sets.sliced_wasserstein(completed, originals)
    return {**report.by_level(distances), "n": len(completed)}


def _write_grid(
    evaluation: Evaluation,
    rows: list[dict[str, Any]],
    originals: np.ndarray,
    completed: np.ndarray,
) -> None:
    ids = [row["id"] for row in rows]
    drawn, _ = batches.draw_masks(
        ids, evaluation.mask, evaluation.seed, originals.shape[1:3]
    )
    masked = pixels.with_hole(originals, drawn)
    sheet = sheets.grid(
        list(zip(originals, masked, completed, strict=True)),
        column_labels=["original", "masked", "completed"],
        row_labels=ids,
    )
    images.write_png(evaluation.workdir / "grid.png", sheet)
