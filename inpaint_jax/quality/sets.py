"""Distances between two sets of images.

They are computed with NumPy on the host: one sorts tens of millions of numbers, for
which XLA on a CPU takes fourteen times as long, and one takes roots of matrices, for
which float32 is too coarse.
"""

import itertools
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

_COARSEST = 16  # Side of the last level of a pyramid.
_PATCH = 7
_AT_ONCE = 64  # Directions.


def sliced_wasserstein(
    a: np.ndarray,
    b: np.ndarray,
    *,
    seed: int = 0,
    patches: int = 128,
    directions: int = 512,
) -> dict[int, float]:
    """Sliced Wasserstein distance between two sets of images, level by level.

    Random 7x7 patches are taken from every level of the images' Laplacian pyramids,
    each channel is brought to mean 0 and standard deviation 1 within its set, and the
    patches' projections onto random directions are compared. The distance in one
    direction is the mean of |a_i - b_i| over the sorted projections of both sets; that
    of a level is the mean over directions. Fine levels judge texture, the last one
    shapes. The distance falls with the number of images even between sets from one
    source, so compare only sets of one size, and take the distance between two sets of
    real images as the value to reach.

    Args:
      a: ``[N, S, S, C]``, S a power of two of at least 16; any range.
      b: ``[N, S, S, C]`` in the same range.
      seed: Seed of patches and directions.
      patches: Number of patches for each image and level.
      directions: Number of random directions for each level.

    Returns:
      A distance for each level by the level's side, ``{S: ..., ..., 16: ...}``, times
      1000 as usual.

    Raises:
      ValueError: The sets differ in the number or the shape of their images, or the
        images have no such pyramid.

    References:
      Karras et al., Progressive growing of GANs for improved quality, stability, and
      variation, ICLR 2018, section 5
    """
    size = a.shape[1] if a.ndim == 4 else 0
    square = a.ndim == b.ndim == 4 and a.shape[1:] == b.shape[1:] and a.shape[2] == size
    if not square or size < _COARSEST or size & (size - 1):
        raise ValueError(
            f"both sets must be [N, S, S, C] with S a power of two >= {_COARSEST}, got "
            f"{list(a.shape)} and {list(b.shape)}"
        )
    if len(a) != len(b) or not len(a):
        raise ValueError(
            f"both sets must have the same number of images, at least 1, not {len(a)} "
            f"and {len(b)}: the distance falls with that number"
        )
    rng = np.random.default_rng(seed)
    distances = {}
    pyramids = zip(_laplacian_pyramid(a), _laplacian_pyramid(b), strict=True)
    for level_a, level_b in pyramids:
        set_a, set_b = (_patches(level, patches, rng) for level in (level_a, level_b))
        axes = rng.standard_normal((directions, set_a.shape[1]))
        axes /= np.linalg.norm(axes, axis=1, keepdims=True)
        gaps = _gaps(axes.astype(np.float32), set_a, set_b)
        distances[level_a.shape[1]] = 1000 * float(gaps.mean(dtype=np.float64))
    return distances


