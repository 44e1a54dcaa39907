"""Ridge regression against the normal distribution with its whole covariance."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import problem

from inpaint_jax.baselines import (
    FillError,
    fit_gaussian,
    harmonic_fill,
    ridge,
    ridge_fill,
)
from inpaint_jax.data import datasets
from inpaint_jax.metrics import psnr
from inpaint_jax.pixels import to_float

SIZE = 6


def pictures(count, seed=0):
    """Pictures ``[N, S, S, 3]`` with few degrees of freedom, and noise."""
    random = np.random.default_rng(seed)
    basis = np.random.default_rng(9).normal(size=(5, SIZE, SIZE, 3))
    smooth = np.tensordot(random.normal(size=(count, 5)), basis, 1)
    noisy = 128 + 25 * smooth + 4 * random.normal(size=smooth.shape)
    return np.rint(noisy).clip(0, 255).astype(np.uint8)


def conditional(gaussian, strength, image, mask):
    """Mean and covariance of the missing numbers, from the whole covariance matrix."""
    mean, components, noise, _ = (np.asarray(x, float) for x in gaussian)
    known = np.broadcast_to(np.asarray(mask) == 1, image.shape).ravel()
    whole = components.T @ components
    of_known = whole[np.ix_(known, known)] + strength * noise * np.eye(known.sum())
    across = whole[np.ix_(~known, known)]
    weights = across @ np.linalg.inv(of_known)
    away = np.asarray(image, float).ravel()[known] - mean[known]
    left = whole[np.ix_(~known, ~known)] - weights @ across.T
    return known, mean[~known] + weights @ away, left


@pytest.mark.parametrize("mask", ["center", "random80", "left"])
@pytest.mark.parametrize("strength", [1.0, 30.0])
def test_it_is_the_conditional_mean(mask, strength, monkeypatch):
    monkeypatch.setattr(ridge, "_STRENGTHS", (strength,))
    gaussian = fit_gaussian(pictures(400), rank=8)
    _, masks, keys = problem(mask, count=4, size=SIZE)
    images = to_float(pictures(4, seed=1))
    given = jnp.where(masks == 1, images, jnp.nan)
    found = np.asarray(ridge_fill(gaussian)(given, masks, keys))
    for i in range(4):
        known, expected, _ = conditional(gaussian, strength, images[i], masks[i])
        row = found[i].ravel()
        np.testing.assert_array_equal(row[known], images[i].ravel()[known])
        np.testing.assert_allclose(row[~known], expected.clip(-1, 1), atol=1e-4)


def test_samples_have_the_conditional_covariance(monkeypatch):
    monkeypatch.setattr(ridge, "_STRENGTHS", (3.0,))
    gaussian = fit_gaussian(pictures(400), rank=8)
    _, masks, _ = problem("left", count=1, size=SIZE)
    image = to_float(pictures(1, seed=1))
    known, mean, covariance = conditional(gaussian, 3.0, image[0], masks[0])
    count = 4000
    keys = jax.random.split(jax.random.key(0), count)
    images, holes = (np.repeat(x, count, 0) for x in (image, masks))
    # Clipping to [-1, 1] would change the moments: only what it does not touch counts.
    samples = np.asarray(ridge_fill(gaussian, sampled=True)(images, holes, keys))
    rows = samples.reshape(count, -1)[:, ~known]
    inside = np.abs(rows).max(0) < 1
    assert inside.sum() > 20
    error = np.abs(rows.mean(0) - mean)[inside] / np.sqrt(np.diag(covariance)[inside])
    assert error.max() < 5 / np.sqrt(count)
    scale = np.diag(covariance).max()
    found = np.cov(rows[:, inside].T) / scale
    expected = covariance[np.ix_(inside, inside)] / scale
    np.testing.assert_allclose(found, expected, atol=0.1)


def test_the_noise_is_as_strong_as_images_held_back_say():
    """The strength that is taken fills the images held back best, of all."""
    gaussian = fit_gaussian(pictures(60), rank=40)
    _, masks, keys = problem("random80", count=1, size=SIZE)
    held_back = np.asarray(gaussian.held_back).reshape(-1, SIZE, SIZE, 3)
    errors = {}
    for strength in ridge._STRENGTHS:
        error = 0.0
        for image in held_back:
            known, mean, _ = conditional(gaussian, strength, image, masks[0])
            error += np.square(image.ravel()[~known] - mean).sum()
        errors[strength] = error
    best = min(errors, key=errors.__getitem__)
    image = to_float(pictures(1, seed=1))
    known, expected, _ = conditional(gaussian, best, image[0], masks[0])
    found = np.asarray(ridge_fill(gaussian)(image, masks, keys)).ravel()[~known]
    np.testing.assert_allclose(found, expected.clip(-1, 1), atol=1e-3)


@pytest.mark.parametrize("sampled", [False, True])
def test_nothing_known_and_nothing_missing(sampled):
    gaussian = fit_gaussian(pictures(100), rank=8)
    images, _, keys = problem(count=2, size=SIZE)
    fill = ridge_fill(gaussian, sampled=sampled)
    whole = fill(images, np.ones((2, SIZE, SIZE, 1), np.float32), keys)
    np.testing.assert_array_equal(whole, images)
    none = np.asarray(fill(images, np.zeros((2, SIZE, SIZE, 1), np.float32), keys))
    if sampled:
        assert np.abs(none[0] - none[1]).max() > 0.1
    else:
        mean = np.asarray(gaussian.mean).reshape(SIZE, SIZE, 3).clip(-1, 1)
        np.testing.assert_allclose(none, [mean, mean], atol=1e-5)


@pytest.mark.slow
def test_an_image_does_not_depend_on_its_batch():
    gaussian = fit_gaussian(pictures(100), rank=8)
    images, masks, keys = problem("random80", count=3, size=SIZE)
    fill = ridge_fill(gaussian, sampled=True)
    together = fill(images, masks, keys)
    for i in range(3):
        one = slice(i, i + 1)
        alone = fill(images[one], masks[one], keys[one])
        np.testing.assert_allclose(alone[0], together[i], atol=1e-5)


def test_few_images_are_refused():
    with pytest.raises(FillError, match="at least 8 training images, not 5"):
        fit_gaussian(pictures(5))


@pytest.mark.slow
def test_on_faces_it_is_above_the_smoothest_fill(real_data):
    def read(name, limit):
        path = f"images:{real_data}/celeba64/{name}.zip"
        return datasets.load(path, limit=limit).images

    gaussian = fit_gaussian(read("train-0", 1200), rank=256)
    images = to_float(read("validation", 8))
    keys = jax.random.split(jax.random.key(0), 8)
    masks = np.ones((8, 64, 64, 1), np.float32)
    masks[:, 16:48, 16:48] = 0

    def measured(fill):
        return np.mean(jax.vmap(psnr)(fill(images, masks, keys), images))

    # Between 3 and 4 dB.
    assert measured(ridge_fill(gaussian)) > measured(harmonic_fill) + 2
