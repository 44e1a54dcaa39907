"""The searches that the yardstick compares, by name."""

import dataclasses
from collections.abc import Callable
from typing import Any

from benchmarks import second_order
from inpaint_jax.configs import SEARCHES, SearchConfig
from inpaint_jax.search import strategies
from inpaint_jax.types import Model


@dataclasses.dataclass(frozen=True)
class Contender:
    """A search, and its cost.

    Attributes:
      make: Function from a model to the strategy.
      start: Configuration of the first iterate and of the principal directions.
      steps: Number of steps of a whole search.
      step_passes: Passes through a network, forward or backward, per image and step.
      first_passes: Function from a model to the passes before the first step.
    """

    make: Callable[[Model], strategies.Strategy]
    start: SearchConfig
    steps: int
    step_passes: float
    first_passes: Callable[[Model], float]


def _contender(config: SearchConfig) -> Contender:
    def make(model: Model) -> strategies.Strategy:
        return strategies.make_strategy(config, model.latents)

    def first_passes(model: Model) -> float:
        # A guess takes a pass through an encoder and one through the generator. A
        # single start is not compared with others and takes none.
        guesses = len(model.correctors) if config.guesses else 0
        starts = config.starts if config.starts > 1 or guesses else 0
        return starts + 2 * guesses

    step_passes = 2 + (2 / config.prior_every if config.prior_weight else 0)
    return Contender(make, config, config.steps, step_passes, first_passes)


def _short(steps: int, rate: float, **changes: Any) -> Contender:
    """A short search that evaluates the discriminator at every 16th step."""
    config = SearchConfig(steps=steps, learning_rate=rate, prior_every=16, **changes)
    return _contender(config)


def _newton(steps: int) -> Contender:
    """Newton's steps, free to leave the start."""
    config = dataclasses.replace(SEARCHES["map"], steps=steps, start_weight=0.0)
    return _contender(config)


def _fast(steps: int) -> Contender:
    return _contender(dataclasses.replace(SEARCHES["fast"], steps=steps))


_TURNED = {"principal": True, "schedule": "root"}
_PROJECTED = {**_TURNED, "projected": True}

CONTENDERS = {
    **{name: _contender(config) for name, config in SEARCHES.items()},
    "paper 0.03": _contender(SearchConfig(learning_rate=0.03)),
    "no prior": _contender(SearchConfig(prior_every=16)),
    "cosine 100": _short(100, 0.3, schedule="cosine"),
    "cosine 100 with beta1 0.8": _short(100, 0.3, schedule="cosine", beta1=0.8),
    "cosine 100 from 256 starts": _short(100, 0.3, schedule="cosine", starts=256),
    "root 100": _short(100, 0.3, schedule="root"),
    "principal 100": _short(100, 0.6, **_TURNED),
    "principal 200": _short(200, 0.6, **_TURNED),
    "projected 100": _short(100, 0.6, **_PROJECTED),
    "projected 200": _short(200, 0.6, **_PROJECTED),
    "fast from 1 start": _contender(dataclasses.replace(SEARCHES["fast"], starts=1)),
    **{f"newton {steps}": _newton(steps) for steps in (10, 20, 30, 60)},
    "adam 30 from the guess": _contender(
        SearchConfig(30, 0.1, 0.0, schedule="cosine", guesses=True)
    ),
    "fast 50": _fast(50),
    "fast 75": _fast(75),
    "fast 100": _fast(100),
    "fast 150": _fast(150),
    "fast 300": _fast(300),
    # Passes for a gradient and for four step lengths.
    "l-bfgs": Contender(
        lambda model: second_order.lbfgs(model.latents),
        SearchConfig(),
        100,
        6,
        lambda model: 0,
    ),
}
