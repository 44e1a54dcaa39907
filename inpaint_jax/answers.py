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
    counted = _finite(answers)
    first = answers[jnp.argmax(counted)]
    values = jnp.where(counted, answers, 0.0)
    mean = values.sum(0) / counted.sum(0, dtype=answers.dtype)
    # Sums of equal numbers may round.
    same = ((answers == first[None]) | ~counted).all(0)
    return jnp.where(same, first, mean)


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
    counted = _finite(answers)
    deviations = jnp.where(counted, answers - average(answers)[None], 0.0)
    others = jnp.maximum(counted.sum(0, dtype=answers.dtype) - 1.0, 1.0)
    variance = jnp.square(deviations).sum(0) / others
    return jnp.sqrt(variance.mean(-1, keepdims=True))


def _finite(answers: jax.Array) -> jax.Array:
    """Which answers are finite, ``[K, 1, 1, 1]``."""
    return jnp.isfinite(answers).all((1, 2, 3), keepdims=True)
