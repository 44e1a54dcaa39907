"""Matrix completion: what it recovers, and its first round against a convex solver."""

import cvxpy
import jax
import jax.numpy as jnp
import numpy as np

from inpaint_jax.baselines import low_rank_fill


def drawn(size, rank, known, seed=0):
    """Three matrices of that rank in [-1, 1] as one image, and its mask."""
    random = np.random.default_rng(seed)
    factors = random.uniform(-1, 1, (2, 3, size, rank)) / np.sqrt(rank)
    image = jnp.asarray(np.einsum("cir,cjr->ijc", *factors), jnp.float32)
    mask = random.random((size, size, 1)) < known
    return image[None], jnp.asarray(mask[None], jnp.float32), None


def test_a_matrix_of_low_rank_is_recovered_from_some_of_it():
    image, mask, keys = drawn(32, 2, 0.4)
    spoiled = jnp.where(mask == 1, image, jnp.nan)
    found = low_rank_fill(spoiled, mask, keys, rank=2, rounds=8)
    np.testing.assert_allclose(found, image, atol=0.002)
    # Its singular values are free. The nuclear norm alone shrinks them, too.
    shrunk = low_rank_fill(spoiled, mask, keys, rank=2, rounds=0)
    assert np.abs(shrunk - image).max() > 0.1


def test_without_rounds_it_has_the_least_nuclear_norm():
    with jax.enable_x64(True):
        image, mask, keys = drawn(8, 3, 0.6)
        image = (image + 0.1 * np.random.default_rng(1).normal(size=image.shape)).clip(
            -1, 1
        )
        found = low_rank_fill(
            image, mask.astype(image.dtype), keys, rounds=0, iterations=3000
        )
    known = np.asarray(mask[0, ..., 0])
    for channel in range(3):
        y = np.asarray(image[0, ..., channel])
        x = cvxpy.Variable(y.shape)
        given = [cvxpy.multiply(known, x) == known * y]
        cvxpy.Problem(cvxpy.Minimize(cvxpy.normNuc(x)), given).solve()
        assert np.abs(x.value).max() < 1  # Else the fill would be clipped.
        np.testing.assert_allclose(found[0, ..., channel], x.value, atol=2e-3)
