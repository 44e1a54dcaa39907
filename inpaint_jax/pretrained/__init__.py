"""Models as files: the shipped ones by name, the user's own by path.

A model file is a safetensors file: the weights of generator, discriminator and encoders
in float16 (BatchNorm statistics in float32), the matrices of the generator's principal
directions and, in its metadata, the architecture, what the model was
trained on, and a checksum of the weights. Beside a shipped ``<name>.safetensors``
stands ``<name>.md``, its card.
"""

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from inpaint_jax import curvature, gan, inference, networks, recipes
from inpaint_jax.networks import Variables
from inpaint_jax.types import PRECISIONS, Architecture, Model

_FOLDER = Path(__file__).parent
_FORMAT = "inpaint_jax.dcgan.1"
_ATTEMPTS = 3

_generator_weights = jax.jit(inference.generator_weights, static_argnums=1)
_discriminator_weights = jax.jit(inference.discriminator_weights, static_argnums=1)


class ModelError(ValueError):
    """A model cannot be loaded or saved; the message is one line that says why."""


def model_names() -> list[str]:
    """The names of the shipped models."""
    return sorted(path.stem for path in _FOLDER.glob("*.safetensors"))


def load_model(name: str | Path, *, precision: str = "float32") -> Model:
    """Loads a model.

    Args:
      name: A shipped model's name, a ``.safetensors`` file, or the work folder of a
        training run (its best checkpoint, or the newest where none was judged; the
        averaged generator).
      precision: One of ``types.PRECISIONS``: what both networks compute in. Their
        images and logits, and so the losses, are float32 either way. bfloat16 is for
        GPUs and TPUs; a CPU is slower at it.

    Raises:
      ModelError: There is no such model, or its file is damaged or another format's;
        or there is no such precision.
    """
    if precision not in PRECISIONS:
        raise ModelError(f"precision must be one of {PRECISIONS}, not {precision!r}")
    return make_model(read_parts(name), precision=precision)


@dataclasses.dataclass(frozen=True)
class Parts:
    """What a model is made of.

    Attributes:
      name: What to call it.
      architecture: Sizes of generator and discriminator.
      generator: Its variables, ``{"params", "batch_stats"}``.
      discriminator: Likewise.
      encoders: Those of each encoder, if it has any.
      metric: ``curvature.regional_metric`` of the generator, or None.
      metadata: What JSON can say of it: data, crop, steps, date, figures.
    """

    name: str
    architecture: Architecture
    generator: Variables
    discriminator: Variables
    encoders: tuple[Variables, ...] = ()
    metric: jax.Array | None = None
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def read_parts(name: str | Path) -> Parts:
    """The variables of a model, float32; the name is as for ``load_model``.

    Raises:
      ModelError: There is no such model, or its file is damaged or another format's.
    """
    path = Path(name).expanduser()
    if str(name) in model_names():
        path = _FOLDER / f"{name}.safetensors"
    elif path.is_dir():
        return _parts_of_run(path)
    elif not path.is_file():
        known = [*model_names(), "a .safetensors file or a training run's work folder"]
        raise ModelError(f"there is no model {str(name)!r}: give {', '.join(known)}")
    try:
        with safetensors.safe_open(path, "numpy") as file:
            header = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError) as error:
        raise ModelError(f"{path} is no readable safetensors file: {error}") from error
    if header.get("format") != _FORMAT:
        raise ModelError(
            f"{path} is no model of this library: its format is "
            f"{header.get('format')!r}, not {_FORMAT!r}"
        )
    described = header.get("metadata", "")
    if header.get("sha256") != _checksum(tensors, described):
        raise ModelError(f"{path} is damaged: it does not match its own checksum")
    metadata = json.loads(described)
    architecture = Architecture(**metadata["architecture"])
    nested = networks.unflatten(
        {key: jnp.asarray(value, jnp.float32) for key, value in tensors.items()}
    )
    triangles = nested.get("metric")
    encoders = nested.get("encoders", {})
    return Parts(
        path.stem,
        architecture,
        nested["generator"],
        nested["discriminator"],
        tuple(encoders[str(each)] for each in range(len(encoders))),
        None if triangles is None else curvature.from_triangles(triangles),
        metadata,
    )


