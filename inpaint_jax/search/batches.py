"""The searches of a batch of images, compiled and run side by side."""

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
from inpaint_jax.configs import SearchConfig
from inpaint_jax.search.directions import inverse_curvature, principal_directions
from inpaint_jax.search.objectives import paper_objective
from inpaint_jax.search.running import SearchResult, advance
from inpaint_jax.search.starts import choose_start
from inpaint_jax.search.strategies import make_strategy
from inpaint_jax.search.strategy import Clock, Problem, Result, Strategy
from inpaint_jax.types import Losses, Model, Objective, Seen, as_pytree

CHUNK = 64
"""Most steps in one call of the compiled loop; progress is reported between calls."""


def search_batch(
    model: Model,
    seen: Seen,
    key: jax.Array,
    *,
    config: SearchConfig,
    objective: Objective | None = None,
    guided: ArrayLike = True,
    keep_path: bool = False,
    progress: Callable[[int], object] | None = None,
    progress_every: int = CHUNK,
    mesh: Mesh | None = None,
) -> tuple[SearchResult, jax.Array]:
    """Searches the latents of a batch of images at once.

    Args:
      model: Generator and latent space; also discriminator, encoders and metric where
        the configuration uses them.
      seen: The known part of each image, every field with a leading batch axis. Its
        ``weights`` may be any that are not negative: ``importance_weights`` of masks,
        or ones to fit whole images.
      key: As for ``inpaint``.
      config: How to search; ``window`` is ignored.
      objective: The function to minimise; the paper's (``objectives.paper_objective``)
        when left out. Weights that a ``jax.tree_util.Partial`` binds are arguments of
        the compiled function.
      guided: ``[B]``, or one for all: whether the model's encoders may guess a start.
      keep_path: Whether to keep all iterates.
      progress: As for ``inpaint``.
      progress_every: As for ``inpaint``.
      mesh: Devices over which all arguments are spread already; None: one device.

    Returns:
      The results of ``search``, every field with a leading batch axis, and the
      generated images ``[B, S, S, 3]`` at the best latents.

    Raises:
      ValueError: ``key`` is neither one key nor B, ``guided`` is not B, or the
        configuration wants a metric (``newton``) and the model has none.
    """
    if config.newton and model.metric is None:
        raise ValueError(
            "this search needs the model's metric: give inpaint_jax.with_metric(model)"
        )
    count = seen.image.shape[0]
    keys, guide = keys_of(key, count), guided_of(guided, count)
    objective = as_pytree(objective or paper_objective(model, config))
    # The functions below are compiled once for each strategy and each form of model.
    # Without what they do not use, the number of steps and the model's name, they are
    # compiled less often.
    model = dataclasses.replace(model, name="", metadata={})
    config, total = dataclasses.replace(config, steps=CHUNK), config.steps
    strategy = make_strategy(config, model.latents)
    states = start_searches(
        strategy, model, objective, seen, keys, guide, config=config, mesh=mesh
    )
    traced = isinstance(seen.image, jax.core.Tracer)
    # Under an outer jit each call would be compiled again: one does all the steps.
    each = total if traced else min(progress_every, CHUNK)
    capacity = total if traced else CHUNK
    rows, done = [], 0
    while done < total:
        steps = min(each, total - done)
        # NumPy, because an array on one device cannot be combined with sharded ones.
        clock = Clock(np.int32(done), np.int32(total))
        states, row = advance_searches(
            strategy,
            model,
            objective,
            seen,
            states,
            np.int32(steps),
            clock,
            capacity=capacity,
            keep_path=keep_path,
            mesh=mesh,
        )
        rows.append((row, steps))
        done += steps
        if progress is not None:
            jax.block_until_ready(row)
            progress(steps)
    found, generated = finish_searches(
        strategy, model, objective, seen, states, mesh=mesh
    )
    trace, path = _joined(rows, found, keep_path=keep_path)
    return SearchResult(found.latent, found.losses, trace, path), generated


@functools.partial(jax.jit, static_argnames=("strategy", "config", "mesh"))
def start_searches(
    strategy: Strategy,
    model: Model,
    objective: Objective,
    seen: Seen,
    keys: jax.Array,
    guided: jax.Array,
    *,
    config: SearchConfig,
    mesh: Mesh | None = None,
) -> Any:
    """The first state of every search of a batch.

    Args:
      strategy: How to search; each strategy is compiled once.
      model: The generator, for all images.
      objective: The function to minimise, for all images.
      seen: The known part of each of B images.
      keys: ``[B]`` PRNG keys, consumed.
      guided: ``[B]`` whether encoders may guess.
      config: How a start is chosen, and whether to go along principal directions.
      mesh: Devices over which the arguments are spread; None: one device.

    Returns:
      The states, every field with a leading batch axis.
    """

    def one(
        model: Model, objective: Objective, seen: Seen, key: jax.Array, guide: jax.Array
    ) -> Any:
        latent = choose_start(model, objective, seen, key, config=config, guided=guide)
        matrix = None
        if model.metric is not None and config.newton:
            damping = config.latent_weight + config.start_weight
            matrix = inverse_curvature(model.metric, seen.weights, damping)
        elif model.metric is not None and config.principal:
            matrix = principal_directions(model.metric, seen.weights)
        return strategy.init(latent, matrix)

    axes = (None, None, 0, 0, 0)
    searches = parallel.split(jax.vmap(one, axes), axes, mesh)
    return searches(model, objective, seen, keys, guided)


