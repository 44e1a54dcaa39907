r"""Makes a model file from a training run.

    python -m experiments.export --workdir=runs/faces --data='CelebA, 32,611 images' \
        --results=runs/faces-center/metrics.json --output=faces.safetensors

The file of a DCGAN holds the averaged generator and the discriminator of the best
checkpoint in float16, the generator's principal directions, the recipe, and the figures
that ``experiments.evaluate_generator`` and ``experiments.evaluate`` measured with the
paper's search. ``experiments.train_encoder`` adds encoders to it.

The file of an autoencoder holds the averaged decoder and encoder and the critic, what
the search needs to know of the decoder's curvature, the recipe, and the figures that
``experiments.evaluate`` measured with the search that suits it (``--search``).

The file of a context encoder or a VAE holds the averaged network, the recipe and, for a
context encoder, the figures.
"""

import dataclasses
import datetime
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from experiments.filling import measures
from experiments.runtime import program
from inpaint_jax import pretrained
from inpaint_jax.configs import SEARCHES
from inpaint_jax.pretrained import (
    Parts,
    files,
    make_model,
    parts_of_run,
    save_model,
)
from inpaint_jax.pretrained.competitors import competitor_of_run, save_competitor
from inpaint_jax.pretrained.runs import KINDS, load_run
from inpaint_jax.search import with_metric
from inpaint_jax.training import recipes

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
_OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "The .safetensors file; its stem is the model's name.",
    required=True,
)
_DATA = flags.DEFINE_string("data", None, "Description of the training data.")
_FACE = flags.DEFINE_list(
    "face",
    None,
    "For a model of faces: where its frame has the left eye, the right eye and the "
    "middle of the mouth, six shares of the side, x and y of each. With it, faces of "
    "photographs are found and aligned.",
)
_SEARCH = flags.DEFINE_enum(
    "search",
    None,
    list(SEARCHES),
    "The search that suits the model, which --search=auto will mean. Default: map for "
    "an autoencoder, fast for a DCGAN.",
)
_LATEST = flags.DEFINE_bool(
    "latest", False, "Take the newest checkpoint, even if an earlier one scored better."
)
_QUALITY = flags.DEFINE_string(
    "quality", None, "quality.json of experiments.evaluate_generator with this model."
)
_RESULTS = flags.DEFINE_list(
    "results", [], "metrics.json files of experiments.evaluate with this model."
)

_QUALITY_FIGURES = ["images", "split", "swd", "ms_ssim", "ceiling", "real"]
_SETTINGS = ["steps", "learning_rate", "split"]
_FIGURES = [*measures.SIMILARITIES, *measures.LOSSES, "swd", "lpips"]


class _Measured(NamedTuple):
    """Figures of the model, from a file.

    Attributes:
      path: The file.
      weights: Checksum of the weights that were measured.
      figures: The figures, as JSON values.
      mask: Name of the mask; empty: it is of the generator alone.
    """

    path: str
    weights: str | None
    figures: dict[str, Any]
    mask: str = ""


