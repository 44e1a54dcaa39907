"""Fills the holes of pictures with the paper's method.

    python -m experiments.inpaint --mask=random80
    python -m experiments.inpaint --input='photos/*.jpg' --mask=masks/ --candidates=4

Leaves in the output folder: completed/, masked/ and generated/ with a PNG a picture,
grid.png to look at, and results.json. All of them are of the model's size: a picture is
cropped and resized before its hole is filled.
"""

import dataclasses
import itertools
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import flags
from tqdm import tqdm

import inpaint_jax
from experiments import program
from inpaint_jax import images as image_lib
from inpaint_jax import masks as mask_lib
from inpaint_jax import metrics
from inpaint_jax.pictures import (
    ImageError,
    Picture,
    find_masks,
    find_pictures,
    read_picture,
)
from inpaint_jax.types import Model, SearchConfig, Solution

_DEMO = Path(inpaint_jax.__file__).parent / "demo"
_DEFAULTS = SearchConfig()
_GRID_ROWS = 32

_INPUT = flags.DEFINE_list(
    "input",
    [str(_DEMO)],
    "Pictures: files, folders, zips or globs of them, with commas between. Default: "
    "four portraits that come along.",
)
_MASK = flags.DEFINE_string(
    "mask",
    "center",
    f"What is missing: {', '.join(mask_lib.MASK_NAMES)}, random<NN> for NN per cent, "
    "or a path: one mask file for all pictures, or a folder with one each, of the "
    "same name. A mask has the size of its picture; white is missing.",
)
_MASK_KNOWN = flags.DEFINE_enum(
    "mask_known", "black", ["black", "white"], "What known pixels are in mask files."
)
_LIMIT = flags.DEFINE_integer(
    "limit", None, "Only the first so many pictures.", lower_bound=1
)
_MODEL = flags.DEFINE_string(
    "model",
    "celeba64",
    "A shipped model's name, a .safetensors file, or the work folder of a training.",
)
_OUTPUT = flags.DEFINE_string("output", "outputs/inpaint", "Where results go.")
_CROP = flags.DEFINE_string(
    "crop",
    None,
    "center (the largest square), none (the whole frame) or a number of pixels (a "
    "centre square). Default: as the model was trained.",
)
_SEARCH = flags.DEFINE_enum("search", "paper", ["paper"], "Way to search.")
_STEPS = flags.DEFINE_integer("steps", _DEFAULTS.steps, "Updates of the latent.")
_LEARNING_RATE = flags.DEFINE_float(
    "learning_rate", _DEFAULTS.learning_rate, "Adam's, in the search."
)
_PRIOR_WEIGHT = flags.DEFINE_float(
    "prior_weight", _DEFAULTS.prior_weight, "Lambda of the prior loss."
)
_CANDIDATES = flags.DEFINE_integer(
    "candidates",
    1,
    "Searches a picture, from as many starts; the best by total loss is the result, "
    "all are in candidates/ and the grid.",
    lower_bound=1,
)
_SEED = flags.DEFINE_integer("seed", 0, "Of masks and searches.")
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 64, "Searches that run at once.", lower_bound=1
)
_BLEND = flags.DEFINE_bool("blend", True, "Poisson blending; else plain overlay.")


class Example(NamedTuple):
    """A picture ready for the model.

    Attributes:
      picture: Where it came from.
      image: ``[S, S, 3]`` uint8.
      mask: ``[S, S, 1]`` float32, 1 = known, 0 = missing.
      key: PRNG key of its searches.
    """

    picture: Picture
    image: np.ndarray
    mask: np.ndarray
    key: jax.Array


