"""The order of images in training."""

import functools

import numpy as np

from inpaint_jax.data.datasets import DataError


def batch_indices(n: int, batch_size: int, *, seed: int, step: int) -> np.ndarray:
    """Indices of the images in the batch of a training step.

    Every epoch is a permutation of all ``n`` images, and a batch may reach across its
    end: with position ``p = step * batch_size + i``, the batch's i-th index is
    ``permutation(p // n)[p % n]``. Nothing is kept between steps, so a resumed run gets
    the same batches as an unbroken one.

    Args:
      n: Number of images.
      batch_size: Number of indices; it may exceed ``n``.
      seed: Seed of the permutations; not negative.
      step: Number of the step, from 0.

    Returns:
      ``[batch_size]`` int64 in [0, n).

    Raises:
      DataError: ``n`` or ``batch_size`` is below 1, or ``seed`` or ``step`` below 0.
    """
    if n < 1 or batch_size < 1 or seed < 0 or step < 0:
        raise DataError(
            "n and batch_size must be at least 1, seed and step at least 0; got "
            f"n={n}, batch_size={batch_size}, seed={seed}, step={step}"
        )
    first = step * batch_size
    pieces = []
    for epoch in range(first // n, (first + batch_size - 1) // n + 1):
        start = max(first - epoch * n, 0)
        stop = min(first + batch_size - epoch * n, n)
        pieces.append(_permutation(n, seed, epoch)[start:stop])
    return np.concatenate(pieces)


@functools.lru_cache(maxsize=4)
def _permutation(n: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(n)
