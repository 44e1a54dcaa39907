"""Strategies to search the latent space for ONE image (sections 3.1 to 3.4).

``adam`` is the paper's and, with other settings, a faster one. ``newton`` takes a tenth
of the steps where the latent space is normal and an encoder guesses well. ``keep_best``
wraps any strategy so that it answers with its best iterate.

``jax.vmap`` makes a batch of independent searches. This module depends on no neural
network library: the generator and the objective are passed in as callables.
"""

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from inpaint_jax.configs import SearchConfig
from inpaint_jax.latents import LatentSpace
from inpaint_jax.search.strategy import Clock, Iterate, Problem, Result, Strategy
from inpaint_jax.types import Losses

if TYPE_CHECKING:
    import optax

# ``inpaint_jax.strategies`` is what somebody needs who writes one.
__all__ = [
    "Clock",
    "Iterate",
    "Problem",
    "Result",
    "Strategy",
    "adam",
    "keep_best",
    "make_strategy",
    "near_start",
    "newton",
]


class AdamState(NamedTuple):
    """State of ``adam``.

    Attributes:
      latent: ``[*L]``, the current iterate.
      optimizer: State of Adam.
      directions: ``[L, L]`` orthonormal columns, Adam's coordinates; None: the axes.
      prior: ``[]`` the prior loss when it was last computed.
    """

    latent: jax.Array
    optimizer: "optax.OptState"
    directions: jax.Array | None
    prior: jax.Array


class NewtonState(NamedTuple):
    """State of ``newton``.

    Attributes:
      latent: ``[*L]``, the current iterate.
      velocity: ``[*L]``, the decaying sum of the steps.
      inverse: ``[L, L]``, the inverse curvature.
      start: The first iterate; its losses are infinite before the first step.
      caution: ``[]``, factor of the learning rate, at most 1.
      prior: ``[]`` the prior loss when it was last computed.
    """

    latent: jax.Array
    velocity: jax.Array
    inverse: jax.Array
    start: Iterate
    caution: jax.Array
    prior: jax.Array


class BestState(NamedTuple):
    """State of ``keep_best``.

    Attributes:
      inner: State of the wrapped strategy.
      best: The best iterate by total loss so far; its losses are infinite before the
        first step.
    """

    inner: Any
    best: Iterate


class NearState(NamedTuple):
    """State of ``near_start``.

    Attributes:
      start: ``[*L]``, the first latent.
      inner: State of the wrapped strategy.
    """

    start: jax.Array
    inner: Any


def adam(config: SearchConfig, latents: LatentSpace) -> Strategy:
    """The paper's search (section 3.4), with options that make it faster.

    Updates of Adam, each followed by a projection to the latent space (for the paper's,
    clipping z to [-1, 1]). With the paper's configuration the rate is constant and
    every step computes both losses. The result is the last iterate.

    Args:
      config: Rate, schedule, decays, ``prior_every`` and ``projected``; other fields
        are ignored.
      latents: The latent space.
    """
    import optax  # Here, as newton need not wait for it.

    optimizer = optax.scale_by_adam(config.beta1)

    def init(latent: jax.Array, directions: jax.Array | None = None) -> AdamState:
        prior = jnp.zeros((), latent.dtype)
        return AdamState(latent, optimizer.init(latent), directions, prior)

    def step(
        state: AdamState, problem: Problem, clock: Clock
    ) -> tuple[AdamState, Iterate]:
        gradient, losses = _gradient(config, problem, clock, state)
        if config.projected:
            gradient = latents.project_gradient(state.latent, gradient)
        gradient = _turn(state.directions, gradient, back=True)
        update, moments = optimizer.update(gradient, state.optimizer)
        update = _turn(state.directions, update)
        rate = _learning_rate(config, clock, update.dtype)
        latent = latents.project(state.latent - rate * update)
        following = AdamState(latent, moments, state.directions, losses.prior)
        return following, Iterate(state.latent, losses)

    def result(state: AdamState, problem: Problem) -> Result:
        last = Iterate(state.latent, problem.evaluate(state.latent))
        return Result(*last, last)

    return Strategy(init, step, result)


