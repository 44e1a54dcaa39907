"""3x3 convolutions by Winograd's algorithm F(4x4, 3x3), as batched matrix products.

A tile of 4x4 outputs of a 3x3 convolution depends on 6x6 inputs and, done directly,
costs 9 * 16 = 144 multiplications for each pair of channels. Evaluating the tile and
the kernel as polynomials at six points of each axis (0, 1, -1, 2, -2, infinity),
multiplying point by point and interpolating costs 6 * 6 = 36. Summed over the input
channels, the multiplications at each of the 36 points are one matrix product.

The transforms have small coefficients and work on whole slices. Images are laid out
``[H, W, B, C]``, the batch beside the channels, so that slices are contiguous and the
rows of the matrix products need not be copied. In float32 the error is at most about
2e-5 of the largest output.

Each transform is linear, so its derivative is its adjoint, which is written out here:
the one that JAX derives (sums of padded slices) is several times slower.

References:
  Lavin and Gray, Fast algorithms for convolutional neural networks, CVPR 2016
"""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Taps = tuple[tuple[int | None, int | None, int | None], ...]

TILE = 4
"""Side of an output tile."""
_POINTS = 6

_INPUT = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
_OUTPUT = np.array(
    [
        [1, 1, 1, 1, 1, 0],
        [0, 1, -1, 2, -2, 0],
        [0, 1, 1, 4, 4, 0],
        [0, 1, -1, 8, -8, 1],
    ]
)
_KERNEL = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)


def convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """3x3 convolution with stride 1 and zeros around the image.

    Args:
      x: ``[H, W, B, C]``, H and W multiples of 4.
      kernel: ``[36, C, N]``, its values at the 36 points (``transform_kernel``).

    Returns:
      ``[H, W, B, N]``.
    """
    values = _input_transform(x)  # [6, 6, H/4, W/4, B, C]
    *points, channels = values.shape
    rows = math.prod(points[2:])
    products = jnp.matmul(values.reshape(_POINTS**2, rows, channels), kernel)
    return _output_transform(products.reshape(*points, kernel.shape[-1]))


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def transform_kernel(kernel: jax.Array, taps: Taps) -> jax.Array:
    """Evaluates the 3x3 parts of a larger kernel at the 36 points.

    Args:
      kernel: ``[K, K, ...]``.
      taps: For each of the P parts along an axis the three taps that it consists of,
        0 to K - 1; None is a zero.

    Returns:
      ``[6, 6, P, P, ...]``: point of the row and of the column, part of the row and of
      the column.
    """
    matrix = _evaluation(taps)
    rows = _materialise(jnp.stack(_mix(matrix, list(kernel))))
    columns = _mix(matrix, [rows[:, j] for j in range(kernel.shape[1])])
    parts = len(taps)
    columns = [column.reshape(_POINTS, parts, *kernel.shape[2:]) for column in columns]
    of_points = [columns[i : i + parts] for i in range(0, len(columns), parts)]
    return jnp.stack([jnp.stack(of_point, 2) for of_point in of_points], 1)


def _kernel_adjoint(taps: Taps, _: None, values: jax.Array) -> tuple[jax.Array]:
    matrix = _evaluation(taps).T
    points = [(i, part) for i in range(_POINTS) for part in range(len(taps))]
    columns = _mix(matrix, [values[:, v, :, q] for v, q in points])
    stacked = _materialise(jnp.stack(columns))
    return (jnp.stack(_mix(matrix, [stacked[:, u, p] for u, p in points])),)


transform_kernel.defvjp(
    lambda kernel, taps: (transform_kernel(kernel, taps), None), _kernel_adjoint
)


def _evaluation(taps: Taps) -> np.ndarray:
    """Matrix ``[6 * P, K]`` that evaluates the parts of a kernel along one axis."""
    size = 1 + max(tap for part in taps for tap in part if tap is not None)
    picked = np.zeros((len(taps), 3, size))
    for part, row in zip(picked, taps, strict=True):
        for i, tap in enumerate(row):
            if tap is not None:
                part[i, tap] = 1
    return np.einsum("ui,pik->upk", _KERNEL, picked).reshape(-1, size)


@jax.custom_vjp
def _input_transform(x: jax.Array) -> jax.Array:
    """``[H, W, B, C]`` to the values of its 6x6 tiles, ``[6, 6, H/4, W/4, B, C]``."""

    def tiles(x: jax.Array, axis: int) -> list[jax.Array]:
        stop = x.shape[axis] - _POINTS + 1
        return [
            lax.slice_in_dim(x, i, i + stop, TILE, axis=axis) for i in range(_POINTS)
        ]

    x = jnp.pad(x, ((1, 1), (1, 1), (0, 0), (0, 0)))
    x = _materialise(jnp.stack(_mix(_INPUT, tiles(x, 0))))  # [6, H/4, W + 2, B, C]
    return jnp.stack(_mix(_INPUT, tiles(x, 2)), 1)


def _input_adjoint(_: None, values: jax.Array) -> tuple[jax.Array]:
    def join(parts: list[jax.Array], axis: int) -> jax.Array:
        # A tile shares its first and its last row of inputs with its neighbours.
        first, one, two, three, four, last = parts
        one += _shift(last, 1, axis)
        four += _shift(first, -1, axis)
        return jnp.stack([one, two, three, four], axis + 1)

    columns = _mix(_INPUT.T, [values[:, v] for v in range(_POINTS)])
    rows = _mix(_INPUT.T, list(_materialise(join(columns, 2))))
    return (_merge(join(rows, 0)),)


@jax.custom_vjp
def _output_transform(products: jax.Array) -> jax.Array:
    """``[6, 6, H/4, W/4, B, N]`` to the outputs of all tiles, ``[H, W, B, N]``."""
    columns = _mix(_OUTPUT, [products[:, v] for v in range(_POINTS)])
    rows = _mix(_OUTPUT, list(_materialise(jnp.stack(columns, 3))))
    return _merge(jnp.stack(rows, 1))


def _output_adjoint(_: None, y: jax.Array) -> tuple[jax.Array]:
    height, width, batch, channels = y.shape
    y = y.reshape(height // TILE, TILE, width // TILE, TILE, batch, channels)
    rows = _materialise(jnp.stack(_mix(_OUTPUT.T, [y[:, p] for p in range(TILE)])))
    columns = [rows[:, :, :, q] for q in range(TILE)]
    return (jnp.stack(_mix(_OUTPUT.T, columns), 1),)


_input_transform.defvjp(lambda x: (_input_transform(x), None), _input_adjoint)
_output_transform.defvjp(lambda x: (_output_transform(x), None), _output_adjoint)


def _mix(matrix: np.ndarray, parts: Sequence[jax.Array]) -> list[jax.Array]:
    """``matrix @ parts`` for whole arrays; coefficients 0 and 1 cost nothing."""

    def combine(coefficients: np.ndarray) -> jax.Array:
        terms = [
            part if c == 1 else -part if c == -1 else part.dtype.type(c) * part
            for c, part in zip(coefficients, parts, strict=True)
            if c
        ]
        return functools.reduce(jnp.add, terms) if terms else jnp.zeros_like(parts[0])

    return [combine(coefficients) for coefficients in matrix]


def _merge(tiles: jax.Array) -> jax.Array:
    """``[H/4, 4, W/4, 4, B, C]`` to ``[H, W, B, C]``."""
    rows, _, columns, _, batch, channels = tiles.shape
    return tiles.reshape(TILE * rows, TILE * columns, batch, channels)


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
