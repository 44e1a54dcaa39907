"""The search of the latent space: eq. 2 of the paper, sections 3.1 to 3.4.

Everything is for ONE image; ``jax.vmap`` makes it a batch of independent searches.
The networks come in as callables, so that the search knows no framework.

A way to search is a ``Strategy``: three pure functions, ``init``, ``step`` and
``result``. ``adam`` makes the paper's of a configuration, and faster ones of others.
``search`` is the whole of one; a program that shows progress runs its parts in turn:
``init``, ``advance`` by some steps as often as it likes, ``result``. Cut however it may
be, the outcome is the same.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from inpaint_jax.losses import context_loss, importance_weights, prior_loss
from inpaint_jax.search.directions import principal_directions
from inpaint_jax.types import Correct, Critic, Generate, Losses, SearchConfig

_TRUST = 0.85
"""A guess must be below this share of a random start's loss. One that is hardly better
says that the encoders never saw the like, and then it is the worse place to begin: it
lies in one valley, whatever the key, and that may be the wrong one."""


class Objective(NamedTuple):
    """What an image asks of a latent: eq. 2 as a function of z.

    Attributes:
      generate: ``[L] -> [H, W, 3]``.
      critic: ``[H, W, 3] -> [2]`` logits (fake, real).
      image: ``[H, W, 3]`` in [-1, 1]; what stands in the hole does not matter.
      mask: ``[H, W, 1]``, 1 = known, 0 = missing; encoders look at it.
      weights: ``[H, W, 1]`` W of eq. 3; 0 in the hole.
      correctors: Encoders that guess a latent (``guesses``); there may be none.
      metric: ``[8, 8, L, L]`` of ``curvature.regional_metric``; needed only for a
        search along principal directions.
      guided: ``[]`` whether the encoders' guesses may be its start.
    """

    generate: Generate
    critic: Critic
    image: jax.Array
    mask: jax.Array
    weights: jax.Array
    correctors: tuple[Correct, ...] = ()
    metric: jax.Array | None = None
    guided: bool | jax.Array = True


BATCH = Objective._make((None, None, 0, 0, 0, None, None, 0))
"""``in_axes`` for ``jax.vmap`` of a batch of objectives: one model, many images."""


class Clock(NamedTuple):
    """How far a search has come; the same for all images of a batch.

    Attributes:
      step: ``[]`` steps done.
      steps: ``[]`` steps in all.
    """

    step: jax.Array | np.integer
    steps: jax.Array | np.integer


class SearchState(NamedTuple):
    """Where a search stands.

    Attributes:
      latent: ``[L]`` in [-1, 1], the current iterate.
      optimizer: State of Adam.
      directions: ``[L, L]`` orthonormal columns, Adam's coordinates; None: the axes.
      prior: ``[]`` the prior loss when it was last computed.
      best_latent: ``[L]`` the best iterate by total loss so far.
      best: ``[]`` each, its losses; infinite before the first step.
    """

    latent: jax.Array
    optimizer: optax.OptState
    directions: jax.Array | None
    prior: jax.Array
    best_latent: jax.Array
    best: Losses


class Strategy(NamedTuple):
    """A way to search.

    Attributes:
      init: A PRNG key, consumed, and the objective to a state.
      step: State, objective and clock to the next state and the losses ``[]`` at the
        iterate that it left.
      result: State and objective to the best latent ``[L]``, its losses, and those at
        the last iterate.
    """

    init: Callable[[jax.Array, Objective], Any]
    step: Callable[[Any, Objective, Clock], tuple[Any, Losses]]
    result: Callable[[Any, Objective], tuple[jax.Array, Losses, Losses]]


class SearchResult(NamedTuple):
    """What a search found.

    Attributes:
      latent: ``[L]`` in [-1, 1], the best iterate by total loss.
      losses: ``[]`` each, its losses.
      trace: ``[steps + 1]`` each, the losses at every iterate, the start first; the
        prior loss as it was when last computed (``SearchConfig.prior_every``), which is
        also what the best iterate was chosen by.
    """

    latent: jax.Array
    losses: Losses
    trace: Losses


def guesses(
    correctors: Iterable[Correct],
    generate: Generate,
    image: jax.Array,
    mask: jax.Array,
) -> Iterator[tuple[jax.Array, jax.Array]]:
    """What encoders make of an image, guess by guess.

    Each sees the image with its hole black, the mask, and the image of the guess before
    (at first a grey one), and corrects u of z = tanh(u), which is 0 at first. Image and
    mask may have a batch axis in front, if the functions take one.

    Args:
      correctors: The encoders, each ``[H, W, 7] -> [L]``.
      generate: ``[L] -> [H, W, 3]``.
      image: ``[H, W, 3]`` in [-1, 1]; what stands in the hole does not matter.
      mask: ``[H, W, 1]``, 1 = known, 0 = missing.

    Yields:
      The latent ``[L]`` in [-1, 1] and its image, once for each encoder. No gradient
      flows from one guess to the one before.
    """
    masked = jnp.where(mask > 0, image, -1.0)
    guess, u = jnp.zeros_like(masked), jnp.zeros((), image.dtype)
    for correct in correctors:
        u = u + correct(jnp.concatenate([masked, mask, guess], -1))
        latent = jnp.tanh(u)
        generated = generate(latent)
        yield latent, generated
        u, guess = jax.lax.stop_gradient((u, generated))


def evaluate(objective: Objective, latent: jax.Array, config: SearchConfig) -> Losses:
    """Both terms of eq. 2 at ``latent`` ``[L]``: ``[]`` each."""
    generated = objective.generate(latent)
    return Losses(
        _context(objective, generated, config), _prior(objective, generated, config)
    )


@functools.cache
def adam(config: SearchConfig, latent_size: int) -> Strategy:
    """The paper's search (section 3.4), and what makes it faster.

    Updates of Adam, each clipping z to [-1, 1]; the best iterate by total loss is kept.
    With the paper's configuration it starts from z ~ U[-1, 1], with a constant rate and
    both losses at every step.

    Args:
      config: How to search; its ``steps`` are not looked at.
      latent_size: L.

    Returns:
      The same object for equal arguments, so that what is jitted with a strategy as a
      static argument is compiled once.
    """
    optimizer = optax.scale_by_adam(config.beta1, config.beta2)

    def init(key: jax.Array, objective: Objective) -> SearchState:
        latent = _start(key, objective, latent_size, config)
        infinity = jnp.asarray(jnp.inf, latent.dtype)
        return SearchState(
            latent=latent,
            optimizer=optimizer.init(latent),
            directions=_directions(objective, config),
            prior=jnp.zeros_like(infinity),
            best_latent=latent,
            best=Losses(infinity, infinity),
        )

    def step(
        state: SearchState, objective: Objective, clock: Clock
    ) -> tuple[SearchState, Losses]:
        def with_prior(latent: jax.Array) -> tuple[jax.Array, Losses]:
            losses = evaluate(objective, latent, config)
            return losses.total, losses

        def without(latent: jax.Array) -> tuple[jax.Array, Losses]:
            context = _context(objective, objective.generate(latent), config)
            return context, Losses(context, state.prior)

        if config.prior_every == 1:
            gradient, losses = jax.grad(with_prior, has_aux=True)(state.latent)
        else:
            gradient, losses = jax.lax.cond(
                clock.step % config.prior_every == 0,
                jax.grad(with_prior, has_aux=True),
                jax.grad(without, has_aux=True),
                state.latent,
            )
        state = _keep_best(state, losses)
        if config.projected:
            z = state.latent
            outwards = (z >= 1) & (gradient < 0) | (z <= -1) & (gradient > 0)
            gradient = jnp.where(outwards, 0.0, gradient)
        if state.directions is not None:
            gradient = _exact(state.directions.T, gradient)
        update, moments = optimizer.update(gradient, state.optimizer)
        if state.directions is not None:
            update = _exact(state.directions, update)
        rate = _learning_rate(config, clock)
        latent = jnp.clip(state.latent - rate * update, -1.0, 1.0)
        state = state._replace(latent=latent, optimizer=moments, prior=losses.prior)
        return state, losses

    def result(
        state: SearchState, objective: Objective
    ) -> tuple[jax.Array, Losses, Losses]:
        last = evaluate(objective, state.latent, config)
        state = _keep_best(state, last)
        if config.prior_every > 1:  # Else it was computed where the best was found.
            best = evaluate(objective, state.best_latent, config)
            state = state._replace(best=best)
        return state.best_latent, state.best, last

    return Strategy(init, step, result)


def advance(
    strategy: Strategy,
    state: Any,
    objective: Objective,
    steps: int | jax.Array,
    *,
    clock: Clock,
    capacity: int | None = None,
) -> tuple[Any, Losses]:
    """Does ``steps`` steps.

    Args:
      strategy: How to search.
      state: Where the search stands.
      objective: What is searched for.
      steps: How many steps; traced or not, at most ``capacity``.
      clock: How many were done before, and will be in all.
      capacity: Length of the trace; needed only where ``steps`` is traced.

    Returns:
      The state after them, and the losses ``[capacity]`` at the iterates before each;
      zeros after the first ``steps``.
    """

    def step(i: jax.Array, carry: tuple[Any, Losses]) -> tuple[Any, Losses]:
        state, trace = carry
        now = Clock(clock.step + i, clock.steps)
        state, losses = strategy.step(state, objective, now)
        trace = jax.tree.map(lambda row, loss: row.at[i].set(loss), trace, losses)
        return state, trace

    if capacity is None:
        capacity = int(steps)
    row = jnp.zeros(capacity, objective.weights.dtype)
    return jax.lax.fori_loop(0, steps, step, (state, Losses(row, row)))


def search(
    generate: Generate,
    critic: Critic,
    image: jax.Array,
    mask: jax.Array,
    key: jax.Array,
    *,
    latent_size: int,
    config: SearchConfig,
    correctors: tuple[Correct, ...] = (),
    metric: jax.Array | None = None,
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
      correctors: Encoders, for a configuration that starts from their guesses.
      metric: ``curvature.regional_metric``, for one along principal directions.

    Returns:
      The best of the ``steps + 1`` iterates and the losses at all of them.
    """
    weights = importance_weights(mask, config.window)
    objective = Objective(generate, critic, image, mask, weights, correctors, metric)
    strategy = adam(config, latent_size)
    clock = Clock(jnp.asarray(0), jnp.asarray(config.steps))
    state = strategy.init(key, objective)
    state, trace = advance(strategy, state, objective, config.steps, clock=clock)
    latent, losses, last = strategy.result(state, objective)
    return SearchResult(latent, losses, jax.tree.map(jnp.append, trace, last))


