"""What a run was begun with: ``config.json``, written once and compared ever after."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.runtime import program
from inpaint_jax.data.datasets import Dataset
from inpaint_jax.training import recipes


def remember(
    workdir: Path,
    settings: Mapping[str, Any],
    dataset: Dataset,
    held_back: Dataset | None = None,
    *,
    validation: str | None = None,
    older: Mapping[str, Any] | None = None,
) -> None:
    """Writes a run's configuration, or checks it against the one that is there.

    Its pictures are the same when they are called the same or look the same: a data set
    may move, or be named by another pattern.

    Args:
      workdir: Folder of the run.
      settings: How the run trains.
      dataset: The images that it trains on.
      held_back: Those that it is judged with, if it is.
      validation: How they were named.
      older: What a file that does not name a setting meant by that.

    Raises:
      program.UsageError: The folder belongs to a run of another configuration, or of
        one that is no more.
    """
    path = workdir / "config.json"
    settings = json.loads(json.dumps(settings))  # As JSON gives them back.
    names = {
        "dataset": program.absolute(dataset.name),
        "split": dataset.split,
        "images": len(dataset),
    }
    if validation is not None:
        names["validation"] = program.absolute(validation)
    pixels = _digest(dataset, held_back)
    if not path.exists():
        program.write_json(path, {**settings, **names, "pixels": pixels})
        return
    there = _read(path)
    for name, without in recipes.GONE.items():
        if there.get(name, without) != without:
            raise program.UsageError(
                f"{workdir} was begun with {name} = {there[name]}, which is no longer "
                "there: its model can be used, but not trained further"
            )
    if there.get("pixels") == pixels:
        program.remember(path, settings, older)
        return
    program.remember(path, {**settings, **names}, older)
    if "pixels" in there:
        program.warn(
            f"going on, though {dataset.name} does not hold the very pixels that "
            f"{workdir} was begun with"
        )
    else:
        program.write_json(path, {**there, "pixels": pixels})


def _read(path: Path) -> dict[str, Any]:
    """The configuration; nothing if the file holds none, as ``remember`` will say."""
    try:
        return dict(json.loads(path.read_text()))
    except (ValueError, TypeError):
        return {}


def _digest(*sets: Dataset | None) -> str:
    """A checksum of the pixels of all images, in their order."""
    digest = hashlib.sha256()
    for dataset in sets:
        if dataset is not None:
            digest.update(str(dataset.images.shape).encode())
            digest.update(np.ascontiguousarray(dataset.images).data)
    return digest.hexdigest()
