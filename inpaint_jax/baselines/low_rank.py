r"""Low-rank matrix completion by the truncated nuclear norm (section 4.2).

Each channel of an image is a matrix with missing entries. Hu et al. look for the matrix
whose singular values beyond the first r have the least sum,

.. math::

  \min_X \|X\|_* - \max_{A A^T = I,\, B B^T = I} \mathrm{tr}(A X B^T)
  \quad \text{s.t. } X_i = y_i \text{ for } M_i = 1 ,

in rounds: A and B are the first r singular vectors of the last X, and the problem,
which is then convex, is solved by ADMM.
"""

import functools

import jax
import jax.numpy as jnp

from inpaint_jax import linalg

RANK = 3
ROUNDS = 1
ITERATIONS = 60
_PENALTY = 0.1  # ADMM's beta; 0.001 in the paper, whose pixels span [0, 255].
_PRECISION = jax.lax.Precision.HIGHEST  # A TPU's default would stop at 1 %.


@functools.partial(jax.jit, static_argnames=("rank", "rounds", "iterations"))
def low_rank_fill(
    images: jax.Array,
    masks: jax.Array,
    keys: jax.Array,
    *,
    rank: int = RANK,
    rounds: int = ROUNDS,
    iterations: int = ITERATIONS,
) -> jax.Array:
    """Completes every channel by the truncated nuclear norm.

    Args:
      images: ``[B, S, S, 3]`` in [-1, 1]; the holes may hold anything.
      masks: ``[B, S, S, 1]``, 1 = known, 0 = missing.
      keys: Not used.
      rank: Number of singular values that are free. Hu et al. try 1 to 20 for each
        image and keep the best by the original; the default was chosen on validation
        images.
      rounds: How often the singular vectors are computed anew.
      iterations: Iterations of ADMM in each round.

    Returns:
      ``[B, S, S, 3]`` in [-1, 1]; 0 where nothing is known.

    References:
      Hu et al., Fast and accurate matrix completion via truncated nuclear norm
      regularization, TPAMI 2013, algorithms 1 and 2.
    """
    known = jnp.moveaxis(jnp.broadcast_to(masks, images.shape), -1, 1) > 0.5
    given = jnp.where(known, jnp.moveaxis(images, -1, 1), 0.0)
    complete = functools.partial(
        _complete, rank=rank, rounds=rounds, iterations=iterations
    )
    matrices = jax.vmap(jax.vmap(complete))(given, known)
    completed = jnp.clip(jnp.moveaxis(matrices, 1, -1), -1.0, 1.0)
    return jnp.where(masks > 0.5, images, completed)


def _complete(
    given: jax.Array, known: jax.Array, *, rank: int, rounds: int, iterations: int
) -> jax.Array:
    """Completes one matrix ``[H, W]``, which is 0 where it is not known."""

    def step(
        leading: jax.Array, carry: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        w, y = carry
        x = _shrink(w - y / _PENALTY, 1 / _PENALTY)
        w = jnp.where(known, given, x + (leading + y) / _PENALTY)
        return w, y + _PENALTY * (x - w)

    def round_(
        _: int, carry: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        leading = _leading(carry[0], rank)
        return jax.lax.fori_loop(0, iterations, lambda _, c: step(leading, c), carry)

    # The start has no singular vectors worth following: it solves for the plain nuclear
    # norm.
    nothing = jnp.zeros_like(given)
    start = jax.lax.fori_loop(
        0, iterations, lambda _, c: step(nothing, c), (given, nothing)
    )
    completed, _ = jax.lax.fori_loop(0, rounds, round_, start)
    return completed


def _shrink(x: jax.Array, threshold: float) -> jax.Array:
    """Lowers the singular values of ``x`` by ``threshold``, to at least 0.

    It uses the eigenvectors of ``x x^T``, which cost a fraction of a singular value
    decomposition. They are inexact for small singular values, which become 0 anyway.
    """
    values, vectors = _left(x)
    keep = jnp.maximum(1 - threshold / jnp.maximum(values, threshold), 0.0)
    return _product(vectors * keep, _product(vectors.T, x))


def _leading(x: jax.Array, rank: int) -> jax.Array:
    """Sum of the outer products of the first singular vectors, ``A^T B``."""
    values, vectors = _left(x)
    values, vectors = values[-rank:], vectors[:, -rank:]
    inverse = jnp.where(values > 1e-3 * values[-1], 1 / jnp.maximum(values, 1e-6), 0.0)
    return _product(vectors * inverse, _product(vectors.T, x))


def _left(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Singular values in rising order, and left singular vectors as columns."""
    squares, vectors = linalg.eigh(_product(x, x.T))
    return jnp.sqrt(jnp.maximum(squares, 0.0)), vectors


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.matmul(a, b, precision=_PRECISION)
