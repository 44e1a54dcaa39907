"""The flags of the latent search, shared by all programs that search."""

import dataclasses
from typing import Any

from absl import flags

from experiments.flags import precision
from inpaint_jax.configs import SEARCHES, RefineConfig, SearchConfig
from inpaint_jax.types import Model

AUTO = "auto"
"""Value of ``--search`` for the configuration that suits the model."""

SEARCH = flags.DEFINE_enum(
    "search",
    AUTO,
    [AUTO, *SEARCHES],
    "Search configuration: the paper's; a faster one; map, the most probable latent "
    "near the encoder's guess, for models with an encoder and a normal latent space; "
    "far, the same further from the guess; or auto, the one that suits the model. It "
    "gives the values that the search's other flags leave out.",
)
_STEPS = flags.DEFINE_integer("steps", None, "Number of updates of the latent.")
_LEARNING_RATE = flags.DEFINE_float(
    "learning_rate", None, "Adam's step size in the search (at its start if it falls)."
)
_PRIOR_WEIGHT = flags.DEFINE_float("prior_weight", None, "Lambda of the prior loss.")
_LATENT_WEIGHT = flags.DEFINE_float(
    "latent_weight",
    None,
    "Weight of |z|^2 / 2 beside the context loss, for models of a normal latent space.",
)
_REFINE = flags.DEFINE_integer(
    "refine",
    0,
    "Steps of refinement: after the search the generator's inner features are changed, "
    "so that the image fits the known pixels better than any latent's. Losses are "
    "those of the search. 0: none, as in the paper.",
    lower_bound=0,
)
_PRECISION = flags.DEFINE_enum(
    "precision",
    "auto",
    precision.CHOICES,
    "Number type of the factors of the networks' products. auto: the faster one here, "
    "which is bfloat16 on GPUs, TPUs and processors with a unit for it.",
)

NAMES = (
    "search",
    "steps",
    "learning_rate",
    "prior_weight",
    "latent_weight",
    "refine",
    "precision",
)


def precision_of_networks() -> str:
    """The number type that is meant, ``float32`` or ``bfloat16``."""
    return precision.choose(_PRECISION.value)


def name(model: Model) -> str:
    """The name of the configuration for a model."""
    return model.search if SEARCH.value == AUTO else SEARCH.value


def config(model: Model) -> SearchConfig:
    """The configuration for a model, with the changes that other flags make.

    Raises:
      ValueError: A value is out of range, or the search does not suit the model.
    """
    if SEARCHES[name(model)].start_weight and not model.correctors:
        raise ValueError(
            f"--search={name(model)} starts from an encoder's guess, and model "
            f"{model.name} has no encoder: use --search=fast"
        )
    given: dict[str, Any] = {
        flag.name: flag.value
        for flag in (_STEPS, _LEARNING_RATE, _PRIOR_WEIGHT, _LATENT_WEIGHT)
        if flag.value is not None
    }
    return dataclasses.replace(SEARCHES[name(model)], **given)


def refinement() -> RefineConfig | None:
    """The refinement after the search, or None."""
    return RefineConfig(steps=_REFINE.value) if _REFINE.value else None
