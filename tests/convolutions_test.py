import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from inpaint_jax.convolutions import downsample, upsample

DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def reference_downsample(image, kernel):
    return lax.conv_general_dilated(
        image, kernel, (2, 2), "SAME", dimension_numbers=DIMENSIONS
    )


def reference_upsample(image, kernel):
    return lax.conv_transpose(
        image, kernel, (2, 2), "SAME", dimension_numbers=DIMENSIONS
    )


PAIRS = {
    "downsample": (downsample, reference_downsample),
    "upsample": (upsample, reference_upsample),
}

sizes = st.tuples(
    st.integers(1, 3),  # batch
    st.sampled_from([2, 4, 6, 8]),  # height
    st.sampled_from([2, 4, 10]),  # width
    st.integers(1, 4),  # inputs
    st.integers(1, 4),  # outputs
    st.integers(0, 2**31),
)


@pytest.mark.parametrize("name", list(PAIRS))
@settings(max_examples=5, deadline=None)
@given(sizes)
def test_values_and_gradients_are_those_of_lax(name, size):
    ours, theirs = PAIRS[name]
    batch, height, width, inputs, outputs, seed = size
    random = np.random.default_rng(seed)
    with jax.enable_x64(True):
        image = jnp.asarray(random.normal(size=(batch, height, width, inputs)))
        kernel = jnp.asarray(random.normal(size=(5, 5, inputs, outputs)))
        expected, expected_pull = jax.vjp(theirs, image, kernel)
        found, pull = jax.vjp(ours, image, kernel)
        assert found.dtype == jnp.float64
        np.testing.assert_allclose(found, expected, atol=1e-12)
        cotangent = jnp.asarray(random.normal(size=expected.shape))
        for gradient, reference in zip(
            pull(cotangent), expected_pull(cotangent), strict=True
        ):
            np.testing.assert_allclose(gradient, reference, atol=1e-11)


@pytest.mark.parametrize("name", list(PAIRS))
def test_second_derivatives_are_those_of_lax(name):
    # A product of gradients, as in a gradient penalty: derivatives of the pull-back.
    ours, theirs = PAIRS[name]
    random = np.random.default_rng(0)
    with jax.enable_x64(True):
        image = jnp.asarray(random.normal(size=(2, 4, 4, 3)))
        kernel = jnp.asarray(random.normal(size=(5, 5, 3, 2)))

        def penalty(function, image, kernel):
            return (jax.grad(lambda x: (function(x, kernel) ** 3).sum())(image)).var()

        for argument in (1, 2):
            found = jax.grad(penalty, argument)(ours, image, kernel)
            expected = jax.grad(penalty, argument)(theirs, image, kernel)
            np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("name", list(PAIRS))
def test_no_dilated_image_forward_or_backward(name):
    ours, theirs = PAIRS[name]
    image, kernel = jnp.ones((2, 8, 8, 4)), jnp.ones((5, 5, 4, 3))

    def text(function):
        def step(image):
            return jax.value_and_grad(lambda x: (function(x, kernel) ** 2).sum())(image)

        return jax.jit(step).lower(image).as_text(dialect="hlo")

    assert "lhs_dilate" in text(theirs)
    assert "lhs_dilate" not in text(ours)


@pytest.mark.parametrize("name", list(PAIRS))
def test_vmap_over_images_is_the_batch(name):
    ours, _ = PAIRS[name]
    image = jax.random.normal(jax.random.key(0), (3, 8, 8, 4))
    kernel = jax.random.normal(jax.random.key(1), (5, 5, 4, 2))
    alone = jax.vmap(lambda x: ours(x[None], kernel)[0])(image)
    np.testing.assert_allclose(alone, ours(image, kernel), rtol=1e-5, atol=1e-5)
