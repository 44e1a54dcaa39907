"""The flags of the latent search, shared by all programs that search."""

import dataclasses
from typing import Any

from absl import flags

from inpaint_jax.types import PRECISIONS, SEARCHES, RefineConfig, SearchConfig

SEARCH = flags.DEFINE_enum(
    "search",
    "paper",
    list(SEARCHES),
    "Search configuration: the paper's, or a faster one. It gives "
    "the values of --steps, --learning_rate and --prior_weight that are left out.",
)
_STEPS = flags.DEFINE_integer("steps", None, "Number of updates of the latent.")
_LEARNING_RATE = flags.DEFINE_float(
    "learning_rate", None, "Adam's step size in the search (at its start if it falls)."
)
_PRIOR_WEIGHT = flags.DEFINE_float("prior_weight", None, "Lambda of the prior loss.")
_REFINE = flags.DEFINE_integer(
    "refine",
    0,
    "Steps of refinement: after the search the generator's inner features are changed, "
    "so that the image fits the known pixels better than any latent's. Losses are "
    "those of the search. 0: none, as in the paper.",
    lower_bound=0,
)
PRECISION = flags.DEFINE_enum(
    "precision",
    "float32",
    PRECISIONS,
    "Number type that the networks compute in. bfloat16 is for GPUs and TPUs; a CPU is "
    "slower with it.",
)

NAMES = ("search", "steps", "learning_rate", "prior_weight", "refine", "precision")


def config() -> SearchConfig:
    """The configuration of ``--search``, with the changes that other flags make.

    Raises:
      ValueError: A value is out of range.
    """
    given: dict[str, Any] = {
        flag.name: flag.value
        for flag in (_STEPS, _LEARNING_RATE, _PRIOR_WEIGHT)
        if flag.value is not None
    }
    return dataclasses.replace(SEARCHES[SEARCH.value], **given)


def refinement() -> RefineConfig | None:
    """The refinement after the search, or None."""
    return RefineConfig(steps=_REFINE.value) if _REFINE.value else None
