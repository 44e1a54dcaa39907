r"""Trains encoders for a generator: they name a latent to start the search from.

    python -m experiments.train_encoder --model=runs/photos \
        --dataset='images:photos/*.zip' --workdir=runs/photos-encoder
    python -m experiments.inpaint --model=runs/photos-encoder/photos.safetensors

Leaves in the work folder: the model with its encoders as a file of the model's name,
config.json, checkpoints/ and metrics.jsonl. Started again on the same folder it goes on
where it was.
"""

import dataclasses
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags
from tqdm import tqdm

from experiments.flags import dataset as dataset_flags
from experiments.runtime import compilation_cache, program
from experiments.runtime.stopping import StopSignal, check_finite
from experiments.training import tracking
from inpaint_jax import pixels, pretrained
from inpaint_jax.data import datasets
from inpaint_jax.data.order import batch_indices
from inpaint_jax.search import with_metric
from inpaint_jax.training import encoder
from inpaint_jax.training.checkpoints import Checkpoints
from inpaint_jax.types import Model

_DATASET = dataset_flags.define_dataset()
for _module in (compilation_cache, dataset_flags):
    flags.adopt_module_key_flags(_module)

_DEFAULTS = encoder.EncoderConfig()
_MODEL = flags.DEFINE_string(
    "model",
    None,
    "A shipped model's name, a .safetensors file, or the work folder of a training.",
    required=True,
)
_SPLIT = flags.DEFINE_string("split", "train", "Split of the data set.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
_WIDTH = flags.DEFINE_integer(
    "width", None, "Channels of the encoders' outermost layer. Default: the model's."
)
_PASSES = flags.DEFINE_integer("passes", _DEFAULTS.passes, "Encoders in a row.")
_STEPS = flags.DEFINE_integer(
    "steps", _DEFAULTS.steps, "Steps in all; the learning rate falls to 0 by then."
)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", _DEFAULTS.batch_size, "Images a step.")
_LEARNING_RATE = flags.DEFINE_float(
    "learning_rate", _DEFAULTS.learning_rate, "Adam's, at its greatest."
)
_FLIP = flags.DEFINE_bool("flip", _DEFAULTS.flip, "Mirror images at random.")
_SEED = flags.DEFINE_integer(
    "seed", _DEFAULTS.seed, "Of weights, masks, samples and order.", lower_bound=0
)
_LOG_EVERY = flags.DEFINE_integer(
    "log_every", 50, "Steps between two lines of metrics.jsonl.", lower_bound=1
)
_CHECKPOINT_EVERY = flags.DEFINE_integer(
    "checkpoint_every", 500, "Steps between two checkpoints.", lower_bound=1
)


def main() -> int:
    # --- What is asked ----------------------------------------------------------------
    parts = pretrained.read_parts(_MODEL.value)
    width = parts.architecture.width if _WIDTH.value is None else _WIDTH.value
    with program.usage_errors():
        config = encoder.EncoderConfig(
            architecture=dataclasses.replace(parts.architecture, width=width),
            passes=_PASSES.value,
            steps=_STEPS.value,
            batch_size=_BATCH_SIZE.value,
            learning_rate=_LEARNING_RATE.value,
            flip=_FLIP.value,
            seed=_SEED.value,
        )
    workdir = program.make_folder(Path(_WORKDIR.value))
    with program.lock(workdir):
        return _run(config, parts, workdir)


def _run(config: encoder.EncoderConfig, parts: pretrained.Parts, workdir: Path) -> int:
    """The run in ``workdir``, new or continued; returns the exit status."""
    # --- Data -------------------------------------------------------------------------
    dataset = dataset_flags.load(
        _DATASET.value,
        _SPLIT.value,
        size=config.architecture.image_size,
        crop=parts.metadata.get("crop"),
    )
    print(f"{len(dataset)} images of {dataset.name}")
    config_row = {
        **dataclasses.asdict(config),
        "model": pretrained.digest(parts),
        "dataset": program.absolute(dataset.name),
        "split": dataset.split,
        "images": len(dataset),
    }
    program.remember(workdir / "config.json", config_row)

    # --- State: new, or where the last run stopped ------------------------------------
    state = encoder.init_state(config)
    with Checkpoints(workdir) as checkpoints, StopSignal() as stop:
        if checkpoints.latest_step is not None:
            state = checkpoints.restore(state)
            print(f"going on from step {state.step}")
        metrics = tracking.Rows(workdir / "metrics.jsonl", int(state.step))
        model = pretrained.make_model(parts)
        state = _train(config, state, model, dataset, checkpoints, metrics, stop)
    if stop.received:
        print(f"stopped by signal at step {state.step}; start again to go on")
        return 0

    # --- The model with its encoders --------------------------------------------------
    # Not where the images lie: model files travel.
    row = {
        **dataclasses.asdict(config),
        "images": len(dataset),
        "figures": metrics.rows[-1],
    }
    path = workdir / f"{parts.name}.safetensors"
    pretrained.save_model(
        path,
        dataclasses.replace(
            parts,
            encoders=tuple(state.encoders),
            metric=with_metric(model).metric,
            metadata={**parts.metadata, "encoder": row},
        ),
    )
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, {state.step} steps")
    return 0


def _train(
    config: encoder.EncoderConfig,
    state: encoder.EncoderState,
    model: Model,
    dataset: datasets.Dataset,
    checkpoints: Checkpoints,
    log: tracking.Rows,
    stop: StopSignal,
) -> encoder.EncoderState:
    """The loop, to the last step or a signal; returns where it got to."""
    start = int(state.step)
    clock, last_logged = time.monotonic(), start
    metrics: encoder.Metrics | None = None
    with tqdm(initial=start, total=config.steps, unit="step", disable=None) as bar:
        for step in range(start + 1, config.steps + 1):
            rows = batch_indices(
                len(dataset), config.batch_size, seed=config.seed, step=step - 1
            )
            batch = pixels.to_float(dataset.images[rows])
            jax.block_until_ready(metrics)  # Or the queue of steps would grow.
            state, metrics = encoder.train_step(
                state, batch, model.generate, config=config
            )
            bar.update()
            stopped = stop.received
            saves = (
                stopped or step == config.steps or step % _CHECKPOINT_EVERY.value == 0
            )
            if saves or step % _LOG_EVERY.value == 0:
                check_finite((state, metrics), step, checkpoints)
                now = time.monotonic()
                speed = (step - last_logged) * config.batch_size / (now - clock)
                clock, last_logged = now, step
                row = _row(metrics)
                log.append({"step": step, **row, "images_per_second": speed})
                bar.set_postfix_str(f"{speed:.0f} images/s, l1 {row['whole'][-1]:.3f}")
            if saves:
                checkpoints.save(state)
            if stopped:
                break
    return state


def _row(metrics: encoder.Metrics) -> dict[str, Any]:
    return {name: np.asarray(x).tolist() for name, x in metrics._asdict().items()}


if __name__ == "__main__":
    program.run(main)
