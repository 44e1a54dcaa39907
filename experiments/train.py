"""Trains a DCGAN on a data set.

    python -m experiments.train --dataset=celeb_a --workdir=runs/celeb_a
    python -m experiments.train --dataset='images:photos/*.zip' --workdir=runs/photos

Leaves in the work folder: config.json, checkpoints/, metrics.jsonl and
samples/<step>.png. Started again on the same folder it goes on where it was, and ends
with the parameters of a run that was never stopped.
"""

import dataclasses
import functools
import json
import os
import signal
import time
from pathlib import Path
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from tqdm import tqdm

from experiments import compilation_cache, program
from inpaint_jax import data, gan, images, inference, networks
from inpaint_jax.checkpoints import Checkpoints
from inpaint_jax.types import Architecture

flags.adopt_module_key_flags(compilation_cache)

_DATASET = flags.DEFINE_string(
    "dataset",
    None,
    "celeb_a, svhn_cropped or cars196 (through tensorflow-datasets), or images:PATH "
    "with PATH a folder, a zip or a glob of them.",
    required=True,
)
_SPLIT = flags.DEFINE_string("split", "train", "Split of the data set.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Where tensorflow-datasets keeps it.")
_CROP = flags.DEFINE_string(
    "crop",
    None,
    "center (the largest square), none (the whole frame) or a number of pixels (a "
    "centre square). Default: the paper's choice for the data set.",
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
_STEPS = flags.DEFINE_integer("steps", 25_000, "Steps in all.", lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 64, "Images a step.")
_SEED = flags.DEFINE_integer(
    "seed", 0, "Of weights, latents, flips and order.", upper_bound=2**31 - 1
)
_WIDTH = flags.DEFINE_integer("width", 64, "Channels of the outermost layer.")
_LATENT_SIZE = flags.DEFINE_integer("latent_size", 100, "Length of z.")
_IMAGE_SIZE = flags.DEFINE_integer("image_size", 64, "Side of the images.")
_LEARNING_RATE = flags.DEFINE_float("learning_rate", 2e-4, "Adam's step size.")
_BETA1 = flags.DEFINE_float("beta1", 0.5, "Adam's first decay.")
_EMA_DECAY = flags.DEFINE_float("ema_decay", 0.999, "Of the generator's average.")
_GENERATOR_LOSS = flags.DEFINE_enum(
    "generator_loss",
    "non_saturating",
    gan.GENERATOR_LOSSES,
    "saturating is the paper's eq. 1 to the letter.",
)
_FLIP = flags.DEFINE_bool("flip", True, "Mirror images at random.")
_LOG_EVERY = flags.DEFINE_integer(
    "log_every", 50, "Steps between two lines of metrics.jsonl.", lower_bound=1
)
_CHECKPOINT_EVERY = flags.DEFINE_integer(
    "checkpoint_every", 500, "Steps between two checkpoints.", lower_bound=1
)
_SAMPLE_EVERY = flags.DEFINE_integer(
    "sample_every", 500, "Steps between two grids of samples.", lower_bound=1
)

_SAMPLES = 64


def main() -> int:
    # --- Configuration -------------------------------------------------------------
    with program.usage_errors():
        config = gan.TrainConfig(
            architecture=Architecture(
                latent_size=_LATENT_SIZE.value,
                width=_WIDTH.value,
                image_size=_IMAGE_SIZE.value,
            ),
            batch_size=_BATCH_SIZE.value,
            learning_rate=_LEARNING_RATE.value,
            beta1=_BETA1.value,
            ema_decay=_EMA_DECAY.value,
            generator_loss=_GENERATOR_LOSS.value,
            flip=_FLIP.value,
            seed=_SEED.value,
        )
    workdir = program.make_folder(Path(_WORKDIR.value))
    with program.lock(workdir):
        return _run(config, workdir)


def _run(config: gan.TrainConfig, workdir: Path) -> int:
    """The run in ``workdir``, new or continued; returns the exit status."""
    # --- Data ----------------------------------------------------------------------
    dataset = data.load(
        _DATASET.value,
        split=_SPLIT.value,
        data_dir=_DATA_DIR.value,
        crop=_CROP.value,
        size=config.architecture.image_size,
        progress=True,
    )
    print(f"{len(dataset)} images of {_DATASET.value}")
    _remember_config(workdir / "config.json", config, dataset)

    # --- State: new, or where the last run stopped -----------------------------------
    state = gan.init_state(config)
    with Checkpoints(workdir) as checkpoints, _StopSignal() as stop:
        if checkpoints.latest_step is not None:
            with program.usage_errors():
                state = checkpoints.restore(state)
            print(f"going on from step {state.step}")
        start = int(state.step)
        if start >= _STEPS.value:
            print(f"{workdir} has {start} steps already; --steps={_STEPS.value}")
            return 0
        return _train(state, start, config, dataset, checkpoints, workdir, stop)


def _train(
    state: gan.TrainState,
    start: int,
    config: gan.TrainConfig,
    dataset: data.Dataset,
    checkpoints: Checkpoints,
    workdir: Path,
    stop: "_StopSignal",
) -> int:
    """The loop, from step ``start`` to ``--steps``; returns the exit status."""
    metrics_path = workdir / "metrics.jsonl"
    _drop_rows_after(metrics_path, start)
    metrics: gan.Metrics | None = None
    clock, last_logged = time.monotonic(), start
    with (
        tqdm(initial=start, total=_STEPS.value, unit="step", disable=None) as bar,
        metrics_path.open("a", buffering=1) as metrics_file,
    ):
        for step in range(start + 1, _STEPS.value + 1):
            rows = data.batch_indices(
                len(dataset), config.batch_size, seed=config.seed, step=step - 1
            )
            batch = jnp.asarray(images.to_float(dataset.images[rows]))
            # Steps are queued, not waited for; without this wait the queue would grow,
            # and a signal to stop would be heeded only when all of it is done.
            jax.block_until_ready(metrics)
            state, metrics = gan.train_step(state, batch, config=config)
            bar.update()

            # Read once: the signal may come at any moment, and this step either is the
            # last, and saved, or is not.
            stopped = stop.received
            last = step == _STEPS.value or stopped
            saves = last or step % _CHECKPOINT_EVERY.value == 0
            if saves or step % _LOG_EVERY.value == 0:
                # A number that is not finite never becomes finite again, so that
                # looking here, and before each checkpoint, is often enough.
                if not gan.is_finite((state, metrics)):
                    good = checkpoints.latest_step
                    raise program.UsageError(
                        f"training diverged: a number is not finite by step {step}; "
                        f"the last good checkpoint in {workdir} is "
                        f"{'none' if good is None else f'of step {good}'}. "
                        "Try a lower --learning_rate or another --seed"
                    )
                now = time.monotonic()
                speed = (step - last_logged) * config.batch_size / (now - clock)
                clock, last_logged = now, step
                row = {name: float(v) for name, v in metrics._asdict().items()}
                row = {"step": step, **row, "images_per_second": speed}
                metrics_file.write(json.dumps(row) + "\n")
                bar.set_postfix_str(
                    f"{speed:.0f} images/s, D {row['discriminator_loss']:.2f}, "
                    f"G {row['generator_loss']:.2f}"
                )
            if last or step % _SAMPLE_EVERY.value == 0:
                _write_samples(workdir / "samples" / f"{step:07d}.png", state, config)
            if saves:
                checkpoints.save(state)
            if stopped:
                print(f"stopped by signal at step {step}; start again to go on")
                break
    return 0


class _StopSignal:
    """Notes SIGTERM and SIGINT: the run saves the step it is at and leaves.

    A context manager. The second signal is not noted but takes its usual effect, for
    whoever cannot wait.
    """

    def __init__(self) -> None:
        self.received = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, *_: object) -> None:
        self.received = True
        self.__exit__()