def _start(
    key: jax.Array, objective: Objective, latent_size: int, config: SearchConfig
) -> jax.Array:
    """The first iterate ``[L]``: of all candidates the one of least context loss."""
    latents = jax.vmap(
        lambda key: jax.random.uniform(key, (latent_size,), minval=-1.0, maxval=1.0)
    )(jax.random.split(key, config.starts) if config.starts > 1 else key[None])
    correctors = objective.correctors if config.guesses else ()
    if len(latents) == 1 and not correctors:
        return latents[0]

    def loss(image: jax.Array) -> jax.Array:
        return _context(objective, image, config)

    losses = jax.vmap(lambda latent: loss(objective.generate(latent)))(latents)
    for latent, image in guesses(
        correctors, objective.generate, objective.image, objective.mask
    ):
        guessed = jnp.where(objective.guided, loss(image) / _TRUST, jnp.inf)
        latents = jnp.concatenate([latents, latent[None]])
        losses = jnp.append(losses, guessed)
    return latents[jnp.argmin(losses)]


def _directions(objective: Objective, config: SearchConfig) -> jax.Array | None:
    """Adam's coordinates."""
    if not config.principal:
        return None
    if objective.metric is None:
        raise ValueError("a search along principal directions needs the metric")
    return principal_directions(objective.metric, objective.weights)


