"""A second-order search for the yardstick, which did not win.

It minimises the context loss and evaluates the prior loss at the end only.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from inpaint_jax.latents import LatentSpace
from inpaint_jax.search.strategy import Clock, Iterate, Problem, Result, Strategy
from inpaint_jax.types import Losses

_LENGTHS = jnp.array([1.0, 0.3, 0.1, 0.01])  # Step lengths, all of which are tried.


class _State(NamedTuple):
    """State of the search.

    Attributes:
      best: ``[L]``, the best latent so far.
      loss: ``[]``, its context loss; infinite before the first step.
      latent: ``[L]``, the current iterate.
      memory: State of L-BFGS.
    """

    best: jax.Array
    loss: jax.Array
    latent: jax.Array
    memory: Any


def lbfgs(latents: LatentSpace) -> Strategy:
    """L-BFGS (optax), each iterate projected to the latent space.

    A step tries several lengths and takes the best: a line search whose iterations
    depend on the image would wait for the slowest of the batch.
    """
    optimizer = optax.scale_by_lbfgs(memory_size=20)

    def init(latent: jax.Array, directions: jax.Array | None = None) -> _State:
        del directions  # L-BFGS estimates the curvature itself.
        infinity = jnp.asarray(jnp.inf, latent.dtype)
        return _State(latent, infinity, latent, optimizer.init(latent))

    def step(state: _State, problem: Problem, clock: Clock) -> tuple[_State, Iterate]:
        del clock

        def context(latent: jax.Array) -> jax.Array:
            return problem.evaluate(latents.project(latent)).context

        value, gradient = jax.value_and_grad(context)(state.latent)
        update, memory = optimizer.update(gradient, state.memory, state.latent)
        tried = jax.vmap(latents.project)(state.latent - _LENGTHS[:, None] * update)
        moved = tried[jnp.argmin(jax.vmap(context)(tried))]
        best = jnp.where(value < state.loss, state.latent, state.best)
        following = _State(best, jnp.minimum(value, state.loss), moved, memory)
        return following, Iterate(state.latent, Losses(value, jnp.zeros_like(value)))

    def result(state: _State, problem: Problem) -> Result:
        last = Iterate(state.latent, problem.evaluate(state.latent))
        losses = problem.evaluate(state.best)
        return Result(state.best, losses, last)

    return Strategy(init, step, result)
