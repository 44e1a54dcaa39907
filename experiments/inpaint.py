"""Fills the holes of pictures: the paper's method, or its search made fast.

    python -m experiments.inpaint --mask=random80
    python -m experiments.inpaint --input='photos/*.jpg' --mask=masks/ --candidates=4

Leaves in the output folder: completed/, masked/ and generated/ with a PNG a picture,
grid.png to look at, and results.json. All of them are of the model's size: a picture is
cropped and resized before its hole is filled. The grid shows the first 32 pictures.
"""

import functools
import glob
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import flags
from tqdm import tqdm

import inpaint_jax
from experiments.filling.methods import Complete, Method, prepare_fill
from experiments.filling.report import Report, Result
from experiments.flags import dataset as dataset_flags
from experiments.flags import method as method_flags
from experiments.flags import search as search_flags
from experiments.runtime import compilation_cache, program
from experiments.runtime.stopwatch import Stopwatch
from inpaint_jax import masks as mask_lib
from inpaint_jax import parallel, pixels
from inpaint_jax.baselines import HostFill
from inpaint_jax.data import images as image_lib
from inpaint_jax.data.pictures import (
    ImageError,
    Picture,
    find_masks,
    find_pictures,
    read_picture,
)
from inpaint_jax.types import Model, Solution

for _module in (compilation_cache, dataset_flags, method_flags, search_flags):
    flags.adopt_module_key_flags(_module)

flags.set_default(search_flags.SEARCH, "fast")

_DEMO = Path(inpaint_jax.__file__).parent / "demo"