def _exact(matrix: jax.Array, vector: jax.Array) -> jax.Array:
    """Their product, also where an accelerator would round both to bfloat16.

    A turn there and back must end where it began.
    """
    return jnp.matmul(matrix, vector, precision=jax.lax.Precision.HIGHEST)


def _learning_rate(config: SearchConfig, clock: Clock) -> jax.Array | float:
    """Of the next step."""
    if config.schedule == "constant":
        return config.learning_rate
    done = clock.step / clock.steps
    if config.schedule == "root":
        return config.learning_rate * jnp.sqrt(1 - done)
    return config.learning_rate * 0.5 * (1 + jnp.cos(jnp.pi * done))


def _context(
    objective: Objective, generated: jax.Array, config: SearchConfig
) -> jax.Array:
    return context_loss(
        generated, objective.image, objective.weights, reduction=config.reduction
    )


def _prior(
    objective: Objective, generated: jax.Array, config: SearchConfig
) -> jax.Array:
    return prior_loss(objective.critic(generated), config.prior_weight)


def _keep_best(state: SearchState, losses: Losses) -> SearchState:
    """Takes the current iterate as the best when its total loss is lower."""
    better = losses.total < state.best.total
    latent, best = jax.tree.map(
        lambda new, old: jnp.where(better, new, old),
        (state.latent, losses),
        (state.best_latent, state.best),
    )
    return state._replace(best_latent=latent, best=best)
