"""Fills by the Poisson equation against a sparse direct solver."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import problem
from scipy import sparse
from scipy.sparse.linalg import spsolve

from inpaint_jax.baselines import guided_fill, harmonic_fill

SIZE = 12
GUIDE = jax.random.uniform(jax.random.key(9), (SIZE, SIZE, 3), minval=-1.0)
FILLS = {"harmonic": harmonic_fill, "guided": guided_fill(GUIDE)}


@pytest.mark.parametrize("mask", ["center", "random80", "top"])
@pytest.mark.parametrize("name", ["harmonic", "guided"])
def test_it_solves_the_poisson_equation(name, mask):
    images, masks, keys = problem(mask)
    guide = np.zeros((SIZE, SIZE, 3)) if name == "harmonic" else np.asarray(GUIDE)
    completed = np.asarray(FILLS[name](images, masks, keys))
    path = sparse.diags([1.0, -2.0, 1.0], [-1, 0, 1], (SIZE, SIZE)).tolil()
    path[0, 0] = path[-1, -1] = -1
    laplacian = sparse.kronsum(path, path).tocsr()
    for image, one_mask, found in zip(images, masks, completed, strict=True):
        hole = np.flatnonzero(np.asarray(one_mask).ravel() == 0)
        for channel in range(3):
            y = np.where(one_mask[..., 0] == 1, image[..., channel], 0).ravel()
            right = (laplacian @ guide[..., channel].ravel() - laplacian @ y)[hole]
            expected = spsolve(laplacian[hole][:, hole].tocsc(), right).clip(-1, 1)
            np.testing.assert_allclose(
                found[..., channel].ravel()[hole], expected, atol=1e-4
            )


def test_nothing_known_gives_the_guide():
    images, masks, keys = problem()
    nothing = jnp.zeros_like(masks)
    np.testing.assert_array_equal(harmonic_fill(images, nothing, keys), 0)
    found = guided_fill(GUIDE)(images, nothing, keys)
    np.testing.assert_allclose(found, jnp.broadcast_to(GUIDE, found.shape), atol=1e-6)
