"""3x3 convolutions by Winograd's algorithms, as batched matrix products.

A tile of 4x4 outputs of a 3x3 convolution depends on 6x6 inputs and, done directly,
costs 9 * 16 = 144 multiplications for each pair of channels. Evaluating the tile and
the kernel as polynomials at six points of each axis (0, 1, -1, 2, -2, infinity),
multiplying point by point and interpolating costs 6 * 6 = 36. Summed over the input
channels, the multiplications at each of the 36 points are one matrix product. That is
F(4x4, 3x3). F(2x2, 3x3) has tiles of 2x2 outputs and four points (0, 1, -1, infinity):
16 multiplications instead of 36.

The transforms have small coefficients and work on whole slices. Images are laid out
``[H, W, B, C]``, the batch beside the channels, so that slices are contiguous and the
rows of the matrix products need not be copied.

In float32 the error of F(4x4) is at most about 2e-5 of the largest output. Rounding
the factors of the products to bfloat16, after the transforms, costs a relative error of
0.35 % with F(2x2), where a direct convolution has 0.24 %, but 2 % with F(4x4) (1 % with
the best points), whose transforms have larger coefficients.

Each transform is linear, so its derivative is its adjoint, which is written out here:
the one that JAX derives (sums of padded slices) is several times slower.

References:
  Lavin and Gray, Fast algorithms for convolutional neural networks, CVPR 2016
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike

from inpaint_jax.networks.products import multiply

Taps = tuple[tuple[int | None, int | None, int | None], ...]


class _Form(NamedTuple):
    """The matrices of one of Winograd's algorithms, for one axis.

    Attributes:
      input: ``[n, n]``, n the number of points.
      output: ``[m, n]``, m the side of a tile of outputs.
      kernel: ``[n, 3]``.
    """

    input: np.ndarray
    output: np.ndarray
    kernel: np.ndarray


_FORMS = {
    2: _Form(
        np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, -1, 0, 1]]),
        np.array([[1, 1, 1, 0], [0, 1, -1, 1]]),
        np.array([[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]]),
    ),
    4: _Form(
        np.array(
            [
                [4, 0, -5, 0, 1, 0],
                [0, -4, -4, 1, 1, 0],
                [0, 4, -4, -1, 1, 0],
                [0, -2, -1, 2, 1, 0],
                [0, 2, -1, -2, 1, 0],
                [0, 4, 0, -5, 0, 1],
            ]
        ),
        np.array(
            [
                [1, 1, 1, 1, 1, 0],
                [0, 1, -1, 2, -2, 0],
                [0, 1, 1, 4, 4, 0],
                [0, 1, -1, 8, -8, 1],
            ]
        ),
        np.array(
            [
                [1 / 4, 0, 0],
                [-1 / 6, -1 / 6, -1 / 6],
                [-1 / 6, 1 / 6, -1 / 6],
                [1 / 24, 1 / 12, 1 / 6],
                [1 / 24, -1 / 12, 1 / 6],
                [0, 0, 1],
            ]
        ),
    ),
}
"""By the side of a tile."""


def tile_of(kernel: jax.Array) -> int:
    """The side m of the output tiles of a kernel that was transformed for F(mxm)."""
    return math.isqrt(kernel.shape[0]) - 2


def convolve(
    x: jax.Array, kernel: jax.Array, dtype: DTypeLike | None = None
) -> jax.Array:
    """3x3 convolution with stride 1 and zeros around the image.

    Args:
      x: ``[H, W, B, C]``, H and W multiples of the tile's side.
      kernel: ``[n * n, C, N]``, its values at the points (``transform_kernel``).
      dtype: As for ``products.multiply``.

    Returns:
      ``[H, W, B, N]``.
    """
    tile = tile_of(kernel)
    values = _input_transform(x, tile)  # [n, n, H/m, W/m, B, C]
    *points, channels = values.shape
    values = values.reshape(len(kernel), math.prod(points[2:]), channels)
    found = multiply(values, kernel, dtype)
    return _output_transform(found.reshape(*points, kernel.shape[-1]), tile)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def transform_kernel(kernel: jax.Array, taps: Taps, tile: int) -> jax.Array:
    """Evaluates the 3x3 parts of a larger kernel at the points of F(mxm, 3x3).

    Args:
      kernel: ``[K, K, ...]``.
      taps: For each of the P parts along an axis the three taps that it consists of,
        0 to K - 1; None is a zero.
      tile: The side m of a tile, 2 or 4.

    Returns:
      ``[n, n, P, P, ...]`` with n = m + 2: point of the row and of the column, part of
      the row and of the column.
    """
    matrix = _evaluation(taps, tile)
    rows = _materialise(jnp.stack(_mix(matrix, list(kernel))))
    columns = _mix(matrix, [rows[:, j] for j in range(kernel.shape[1])])
    parts = len(taps)
    columns = [column.reshape(-1, parts, *kernel.shape[2:]) for column in columns]
    of_points = [columns[i : i + parts] for i in range(0, len(columns), parts)]
    return jnp.stack([jnp.stack(of_point, 2) for of_point in of_points], 1)


def _kernel_adjoint(
    taps: Taps, tile: int, _: None, values: jax.Array
) -> tuple[jax.Array]:
    matrix = _evaluation(taps, tile).T
    points = [(i, part) for i in range(len(values)) for part in range(len(taps))]
    columns = _mix(matrix, [values[:, v, :, q] for v, q in points])
    stacked = _materialise(jnp.stack(columns))
    return (jnp.stack(_mix(matrix, [stacked[:, u, p] for u, p in points])),)


transform_kernel.defvjp(
    lambda kernel, taps, tile: (transform_kernel(kernel, taps, tile), None),
    _kernel_adjoint,
)


def _evaluation(taps: Taps, tile: int) -> np.ndarray:
    """Matrix ``[n * P, K]`` that evaluates the parts of a kernel along one axis."""
    size = 1 + max(tap for part in taps for tap in part if tap is not None)
    picked = np.zeros((len(taps), 3, size))
    for part, row in zip(picked, taps, strict=True):
        for i, tap in enumerate(row):
            if tap is not None:
                part[i, tap] = 1
    matrix = _FORMS[tile].kernel
    return np.einsum("ui,pik->upk", matrix, picked).reshape(-1, size)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _input_transform(x: jax.Array, tile: int) -> jax.Array:
    """``[H, W, B, C]`` to its tiles' values, ``[n, n, H/m, W/m, B, C]``."""
    matrix = _FORMS[tile].input

    def tiles(x: jax.Array, axis: int) -> list[jax.Array]:
        stop = x.shape[axis] - len(matrix) + 1
        return [
            lax.slice_in_dim(x, i, i + stop, tile, axis=axis)
            for i in range(len(matrix))
        ]

    x = jnp.pad(x, ((1, 1), (1, 1), (0, 0), (0, 0)))
    x = _materialise(jnp.stack(_mix(matrix, tiles(x, 0))))  # [n, H/m, W + 2, B, C]
    return jnp.stack(_mix(matrix, tiles(x, 2)), 1)


