"""Names of methods, offered by flags and implemented by ``experiments.filling``."""

from inpaint_jax.baselines import FILLS

FROM_TRAINING = ("mean", "nearest", "ridge", "gaussian")
"""Methods that use training images."""

FROM_MODEL = ("latent", "guess")
"""Methods that use the model; what it generates is blended, as in the paper."""

METHODS = (*FROM_MODEL, "context_encoder", *FROM_TRAINING, *FILLS)

ANSWERS = ("best", "mean")
"""Which completed picture of several is the result."""

BLENDED = (*FROM_MODEL, "context_encoder", "nearest", "ridge", "gaussian")
"""Methods that make an image for the hole, which can be pasted or blended."""
