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
import hashlib
import importlib.metadata
import json
import math
import re
import time
import zlib
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags
from tqdm import tqdm

import inpaint_jax
from experiments import (
    compilation_cache,
    dataset_flags,
    methods,
    program,
    report,
    search_flags,
)
from inpaint_jax import baselines, data, images, masks, metrics
from inpaint_jax.pictures import read_picture
from inpaint_jax.types import Model, SearchConfig

for _module in (compilation_cache, dataset_flags, search_flags):
    flags.adopt_module_key_flags(_module)

_SPLIT = flags.DEFINE_string("split", "test", "Split of the data set.")
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
    methods.METHODS,
    "latent: a search of the latent space (--search). harmonic: the smoothest fill "
    "there is, which knows nothing. mean: the same with the gradients of the mean "
    "training image. For these two --model only says how to crop and resize.",
)
_TRAIN_DATASET = flags.DEFINE_string(
    "train_dataset", None, "Where --method=mean takes its mean, as --dataset."
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 64, "Images that are filled at once.", lower_bound=1
)
_SEED = flags.DEFINE_integer(
    "seed", 0, "Of masks and searches.", lower_bound=0, upper_bound=2**31 - 1
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)

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

_Done = tuple[dict[str, Any], np.ndarray]
"""An image's row and its completed picture ``[S, S, 3]`` uint8."""


def main() -> int:
    # --- What is asked ---------------------------------------------------------------
    with program.usage_errors():
        config = search_flags.read_config()
        masks.mask_function(_MASK.value)
    if (_METHOD.value == "mean") != (_TRAIN_DATASET.value is not None):
        raise program.UsageError("--train_dataset goes with --method=mean, and only so")
    if _METHOD.value != "latent":
        for name in search_flags.NAMES:
            if flags.FLAGS[name].present:
                raise program.UsageError(f"--{name} is for --method=latent")
    model = inpaint_jax.load_model(_MODEL.value, precision=search_flags.PRECISION.value)
    workdir = program.make_folder(Path(_WORKDIR.value))
    with program.lock(workdir):
        return _evaluate(model, config, workdir)


def _evaluate(model: Model, config: SearchConfig, workdir: Path) -> int:
    # --- Images, and what an earlier run did of them ---------------------------------
    dataset = _load(dataset_flags.DATASET.value, _SPLIT.value, model, _LIMIT.value)
    wanted = _config_row(model, config, dataset)
    program.remember(workdir / "config.json", wanted)
    parts = program.make_folder(workdir / "parts")
    done = _read_done(workdir, dataset)
    missing = [i for i in range(len(dataset)) if i not in done]
    if done:
        print(f"{len(done)} of {len(dataset)} images are done already")

    # --- Batch by batch: fill, measure, write ----------------------------------------
    failed = list(dataset.failed)
    size = min(_BATCH_SIZE.value, len(dataset))
    numbers = [int(path.stem) for path in parts.glob("[0-9]*.jsonl")]
    part = parts / f"{max(numbers, default=-1) + 1:05d}.jsonl"
    with tqdm(
        total=len(dataset),
        initial=len(done),
        unit="image",
        disable=None,
        bar_format="{l_bar}{bar}| {n:.0f}/{total_fmt} [{elapsed}<{remaining}]",
    ) as bar:
        complete = _method(model, config, bar)
        for start in range(0, len(missing), size):
            batch = missing[start : start + size]
            filled = _fill(complete, dataset, batch, size, workdir)
            failed += [
                f"{dataset.ids[i]}: the search met numbers that are not finite"
                for i in batch
                if i not in filled
            ]
            with part.open("a") as file:
                file.writelines(json.dumps(row) + "\n" for row, _ in filled.values())
            done |= filled
            bar.update(len(done) - bar.n)

    # --- All together ----------------------------------------------------------------
    for reason in failed:
        program.warn(reason)
    if not done:
        return 2
    indices = sorted(done)
    rows = [done[i][0] for i in indices]
    completed = np.stack([done[i][1] for i in indices])
    summary: dict[str, Any] = _summary(rows)
    summary["swd"] = _swd(completed, dataset.images[indices])
    program.write_json(
        workdir / "metrics.json",
        {
            "n": len(rows),
            "figures": summary,
            "failed": failed,
            "config": wanted,
            "versions": {
                name: importlib.metadata.version(name)
                for name in ("jax", "jaxlib", "flax", "optax", "numpy")
            }
            | {"inpaint_jax": inpaint_jax.__version__},
            "device": str(jax.devices()[0].device_kind),
        },
    )
    _write_grid(workdir, dataset, indices[:_GRID_ROWS], completed)
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
    print(f"look at {workdir / 'grid.png'}")
    return 1 if failed else 0


def _load(name: str, split: str, model: Model, limit: int | None) -> data.Dataset:
    return dataset_flags.load(
        name,
        split,
        size=model.image_size,
        crop=model.metadata.get("crop"),
        limit=limit,
    )


