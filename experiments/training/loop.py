"""The training loop of all networks; a run goes on where it stopped."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from tqdm import tqdm

from experiments.runtime import distributed, program
from experiments.training import tracking
from experiments.training.trainee import Judged, Trainee
from inpaint_jax import parallel, pixels
from inpaint_jax.data import images, sheets
from inpaint_jax.data.datasets import Dataset
from inpaint_jax.data.order import batch_indices
from inpaint_jax.training import updates
from inpaint_jax.training.checkpoints import Checkpoints, State
from inpaint_jax.training.recipes import Recipe


@dataclasses.dataclass(frozen=True)
class Pace:
    """Length and intervals of a training.

    Attributes:
      steps: Steps in all.
      log_every: Steps between two lines of ``metrics.jsonl``.
      checkpoint_every: Steps between two checkpoints.
      sample_every: Steps between two grids of samples.
      evaluate_every: Steps between two lines of ``quality.jsonl``; 0: never.
    """

    steps: int
    log_every: int
    checkpoint_every: int
    sample_every: int
    evaluate_every: int = 0

    def evaluates_at(self, step: int) -> bool:
        """Whether the network is evaluated after that step."""
        every = self.evaluate_every
        return every > 0 and step > 0 and (step % every == 0 or step == self.steps)


class Outcome(NamedTuple):
    """The result of a training.

    Attributes:
      state: The state after the last step that was done.
      rows: The lines of ``metrics.jsonl``.
      finished: Whether all steps are done; otherwise a signal stopped the training.
    """

    state: Any
    rows: list[dict[str, Any]]
    finished: bool


@contextlib.contextmanager
def work_folder(path: str) -> Iterator[Path]:
    """Makes a run's folder and locks it for this job.

    Raises:
      program.UsageError: The folder cannot be written, or another run uses it.
    """
    workdir = program.make_folder(Path(path), ["samples", "curves.png"])
    with contextlib.ExitStack() as held:
        distributed.from_first(lambda: held.enter_context(program.lock(workdir)))
        yield workdir


def make_mesh(recipe: Recipe) -> Mesh:
    """A mesh over all devices, among which the recipe's batches can be divided.

    Raises:
      program.UsageError: The batches cannot be divided.
    """
    mesh = parallel.make_mesh()
    if recipe.batch_size % mesh.size:
        raise program.UsageError(
            f"batch_size {recipe.batch_size} must be a multiple of the "
            f"{mesh.size} devices"
        )
    groups = getattr(recipe, "batch_norm_groups", 1)
    if groups > 1 and groups % mesh.size:
        raise program.UsageError(
            f"batch_norm_groups {groups} must be 1 or a multiple of the {mesh.size} "
            "devices"
        )
    return mesh


@dataclasses.dataclass(frozen=True)
class _Run:
    """The objects that the loop needs beside the state."""

    trainee: Trainee
    dataset: Dataset
    mesh: Mesh
    workdir: Path
    pace: Pace
    checkpoints: Checkpoints
    metrics: tracking.Rows
    tracker: tracking.Tracker | None
    stop: distributed.Stop


def train(
    trainee: Trainee, dataset: Dataset, *, workdir: Path, mesh: Mesh, pace: Pace
) -> Outcome:
    """Trains from the newest checkpoint, if there is one, to the last step or a signal.

    Args:
      trainee: The network to train.
      dataset: The images to train on.
      workdir: Folder of the run, whose configuration has been compared.
      mesh: The devices.
      pace: Length and intervals of the training.

    Raises:
      program.UsageError: Training diverged.
      CheckpointError: A checkpoint cannot be read or written.
    """
    state = parallel.replicate(trainee.init_state(), mesh)
    with contextlib.ExitStack() as held:
        checkpoints = held.enter_context(Checkpoints(workdir))
        stop = held.enter_context(distributed.Stop())
        if checkpoints.latest_step is not None:
            state = checkpoints.restore(state)
            distributed.say(f"going on from step {state.step}")
        start = int(state.step)
        metrics = tracking.Rows(workdir / "metrics.jsonl", start)
        tracker = None
        if isinstance(trainee, Judged):
            tracker = held.enter_context(tracking.Tracker(workdir, trainee, start))
        run = _Run(
            trainee,
            dataset,
            mesh,
            workdir,
            pace,
            checkpoints,
            metrics,
            tracker,
            stop,
        )
        # An earlier run was killed between a checkpoint and its evaluation.
        if tracker and pace.evaluates_at(start) and not tracker.has(start):
            _evaluate(run, tracker, state)
        if start >= pace.steps:
            distributed.say(
                f"{workdir} has {start} steps already; --steps={pace.steps}"
            )
            return Outcome(state, metrics.rows, finished=True)
        return _train(run, state, start)


def _train(run: _Run, state: State, start: int) -> Outcome:
    """The loop, from step ``start`` on."""
    trainee, pace, recipe = run.trainee, run.pace, run.trainee.recipe
    metrics: Any = None
    clock, last_logged = time.monotonic(), start
    mine = _share(recipe.batch_size)
    with tqdm(
        initial=start,
        total=pace.steps,
        unit="step",
        disable=None if distributed.is_first() else True,
    ) as bar:
        for step in range(start + 1, pace.steps + 1):
            rows = batch_indices(
                len(run.dataset), recipe.batch_size, seed=recipe.seed, step=step - 1
            )
            batch = parallel.place(
                pixels.to_float(run.dataset.images[rows[mine]]), run.mesh
            )
            # Steps are queued without waiting for them. Unless the loop waits here, the
            # queue grows, and a signal takes effect only when all of it is done.
            jax.block_until_ready(metrics)
            state, metrics = trainee.train_step(state, batch, run.mesh)
            bar.update()

            # Read once, because the signal may come at any moment: all that follows
            # must agree on whether this step is the last one, which is saved.
            stopped = run.stop.at(step)
            last = step == pace.steps or stopped
            evaluates = pace.evaluates_at(step) and not stopped
            saves = last or evaluates or step % pace.checkpoint_every == 0
            if saves or step % pace.log_every == 0:
                _check_finite((state, metrics), step, run.checkpoints)
                now = time.monotonic()
                speed = (step - last_logged) * recipe.batch_size / (now - clock)
                named = metrics._asdict().items()
                row = {name: np.asarray(x).tolist() for name, x in named}
                run.metrics.append({"step": step, **row, "images_per_second": speed})
                bar.set_postfix_str(f"{speed:.0f} images/s, {trainee.say_step(row)}")
                clock, last_logged = now, step
            if last or step % pace.sample_every == 0:
                _write_samples(run, state, step)
            if saves:
                run.checkpoints.save(state)
            if run.tracker and evaluates:
                # The checkpoint comes first: a run killed from here on evaluates again.
                run.checkpoints.wait()
                bar.set_description("judging")
                _evaluate(run, run.tracker, state)
                bar.set_description()
                clock = time.monotonic()
            if stopped:
                distributed.say(
                    f"stopped by signal at step {step}; start again to go on"
                )
                return Outcome(state, run.metrics.rows, finished=False)
    best = run.tracker.best_step if run.tracker else None
    distributed.say(
        f"{pace.steps} steps done"
        + (f"; the best checkpoint is of step {best}" if best is not None else "")
    )
    distributed.say(
        f"look at {run.workdir / 'curves.png'} and {run.workdir / 'samples'}"
    )
    return Outcome(state, run.metrics.rows, finished=True)


def _share(batch_size: int) -> slice:
    """The part of every batch that this process passes to its devices."""
    size = batch_size // jax.process_count()
    return slice(jax.process_index() * size, (jax.process_index() + 1) * size)


def _evaluate(run: _Run, tracker: tracking.Tracker, state: State) -> None:
    row = tracker.evaluate(state)
    distributed.say(
        f"step {row['step']}: {tracker.trainee.say_verdict(row)}"
        + (", the best so far" if tracker.best_step == row["step"] else "")
    )
    _draw_curves(run)


def _write_samples(run: _Run, state: State, step: int) -> None:
    if not distributed.is_first():
        return
    samples = sheets.tile(run.trainee.samples(parallel.local(state)))
    images.write_png(run.workdir / "samples" / f"{step:07d}.png", samples)
    _draw_curves(run)


def _draw_curves(run: _Run) -> None:
    if not distributed.is_first():
        return
    verdicts = run.tracker.rows if run.tracker else []
    best = run.tracker.best_step if run.tracker else None
    path = run.workdir / "curves.png"
    run.trainee.write_curves(path, run.metrics.rows, verdicts, best)


def _check_finite(tree: Any, step: int, checkpoints: Checkpoints) -> None:
    """Ends a run that diverged, before the state is saved.

    A number that is not finite never becomes finite again, so it is enough to check
    figures that are logged and states that are saved.

    Args:
      tree: The state and the figures after ``step``.
      step: Number of steps done.
      checkpoints: The run's checkpoints.

    Raises:
      program.UsageError: A number is not finite.
    """
    if updates.is_finite(tree):
        return
    good = checkpoints.latest_step
    raise program.UsageError(
        f"training diverged: NaN or infinity at or before step {step}; the last good "
        f"checkpoint is {'none' if good is None else f'of step {good}'}. "
        "Try a lower --learning_rate or another --seed"
    )