@functools.partial(
    jax.jit, static_argnames=("strategy", "capacity", "keep_path", "mesh")
)
def advance_searches(
    strategy: Strategy,
    model: Model,
    objective: Objective,
    seen: Seen,
    states: Any,
    steps: int | jax.Array | np.integer,
    clock: Clock,
    *,
    capacity: int,
    keep_path: bool = False,
    mesh: Mesh | None = None,
) -> tuple[Any, tuple[Losses, jax.Array | None]]:
    """Does ``steps`` steps of every search of a batch.

    Args:
      strategy: How to search; each strategy is compiled once.
      model: The generator, for all images.
      objective: The function to minimise, for all images.
      seen: The known part of each of B images.
      states: The searches' states, from ``start_searches`` or ``advance_searches``.
      steps: Number of steps, at most ``capacity``; another number needs no compilation.
      clock: Number of steps done before, and in all.
      capacity: Length of the trace.
      keep_path: Whether to keep the iterates.
      mesh: Devices over which the arguments are spread; None: one device.

    Returns:
      The states after the steps; the losses ``[B, capacity]`` each at the iterate
      before each step; and these iterates ``[B, capacity, *L]``, or None. Both hold
      zeros after the first ``steps``.
    """

    def one(
        model: Model,
        objective: Objective,
        seen: Seen,
        state: Any,
        steps: jax.Array,
        clock: Clock,
    ) -> Any:
        problem = _problem(model, objective, seen)
        return advance(
            strategy,
            state,
            problem,
            steps,
            clock=clock,
            capacity=capacity,
            keep_path=keep_path,
        )

    axes = (None, None, 0, 0, None, None)
    searches = parallel.split(jax.vmap(one, axes), axes, mesh)
    found: Any = searches(model, objective, seen, states, steps, clock)
    return found


@functools.partial(jax.jit, static_argnames=("strategy", "mesh"))
def finish_searches(
    strategy: Strategy,
    model: Model,
    objective: Objective,
    seen: Seen,
    states: Any,
    *,
    mesh: Mesh | None = None,
) -> tuple[Result, jax.Array]:
    """The result so far of every search of a batch.

    Args:
      strategy: How to search; each strategy is compiled once.
      model: The generator, for all images.
      objective: The function to minimise, for all images.
      seen: The known part of each of B images.
      states: The searches' states, from ``start_searches`` or ``advance_searches``.
      mesh: Devices over which the arguments are spread; None: one device.

    Returns:
      The strategy's results, every field with a leading batch axis, and the generated
      images ``[B, S, S, 3]`` at the latents found.
    """

    def one(
        model: Model, objective: Objective, seen: Seen, state: Any
    ) -> tuple[Result, jax.Array]:
        found = strategy.result(state, _problem(model, objective, seen))
        return found, model.generate(found.latent)

    axes = (None, None, 0, 0)
    searches = parallel.split(jax.vmap(one, axes), axes, mesh)
    found: tuple[Result, jax.Array] = searches(model, objective, seen, states)
    return found


def keys_of(key: jax.Array, count: int) -> jax.Array:
    """One key for each image, from one ``key`` or from B, or a ``ValueError``."""
    typed = isinstance(key, jax.Array) and jnp.issubdtype(
        key.dtype, jax.dtypes.prng_key
    )
    if not typed:
        raise ValueError("key must come from jax.random.key")
    if key.ndim == 0:
        return _fold_in_each(key, np.arange(count, dtype=np.uint32))
    if key.shape != (count,):
        raise ValueError(f"key must be one key or {count}, not {list(key.shape)}")
    return key


@jax.jit
def _fold_in_each(key: jax.Array, numbers: jax.Array) -> jax.Array:
    """The keys ``[B]`` of images by their numbers."""
    return jax.vmap(functools.partial(jax.random.fold_in, key))(numbers)


def guided_of(guided: ArrayLike, count: int) -> Any:
    """Whether encoders may guess, for each image, or a ``ValueError``."""
    if isinstance(guided, jax.Array) and guided.shape == (count,):
        return guided.astype(bool)  # It may be spread over processes.
    # On the host where that can be: JAX would compile each of these by itself.
    numpy: Any = jnp if isinstance(guided, jax.Array) else np
    found = numpy.array(guided, bool)
    if found.shape not in ((), (count,)):
        raise ValueError(f"guided must be [{count}], not {list(found.shape)}")
    return numpy.broadcast_to(found, (count,))


def _problem(model: Model, objective: Objective, seen: Seen) -> Problem:
    """The search problem of one image."""
    return Problem(
        model.generate, lambda latent, generated: objective(latent, generated, seen)
    )


def _joined(
    rows: list[tuple[tuple[Losses, jax.Array | None], int]],
    found: Result,
    *,
    keep_path: bool,
) -> tuple[Losses, jax.Array | None]:
    """The chunks' traces and paths, without padding, followed by the last iterate.

    Joined on the host unless traced: JAX would compile the slices anew for every number
    of steps.
    """
    last = found.last.losses, found.last.latent if keep_path else None

    def join(last: jax.Array, *parts: jax.Array) -> jax.Array:
        if isinstance(last, jax.core.Tracer):
            return jnp.concatenate([*parts, last[:, None]], 1)
        cut = [
            parallel.local(part)[:, :steps]
            for part, (_, steps) in zip(parts, rows, strict=True)
        ]
        return jax.device_put(np.concatenate([*cut, parallel.local(last)[:, None]], 1))

    joined: tuple[Losses, jax.Array | None] = jax.tree.map(
        join, last, *(row for row, _ in rows)
    )
    return joined
