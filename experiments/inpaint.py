"""Fills the holes of photographs, with the paper's search or a faster one.

    python -m experiments.inpaint --mask=random80
    python -m experiments.inpaint --input=old.jpg --mask=scratches.png --output=new.png
    python -m experiments.inpaint --input='photos/*.jpg' --mask=masks/ --candidates=4

Faces are found, turned and scaled as the model wants them, filled, and put back: a
photograph keeps its size, its mode and every known pixel. The output folder then holds
completed/ with the photographs; frames/ with what the model saw of them, its holes, the
generated image and the completed one; grid.png with the first 32; and results.json.
With --candidates it also holds candidates/ with all answers and uncertainty/ with maps
of where they differ; with --trace film/. The results of an earlier run there are
replaced. All devices work at once.
"""

import contextlib
import glob
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

import inpaint_jax
from experiments.filling import from_flags, pipeline, report
from experiments.filling.methods import Method
from experiments.filling.photographs import Inputs, OfPhotographs, first_opaque
from experiments.filling.restoring import Restorer
from experiments.flags import answers as answer_flags
from experiments.flags import dataset as dataset_flags
from experiments.flags import method as method_flags
from experiments.flags import model as model_flags
from experiments.flags import search as search_flags
from experiments.runtime import compilation_cache, program
from inpaint_jax import masks as mask_lib
from inpaint_jax import parallel
from inpaint_jax.data import images
from inpaint_jax.data.formats import looks_like_picture
from inpaint_jax.data.pictures import (
    ImageError,
    Picture,
    find_masks,
    list_pictures,
    own_mask,
    without_masks,
)
from inpaint_jax.photographs import outside

_MODEL = model_flags.define_model_for_photographs()
for _module in (
    answer_flags,
    compilation_cache,
    dataset_flags,
    method_flags,
    model_flags,
    search_flags,
):
    flags.adopt_module_key_flags(_module)

_DEMO = Path(inpaint_jax.__file__).parent / "demo"

_INPUT = flags.DEFINE_list(
    "input",
    [str(_DEMO)],
    "Pictures: files, folders, zips or globs of them, separated by commas (for a path "
    "with a comma in it give its folder). Default: four portraits of the package.",
)
_MASK = flags.DEFINE_string(
    "mask",
    None,
    f"Mask: {', '.join(mask_lib.MASK_NAMES)}, random<NN> for NN per cent missing, or a "
    "path: one mask file for all pictures, or a folder, zip or glob with a mask for "
    "each picture, of the same name. A mask has the size of its picture; white (or "
    "transparent) pixels are missing. Default: the transparent pixels of each picture; "
    "for the portraits, center.",
)
_MASK_KNOWN = flags.DEFINE_enum(
    "mask_known", "black", ["black", "white"], "Colour of known pixels in mask files."
)
_ORIGINAL = flags.DEFINE_string(
    "original",
    None,
    "The undamaged pictures, to measure PSNR and SSIM: a path as for --mask. Default: "
    "the pictures themselves if --mask is a name, as such a mask only hides pixels; "
    "otherwise these figures are left out.",
)
_LIMIT = flags.DEFINE_integer(
    "limit", None, "Only the first so many pictures.", lower_bound=1
)
_OUTPUT = flags.DEFINE_string(
    "output",
    "outputs/inpaint",
    "Folder for results; or, for one picture, a file (.png, .jpg ...) for the "
    "completed picture alone.",
)
_FRAME = flags.DEFINE_string(
    "frame",
    "auto",
    "What the model sees of a picture. face: every face that the hole touches, turned "
    "and scaled as the model wants it (extra faces). center: the crop that the model "
    "was trained with. whole: all of it, aspect ratio not kept. x,y,w,h: a rectangle, "
    "in pixels. auto: face for a model of faces, if there is one to fill, otherwise "
    "center. Masks with a name are drawn into the frame.",
)
_OUTSIDE = flags.DEFINE_enum(
    "outside",
    None,
    outside.WAYS,
    "How to fill what lies outside the frames; leave: not at all. Default: telea where "
    "OpenCV is installed, otherwise harmonic.",
)
_FORMATS = {"png": ".png", "jpg": ".jpg", "webp": ".webp", "tiff": ".tiff"}
_FORMAT = flags.DEFINE_enum(
    "format",
    None,
    list(_FORMATS),
    "Format of the completed pictures. Default: that of each picture. Only formats "
    "without loss (all but jpg) keep known pixels bit for bit.",
)
_TRACE = flags.DEFINE_bool(
    "trace",
    False,
    "Write film/<name>.webp for each picture: how the search fills its hole.",
)
_SEED = flags.DEFINE_integer(
    "seed", 0, "Seed of masks and searches.", lower_bound=0, upper_bound=2**31 - 1
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 64, "Searches that run at once, on all devices.", lower_bound=1
)


