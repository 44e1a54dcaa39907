"""Decompositions that may be part of a program on several devices or threads."""

import jax
import jax.numpy as jnp


@jax.custom_batching.sequential_vmap
def eigh(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Eigenvalues of a symmetric matrix, rising, and its eigenvectors as columns.

    The matrices of a batch are decomposed one by one: a batched LAPACK call waits for
    threads of the pool that it is called from, so two devices or two threads that make
    such a call at once wait for ever.

    Args:
      matrix: ``[L, L]``; under ``vmap`` any number of them.

    Returns:
      ``[L]`` and ``[L, L]``.
    """
    values, vectors = jnp.linalg.eigh(matrix)
    return values, vectors
