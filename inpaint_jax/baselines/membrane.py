"""Fills by the Poisson equation alone: blending without a generated image.

They know nothing of the picture's content, and are nevertheless hard to beat in PSNR,
because a smooth guess is never far off. But they are blurred.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from inpaint_jax.baselines.fill import Fill
from inpaint_jax.completion import fill_holes


def harmonic_fill(images: jax.Array, masks: jax.Array, keys: jax.Array) -> jax.Array:
    """The membrane through the known pixels: eq. 6 with a guidance field of zero.

    Args:
      images: ``[B, S, S, 3]`` in [-1, 1]; the holes may hold anything.
      masks: ``[B, S, S, 1]``, 1 = known, 0 = missing.
      keys: Not used.

    Returns:
      ``[B, S, S, 3]`` in [-1, 1]; 0 where nothing is known.
    """
    completed, _ = fill_holes(images, jnp.zeros_like(images), masks)
    return completed


def guided_fill(guide: ArrayLike) -> Fill:
    """Makes a fill with the gradients of one picture, such as a training set's mean.

    Args:
      guide: ``[S, S, 3]`` in [-1, 1].

    Returns:
      The fill; its result is ``guide`` where nothing is known.
    """

    return jax.tree_util.Partial(_guided, jnp.asarray(guide))


def _guided(
    guide: jax.Array, images: jax.Array, masks: jax.Array, keys: jax.Array
) -> jax.Array:
    guides = jnp.broadcast_to(guide, images.shape).astype(images.dtype)
    completed, _ = fill_holes(images, guides, masks)
    return completed
