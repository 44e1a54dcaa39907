"""Names of methods, offered by flags and implemented by ``experiments.filling``."""

from inpaint_jax.baselines import FILLS

FROM_TRAINING = ("mean", "nearest", "ridge", "gaussian")
"""Methods that use training images."""

METHODS = ("latent", "context_encoder", *FROM_TRAINING, *FILLS)

ANSWERS = ("best", "mean")
"""Which completed picture of several is the result."""

BLENDED = ("latent", "context_encoder", "nearest", "ridge", "gaussian")
"""Methods that make an image for the hole, which can be pasted or blended."""
