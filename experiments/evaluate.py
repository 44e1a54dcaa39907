"""Measures a way to fill holes on many images of a data set.

    python -m experiments.evaluate --dataset=celeb_a --split=test --mask=random80 \
        --batch_size=1024
    python -m experiments.evaluate --dataset='images:faces/*.zip' --mask=center \
        --method=harmonic --limit=128 --workdir=runs/harmonic

Leaves in the work folder: config.json, parts/ with a line of JSON for each image,
completed/ with its PNG, progress.jsonl, and at the end metrics.json with every figure's
mean, and grid.png. Stopped (SIGTERM, or Ctrl-C where it is one process) it finishes the
batch it is at; killed, it loses that. Started again on the same folder it does only
what is missing.

All devices work at once. With --distributed so do several processes, on one machine or
many, which share the work folder: each reads, fills and writes its own images.
"""

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import math
import re
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags
from jax.sharding import Mesh
from tqdm import tqdm

import inpaint_jax
from experiments import (
    batches,
    compilation_cache,
    dataset_flags,
    distributed,
    methods,
    overlap,
    program,
    report,
    search_flags,
    workfolder,
)
from inpaint_jax import baselines, data, images, masks, metrics, parallel
from inpaint_jax.types import Model, SearchConfig

_DATASET = dataset_flags.define_dataset()
for _module in (compilation_cache, dataset_flags, distributed, search_flags):
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
    "training image. tv: the fill of least total variation. For these --model only "
    "says how to crop and resize.",
)
_TRAIN_DATASET = flags.DEFINE_string(
    "train_dataset", None, "Where --method=mean takes its mean, as --dataset."
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size",
    64,
    "Images that are filled at once, on all devices of all processes together.",
    lower_bound=1,
)
_SEED = flags.DEFINE_integer(
    "seed", 0, "Of masks and searches.", lower_bound=0, upper_bound=2**31 - 1
)
_WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "Folder of the run. Default: one in outputs/evaluate, named after data set, split, "
    "mask and method.",
)

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


def main() -> int:
    with distributed.job():
        return _evaluate()


def _evaluate() -> int:
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
    source = dataset_flags.open_source(
        _DATASET.value,
        _SPLIT.value,
        size=model.image_size,
        crop=model.metadata.get("crop"),
        limit=_LIMIT.value,
    )
    wanted = _config_row(model, config, source)
    workdir = program.make_folder(Path(_WORKDIR.value or _default_workdir()))
    folder = workfolder.WorkFolder(workdir, source)

    # --- What earlier runs did: the first process finds out for all ------------------
    with contextlib.ExitStack() as held:

        def begin() -> workfolder.Plan:
            held.enter_context(program.lock(workdir))
            program.remember(workdir / "config.json", wanted)
            return folder.plan()

        plan = workfolder.Plan(*distributed.from_first(begin))
        done = len(source) - len(plan.missing)
        if done:
            distributed.say(f"{done} of {len(source)} images are done already")

        # --- Batch by batch: read, fill, measure, write ------------------------------
        mesh = parallel.make_mesh()
        stopped = _work(model, config, folder, plan, mesh)
        distributed.wait_for_all("all images are done")
        if stopped:
            if distributed.is_first():  # The others need not read all the parts.
                print(
                    f"stopped by signal: {folder.count_done(plan)} of {len(source)} "
                    "images are done; start again to go on"
                )
            return 0

        # --- All together ------------------------------------------------------------
        return int(
            distributed.from_first(lambda: _merge(folder, plan, wanted, mesh.size))
        )


def _default_workdir() -> Path:
    """A folder for this evaluation; one of other settings does not go on with it."""
    method = _METHOD.value
    if method == "latent":
        method = search_flags.SEARCH.value
    dataset = re.sub(r"[^A-Za-z0-9._-]+", "_", _DATASET.value).strip("_")
    names = [dataset, _SPLIT.value, _MASK.value, method]
    return Path("outputs", "evaluate", "-".join(names))


def _work(
    model: Model,
    config: SearchConfig,
    folder: workfolder.WorkFolder,
    plan: workfolder.Plan,
    mesh: Mesh,
) -> bool:
    """Does this process's share of what is missing; returns whether it was stopped."""
    source, processes = folder.source, jax.process_count()
    size = _local_batch_size(len(source), mesh)
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
        complete = _method(model, config, bar, mesh)
        log = workfolder.ProgressLog(folder.path, done, len(source))

        def read(share: list[int]) -> batches.Batch:
            return batches.read(source, share, size, _MASK.value, _SEED.value)

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
            began = time.monotonic()
            found = complete(images.to_float(batch.originals), batch.masks, batch.keys)
            seconds = (time.monotonic() - began) / max(1, len(batch.indices))
            writer.call(write, batch, found, seconds)
            done += processes * len(batch.indices)
            bar.update(min(done, len(source)) - bar.n)
    return False


def _local_batch_size(count: int, mesh: Mesh) -> int:
    """How many images this process fills at once: a multiple of its devices."""
    devices = parallel.local_size(mesh)
    per_process = min(_BATCH_SIZE.value, count) / jax.process_count()
    return devices * math.ceil(per_process / devices)


def _merge(
    folder: workfolder.WorkFolder,
    plan: workfolder.Plan,
    config: dict[str, Any],
    devices: int,
) -> int:
    """Writes what all processes found together; returns the exit status."""
    rows, failed = folder.merged(plan)
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
    _write_grid(folder.path, rows[shown], originals[shown], completed[shown])
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


def _config_row(
    model: Model, config: SearchConfig, source: data.Source
) -> dict[str, Any]:
    """What two runs must share to go on with each other's images.

    How many images there are is not among it: each is done for itself.
    """
    row: dict[str, Any] = {
        "dataset": program.absolute(source.name),
        "split": source.split,
        "crop": source.crop,
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


def _method(
    model: Model, config: SearchConfig, bar: tqdm, mesh: Mesh
) -> methods.Complete:
    """``--method``; moves the bar while it is at it."""
    if _METHOD.value == "latent":
        return methods.latent(
            model,
            config,
            search_flags.read_refinement(),
            lambda done: bar.update(min(done * jax.process_count(), bar.total - bar.n)),
            mesh,
        )
    if _TRAIN_DATASET.value is None:
        return methods.baseline(methods.FILLS[_METHOD.value], mesh)
    known = dataset_flags.load(
        _TRAIN_DATASET.value,
        "train",
        size=model.image_size,
        crop=model.metadata.get("crop"),
    )
    mean = images.to_float(known.images.mean(0, dtype=np.float64))
    return methods.baseline(baselines.guided_fill(mean), mesh)


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
    distances = metrics.sliced_wasserstein(completed, originals)
    return {**report.by_level(distances), "n": len(completed)}


def _write_grid(
    workdir: Path,
    rows: list[dict[str, Any]],
    originals: np.ndarray,
    completed: np.ndarray,
) -> None:
    ids = [row["id"] for row in rows]
    drawn, _ = batches.draw_masks(ids, _MASK.value, _SEED.value, originals.shape[1:3])
    masked = np.where(drawn > 0, originals, 0).astype(np.uint8)
    sheet = images.grid(
        list(zip(originals, masked, completed, strict=True)),
        column_labels=["original", "masked", "completed"],
        row_labels=ids,
    )
    images.write_png(workdir / "grid.png", sheet)


if __name__ == "__main__":
    program.run(main)
