"""What every baseline must do, and what each one's own definition says."""

import functools

import cvxpy
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import spsolve

from inpaint_jax import make_masks
from inpaint_jax.baselines import guided_fill, harmonic_fill, tv_fill

SIZE = 12
GUIDE = jax.random.uniform(jax.random.key(9), (SIZE, SIZE, 3), minval=-1.0)
FILLS = {
    "harmonic": harmonic_fill,
    "guided": guided_fill(GUIDE),
    "tv": functools.partial(tv_fill, iterations=3000),
}


@pytest.fixture(params=FILLS)
def fill(request):
    return FILLS[request.param]


def problem(mask="center", count=3):
    keys = jax.random.split(jax.random.key(0), count)
    rows = jnp.linspace(-0.8, 0.8, SIZE)
    images = jnp.sin(3 * rows[:, None] + jnp.arange(3.0)) * jnp.cos(
        2 * rows[:, None, None]
    )
    images = images + jax.random.uniform(keys[0], (count, SIZE, SIZE, 3), maxval=0.1)
    return images.clip(-1, 1), make_masks(mask, keys, (SIZE, SIZE)), keys


@pytest.mark.parametrize("mask", ["center", "random80", "left"])
def test_known_pixels_come_back_bit_for_bit(fill, mask):
    images, masks, keys = problem(mask)
    completed = np.asarray(fill(images, masks, keys))
    known = np.broadcast_to(np.asarray(masks) == 1, images.shape)
    np.testing.assert_array_equal(
        completed[known].view(np.int32), np.asarray(images)[known].view(np.int32)
    )
    assert np.abs(completed).max() <= 1


def test_what_stands_in_the_hole_does_not_matter(fill):
    images, masks, keys = problem()
    spoiled = jnp.where(masks == 1, images, jnp.nan)
    np.testing.assert_array_equal(fill(spoiled, masks, keys), fill(images, masks, keys))


def test_an_image_does_not_depend_on_its_neighbours(fill):
    images, masks, keys = problem("random80")
    together = fill(images, masks, keys)
    others = fill(images.at[1:].set(0.5), masks, keys)
    np.testing.assert_array_equal(together[0], others[0])
    alone = fill(images[:1], masks[:1], keys[:1])
    np.testing.assert_allclose(together[0], alone[0], atol=1e-5)


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


def total_variation(x):
    """Of ``[H, W, 3]``: at each pixel the norm of its six differences."""
    down = np.diff(x, axis=0, append=x[-1:])
    right = np.diff(x, axis=1, append=x[:, -1:])
    return np.sqrt((down**2 + right**2).sum(-1)).sum()


@pytest.mark.parametrize("mask", ["center", "random80", "top"])
def test_no_fill_has_less_total_variation(mask):
    images, masks, keys = problem(mask)
    found = np.asarray(FILLS["tv"](images, masks, keys), np.float64)
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