def _input_adjoint(tile: int, _: None, values: jax.Array) -> tuple[jax.Array]:
    matrix = _FORMS[tile].input.T

    def join(parts: list[jax.Array], axis: int) -> jax.Array:
        # A tile shares its first and its last row of inputs with its neighbours.
        first, *own, last = parts
        own[0] += _shift(last, 1, axis)
        own[-1] += _shift(first, -1, axis)
        return jnp.stack(own, axis + 1)

    columns = _mix(matrix, [values[:, v] for v in range(len(matrix))])
    rows = _mix(matrix, list(_materialise(join(columns, 2))))
    return (_merge(join(rows, 0)),)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _output_transform(values: jax.Array, tile: int) -> jax.Array:
    """``[n, n, H/m, W/m, B, N]`` to the outputs of all tiles, ``[H, W, B, N]``."""
    matrix = _FORMS[tile].output
    columns = _mix(matrix, [values[:, v] for v in range(values.shape[1])])
    rows = _mix(matrix, list(_materialise(jnp.stack(columns, 3))))
    return _merge(jnp.stack(rows, 1))


def _output_adjoint(tile: int, _: None, y: jax.Array) -> tuple[jax.Array]:
    matrix = _FORMS[tile].output.T
    height, width, batch, channels = y.shape
    y = y.reshape(height // tile, tile, width // tile, tile, batch, channels)
    rows = _materialise(jnp.stack(_mix(matrix, [y[:, p] for p in range(tile)])))
    columns = [rows[:, :, :, q] for q in range(tile)]
    return (jnp.stack(_mix(matrix, columns), 1),)


_input_transform.defvjp(
    lambda x, tile: (_input_transform(x, tile), None), _input_adjoint
)
_output_transform.defvjp(
    lambda values, tile: (_output_transform(values, tile), None), _output_adjoint
)


def _mix(matrix: np.ndarray, parts: Sequence[jax.Array]) -> list[jax.Array]:
    """``matrix @ parts`` for whole arrays; coefficients 0 and 1 cost nothing."""

    def combine(coefficients: np.ndarray) -> jax.Array:
        # Of ``lax``, since tracing the operators of arrays takes many times as long.
        terms = [
            part
            if c == 1
            else lax.neg(part)
            if c == -1
            else lax.mul(lax.full_like(part, c), part)
            for c, part in zip(coefficients, parts, strict=True)
            if c
        ]
        return functools.reduce(lax.add, terms) if terms else lax.full_like(parts[0], 0)

    return [combine(coefficients) for coefficients in matrix]


def _merge(tiles: jax.Array) -> jax.Array:
    """``[H/m, m, W/m, m, B, C]`` to ``[H, W, B, C]``."""
    rows, tile, columns, _, batch, channels = tiles.shape
    return tiles.reshape(tile * rows, tile * columns, batch, channels)


def _shift(x: jax.Array, by: int, axis: int) -> jax.Array:
    """Moves ``x`` by one place along ``axis``; zeros come in."""
    padding = [(0, 0, 0)] * x.ndim
    padding[axis] = (by, -by, 0)
    return lax.pad(x, jnp.zeros((), x.dtype), padding)


def _materialise(x: jax.Array) -> jax.Array:
    """Keeps XLA from fusing across this point.

    Without it both axes of a transform end up in one loop, which computes the first
    axis again for every point of the second.
    """
    return lax.optimization_barrier(x)
