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
import numpy as np


@jax.custom_batching.sequential_vmap
def eigh(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Eigenvalues of a symmetric matrix, rising, and its eigenvectors as columns.

    Args:
      matrix: ``[L, L]``, of which only the lower triangle is read; under ``vmap`` any
        number of them.

    Returns:
      ``[L]`` and ``[L, L]``.
    """
    vectors, values = jax.lax.linalg.eigh(matrix, symmetrize_input=False)
    return values, vectors


_product = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
"""A product whose factors an accelerator does not round: the numbers of equations
differ by powers of ten, and with rounded ones a matrix would lose its positive
eigenvalues."""

_ROWS = 128
"""Rows of a matrix that ``gram`` multiplies at once."""
_BLOCK = 64
"""Greatest size of a factor that is inverted by substitution, not by halves."""


def gram(matrix: jax.Array, weights: jax.Array) -> jax.Array:
    """The lower triangle of ``matrix @ diag(weights) @ matrix.T``, which is symmetric.

    Args:
      matrix: ``[L, P]``.
      weights: ``[P]``.

    Returns:
      ``[L, L]``; what is above the diagonal is not to be used.
    """
    size, weighted = len(matrix), matrix * weights[None]
    rows = []
    for start in range(0, size, _ROWS):
        end = min(start + _ROWS, size)
        of_rows = _product(weighted[start:end], matrix[:end].T)
        rows.append(jnp.pad(of_rows, ((0, 0), (0, size - end))))
    return jnp.concatenate(rows)


def cholesky(matrix: jax.Array) -> jax.Array:
    """The lower factor ``[L, L]`` of a symmetric positive definite ``[L, L]``.

    Of the matrix only the lower triangle is read. Not for ``vmap``; see
    ``once_for_equal``.
    """
    return jax.lax.linalg.cholesky(matrix, symmetrize_input=False)


def inverse(matrix: jax.Array) -> jax.Array:
    """Inverse ``[L, L]`` of a symmetric positive definite matrix ``[L, L]``.

    Of the matrix only the lower triangle is read. Not for ``vmap``; see
    ``once_for_equal``.
    """
    factor = _inverse_factor(cholesky(matrix))
    return _product(factor.T, factor)


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
    below = -_product(_product(last, lower[half:, :half]), first)
    zeros = jnp.zeros((half, size - half), lower.dtype)
    return jnp.block([[first, zeros], [below, last]])


def once_for_equal(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that under ``vmap`` is computed once for examples that are equal.

    For what is dear to compute and often the same for several pictures of a batch, such
    as a decomposition that depends on the mask alone. A batch is computed one by one,
    in an order in which equal examples follow each other, and an example whose
    arguments are those of the one before gets its result. (Under a second ``vmap`` all
    are computed.)

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

        if size == 1:
            found = compute([row[0] for row in rows])
            results = jax.tree.map(lambda x: x[None], found)
        else:
            order = _equal_together(rows)
            rows = [row[order] for row in rows]
            first = [row[0] for row in rows]
            _, results = jax.lax.scan(step, (first, compute(first)), rows)
            back = jnp.argsort(order)
            results = jax.tree.map(lambda x: x[back], results)
        return results, jax.tree.map(lambda _: True, results)

    return once


def _equal_together(rows: list[jax.Array]) -> jax.Array:
    """An order ``[B]`` of examples in which equal ones follow each other.

    Others may come between them where two have the same checksum by chance.
    """
    checksum: Any = 0.0
    for number, row in enumerate(rows):
        flat = row.reshape(len(row), -1)
        weights = np.random.default_rng(number).uniform(size=(1, flat.shape[1]))
        checksum += (flat * weights.astype(np.float32)).sum(1)
    return jnp.argsort(checksum)
