"""Trained networks that the search is compared with, as files.

The format is a model's (``files``); shipped ones are in folders of their kind, under
the name of the model that saw the same data.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from inpaint_jax.baselines.context_encoder import context_encoder_fill
from inpaint_jax.baselines.fill import Fill
from inpaint_jax.latents import Normal
from inpaint_jax.networks import inference
from inpaint_jax.networks.dcgan import Variables
from inpaint_jax.pretrained import files
from inpaint_jax.pretrained.files import ModelError
from inpaint_jax.pretrained.runs import Run, load_run
from inpaint_jax.types import Architecture, Metadata, Model

_FOLDER = Path(__file__).parent

Decode = Callable[[jax.Array], jax.Array]
"""Latents ``[N, L]`` to images ``[N, S, S, 3]`` in [-1, 1]."""


@dataclasses.dataclass(frozen=True)
class Competitor:
    """A trained network of another kind than those that are searched.

    Attributes:
      kind: ``context_encoder`` or ``vae``.
      name: What to call it.
      architecture: Sizes.
      variables: A context encoder's are ``network`` and ``color``, a VAE's ``decoder``.
      metadata: What JSON can say of it: data, crop, steps, date, figures.
    """

    kind: str
    name: str
    architecture: Architecture
    variables: Variables
    metadata: Mapping[str, Any]


def competitor_names(kind: str) -> list[str]:
    """The names of the shipped ones of a kind."""
    return files.names(_FOLDER / kind)


def read_competitor(kind: str, name: str | Path) -> Competitor:
    """Reads a competitor.

    Args:
      kind: ``context_encoder`` or ``vae``.
      name: A shipped one's name, a ``.safetensors`` file, or the work folder of a
        training run.

    Raises:
      ModelError: There is none of that name, or it is damaged or of another kind.
    """
    path = files.find(name, _FOLDER / kind, kind)
    if path.is_dir():
        return competitor_of_run(load_run(path, kind), path.name)
    variables, architecture, metadata = files.read(path, kind)
    return Competitor(kind, path.stem, architecture, variables, metadata)


def competitor_of_run(
    run: Run, name: str, metadata: Mapping[str, Any] | None = None
) -> Competitor:
    """What a training's checkpoint holds; by default with its recipe as metadata."""
    state = run.state
    variables = (
        {"network": state.average, "color": state.color}
        if run.kind == "context_encoder"
        else {"decoder": state.average}
    )
    recipe = {**run.config, "steps": int(state.step)}
    return Competitor(run.kind, name, run.architecture, variables, metadata or recipe)


def save_competitor(path: Path, competitor: Competitor) -> None:
    """Writes a competitor's file; its own name is not looked at.

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
    """A context encoder, to fill holes with.

    Args:
      name: As for ``read_competitor``.
      image_size: Side of the images that it must be for; None: of any.
      blend: Whether its pixels go into the hole by eq. 6; else they are pasted.

    Returns:
      The fill, of images of the size that it was trained on.

    Raises:
      ModelError: There is none of that name, or it is damaged, of another kind or for
        images of another size.
    """
    found = read_competitor("context_encoder", name)
    return context_encoder_of(found, image_size=image_size, blend=blend)


def context_encoder_of(
    found: Competitor, *, image_size: int | None = None, blend: bool = False
) -> Fill:
    """As ``load_context_encoder``, of one that is read already.

    Raises:
      ModelError: It is for images of another size.
    """
    side, variables = found.architecture.image_size, found.variables
    if image_size not in (None, side):
        raise ModelError(
            f"{found.name} is for images of {side} pixels, not {image_size}"
        )
    return context_encoder_fill(variables["network"], variables["color"], blend=blend)


def load_vae(name: str | Path) -> Model:
    """A VAE's decoder as a model to draw from and to search, without a critic.

    Args:
      name: As for ``read_competitor``.

    Raises:
      ModelError: There is none of that name, or it is damaged or of another kind.
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
