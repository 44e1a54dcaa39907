"""The Poisson equation of section 3.3 at the size of a photograph.

``inpaint_jax.blend`` solves it for batches of small images of one shape, which a
compiler knows beforehand. A photograph has a shape of its own and millions of pixels,
of which few are missing: here only those are unknowns, and nothing is compiled.
"""

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse import linalg

_DIRECT = 3000  # Unknowns that are found at once, without a coarser grid.
_CROSS = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.uint8)
_BLOCK = 8
_DEPTH = 2
"""Blocks of 8x8 pixels between the pixels around a hole and what is deep in it."""
_CLOSE = 0.03
"""Residual, in levels of 8 bits, at which the iterations stop."""
_MOST = 200  # Iterations on one grid.


def membrane(values: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The smoothest function in a hole that takes the given values around it.

    It is harmonic: ``d_i u_i - sum_j u_j = 0`` over the ``d_i`` neighbours ``j`` of
    each pixel ``i`` of the hole; beyond the border of the image there are no
    neighbours, as in ``blend.blend``.

    A harmonic function is the smoother the farther from the edge of the hole. So the
    equations are solved on a grid of half the resolution first. What lies at least 16
    pixels deep is taken from there; only in the band along the edge are the equations
    solved again, by conjugate gradient. The work and the memory are those of the edge
    and not those of the area.

    Args:
      values: ``[H, W, C]`` float32, in levels from 0 to 255; what they are in the hole
        does not matter, unless it touches no other pixel.
      hole: ``[H, W]`` bool.

    Returns:
      ``[H, W, C]`` float32: ``values`` where nothing is missing; in the hole about a
      level at most from the exact solution, in photographs; 0 in parts of the hole
      that touch no other pixel.

    References:
      Perez et al., Poisson image editing, ACM TOG, 2003; Agarwala, Efficient
      gradient-domain compositing using quadtrees, ACM TOG, 2007
    """
    known = ~hole
    edges = ndimage.convolve(hole.astype(np.uint8), _CROSS, mode="constant")
    solution = np.where(hole[..., None], np.float32(0), values)
    return _solve(solution, known, np.where(known, edges, 0))


def _solve(values: np.ndarray, known: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """``membrane`` with values 0 where missing, which are replaced.

    Args:
      values: ``[H, W, C]``.
      known: ``[H, W]`` bool.
      weights: ``[H, W]``, for each known pixel the number of pairs of a known and a
        missing neighbour, at the highest resolution, that it stands for.
    """
    hole = ~known
    count = np.count_nonzero(hole)
    if count <= _DIRECT or min(hole.shape) < 2 * _BLOCK:
        if count:
            laplacian, fit = _equations(values, hole)
            # What touches no other pixel would have no one solution.
            regular = laplacian.astype(np.float64) + 1e-9 * sparse.eye_array(count)
            values[hole] = linalg.splu(regular.tocsc()).solve(fit.astype(np.float64))
        return values
    coarse = _solve(*_coarser(values, known, weights))
    for channel in range(values.shape[2]):  # One at a time takes less memory.
        enlarged = _enlarge(coarse[..., channel], hole.shape)
        np.copyto(values[..., channel], enlarged, where=hole)
    band = hole & ~_deep(hole)
    laplacian, fit = _equations(values, band)
    for channel, right in zip(np.moveaxis(values, -1, 0), fit.T, strict=True):
        channel[band] = _conjugate_gradient(laplacian, right.copy(), channel[band])
    return values


def _equations(
    values: np.ndarray, unknown: np.ndarray
) -> tuple[sparse.csr_array, np.ndarray]:
    """The Laplacian ``[N, N]`` of the unknown pixels, and what it should be.

    Args:
      values: ``[H, W, C]``, right where not ``unknown``.
      unknown: ``[H, W]`` bool, N pixels.

    Returns:
      The matrix, and the sums ``[N, C]`` over each pixel's known neighbours.
    """
    height, width = unknown.shape
    count = np.count_nonzero(unknown)
    number = np.full((height + 2, width + 2), -1, np.int32)
    number[1:-1, 1:-1][unknown] = np.arange(count, dtype=np.int32)
    inside = np.zeros(number.shape, bool)
    inside[1:-1, 1:-1] = True
    rows, columns = (each.astype(np.int32) for each in np.nonzero(unknown))
    fit = np.zeros((count, values.shape[2]), np.float32)
    neighbours = np.empty((count, 5), np.int32)
    entries = np.full((count, 5), -1, np.float32)
    entries[:, 2] = 0
    # Above, left, itself, right, below: in the order that sparse rows have.
    shifts = ((-1, 0), (0, -1), (0, 0), (0, 1), (1, 0))
    for place, (down, right) in enumerate(shifts):
        there = rows + (1 + down), columns + (1 + right)
        neighbours[:, place] = number[there]
        if (down, right) == (0, 0):
            continue
        here = inside[there]
        entries[:, 2] += here
        known = here & (neighbours[:, place] < 0)
        fit[known] += values[rows[known] + down, columns[known] + right]
    used = neighbours >= 0
    ends = np.zeros(count + 1, np.int32)
    np.cumsum(np.count_nonzero(used, axis=1), out=ends[1:])
    parts = entries[used], neighbours[used], ends
    return sparse.csr_array(parts, shape=(count, count)), fit


def _conjugate_gradient(
    laplacian: sparse.csr_array, fit: np.ndarray, start: np.ndarray
) -> np.ndarray:
    """The solution ``[N]`` of one channel, preconditioned by the diagonal."""
    scale = 1 / np.maximum(laplacian.diagonal(), 1)
    solution = start.copy()
    residual = fit - laplacian @ solution
    direction, before = np.zeros_like(fit), 1.0
    for _ in range(_MOST):
        if max(residual.max(initial=0), -residual.min(initial=0)) < _CLOSE:
            break
        error = residual * scale
        now = float(residual @ error)
        direction *= np.float32(now / before)
        direction += error
        image = laplacian @ direction
        step = np.float32(now / float(direction @ image))
        error = step * direction
        solution += error
        image *= step
        residual -= image
        before = now
    return solution


def _coarser(
    values: np.ndarray, known: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The arguments of ``_solve`` at half the resolution.

    A block of 2x2 pixels is missing if all of it is. Otherwise it is the mean of those
    of its pixels that touch the hole: farther from it, a picture may be quite another.
    """
    edges = [(0, length % 2) for length in known.shape]

    def of_blocks(image: np.ndarray) -> np.ndarray:
        even = np.pad(image, edges) if (0, 1) in edges else image
        rows = even[::2] + even[1::2]
        return np.asarray(rows[:, ::2] + rows[:, 1::2])

    touching = ndimage.binary_dilation(~known) & known
    counted = np.where(touching, weights, 0).astype(np.float32)
    total = of_blocks(counted)
    least = np.maximum(total, 1)
    means = [
        of_blocks(values[..., channel] * counted) / least
        for channel in range(values.shape[2])
    ]
    return np.stack(means, axis=-1), of_blocks(known.astype(np.uint8)) > 0, total


def _enlarge(coarse: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A channel at twice the resolution, interpolated bilinearly."""
    for length in reversed(shape):
        before = np.concatenate([coarse[:, :1], coarse[:, :-1]], axis=1)
        after = np.concatenate([coarse[:, 1:], coarse[:, -1:]], axis=1)
        finer = np.stack([3 * coarse + before, 3 * coarse + after], axis=2)
        finer *= np.float32(0.25)
        # The other axis comes first now, and is enlarged next.
        coarse = finer.reshape(len(coarse), -1)[:, :length].T
    return coarse


def _deep(hole: np.ndarray) -> np.ndarray:
    """The pixels ``[H, W]`` deep in a hole; beyond the border all counts as missing."""
    height, width = hole.shape
    padded = np.pad(
        hole,
        ((0, -height % _BLOCK), (0, -width % _BLOCK)),
        constant_values=True,
    )
    rows, columns = (length // _BLOCK for length in padded.shape)
    whole = padded.reshape(rows, _BLOCK, columns, _BLOCK).all(axis=(1, 3))
    side = 2 * _DEPTH + 1
    inner = ndimage.binary_erosion(whole, np.ones((side, side)), border_value=1)
    enlarged = inner.repeat(_BLOCK, axis=0).repeat(_BLOCK, axis=1)
    return np.asarray(enlarged[:height, :width])
