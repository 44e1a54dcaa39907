"""Reading of training runs: configuration and checkpoint of a work folder."""

import contextlib
import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from inpaint_jax.baselines import context_encoder, vae
from inpaint_jax.configs import Architecture
from inpaint_jax.networks.autoencoder import coarse_side
from inpaint_jax.pretrained.files import ModelError
from inpaint_jax.training import CheckpointError, autoencoder, gan, principal, recipes

KINDS: dict[str, type] = {
    "dcgan": recipes.TrainConfig,
    "autoencoder": recipes.AutoencoderConfig,
    "context_encoder": context_encoder.ContextEncoderConfig,
    "vae": vae.VaeConfig,
}
"""Kinds of network that can be trained, with the class of their recipe."""

_ATTEMPTS = 3


def _init_context_encoder(
    architecture: Architecture, config: Mapping[str, Any]
) -> context_encoder.ContextEncoderState:
    recipe = context_encoder.ContextEncoderConfig(
        architecture, config["discriminator_width"]
    )
    return context_encoder.init_state(recipe, jax.numpy.zeros(3))


def _init_autoencoder(
    architecture: Architecture, config: Mapping[str, Any]
) -> autoencoder.AutoencoderState:
    widths = {name: config[name] for name in ("encoder_width", "critic_width")}
    recipe = recipes.AutoencoderConfig(architecture, **widths)
    side = coarse_side(architecture)
    none = principal.Principal(
        jax.numpy.zeros((side, side, 3)),
        jax.numpy.zeros((architecture.latent_size, side, side, 3)),
        jax.numpy.zeros(()),
    )
    return autoencoder.init_state(recipe, none)


_INIT_STATE: dict[str, Callable[[Architecture, Mapping[str, Any]], Any]] = {
    "dcgan": lambda size, config: gan.init_state(recipes.TrainConfig(size)),
    "autoencoder": _init_autoencoder,
    "context_encoder": _init_context_encoder,
    "vae": lambda size, config: vae.init_state(vae.VaeConfig(size)),
}


@dataclasses.dataclass(frozen=True)
class Run:
    """A training run, read from its work folder.

    Attributes:
      kind: Kind of network, one of ``KINDS``.
      config: Content of ``config.json``.
      architecture: Sizes of the networks.
      state: The checkpoint: a ``gan.TrainState``, or the state of the other kinds.
    """

    kind: str
    config: Mapping[str, Any]
    architecture: Architecture
    state: Any


def load_run(workdir: Path, *kinds: str, latest: bool = False) -> Run:
    """Reads a checkpoint of a training run.

    Args:
      workdir: Folder of the run.
      *kinds: Kinds of network that will do; none: all of ``KINDS``.
      latest: Load the newest checkpoint, even if an earlier one scored better.

    Raises:
      ModelError: The folder is not a run of these kinds, or has no checkpoint yet.
    """
    # Imported here, because importing Orbax takes seconds and only runs need it.
    from inpaint_jax.training.checkpoints import Checkpoints

    try:
        config = json.loads((workdir / "config.json").read_text())
        found = config.get("model", "dcgan")
        architecture = Architecture(**config["architecture"])
        init_state = _INIT_STATE[found]
        # Shapes alone, as compiling the drawing of weights takes seconds.
        like = jax.eval_shape(lambda: init_state(architecture, config))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        # A training of encoders leaves a model file in its folder.
        files = sorted(workdir.glob("*.safetensors"))
        hint = f"; give {files[0]}" if files else ": no readable config.json"
        raise ModelError(
            f"{workdir} is not the work folder of a generator's training{hint}"
        ) from error
    if kinds and found not in kinds:
        wanted = " or ".join(kinds)
        raise ModelError(f"{workdir} is the run of a {found}, not of a {wanted}")
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
            # A run that is training may delete old checkpoints at any moment.
            if attempt == _ATTEMPTS - 1:
                raise ModelError(str(error)) from error
    return Run(found, config, architecture, state)
