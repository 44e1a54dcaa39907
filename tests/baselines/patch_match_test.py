"""PatchMatch: which holes it can fill, and with what."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import problem

from inpaint_jax.baselines import HoleError, harmonic_fill, patch_match_fill
from inpaint_jax.baselines.patch_match import check_hole


@pytest.mark.parametrize("mask", ["random80", "center"])
def test_a_hole_that_leaves_no_patch_is_refused(mask):
    given = problem(mask, size=16)
    with pytest.raises(HoleError, match="leaves no patch of 7x7 known pixels"):
        patch_match_fill(*given)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (4, 5), (9, 9)])
def test_one_patch_is_enough(row, column):
    hole = np.ones((16, 16), bool)
    hole[row : row + 7, column : column + 7] = False
    check_hole(hole)
    hole[row + 6, column] = True
    with pytest.raises(HoleError):
        check_hole(hole)


def test_stripes_are_continued():
    row = np.where(np.arange(32) % 16 < 8, -0.6, 0.7)
    image = np.broadcast_to(row[:, None], (1, 32, 32, 3)).astype(np.float32)
    mask = jnp.ones((1, 32, 32, 1)).at[:, 12:20, 12:20].set(0)
    keys = jax.random.split(jax.random.key(0), 1)
    found = patch_match_fill(jnp.where(mask == 1, image, 0), mask, keys)
    np.testing.assert_allclose(found, image, atol=0.02)
    assert np.abs(harmonic_fill(image, mask, keys) - image).max() > 0.5


def test_another_key_is_another_try():
    images, masks, _ = problem("left", count=1, size=32)
    images = images + 0.2 * jax.random.normal(jax.random.key(1), images.shape)
    tries = [
        np.asarray(patch_match_fill(images, masks, jax.random.split(key, 1)))
        for key in map(jax.random.key, (0, 1, 0))
    ]
    np.testing.assert_array_equal(tries[0], tries[2])
    assert (tries[0] != tries[1]).any()
