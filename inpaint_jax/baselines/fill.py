"""What all baselines are."""

from collections.abc import Callable

import jax

Fill = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
"""Images ``[B, S, S, 3]`` in [-1, 1], masks ``[B, S, S, 1]`` (1 = known) and ``[B]``
PRNG keys to completed images, whose known pixels are those that were given."""