def newton(config: SearchConfig, latents: LatentSpace) -> Strategy:
    r"""Descent along the gradient, multiplied by the inverse curvature, with momentum.

    .. math::

      v \leftarrow \beta v + H^{-1} g, \quad
      z \leftarrow z - \alpha (\beta v + H^{-1} g)

    H is the Gauss-Newton matrix of the picture's mask, averaged over latents
    (``directions.inverse_curvature``), so it is inverted once and not at every step.
    The momentum is Nesterov's. Should the loss become greater than at the start, the
    search begins again with a third of the rate: H does not know the generator's
    curvature here, nor that of an objective of one's own.

    Args:
      config: Rate alpha, schedule, ``beta1`` for beta, ``prior_every``; other fields
        are ignored.
      latents: The latent space.
    """

    def init(latent: jax.Array, inverse: jax.Array | None = None) -> NewtonState:
        if inverse is None:
            raise ValueError(
                "newton needs the inverse curvature: see directions.inverse_curvature"
            )
        infinity = jnp.asarray(jnp.inf, latent.dtype)
        start = Iterate(latent, Losses(infinity, infinity))
        one, zero = jnp.ones((), latent.dtype), jnp.zeros((), latent.dtype)
        return NewtonState(latent, jnp.zeros_like(latent), inverse, start, one, zero)

    def step(
        state: NewtonState, problem: Problem, clock: Clock
    ) -> tuple[NewtonState, Iterate]:
        gradient, losses = _gradient(config, problem, clock, state)
        iterate = Iterate(state.latent, losses)
        start = jax.tree.map(
            lambda now, then: jnp.where(clock.step == 0, now, then),
            iterate,
            state.start,
        )
        lost = ~(losses.total <= start.losses.total)  # NaN is, too.
        caution = jnp.where(lost, state.caution / 3, state.caution)
        direction = _turn(state.inverse, gradient)
        velocity = config.beta1 * state.velocity + direction
        rate = caution * _learning_rate(config, clock, direction.dtype)
        moved = state.latent - rate * (config.beta1 * velocity + direction)
        latent = jnp.where(lost, start.latent, latents.project(moved))
        velocity = jnp.where(lost, 0.0, velocity)
        following = NewtonState(
            latent, velocity, state.inverse, start, caution, losses.prior
        )
        return following, iterate

    def result(state: NewtonState, problem: Problem) -> Result:
        last = Iterate(state.latent, problem.evaluate(state.latent))
        return Result(*last, last)

    return Strategy(init, step, result)


def keep_best(strategy: Strategy, *, exact: bool = True) -> Strategy:
    """A strategy that runs another and answers with the iterate of least total loss.

    Args:
      strategy: The strategy to wrap.
      exact: Whether the losses that its steps return are exact. If not (the prior loss
        is not computed at every step), the losses of the best iterate are computed
        again at the end.
    """

    def init(latent: jax.Array, directions: jax.Array | None = None) -> BestState:
        infinity = jnp.asarray(jnp.inf, latent.dtype)
        best = Iterate(latent, Losses(infinity, infinity))
        return BestState(strategy.init(latent, directions), best)

    def step(
        state: BestState, problem: Problem, clock: Clock
    ) -> tuple[BestState, Iterate]:
        inner, iterate = strategy.step(state.inner, problem, clock)
        return BestState(inner, _better(iterate, state.best)), iterate

    def result(state: BestState, problem: Problem) -> Result:
        found = strategy.result(state.inner, problem)
        best = _better(Iterate(found.latent, found.losses), state.best)
        losses = best.losses if exact else problem.evaluate(best.latent)
        return Result(best.latent, losses, found.last)

    return Strategy(init, step, result)


