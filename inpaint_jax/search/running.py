"""Runs of a strategy on ONE image: a whole search, or some steps of it.

``search`` is a whole search. A program that shows progress runs its parts instead: the
strategy's ``init``, ``advance`` by some steps as often as needed, the strategy's
``result``. The result does not depend on how the steps are divided.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from inpaint_jax.configs import SearchConfig
from inpaint_jax.latents import LatentSpace
from inpaint_jax.search.starts import best_of, draw
from inpaint_jax.search.strategies import make_strategy
from inpaint_jax.search.strategy import Clock, Problem, Strategy
from inpaint_jax.types import Generate, Losses


class SearchResult(NamedTuple):
    """The result of a search.

    Attributes:
      latent: ``[*L]``, the best iterate by total loss.
      losses: ``[]`` each, the losses at ``latent``.
      trace: ``[steps + 1]`` each, the losses at every iterate, the start first. The
        prior loss is the last one computed (``SearchConfig.prior_every``); the best
        iterate is chosen by it, too.
      path: ``[steps + 1, *L]`` every iterate with ``keep_path``; otherwise None.
    """

    latent: jax.Array
    losses: Losses
    trace: Losses
    path: jax.Array | None = None


def advance(
    strategy: Strategy,
    state: Any,
    problem: Problem,
    steps: int | jax.Array,
    *,
    clock: Clock,
    capacity: int | None = None,
    keep_path: bool = False,
) -> tuple[Any, tuple[Losses, jax.Array | None]]:
    """Does ``steps`` steps of a search.

    Args:
      strategy: How to search.
      state: State of the search.
      problem: Generator and objective.
      steps: Number of steps, at most ``capacity``; may be traced.
      clock: Number of steps done before, and in all.
      capacity: Length of the trace; needed only where ``steps`` is traced.
      keep_path: Whether to keep the iterates.

    Returns:
      The state after the steps; the losses ``[capacity]`` each at the iterate before
      each step; and these iterates ``[capacity, *L]``, or None. Both hold zeros after
      the first ``steps``.
    """
    capacity = int(steps) if capacity is None else capacity

    def step(i: jax.Array, carry: tuple[Any, Any]) -> tuple[Any, Any]:
        state, rows = carry
        now = Clock(clock.step + i, clock.steps)
        state, iterate = strategy.step(state, problem, now)
        kept = iterate.losses, iterate.latent if keep_path else None
        return state, jax.tree.map(lambda row, x: row.at[i].set(x), rows, kept)

    # Shapes and types of a result are those of a step, without tracing its gradient.
    last = jax.eval_shape(lambda: strategy.result(state, problem).last)
    kept = last.losses, last.latent if keep_path else None
    rows = jax.tree.map(lambda x: jnp.zeros((capacity, *x.shape), x.dtype), kept)
    found: tuple[Any, Any] = jax.lax.fori_loop(0, steps, step, (state, rows))
    return found


def search(
    generate: Generate,
    objective: Callable[[jax.Array, jax.Array], Losses],
    key: jax.Array,
    *,
    latents: LatentSpace,
    config: SearchConfig | None = None,
    directions: jax.Array | None = None,
    keep_path: bool = False,
) -> SearchResult:
    """Finds the latent that minimises an objective of it and its image.

    For ONE image, pure, to be vmapped and jitted: ``inpaint`` does so for the paper's
    objective. The search starts from the one of ``config.starts`` random latents that
    has the least context loss.

    Args:
      generate: ``[*L] -> [H, W, 3]``, or an image of any other shape.
      objective: Function from a latent ``[*L]`` and its image to ``Losses``, ``[]``
        each: the distance of the image from the measurement, and a penalty for unlikely
        images or latents. The sum is minimised.
      key: Draws the start; consumed.
      latents: The latent space of the generator.
      config: How to search; the paper's settings when left out. ``prior_weight``,
        ``latent_weight`` and ``window`` belong to the paper's objective
        and are ignored, as are ``guesses`` and ``principal``.
      directions: ``[L, L]`` orthonormal columns to search along
        (``directions.principal_directions``); None: the axes. With ``config.newton``
        the inverse curvature (``directions.inverse_curvature``), which it needs.
      keep_path: Whether to keep all iterates.

    Returns:
      The best of the ``steps + 1`` iterates, and the losses at each.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> from inpaint_jax.latents import Normal
      >>> def objective(z, image):  # Compressed sensing: y = A(x), a prior on z.
      ...     return Losses(jnp.sum((image.mean() - 0.2) ** 2), 1e-3 * jnp.sum(z * z))
      >>> found = search(
      ...     lambda z: jnp.tanh(z), objective, jax.random.key(0), latents=Normal(4)
      ... )
      >>> bool(abs(jnp.tanh(found.latent).mean() - 0.2) < 0.01)
      True
    """
    config = config or SearchConfig()
    problem = Problem(generate, objective)
    drawn = draw(latents, key, config.starts)
    first = drawn[0]
    if len(drawn) > 1:
        losses = jax.vmap(lambda latent: problem.evaluate(latent).context)(drawn)
        first = best_of(drawn, losses)
    strategy = make_strategy(config, latents)
    clock = Clock(np.int32(0), np.int32(config.steps))
    state, (trace, path) = advance(
        strategy,
        strategy.init(first, directions),
        problem,
        config.steps,
        clock=clock,
        keep_path=keep_path,
    )
    found = strategy.result(state, problem)
    trace = jax.tree.map(jnp.append, trace, found.last.losses)
    if path is not None:
        path = jnp.concatenate([path, found.last.latent[None]])
    return SearchResult(found.latent, found.losses, trace, path)
