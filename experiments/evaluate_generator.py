r"""Measures the quality of a generator on images that it was not trained on.

    python -m experiments.evaluate_generator --model=runs/celeb_a \
        --dataset=celeb_a --split=test
    python -m experiments.evaluate_generator --model=runs/photos \
        --dataset='images:photos/*.zip' --ids=runs/photos/held_back.json

Writes into the output folder: quality.json, samples.png and reconstructions.png
(pictures above the generator's best images of them). The figures are the sliced
Wasserstein distance of samples to the images (lower is better), the MS-SSIM between
samples (it should be that of real images; higher means that samples repeat each other),
and the ceiling, which is the PSNR of the generator's best images of whole pictures.
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags
from tqdm import tqdm

from experiments.filling import measures
from experiments.flags import dataset as dataset_flags
from experiments.flags import model as model_flags
from experiments.runtime import compilation_cache, program
from inpaint_jax import latents, pixels
from inpaint_jax.configs import RefineConfig
from inpaint_jax.data import datasets, images, sheets
from inpaint_jax.pretrained import digest, make_model
from inpaint_jax.quality import generators, inception, linear, sets

_DATASET = dataset_flags.define_dataset()
_MODEL = model_flags.define_model()
for _module in (compilation_cache, dataset_flags, model_flags):
    flags.adopt_module_key_flags(_module)

_DEFAULTS = generators.QualityConfig()
_SPLIT = flags.DEFINE_string("split", "test", "Split of the data set.")
_IDS = flags.DEFINE_string(
    "ids",
    None,
    "File with a JSON list of ids: use only these images. held_back.json of a training "
    "run lists the images that it was not trained on.",
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "Results folder. Default: outputs/quality/ and the model's name."
)
_LIMIT = flags.DEFINE_integer(
    "limit", _DEFAULTS.images, "Greatest number of images and samples.", lower_bound=4
)
_RECONSTRUCTIONS = flags.DEFINE_integer(
    "reconstructions",
    _DEFAULTS.reconstructions,
    "Number of images to reconstruct for the ceiling.",
    lower_bound=1,
)
_STEPS = flags.DEFINE_integer(
    "steps", _DEFAULTS.steps, "Steps of the search for each image.", lower_bound=1
)
_REFINE = flags.DEFINE_integer(
    "refine",
    0,
    "Steps of refinement after each of these searches: the ceiling with refinement.",
    lower_bound=0,
)
_INCEPTION_WEIGHTS = flags.DEFINE_string(
    "inception_weights",
    None,
    "Inception weights file of torch-fidelity, to measure the Fréchet inception "
    "distance as well (extra fid).",
)
_TRAIN_DATASET = flags.DEFINE_string(
    "train_dataset",
    None,
    "Training images: images:PATH, or a data set, whose split train is used. With them "
    "the ceiling of as many principal components as a latent has numbers is measured "
    "beside the generator's (extra figures).",
)
_SEED = flags.DEFINE_integer(
    "seed", 0, "Seed of samples and searches.", lower_bound=0, upper_bound=2**31 - 1
)

_SHOWN = 64  # Samples in the picture.
_SHOWN_RECONSTRUCTIONS = 10


def main() -> int:
    # --- Settings ---------------------------------------------------------------------
    parts = model_flags.read(_MODEL.value)
    model = make_model(parts)
    config = generators.QualityConfig(
        images=_LIMIT.value,
        reconstructions=_RECONSTRUCTIONS.value,
        steps=_STEPS.value,
        refinement=RefineConfig(steps=_REFINE.value) if _REFINE.value else None,
    )
    features = None
    if _INCEPTION_WEIGHTS.value is not None:
        with program.usage_errors():
            features = inception.load_features(_INCEPTION_WEIGHTS.value)
    output = program.make_folder(
        Path(_OUTPUT.value or Path("outputs/quality") / model.name),
        ["samples.png", "reconstructions.png"],
    )
    dataset = dataset_flags.load(
        _DATASET.value,
        _SPLIT.value,
        size=model.image_size,
        crop=model.metadata.get("crop"),
        limit=None if _IDS.value else _LIMIT.value,
    )
    if _IDS.value is not None:
        dataset = _only(dataset, _IDS.value, _LIMIT.value)
    training = None
    if _TRAIN_DATASET.value is not None:
        training = dataset_flags.load(
            _TRAIN_DATASET.value,
            "train",
            size=model.image_size,
            crop=model.metadata.get("crop"),
        )
    if len(dataset) < 4:
        raise program.UsageError(f"{_DATASET.value}: give at least 4 images")

    # --- Measure ----------------------------------------------------------------------
    shown = np.asarray(dataset.images)
    real = pixels.to_float(shown)
    principal = None
    if training is not None:  # First: it may lack its package, and searches take long.
        count = latents.size(model.latents)
        reconstructed = shown[: config.reconstructions]
        with program.usage_errors():
            fitted = np.asarray(training.images)
            ceiling = linear.principal_ceiling(fitted, reconstructed, count)
        principal = {"components": count, "psnr": float(ceiling.mean())}
    groups = math.ceil(min(config.reconstructions, len(real)) / generators.GROUP)
    with tqdm(total=groups * config.steps, unit="step", disable=None) as bar:
        found = generators.measure(
            model, real, config=config, seed=_SEED.value, progress=bar.update
        )
    row = {
        "model": _MODEL.value,
        "weights": digest(parts),
        "steps_trained": model.metadata.get("steps"),
        "dataset": _DATASET.value,
        "split": _SPLIT.value,
        **dataclasses.asdict(config),
        "images": len(real),
        "reconstructions": len(found.ceiling),
        "seed": _SEED.value,
        "device": str(jax.devices()[0].device_kind),
        **_figures(found),
        "real": _of_real_images(real, config),
    }
    if principal is not None:
        row["principal"] = principal
    if features is not None:
        row["fid"] = inception.frechet_inception_distance(
            pixels.to_uint8(found.samples), shown, features
        )

    # --- Write ------------------------------------------------------------------------
    program.write_json(output / "quality.json", row)
    samples = sheets.tile(found.samples[:_SHOWN])
    images.write_png(output / "samples.png", samples)
    count = min(_SHOWN_RECONSTRUCTIONS, len(found.reconstructions))
    pairs = [real[:count], found.reconstructions[:count]]
    sheet = sheets.grid(pairs, row_labels=["picture", "G(z)"])
    images.write_png(output / "reconstructions.png", sheet)
    print(
        f"SWD {row['swd']['mean']:.1f} (halves of the real images: "
        f"{row['real']['swd_of_halves']['mean']:.1f}), MS-SSIM {row['ms_ssim']:.3f} "
        f"(real: {row['real']['ms_ssim']:.3f}), ceiling {row['ceiling']['psnr']:.2f} dB"
        + _beside(principal)
    )
    print(f"look at {output / 'samples.png'} and {output / 'reconstructions.png'}")
    return 0


def _beside(principal: Mapping[str, Any] | None) -> str:
    """The ceiling of principal components as an end of the line that reports."""
    if principal is None:
        return ""
    return f" ({principal['components']} components: {principal['psnr']:.2f} dB)"


def _only(dataset: datasets.Dataset, path: str, limit: int) -> datasets.Dataset:
    """The first ``limit`` images whose ids a file lists."""
    try:
        ids = set(json.loads(Path(path).read_text()))
    except (ValueError, TypeError) as error:
        raise program.UsageError(f"{path} is no JSON list of ids: {error}") from error
    listed = np.array([id in ids for id in dataset.ids], bool)
    if listed.sum() < len(ids):
        raise program.UsageError(
            f"{path} lists {len(ids)} ids, of which {_DATASET.value}, "
            f"split {_SPLIT.value}, has {listed.sum()}: give the data set and the "
            "--split that they are of"
        )
    return datasets.select(dataset, listed & (listed.cumsum() <= limit))


def _figures(found: generators.Quality) -> dict[str, Any]:
    ceiling = found.ceiling.astype(np.float64)
    return {
        "swd": measures.by_level(found.swd),
        "ms_ssim": found.ms_ssim,
        "ceiling": {
            "psnr": ceiling.mean(),
            "sem": ceiling.std(ddof=1) / math.sqrt(len(ceiling))
            if len(ceiling) > 1
            else None,
        },
    }


def _of_real_images(
    real: np.ndarray, config: generators.QualityConfig
) -> dict[str, Any]:
    """The same figures for real images, compared with each other.

    The distance is between two halves of the images. As these are fewer, it is larger
    than between whole sets, and a generator's can be a little below.
    """
    half = len(real) // 2
    halves = sets.sliced_wasserstein(
        real[:half],
        real[half : 2 * half],
        seed=_SEED.value,
        directions=config.directions,
    )
    return {
        "swd_of_halves": measures.by_level(halves),
        "ms_ssim": generators.diversity(real, config.pairs, seed=_SEED.value),
    }


if __name__ == "__main__":
    program.run(main)
