"""Decompositions that may be part of a program on several devices or threads.

The matrices of a batch are decomposed one by one: a batched LAPACK call waits for
threads of the pool that it is called from, so two devices or two threads that make
such a call at once wait for ever.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


@jax.custom_batching.sequential_vmap
def eigh(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Eigenvalues of a symmetric matrix, rising, and its eigenvectors as columns.

    Args:
      matrix: ``[L, L]``; under ``vmap`` any number of them.

    Returns:
      ``[L]`` and ``[L, L]``.
    """
    values, vectors = jnp.linalg.eigh(matrix)
    return values, vectors


_BLOCK = 64
"""Greatest size of a factor that is inverted by substitution, not by halves."""


def inverse(matrix: jax.Array) -> jax.Array:
    """Inverse ``[L, L]`` of a symmetric positive definite matrix ``[L, L]``.

    Not for ``vmap``; see ``again_if_changed``.
    """
    factor = _inverse_factor(jnp.linalg.cholesky(matrix))
    return jnp.matmul(factor.T, factor, precision=jax.lax.Precision.HIGHEST)


def _inverse_factor(lower: jax.Array) -> jax.Array:
    """Inverse of a lower triangular matrix, by halves.

    Nearly all of the work are products; they are several times as fast on a CPU as a
    substitution with many right sides.
    """
    size = len(lower)
    if size <= _BLOCK:
        eye = jnp.eye(size, dtype=lower.dtype)
        return jax.scipy.linalg.solve_triangular(lower, eye, lower=True)
    half = size // 2
    first = _inverse_factor(lower[:half, :half])
    last = _inverse_factor(lower[half:, half:])
    product = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
    below = -product(product(last, lower[half:, :half]), first)
    zeros = jnp.zeros((half, size - half), lower.dtype)
    return jnp.block([[first, zeros], [below, last]])


def again_if_changed(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that under ``vmap`` keeps its last result while arguments are equal.

    For what is dear to compute and often the same for all pictures of a batch, such as
    a decomposition that depends on the mask alone. A batch is computed one by one, and
    an example whose arguments are those of the example before gets its result. (Under
    a second ``vmap`` all are computed.)

    Args:
      function: Any pure function of arrays; pytrees will do, too.
    """

    @jax.custom_batching.custom_vmap
    def once(*arguments: Any) -> Any:
        return function(*arguments)

    @once.def_vmap
    def _(size: int, batched: Any, *arguments: Any) -> tuple[Any, Any]:
        leaves, tree = jax.tree.flatten(arguments)
        mapped = jax.tree.leaves(batched)
        rows = [leaf for leaf, each in zip(leaves, mapped, strict=True) if each]

        def compute(row: list[jax.Array]) -> Any:
            left = iter(row)
            given = [
                next(left) if each else leaf
                for leaf, each in zip(leaves, mapped, strict=True)
            ]
            return function(*jax.tree.unflatten(tree, given))

        def step(last: tuple[Any, Any], row: list[jax.Array]) -> tuple[Any, Any]:
            before, result = last
            equal = [jnp.array_equal(a, b) for a, b in zip(before, row, strict=True)]
            same = functools.reduce(jnp.logical_and, equal)
            result = jax.lax.cond(same, lambda: result, lambda: compute(row))
            return (row, result), result

        first = [row[0] for row in rows]
        _, results = jax.lax.scan(step, (first, compute(first)), rows)
        return results, jax.tree.map(lambda _: True, results)

    return once
