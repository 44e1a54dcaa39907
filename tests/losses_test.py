"""Losses against loops and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inpaint_jax import losses, masks

SHAPE = (6, 5, 3)


def weights_by_loops(mask, window):
    """Equation 3, a pixel at a time; beyond the border the mask is mirrored."""
    height, width = mask.shape
    reach = window // 2

    def mirrored(index, length):
        while not 0 <= index < length:
            index = -1 - index if index < 0 else 2 * length - 1 - index
        return index

    weights = np.zeros((height, width))
    for i in range(height):
        for j in range(width):
            if mask[i, j] == 0:
                continue
            for di in range(-reach, reach + 1):
                for dj in range(-reach, reach + 1):
                    known = mask[mirrored(i + di, height), mirrored(j + dj, width)]
                    weights[i, j] += (1 - known) / window**2
    return weights


weigh = jax.jit(losses.importance_weights, static_argnums=1)


@settings(deadline=None, max_examples=15)
@given(
    hnp.arrays(np.float32, (9, 6), elements=st.sampled_from([0.0, 1.0])),
    st.sampled_from([1, 3, 7, 11]),
)
def test_weights_are_equation_3(mask, window):
    weights = weigh(mask[:, :, None], window)
    assert weights.shape == (9, 6, 1)
    np.testing.assert_allclose(
        weights[..., 0], weights_by_loops(mask, window), atol=1e-6
    )


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (3, 2)])
def test_weights_of_images_smaller_than_the_window(shape):
    mask = np.ones(shape, np.float32)
    mask[0, 0] = 0
    np.testing.assert_allclose(
        losses.importance_weights(mask[:, :, None])[..., 0],
        weights_by_loops(mask, 7),
        atol=1e-6,
    )


def test_weights_of_one_hole_by_hand():
    mask = jnp.ones((9, 9, 1)).at[4, 4].set(0)
    weights = np.asarray(losses.importance_weights(mask, 3))[..., 0]
    expected = np.zeros((9, 9))
    expected[3:6, 3:6] = 1 / 9
    expected[4, 4] = 0
    np.testing.assert_allclose(weights, expected, atol=1e-7)


@pytest.mark.parametrize(
    "name, total, spread",
    [("center", 107, 0.5), ("random80", 639, 20), ("half", 55, 0.5), ("top", 55, 0.5)],
)
def test_sum_of_weights_of_the_papers_masks(name, total, spread):
    keys = jax.random.split(jax.random.key(0), 8)
    weights = jax.vmap(losses.importance_weights)(
        masks.make_masks(name, keys, (64, 64))
    )
    np.testing.assert_allclose(jnp.sum(weights) / 8, total, atol=spread)


@pytest.mark.parametrize("name", masks.MASK_NAMES)
def test_weights_are_zero_where_missing_and_largest_beside_the_hole(name):
    mask = masks.mask_function(name)(jax.random.key(0), (64, 64))
    weights = losses.importance_weights(mask)
    assert (weights[mask == 0] == 0).all()
    assert (weights >= 0).all()
    assert (weights < 1).all()
    # Not the other way about: a pixel with much missing around it weighs more than
    # one with little.
    if name == "center":
        assert weights[15, 32] == pytest.approx(21 / 49)
        assert weights[13, 32] == pytest.approx(7 / 49)
        assert weights[12, 32] == 0


def test_weights_of_degenerate_masks():
    assert (losses.importance_weights(jnp.ones((8, 8, 1))) == 0).all()
    assert (losses.importance_weights(jnp.zeros((8, 8, 1))) == 0).all()


@pytest.mark.parametrize("window", [0, 2, 8, -1])
def test_an_even_window_is_refused(window):
    with pytest.raises(ValueError, match="odd"):
        losses.importance_weights(jnp.ones((8, 8, 1)), window)


# ---- context loss ----------------------------------------------------------------


def random_case(seed=0, shape=SHAPE):
    rng = np.random.default_rng(seed)
    generated, image = rng.uniform(-1, 1, (2, *shape)).astype(np.float32)
    mask = (rng.random((*shape[:2], 1)) > 0.3).astype(np.float32)
    return generated, image, losses.importance_weights(mask, 3)


def test_context_loss_is_equation_4():
    generated, image, weights = random_case()
    expected = 0.0
    for i, j, c in np.ndindex(SHAPE):
        expected += float(weights[i, j, 0]) * abs(
            float(generated[i, j, c]) - float(image[i, j, c])
        )
    total = losses.context_loss(generated, image, weights)
    assert total.shape == ()
    np.testing.assert_allclose(total, expected, rtol=1e-5)


def test_context_loss_gradient_is_the_signed_weight():
    generated, image, weights = random_case()
    gradient = jax.grad(losses.context_loss)(generated, image, weights)
    np.testing.assert_allclose(
        gradient, weights * np.sign(generated - image), rtol=1e-6
    )


@pytest.mark.parametrize("hole", [np.nan, np.inf, -1e30, 7.0])
def test_what_the_hole_holds_does_not_matter(hole):
    generated, image, weights = random_case()
    spoiled = np.where(weights > 0, image, hole)

    def loss_and_gradient(image):
        def loss(generated):
            return losses.context_loss(generated, image, weights)

        return jax.value_and_grad(loss)(generated)

    loss, gradient = loss_and_gradient(image)
    spoiled_loss, spoiled_gradient = loss_and_gradient(spoiled)
    assert np.isfinite(loss)
    np.testing.assert_array_equal(spoiled_loss, loss)
    np.testing.assert_array_equal(spoiled_gradient, gradient)


def test_context_loss_of_degenerate_masks_is_zero():
    generated, image, _ = random_case()
    for mask in (jnp.zeros((6, 5, 1)), jnp.ones((6, 5, 1))):
        weights = losses.importance_weights(mask)
        loss, gradient = jax.value_and_grad(losses.context_loss)(
            generated, jnp.full_like(image, jnp.nan), weights
        )
        assert loss == 0
        assert (gradient == 0).all()


def test_context_loss_in_a_batch_is_the_loss_alone():
    cases = [random_case(seed) for seed in range(4)]
    batch = jax.vmap(losses.context_loss)(
        *(jnp.stack(x) for x in zip(*cases, strict=True))
    )
    alone = [losses.context_loss(*case) for case in cases]
    np.testing.assert_allclose(batch, jnp.stack(alone), rtol=1e-6)


# ---- prior loss ------------------------------------------------------------------


@settings(deadline=None, max_examples=25)
@given(st.floats(-8, 8), st.floats(-8, 8))
def test_prior_loss_is_equation_5(fake, real):
    logits = np.zeros(2)
    logits[losses.FAKE], logits[losses.REAL] = fake, real
    probability = np.exp(real) / (np.exp(real) + np.exp(fake))  # D(x)
    np.testing.assert_allclose(
        losses.prior_loss(jnp.asarray(logits, jnp.float32)),
        0.003 * np.log1p(-probability),
        rtol=2e-4,
        atol=1e-8,
    )


def test_prior_loss_falls_as_the_image_looks_more_real():
    logits = jnp.zeros(2)
    gradient = jax.grad(losses.prior_loss)(logits)
    assert gradient[losses.REAL] < 0 < gradient[losses.FAKE]
    np.testing.assert_allclose(losses.prior_loss(logits), -0.003 * np.log(2), rtol=1e-6)


@pytest.mark.parametrize("real", [50.0, 1000.0])
def test_prior_loss_is_exact_where_the_probability_rounds_to_one(real):
    logits = jnp.zeros(2).at[losses.REAL].set(real)
    loss, gradient = jax.value_and_grad(losses.prior_loss)(logits, 0.5)
    np.testing.assert_allclose(loss, -0.5 * real, rtol=1e-6)
    np.testing.assert_allclose(gradient[losses.REAL], -0.5, rtol=1e-6)
    np.testing.assert_allclose(
        losses.prior_loss(-logits, 0.5), 0, atol=1e-12
    )  # and where it rounds to zero
