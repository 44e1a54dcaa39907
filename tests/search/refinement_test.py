import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaint_jax import load_model, masks
from inpaint_jax.configs import RefineConfig
from inpaint_jax.losses import context_loss, importance_weights
from inpaint_jax.search.refinement import refine

SIZE = 8
MASK = masks.center(jax.random.key(0), (SIZE, SIZE))
WEIGHTS = importance_weights(MASK)


def picture(seed):
    key = jax.random.key(seed)
    return jax.random.uniform(key, (SIZE, SIZE, 3), minval=-1.0, maxval=1.0)


def itself(features):
    return features


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 100), trust=st.sampled_from([0.05, 0.3, 2.0]))
def test_where_features_are_pixels_it_is_soft_thresholding(seed, trust):
    # min w |f + s d - y| / (3 sum w) + trust d^2 / n has a solution a pixel.
    features, image = picture(seed), picture(seed + 1000)
    config = RefineConfig(steps=1500, learning_rate=0.02, trust=trust)
    found = jax.jit(lambda f, y: refine(itself, f, y, WEIGHTS, config=config))(
        features, image
    )
    scale = np.sqrt(np.mean(np.square(features)))
    total = 3 * np.sum(WEIGHTS)
    wish = np.asarray(image - features) / scale
    reach = np.asarray(WEIGHTS) * scale / total * features.size / (2 * trust)
    expected = features + scale * np.clip(wish, -reach, reach)
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_what_has_no_weight_stays_and_does_not_matter():
    image = jnp.where(MASK > 0, picture(0), jnp.nan)
    found = refine(itself, picture(1), image, WEIGHTS, config=RefineConfig(steps=5))
    unweighted = np.broadcast_to(WEIGHTS == 0, found.shape)
    np.testing.assert_array_equal(found[unweighted], picture(1)[unweighted])
    assert (found != picture(1)).any()
    nothing = refine(
        itself, picture(1), image, jnp.zeros_like(WEIGHTS), config=RefineConfig(steps=5)
    )
    np.testing.assert_array_equal(nothing, picture(1))


@pytest.mark.networks
@pytest.mark.slow
def test_a_generator_comes_closer_than_its_latent(tiny_model_file):
    model = load_model(tiny_model_file)
    assert model.halves is not None
    features, render = model.halves
    size = model.image_size
    mask = masks.center(jax.random.key(0), (size, size))
    weights = importance_weights(mask)
    latent = jnp.full(model.latents.shape, 0.3)
    before = features(latent)
    noise = jax.random.normal(jax.random.key(1), before.shape)
    image = render(before + 0.5 * before.std() * noise)

    def loss(**changes):
        found = refine(render, before, image, weights, config=RefineConfig(**changes))
        return context_loss(found, image, weights)

    np.testing.assert_allclose(render(before), model.generate(latent), atol=1e-6)
    at_latent = context_loss(render(before), image, weights)
    free, held = loss(trust=0.0), loss(trust=1e6)
    assert free < 0.9 * at_latent
    np.testing.assert_allclose(held, at_latent, rtol=0.02)
    assert free < loss(trust=1.0) < at_latent


@pytest.mark.networks
def test_it_computes_in_float32_whatever_the_networks_do(tiny_model_file):
    model = load_model(tiny_model_file, precision="bfloat16")
    features, render = model.halves
    before = features(jnp.full(model.latents.shape, 0.3))
    assert before.dtype == jnp.float32
    image = jnp.zeros((model.image_size, model.image_size, 3))
    weights = jnp.ones((model.image_size, model.image_size, 1))
    found = refine(render, before, image, weights, config=RefineConfig(steps=2))
    assert found.dtype == jnp.float32


@pytest.mark.parametrize(
    "changes", [{"steps": 0}, {"learning_rate": 0.0}, {"trust": -1.0}]
)
def test_bad_values_are_refused(changes):
    (name,) = changes
    with pytest.raises(ValueError, match=name):
        RefineConfig(**changes)
