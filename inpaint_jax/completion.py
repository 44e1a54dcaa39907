"""The paper's method from end to end, for a batch: search, generate, blend."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.typing import ArrayLike

from inpaint_jax import answers, parallel
from inpaint_jax.blend import blend_batch, overlay
from inpaint_jax.configs import SEARCHES, RefineConfig, SearchConfig
from inpaint_jax.losses import importance_weights
from inpaint_jax.names import checksum
from inpaint_jax.search.batches import CHUNK, guided_of, keys_of, search_batch
from inpaint_jax.search.refinement import halves_of, refine_batch
from inpaint_jax.types import Model, Objective, Seen, Solution


def inpaint(
    model: Model,
    images: ArrayLike,
    masks: ArrayLike,
    key: jax.Array,
    *,
    config: SearchConfig | None = None,
    objective: Objective | None = None,
    candidates: int | None = None,
    guided: ArrayLike | None = None,
    refinement: RefineConfig | None = None,
    blend: bool = True,
    keep_path: bool = False,
    progress: Callable[[int], object] | None = None,
    progress_every: int = CHUNK,
    mesh: Mesh | None = None,
) -> Solution:
    """Fills the holes of a batch of images (Yeh et al., 2017).

    Each image is searched on its own: its result does not depend on the others (but see
    ``guided``). May be called under ``jax.jit``, where values of images and masks are
    not checked.

    Args:
      model: The model to search; ``load_model`` loads a shipped one.
      images: ``[B, S, S, 3]`` in [-1, 1]. Pixels in the holes are ignored.
      masks: ``[B, S, S, 1]``, or ``[S, S, 1]`` for all: 1 = known, 0 = missing.
      key: One ``jax.random.key``, from which image ``i`` takes ``fold_in(key, i)``;
        or ``[B]`` keys, one for each image. Consumed.
      config: How to search; the one of ``SEARCHES`` that suits the model when left out
        (``model.search``). ``SEARCHES["paper"]`` is the paper's.
      objective: The function to minimise, of a latent, its image and the known part of
        one picture; the paper's losses when left out.
      candidates: Number of searches for each image, each of which gives an answer, the
        best first, and their mean and spread (``Solution``). Search 0 is the same as
        without ``candidates``; search c > 0 takes ``fold_in`` of the image's key and c,
        and is not guided.
      guided: ``[B]``, or one for all: whether the model's encoders may guess an image's
        start, if ``config.guesses``. When left out they may, except where an image
        was in the batch before under the same mask: the search would start from the
        same guess and find the same answer.
      refinement: How to change the generator's features after the search, so that the
        image fits the known pixels better than any G(z); None: no refinement.
      blend: Whether to solve eq. 6; otherwise G(z) is pasted into the hole.
      keep_path: Whether to keep every iterate in ``Solution.path``.
      progress: Called repeatedly with the number of steps done since the last call.
      progress_every: Greatest number of steps between two calls, 1 to 64.
      mesh: Devices to divide the batch over (``parallel.make_mesh``); B, times the
        candidates, must be a multiple of this process's number of devices. In a job of
        several processes each passes its own images, equally many, and gets the results
        of these.

    Returns:
      The completed images, with latents, losses and the course of the search.

    Raises:
      ValueError: Shapes do not fit the model, each other or the mesh, a mask holds
        values other than 0 and 1, a known pixel is not a number in [-1, 1], ``key``
        is neither one key nor B, ``guided`` is not B, ``candidates`` or
        ``progress_every`` is out of range, refinement is asked of a model without
        ``halves``, or ``progress`` or ``mesh`` is given under ``jax.jit``.
      TypeError: ``model`` or ``config`` is a name.

    References:
      Yeh et al., Semantic Image Inpainting with Deep Generative Models, CVPR 2017.
    """
    check_model(model)
    config = config or SEARCHES[model.search]
    if not isinstance(config, SearchConfig):
        raise TypeError(f"config must be a SearchConfig, not {config!r}: see SEARCHES")
    if refinement is not None:
        halves_of(model)  # Before the search, not after it.
    if candidates is not None and candidates < 1:
        raise ValueError(f"candidates must be at least 1, not {candidates}")
    if not 1 <= progress_every <= CHUNK:
        raise ValueError(f"progress_every must be 1 to {CHUNK}, not {progress_every}")
    image, mask = checked(model, images, masks)
    if mesh is not None and len(image) * (candidates or 1) % parallel.local_size(mesh):
        raise ValueError(
            f"{len(image)} images cannot be divided among "
            f"{parallel.local_size(mesh)} devices"
        )
    if _is_traced(image, mask, key, *jax.tree.leaves(model)):
        if progress is not None:
            raise ValueError("under jax.jit there is no progress to tell")
        if mesh is not None:
            raise ValueError("give mesh= outside jax.jit: it divides the batch itself")
    count, keys = len(image), keys_of(key, len(image))
    if guided is None:
        asked = config.guesses and model.correctors
        guided = _first_of_its_kind(image, mask) if asked else True
    guide, number = guided_of(guided, count), np.zeros(count, np.int32)
    if candidates is not None:
        number = np.tile(np.arange(candidates, dtype=np.int32), count)
        rows = np.repeat(np.arange(count), candidates)
        image, mask = image[rows], mask[rows]
        keys, guide = _of_candidates(keys, rows, number), guide[rows] & (number == 0)
    each = (image, mask), keys, guide
    (image, mask), keys, guide = parallel.place(each, mesh)
    if mesh is not None:
        model = parallel.replicate(model, mesh)
    weights = _importance_weights(mask, config.window, mesh=mesh)
    found, generated = search_batch(
        model,
        Seen(image, mask, weights),
        keys,
        config=config,
        objective=objective,
        guided=guide,
        keep_path=keep_path,
        progress=progress,
        progress_every=progress_every,
        mesh=mesh,
    )
    if refinement is not None:
        generated = refine_batch(
            model, found.latent, image, weights, config=refinement, mesh=mesh
        )
    completed, residual = fill_holes(image, generated, mask, blend=blend, mesh=mesh)
    solution = Solution(
        completed,
        generated,
        found.latent,
        found.losses,
        found.trace,
        residual,
        jax.device_put(number),
        found.path,
    )
    if mesh is not None:
        solution = jax.device_put(parallel.local(solution))
    return solution if candidates is None else _rank(solution, candidates)


@functools.partial(jax.jit, static_argnames=("blend", "mesh"))
def fill_holes(
    images: jax.Array,
    generated: jax.Array,
    masks: jax.Array,
    *,
    blend: bool = True,
    mesh: Mesh | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Puts one batch of images into the holes of another (section 3.3).

    Args:
      images: ``[B, S, S, 3]`` in [-1, 1].
      generated: ``[B, S, S, 3]`` in [-1, 1], images to take the holes' content from.
      masks: ``[B, S, S, 1]``, 1 = known, 0 = missing.
      blend: Whether to blend by eq. 6; otherwise the pixels are pasted.
      mesh: Devices over which the arguments are spread; None: one device.

    Returns:
      ``[B, S, S, 3]`` in [-1, 1], known pixels bit for bit those of ``images``, and the
      relative residuals ``[B]`` of the blend.
    """
    if not blend:
        return overlay(images, generated, masks), jnp.zeros(len(images))
    solve = parallel.split(blend_batch, (0, 0, 0), mesh)
    completed, residual = solve(images, generated, masks)
    # Where the blend follows the gradients of G it may exceed white or black.
    completed = jnp.where(masks > 0.5, images, jnp.clip(completed, -1.0, 1.0))
    return completed, residual


