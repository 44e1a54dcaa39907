"""The searches of a batch of images, compiled and run side by side (``search``)."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.typing import ArrayLike

from inpaint_jax import parallel
from inpaint_jax.search import directions, strategies
from inpaint_jax.types import Losses, Model, SearchConfig

CHUNK = 64
"""Steps that one call of ``inpaint``'s loop can do: progress is told between calls."""


def search_batch(
    model: Model,
    images: jax.Array,
    masks: jax.Array,
    weights: jax.Array,
    key: jax.Array,
    *,
    config: SearchConfig,
    guided: ArrayLike | None = None,
    progress: Callable[[int], object] | None = None,
    mesh: Mesh | None = None,
) -> tuple[strategies.SearchResult, jax.Array]:
    """Searches the latents of a batch of images at once, with any weights.

    Args:
      model: Generator and critic.
      images: ``[B, S, S, 3]`` in [-1, 1].
      masks: ``[B, S, S, 1]``, 1 = known, 0 = missing, for encoders to see.
      weights: ``[B, S, S, 1]`` W of eq. 4, not negative: ``importance_weights`` of a
        mask, or ones to fit whole images.
      key: As for ``inpaint``.
      config: How to search; its ``window`` is not looked at.
      guided: As for ``inpaint``.
      progress: As for ``inpaint``.
      mesh: Over which all arguments are spread already; None: one device.

    Returns:
      What ``search`` finds, every field with a batch axis in front, and the generated
      images ``[B, S, S, 3]`` at the best latents.

    Raises:
      ValueError: ``key`` is neither one key nor B, ``guided`` is not B, or the images'
        size is not one for principal directions.
    """
    keys = keys_of(key, images.shape[0])
    # What follows is compiled for each strategy. None looks at its configuration's
    # steps, so it gets one that is the same for any number.
    strategy = strategies.adam(
        dataclasses.replace(config, steps=CHUNK), model.latent_size
    )
    objectives = make_objectives(
        model, images, masks, weights, principal=config.principal, guided=guided
    )
    states = start_searches(strategy, objectives, keys, mesh=mesh)
    traces, done = [], 0
    for steps in _chunks(config.steps):
        # In NumPy: what is one device's does not mix with what is on many.
        clock = strategies.Clock(np.int32(done), np.int32(config.steps))
        states, trace = advance_searches(
            strategy, objectives, states, steps, clock, capacity=CHUNK, mesh=mesh
        )
        traces.append((trace, steps))
        done += steps
        if progress is not None:
            jax.block_until_ready(trace)
            progress(steps)
    latents, losses, last, generated = finish_searches(
        strategy, objectives, states, mesh=mesh
    )
    return strategies.SearchResult(latents, losses, _joined(traces, last)), generated


def make_objectives(
    model: Model,
    images: jax.Array,
    masks: jax.Array,
    weights: jax.Array,
    *,
    principal: bool,
    guided: ArrayLike | None = None,
) -> strategies.Objective:
    """What a batch of images asks of their latents, as ``strategies.BATCH`` has it.

    Args:
      model: Whose networks, encoders and principal directions they share.
      images: ``[B, S, S, 3]`` in [-1, 1].
      masks: ``[B, S, S, 1]``, 1 = known, 0 = missing.
      weights: ``[B, S, S, 1]`` W of eq. 4.
      principal: Whether a search along principal directions is to come.
      guided: As for ``inpaint``.

    Raises:
      ValueError: ``guided`` is not B, or the images' size is not one for principal
        directions.
    """
    return strategies.Objective(
        model.generate,
        model.critic,
        images,
        masks,
        weights,
        model.correctors,
        directions.metric_of(model) if principal else None,
        guided_of(guided, len(images)),
    )


@functools.partial(jax.jit, static_argnames=("strategy", "mesh"))
def start_searches(
    strategy: strategies.Strategy,
    objectives: strategies.Objective,
    keys: jax.Array,
    *,
    mesh: Mesh | None = None,
) -> Any:
    """The first state of every search of a batch.

    Args:
      strategy: How to search; compiled once for each.
      objectives: As ``strategies.BATCH`` has it: one model, B images.
      keys: ``[B]`` PRNG keys, consumed.
      mesh: Over which the arguments are spread; None: one device.

    Returns:
      The states, every field with a batch axis in front.
    """
    axes = (0, strategies.BATCH)
    return parallel.split(jax.vmap(strategy.init, axes), axes, mesh)(keys, objectives)


