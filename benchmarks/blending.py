"""The Poisson blend of a batch, compared with sparse solvers that take single images.

Every solver maps images and masks to blended images: SciPy's ``spsolve`` (a direct
method) and pyamg's Ruge-Stueben multigrid, to the same tolerance, on the same linear
system. Its matrix depends on the mask, so setting it up is part of the work.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pyamg
import scipy.sparse
import scipy.sparse.linalg

from benchmarks import timing
from inpaint_jax.blend import blend_batch
from inpaint_jax.masks import make_masks

_SIZE = 64
_TOLERANCE = 1e-6  # The default of ``blend``.
_PEERS_IMAGES = 32  # Greatest number of images for solvers that take single images.
_MASKS = ("center", "pattern", "random80", "half")


def measure(batch: int, repetitions: int) -> Iterator[dict[str, Any]]:
    """A row for every mask and solver."""
    compiled = jax.jit(blend_batch)
    images, generated = _smooth(batch, 0), _smooth(batch, 1)
    for name in _MASKS:
        keys = jax.random.split(jax.random.key(2), batch)
        masks = make_masks(name, keys, (_SIZE, _SIZE))
        found = np.asarray(compiled(images, generated, masks).image)
        problems = [
            _Problem(
                *(np.asarray(x[i], np.float64) for x in (images, generated, masks))
            )
            for i in range(min(batch, _PEERS_IMAGES))
        ]

        def ours(masks: jax.Array = masks) -> object:
            return jax.block_until_ready(compiled(images, generated, masks))

        calls: dict[str, Callable[[], object]] = {"inpaint_jax": ours}
        for peer, solve in (("spsolve", _direct), ("pyamg", _multigrid)):
            exact = np.stack([_solve(problem, solve) for problem in problems])
            error = np.abs(found[: len(problems)] - exact).max()
            assert error < 1e-4, f"{name}: {peer} differs by {error:.1e}"
            calls[peer] = functools.partial(_solve_all, problems, solve)
        for solver, seconds in timing.alternate(calls, repetitions).items():
            count = batch if solver == "inpaint_jax" else len(problems)
            yield {
                "what": "blend",
                "mask": name,
                "contender": solver,
                "batch": batch if solver == "inpaint_jax" else 1,
                "ms_per_image": timing.spread([1e3 * s / count for s in seconds]),
            }


def _smooth(batch: int, seed: int) -> jax.Array:
    """Cloudy pictures ``[batch, 64, 64, 3]`` in [-1, 1]."""
    coarse = jax.random.normal(jax.random.key(seed), (batch, 8, 8, 3))
    return jnp.tanh(jax.image.resize(coarse, (batch, _SIZE, _SIZE, 3), "cubic"))


class _Problem(NamedTuple):
    """A picture with a hole: image and guess ``[S, S, 3]`` and mask ``[S, S, 1]``."""

    image: np.ndarray
    generated: np.ndarray
    mask: np.ndarray


_Solver = Callable[[scipy.sparse.csr_matrix, np.ndarray], np.ndarray]


def _solve_all(problems: Sequence[_Problem], solver: _Solver) -> list[np.ndarray]:
    return [_solve(problem, solver) for problem in problems]


def _solve(problem: _Problem, solver: _Solver) -> np.ndarray:
    """The blended image, from a sparse matrix of the hole's equations."""
    image, generated, mask = problem
    hole = mask[..., 0] == 0
    number = np.full(hole.shape, -1)
    number[hole] = np.arange(hole.sum())
    rows, columns, degree = [], [], np.zeros(hole.sum())
    correction = np.where(hole[..., None], 0.0, image - generated)
    right = np.zeros((hole.sum(), 3))
    y, x = np.nonzero(hole)
    for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
        inside = (y + dy >= 0) & (y + dy < _SIZE) & (x + dx >= 0) & (x + dx < _SIZE)
        here = number[y[inside], x[inside]]
        there = y[inside] + dy, x[inside] + dx
        degree[here] += 1
        right[here] += correction[there]
        both = number[there] >= 0
        rows.append(here[both])
        columns.append(number[there][both])
    row, column = np.concatenate(rows), np.concatenate(columns)
    matrix = scipy.sparse.csr_matrix(
        (-np.ones(row.size), (row, column)), shape=(hole.sum(),) * 2
    )
    blended = image.copy()
    blended[hole] = generated[hole] + solver(
        (matrix + scipy.sparse.diags(degree)).tocsr(), right
    )
    return blended


def _direct(matrix: scipy.sparse.csr_matrix, right: np.ndarray) -> np.ndarray:
    return scipy.sparse.linalg.spsolve(matrix.tocsc(), right)


def _multigrid(matrix: scipy.sparse.csr_matrix, right: np.ndarray) -> np.ndarray:
    solver = pyamg.ruge_stuben_solver(matrix)
    return np.stack([solver.solve(b, tol=_TOLERANCE) for b in right.T], 1)
