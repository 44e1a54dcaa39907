"""Measures a way to fill holes on many images of a data set.

    python -m experiments.evaluate --dataset=celeb_a --split=test --mask=random80 \
        --workdir=runs/celeb_a-random80
    python -m experiments.evaluate --dataset='images:faces/*.zip' --mask=center \
        --method=harmonic --limit=128 --workdir=runs/harmonic

Leaves in the work folder: config.json, parts/ with a line of JSON for each image,
completed/ with its PNG, metrics.json with every figure's mean, and grid.png. Started
again on the same folder it does only what is missing.
"""

import dataclasses
import importlib.metadata
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags
from tqdm import tqdm

import inpaint_jax
from experiments import compilation_cache, program, report
from inpaint_jax import baselines, data, images, masks, metrics
from inpaint_jax.pictures import read_picture
from inpaint_jax.types import PRECISIONS, Model, SearchConfig

flags.adopt_module_key_flags(compilation_cache)

_METHODS = ("latent", "harmonic", "mean")
_DEFAULTS = SearchConfig()

_DATASET = flags.DEFINE_string(
    "dataset",
    None,
    "celeb_a, svhn_cropped or cars196 (through tensorflow-datasets), or images:PATH "
    "with PATH a folder, a zip or a glob of them.",
    required=True,
)
_SPLIT = flags.DEFINE_string("split", "test", "Split of the data set.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Where tensorflow-datasets keeps it.")
_LIMIT = flags.DEFINE_integer(
    "limit", None, "Only the first so many images.", lower_bound=1
)
_MASK = flags.DEFINE_string(
    "mask",
    "center",
    f"What is missing: {', '.join(masks.MASK_NAMES)}, or random<NN> for NN per cent.",
)
_MODEL = flags.DEFINE_string(
    "model",
    "celeba64",
    "A shipped model's name, a .safetensors file, or the work folder of a training.",
)
_METHOD = flags.DEFINE_enum(
    "method",
    "latent",
    _METHODS,
    "latent: the paper's search. harmonic: the smoothest fill there is, which knows "
    "nothing. mean: the same with the gradients of the mean training image.",
)
_TRAIN_DATASET = flags.DEFINE_string(
    "train_dataset", None, "Where --method=mean takes its mean, as --dataset."
)
_STEPS = flags.DEFINE_integer("steps", _DEFAULTS.steps, "Updates of the latent.")
_LEARNING_RATE = flags.DEFINE_float(
    "learning_rate", _DEFAULTS.learning_rate, "Adam's, in the search."
)
_PRIOR_WEIGHT = flags.DEFINE_float(
    "prior_weight", _DEFAULTS.prior_weight, "Lambda of the prior loss."
)
_PRECISION = flags.DEFINE_enum(
    "precision", "float32", PRECISIONS, "What the networks compute in."
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 64, "Images that are filled at once.", lower_bound=1
)
_SEED = flags.DEFINE_integer(
    "seed", 0, "Of masks and searches.", lower_bound=0, upper_bound=2**31 - 1
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)

_GRID_ROWS = 32
_FIGURES = (
    "missing",
    "context_loss",
    "prior_loss",
    "psnr",
    "ssim",
    "psnr_hole",
    "seconds",
)

_Complete = Callable[[np.ndarray, np.ndarray, jax.Array], dict[str, np.ndarray]]
"""Fills a batch; returns fields ``[B, ...]``: ``image`` and what goes into its rows."""


def main() -> int:
    # --- What is asked ---------------------------------------------------------------
    with program.usage_errors():
        config = SearchConfig(
            steps=_STEPS.value,
            learning_rate=_LEARNING_RATE.value,
            prior_weight=_PRIOR_WEIGHT.value,
        )
        masks.mask_function(_MASK.value)
    if (_METHOD.value == "mean") != (_TRAIN_DATASET.value is not None):
        raise program.UsageError("--train_dataset goes with --method=mean, and only so")
    model = inpaint_jax.load_model(_MODEL.value, precision=_PRECISION.value)
    workdir = program.make_folder(Path(_WORKDIR.value))
    with program.lock(workdir):
        return _evaluate(model, config, workdir)


