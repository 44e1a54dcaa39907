"""Model files: safetensors with a format, a checksum and metadata in the header."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors
import safetensors.numpy

from inpaint_jax.configs import Architecture
from inpaint_jax.networks.variables import Variables, flatten, unflatten


class ModelError(ValueError):
    """A model cannot be loaded or saved; the message is one line with the reason."""


def names(folder: Path) -> list[str]:
    """The names of the model files in a folder."""
    return sorted(path.stem for path in folder.glob("*.safetensors"))


def find(name: str | Path, folder: Path, kind: str = "model") -> Path:
    """The path of a model: a shipped one in ``folder``, or the user's own.

    Args:
      name: Name of a shipped model, or a path.
      folder: Folder of the shipped models.
      kind: Word for the kind of model in the message.

    Returns:
      The path of a file, or of a folder, which should be a training run's.

    Raises:
      ModelError: There is no such model.
    """
    path = Path(os.path.expanduser(name))  # The path of an unknown user stays as it is.
    if str(name) in names(folder):
        return folder / f"{name}.safetensors"
    if not path.exists():
        known = [*names(folder), "a .safetensors file or a training run's work folder"]
        raise ModelError(f"there is no {kind} {str(name)!r}: give {', '.join(known)}")
    return path


def read(
    path: Path, *kinds: str
) -> tuple[str, Variables, Architecture, dict[str, Any]]:
    """Reads a model file.

    Args:
      path: The file.
      *kinds: Kinds of model that will do.

    Returns:
      The kind; the tensors in float32, nested as they were passed to ``write``; the
      architecture; and the metadata.

    Raises:
      ModelError: The file is damaged or of another kind.
    """
    try:
        with safetensors.safe_open(path, "numpy") as file:
            header = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError) as error:
        raise ModelError(f"{path} is no readable safetensors file: {error}") from error
    formats = {_format(kind): kind for kind in kinds}
    if header.get("format") not in formats:
        raise ModelError(
            f"{path} is no {' or '.join(kinds)} model of this library: its format is "
            f"{header.get('format')!r}, not {' or '.join(map(repr, formats))}"
        )
    described = header.get("metadata", "")
    if header.get("sha256") != checksum(tensors, described):
        raise ModelError(f"{path} is damaged: it does not match its own checksum")
    metadata = json.loads(described)
    # Converted by NumPy: JAX would compile a conversion for each shape.
    wide = {key: np.asarray(value, np.float32) for key, value in tensors.items()}
    nested = unflatten(jax.device_put(wide))
    kind = formats[header["format"]]
    return kind, nested, Architecture(**metadata["architecture"]), metadata


def write(
    path: Path,
    kind: str,
    variables: Variables,
    architecture: Architecture,
    metadata: Mapping[str, Any],
) -> None:
    """Writes a model file, under a temporary name first.

    Args:
      path: The file; its stem is the model's name.
      kind: Kind of model.
      variables: Nested arrays. Weights are stored in float16, BatchNorm statistics in
        float32.
      architecture: Sizes of the networks.
      metadata: JSON values that describe the model.

    Raises:
      ModelError: A number is not finite in float16, or the file cannot be written.
    """
    tensors = stored(variables)
    for key, value in tensors.items():
        if not np.isfinite(value).all():
            raise ModelError(f"{key} holds a number that is not finite in float16")
    sizes = dataclasses.asdict(architecture)
    described = json.dumps({**metadata, "architecture": sizes}, sort_keys=True)
    header = {
        "format": _format(kind),
        "sha256": checksum(tensors, described),
        "metadata": described,
    }
    temporary = path.with_name(f".{path.name}")
    try:
        temporary.write_bytes(safetensors.numpy.save(tensors, header))
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ModelError(f"{path} cannot be written: {error.strerror}") from error


def stored(variables: Variables) -> dict[str, np.ndarray]:
    """Variables by name as a model file holds them: rounded to float16.

    BatchNorm statistics are in float32.
    """
    return {
        key: np.asarray(
            value, np.float32 if "/batch_stats/" in key else np.float16, order="C"
        )
        for key, value in flatten(variables).items()
    }


def digest(variables: Variables) -> str:
    """Checksum of variables as a model file holds them."""
    return checksum(stored(variables))


def checksum(tensors: Mapping[str, np.ndarray | jax.Array], metadata: str = "") -> str:
    """Checksum of tensors by name and of their description."""
    digest = hashlib.sha256(metadata.encode())
    for key in sorted(tensors):
        digest.update(key.encode())
        digest.update(np.ascontiguousarray(tensors[key]).tobytes())
    return digest.hexdigest()


def _format(kind: str) -> str:
    return f"inpaint_jax.{kind}.1"
