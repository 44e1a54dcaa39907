"""Mean and spread of answers, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fakes import analytic_model

import inpaint_jax
from inpaint_jax import answers
from inpaint_jax.configs import SearchConfig

MODEL = analytic_model(size=8, latent_size=4)
SHORT = SearchConfig(steps=5)


def several(count, seed=0):
    """Images that agree in their left half, in values whose sums round."""
    rng = np.random.default_rng(seed)
    images = rng.uniform(-1, 1, (count, 6, 8, 3)).astype(np.float32)
    images[:, :, :4] = images[0, :, :4]
    return images


@pytest.mark.parametrize("count", [2, 3, 7, 16])
def test_mean_and_spread_are_those_of_numpy(count):
    images = several(count)
    mean, spread = answers.average(images), answers.spread(images)
    assert (mean.shape, spread.shape) == ((6, 8, 3), (6, 8, 1))
    exact = images.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(0), atol=1e-6)
    variance = exact.var(0, ddof=1).mean(-1, keepdims=True)
    np.testing.assert_allclose(spread, np.sqrt(variance), atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 16])
def test_what_all_agree_on_comes_back_bit_for_bit(count):
    images = several(count)
    mean = np.asarray(answers.average(images))
    bits = images[0].view(np.int32)
    np.testing.assert_array_equal(mean[:, :4].view(np.int32), bits[:, :4])
    assert (np.asarray(answers.spread(images))[:, :4] == 0).all()


def test_one_answer_has_no_spread():
    images = several(1)
    np.testing.assert_array_equal(answers.average(images), images[0])
    assert not answers.spread(images).any()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_answer_that_is_not_finite_is_left_out(bad):
    images = several(4)
    rest = np.delete(images, 1, axis=0)
    images[1, 2, 6] = bad
    for function in (answers.average, answers.spread):
        np.testing.assert_allclose(function(images), function(rest), atol=1e-6)
    images[:, 2, 6] = bad
    assert not np.isfinite(answers.average(images)).all()


def test_the_order_of_answers_does_not_matter():
    images = several(5)
    turned = images[[3, 1, 4, 0, 2]]
    for function in (answers.average, answers.spread):
        np.testing.assert_allclose(function(images), function(turned), atol=1e-6)


def test_the_mean_of_samples_has_the_least_expected_error():
    images = several(64)
    truths = several(64, seed=1)
    truths[:, :, :4] = images[0, :, :4]

    def error(answer):
        return np.square(truths - np.asarray(answer)).mean()

    assert error(answers.average(images)) < min(map(error, images))


def test_a_solution_has_the_mean_and_the_spread_of_its_candidates():
    keys = jax.random.split(jax.random.key(0), 3)
    images = jax.random.uniform(jax.random.key(1), (3, 8, 8, 3), minval=-1.0)
    masks = inpaint_jax.make_masks("random50", keys, (8, 8))

    def inpaint(**options):
        return inpaint_jax.inpaint(MODEL, images, masks, keys, config=SHORT, **options)

    alone = inpaint()
    assert alone.mean is None
    assert alone.spread is None
    found = inpaint(candidates=4)
    assert found.mean.shape == (3, 8, 8, 3)
    assert found.spread.shape == (3, 8, 8, 1)
    np.testing.assert_allclose(found.mean, found.image.mean(1), atol=1e-6)
    known = np.asarray(masks) == 1
    same = np.broadcast_to(known, images.shape)
    np.testing.assert_array_equal(
        np.asarray(found.mean)[same].view(np.int32),
        np.asarray(images)[same].view(np.int32),
    )
    assert (np.asarray(found.spread)[known] == 0).all()
    assert (np.asarray(found.spread)[~known] > 0).all()
    traced = jax.jit(lambda images: inpaint(candidates=4).mean)(images)
    np.testing.assert_allclose(traced, found.mean, atol=1e-4)
    one = inpaint(candidates=1)
    np.testing.assert_array_equal(one.mean, one.image[:, 0])
    assert not jnp.any(one.spread)


@pytest.mark.slow
def test_a_path_is_replayed_as_completed_images():
    keys = jax.random.split(jax.random.key(0), 2)
    images = jax.random.uniform(jax.random.key(1), (2, 8, 8, 3), minval=-1.0)
    masks = inpaint_jax.make_masks("center", keys, (8, 8))
    found = inpaint_jax.inpaint(
        MODEL, images, masks, keys, config=SHORT, keep_path=True
    )
    film = inpaint_jax.replay(MODEL, found.path, images, masks)
    assert film.shape == (2, 6, 8, 8, 3)
    for i in range(2):
        best = int(np.argmin(found.trace.total[i]))
        np.testing.assert_allclose(film[i, best], found.image[i], atol=1e-5)
    known = np.broadcast_to(np.asarray(masks) == 1, images.shape)
    for step in range(6):
        np.testing.assert_array_equal(
            np.asarray(film)[:, step][known].view(np.int32),
            np.asarray(images)[known].view(np.int32),
        )
