"""What ``--precision`` means on this machine."""

from experiments.runtime import distributed
from inpaint_jax.networks import precision

CHOICES = (precision.AUTO, *precision.PRECISIONS)


def choose(value: str) -> str:
    """The number type that is meant (``precision.choose``); says what it chose."""
    chosen = precision.choose(value)
    if value == precision.AUTO and chosen == "bfloat16":
        distributed.say(
            "the networks multiply in bfloat16, which is faster here; "
            "--precision=float32 for float32"
        )
    return chosen
