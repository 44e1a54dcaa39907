"""The paper's method from end to end, for a batch: search, generate, blend."""

import dataclasses
import functools
import zlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from inpaint_jax import curvature, search
from inpaint_jax.blend import blend_batch, overlay
from inpaint_jax.losses import importance_weights
from inpaint_jax.refine import halves_of, refine_batch
from inpaint_jax.types import (
    Losses,
    Model,
    RefineConfig,
    SearchConfig,
    Solution,
)

CHUNK = 64
"""Steps that one call of ``inpaint``'s loop can do: progress is told between calls."""


def inpaint(
    model: Model,
    images: ArrayLike,
    masks: ArrayLike,
    key: jax.Array,
    *,
    config: SearchConfig | None = None,
    guided: ArrayLike | None = None,
    refinement: RefineConfig | None = None,
    blend: bool = True,
    progress: Callable[[int], object] | None = None,
) -> Solution:
    """Fills the holes of a batch of images (Yeh et al., 2017).

    Each image is searched on its own: its result does not depend on the others.

    Args:
      model: Generator and critic; ``load_model`` gives a shipped one.
      images: ``[B, S, S, 3]`` in [-1, 1]. What stands in the holes does not matter.
      masks: ``[B, S, S, 1]``, or ``[S, S, 1]`` for all: 1 = known, 0 = missing.
      key: One ``jax.random.key``, from which image ``i`` takes ``fold_in(key, i)``;
        or ``[B]`` keys, one an image. Consumed.
      config: How to search; the paper's settings when left out.
      guided: ``[B]`` whether the model's encoders may guess an image's start, where
        ``config`` asks them; all may when left out. A second search of an image
        finds another answer without.
      refinement: How to change the generator's features after the search, so that the
        image comes closer to the known pixels than any latent's; None: not at all.
      blend: Whether to solve eq. 6; otherwise G(z) is pasted into the hole.
      progress: Called with the number of steps just done, from time to time.

    Returns:
      The completed images, with what was found on the way.

    Raises:
      ValueError: Shapes do not fit the model or each other, a mask holds something
        else than 0 and 1, a known pixel is not a number in [-1, 1], ``key`` is
        neither one key nor B, ``guided`` is not B, there is no refining a model
        without ``halves``, or no principal directions of its image size.

    References:
      Yeh et al., Semantic Image Inpainting with Deep Generative Models, CVPR 2017.
    """
    config = config or SearchConfig()
    if refinement is not None:
        halves_of(model)  # Before the search, not after it.
    images, masks = _checked(model, images, masks)
    weights = _importance_weights(masks, config.window)
    found, generated = search_batch(
        model,
        images,
        masks,
        weights,
        key,
        config=config,
        guided=guided,
        progress=progress,
    )
    if refinement is not None:
        generated = refine_batch(
            model, found.latent, images, weights, config=refinement
        )
    completed, residual = fill_holes(images, generated, masks, blend=blend)
    return Solution(
        completed, generated, found.latent, found.losses, found.trace, residual
    )


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
) -> tuple[search.SearchResult, jax.Array]:
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

    Returns:
      What ``search`` finds, every field with a batch axis in front, and the generated
      images ``[B, S, S, 3]`` at the best latents.

    Raises:
      ValueError: ``key`` is neither one key nor B, ``guided`` is not B, or the images'
        size is not one for principal directions.
    """
    keys = _keys(key, images.shape[0])
    # What follows is compiled for each strategy. None looks at its configuration's
    # steps, so it gets one that is the same for any number.
    strategy = search.adam(dataclasses.replace(config, steps=CHUNK), model.latent_size)
    objectives = make_objectives(
        model, images, masks, weights, principal=config.principal, guided=guided
    )
    states = start_searches(strategy, objectives, keys)
    traces, done = [], 0
    for steps in _chunks(config.steps):
        clock = search.Clock(jnp.asarray(done), jnp.asarray(config.steps))
        states, trace = advance_searches(
            strategy, objectives, states, steps, clock, capacity=CHUNK
        )
        traces.append((trace, steps))
        done += steps
        if progress is not None:
            jax.block_until_ready(trace)
            progress(steps)
    latents, losses, last, generated = finish_searches(strategy, objectives, states)
    return search.SearchResult(latents, losses, _joined(traces, last)), generated


def make_objectives(
    model: Model,
    images: jax.Array,
    masks: jax.Array,
    weights: jax.Array,
    *,
    principal: bool,
    guided: ArrayLike | None = None,
) -> search.Objective:
    """What a batch of images asks of their latents, as ``search.BATCH`` has it.

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
    count = len(images)
    guided = np.ones(count, bool) if guided is None else np.asarray(guided, bool)
    if guided.shape != (count,):
        raise ValueError(f"guided must be [{count}], not {list(guided.shape)}")
    return search.Objective(
        model.generate,
        model.critic,
        images,
        masks,
        weights,
        model.correctors,
        curvature.metric_of(model) if principal else None,
        jnp.asarray(guided),
    )


@functools.partial(jax.jit, static_argnames="strategy")
def start_searches(
    strategy: search.Strategy, objectives: search.Objective, keys: jax.Array
) -> Any:
    """The first state of every search of a batch.

    Args:
      strategy: How to search; compiled once for each.
      objectives: As ``search.BATCH`` has it: one model, B images.
      keys: ``[B]`` PRNG keys, consumed.

    Returns:
      The states, every field with a batch axis in front.
    """
    return jax.vmap(strategy.init, (0, search.BATCH))(keys, objectives)