def _remember_config(
    path: Path, config: gan.TrainConfig, dataset: data.Dataset
) -> None:
    """Writes the configuration, or checks it against the one that is there.

    Raises:
      program.UsageError: The folder belongs to a run of another configuration.
    """
    wanted = {
        **dataclasses.asdict(config),
        "dataset": _absolute(dataset.name),
        "split": dataset.split,
        "images": len(dataset),
        "crop": dataset.crop,
    }
    if not path.exists():
        program.write_json(path, wanted)
        return
    try:
        there = json.loads(path.read_text())
    except ValueError as error:
        raise program.UsageError(f"{path} is not valid JSON: {error}") from error
    for name, value in wanted.items():
        if there.get(name) != value:
            raise program.UsageError(
                f"{path.parent} belongs to a run with {name} = {there.get(name)}, "
                f"not {value}: give another --workdir or the same flags"
            )


def _absolute(dataset: str) -> str:
    """``images:PATH`` as it reads from any folder; other names as they are."""
    kind, colon, path = dataset.partition(":")
    return f"{kind}:{os.path.abspath(os.path.expanduser(path))}" if colon else dataset


def _drop_rows_after(path: Path, step: int) -> None:
    """Forgets the metrics of steps that a killed run did but did not save."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue  # The line a killed run was writing.
        if row["step"] <= step:
            kept.append(line + "\n")
    program.write_text(path, "".join(kept))


def _write_samples(path: Path, state: gan.TrainState, config: gan.TrainConfig) -> None:
    key = jax.random.key(config.seed)
    size = config.architecture
    latents = gan.sample_latents(key, _SAMPLES, size.latent_size)
    samples = _sample(state.average, latents)
    images.write_png(path, images.tile(np.asarray(samples)))


@jax.jit
def _sample(variables: networks.Variables, latents: jax.Array) -> jax.Array:
    """Images ``[N, S, S, 3]`` of latents ``[N, L]``."""
    weights = inference.generator_weights(variables)
    return jax.vmap(functools.partial(inference.generate, weights))(latents)


if __name__ == "__main__":
    program.run(main)
