"""Configuration of a run: ``config.json``, written once and compared at each start."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.runtime import program
from inpaint_jax.data.datasets import Dataset
from inpaint_jax.data.rows import chunks
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

    The pictures are the same if their names or their pixels are: a data set may move,
    or be named by another pattern.

    Args:
      workdir: Folder of the run.
      settings: Settings of the training.
      dataset: The images to train on.
      held_back: The images to evaluate on, if any.
      validation: Value of the flag that names the held-back images.
      older: Values of settings that older files lack.

    Raises:
      program.UsageError: The folder belongs to a run of another configuration, or of
        one that no longer exists.
    """
    path = workdir / "config.json"
    settings = json.loads(json.dumps(settings))  # In the types that JSON returns.
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
    """The configuration; empty if the file is not valid, which ``remember`` reports."""
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
            for chunk in chunks(dataset.images):
                digest.update(np.ascontiguousarray(chunk).data)
    return digest.hexdigest()
