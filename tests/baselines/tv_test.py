"""The total-variation fill against a convex solver."""

import cvxpy
import numpy as np
import pytest
from problems import problem

from inpaint_jax.baselines import tv_fill

SIZE = 12


def total_variation(x):
    """Of ``[H, W, 3]``: at each pixel the norm of its six differences."""
    down = np.diff(x, axis=0, append=x[-1:])
    right = np.diff(x, axis=1, append=x[:, -1:])
    return np.sqrt((down**2 + right**2).sum(-1)).sum()


@pytest.mark.parametrize("mask", ["center", "random80", "top"])
def test_no_fill_has_less_total_variation(mask):
    images, masks, keys = problem(mask)
    found = np.asarray(tv_fill(images, masks, keys, iterations=3000), np.float64)
    for image, one_mask, completed in zip(images, masks, found, strict=True):
        planes = [cvxpy.Variable((SIZE, SIZE)) for _ in range(3)]
        differences = []
        for x in planes:
            last_row, last_column = x[-1:], x[:, -1:]
            differences += [
                cvxpy.vec(cvxpy.vstack([x[1:], last_row]) - x, order="C"),
                cvxpy.vec(cvxpy.hstack([x[:, 1:], last_column]) - x, order="C"),
            ]
        norms = cvxpy.norm(cvxpy.vstack(differences), axis=0)
        known = np.asarray(one_mask[..., 0])
        given = [
            cvxpy.multiply(known, x) == known * np.asarray(image[..., channel])
            for channel, x in enumerate(planes)
        ]
        least = cvxpy.Problem(cvxpy.Minimize(cvxpy.sum(norms)), given).solve()
        assert total_variation(completed) < 1.001 * least
