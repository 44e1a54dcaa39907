"""Other ways to fill holes, to compare the latent search with.

Each is a function of a batch, ``fill(images, masks, keys) -> completed``: images
``[B, S, S, 3]`` in [-1, 1], masks ``[B, S, S, 1]`` with 1 = known, and B PRNG keys, to
images whose known pixels are those that were given, bit for bit.
"""

from inpaint_jax.baselines.fill import Fill
from inpaint_jax.baselines.membrane import guided_fill, harmonic_fill
from inpaint_jax.baselines.tv import tv_fill

__all__ = ["Fill", "guided_fill", "harmonic_fill", "tv_fill"]
