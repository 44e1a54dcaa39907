import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fakes import analytic_model

from inpaint_jax import load_model, metrics
from inpaint_jax.configs import RefineConfig
from inpaint_jax.quality import generators, sets

MODEL = analytic_model(size=16, latent_size=4)
SMALL = generators.QualityConfig(
    images=24, directions=8, pairs=10, reconstructions=3, steps=300
)


def real_images(count, seed=1):
    """Images that the generator can make, each pixel pushed a little off."""
    images = generators.sample(MODEL, count, seed=seed)
    noise = np.random.default_rng(0).uniform(-0.05, 0.05, images.shape)
    return np.clip(images + noise, -1, 1).astype(np.float32)


def test_samples_are_images_of_the_prior_and_more_begin_with_the_same():
    few, many = generators.sample(MODEL, 3), generators.sample(MODEL, 130)
    assert many.shape == (130, 16, 16, 3)
    np.testing.assert_array_equal(many[:3], few)
    latents = many[:, 0, :4, 0]  # The fake generator shows them as they are.
    assert np.unique(latents).size == latents.size
    assert -1 <= latents.min() < -0.9
    assert 0.9 < latents.max() <= 1
    assert not np.allclose(generators.sample(MODEL, 3, seed=1), few)


def test_a_reconstruction_is_the_median_of_what_shows_each_latent():
    images = real_images(5)
    found = generators.reconstruct(MODEL, images, steps=400)
    # Latent k is shown by the pixels k, k + 4, ...: least in l1 at their median.
    shown = images.reshape(5, -1, 4, 3).transpose(0, 2, 1, 3).reshape(5, 4, -1)
    expected = np.median(shown, axis=-1)
    np.testing.assert_allclose(found[:, 0, :4, 0], expected, atol=0.03)


def test_groups_do_not_change_a_reconstruction(monkeypatch):
    images = real_images(5)
    together = generators.reconstruct(MODEL, images, steps=20)
    monkeypatch.setattr(generators, "GROUP", 2)
    apart = generators.reconstruct(MODEL, images, steps=20)
    np.testing.assert_allclose(apart, together, atol=1e-5)


def test_diversity_is_the_mean_over_pairs_of_different_images():
    images = real_images(2)
    expected = metrics.ms_ssim(*images)
    np.testing.assert_allclose(generators.diversity(images, 70), expected, atol=1e-5)
    same = np.repeat(images[:1], 9, axis=0)
    np.testing.assert_allclose(generators.diversity(same, 5), 1, atol=1e-5)
    with pytest.raises(ValueError, match="two images"):
        generators.diversity(images[:1], 5)


def test_the_figures_are_those_of_the_parts():
    images = real_images(30)
    steps = []
    found = generators.measure(
        MODEL, images, config=SMALL, seed=3, progress=steps.append
    )
    assert sum(steps) == 300
    assert found.samples.shape == (24, 16, 16, 3)
    assert found.reconstructions.shape == (3, 16, 16, 3)
    np.testing.assert_array_equal(found.samples, generators.sample(MODEL, 24, seed=3))
    distances = sets.sliced_wasserstein(
        found.samples, images[:24], seed=3, directions=8
    )
    assert found.swd == distances
    assert found.mean_swd == distances[16]
    assert found.ms_ssim == generators.diversity(found.samples, 10, seed=3)
    for i in range(3):
        expected = metrics.psnr(found.reconstructions[i], images[i])
        np.testing.assert_allclose(found.ceiling[i], expected, rtol=1e-5)
    # 0.05 off at most, uniformly: about 37 dB, if the search finds the latents.
    assert found.ceiling.min() > 33


def test_refinement_lifts_the_ceiling(tiny_model_file):
    model = load_model(tiny_model_file)
    images = np.asarray(real_images(4))
    plain, refined = (
        generators.reconstruct(model, images, steps=10, refinement=refinement)
        for refinement in (None, RefineConfig(steps=30, trust=0.0))
    )
    closer = np.abs(refined - images).mean((1, 2, 3))
    assert (closer < np.abs(plain - images).mean((1, 2, 3))).all()


def test_a_collapsed_generator_is_seen():
    def collapsed(z):
        return MODEL.generate(jnp.full(4, 0.5) + 0.01 * z)

    images = real_images(24)
    good, bad = (
        generators.measure(model, images, config=SMALL)
        for model in (MODEL, dataclasses.replace(MODEL, generate=collapsed))
    )
    assert bad.ceiling.mean() < good.ceiling.mean() - 5
    assert bad.ms_ssim > 0.95 > good.ms_ssim
    assert bad.mean_swd > good.mean_swd


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match=r"images must be \[N, 16, 16, 3\]"):
        generators.reconstruct(MODEL, np.zeros((2, 8, 8, 3), np.float32), steps=1)
    with pytest.raises(ValueError, match="pairs must be at least 1"):
        generators.QualityConfig(pairs=0)


def test_it_is_a_function_of_its_arguments():
    images = real_images(24)
    one, again = (generators.measure(MODEL, images, config=SMALL) for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, one, again)