_INPUT = flags.DEFINE_list(
    "input",
    [str(_DEMO)],
    "Pictures: files, folders, zips or globs of them, with commas between (a path that "
    "holds a comma: give its folder). Default: four portraits that come along.",
)
_MASK = flags.DEFINE_string(
    "mask",
    "center",
    f"What is missing: {', '.join(mask_lib.MASK_NAMES)}, random<NN> for NN per cent, "
    "or a path: one mask file for all pictures, or a folder, zip or glob with one "
    "each, of the same name. A mask has the size of its picture; white (or "
    "transparent) is missing.",
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
_CANDIDATES = flags.DEFINE_integer(
    "candidates",
    1,
    "Searches a picture, from as many starts, at most --batch_size; the best by total "
    "loss is the result, all are in candidates/ and the grid. Each has a seed, from 0: "
    "with --search=fast 0 starts from what the model's encoders guess, the others at "
    "random.",
    lower_bound=1,
)
_SEED = flags.DEFINE_integer(
    "seed", 0, "Of masks and searches.", lower_bound=0, upper_bound=2**31 - 1
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 64, "Searches that run at once.", lower_bound=1
)
Work = Callable[[list["Example"], int, Callable[[int], object]], list[Result]]
"""A batch, filled up to a size, to a result each; it says how many steps it did."""


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
        search = search_flags.read()
    method_flags.check()
    if _CANDIDATES.value > 1 and method_flags.METHOD.value != "latent":
        raise program.UsageError("--candidates is for --method=latent")
    if _CANDIDATES.value > _BATCH_SIZE.value:
        raise program.UsageError(
            f"--candidates={_CANDIDATES.value} must not exceed "
            f"--batch_size={_BATCH_SIZE.value}, as they are searched at once"
        )
    pictures, missing = _find_pictures(_INPUT.value)
    pictures = pictures[: _LIMIT.value]
    mask_files = _find_mask_files(pictures)
    model = inpaint_jax.load_model(_MODEL.value, precision=search.precision)
    method = method_flags.read(model, search)
    crop = _choose_crop(model)
    output = program.make_folder(Path(_OUTPUT.value))

    # --- Batch by batch: read, fill, write -------------------------------------------
    report = Report(output, _config_row(method, crop))
    for given, reason in missing:
        report.fail(given, reason)
    work, at_once, steps = _choose_work(method)
    per_batch = min(at_once, len(pictures))
    batches = -(-len(pictures) // per_batch)
    examples = _read_examples(pictures, mask_files, model.image_size, crop, report)
    with tqdm(total=batches * steps, unit="step", disable=None, smoothing=0.05) as bar:
        while batch := list(itertools.islice(examples, per_batch)):
            with Stopwatch() as watch:
                results = work(batch, per_batch, bar.update)
            seconds = watch.seconds / len(batch)
            for example, found in zip(batch, results, strict=False):
                picture, image, mask, _ = example
                report.add(picture, image, mask, found, seconds)
            report.write()
        bar.update(bar.total - bar.n)
    return report.close()


def _find_pictures(inputs: list[str]) -> tuple[list[Picture], list[tuple[str, str]]]:
    """The pictures of all inputs, and which inputs have none, with the reason.

    Raises:
      ImageError: None has any.
    """
    try:
        return find_pictures(inputs), []
    except ImageError:
        if len(inputs) < 2:
            raise
    # Which of them was it? Each is listed again, alone.
    good, missing = [], []
    for given in inputs:
        try:
            find_pictures(given)
            good.append(given)
        except ImageError as error:
            missing.append((given, str(error)))
    if not good:
        raise ImageError(missing[0][1])
    return find_pictures(good), missing


def _choose_crop(model: Model) -> str:
    """What to cut out of a picture: the flag's word, or as the model was trained."""
    crop = _CROP.value or model.metadata.get("crop") or "center"
    # Bounding boxes come with a data set; a user's picture is the box.
    crop = "none" if crop == "box" else crop
    image_lib.parse_crop(crop)
    return crop


def _find_mask_files(
    pictures: Sequence[Picture],
) -> Sequence[Picture | ImageError | None]:
    """The mask file of each picture; Nones when ``--mask`` is a mask's name."""
    try:
        mask_lib.mask_function(_MASK.value)
    except ValueError as error:
        path = os.path.expanduser(_MASK.value)
        if os.path.exists(path) or glob.has_magic(path):
            return find_masks(path, pictures)
        raise program.UsageError(f"{error}; or the path of a mask file") from error
    return [None] * len(pictures)


def _read_examples(
    pictures: Sequence[Picture],
    mask_files: Sequence[Picture | ImageError | None],
    size: int,
    crop: str,
    report: Report,
) -> Iterator[Example]:
    """Pictures as the model wants them, one by one; the bad ones go to the report."""
    for picture, mask_file in zip(pictures, mask_files, strict=True):
        key = inpaint_jax.image_key(_SEED.value, picture.name)
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
            reason = str(error)
            if str(picture) not in reason:
                reason = f"{picture}: {reason}"
            report.fail(picture.id, reason)
            continue
        if mask.all() or not mask.any():
            what = "nothing is missing" if mask.all() else "nothing is known"
            result = "the picture itself" if mask.all() else "a generated image"
            program.warn(f"{picture.id}: {what} under its mask; the result is {result}")
        yield Example(picture, image, mask, search_key)


def _choose_work(method: Method) -> tuple[Work, int, int]:
    """How a batch is filled, how many pictures are in one, and its steps."""
    if method.name == "latent":
        at_once = _BATCH_SIZE.value // _CANDIDATES.value
        return functools.partial(_search, method), at_once, method.search.config.steps
    fill = method.fill()
    complete = prepare_fill(fill, parallel.make_mesh(jax.local_devices()[:1]))
    # Libraries take them one at a time anyway: progress can be seen.
    at_once = 1 if isinstance(fill, HostFill) else _BATCH_SIZE.value
    return functools.partial(_fill, complete), at_once, 1


def _fill_up(batch: list[Example], size: int) -> list[Example]:
    """A last, short batch with copies of its first image: compiled once for all."""
    return batch + [batch[0]] * (size - len(batch))


def _fill(
    complete: Complete,
    batch: list[Example],
    size: int,
    progress: Callable[[int], object],
) -> list[Result]:
    """A batch by a baseline."""
    filled = _fill_up(batch, size)
    found = complete(
        np.stack([pixels.to_float(example.image) for example in filled]),
        np.stack([example.mask for example in filled]),
        jax.numpy.stack([example.key for example in filled]),
    )
    progress(1)
    refused = found.get("refused", [""] * size)
    return [
        Result(each[None], refused=str(reason))
        for each, reason in zip(found["image"], refused, strict=True)
    ]


def _search(
    method: Method,
    batch: list[Example],
    size: int,
    progress: Callable[[int], object],
) -> list[Result]:
    """A batch by the latent search, with all candidates, sorted by total loss."""
    count = _CANDIDATES.value
    filled = _fill_up(batch, size)
    fold = jax.vmap(jax.random.fold_in, in_axes=(None, 0))
    # Candidate 0 of several is the only one of a single search.
    keys = [fold(example.key, np.arange(count)) for example in filled]
    solution = inpaint_jax.inpaint(
        method.model,
        np.repeat([pixels.to_float(e.image) for e in filled], count, axis=0),
        np.repeat([e.mask for e in filled], count, axis=0),
        jax.numpy.concatenate(keys),
        config=method.search.config,
        # Else all would start from the same guess.
        guided=np.tile(np.arange(count) == 0, size),
        refinement=method.search.refinement,
        blend=method.blend,
        progress=progress,
    )
    solution = jax.tree.map(
        lambda x: np.asarray(x).reshape(size, count, *x.shape[1:]), solution
    )
    order = np.argsort(solution.losses.total, axis=1, kind="stable")
    rows = np.arange(size)[:, None]
    ranked = jax.tree.map(lambda x: x[rows, order], solution)
    return [
        _result(jax.tree.map(lambda x, i=i: x[i], ranked), order[i])
        for i in range(size)
    ]


def _result(ranked: Solution, seeds: np.ndarray) -> Result:
    """One picture's solutions ``[candidates, ...]``, the best first."""
    several = len(seeds) > 1
    return Result(
        np.asarray(ranked.image),
        np.asarray(ranked.generated[0]),
        {
            "context_loss": ranked.losses.context[0],
            "prior_loss": ranked.losses.prior[0],
            "blend_residual": ranked.residual[0],
        },
        np.asarray(ranked.losses.total) if several else None,
        seeds if several else None,
    )


def _config_row(method: Method, crop: str) -> dict[str, Any]:
    names = "input mask mask_known limit model refine candidates batch_size seed"
    values = {name: flags.FLAGS[name].value for name in names.split()}
    return {**values, "crop": crop, **method.row()}


if __name__ == "__main__":
    program.run(main)