def near_start(strategy: Strategy, weight: float) -> Strategy:
    """A strategy that stays near its first latent, which is an encoder's guess.

    What the known pixels do not determine stays as the guess has it. A prior alone
    would draw it to the mean of all images, which is blurred.

    Args:
      strategy: The strategy to wrap.
      weight: Weight of ``|z - z_0|^2 / 2``, which is added to the prior loss.
    """

    def nearby(problem: Problem, start: jax.Array) -> Problem:
        def objective(latent: jax.Array, generated: jax.Array) -> Losses:
            losses = problem.objective(latent, generated)
            distance = jnp.sum(jnp.square(latent - start))
            half = jnp.asarray(weight / 2, distance.dtype)
            return losses._replace(prior=losses.prior + half * distance)

        return problem._replace(objective=objective)

    def init(latent: jax.Array, directions: jax.Array | None) -> NearState:
        return NearState(latent, strategy.init(latent, directions))

    def step(
        state: NearState, problem: Problem, clock: Clock
    ) -> tuple[NearState, Iterate]:
        problem = nearby(problem, state.start)
        inner, iterate = strategy.step(state.inner, problem, clock)
        return NearState(state.start, inner), iterate

    def result(state: NearState, problem: Problem) -> Result:
        return strategy.result(state.inner, nearby(problem, state.start))

    return Strategy(init, step, result)


@functools.cache
def make_strategy(config: SearchConfig, latents: LatentSpace) -> Strategy:
    """The strategy of a configuration, keeping the best iterate.

    It stays near its start if ``config.start_weight`` says so.

    Args:
      config: How to search; ``steps`` is ignored.
      latents: The latent space.

    Returns:
      The strategy; the same object for equal arguments, so that functions with a
      strategy as a static argument are compiled once.
    """
    descent = newton if config.newton else adam
    strategy = keep_best(descent(config, latents), exact=config.prior_every == 1)
    if config.start_weight:
        strategy = near_start(strategy, config.start_weight)
    return strategy


def _gradient(
    config: SearchConfig, problem: Problem, clock: Clock, state: AdamState | NewtonState
) -> tuple[jax.Array, Losses]:
    """Gradient ``[*L]`` of the total loss, and the losses; the prior's if it is due."""

    def with_prior(latent: jax.Array) -> tuple[jax.Array, Losses]:
        losses = problem.evaluate(latent)
        return losses.total, losses

    def without(latent: jax.Array) -> tuple[jax.Array, Losses]:
        # The prior loss is not used, so the compiler leaves it out.
        context = problem.evaluate(latent).context
        return context, Losses(context, state.prior)

    if config.prior_every == 1:
        return jax.grad(with_prior, has_aux=True)(state.latent)
    found: tuple[jax.Array, Losses] = jax.lax.cond(
        clock.step % config.prior_every == 0,
        jax.grad(with_prior, has_aux=True),
        jax.grad(without, has_aux=True),
        state.latent,
    )
    return found


def _better(new: Iterate, old: Iterate) -> Iterate:
    """The iterate of less total loss; the old one if they are equal."""
    better = new.losses.total < old.losses.total
    chosen: Iterate = jax.tree.map(lambda x, y: jnp.where(better, x, y), new, old)
    return chosen


def _turn(
    matrix: jax.Array | None, vector: jax.Array, *, back: bool = False
) -> jax.Array:
    """The product of a matrix, or its transpose, and a vector ``[*L]``.

    None stands for the identity. The product has full precision also where an
    accelerator would round both factors to bfloat16: a change of coordinates there and
    back must be the identity.
    """
    if matrix is None:
        return vector
    factor = matrix.T if back else matrix
    highest = jax.lax.Precision.HIGHEST
    return jnp.matmul(factor, vector.reshape(-1), precision=highest).reshape(
        vector.shape
    )


def _learning_rate(config: SearchConfig, clock: Clock, dtype: Any) -> jax.Array | float:
    """The learning rate of the next step."""
    if config.schedule == "constant":
        return config.learning_rate
    step, steps = (jnp.asarray(count, dtype) for count in clock)
    done = step / steps
    if config.schedule == "root":
        return config.learning_rate * jnp.sqrt(1 - done)
    return config.learning_rate * 0.5 * (1 + jnp.cos(jnp.pi * done))