def _evaluate(model: Model, config: SearchConfig, workdir: Path) -> int:
    # --- Images, and what an earlier run did of them ---------------------------------
    dataset = _load(_DATASET.value, _SPLIT.value, model, _LIMIT.value)
    wanted = _config_row(config, dataset)
    program.remember(workdir / "config.json", wanted)
    parts = program.make_folder(workdir / "parts")
    rows = _read_rows(workdir, dataset)
    missing = [i for i in range(len(dataset)) if i not in rows]
    if rows:
        print(f"{len(rows)} of {len(dataset)} images are done already")

    # --- Batch by batch: fill, measure, write ----------------------------------------
    size = min(_BATCH_SIZE.value, len(dataset))
    part = parts / f"{len(list(parts.iterdir())):05d}.jsonl"
    with tqdm(
        total=len(dataset),
        initial=len(rows),
        unit="image",
        disable=None,
        bar_format="{l_bar}{bar}| {n:.0f}/{total_fmt} [{elapsed}<{remaining}]",
    ) as bar:
        complete = _method(model, config, bar)
        for start in range(0, len(missing), size):
            batch = missing[start : start + size]
            done = _fill(complete, dataset, batch, size, workdir)
            with part.open("a") as file:
                file.writelines(json.dumps(row) + "\n" for row in done.values())
            rows |= done
            bar.update(len(rows) - bar.n)

    # --- All together ----------------------------------------------------------------
    ordered = [rows[i] for i in range(len(dataset))]
    completed = np.stack(
        [read_picture(workdir / "completed" / row["file"]) for row in ordered]
    )
    summary = {**_summary(ordered), "swd": _swd(completed, dataset.images)}
    program.write_json(
        workdir / "metrics.json",
        {
            "n": len(ordered),
            "figures": summary,
            "config": wanted,
            "versions": {
                name: importlib.metadata.version(name)
                for name in ("jax", "jaxlib", "flax", "optax", "numpy")
            }
            | {"inpaint_jax": inpaint_jax.__version__},
            "device": str(jax.devices()[0].device_kind),
        },
    )
    _write_grid(workdir, dataset, completed)
    print(
        f"{len(ordered)} images: PSNR {summary['psnr']['mean']:.2f} dB, SSIM "
        f"{summary['ssim']['mean']:.3f}, PSNR in the hole "
        f"{summary['psnr_hole']['mean']:.2f} dB"
    )
    print(f"look at {workdir / 'grid.png'}")
    return 0


def _load(name: str, split: str, model: Model, limit: int | None) -> data.Dataset:
    return data.load(
        name,
        split=split,
        data_dir=_DATA_DIR.value,
        crop=model.metadata.get("crop"),
        size=model.image_size,
        limit=limit,
        progress=True,
    )


def _config_row(config: SearchConfig, dataset: data.Dataset) -> dict[str, Any]:
    """What two runs must share to go on with each other's images."""
    row: dict[str, Any] = {
        "dataset": program.absolute(dataset.name),
        "split": dataset.split,
        "images": len(dataset),
        "mask": _MASK.value,
        "model": _MODEL.value,
        "method": _METHOD.value,
        "seed": _SEED.value,
        "precision": _PRECISION.value,
    }
    if _METHOD.value == "latent":
        row |= dataclasses.asdict(config)
    if _TRAIN_DATASET.value is not None:
        row["train_dataset"] = program.absolute(_TRAIN_DATASET.value)
    return row


def _method(model: Model, config: SearchConfig, bar: tqdm) -> _Complete:
    """``--method`` as a function of a batch; moves the bar while it is at it."""
    if _METHOD.value == "latent":

        def search(
            batch: np.ndarray, masks: np.ndarray, keys: jax.Array
        ) -> dict[str, np.ndarray]:
            found = inpaint_jax.inpaint(
                model,
                batch,
                masks,
                keys,
                config=config,
                progress=lambda steps: bar.update(len(batch) * steps / config.steps),
            )
            losses = found.losses
            return {
                "image": np.asarray(found.image),
                "context_loss": np.asarray(losses.context),
                "prior_loss": np.asarray(losses.prior),
            }

        return search
    if _TRAIN_DATASET.value is not None:  # --method=mean, and no other.
        known = _load(_TRAIN_DATASET.value, "train", model, None)
        mean = known.images.mean(0, dtype=np.float64)
        fill = baselines.guided_fill(jax.numpy.asarray(images.to_float(mean)))
    else:
        fill = baselines.harmonic_fill
    return lambda *batch: {"image": np.asarray(fill(*map(jax.numpy.asarray, batch)))}