def _gaps(axes: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distance of ``[P, F]`` and ``[P, F]`` along each of ``[D, F]``: ``[D]``."""

    def gaps(axes: np.ndarray) -> np.ndarray:
        gap = np.sort(axes @ a.T, axis=1) - np.sort(axes @ b.T, axis=1)
        return np.abs(gap).mean(axis=1, dtype=np.float64)

    # Some directions at a time, as the projections are larger than the patches; and one
    # such part for each core, as NumPy sorts on one.
    parts = np.split(axes, range(_AT_ONCE, len(axes), _AT_ONCE))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.concatenate(list(pool.map(gaps, parts)))


def frechet_distance(
    mean_a: np.ndarray,
    covariance_a: np.ndarray,
    mean_b: np.ndarray,
    covariance_b: np.ndarray,
) -> float:
    r"""Fréchet (2-Wasserstein) distance between two Gaussians, squared.

    .. math::

      \|\mu_a - \mu_b\|^2 + \mathrm{tr}(A + B - 2 (A^{1/2} B A^{1/2})^{1/2})

    For the features of an Inception network it is the FID (Heusel et al.).

    Args:
      mean_a: ``[F]``.
      covariance_a: ``[F, F]``, positive semidefinite.
      mean_b: ``[F]``.
      covariance_b: ``[F, F]``.

    Returns:
      The squared distance, 0 for equal Gaussians.

    References:
      Dowson and Landau, The Fréchet distance between multivariate normal distributions,
      1982; Heusel et al., GANs trained by a two time-scale update rule, NeurIPS 2017
    """
    covariance_a = np.asarray(covariance_a, np.float64)
    values, vectors = np.linalg.eigh(covariance_a)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.linalg.eigvalsh(root @ covariance_b @ root)
    difference = np.asarray(mean_a, np.float64) - mean_b
    distance = difference @ difference + np.trace(covariance_a) + np.trace(covariance_b)
    return float(distance - 2 * np.sqrt(np.maximum(cross, 0)).sum())


def frechet_distance_of(a: np.ndarray, b: np.ndarray) -> float:
    """Fréchet distance between the Gaussians of two sets of features.

    Args:
      a: ``[N, F]``, N at least 2.
      b: ``[M, F]``, M at least 2.

    Returns:
      The distance. It is biased upwards, the more the fewer rows there are.
    """
    statistics = []
    for features in (a, b):
        features = np.asarray(features, np.float64)
        statistics += [features.mean(0), np.cov(features, rowvar=False)]
    return frechet_distance(*statistics)


def kernel_distance(a: np.ndarray, b: np.ndarray, *, paired: bool = False) -> float:
    r"""Squared maximum mean discrepancy of two sets of features, unbiased.

    With the kernel :math:`k(x, y) = (x^T y / F + 1)^3`. For the features of an
    Inception network it is the KID (Binkowski et al.). Unlike the Fréchet distance it
    can be compared between sets of different sizes.

    Args:
      a: ``[N, F]``, N at least 2.
      b: ``[M, F]``, M at least 2.
      paired: Whether row i of one set was made of row i of the other, as a completed
        picture is of the whole one; N = M. As these two are alike, the estimate would
        be too low with them, so they are not compared.

    Returns:
      The distance times 1000; about 0 for two sets of one source, and then as often
      negative.

    Raises:
      ValueError: A set has fewer than 2 rows, or those of ``paired`` differ in number.

    References:
      Binkowski et al., Demystifying MMD GANs, ICLR 2018; Gretton et al., A kernel
      two-sample test, JMLR 2012, eq. 4 (``paired``)
    """
    if min(len(a), len(b)) < 2 or (paired and len(a) != len(b)):
        raise ValueError(
            f"sets of {len(a)} and {len(b)} rows: each must have at least 2, and both "
            "equally many if they are paired"
        )
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)

    def kernel(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return np.asarray((one @ other.T / one.shape[1] + 1) ** 3)

    def of_others(found: np.ndarray) -> float:
        count = len(found)
        return float((found.sum() - np.trace(found)) / (count * (count - 1)))

    between = kernel(a, b)
    across = of_others(between) if paired else float(between.mean())
    return 1000 * (of_others(kernel(a, a)) + of_others(kernel(b, b)) - 2 * across)


def _laplacian_pyramid(images: np.ndarray) -> list[np.ndarray]:
    """Laplacian pyramid of ``[N, S, S, C]``: float32 levels from S down to 16."""
    levels = [np.array(images, np.float32)]  # A copy, because it is changed below.
    while levels[-1].shape[1] > _COARSEST:
        levels.append(_five_taps(_five_taps(levels[-1], 1), 2)[:, ::2, ::2])
    for fine, coarse in itertools.pairwise(levels):
        spread = np.zeros_like(fine)
        spread[:, ::2, ::2] = 4 * coarse
        # The levels change in place and from the fine end, so that a level is still
        # whole when the finer one is predicted from it.
        fine -= _five_taps(_five_taps(spread, 1), 2)
    return levels


def _five_taps(images: np.ndarray, axis: int) -> np.ndarray:
    """Burt and Adelson's filter (1, 4, 6, 4, 1) / 16 along an axis, mirrored."""
    padding = [(0, 0)] * images.ndim
    padding[axis] = (2, 2)
    padded = np.moveaxis(np.pad(images, padding, "reflect"), axis, 0)
    length = images.shape[axis]
    taps = [padded[i : i + length] for i in range(5)]
    blurred = (taps[0] + 4 * taps[1] + 6 * taps[2] + 4 * taps[3] + taps[4]) / 16
    return np.moveaxis(blurred, 0, axis)


def _patches(level: np.ndarray, patches: int, rng: np.random.Generator) -> np.ndarray:
    """Random patches ``[N * patches, 7 * 7 * C]``; channels are normalised."""
    count, size, _, channels = level.shape
    rows, columns = rng.integers(0, size - _PATCH + 1, (2, count, patches))
    windows = np.lib.stride_tricks.sliding_window_view(level, (_PATCH, _PATCH), (1, 2))
    chosen = windows[np.arange(count)[:, None], rows, columns]
    chosen = chosen.reshape(count * patches, channels, _PATCH**2)
    mean = chosen.mean((0, 2), keepdims=True, dtype=np.float64).astype(np.float32)
    deviation = chosen.std((0, 2), keepdims=True, dtype=np.float64).astype(np.float32)
    chosen = (chosen - mean) / np.maximum(deviation, np.finfo(np.float32).tiny)
    return chosen.reshape(count * patches, -1)
