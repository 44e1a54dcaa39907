"""Training runs: their work folders, read as models are."""

import contextlib
import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from inpaint_jax.baselines import context_encoder, vae
from inpaint_jax.pretrained.files import ModelError
from inpaint_jax.training import CheckpointError, gan, recipes
from inpaint_jax.types import Architecture

KINDS: dict[str, type] = {
    "dcgan": recipes.TrainConfig,
    "context_encoder": context_encoder.ContextEncoderConfig,
    "vae": vae.VaeConfig,
}
"""What can be trained, and the class of its recipe."""

_ATTEMPTS = 3


def _init_context_encoder(
    architecture: Architecture, config: Mapping[str, Any]
) -> context_encoder.ContextEncoderState:
    recipe = context_encoder.ContextEncoderConfig(
        architecture, config["discriminator_width"]
    )
    return context_encoder.init_state(recipe, jax.numpy.zeros(3))


_INIT_STATE: dict[str, Callable[[Architecture, Mapping[str, Any]], Any]] = {
    "dcgan": lambda size, config: gan.init_state(recipes.TrainConfig(size)),
    "context_encoder": _init_context_encoder,
    "vae": lambda size, config: vae.init_state(vae.VaeConfig(size)),
}


@dataclasses.dataclass(frozen=True)
class Run:
    """A training run as its work folder holds it.

    Attributes:
      kind: Of network, one of ``KINDS``.
      config: What ``config.json`` says.
      architecture: Sizes of its networks.
      state: The checkpoint: a ``gan.TrainState``, or that of the other kind.
    """

    kind: str
    config: Mapping[str, Any]
    architecture: Architecture
    state: Any


def load_run(workdir: Path, kind: str | None = None, *, latest: bool = False) -> Run:
    """Reads a checkpoint of a training run.

    Args:
      workdir: Folder of the run.
      kind: What it must have trained; None: anything.
      latest: Whether it shall be the newest checkpoint even when another was found to
        be the best.

    Raises:
      ModelError: The folder is of something else, or has no checkpoint yet.
    """
    # Imported here: Orbax takes seconds, and only this way of loading needs it.
    from inpaint_jax.training.checkpoints import Checkpoints

    try:
        config = json.loads((workdir / "config.json").read_text())
        found = config.get("model", "dcgan")
        architecture = Architecture(**config["architecture"])
        init_state = _INIT_STATE[found]
        # Its shapes alone: to draw the weights takes seconds to compile.
        like = jax.eval_shape(lambda: init_state(architecture, config))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{workdir} is no work folder of a training run: no readable config.json"
        ) from error
    if kind not in (None, found):
        raise ModelError(f"{workdir} is the run of a {found}, not of a {kind}")
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
    return Run(found, config, architecture, state)