@functools.partial(jax.jit, static_argnames=("strategy", "capacity"))
def advance_searches(
    strategy: search.Strategy,
    objectives: search.Objective,
    states: Any,
    steps: int | jax.Array,
    clock: search.Clock,
    *,
    capacity: int,
) -> tuple[Any, Losses]:
    """Does ``steps`` steps of every search of a batch.

    Args:
      strategy: How to search; compiled once for each.
      objectives: As for ``start_searches``.
      states: Where the searches stand.
      steps: How many steps, at most ``capacity``; any number is one compilation.
      clock: How many were done before, and will be in all.
      capacity: Length of the trace.

    Returns:
      The states after them, and the losses ``[B, capacity]`` each at the iterates
      before each; zeros after the first ``steps``.
    """

    def one(state: Any, objective: search.Objective) -> tuple[Any, Losses]:
        return search.advance(
            strategy, state, objective, steps, clock=clock, capacity=capacity
        )

    return jax.vmap(one, (0, search.BATCH))(states, objectives)


@functools.partial(jax.jit, static_argnames="strategy")
def finish_searches(
    strategy: search.Strategy, objectives: search.Objective, states: Any
) -> tuple[jax.Array, Losses, Losses, jax.Array]:
    """What every search of a batch found so far.

    Args:
      strategy: How to search; compiled once for each.
      objectives: As for ``start_searches``.
      states: Where the searches stand.

    Returns:
      The best latents ``[B, L]``, the losses there and those at the last iterates,
      ``[B]`` each, and the generated images ``[B, S, S, 3]`` at the best latents.
    """

    def one(
        state: Any, objective: search.Objective
    ) -> tuple[jax.Array, Losses, Losses, jax.Array]:
        latent, losses, last = strategy.result(state, objective)
        return latent, losses, last, objective.generate(latent)

    return jax.vmap(one, (0, search.BATCH))(states, objectives)


@functools.partial(jax.jit, static_argnames="blend")
def fill_holes(
    images: jax.Array, generated: jax.Array, masks: jax.Array, *, blend: bool = True
) -> tuple[jax.Array, jax.Array]:
    """Puts one batch of images into the holes of another (section 3.3).

    Args:
      images: ``[B, S, S, 3]`` in [-1, 1].
      generated: ``[B, S, S, 3]`` in [-1, 1], what to put there.
      masks: ``[B, S, S, 1]``, 1 = known, 0 = missing.
      blend: Whether by eq. 6; otherwise it is pasted.

    Returns:
      ``[B, S, S, 3]`` in [-1, 1], known pixels bit for bit those of ``images``, and the
      relative residuals ``[B]`` of the blend.
    """
    if not blend:
        return overlay(images, generated, masks), jnp.zeros(len(images))
    completed, residual = blend_batch(images, generated, masks)
    # Following the gradients of G may lead beyond white or black.
    completed = jnp.where(masks > 0, images, jnp.clip(completed, -1.0, 1.0))
    return completed, residual


def image_key(seed: int, image_id: str) -> jax.Array:
    """The PRNG key of an image: of its name and the seed, not of its batch.

    Args:
      seed: Of the run.
      image_id: Names the image among all.

    Returns:
      ``fold_in(key(seed), id)``, the id as its CRC-32.
    """
    return jax.random.fold_in(jax.random.key(seed), zlib.crc32(image_id.encode()))


def _checked(
    model: Model, images: ArrayLike, masks: ArrayLike
) -> tuple[jax.Array, jax.Array]:
    """The arguments as float32 arrays of full shape, or the ``ValueError``."""
    image, mask = np.asarray(images, np.float32), np.asarray(masks, np.float32)
    size = model.image_size
    if image.ndim != 4 or image.shape[1:] != (size, size, 3):
        raise ValueError(
            f"images must be [B, {size}, {size}, 3] for this model, not "
            f"{list(image.shape)}"
        )
    full = (*image.shape[:3], 1)
    if mask.shape not in (full, full[1:]):
        raise ValueError(
            f"masks must be {list(full)} or {list(full[1:])}, not {list(mask.shape)}"
        )
    mask = np.broadcast_to(mask, full)
    if not np.isin(mask, (0.0, 1.0)).all():
        raise ValueError("masks must hold only 1 (known) and 0 (missing)")
    known = np.where(mask == 1, image, 0.0)
    if not (np.abs(known) <= 1.0).all():  # False for NaN, too.
        raise ValueError("known pixels must be finite and in [-1, 1]")
    return jnp.asarray(image), jnp.asarray(mask)


def _keys(key: jax.Array, count: int) -> jax.Array:
    """One key an image, or the ``ValueError``."""
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


def _joined(traces: list[tuple[Losses, int]], last: Losses) -> Losses:
    """The chunks' traces, each as far as it goes, and the last losses.

    On the host: JAX would compile the slices anew for every number of steps.
    """

    def join(last: jax.Array, *rows: jax.Array) -> jax.Array:
        parts = [
            np.asarray(row)[:, :steps]
            for row, (_, steps) in zip(rows, traces, strict=True)
        ]
        return jnp.asarray(np.concatenate([*parts, np.asarray(last)[:, None]], 1))

    return jax.tree.map(join, last, *(trace for trace, _ in traces))


def _chunks(steps: int) -> list[int]:
    """``steps`` cut into chunks and a shorter one for the rest."""
    whole, rest = divmod(steps, CHUNK)
    return [CHUNK] * whole + [rest] * (rest > 0)


@functools.partial(jax.jit, static_argnames="window")
def _importance_weights(masks: jax.Array, window: int) -> jax.Array:
    """W of eq. 3 of every image."""
    return jax.vmap(lambda mask: importance_weights(mask, window))(masks)
