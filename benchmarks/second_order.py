"""Searches that use curvature, for the yardstick: they were tried, and did not win.

Both are ``search.Strategy``s that minimise the context loss and ask for the prior loss
at the end only.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from inpaint_jax.losses import context_loss
from inpaint_jax.search.directions import linearise
from inpaint_jax.search.strategies import Clock, Objective, Strategy, evaluate
from inpaint_jax.types import Losses, SearchConfig

_CONFIG = SearchConfig()
_DAMPINGS = jnp.array([0.1, 1.0, 10.0, 100.0])  # Times the last one: all are tried.
_LENGTHS = jnp.array([1.0, 0.3, 0.1, 0.01])  # Of a step of L-BFGS: all are tried.
_INNER = 8  # Reweightings of the linear problem, which cost little beside J.
_SMOOTH = 0.02  # |r| below which the l1 norm counts as quadratic.


class _State(NamedTuple):
    """Where a search stands: the best latent ``[L]``, its loss ``[]``, and the rest."""

    latent: jax.Array
    loss: jax.Array
    extra: Any


def levenberg_marquardt(latent_size: int) -> Strategy:
    """Repeatedly solves the l1 problem with G replaced by its linearisation.

    A damped, box-constrained weighted l1 regression on the whole Jacobian, solved by
    iterative reweighting; several dampings are tried and the best taken.
    """

    def init(key: jax.Array, objective: Objective) -> _State:
        latent = jax.random.uniform(key, (latent_size,), minval=-1.0, maxval=1.0)
        return _State(latent, _context(objective, latent), jnp.ones(()))

    def step(
        state: _State, objective: Objective, clock: Clock
    ) -> tuple[_State, Losses]:
        image, jacobian = linearise(objective.generate, state.latent)
        residual = jnp.where(objective.weights > 0, image - objective.image, 0.0)
        dampings = jnp.clip(state.extra * _DAMPINGS, 1e-3, 1e6)
        moves = jax.vmap(
            lambda damping: _regression(
                state.latent, residual, jacobian, objective.weights, damping
            )
        )(dampings)
        tried = jnp.concatenate([state.latent + moves, state.latent + 0.5 * moves])
        losses = jax.vmap(lambda latent: _context(objective, latent))(tried)
        chosen = jnp.argmin(losses)
        better = losses[chosen] < state.loss
        damping = jnp.where(better, dampings[chosen % 4], dampings[-1])
        moved = _State(
            jnp.where(better, tried[chosen], state.latent),
            jnp.where(better, losses[chosen], state.loss),
            damping,
        )
        return moved, Losses(state.loss, jnp.zeros(()))

    return Strategy(init, step, _result)


def lbfgs(latent_size: int) -> Strategy:
    """L-BFGS (optax), each iterate clipped to the box.

    A step tries several lengths and takes the best: a line search whose iterations
    depend on the image would wait for the slowest of the batch.
    """
    optimizer = optax.scale_by_lbfgs(memory_size=20)

    def init(key: jax.Array, objective: Objective) -> _State:
        latent = jax.random.uniform(key, (latent_size,), minval=-1.0, maxval=1.0)
        loss = _context(objective, latent)
        return _State(latent, loss, (latent, optimizer.init(latent)))

    def step(
        state: _State, objective: Objective, clock: Clock
    ) -> tuple[_State, Losses]:
        latent, memory = state.extra

        def context(latent: jax.Array) -> jax.Array:
            return _context(objective, jnp.clip(latent, -1.0, 1.0))

        value, gradient = jax.value_and_grad(context)(latent)
        update, memory = optimizer.update(gradient, memory, latent)
        tried = jnp.clip(latent - _LENGTHS[:, None] * update, -1.0, 1.0)
        moved = tried[jnp.argmin(jax.vmap(context)(tried))]
        better = value < state.loss
        best = jnp.where(better, latent, state.latent)
        loss = jnp.minimum(value, state.loss)
        return _State(best, loss, (moved, memory)), Losses(value, jnp.zeros(()))

    return Strategy(init, step, _result)


def _result(state: _State, objective: Objective) -> tuple[jax.Array, Losses, Losses]:
    losses = evaluate(objective, state.latent, _CONFIG)
    return state.latent, losses, losses


def _context(objective: Objective, latent: jax.Array) -> jax.Array:
    return context_loss(objective.generate(latent), objective.image, objective.weights)


def _regression(
    latent: jax.Array,
    residual: jax.Array,
    jacobian: jax.Array,
    weights: jax.Array,
    damping: jax.Array,
) -> jax.Array:
    """argmin of sum W |r + J d| + damping / 2 |d|^2 with z + d in the box."""
    columns = jacobian.reshape(latent.size, -1)
    weight = jnp.broadcast_to(weights, residual.shape).reshape(-1)

    def reweighted(_: int, move: jax.Array) -> jax.Array:
        left = residual.reshape(-1) + move @ columns
        scaled = weight / jnp.maximum(jnp.abs(left), _SMOOTH)
        gradient = columns @ (scaled * left) + damping * move
        hessian = (columns * scaled) @ columns.T + damping * jnp.eye(latent.size)
        at = latent + move
        free = ~((at >= 1) & (gradient < 0) | (at <= -1) & (gradient > 0))
        hessian = jnp.where(free[:, None] & free, hessian, jnp.eye(latent.size))
        down = jax.scipy.linalg.solve(
            hessian, jnp.where(free, gradient, 0.0), assume_a="pos"
        )
        return jnp.clip(at - down, -1.0, 1.0) - latent

    return jax.lax.fori_loop(0, _INNER, reweighted, jnp.zeros_like(latent))