def _fill(
    complete: _Complete,
    dataset: data.Dataset,
    batch: list[int],
    size: int,
    workdir: Path,
) -> dict[int, dict[str, Any]]:
    """Fills a batch and writes its PNGs; returns its rows by index.

    A last, short batch is filled up with copies of its first image, so that all are of
    one size and compiled once.
    """
    began = time.monotonic()
    filled = batch + [batch[0]] * (size - len(batch))
    keys = jax.vmap(jax.random.split)(
        jax.numpy.stack(
            [inpaint_jax.image_key(_SEED.value, dataset.ids[i]) for i in filled]
        )
    )
    drawn = masks.make_masks(_MASK.value, keys[:, 0], dataset.images.shape[1:3])
    originals = dataset.images[filled]
    found = complete(images.to_float(originals), np.asarray(drawn), keys[:, 1])
    completed = images.to_uint8(found.pop("image"))
    seconds = (time.monotonic() - began) / len(batch)
    rows = {}
    for i, index in enumerate(batch):
        name = f"{index:06d}.png"
        images.write_png(workdir / "completed" / name, completed[i])
        figures = {
            **{field: values[i] for field, values in found.items()},
            **report.figures(originals[i], np.asarray(drawn[i]), completed[i]),
            "seconds": seconds,
        }
        about = {"index": index, "id": dataset.ids[index], "file": name}
        rows[index] = about | report.for_json(figures)
    return rows


def _read_rows(workdir: Path, dataset: data.Dataset) -> dict[int, dict[str, Any]]:
    """The rows of images that are done, by index; what is no row is ignored."""
    rows: dict[int, dict[str, Any]] = {}
    for path in sorted((workdir / "parts").glob("*.jsonl")):
        for line in path.read_text().splitlines():
            try:
                row = json.loads(line)
                index, completed = (
                    int(row["index"]),
                    workdir / "completed" / row["file"],
                )
            except (ValueError, KeyError, TypeError):
                continue  # The line that a killed run was writing.
            if completed.exists():
                rows[index] = row
    return rows


def _summary(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Mean, standard deviation and standard error of every figure that rows have."""
    summary = {}
    for name in _FIGURES:
        values = [row[name] for row in rows if row.get(name) is not None]
        if values:
            deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
            summary[name] = {
                "mean": math.fsum(values) / len(values),
                "std": deviation,
                "sem": deviation / math.sqrt(len(values)),
            }
    return summary


def _swd(completed: np.ndarray, originals: np.ndarray) -> dict[str, float]:
    """Sliced Wasserstein distance of the completed images to the originals.

    Low only where texture is right, which PSNR hardly looks at.
    """
    distances = metrics.sliced_wasserstein(completed, originals)
    levels = {str(level): distance for level, distance in distances.items()}
    return {**levels, "mean": sum(levels.values()) / len(levels)}


def _write_grid(workdir: Path, dataset: data.Dataset, completed: np.ndarray) -> None:
    rows = []
    for index in range(min(_GRID_ROWS, len(dataset))):
        key = inpaint_jax.image_key(_SEED.value, dataset.ids[index])
        mask_key, _ = jax.random.split(key)
        original = dataset.images[index]
        (mask,) = masks.make_masks(_MASK.value, mask_key[None], original.shape[:2])
        masked = np.where(np.asarray(mask) > 0, original, 0).astype(np.uint8)
        rows.append([original, masked, completed[index]])
    sheet = images.grid(
        rows,
        column_labels=["original", "masked", "completed"],
        row_labels=list(dataset.ids[: len(rows)]),
    )
    images.write_png(workdir / "grid.png", sheet)


if __name__ == "__main__":
    program.run(main)
