"""The flags of the latent search, for every program that does one."""

from absl import flags

from inpaint_jax.types import PRECISIONS, SearchConfig

_DEFAULTS = SearchConfig()

_STEPS = flags.DEFINE_integer("steps", _DEFAULTS.steps, "Updates of the latent.")
_LEARNING_RATE = flags.DEFINE_float(
    "learning_rate", _DEFAULTS.learning_rate, "Adam's, in the search."
)
_PRIOR_WEIGHT = flags.DEFINE_float(
    "prior_weight", _DEFAULTS.prior_weight, "Lambda of the prior loss."
)
PRECISION = flags.DEFINE_enum(
    "precision",
    "float32",
    PRECISIONS,
    "What the networks compute in. bfloat16 is for GPUs and TPUs; a CPU is slower.",
)

NAMES = ("steps", "learning_rate", "prior_weight", "precision")


def read_config() -> SearchConfig:
    """The search as the flags say.

    Raises:
      ValueError: A value is out of range.
    """
    return SearchConfig(
        steps=_STEPS.value,
        learning_rate=_LEARNING_RATE.value,
        prior_weight=_PRIOR_WEIGHT.value,
    )
