r"""Trains a DCGAN on a data set, or a network that it is compared with.

    python -m experiments.train --dataset=celeb_a --workdir=runs/celeb_a
    python -m experiments.train --dataset='images:photos/*.zip' --workdir=runs/photos
    python -m experiments.train --dataset=celeb_a --model=context_encoder \
        --workdir=runs/context_encoder

Leaves in the work folder: config.json, checkpoints/ with the latest states and best/
with the best one, metrics.jsonl, quality.jsonl (figures on images that were held back),
held_back.json (their ids), curves.png and samples/<step>.png. Started again on the same
folder it goes on where it was, and ends with the parameters of a run that was never
stopped. With --distributed several processes, on one machine or many, train together.
"""

import contextlib
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags
from jax.sharding import Mesh
from tqdm import tqdm

from experiments.flags import dataset as dataset_flags
from experiments.flags import recipe
from experiments.runtime import compilation_cache, distributed, program
from experiments.runtime.stopping import check_finite
from experiments.training import tracking, trainees
from inpaint_jax import parallel, pixels
from inpaint_jax.data import datasets, images, sheets
from inpaint_jax.data.order import batch_indices
from inpaint_jax.training import recipes
from inpaint_jax.training.checkpoints import Checkpoints, State

_DATASET = dataset_flags.define_dataset()
for _module in (compilation_cache, dataset_flags, distributed, recipe):
    flags.adopt_module_key_flags(_module)

