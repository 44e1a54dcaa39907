"""Files of trained networks that the search is compared with.

The format is that of model files (``files``). Shipped networks are in a folder for each
kind, under the name of the model that was trained on the same data.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from inpaint_jax.baselines.context_encoder import context_encoder_fill
from inpaint_jax.baselines.fill import Fill
from inpaint_jax.configs import Architecture
from inpaint_jax.latents import Normal
from inpaint_jax.networks import inference
from inpaint_jax.networks.variables import Variables
from inpaint_jax.pretrained import files
from inpaint_jax.pretrained.files import ModelError
from inpaint_jax.pretrained.runs import Run, load_run
from inpaint_jax.types import Metadata, Model

_FOLDER = Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Competitor:
    """A trained network that the DCGAN is compared with.

    Attributes:
      kind: ``context_encoder`` or ``vae``.
      name: Name of the network.
      architecture: Sizes of the network.
      variables: ``network`` and ``color`` for a context encoder, ``decoder`` for a VAE.
      metadata: JSON values: data, crop, steps, date, figures.
    """

    kind: str
    name: str
    architecture: Architecture
    variables: Variables
    metadata: Mapping[str, Any]


def competitor_names(kind: str) -> list[str]:
    """The names of the shipped networks of a kind."""
    return files.names(_FOLDER / kind)


def read_competitor(kind: str, name: str | Path) -> Competitor:
    """Reads a competitor.

    Args:
      kind: ``context_encoder`` or ``vae``.
      name: Name of a shipped network, a ``.safetensors`` file, or the work folder of a
        training run.

    Raises:
      ModelError: There is no such network, or its file is damaged or of another kind.
    """
    path = files.find(name, _FOLDER / kind, kind)
    if path.is_dir():
        return competitor_of_run(load_run(path, kind), path.name)
    _, variables, architecture, metadata = files.read(path, kind)
    return Competitor(kind, path.stem, architecture, variables, metadata)


def competitor_of_run(
    run: Run, name: str, metadata: Mapping[str, Any] | None = None
) -> Competitor:
    """The network of a training run's checkpoint; by default its recipe is metadata."""
    state = run.state
    variables = (
        {"network": state.average, "color": state.color}
        if run.kind == "context_encoder"
        else {"decoder": state.average}
    )
    recipe = {**run.config, "steps": int(state.step)}
    return Competitor(run.kind, name, run.architecture, variables, metadata or recipe)


def save_competitor(path: Path, competitor: Competitor) -> None:
    """Writes a competitor's file; ``competitor.name`` is ignored.

    Raises:
      ModelError: A weight is not finite in float16.
    """
    files.write(
        path,
        competitor.kind,
        competitor.variables,
        competitor.architecture,
        competitor.metadata,
    )


def load_context_encoder(
    name: str | Path, *, image_size: int | None = None, blend: bool = False
) -> Fill:
    """Loads a context encoder as a method to fill holes.

    Args:
      name: As for ``read_competitor``.
      image_size: Required side of the images; None: any.
      blend: Whether to blend its pixels into the hole by eq. 6; otherwise they are
        pasted.

    Returns:
      The fill, for images of the size that the network was trained on.

    Raises:
      ModelError: There is no such network, or its file is damaged, of another kind or
        for images of another size.
    """
    found = read_competitor("context_encoder", name)
    return context_encoder_of(found, image_size=image_size, blend=blend)


def context_encoder_of(
    found: Competitor, *, image_size: int | None = None, blend: bool = False
) -> Fill:
    """A context encoder that is already read as a method to fill holes.

    Raises:
      ModelError: The network is for images of another size.
    """
    side, variables = found.architecture.image_size, found.variables
    if image_size not in (None, side):
        raise ModelError(
            f"{found.name} is for images of {side} pixels, not {image_size}"
        )
    return context_encoder_fill(variables["network"], variables["color"], blend=blend)


def load_vae(name: str | Path) -> Model:
    """Loads a VAE's decoder as a model, to sample and to search; it has no critic.

    Args:
      name: As for ``read_competitor``.

    Raises:
      ModelError: There is no such network, or its file is damaged or of another kind.
    """
    found = read_competitor("vae", name)
    weights = inference.generator_weights(found.variables["decoder"])
    return Model(
        jax.tree_util.Partial(inference.generate, weights),
        Normal(found.architecture.latent_size),
        found.architecture.image_size,
        name=found.name,
        metadata=Metadata(found.metadata),
    )
