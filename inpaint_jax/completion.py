"""The paper's method from end to end, for a batch: search, generate, blend."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.typing import ArrayLike

from inpaint_jax import parallel
from inpaint_jax.blend import blend_batch, overlay
from inpaint_jax.losses import importance_weights
from inpaint_jax.names import checksum
from inpaint_jax.search.batches import guided_of, keys_of, search_batch
from inpaint_jax.search.refinement import halves_of, refine_batch
from inpaint_jax.types import Model, RefineConfig, SearchConfig, Solution


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
    mesh: Mesh | None = None,
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
      mesh: Devices to divide the batch over (``parallel.make_mesh``); B must be a
        multiple of those of this process. In a job of several processes each gives its
        own images, as many as the others, and gets what is found for them.

    Returns:
      The completed images, with what was found on the way; in NumPy where there is a
      mesh.

    Raises:
      ValueError: Shapes do not fit the model, each other or the mesh, a mask holds
        something else than 0 and 1, a known pixel is not a number in [-1, 1], ``key``
        is neither one key nor B, ``guided`` is not B, there is no refining a model
        without ``halves``, or no principal directions of its image size.

    References:
      Yeh et al., Semantic Image Inpainting with Deep Generative Models, CVPR 2017.
    """
    config = config or SearchConfig()
    if refinement is not None:
        halves_of(model)  # Before the search, not after it.
    given = _checked(model, images, masks, mesh)
    count = len(given[0])
    each = given, keys_of(key, count), guided_of(guided, count)
    (image, mask), keys, guide = parallel.place(each, mesh)
    model = replicate(model, mesh)
    weights = _importance_weights(mask, config.window, mesh=mesh)
    found, generated = search_batch(
        model,
        image,
        mask,
        weights,
        keys,
        config=config,
        guided=guide,
        progress=progress,
        mesh=mesh,
    )
    if refinement is not None:
        generated = refine_batch(
            model, found.latent, image, weights, config=refinement, mesh=mesh
        )
    completed, residual = fill_holes(image, generated, mask, blend=blend, mesh=mesh)
    solution = Solution(
        completed, generated, found.latent, found.losses, found.trace, residual
    )
    return solution if mesh is None else parallel.local(solution)


def replicate(model: Model, mesh: Mesh | None) -> Model:
    """The model with a copy of its weights on every device of ``mesh``.

    ``inpaint`` does so itself; done once before, it need not copy them at every call.
    """
    if mesh is None:
        return model
    names = ("generate", "critic", "correctors", "metric", "halves")
    parts = {name: getattr(model, name) for name in names}
    return dataclasses.replace(model, **parallel.replicate(parts, mesh))


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
      generated: ``[B, S, S, 3]`` in [-1, 1], what to put there.
      masks: ``[B, S, S, 1]``, 1 = known, 0 = missing.
      blend: Whether by eq. 6; otherwise it is pasted.
      mesh: Over which the arguments are spread; None: one device.

    Returns:
      ``[B, S, S, 3]`` in [-1, 1], known pixels bit for bit those of ``images``, and the
      relative residuals ``[B]`` of the blend.
    """
    if not blend:
        return overlay(images, generated, masks), jnp.zeros(len(images))
    solve = parallel.split(blend_batch, (0, 0, 0), mesh)
    completed, residual = solve(images, generated, masks)
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
    return jax.random.fold_in(jax.random.key(seed), checksum(image_id))


def _checked(
    model: Model, images: ArrayLike, masks: ArrayLike, mesh: Mesh | None
) -> tuple[np.ndarray, np.ndarray]:
    """The arguments as float32 arrays of full shape, or the ``ValueError``."""
    image, mask = np.asarray(images, np.float32), np.asarray(masks, np.float32)
    size = model.image_size
    if image.ndim != 4 or image.shape[1:] != (size, size, 3):
        raise ValueError(
            f"images must be [B, {size}, {size}, 3] for this model, not "
            f"{list(image.shape)}"
        )
    if mesh is not None and len(image) % parallel.local_size(mesh):
        raise ValueError(
            f"{len(image)} images cannot be divided among "
            f"{parallel.local_size(mesh)} devices"
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
    return image, mask


@functools.partial(jax.jit, static_argnames=("window", "mesh"))
def _importance_weights(
    masks: jax.Array, window: int, *, mesh: Mesh | None
) -> jax.Array:
    """W of eq. 3 of every image."""
    weigh = jax.vmap(lambda mask: importance_weights(mask, window))
    return parallel.split(weigh, (0,), mesh)(masks)
