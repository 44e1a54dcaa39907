"""Nearest neighbour among training images (section 4.2 and Figure 7)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from inpaint_jax.baselines.fill import Fill
from inpaint_jax.completion import fill_holes

_CHUNK = 1024  # Number of training images that are compared at once.


def nearest_fill(training: ArrayLike, *, blend: bool = False) -> Fill:
    r"""Makes a fill that takes the training image nearest to the known pixels.

    .. math::

      \arg\min_t \| M \odot (y - t) \|_2^2
        = \arg\min_t \; \langle M, t^2 \rangle - 2 \langle M \odot y, t \rangle

    Args:
      training: ``[N, S, S, 3]`` uint8.
      blend: Whether its pixels are blended into the hole (eq. 6); else they are pasted.

    Returns:
      The fill; its result is the first training image where nothing is known.
    """
    pixels = np.asarray(training)
    chunk = min(_CHUNK, len(pixels))
    # The last chunk is filled up with copies of the first image, which change nothing:
    # a tie goes to the earlier image.
    missing = -len(pixels) % chunk
    padded = np.concatenate([pixels, np.repeat(pixels[:1], missing, axis=0)])
    chunks = jnp.asarray(padded.reshape(-1, chunk, *pixels.shape[1:]))
    # The images are an argument of the compiled function, not constants in it.
    return jax.tree_util.Partial(functools.partial(_fill, blend=blend), chunks)


def _fill(
    chunks: jax.Array,
    images: jax.Array,
    masks: jax.Array,
    keys: jax.Array,
    *,
    blend: bool,
) -> jax.Array:
    found = _nearest(chunks, images, masks)
    training = chunks.reshape(-1, *chunks.shape[2:])
    completed, _ = fill_holes(images, _to_float(training[found]), masks, blend=blend)
    return completed


@jax.jit
def _nearest(chunks: jax.Array, images: jax.Array, masks: jax.Array) -> jax.Array:
    """Index ``[B]`` of the training image that is nearest to each image."""
    count = len(images)
    known = masks > 0.5
    y = jnp.where(known, images, 0.0).reshape(count, -1)
    m = known.astype(images.dtype).reshape(count, -1)
    factors = jnp.concatenate([-2 * y, m], axis=1)

    def compare(
        best: tuple[jax.Array, jax.Array], chunk: tuple[jax.Array, jax.Array]
    ) -> tuple[tuple[jax.Array, jax.Array], None]:
        number, pixels = chunk
        t = _to_float(pixels)
        features = jnp.concatenate(
            [t.reshape(len(t), -1), jnp.square(t).sum(-1).reshape(len(t), -1)], axis=1
        )
        distances = jnp.matmul(factors, features.T, precision=jax.lax.Precision.HIGHEST)
        nearest = distances.argmin(1).astype(jnp.int32)
        distance = distances.min(1)
        closer = distance < best[0]
        index = number * len(pixels) + nearest
        return (
            jnp.where(closer, distance, best[0]),
            jnp.where(closer, index, best[1]),
        ), None

    start = jnp.full(count, jnp.inf, images.dtype), jnp.zeros(count, jnp.int32)
    numbers = jnp.arange(len(chunks), dtype=jnp.int32)
    (_, found), _ = jax.lax.scan(compare, start, (numbers, chunks))
    return found


def _to_float(pixels: jax.Array) -> jax.Array:
    return pixels.astype(jnp.float32) / 127.5 - 1.0
