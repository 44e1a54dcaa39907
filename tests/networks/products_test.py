"""Products whose factors are rounded, beside NumPy's of the rounded factors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaint_jax.networks.products import multiply


def rounded(x):
    """float64 values of the nearest bfloat16."""
    return np.asarray(jnp.asarray(x, jnp.bfloat16), np.float64)


@settings(max_examples=10, deadline=None)
@given(
    shape=st.sampled_from(
        [((3, 5), (5, 2)), ((4, 3, 5), (5, 2)), ((2, 3, 4, 5), (5, 2))]
    )
    | st.just(((36, 3, 5), (36, 5, 2))),
    seed=st.integers(0, 2**31),
)
def test_values_and_gradients_are_those_of_rounded_factors(shape, seed):
    random = np.random.default_rng(seed)
    x, y = (random.normal(size=each).astype(np.float32) for each in shape)
    found, pull_back = jax.vjp(lambda x, y: multiply(x, y, jnp.bfloat16), x, y)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, rounded(x) @ rounded(y), rtol=1e-4, atol=1e-4)
    cotangent = random.normal(size=found.shape).astype(np.float32)
    of_x, of_y = pull_back(cotangent)
    expected_x = rounded(cotangent) @ rounded(y).swapaxes(-1, -2)
    expected_y = rounded(x).swapaxes(-1, -2) @ rounded(cotangent)
    if y.ndim == 2 and x.ndim > 2:
        expected_y = expected_y.reshape(-1, *y.shape).sum(0)
    np.testing.assert_allclose(of_x, expected_x, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(of_y, expected_y, rtol=1e-4, atol=1e-4)
    assert of_x.dtype == of_y.dtype == jnp.float32


def test_sums_are_not_rounded():
    # In bfloat16 257 is no number: a sum of that many ones would stop at 256.
    ones = jnp.ones((1, 257))
    assert multiply(ones, ones.T, jnp.bfloat16) == 257


@pytest.mark.parametrize("dtype", [None, jnp.float32])
def test_without_rounding_it_is_a_product(dtype):
    random = np.random.default_rng(0)
    x, y = (random.normal(size=(7, 7)).astype(np.float32) for _ in range(2))
    np.testing.assert_array_equal(multiply(x, y, dtype), jnp.matmul(x, y))


def test_stored_in_16_bits_it_is_multiplied_so():
    random = np.random.default_rng(0)
    x, y = (random.normal(size=(7, 7)).astype(np.float32) for _ in range(2))
    found = multiply(x, jnp.asarray(y, jnp.bfloat16))
    np.testing.assert_array_equal(found, multiply(x, y, jnp.bfloat16))
