r"""Trains encoders for a generator, which guess a latent to start the search from.

    python -m experiments.train_encoder --model=runs/photos \
        --dataset='images:photos/*.zip' --workdir=runs/photos-encoder
    python -m experiments.inpaint --model=runs/photos-encoder/photos.safetensors

Writes into the work folder: the model with its encoders as a file of the model's name,
config.json, checkpoints/, metrics.jsonl, curves.png and samples/<step>.png (images with
their holes beside the encoders' guesses). Started again on the same folder it goes on
where it was. With --distributed several processes train together.
"""

import dataclasses
from pathlib import Path
from typing import Any

from absl import flags

from experiments.flags import dataset as dataset_flags
from experiments.flags import training
from experiments.runtime import compilation_cache, distributed, program
from experiments.training import configuration, loop
from experiments.training.trainees import Encoders
from inpaint_jax import parallel, pretrained
from inpaint_jax.search import with_metric
from inpaint_jax.training import encoder

_DATASET = dataset_flags.define_dataset()
for _module in (compilation_cache, dataset_flags, distributed, training):
    flags.adopt_module_key_flags(_module)

_DEFAULTS = encoder.EncoderConfig()
_MODEL = flags.DEFINE_string(
    "model",
    None,
    "A shipped model's name, a .safetensors file, or a training run's work folder.",
    required=True,
)
_WIDTH = flags.DEFINE_integer(
    "width", None, "Channels of the encoders' outermost layer. Default: the model's."
)
_PASSES = flags.DEFINE_integer("passes", _DEFAULTS.passes, "Number of encoders.")
_STEPS = flags.DEFINE_integer(
    "steps", _DEFAULTS.steps, "Steps in all; the learning rate falls to 0 by then."
)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", _DEFAULTS.batch_size, "Images a step.")
_LEARNING_RATE = flags.DEFINE_float(
    "learning_rate", _DEFAULTS.learning_rate, "Adam's greatest step size."
)
_FLIP = flags.DEFINE_bool("flip", _DEFAULTS.flip, "Mirror images at random.")
_SEED = flags.DEFINE_integer(
    "seed", _DEFAULTS.seed, "Seed of all random choices.", lower_bound=0
)


def main() -> int:
    with distributed.job():
        parts = pretrained.read_parts(_MODEL.value)
        if parts.kind != "dcgan":
            raise program.UsageError(
                f"--model={_MODEL.value} is an {parts.kind}, whose own training makes "
                "its encoder: give a DCGAN"
            )
        config = _read_config(parts)
        mesh = loop.make_mesh(config)
        with loop.work_folder(training.WORKDIR.value) as workdir:
            # --- Data -----------------------------------------------------------------
            dataset = dataset_flags.load(
                _DATASET.value,
                training.SPLIT.value,
                size=config.architecture.image_size,
                crop=parts.metadata.get("crop"),
            )
            distributed.say(f"{len(dataset)} images of {dataset.name}")
            settings = {
                **dataclasses.asdict(config),
                "model": pretrained.digest(parts),
            }
            distributed.from_first(
                lambda: configuration.remember(workdir, settings, dataset)
            )
            # --- Training: new, or from where the last run stopped --------------------
            outcome = loop.train(
                Encoders(config, dataset, pretrained.make_model(parts), mesh),
                dataset,
                workdir=workdir,
                mesh=mesh,
                pace=loop.Pace(
                    config.steps,
                    training.LOG_EVERY.value,
                    training.CHECKPOINT_EVERY.value,
                    training.SAMPLE_EVERY.value,
                ),
            )
            if outcome.finished:
                # The data set's path is left out, because model files are passed on.
                row = {
                    **dataclasses.asdict(config),
                    "images": len(dataset),
                    "figures": outcome.rows[-1],
                }
                path = workdir / f"{parts.name}.safetensors"
                distributed.from_first(lambda: _save(path, parts, outcome.state, row))
            return 0


def _read_config(parts: pretrained.Parts) -> encoder.EncoderConfig:
    """The configuration of the encoders' training, from the flags."""
    width = parts.architecture.width if _WIDTH.value is None else _WIDTH.value
    with program.usage_errors():
        return encoder.EncoderConfig(
            architecture=dataclasses.replace(parts.architecture, width=width),
            passes=_PASSES.value,
            steps=_STEPS.value,
            batch_size=_BATCH_SIZE.value,
            learning_rate=_LEARNING_RATE.value,
            flip=_FLIP.value,
            seed=_SEED.value,
        )


def _save(
    path: Path,
    parts: pretrained.Parts,
    state: encoder.EncoderState,
    row: dict[str, Any],
) -> None:
    """Writes the model with its encoders."""
    state = parallel.local(state)
    # The configuration of a run has paths, and model files are passed on.
    metadata = {k: v for k, v in parts.metadata.items() if k != "validation"}
    if "dataset" in metadata:
        metadata["dataset"] = program.without_folder(metadata["dataset"])
    with_encoders = dataclasses.replace(
        parts,
        encoders=tuple(state.encoders),
        metric=with_metric(pretrained.make_model(parts)).metric,
        metadata={**metadata, "encoder": row},
    )
    pretrained.save_model(path, with_encoders)
    distributed.say(f"{path}: {path.stat().st_size / 1e6:.1f} MB, {state.step} steps")


if __name__ == "__main__":
    program.run(main)