_SPLIT = flags.DEFINE_string("split", "train", "Split of the data set.")
_CROP = flags.DEFINE_string(
    "crop",
    None,
    "center (the largest square), none (the whole frame) or a number of pixels (a "
    "centre square). Default: the paper's choice for the data set.",
)
_VALIDATION = flags.DEFINE_string(
    "validation",
    None,
    "What to judge the generator with: a number of images to hold back from training, "
    "another split of the data set, or images:PATH. Default: a tenth is held back, at "
    "most 1000.",
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
_STEPS = flags.DEFINE_integer("steps", 25_000, "Steps in all.", lower_bound=1)
_LOG_EVERY = flags.DEFINE_integer(
    "log_every", 50, "Steps between two lines of metrics.jsonl.", lower_bound=1
)
_CHECKPOINT_EVERY = flags.DEFINE_integer(
    "checkpoint_every", 500, "Steps between two checkpoints.", lower_bound=1
)
_SAMPLE_EVERY = flags.DEFINE_integer(
    "sample_every", 500, "Steps between two grids of samples.", lower_bound=1
)
_EVALUATE_EVERY = flags.DEFINE_integer(
    "evaluate_every",
    1000,
    "Steps between two lines of quality.jsonl; 0: never, and nothing is held back.",
    lower_bound=0,
)

_FEWEST = 10  # Images of which some can be held back.


def main() -> int:
    with distributed.job():
        return _configure()


def _configure() -> int:
    # --- Configuration -------------------------------------------------------------
    with program.usage_errors():
        config = recipe.read_recipe()
    mesh = parallel.make_mesh()
    if config.batch_size % mesh.size:
        raise program.UsageError(
            f"batch_size {config.batch_size} must be a multiple of the "
            f"{mesh.size} devices"
        )
    groups = getattr(config, "batch_norm_groups", 1)
    if groups > 1 and groups % mesh.size:
        raise program.UsageError(
            f"batch_norm_groups {groups} must be 1 or a multiple of the {mesh.size} "
            "devices"
        )
    workdir = program.make_folder(Path(_WORKDIR.value), ["samples", "curves.png"])
    with contextlib.ExitStack() as held:
        distributed.from_first(lambda: held.enter_context(program.lock(workdir)))
        return _run(config, mesh, workdir)


@dataclasses.dataclass(frozen=True)
class _Run:
    """What the loop works with, beside the state."""

    trainee: trainees.Trainee
    dataset: datasets.Dataset
    mesh: Mesh
    workdir: Path
    checkpoints: Checkpoints
    metrics: tracking.Rows
    tracker: tracking.Tracker
    stop: distributed.Stop


def _run(config: recipes.Recipe, mesh: Mesh, workdir: Path) -> int:
    """The run in ``workdir``, new or continued; returns the exit status."""
    # --- Data ----------------------------------------------------------------------
    dataset, held_back = _load_data(config.architecture.image_size)
    distributed.say(
        f"{len(dataset)} images of {dataset.name}, {len(held_back)} to judge with"
    )

    def remember() -> None:
        _remember_config(workdir / "config.json", config, dataset)
        program.write_json(workdir / "held_back.json", held_back.ids)

    distributed.from_first(remember)

    # --- State: new, or where the last run stopped -----------------------------------
    trainee = trainees.make(config, dataset, held_back)
    state = parallel.replicate(trainee.init_state(), mesh)
    with Checkpoints(workdir) as checkpoints, distributed.Stop() as stop:
        if checkpoints.latest_step is not None:
            state = checkpoints.restore(state)
            distributed.say(f"going on from step {state.step}")
        start = int(state.step)
        metrics = tracking.Rows(workdir / "metrics.jsonl", start)
        with tracking.Tracker(workdir, trainee, start) as tracker:
            run = _Run(
                trainee, dataset, mesh, workdir, checkpoints, metrics, tracker, stop
            )
            # A run killed between a checkpoint and its evaluation.
            if _evaluates_at(start) and not tracker.has(start):
                _evaluate(run, state)
            if start >= _STEPS.value:
                distributed.say(
                    f"{workdir} has {start} steps already; --steps={_STEPS.value}"
                )
                return 0
            return _train(run, state, start)


def _load_data(size: int) -> tuple[datasets.Dataset, datasets.Dataset]:
    """The images to train on, and those to judge with."""

    def load(name: str, split: str) -> datasets.Dataset:
        return dataset_flags.load(name, split, size=size, crop=_CROP.value)

    dataset = load(_DATASET.value, _SPLIT.value)
    validation = _VALIDATION.value
    if not _EVALUATE_EVERY.value:
        return dataset, datasets.select(dataset, np.zeros(len(dataset), bool))
    if validation is None or validation.isdecimal():
        if len(dataset) < _FEWEST:
            raise program.UsageError(
                f"{len(dataset)} images are too few to hold some back: "
                "--evaluate_every=0 trains on all and judges nothing"
            )
        count = int(validation or min(1000, max(2, len(dataset) // 10)))
        dataset, held_back = datasets.hold_back(dataset, count)
    elif validation.startswith("images:"):
        held_back = load(validation, "validation")
    elif _DATASET.value.startswith("images:"):
        raise program.UsageError(
            f"--validation={validation}: give a number or images:PATH, as "
            f"{_DATASET.value} has no splits"
        )
    else:
        held_back = load(_DATASET.value, validation)
    if len(held_back) < 2:
        raise program.UsageError("--validation: give at least 2 images")
    return dataset, held_back


def _train(run: _Run, state: State, start: int) -> int:
    """The loop, from step ``start`` to ``--steps``; returns the exit status."""
    trainee, dataset, config = run.trainee, run.dataset, run.trainee.recipe
    metrics: Any = None
    clock, last_logged = time.monotonic(), start
    mine = _share(config.batch_size)
    with tqdm(
        initial=start,
        total=_STEPS.value,
        unit="step",
        disable=None if distributed.is_first() else True,
    ) as bar:
        for step in range(start + 1, _STEPS.value + 1):
            rows = batch_indices(
                len(dataset), config.batch_size, seed=config.seed, step=step - 1
            )
            batch = parallel.place(
                pixels.to_float(dataset.images[rows[mine]]), run.mesh
            )
            # Steps are queued, not waited for; without this wait the queue would grow,
            # and a signal to stop would be heeded only when all of it is done.
            jax.block_until_ready(metrics)
            state, metrics = trainee.train_step(state, batch, run.mesh)
            bar.update()

            # Read once: the signal may come at any moment, and this step either is the
            # last, and saved, or is not.
            stopped = run.stop.at(step)
            last = step == _STEPS.value or stopped
            evaluates = _evaluates_at(step) and not stopped
            saves = last or evaluates or step % _CHECKPOINT_EVERY.value == 0
            if saves or step % _LOG_EVERY.value == 0:
                check_finite((state, metrics), step, run.checkpoints)
                now = time.monotonic()
                speed = (step - last_logged) * config.batch_size / (now - clock)
                row = {name: float(v) for name, v in metrics._asdict().items()}
                run.metrics.append({"step": step, **row, "images_per_second": speed})
                bar.set_postfix_str(f"{speed:.0f} images/s, {trainee.say_step(row)}")
                clock, last_logged = now, step
            if last or step % _SAMPLE_EVERY.value == 0:
                _write_samples(run, state, step)
            if saves:
                run.checkpoints.save(state)
            if evaluates:
                # First the checkpoint: killed from here on, the run evaluates again.
                run.checkpoints.wait()
                bar.set_description("judging")
                _evaluate(run, state)
                bar.set_description()
                clock = time.monotonic()
            if stopped:
                distributed.say(
                    f"stopped by signal at step {step}; start again to go on"
                )
                return 0
    best = run.tracker.best_step
    distributed.say(
        f"{_STEPS.value} steps done"
        + (f"; the best checkpoint is of step {best}" if best is not None else "")
    )
    distributed.say(
        f"look at {run.workdir / 'curves.png'} and {run.workdir / 'samples'}"
    )
    return 0


def _share(batch_size: int) -> slice:
    """Which part of every batch this process feeds to its devices."""
    size = batch_size // jax.process_count()
    return slice(jax.process_index() * size, (jax.process_index() + 1) * size)


def _evaluates_at(step: int) -> bool:
    """Whether the generator is judged after that step."""
    every = _EVALUATE_EVERY.value
    return every > 0 and step > 0 and (step % every == 0 or step == _STEPS.value)


def _evaluate(run: _Run, state: State) -> None:
    row = run.tracker.evaluate(state)
    distributed.say(
        f"step {row['step']}: {run.trainee.say_verdict(row)}"
        + (", the best so far" if run.tracker.best_step == row["step"] else "")
    )
    _draw_curves(run)


def _draw_curves(run: _Run) -> None:
    if not distributed.is_first():
        return
    run.trainee.write_curves(
        run.workdir / "curves.png",
        run.metrics.rows,
        run.tracker.rows,
        run.tracker.best_step,
    )


def _remember_config(
    path: Path, config: recipes.Recipe, dataset: datasets.Dataset
) -> None:
    """Writes the configuration, or checks it against the one that is there."""
    validation = program.absolute(_VALIDATION.value or "a tenth, at most 1000")
    if not _EVALUATE_EVERY.value:
        validation = "none"
    wanted = {
        "model": recipe.MODEL.value,
        **_as_json(config),
        "dataset": program.absolute(dataset.name),
        "split": dataset.split,
        "validation": validation,
        "images": len(dataset),
        "crop": dataset.crop,
    }
    # Before there were recipes, all runs were like this.
    older = {
        "model": "dcgan",
        **_as_json(recipes.TrainConfig()),
        "validation": "none",
    }
    program.remember(path, wanted, older)


def _as_json(config: recipes.Recipe) -> dict[str, Any]:
    """The configuration as JSON gives it back."""
    row = dataclasses.asdict(config)
    return json.loads(json.dumps(row))


def _write_samples(run: _Run, state: State, step: int) -> None:
    if not distributed.is_first():
        return
    samples = sheets.tile(run.trainee.samples(parallel.local(state)))
    images.write_png(run.workdir / "samples" / f"{step:07d}.png", samples)
    _draw_curves(run)


if __name__ == "__main__":
    program.run(main)