def replay(
    model: Model,
    latents: ArrayLike,
    images: ArrayLike,
    masks: ArrayLike,
    *,
    blend: bool = True,
) -> jax.Array:
    """The completed images at some latents, such as those of a search's path.

    Args:
      model: The model.
      latents: ``[B, N, *L]``, as ``Solution.path`` has them.
      images: ``[B, S, S, 3]`` in [-1, 1].
      masks: ``[B, S, S, 1]``, 1 = known, 0 = missing.
      blend: As for ``inpaint``.

    Returns:
      ``[B, N, S, S, 3]`` in [-1, 1], known pixels bit for bit those of ``images``.
    """
    given: Any = zip(
        np.asarray(latents), np.asarray(images), np.asarray(masks), strict=True
    )
    return jnp.stack([_replay(model, *each, blend=blend) for each in given])


@functools.partial(jax.jit, static_argnames="blend")
def _replay(
    model: Model, latents: jax.Array, image: jax.Array, mask: jax.Array, *, blend: bool
) -> jax.Array:
    """``replay`` of one image."""
    generated = jax.vmap(model.generate)(latents)
    images, masks = (
        jnp.broadcast_to(x, (len(latents), *x.shape)) for x in (image, mask)
    )
    completed, _ = fill_holes(images, generated, masks, blend=blend)
    return completed


def image_key(seed: int, image_id: str) -> jax.Array:
    """The PRNG key of an image, which depends on its name and the seed alone.

    Args:
      seed: Seed of the run.
      image_id: Unique name of the image.

    Returns:
      ``fold_in(key(seed), id)``, the id as the CRC-32 of its bytes.
    """
    return jax.random.fold_in(jax.random.key(seed), checksum(image_id))