def main() -> int:
    # --- Settings: every fault is looked for before the work begins ------------------
    if _TRACE.value and method_flags.METHOD.value != "latent":
        raise program.UsageError("--trace is for --method=latent")
    candidates = answer_flags.candidates(_BATCH_SIZE.value)
    pictures, missing = _find_pictures(_INPUT.value)
    method = from_flags.read_method(
        model_flags.or_default(
            _MODEL.value, frame=_FRAME.value, method=method_flags.METHOD.value
        ),
        candidates=candidates,
        answer=answer_flags.answer(),
        filmed=_TRACE.value,
    )
    problems = OfPhotographs(_find_inputs(pictures), method.model, _FRAME.value)
    job = pipeline.Job(problems, method, _SEED.value, _BATCH_SIZE.value)

    # --- Batch by batch: read, fill, measure, write ----------------------------------
    with contextlib.ExitStack() as held:
        destination = _choose_destination(problems, method, held)
        inputs = problems.inputs
        found = report.Report(destination, [each.id for each in inputs.pictures])
        for given, reason in missing:
            found.fail(given, reason)
        restorer = Restorer(
            problems,
            _OUTSIDE.value or outside.default(),
            _FORMATS[_FORMAT.value] if _FORMAT.value else "",
            found.add,
        )
        mesh = parallel.make_mesh()
        pipeline.fill(job, range(len(problems)), restorer.add, mesh=mesh)
        return found.close()


def _find_pictures(inputs: list[str]) -> tuple[list[Picture], list[tuple[str, str]]]:
    """The pictures of all inputs, and the files that cannot be read, with the reason.

    Raises:
      ImageError: No input has any pictures.
    """
    missing: list[tuple[str, str]] = []
    try:
        found = list_pictures(inputs)
    except ImageError:
        if len(inputs) < 2:
            raise
        # Each input is listed again on its own, to find which of them is at fault.
        good = []
        for given in inputs:
            try:
                list_pictures(given)
                good.append(given)
            except ImageError as error:
                missing.append((given, str(error)))
        if not good:
            raise
        found = list_pictures(good)
    return found.pictures, missing + [(each.file, str(each)) for each in found.skipped]


def _find_inputs(pictures: Sequence[Picture]) -> Inputs:
    """The pictures with their holes, and with their originals if there are any.

    Raises:
      program.UsageError: ``--mask`` is neither a name nor a path, or is needed and not
        given.
      ImageError: No picture has a mask in ``--mask``, or an original in ``--original``.
    """
    name, mask_files, originals = _MASK.value, None, None
    if name is None and not flags.FLAGS["input"].present:
        name = "center"
    path = None if name is None else _as_path(name)
    if path is not None:
        pictures = without_masks(path, pictures)
    pictures = pictures[: _LIMIT.value]
    if name is None:
        mask_files = _own_masks(pictures)
    elif path is not None:
        name, mask_files = None, find_masks(path, pictures)
    if _ORIGINAL.value is not None:
        originals = find_masks(_ORIGINAL.value, pictures, kind="original")
    return Inputs(pictures, name, mask_files, _MASK_KNOWN.value, originals)


def _as_path(mask: str) -> str | None:
    """The path of mask files, or None if ``--mask`` is the name of a mask.

    Raises:
      program.UsageError: It is neither.
    """
    try:
        mask_lib.mask_function(mask)
    except ValueError as error:
        path = os.path.expanduser(mask)
        if os.path.exists(path) or glob.has_magic(path):
            return path
        if os.sep in mask or Path(mask).suffix:
            raise program.UsageError(f"--mask={mask}: there is no such file") from error
        raise program.UsageError(f"{error}; or the path of a mask file") from error
    return None


def _own_masks(pictures: Sequence[Picture]) -> list[Picture | ImageError]:
    """The pictures as their own masks.

    Raises:
      program.UsageError: A picture has no transparency.
    """
    opaque = first_opaque(pictures)
    if opaque is not None:
        raise program.UsageError(
            f"{opaque} has nothing transparent: say what is missing with --mask, a "
            f"file or one of {', '.join(mask_lib.MASK_NAMES)}"
        )
    return [own_mask(picture) for picture in pictures]


def _choose_destination(
    problems: OfPhotographs, method: Method, held: contextlib.ExitStack
) -> report.Destination:
    """The file or the folder of ``--output``, locked for this run until it ends.

    Raises:
      program.UsageError: It cannot be written, or holds the input.
    """
    output = Path(_OUTPUT.value)
    if not looks_like_picture(output.name):
        folder = program.make_folder(output, report.PICTURES)
        held.enter_context(program.lock(folder))
        for result in report.PICTURES:
            program.refuse_input(folder / result, problems.inputs.files())
        return report.ToFolder(folder, _config_row(problems, method))
    count = len(problems.inputs.pictures)
    if count > 1:
        raise program.UsageError(
            f"--output={output} is one picture, and the input is {count}: give a folder"
        )
    if _TRACE.value:
        raise program.UsageError(
            f"--output={output} is one picture: --trace writes a film beside it, give "
            "a folder"
        )
    images.writable_format(output)
    output = program.make_folder(output.parent) / output.name
    if output.is_dir():
        raise program.UsageError(f"--output={output} is a folder: give another name")
    program.refuse_input(output, problems.inputs.files())
    return report.ToFile(output)


def _config_row(problems: OfPhotographs, method: Method) -> dict[str, Any]:
    """The run's configuration, for results.json."""
    names = "input mask mask_known original limit frame format refine"
    more = ["batch_size", "seed"]
    values = {name: flags.FLAGS[name].value for name in [*names.split(), *more]}
    values["mask"] = _MASK.value or problems.mask or "transparency"
    values["model"] = method.model.name
    values["outside"] = _OUTSIDE.value or outside.default()
    return {**values, **method.row()}


if __name__ == "__main__":
    program.run(main)
