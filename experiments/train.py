r"""Trains a generator, or a network that it is compared with, on a data set.

    python -m experiments.train --dataset=celeb_a --workdir=runs/celeb_a
    python -m experiments.train --dataset='images:photos/*.zip' --workdir=runs/photos
    python -m experiments.train --dataset=celeb_a --model=autoencoder \
        --workdir=runs/autoencoder
    python -m experiments.train --dataset=celeb_a --model=context_encoder \
        --workdir=runs/context_encoder

Writes into the work folder: config.json, checkpoints/ with the latest states and best/
with the best one, metrics.jsonl, quality.jsonl (figures on images that were held back),
held_back.json (their ids), curves.png and samples/<step>.png. Started again on the same
folder it goes on where it was, and ends with the parameters of a run that was never
stopped. With --distributed several processes, on one machine or many, train together.
"""

import dataclasses
from pathlib import Path

import numpy as np
from absl import flags

from experiments.flags import dataset as dataset_flags
from experiments.flags import recipe, training
from experiments.runtime import compilation_cache, distributed, program
from experiments.training import configuration, loop, trainees
from inpaint_jax.data import datasets
from inpaint_jax.training import recipes

_DATASET = dataset_flags.define_dataset()
for _module in (compilation_cache, dataset_flags, distributed, recipe, training):
    flags.adopt_module_key_flags(_module)

_CROP = flags.DEFINE_string(
    "crop",
    None,
    "center (the largest square), none (the whole frame) or a number of pixels (a "
    "centre square). Default: the paper's crop for the data set.",
)
_VALIDATION = flags.DEFINE_string(
    "validation",
    None,
    "Images to evaluate the network on: a number of images to hold back from training, "
    "another split of the data set, or images:PATH. Default: a tenth is held back, at "
    "most 1000.",
)
_STEPS = flags.DEFINE_integer("steps", 25_000, "Steps in all.", lower_bound=1)
_EVALUATE_EVERY = flags.DEFINE_integer(
    "evaluate_every",
    1000,
    "Steps between two lines of quality.jsonl; 0: never, and nothing is held back.",
    lower_bound=0,
)

_FEWEST = 10  # Least number of images of which some can be held back.


def main() -> int:
    with distributed.job():
        with program.usage_errors():
            config = recipe.read_recipe()
        mesh = loop.make_mesh(config)
        with loop.work_folder(training.WORKDIR.value) as workdir:
            # --- Data -----------------------------------------------------------------
            dataset, held_back = _load_data(config.architecture.image_size)
            distributed.say(
                f"{len(dataset)} images of {dataset.name}, "
                f"{len(held_back)} to judge with"
            )
            distributed.from_first(
                lambda: _remember(workdir, config, dataset, held_back)
            )
            # --- Training: new, or from where the last run stopped --------------------
            loop.train(
                trainees.make(config, dataset, held_back),
                dataset,
                workdir=workdir,
                mesh=mesh,
                pace=loop.Pace(
                    _STEPS.value,
                    training.LOG_EVERY.value,
                    training.CHECKPOINT_EVERY.value,
                    training.SAMPLE_EVERY.value,
                    _EVALUATE_EVERY.value,
                ),
            )
            return 0


def _load_data(size: int) -> tuple[datasets.Dataset, datasets.Dataset]:
    """The images to train on, and the images to evaluate on."""

    def load(name: str, split: str) -> datasets.Dataset:
        return dataset_flags.load(name, split, size=size, crop=_CROP.value)

    dataset = load(_DATASET.value, training.SPLIT.value)
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


def _remember(
    workdir: Path,
    config: recipes.Recipe,
    dataset: datasets.Dataset,
    held_back: datasets.Dataset,
) -> None:
    validation = _VALIDATION.value or "a tenth, at most 1000"
    configuration.remember(
        workdir,
        {
            "model": recipe.MODEL.value,
            **dataclasses.asdict(config),
            "crop": dataset.crop,
        },
        dataset,
        held_back,
        validation=validation if _EVALUATE_EVERY.value else "none",
        # Values of runs from before there were recipes.
        older={
            "model": "dcgan",
            **dataclasses.asdict(recipes.TrainConfig()),
            "validation": "none",
        },
    )
    program.write_json(workdir / "held_back.json", held_back.ids)


if __name__ == "__main__":
    program.run(main)
