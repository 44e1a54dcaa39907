"""Names of methods, which flags offer and ``experiments.filling`` knows how to do."""

from inpaint_jax.baselines import FILLS

FROM_TRAINING = ("mean", "nearest")
"""Those that look at training images."""

METHODS = ("latent", "context_encoder", *FROM_TRAINING, *FILLS)

BLENDED = ("latent", "context_encoder", "nearest")
"""Those that make an image for the hole, which can be pasted or blended."""
