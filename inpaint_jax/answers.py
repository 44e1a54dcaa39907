"""What several answers to ONE picture say together: their mean and their spread."""

import jax
import jax.numpy as jnp


def average(answers: jax.Array) -> jax.Array:
    """The mean of several completed images, the answer of least expected error.

    Where samples of what may have been in the hole are drawn from the posterior, their
    mean minimises the expected squared error. It is smoother than any of them.

    Args:
      answers: ``[K, H, W, 3]`` in [-1, 1].

    Returns:
      ``[H, W, 3]``; where all answers are the same, as on known pixels, that bit for
      bit.
    """
    return jnp.where(_same(answers), answers[0], answers.mean(0))


def spread(answers: jax.Array) -> jax.Array:
    """How far several completed images are from each other, pixel by pixel.

    The standard deviation over the answers (with K - 1 for the mean of squares), the
    root mean square over colours.

    Args:
      answers: ``[K, H, W, 3]`` in [-1, 1].

    Returns:
      ``[H, W, 1]``, in units of the pixels' values (127.5 levels of 8 bits each); 0
      where all answers are the same, and everywhere for K = 1.
    """
    squares = jnp.square(answers - answers.mean(0, keepdims=True)).sum(0)
    variance = squares / max(len(answers) - 1, 1)
    deviation = jnp.sqrt(variance.mean(-1, keepdims=True))
    return jnp.where(_same(answers).all(-1, keepdims=True), 0.0, deviation)


def _same(answers: jax.Array) -> jax.Array:
    """Where all answers are equal, ``[H, W, 3]``: sums of equal numbers may round."""
    return (answers == answers[:1]).all(0)