def save_model(path: Path, parts: Parts) -> None:
    """Writes a model file, under a temporary name first.

    Args:
      path: The file; its stem is the model's name.
      parts: The model; its own name is not looked at.

    Raises:
      ModelError: A weight is not finite in float16.
    """
    encoders = {str(i): variables for i, variables in enumerate(parts.encoders)}
    flat = networks.flatten(
        {
            "generator": parts.generator,
            "discriminator": parts.discriminator,
            "encoders": encoders,
        }
    )
    tensors = {
        key: np.asarray(
            value, np.float32 if "/batch_stats/" in key else np.float16, order="C"
        )
        for key, value in flat.items()
    }
    if parts.metric is not None:
        triangles = curvature.to_triangles(parts.metric)
        tensors["metric"] = np.asarray(triangles, np.float16)
    for key, value in tensors.items():
        if not np.isfinite(value).all():
            raise ModelError(f"{key} holds a number that is not finite in float16")
    architecture = dataclasses.asdict(parts.architecture)
    described = json.dumps(
        {**parts.metadata, "architecture": architecture}, sort_keys=True
    )
    header = {
        "format": _FORMAT,
        "sha256": _checksum(tensors, described),
        "metadata": described,
    }
    temporary = path.with_name(f".{path.name}")
    temporary.write_bytes(safetensors.numpy.save(tensors, header))
    temporary.replace(path)


def digest(parts: Parts) -> str:
    """A checksum of generator and discriminator: which model it is by its weights."""
    networks_of = {"generator": parts.generator, "discriminator": parts.discriminator}
    flat = networks.flatten(networks_of)
    return _checksum({key: np.asarray(value) for key, value in flat.items()}, "")


def make_model(parts: Parts, *, precision: str = "float32") -> Model:
    """The pure functions of a model's variables, bound to them."""
    bind = jax.tree_util.Partial  # Keeps the weights arguments of what is compiled.
    of_generator = _generator_weights(parts.generator, precision)
    of_discriminator = _discriminator_weights(parts.discriminator, precision)
    of_encoders = [_discriminator_weights(each, precision) for each in parts.encoders]
    return Model(
        generate=bind(inference.generate, of_generator),
        critic=bind(inference.critic, of_discriminator),
        latent_size=parts.architecture.latent_size,
        image_size=parts.architecture.image_size,
        correctors=tuple(bind(inference.critic, each) for each in of_encoders),
        metric=parts.metric,
        halves=(
            bind(inference.features, of_generator),
            bind(inference.render, of_generator),
        ),
        name=parts.name,
        metadata=parts.metadata,
    )


@dataclasses.dataclass(frozen=True)
class Run:
    """A training run as its work folder holds it.

    Attributes:
      config: What ``config.json`` says.
      architecture: Sizes of its networks.
      state: The checkpoint.
    """

    config: Mapping[str, Any]
    architecture: Architecture
    state: gan.TrainState


def load_run(workdir: Path, *, latest: bool = False) -> Run:
    """Reads a checkpoint of a training run.

    Args:
      workdir: Folder of the run.
      latest: Whether it shall be the newest checkpoint even when another was found to
        be the best.

    Raises:
      ModelError: The folder is of something else, or has no checkpoint yet.
    """
    # Imported here: Orbax takes seconds, and only this way of loading needs it.
    from inpaint_jax.checkpoints import CheckpointError, Checkpoints

    try:
        config = json.loads((workdir / "config.json").read_text())
        architecture = Architecture(**config["architecture"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{workdir} is no work folder of a training run: no readable config.json"
        ) from error
    # Its shapes alone: to draw the weights takes seconds to compile.
    recipe = recipes.TrainConfig(architecture=architecture)
    like = jax.eval_shape(lambda: gan.init_state(recipe))
    for attempt in range(_ATTEMPTS):
        try:
            with contextlib.ExitStack() as stack:
                checkpoints = stack.enter_context(Checkpoints(workdir, read_only=True))
                if not latest and (workdir / "best").is_dir():
                    best = Checkpoints(workdir, "best", read_only=True)
                    stack.enter_context(best)
                    if best.latest_step is not None:
                        checkpoints = best
                state = checkpoints.restore(like)
            break
        except (CheckpointError, FileNotFoundError) as error:
            # A run that goes on deletes its old checkpoints, at any moment.
            if attempt == _ATTEMPTS - 1:
                raise ModelError(str(error)) from error
    return Run(config, architecture, state)


def _parts_of_run(workdir: Path) -> Parts:
    """The averaged generator and the discriminator of the best checkpoint."""
    run = load_run(workdir)
    return Parts(
        workdir.name,
        run.architecture,
        run.state.average,
        run.state.discriminator.variables,
        metadata={**run.config, "steps": int(run.state.step)},
    )


def _checksum(tensors: Mapping[str, np.ndarray], metadata: str) -> str:
    digest = hashlib.sha256(metadata.encode())
    for key in sorted(tensors):
        digest.update(key.encode())
        digest.update(np.ascontiguousarray(tensors[key]).tobytes())
    return digest.hexdigest()
