"""What a strategy is: a way to search the latent space for ONE image.

A ``Strategy`` is three pure functions: ``init``, ``step`` and ``result``. The library's
own are in ``strategies``; ``running`` runs any.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from inpaint_jax.types import Generate, Losses


class Problem(NamedTuple):
    """The search problem of one image: generator and objective.

    Attributes:
      generate: ``[*L] -> [H, W, 3]``.
      objective: A latent ``[*L]`` and its image ``[H, W, 3]`` to the losses, ``[]``
        each; their sum is minimised.
    """

    generate: Generate
    objective: Callable[[jax.Array, jax.Array], Losses]

    def evaluate(self, latent: jax.Array) -> Losses:
        """The losses ``[]`` at a latent ``[*L]``."""
        return self.objective(latent, self.generate(latent))


class Clock(NamedTuple):
    """Progress of a search, the same for all images of a batch.

    Attributes:
      step: ``[]`` number of steps done.
      steps: ``[]`` number of steps in all.
    """

    step: jax.Array | np.integer
    steps: jax.Array | np.integer


class Iterate(NamedTuple):
    """A point of a search.

    Attributes:
      latent: ``[*L]`` z.
      losses: ``[]`` each, the losses at ``latent``.
    """

    latent: jax.Array
    losses: Losses


class Result(NamedTuple):
    """The answer of a strategy.

    Attributes:
      latent: ``[*L]`` z.
      losses: ``[]`` each, the losses at ``latent``.
      last: The last iterate.
    """

    latent: jax.Array
    losses: Losses
    last: Iterate


class Strategy(NamedTuple):
    """A way to search.

    Attributes:
      init: Function from the first latent ``[*L]`` and what ``directions`` says of the
        picture, ``[L, L]`` or None, to a state: ``adam`` takes principal directions,
        ``newton`` the inverse curvature.
      step: Function from state, problem and clock to the next state and the iterate
        that the step started from.
      result: Function from state and problem to the answer, whose ``last`` has the
        shapes and types of a step's iterate.
    """

    init: Callable[[jax.Array, jax.Array | None], Any]
    step: Callable[[Any, Problem, Clock], tuple[Any, Iterate]]
    result: Callable[[Any, Problem], Result]
