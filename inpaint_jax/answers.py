"""What several answers to ONE picture say together: their mean and their spread."""

import jax
import jax.numpy as jnp


def average(answers: jax.Array) -> jax.Array:
    """The mean of several completed images, the answer of least expected error.

    Where samples of what may have been in the hole are drawn from the posterior, their
    mean minimises the expected squared error. It is smoother than any of them.

    Args:
      answers: ``[K, H, W, 3]`` in [-1, 1]. One that is not finite, as its search
        failed, is left out.

    Returns:
      ``[H, W, 3]``; where all answers are the same, as on known pixels, that bit for
      bit; not finite if none is.
    """
    counted, first = _finite(answers)
    values = jnp.where(counted, answers, 0.0)
    mean = values.sum(0) / counted.sum(0, dtype=answers.dtype)
    return jnp.where(_same(answers, counted, first), first[0], mean)


def spread(answers: jax.Array) -> jax.Array:
    """How far several completed images are from each other, pixel by pixel.

    The standard deviation over the answers (with K - 1 for the mean of squares), the
    root mean square over colours.

    Args:
      answers: ``[K, H, W, 3]`` in [-1, 1]. One that is not finite is left out, and not
        counted in K.

    Returns:
      ``[H, W, 1]``, in units of the pixels' values (127.5 levels of 8 bits each); 0
      where all answers are the same, and everywhere for K = 1.
    """
    counted, first = _finite(answers)
    deviations = jnp.where(counted, answers - average(answers)[None], 0.0)
    others = jnp.maximum(counted.sum(0, dtype=answers.dtype) - 1.0, 1.0)
    variance = jnp.square(deviations).sum(0) / others
    deviation = jnp.sqrt(variance.mean(-1, keepdims=True))
    same = _same(answers, counted, first).all(-1, keepdims=True)
    return jnp.where(same, 0.0, deviation)


def _finite(answers: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Which answers are finite, ``[K, 1, 1, 1]``; the first, ``[1, H, W, 3]``."""
    counted = jnp.isfinite(answers).all((1, 2, 3), keepdims=True)
    return counted, answers[jnp.argmax(counted)][None]


def _same(answers: jax.Array, counted: jax.Array, first: jax.Array) -> jax.Array:
    """Where all that count are equal, ``[H, W, 3]``: sums of equals may round."""
    return ((answers == first) | ~counted).all(0)
