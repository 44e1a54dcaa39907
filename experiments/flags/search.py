"""The flags of the latent search, for every program that does one."""

import dataclasses
from typing import Any

from absl import flags

from inpaint_jax.types import PRECISIONS, SEARCHES, RefineConfig, SearchConfig

SEARCH = flags.DEFINE_enum(
    "search",
    "paper",
    list(SEARCHES),
    "Way to search: as the paper does, or with a small part of the work. It says which "
    "values --steps, --learning_rate and --prior_weight have when they are not given.",
)
_STEPS = flags.DEFINE_integer("steps", None, "Updates of the latent.")
_LEARNING_RATE = flags.DEFINE_float(
    "learning_rate", None, "Adam's, in the search (at its start if it falls)."
)
_PRIOR_WEIGHT = flags.DEFINE_float("prior_weight", None, "Lambda of the prior loss.")
_REFINE = flags.DEFINE_integer(
    "refine",
    0,
    "Steps that, after the search, change the generator's inner features until the "
    "known pixels fit better than any latent makes them. Losses are those of the "
    "search. 0: none, as in the paper.",
    lower_bound=0,
)
PRECISION = flags.DEFINE_enum(
    "precision",
    "float32",
    PRECISIONS,
    "What the networks compute in. bfloat16 is for GPUs and TPUs; a CPU is slower.",
)

NAMES = ("search", "steps", "learning_rate", "prior_weight", "refine", "precision")


def config() -> SearchConfig:
    """The search of ``--search``, changed as the other flags say.

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
    """What follows the search, if anything."""
    return RefineConfig(steps=_REFINE.value) if _REFINE.value else None
