import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from inpaint_jax import latents
from inpaint_jax.latents import Normal, Uniform

SPACES = [Uniform(3), Normal(3), Uniform((2, 3)), Normal((2, 3))]


@pytest.mark.parametrize("space", SPACES)
def test_samples_are_the_priors(space):
    keys = jax.random.split(jax.random.key(0), 4000)
    drawn = np.asarray(jax.vmap(space.sample)(keys))
    assert drawn.shape == (4000, *space.shape)
    assert drawn.dtype == np.float32
    law = stats.uniform(-1, 2) if isinstance(space, Uniform) else stats.norm()
    assert stats.kstest(drawn.reshape(-1), law.cdf).pvalue > 1e-3


def test_the_density_of_a_normal_is_scipys_up_to_a_constant():
    points = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    found = np.array([Normal((2, 3)).log_density(x.reshape(2, 3)) for x in points])
    expected = stats.multivariate_normal(np.zeros(6)).logpdf(points)
    np.testing.assert_allclose(found - found[0], expected - expected[0], rtol=1e-4)


def test_the_box_has_one_density_inside():
    space = Uniform(2)
    assert space.log_density(jnp.float32([1, -1])) == 0
    assert space.log_density(jnp.float32([1.01, 0])) == -np.inf


@settings(deadline=None, max_examples=30)
@given(
    # The smallest numbers of all are 0 to some processors.
    st.lists(st.floats(-3, 3, width=32, allow_subnormal=False), min_size=4, max_size=4)
)
def test_projections(values):
    z = jnp.asarray(values, jnp.float32)
    nearest = Uniform(4).project(z)
    np.testing.assert_array_equal(nearest, np.clip(values, -1, 1).astype(np.float32))
    np.testing.assert_array_equal(Normal(4).project(z), z)
    # A small step against the projected gradient does not leave the box.
    gradient = jnp.float32([1, -2, 3, -4])
    step = nearest - 1e-3 * Uniform(4).project_gradient(nearest, gradient)
    inside = np.abs(nearest) < 1
    assert (np.abs(np.asarray(step))[~inside] <= 1).all()
    left = np.asarray(Uniform(4).project_gradient(nearest, gradient))
    np.testing.assert_array_equal(left[inside], np.asarray(gradient)[inside])
    np.testing.assert_array_equal(Normal(4).project_gradient(z, gradient), gradient)


def test_any_number_becomes_a_latent():
    free = jnp.float32([-50, 0.5, 3])
    np.testing.assert_array_equal(Normal(3).squash(free), free)
    np.testing.assert_allclose(Uniform(3).squash(free), np.tanh(free), rtol=1e-6)


def test_spaces_are_compared_by_kind_and_shape():
    assert Uniform(3) == Uniform((3,))
    assert hash(Uniform(3)) == hash(Uniform((3,)))
    assert Uniform(3) != Normal(3)
    assert Uniform(3) != Uniform(4)
    assert repr(Normal(512)) == "Normal(512)"
    assert repr(Normal((14, 512))) == "Normal((14, 512))"
    assert latents.size(Normal((14, 512))) == 7168


@pytest.mark.parametrize("space", SPACES)
def test_a_space_comes_back_from_its_description(space):
    assert latents.from_description(space.describe()) == space


@pytest.mark.parametrize("shape", [0, -1, 2.5, "100", (), (3, 0), None])
def test_a_shape_that_is_none_is_refused(shape):
    with pytest.raises(ValueError, match="whole numbers"):
        Normal(shape)


def test_an_unknown_description_is_refused():
    with pytest.raises(ValueError, match="unknown latent space 'cauchy'"):
        latents.from_description({"kind": "cauchy", "shape": [3]})