def main() -> int:
    # Files and flags are looked at first, as reading a checkpoint takes seconds, and so
    # does finding a metric.
    output = Path(_OUTPUT.value)
    if output.suffix != ".safetensors":
        raise program.UsageError(f"--output={output}: give it the suffix .safetensors")
    output = program.make_folder(output.parent) / output.name
    face = None if _FACE.value is None else _read_face(_FACE.value)
    quality = _read_quality(_QUALITY.value) if _QUALITY.value else None
    workdir = Path(os.path.expanduser(_WORKDIR.value))
    run = load_run(workdir, latest=_LATEST.value)
    steps = int(run.state.step)
    searched = run.kind in pretrained.KINDS
    if not searched and quality is not None:
        raise program.UsageError(f"--quality is of a generator, not of a {run.kind}")
    if not searched and _SEARCH.value:
        raise program.UsageError(f"--search is of a generator, not of a {run.kind}")
    results = [_read_results(path, run.kind) for path in _RESULTS.value]
    if searched:
        parts = parts_of_run(run, output.stem, {})
        weights = pretrained.digest(parts)
        # An encoder from the same training is part of how the model is searched.
        searched_with = pretrained.digest(parts, encoders=bool(parts.encoders))
    else:
        weights = files.digest(competitor_of_run(run, output.stem).variables)
        searched_with = weights
    if quality is not None:
        _check_weights(quality, weights)
    for each in results:
        _check_weights(each, searched_with)
    fields = [field.name for field in dataclasses.fields(KINDS[run.kind])]
    gone = [name for name in recipes.GONE if run.config.get(name)]
    metadata = {
        **{name: run.config.get(name) for name in [*fields, *gone, "images", "crop"]},
        "dataset": _DATA.value or program.without_folder(run.config["dataset"]),
        "steps": steps,
        "images_seen": steps * run.config["batch_size"],
        "date": datetime.date.today().isoformat(),
        "quality": None if quality is None else quality.figures,
        "figures": {each.mask: each.figures for each in results},
    }
    if face is not None:
        metadata["face"] = face
    if _SEARCH.value:
        metadata["search"] = _SEARCH.value
    if searched:
        parts = dataclasses.replace(parts, metadata=metadata)
        save_model(output, _with_metric(parts))
    else:
        save_competitor(output, competitor_of_run(run, output.stem, metadata))
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB, {steps} steps")
    return 0


def _read_face(given: list[str]) -> list[list[float]]:
    """Places of eyes and mouth, of ``--face``.

    Raises:
      program.UsageError: They are not six shares.
    """
    try:
        shares = [float(share) for share in given]
    except ValueError:
        shares = []
    if len(shares) != 6 or not all(0 <= share <= 1 for share in shares):
        raise program.UsageError(
            f"--face={','.join(given)}: give six shares of the side, x and y of the "
            "left eye, the right eye and the mouth"
        )
    return [shares[:2], shares[2:4], shares[4:]]


def _with_metric(parts: Parts) -> Parts:
    """The parts, with a metric if the search that suits the model needs one."""
    model = make_model(parts)
    if not SEARCHES[model.search].needs_metric:
        return parts
    return dataclasses.replace(parts, metric=with_metric(model).metric)


def _read_quality(path: str) -> _Measured:
    """The figures of ``experiments.evaluate_generator`` for the model."""
    try:
        found = json.loads(Path(path).read_text())
        figures = {name: found[name] for name in _QUALITY_FIGURES}
        if "principal" in found:
            figures["principal"] = found["principal"]
        refined = found.get("refinement") is not None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise program.UsageError(f"{path} is no quality.json: {error}") from error
    if refined:
        raise program.UsageError(f"{path} is of refined reconstructions")
    return _Measured(path, found.get("weights"), figures)


def _read_results(path: str, kind: str) -> _Measured:
    """The means of the figures in an evaluation of a model of this kind."""
    method = "latent" if kind in pretrained.KINDS else kind
    search = (_SEARCH.value or "map") if kind == "autoencoder" else "paper"
    try:
        results = json.loads(Path(path).read_text())
        found, config = results["figures"], results["config"]
        if config["method"] != method:
            raise program.UsageError(f"{path} is of --method={config['method']}")
        if kind == "context_encoder" and config["blend"]:
            raise program.UsageError(f"{path} is of blended results")
        how = config.get("search", search), config.get("refinement")
        names = [name for name in _FIGURES if name in found]
        settings = [name for name in _SETTINGS if name in config]
        figures = {
            **{name: found[name]["mean"] for name in names},
            **{name: config[name] for name in settings},
            "n": results["n"],
        }
        mask = config["mask"]
    except (OSError, LookupError, json.JSONDecodeError, TypeError) as error:
        raise program.UsageError(f"{path} is no metrics.json: {error}") from error
    if how != (search, None):
        raise program.UsageError(f"{path} is not of --search={search} alone")
    return _Measured(path, config.get("weights"), figures, mask)


def _check_weights(measured: _Measured, weights: str) -> None:
    """Refuses figures that were not measured with the weights to export."""
    if measured.weights != weights:
        raise program.UsageError(
            f"{measured.path} was measured with other weights than those of this "
            "checkpoint: measure the work folder, or a file that was exported from it, "
            "again"
        )


if __name__ == "__main__":
    program.run(main)