@functools.partial(jax.jit, static_argnames=("strategy", "capacity", "mesh"))
def advance_searches(
    strategy: strategies.Strategy,
    objectives: strategies.Objective,
    states: Any,
    steps: int | jax.Array,
    clock: strategies.Clock,
    *,
    capacity: int,
    mesh: Mesh | None = None,
) -> tuple[Any, Losses]:
    """Does ``steps`` steps of every search of a batch.

    Args:
      strategy: How to search; compiled once for each.
      objectives: As for ``start_searches``.
      states: Where the searches stand.
      steps: How many steps, at most ``capacity``; any number is one compilation.
      clock: How many were done before, and will be in all.
      capacity: Length of the trace.
      mesh: As for ``start_searches``.

    Returns:
      The states after them, and the losses ``[B, capacity]`` each at the iterates
      before each; zeros after the first ``steps``.
    """

    def one(
        state: Any,
        objective: strategies.Objective,
        steps: jax.Array,
        clock: strategies.Clock,
    ) -> tuple[Any, Losses]:
        return strategies.advance(
            strategy, state, objective, steps, clock=clock, capacity=capacity
        )

    axes = (0, strategies.BATCH, None, None)
    searches = parallel.split(jax.vmap(one, axes), axes, mesh)
    return searches(states, objectives, steps, clock)


@functools.partial(jax.jit, static_argnames=("strategy", "mesh"))
def finish_searches(
    strategy: strategies.Strategy,
    objectives: strategies.Objective,
    states: Any,
    *,
    mesh: Mesh | None = None,
) -> tuple[jax.Array, Losses, Losses, jax.Array]:
    """What every search of a batch found so far.

    Args:
      strategy: How to search; compiled once for each.
      objectives: As for ``start_searches``.
      states: Where the searches stand.
      mesh: As for ``start_searches``.

    Returns:
      The best latents ``[B, L]``, the losses there and those at the last iterates,
      ``[B]`` each, and the generated images ``[B, S, S, 3]`` at the best latents.
    """

    def one(
        state: Any, objective: strategies.Objective
    ) -> tuple[jax.Array, Losses, Losses, jax.Array]:
        latent, losses, last = strategy.result(state, objective)
        return latent, losses, last, objective.generate(latent)

    axes = (0, strategies.BATCH)
    return parallel.split(jax.vmap(one, axes), axes, mesh)(states, objectives)


def keys_of(key: jax.Array, count: int) -> jax.Array:
    """One key an image: of one ``key`` or of B, or the ``ValueError``."""
    typed = isinstance(key, jax.Array) and jnp.issubdtype(
        key.dtype, jax.dtypes.prng_key
    )
    if not typed:
        raise ValueError("key must come from jax.random.key")
    if key.ndim == 0:
        return jax.vmap(functools.partial(jax.random.fold_in, key))(jnp.arange(count))
    if key.shape != (count,):
        raise ValueError(f"key must be one key or {count}, not {list(key.shape)}")
    return key


def guided_of(guided: ArrayLike | None, count: int) -> jax.Array:
    """Whether encoders may guess, for each image, or the ``ValueError``."""
    found = jnp.ones(count, bool) if guided is None else jnp.asarray(guided, bool)
    if found.shape != (count,):
        raise ValueError(f"guided must be [{count}], not {list(found.shape)}")
    return found


def _joined(traces: list[tuple[Losses, int]], last: Losses) -> Losses:
    """The chunks' traces, each as far as it goes, and the last losses.

    On the host: JAX would compile the slices anew for every number of steps.
    """

    def join(last: jax.Array, *rows: jax.Array) -> jax.Array:
        parts = [
            parallel.local(row)[:, :steps]
            for row, (_, steps) in zip(rows, traces, strict=True)
        ]
        return jnp.asarray(np.concatenate([*parts, parallel.local(last)[:, None]], 1))

    return jax.tree.map(join, last, *(trace for trace, _ in traces))


def _chunks(steps: int) -> list[int]:
    """``steps`` cut into chunks and a shorter one for the rest."""
    whole, rest = divmod(steps, CHUNK)
    return [CHUNK] * whole + [rest] * (rest > 0)