def _config_row(
    model: Model, config: SearchConfig, dataset: data.Dataset
) -> dict[str, Any]:
    """What two runs must share to go on with each other's images.

    How many images there are is not among it: each is done for itself.
    """
    row: dict[str, Any] = {
        "dataset": program.absolute(dataset.name),
        "split": dataset.split,
        "crop": dataset.crop,
        "image_size": model.image_size,
        "mask": _MASK.value,
        "method": _METHOD.value,
        "seed": _SEED.value,
    }
    if _METHOD.value == "latent":
        row["search"] = search_flags.SEARCH.value
        # A training run's folder holds another model tomorrow.
        row |= {"model": model.name, "weights": _digest(model, config)}
        row |= {"precision": search_flags.PRECISION.value, **dataclasses.asdict(config)}
        refinement = search_flags.read_refinement()
        row["refinement"] = refinement and dataclasses.asdict(refinement)
    if _TRAIN_DATASET.value is not None:
        row["train_dataset"] = program.absolute(_TRAIN_DATASET.value)
    return row


def _digest(model: Model, config: SearchConfig) -> str:
    """Names the weights of all that this search looks at."""
    digest = hashlib.sha256()
    encoders = model.correctors if config.guesses else ()
    metric = model.metric if config.principal else None
    networks = (model.generate, model.critic, encoders, metric)
    for leaf in jax.tree.leaves(networks):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()[:16]


def _method(model: Model, config: SearchConfig, bar: tqdm) -> methods.Complete:
    """``--method``; moves the bar while it is at it."""
    if _METHOD.value == "latent":
        return methods.latent(
            model,
            config,
            search_flags.read_refinement(),
            lambda done: bar.update(min(done, bar.total - bar.n)),
        )
    if _TRAIN_DATASET.value is None:
        return methods.baseline(baselines.harmonic_fill)
    known = _load(_TRAIN_DATASET.value, "train", model, None)
    mean = images.to_float(known.images.mean(0, dtype=np.float64))
    return methods.baseline(baselines.guided_fill(jax.numpy.asarray(mean)))


def _fill(
    complete: methods.Complete,
    dataset: data.Dataset,
    batch: list[int],
    size: int,
    workdir: Path,
) -> dict[int, _Done]:
    """Fills a batch and writes its PNGs; returns what is done, by index.

    A last, short batch is filled up with copies of its first image, so that all are of
    one size and compiled once.
    """
    began = time.monotonic()
    filled = batch + [batch[0]] * (size - len(batch))
    drawn, keys = _draw_masks(dataset, filled)
    originals = dataset.images[filled]
    found = complete(images.to_float(originals), drawn, keys)
    finite = [bool(np.isfinite(image).all()) for image in found["image"]]
    completed = images.to_uint8(np.nan_to_num(found.pop("image")))
    seconds = (time.monotonic() - began) / len(batch)
    done = {}
    for i, index in enumerate(batch):
        if not finite[i]:
            continue
        name = _file_name(dataset.ids[index])
        images.write_png(workdir / "completed" / name, completed[i])
        figures = {
            **{field: values[i] for field, values in found.items()},
            **report.figures(originals[i], drawn[i], completed[i]),
            "seconds": seconds,
        }
        about = _identity(dataset, index) | {"file": name}
        done[index] = about | report.for_json(figures), completed[i]
    return done


def _draw_masks(
    dataset: data.Dataset, indices: list[int]
) -> tuple[np.ndarray, jax.Array]:
    """The masks of some images, and the keys for all else; functions of their ids."""
    keys = jax.vmap(jax.random.split)(
        jax.numpy.stack(
            [inpaint_jax.image_key(_SEED.value, dataset.ids[i]) for i in indices]
        )
    )
    shape = dataset.images.shape[1:3]
    return np.asarray(masks.make_masks(_MASK.value, keys[:, 0], shape)), keys[:, 1]


def _identity(dataset: data.Dataset, index: int) -> dict[str, Any]:
    """What tells an image from one that took its place."""
    return {"id": dataset.ids[index], "crc32": zlib.crc32(dataset.images[index])}


def _file_name(id: str) -> str:
    """``id`` as a flat file name, unique as ids are."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", id)[:100]
    return f"{safe}.png" if safe == id else f"{safe}-{zlib.crc32(id.encode()):08x}.png"


def _read_done(workdir: Path, dataset: data.Dataset) -> dict[int, _Done]:
    """What earlier runs did, by index; rows of other images are ignored."""
    index_of = {id: index for index, id in enumerate(dataset.ids)}
    done: dict[int, _Done] = {}
    for path in sorted((workdir / "parts").glob("*.jsonl")):
        for line in path.read_text(errors="replace").splitlines():
            try:
                row = json.loads(line)
                index = index_of[row["id"]]
                if row["crc32"] != _identity(dataset, index)["crc32"]:
                    continue
                completed = read_picture(workdir / "completed" / row["file"])
            except (ValueError, KeyError, TypeError):
                # The line that a killed run was writing, or a PNG that is lost.
                continue
            done[index] = row, completed
    return done


def _summary(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Mean, standard deviation and standard error of every figure that rows have.

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
    count = min(_SWD_IMAGES, len(completed))
    distances = metrics.sliced_wasserstein(completed[:count], originals[:count])
    return {**report.by_level(distances), "n": count}


def _write_grid(
    workdir: Path, dataset: data.Dataset, indices: list[int], completed: np.ndarray
) -> None:
    drawn, _ = _draw_masks(dataset, indices)
    originals = dataset.images[indices]
    masked = np.where(drawn > 0, originals, 0).astype(np.uint8)
    sheet = images.grid(
        list(zip(originals, masked, completed, strict=False)),
        column_labels=["original", "masked", "completed"],
        row_labels=[dataset.ids[i] for i in indices],
    )
    images.write_png(workdir / "grid.png", sheet)


if __name__ == "__main__":
    program.run(main)