def main() -> int:
    # --- What is asked: everything that can be wrong is looked at before the work ----
    with program.usage_errors():
        config = SearchConfig(
            steps=_STEPS.value,
            learning_rate=_LEARNING_RATE.value,
            prior_weight=_PRIOR_WEIGHT.value,
        )
        if _CROP.value is not None:
            image_lib.parse_crop(_CROP.value)
    pictures = find_pictures(_INPUT.value)[: _LIMIT.value]
    mask_files = _find_mask_files(pictures)
    model = inpaint_jax.load_model(_MODEL.value)
    output = program.make_folder(Path(_OUTPUT.value))

    # --- Batch by batch: read, search, write -----------------------------------------
    report = Report(output, _config_row(config))
    per_batch = max(1, min(_BATCH_SIZE.value // _CANDIDATES.value, len(pictures)))
    batches = -(-len(pictures) // per_batch)
    examples = _read_examples(pictures, mask_files, model, report)
    with tqdm(
        total=batches * config.steps, unit="step", disable=None, smoothing=0.05
    ) as bar:
        while batch := list(itertools.islice(examples, per_batch)):
            began = time.monotonic()
            solution = _complete(model, batch, per_batch, config, bar.update)
            seconds = (time.monotonic() - began) / len(batch)
            for example, row in zip(batch, _rows(solution), strict=False):
                report.add(example, row, seconds)
            report.write()
        bar.update(bar.total - bar.n)
    return report.close()


def _find_mask_files(
    pictures: Sequence[Picture],
) -> Sequence[Picture | ImageError | None]:
    """The mask file of each picture; Nones when ``--mask`` is a mask's name."""
    try:
        mask_lib.mask_function(_MASK.value)
    except ValueError as error:
        if os.path.exists(_MASK.value):
            return find_masks(_MASK.value, pictures)
        raise program.UsageError(f"{error}; or the path of a mask file") from error
    return [None] * len(pictures)


def _read_examples(
    pictures: Sequence[Picture],
    mask_files: Sequence[Picture | ImageError | None],
    model: Model,
    report: "Report",
) -> Iterator[Example]:
    """Pictures as the model wants them, one by one; the bad ones go to the report."""
    crop = _CROP.value or model.metadata.get("crop") or "center"
    size = model.image_size
    for picture, mask_file in zip(pictures, mask_files, strict=True):
        key = inpaint_jax.image_key(_SEED.value, picture.id)
        mask_key, search_key = jax.random.split(key)
        try:
            if isinstance(mask_file, ImageError):
                raise mask_file
            whole = read_picture(picture)
            image = image_lib.crop_and_resize(whole, crop=crop, size=size)
            if mask_file is None:
                drawn = mask_lib.make_masks(_MASK.value, mask_key[None], (size, size))
                mask = np.asarray(drawn[0])
            else:
                mask = image_lib.read_mask(
                    mask_file,
                    image_size=whole.shape[:2],
                    crop=crop,
                    size=size,
                    known=_MASK_KNOWN.value,
                )
        except ImageError as error:
            report.fail(picture, str(error))
            continue
        if mask.all() or not mask.any():
            what = "nothing is missing" if mask.all() else "nothing is known"
            result = "the picture itself" if mask.all() else "a generated image"
            program.warn(f"{picture.id}: {what} under its mask; the result is {result}")
        yield Example(picture, image, mask, search_key)


def _complete(
    model: Model,
    batch: list[Example],
    size: int,
    config: SearchConfig,
    progress: Callable[[int], object],
) -> Solution:
    """``inpaint`` for a batch with candidates: fields ``[size, candidates, ...]``.

    A last, short batch is filled up with copies of its first image, so that all
    batches are of one size and compiled once. Candidates are sorted by total loss.
    """
    count = _CANDIDATES.value
    filled = batch + [batch[0]] * (size - len(batch))
    fold = jax.vmap(jax.random.fold_in, in_axes=(None, 0))
    # Candidate 0 of several is the only one of a single search.
    keys = [fold(example.key, np.arange(count)) for example in filled]
    solution = inpaint_jax.inpaint(
        model,
        np.repeat([image_lib.to_float(e.image) for e in filled], count, axis=0),
        np.repeat([e.mask for e in filled], count, axis=0),
        jax.numpy.concatenate(keys),
        config=config,
        blend=_BLEND.value,
        progress=progress,
    )
    solution = jax.tree.map(
        lambda x: np.asarray(x).reshape(size, count, *x.shape[1:]), solution
    )
    order = np.argsort(solution.losses.total, axis=1, kind="stable")
    rows = np.arange(size)[:, None]
    return jax.tree.map(lambda x: x[rows, order], solution)


def _rows(solution: Solution) -> Iterator[Solution]:
    """The batch's solutions one by one: fields ``[candidates, ...]``."""
    for i in range(len(solution.image)):
        yield jax.tree.map(lambda x, i=i: x[i], solution)


def _config_row(config: SearchConfig) -> dict[str, Any]:
    names = "input mask mask_known limit model crop search candidates seed blend"
    values = {name: flags.FLAGS[name].value for name in names.split()}
    return {**values, **dataclasses.asdict(config)}


class Report:
    """Gathers results, writes them as they come, and says how it went at the end."""

    def __init__(self, folder: Path, config: dict[str, Any]):
        self._folder = folder
        self._config = config
        self._images: list[dict[str, Any]] = []
        self._failed: list[dict[str, str]] = []
        self._grid: list[list[np.ndarray]] = []
        self._grid_labels: list[str] = []

    def fail(self, picture: Picture, reason: str) -> None:
        """Notes a picture that cannot be completed."""
        self._failed.append({"id": picture.id, "reason": reason})

    def add(self, example: Example, found: Solution, seconds: float) -> None:
        """Measures a picture's solution and writes its PNGs.

        Args:
          example: The picture.
          found: Its solution, fields ``[candidates, ...]``, the best first.
          seconds: Wall time of its batch over the pictures in it.
        """
        if not np.isfinite(found.losses.total[0]):
            reason = f"{example.picture}: the search met numbers that are not finite"
            self.fail(example.picture, reason)
            return
        image, mask = image_lib.to_float(example.image), example.mask
        completed = [image_lib.to_uint8(each) for each in found.image]
        masked = np.where(mask > 0, example.image, 0).astype(np.uint8)
        generated = image_lib.to_uint8(found.generated[0])
        # Measured on what is written: the result in 8 bits.
        result = image_lib.to_float(completed[0])
        row = {
            "id": example.picture.id,
            "file": f"{example.picture.stem}.png",
            "missing": float(1 - mask.mean()),
            "context_loss": found.losses.context[0],
            "prior_loss": found.losses.prior[0],
            "psnr": _psnr(result, image),
            "ssim": _ssim(result, image),
            "psnr_hole": _psnr_hole(result, image, mask),
            "seconds": seconds,
            "blend_residual": found.residual[0],
        }
        if len(completed) > 1:
            row["candidate_losses"] = found.losses.total
        self._images.append({name: _for_json(value) for name, value in row.items()})

        name = f"{example.picture.stem}.png"
        image_lib.write_png(self._folder / "completed" / name, completed[0])
        image_lib.write_png(self._folder / "masked" / name, masked)
        image_lib.write_png(self._folder / "generated" / name, generated)
        if len(completed) > 1:
            folder = self._folder / "candidates" / example.picture.stem
            for rank, candidate in enumerate(completed, start=1):
                image_lib.write_png(folder / f"{rank}.png", candidate)
        if len(self._grid) < _GRID_ROWS:
            self._grid.append([example.image, masked, generated, *completed])
            self._grid_labels.append(example.picture.id)

    def write(self) -> None:
        """Writes results.json and grid.png as they stand."""
        program.write_json(
            self._folder / "results.json",
            {
                "config": self._config,
                "summary": self._summary(),
                "images": self._images,
                "failed": self._failed,
            },
        )
        if self._grid:
            columns = ["original", "masked", "G(z)", "completed"]
            columns += [f"no. {rank}" for rank in range(2, _CANDIDATES.value + 1)]
            sheet = image_lib.grid(
                self._grid, column_labels=columns, row_labels=self._grid_labels
            )
            image_lib.write_png(self._folder / "grid.png", sheet)

    def close(self) -> int:
        """Writes a last time, prints the outcome, returns the exit status."""
        self.write()
        for failure in self._failed:
            program.warn(failure["reason"])
        if not self._images:
            return 2
        summary = self._summary()
        figures = ", ".join(
            f"{name} {summary[name]:.2f}{unit}"
            for name, unit in (("psnr", " dB"), ("ssim", ""), ("psnr_hole", " dB"))
            if summary[name] is not None
        )
        print(f"{len(self._images)} completed, {len(self._failed)} failed; {figures}")
        print(f"look at {self._folder / 'grid.png'}")
        return 1 if self._failed else 0

    def _summary(self) -> dict[str, Any]:
        """Means over the images for which a figure is defined."""
        summary: dict[str, Any] = {
            "n": len(self._images),
            "failed": len(self._failed),
            "device": str(jax.devices()[0].device_kind),
        }
        names = "missing context_loss prior_loss psnr ssim psnr_hole seconds"
        for name in names.split():
            values = [row[name] for row in self._images if row[name] is not None]
            summary[name] = math.fsum(values) / len(values) if values else None
        return summary


_psnr, _psnr_hole = jax.jit(metrics.psnr), jax.jit(metrics.psnr_hole)
_ssim = jax.jit(metrics.ssim)


def _for_json(value: Any) -> Any:
    """Arrays as (lists of) numbers; infinity and NaN, unknown to JSON, as null."""
    if isinstance(value, str):
        return value
    if np.ndim(value) > 0:
        return [_for_json(each) for each in value]
    number = float(value)
    return number if math.isfinite(number) else None


if __name__ == "__main__":
    program.run(main)
