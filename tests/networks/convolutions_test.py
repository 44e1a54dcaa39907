import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from inpaint_jax.networks import convolutions, winograd
from inpaint_jax.networks.convolutions import downsample, upsample

DIMENSIONS = ("HWNC", "HWIO", "HWNC")


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
ARRANGE = {
    "downsample": convolutions.arrange_downsample,
    "upsample": convolutions.arrange_upsample,
}


def example(name, height, width, batch, inputs, outputs, seed=0, side=5):
    """An image and a kernel; height and width are the smaller side's."""
    random = np.random.default_rng(seed)
    scale = 2 if name == "downsample" else 1
    image = random.normal(size=(scale * height, scale * width, batch, inputs))
    kernel = random.normal(size=(side, side, inputs, outputs))
    return jnp.asarray(image), jnp.asarray(kernel)


def assert_same_values_and_gradients(name, image, kernel):
    @jax.jit
    def both(image, kernel, cotangent):
        results = []
        for function in PAIRS[name]:
            value, pull = jax.vjp(function, image, kernel)
            results.append((value, *pull(cotangent)))
        return results

    shape = jax.eval_shape(PAIRS[name][1], image, kernel).shape
    cotangent = jnp.asarray(np.random.default_rng(1).normal(size=shape))
    found, expected = both(image, kernel, cotangent)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype == jnp.float64
        np.testing.assert_allclose(a, b, atol=1e-10)


@pytest.mark.parametrize("name", list(PAIRS))
@pytest.mark.parametrize("side", [4, 5])
@settings(max_examples=3, deadline=None)
@given(
    height=st.integers(1, 5),
    width=st.integers(1, 5),
    batch=st.integers(1, 3),
    inputs=st.integers(1, 4),
    outputs=st.integers(1, 4),
    seed=st.integers(0, 2**31),
)
def test_patches_give_the_values_and_gradients_of_lax(
    name, side, height, width, batch, inputs, outputs, seed
):
    sizes = (height, width, batch, inputs, outputs)
    with jax.enable_x64(True):
        image, kernel = example(name, *sizes, seed, side)
        assert_same_values_and_gradients(name, image, kernel)


@pytest.mark.parametrize("name", list(PAIRS))
@pytest.mark.parametrize(
    ("side", "size"),
    [(5, (4, 4, 16)), (5, (4, 8, 9)), (5, (8, 12, 3)), (4, (4, 8, 9))],
)
def test_tiles_give_the_values_and_gradients_of_lax(name, side, size):
    with jax.enable_x64(True):
        image, kernel = example(name, *size, 9, 8, side=side)
        assert ARRANGE[name](kernel).tiles is not None
        assert_same_values_and_gradients(name, image, kernel)


@pytest.mark.parametrize("name", list(PAIRS))
def test_tiles_in_float32_are_exact_to_rounding(name):
    # Layers as wide as the paper's, where sums are long and rounding adds up.
    image, kernel = (x.astype(jnp.float32) for x in example(name, 8, 8, 8, 256, 128))
    found = jax.jit(PAIRS[name][0])(image, kernel)
    expected = jax.jit(PAIRS[name][1])(image, kernel)
    error = jnp.abs(found - expected).max() / jnp.abs(expected).max()
    assert error < 5e-5


@pytest.mark.parametrize("name", list(PAIRS))
@pytest.mark.parametrize(("channels", "side"), [(3, 5), (8, 5), (3, 4), (8, 4)])
def test_an_arranged_kernel_does_the_same(name, channels, side):
    image, kernel = example(name, 4, 4, 16, channels, 8, side=side)
    arranged = ARRANGE[name](kernel)
    assert (arranged.tiles is None) == (channels < 8)
    function = jax.jit(PAIRS[name][0])
    np.testing.assert_allclose(
        function(image, arranged), function(image, kernel), rtol=1e-4, atol=1e-3
    )


@pytest.mark.parametrize("name", list(PAIRS))
def test_sixteen_bits_are_multiplied_in_small_tiles(name):
    # The transforms of larger ones lose too many of the few digits.
    image, kernel = example(name, 8, 8, 8, 256, 128)
    image, kernel = image.astype(jnp.float32), kernel.astype(jnp.float32)
    arranged = ARRANGE[name](kernel, jnp.bfloat16)
    assert winograd.tile_of(arranged.tiles) == 2
    function, reference = PAIRS[name]
    found = jax.jit(function, static_argnums=2)(image, arranged, jnp.bfloat16)
    assert found.dtype == jnp.float32
    exact = reference(image, kernel)
    low, small = image.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)
    direct = reference(low.astype(jnp.float32), small.astype(jnp.float32))
    error, unavoidable = (jnp.std(x - exact) / jnp.std(exact) for x in (found, direct))
    assert 0 < error < 2 * unavoidable


@pytest.mark.parametrize("name", list(PAIRS))
@pytest.mark.parametrize("channels", [3, 8])
def test_gradients_in_sixteen_bits_are_near(name, channels):
    # Three channels are multiplied as patches, eight in tiles.
    image, kernel = example(name, 4, 4, 16, channels, 8)
    image, kernel = image.astype(jnp.float32), kernel.astype(jnp.float32)

    def gradients(dtype):
        @jax.jit
        def both(image, kernel):
            value, pull = jax.vjp(
                lambda image, kernel: PAIRS[name][0](image, kernel, dtype),
                image,
                kernel,
            )
            return pull(jnp.sin(jnp.arange(value.size)).reshape(value.shape))

        return both(image, kernel)

    for low, high in zip(gradients(jnp.bfloat16), gradients(None), strict=True):
        assert low.dtype == jnp.float32
        assert 0 < jnp.std(low - high) < 0.01 * jnp.std(high)


@pytest.mark.parametrize("name", list(PAIRS))
def test_other_devices_use_their_own_convolutions(name, monkeypatch):
    image, kernel = example(name, 4, 4, 2, 8, 8)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert ARRANGE[name](kernel) is kernel
    np.testing.assert_array_equal(
        PAIRS[name][0](image, kernel), PAIRS[name][1](image, kernel)
    )


def test_downsample_refuses_odd_sides():
    with pytest.raises(ValueError, match="even"):
        downsample(jnp.zeros((5, 4, 1, 3)), jnp.zeros((5, 5, 3, 2)))


@pytest.mark.parametrize("name", list(PAIRS))
def test_second_derivatives_are_those_of_lax(name):
    # A product of gradients, as in a gradient penalty: derivatives of the pull-back.
    with jax.enable_x64(True):
        for channels in (3, 8):
            image, kernel = example(name, 4, 4, 16, channels, 8)

            def penalty(function, image, kernel):
                gradient = jax.grad(lambda x: (function(x, kernel) ** 3).sum())
                return gradient(image).var()

            @jax.jit
            def gradients(image, kernel, penalty=penalty):
                return [
                    jax.grad(penalty, (1, 2))(function, image, kernel)
                    for function in PAIRS[name]
                ]

            found, expected = gradients(image, kernel)
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", list(PAIRS))
@pytest.mark.parametrize("channels", [3, 8])
def test_no_convolution_forward_or_backward(name, channels):
    image, kernel = example(name, 4, 4, 16, channels, 8)

    def text(function):
        def loss(image, kernel):
            return (function(image, kernel) ** 2).sum()

        step = jax.jit(jax.value_and_grad(loss, (0, 1)))
        return step.lower(image, kernel).as_text(dialect="hlo")

    ours, theirs = PAIRS[name]
    assert "convolution(" in text(theirs)
    assert "convolution(" not in text(ours)
