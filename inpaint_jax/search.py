"""The search of the latent space: eq. 2 of the paper, sections 3.1 to 3.4.

Everything is for ONE image; ``jax.vmap`` makes it a batch of independent searches.
The networks come in as two callables, so that the search knows no framework.

``search`` is the whole of it. Its three parts are public because a program that
shows progress runs them in turn: ``start``, ``advance`` by some steps as often as it
likes, ``finish``. Cut however it may be, the result is the same.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from inpaint_jax.losses import context_loss, importance_weights, prior_loss
from inpaint_jax.types import Critic, Generate, Losses, SearchConfig


class Objective(NamedTuple):
    """What an image asks of a latent: eq. 2 as a function of z.

    Attributes:
      generate: ``[L] -> [H, W, 3]``.
      critic: ``[H, W, 3] -> [2]`` logits (fake, real).
      image: ``[H, W, 3]`` in [-1, 1]; what stands in the hole does not matter.
      weights: ``[H, W, 1]`` W of eq. 3; 0 in the hole.
    """

    generate: Generate
    critic: Critic
    image: jax.Array
    weights: jax.Array


class SearchState(NamedTuple):
    """Where a search stands.

    Attributes:
      latent: ``[L]`` in [-1, 1], the current iterate.
      optimizer: State of Adam.
      best_latent: ``[L]`` the best iterate by total loss so far.
      best: ``[]`` each, its losses; infinite before the first step.
    """

    latent: jax.Array
    optimizer: optax.OptState
    best_latent: jax.Array
    best: Losses


class SearchResult(NamedTuple):
    """What a search found.

    Attributes:
      latent: ``[L]`` in [-1, 1], the best iterate by total loss.
      losses: ``[]`` each, its losses.
      trace: ``[steps + 1]`` each, the losses at every iterate, the start first.
    """

    latent: jax.Array
    losses: Losses
    trace: Losses


def evaluate(objective: Objective, latent: jax.Array, config: SearchConfig) -> Losses:
    """Both terms of eq. 2 at ``latent`` ``[L]``: ``[]`` each."""
    generated = objective.generate(latent)
    context = context_loss(
        generated, objective.image, objective.weights, reduction=config.reduction
    )
    prior = prior_loss(objective.critic(generated), config.prior_weight)
    return Losses(context, prior)


def start(key: jax.Array, latent_size: int, config: SearchConfig) -> SearchState:
    """A search's first state: z ~ U[-1, 1]. The key is consumed."""
    latent = jax.random.uniform(key, (latent_size,), minval=-1.0, maxval=1.0)
    infinity = jnp.asarray(jnp.inf, latent.dtype)
    return SearchState(
        latent=latent,
        optimizer=_optimizer(config).init(latent),
        best_latent=latent,
        best=Losses(infinity, infinity),
    )


def advance(
    state: SearchState,
    objective: Objective,
    steps: int | jax.Array,
    config: SearchConfig,
    *,
    capacity: int | None = None,
) -> tuple[SearchState, Losses]:
    """Does ``steps`` updates of Adam, each clipping z to [-1, 1] (section 3.4).

    Args:
      state: Where the search stands.
      objective: What is searched for.
      steps: How many updates; traced or not, at most ``capacity``.
      config: Learning rate and weights; its ``steps`` are not looked at.
      capacity: Length of the trace; needed only where ``steps`` is traced.

    Returns:
      The state after them, and the losses ``[capacity]`` at the iterates before each;
      zeros after the first ``steps``.
    """

    def step(
        i: jax.Array, carry: tuple[SearchState, Losses]
    ) -> tuple[SearchState, Losses]:
        state, trace = carry

        def total(latent: jax.Array) -> tuple[jax.Array, Losses]:
            losses = evaluate(objective, latent, config)
            return losses.total, losses

        gradient, losses = jax.grad(total, has_aux=True)(state.latent)
        trace = jax.tree.map(lambda row, loss: row.at[i].set(loss), trace, losses)
        state = _keep_best(state, losses)
        update, optimizer = _optimizer(config).update(gradient, state.optimizer)
        latent = jnp.clip(state.latent + update, -1.0, 1.0)
        return state._replace(latent=latent, optimizer=optimizer), trace

    if capacity is None:
        capacity = int(steps)
    row = jnp.zeros(capacity, state.latent.dtype)
    return jax.lax.fori_loop(0, steps, step, (state, Losses(row, row)))


def finish(
    state: SearchState, objective: Objective, config: SearchConfig
) -> tuple[SearchState, Losses]:
    """Judges the last iterate too.

    Returns:
      The state, its best now final, and the losses ``[]`` at the last iterate.
    """
    losses = evaluate(objective, state.latent, config)
    return _keep_best(state, losses), losses


def search(
    generate: Generate,
    critic: Critic,
    image: jax.Array,
    mask: jax.Array,
    key: jax.Array,
    *,
    latent_size: int,
    config: SearchConfig,
) -> SearchResult:
    """Finds the latent whose image fits the known pixels best (eq. 2).

    Args:
      generate: ``[L] -> [H, W, 3]`` in [-1, 1].
      critic: ``[H, W, 3] -> [2]`` logits (fake, real).
      image: ``[H, W, 3]`` in [-1, 1]; what stands in the hole does not matter.
      mask: ``[H, W, 1]``, 1 = known, 0 = missing.
      key: Draws the start; consumed.
      latent_size: L.
      config: Steps, learning rate, weights.

    Returns:
      The best of the ``steps + 1`` iterates and the losses at all of them.
    """
    weights = importance_weights(mask, config.window)
    objective = Objective(generate, critic, image, weights)
    state = start(key, latent_size, config)
    state, trace = advance(state, objective, config.steps, config)
    state, last = finish(state, objective, config)
    trace = jax.tree.map(jnp.append, trace, last)
    return SearchResult(state.best_latent, state.best, trace)


def _optimizer(config: SearchConfig) -> optax.GradientTransformation:
    return optax.adam(config.learning_rate)


def _keep_best(state: SearchState, losses: Losses) -> SearchState:
    """Takes the current iterate as the best when its total loss is lower."""
    better = losses.total < state.best.total
    latent, best = jax.tree.map(
        lambda new, old: jnp.where(better, new, old),
        (state.latent, losses),
        (state.best_latent, state.best),
    )
    return state._replace(best_latent=latent, best=best)
