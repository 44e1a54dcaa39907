"""The ways to search that the yardstick compares, by name."""

import dataclasses
from collections.abc import Callable
from typing import Any

from benchmarks import second_order
from inpaint_jax import search
from inpaint_jax.types import SEARCHES, Model, SearchConfig


@dataclasses.dataclass(frozen=True)
class Contender:
    """A way to search, and what it costs.

    Attributes:
      make: The strategy for a model.
      steps: In all.
      step_passes: Through a network, forward or backward, an image and step.
      first_passes: Before the first step.
    """

    make: Callable[[Model], search.Strategy]
    steps: int
    step_passes: float
    first_passes: float = 0.0


def _adam(config: SearchConfig) -> Contender:
    def make(model: Model) -> search.Strategy:
        return search.adam(config, model.latent_size)

    candidates = config.starts if config.starts > 1 or config.guesses else 0
    return Contender(
        make, config.steps, 2 + 2 / config.prior_every, candidates + 6 * config.guesses
    )


_RATE = {"schedule": "cosine", "prior_every": 16, "beta1": 0.8}


def _cosine(steps: int, rate: float, **changes: Any) -> Contender:
    return _adam(SearchConfig(steps=steps, learning_rate=rate, **{**_RATE, **changes}))


CONTENDERS = {
    **{name: _adam(config) for name, config in SEARCHES.items()},
    "paper 0.03": _adam(SearchConfig(learning_rate=0.03)),
    "no prior": _adam(SearchConfig(prior_every=16)),
    "cosine 100": _cosine(100, 0.3),
    "cosine 100, beta1 0.9": _cosine(100, 0.3, beta1=0.9),
    "256 starts, cosine 100": _cosine(100, 0.3, starts=256),
    "principal 50": _cosine(50, 0.6, principal=True),
    "principal 100": _cosine(100, 0.6, principal=True),
    "principal 200": _cosine(200, 0.6, principal=True),
    "principal 400": _cosine(400, 0.6, principal=True),
    "guesses, principal 25": _cosine(25, 0.3, principal=True, guesses=True),
    "guesses, principal 50": _cosine(50, 0.3, principal=True, guesses=True),
    "guesses, principal 100": _cosine(100, 0.3, principal=True, guesses=True),
    # A Jacobian is 100 forward passes, tangents; then eight candidates are tried.
    "levenberg-marquardt": Contender(
        lambda model: second_order.levenberg_marquardt(model.latent_size), 10, 109, 1
    ),
    # At least one evaluation in each line search.
    "l-bfgs": Contender(lambda model: second_order.lbfgs(model.latent_size), 100, 4, 1),
}
