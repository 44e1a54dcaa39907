r"""Makes a model file from a training run.

    python -m experiments.export --workdir=runs/faces --data='CelebA, 32,611 images' \
        --results=runs/faces-center/metrics.json --output=faces.safetensors

The file of a DCGAN holds the averaged generator and the discriminator of the best
checkpoint in float16, the generator's principal directions, the recipe, and the figures
that ``experiments.evaluate_generator`` and ``experiments.evaluate`` measured with the
paper's search. ``experiments.train_encoder`` adds encoders to it.

The file of an autoencoder holds the averaged decoder and encoder and the critic, what
the search needs to know of the decoder's curvature, the recipe, and the figures that
``experiments.evaluate`` measured with ``--search=map``.

The file of a context encoder or a VAE holds the averaged network, the recipe and, for a
context encoder, the figures.
"""

import dataclasses
import datetime
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from absl import flags

from experiments.filling import measures
from experiments.runtime import program
from inpaint_jax import pretrained
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
from inpaint_jax.types import SEARCHES

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


def main() -> int:
    output = Path(_OUTPUT.value)
    if output.suffix != ".safetensors":
        raise program.UsageError(f"--output={output}: give it the suffix .safetensors")
    output = program.make_folder(output.parent) / output.name
    workdir = Path(os.path.expanduser(_WORKDIR.value))
    run = load_run(workdir, latest=_LATEST.value)
    steps = int(run.state.step)
    searched = run.kind in pretrained.KINDS
    if searched:
        parts = _with_metric(parts_of_run(run, output.stem, {}))
        weights = pretrained.digest(parts)
        # An encoder from the same training is part of how it is searched, and so is
        # the metric then, which a file has and a work folder has not.
        own = bool(parts.encoders)
        searched_with = {
            pretrained.digest(parts, encoders=own, metric=metric)
            for metric in (False, own)
        }
    else:
        weights = files.digest(competitor_of_run(run, output.stem).variables)
        searched_with = {weights}
    if not searched and _QUALITY.value:
        raise program.UsageError(f"--quality is of a generator, not of a {run.kind}")
    fields = [field.name for field in dataclasses.fields(KINDS[run.kind])]
    gone = [name for name in recipes.GONE if run.config.get(name)]
    metadata = {
        **{name: run.config.get(name) for name in [*fields, *gone, "images", "crop"]},
        "dataset": _DATA.value or program.without_folder(run.config["dataset"]),
        "steps": steps,
        "images_seen": steps * run.config["batch_size"],
        "date": datetime.date.today().isoformat(),
        "quality": _read_quality(_QUALITY.value, weights) if _QUALITY.value else None,
        "figures": _read_figures(_RESULTS.value, run.kind, searched_with),
    }
    if _FACE.value is not None:
        metadata["face"] = _read_face(_FACE.value)
    if searched:
        save_model(output, dataclasses.replace(parts, metadata=metadata))
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
    """The parts with the generator's metric, if the search that suits it needs one."""
    model = make_model(parts)
    if not SEARCHES[model.search].needs_metric:
        return parts
    return dataclasses.replace(parts, metric=with_metric(model).metric)


def _read_quality(path: str, weights: str) -> dict[str, Any]:
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
    _check_weights(path, found, {weights})
    return figures


def _check_weights(
    path: str, measured: Mapping[str, Any], weights: Collection[str]
) -> None:
    """Refuses figures that were not measured with the weights to export."""
    if measured.get("weights") not in weights:
        raise program.UsageError(
            f"{path} was measured with other weights than those of this checkpoint: "
            "measure the work folder, or a file that was exported from it, again"
        )


def _read_figures(
    paths: list[str], kind: str, weights: Collection[str]
) -> dict[str, dict[str, Any]]:
    """The means of the figures in evaluations of the model, by mask."""
    figures = {}
    method = "latent" if kind in pretrained.KINDS else kind
    search = "map" if kind == "autoencoder" else "paper"
    for path in paths:
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
            figures[config["mask"]] = {
                **{name: found[name]["mean"] for name in names},
                **{name: config[name] for name in settings},
                "n": results["n"],
            }
        except (OSError, LookupError, json.JSONDecodeError, TypeError) as error:
            raise program.UsageError(f"{path} is no metrics.json: {error}") from error
        if how != (search, None):
            raise program.UsageError(f"{path} is not of --search={search} alone")
        _check_weights(path, config, weights)
    return figures


if __name__ == "__main__":
    program.run(main)