def check_model(model: object) -> None:
    """Raises a ``TypeError`` for what is no model, such as the name of one."""
    if not isinstance(model, Model):
        raise TypeError(f"model must be a Model, as load_model gives it, not {model!r}")


def checked(model: Model, images: ArrayLike, masks: ArrayLike) -> tuple[Any, Any]:
    """Images and masks for ``inpaint`` as float32 arrays of full shape.

    For who compiles ``inpaint``, which then cannot look at values.

    Args:
      model: The model.
      images: ``[B, S, S, 3]`` in [-1, 1].
      masks: ``[B, S, S, 1]`` or ``[S, S, 1]``, 1 = known, 0 = missing.

    Returns:
      ``[B, S, S, 3]`` and ``[B, S, S, 1]``.

    Raises:
      ValueError: Shapes do not fit the model or each other, a mask holds values other
        than 0 and 1, or a known pixel is not a number in [-1, 1]. Of tracers only
        shapes are checked.
    """
    numpy: Any = jnp if _is_traced(images, masks) else np
    # Copies, as JAX may go on reading a caller's array after this call has returned.
    image, mask = numpy.array(images, np.float32), numpy.array(masks, np.float32)
    size = model.image_size
    latent = jax.ShapeDtypeStruct(model.latents.shape, np.float32)
    made = jax.eval_shape(model.generate, latent).shape
    if made != (size, size, 3):
        raise ValueError(
            f"the model generates {list(made)} from a latent {list(latent.shape)}, not "
            f"[{size}, {size}, 3]: it must take ONE latent, without a batch axis "
            "(inpaint_jax.from_function and its kin make such a model)"
        )
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
    mask = numpy.broadcast_to(mask, full)
    if numpy is jnp:
        return image, mask
    if not np.isin(mask, (0.0, 1.0)).all():
        raise ValueError("masks must hold only 1 (known) and 0 (missing)")
    known = np.where(mask == 1, image, 0.0)
    if not (np.abs(known) <= 1.0).all():  # False for NaN, too.
        raise ValueError("known pixels must be finite and in [-1, 1]")
    return image, mask


@functools.partial(jax.jit, static_argnames=("window", "mesh"))
def _importance_weights(
    masks: jax.Array, window: int, *, mesh: Mesh | None
) -> jax.Array:
    """The weights W of eq. 3 for every image."""
    weigh = jax.vmap(lambda mask: importance_weights(mask, window))
    return parallel.split(weigh, (0,), mesh)(masks)


def _is_traced(*arrays: object) -> bool:
    return any(isinstance(x, jax.core.Tracer) for x in arrays)


@jax.jit
def _first_of_its_kind(images: jax.Array, masks: jax.Array) -> jax.Array:
    """Which images ``[B]`` have no earlier duplicate with the same mask in the batch.

    Two images count as equal when two hashes of their known pixels are equal, sums with
    different random weights.
    """
    known = jnp.where(masks > 0.5, images, 2.0).reshape(len(images), -1)
    shape = (known.shape[1], 2)
    weights = np.random.default_rng(0).integers(1, 2**32, shape, np.uint32) | 1
    bits = jax.lax.bitcast_convert_type(known, jnp.uint32)
    marks = jnp.stack(
        [jnp.sum(bits * row[None], 1, dtype=jnp.uint32) for row in weights.T], 1
    )
    same = (marks[:, None] == marks[None]).all(-1)
    return jnp.argmax(same, 1) == jnp.arange(len(images))


@jax.jit
def _of_candidates(keys: jax.Array, rows: jax.Array, number: jax.Array) -> jax.Array:
    """The keys of searches: which image's it is, and its number there."""
    keys = keys[rows]
    folded = jax.vmap(jax.random.fold_in)(keys, number)
    return jnp.where(number == 0, keys, folded)


def _rank(solution: Solution, candidates: int) -> Solution:
    """Reshape fields ``[B * K, ...]`` to ``[B, K, ...]`` in order of total loss.

    On the host where that can be: JAX would compile it anew for every number of steps.
    """
    numpy: Any = jnp if _is_traced(solution.image) else np

    def ranked(field: jax.Array) -> Any:
        rows = numpy.asarray(field).reshape(-1, candidates, *field.shape[1:])
        places = order.reshape(*order.shape, *[1] * (rows.ndim - 2))
        return numpy.take_along_axis(rows, places, axis=1)

    losses = jax.tree.map(numpy.asarray, solution.losses)
    totals = losses.total.reshape(-1, candidates)
    order = numpy.argsort(totals, axis=1, stable=True)
    found: Solution = jax.device_put(jax.tree.map(ranked, solution))
    mean, spread = _together(found.image)
    return found._replace(mean=mean, spread=spread)


@jax.jit
@jax.vmap
def _together(images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and spread of an image's answers."""
    return answers.average(images), answers.spread(images)
