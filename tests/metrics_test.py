"""Metrics against scikit-image, SciPy and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import signal
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from inpaint_jax import metrics, pixels


def pictures(seed=0, shape=(24, 20, 3), noise=0.3):
    """A smooth picture and the same with noise, as files hold them: uint8."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 6, (1, 1, shape[2]))
    rows, columns = np.mgrid[: shape[0], : shape[1]][..., None]
    a = np.sin(rows / 3 + phase) * np.cos(columns / 4 + phase)
    b = np.clip(a + noise * rng.standard_normal(shape), -1, 1)
    return pixels.to_uint8(a), pixels.to_uint8(b)


def images(*arguments, **options):
    """``pictures`` as networks see them."""
    a, b = pictures(*arguments, **options)
    return pixels.to_float(a), pixels.to_float(b)


def reference_ssim(a, b):
    """Wang's SSIM as users of scikit-image call it: of two uint8 pictures."""
    return structural_similarity(
        a,
        b,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=-1,
    )


jitted_ssim = jax.jit(metrics.ssim)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000), st.floats(1e-3, 2))
def test_psnr_and_ssim_are_scikit_images(seed, noise):
    written = pictures(seed, noise=noise)
    assume((written[0] != written[1]).any())
    a, b = map(pixels.to_float, written)
    expected = peak_signal_noise_ratio(*written)
    np.testing.assert_allclose(metrics.psnr(a, b), expected, atol=1e-3)
    np.testing.assert_allclose(jitted_ssim(a, b), reference_ssim(*written), atol=1e-5)


@pytest.mark.parametrize("shape", [(11, 11, 3), (11, 30, 1), (64, 64, 3)])
def test_ssim_at_other_shapes(shape):
    written = pictures(1, shape)
    found = metrics.ssim(*map(pixels.to_float, written))
    np.testing.assert_allclose(found, reference_ssim(*written), atol=1e-5)


def test_ssim_of_constant_images_by_hand():
    a, b = jnp.full((16, 16, 3), 0.5), jnp.full((16, 16, 3), -0.25)
    # Above black they are 1.5 and 0.75 of a range of 2.
    c1 = 0.02**2
    expected = (2 * 1.5 * 0.75 + c1) / (1.5**2 + 0.75**2 + c1)
    np.testing.assert_allclose(metrics.ssim(a, b), expected, atol=1e-4)


def test_ssim_of_an_image_with_itself_and_its_negative():
    a, b = images()
    np.testing.assert_allclose(metrics.ssim(a, a), 1, atol=1e-6)
    np.testing.assert_allclose(metrics.ssim(a, b), metrics.ssim(b, a), atol=1e-6)
    # The same light with the structure turned over.
    assert metrics.ssim(0.5 + 0.4 * a, 0.5 - 0.4 * a) < 0


@pytest.mark.parametrize("shape", [(10, 64, 3), (64, 10, 3), (1, 1, 3)])
def test_ssim_of_too_small_an_image_is_refused(shape):
    with pytest.raises(ValueError, match="at least 11x11"):
        metrics.ssim(jnp.zeros(shape), jnp.zeros(shape))


def test_psnr_of_a_constant_difference_by_hand():
    a = np.full((8, 8, 3), -0.5, np.float32)
    # 0.1 is 12.75 levels of 255: 20 log10(20) dB. Without the square, 13 dB.
    np.testing.assert_allclose(metrics.psnr(a, a + 0.1), 20 * np.log10(20), atol=1e-4)
    # Black against white is the peak itself.
    np.testing.assert_allclose(metrics.psnr(jnp.full(3, -1.0), jnp.full(3, 1.0)), 0)


def test_halving_the_error_is_worth_six_decibels():
    a, b = images()
    gain = metrics.psnr(a, a + (b - a) / 2) - metrics.psnr(a, b)
    np.testing.assert_allclose(gain, 20 * np.log10(2), atol=1e-3)


def test_identical_images():
    a, _ = images()
    assert metrics.psnr(a, a) == np.inf
    assert metrics.psnr_hole(a, a, jnp.zeros((24, 20, 1))) == np.inf


# ---- psnr_hole -------------------------------------------------------------------


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10_000), st.floats(0.02, 0.98))
def test_psnr_hole_is_psnr_of_the_missing_pixels(seed, share):
    a, b = images(seed)
    missing = np.random.default_rng(seed).random(a.shape[:2]) < share
    mask = (~missing).astype(np.float32)[:, :, None]
    np.testing.assert_allclose(
        metrics.psnr_hole(a, b, mask),
        peak_signal_noise_ratio(a[missing], b[missing], data_range=2),
        atol=1e-3,
    )


def test_psnr_hole_ignores_known_pixels():
    a, b = images()
    mask = jnp.ones((24, 20, 1)).at[5:10, 5:10].set(0)
    spoiled = np.where(mask == 1, np.nan, b)
    assert metrics.psnr_hole(a, spoiled, mask) == metrics.psnr_hole(a, b, mask)


def test_psnr_hole_of_degenerate_masks():
    a, b = images()
    assert np.isnan(metrics.psnr_hole(a, b, jnp.ones((24, 20, 1))))
    assert np.isnan(metrics.psnr_hole(a, a, jnp.ones((24, 20, 1))))
    np.testing.assert_allclose(
        metrics.psnr_hole(a, b, jnp.zeros((24, 20, 1))), metrics.psnr(a, b), atol=1e-4
    )


def test_a_known_region_raises_psnr_by_its_share():
    """The hole's error, spread over all pixels: + 10 log10 4 dB for a quarter."""
    a, b = images(shape=(64, 64, 3))
    mask = jnp.ones((64, 64, 1)).at[16:48, 16:48].set(0)
    completed = jnp.where(mask == 1, a, b)
    np.testing.assert_allclose(
        metrics.psnr(a, completed) - metrics.psnr_hole(a, b, mask),
        10 * np.log10(4),
        atol=1e-3,
    )


# ---- ms_ssim ---------------------------------------------------------------------


def reference_ms_ssim(a, b):
    """Wang et al., of uint8 pictures, in float64 with two-dimensional convolutions."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    weights = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
    result = 1.0
    for scale, weight in enumerate(weights):
        window = min(11, *a.shape[:2])
        axis = signal.windows.gaussian(window, 1.5 * window / 11)
        kernel = np.outer(axis, axis)[:, :, None]
        kernel /= kernel.sum()

        def blur(x, kernel=kernel):
            return signal.convolve(x, kernel, "valid", "direct")

        mu_a, mu_b = blur(a), blur(b)
        var_a, var_b = blur(a**2) - mu_a**2, blur(b**2) - mu_b**2
        term = (2 * (blur(a * b) - mu_a * mu_b) + c2) / (var_a + var_b + c2)
        if scale == len(weights) - 1:
            term = term * (2 * mu_a * mu_b + c1) / (mu_a**2 + mu_b**2 + c1)
        result *= max(term.mean(), 0) ** weight
        a, b = (
            (x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4
            for x in (a, b)
        )
    return result


@pytest.mark.parametrize("shape", [(16, 16, 3), (64, 64, 3), (32, 64, 1)])
@pytest.mark.parametrize("noise", [0.05, 0.5])
def test_ms_ssim_is_its_definition(shape, noise):
    written = pictures(3, shape, noise)
    expected = reference_ms_ssim(*written)
    assert 0.05 < expected < 0.9999
    found = metrics.ms_ssim(*map(pixels.to_float, written))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_ms_ssim_of_an_image_with_itself_and_its_negative():
    a, _ = images(shape=(32, 32, 3))
    np.testing.assert_allclose(metrics.ms_ssim(a, a), 1, atol=1e-5)
    assert metrics.ms_ssim(a, -a) == 0


def test_ms_ssim_of_too_small_an_image_is_refused():
    with pytest.raises(ValueError, match="at least 16x16"):
        metrics.ms_ssim(jnp.zeros((15, 64, 3)), jnp.zeros((15, 64, 3)))


def test_a_batch_is_each_image_alone():
    pairs = [images(seed) for seed in range(3)]
    a, b = (jnp.stack(x) for x in zip(*pairs, strict=True))
    mask = jnp.zeros((3, 24, 20, 1)).at[:, :9].set(1)
    for metric, batch in (
        (metrics.psnr, (a, b)),
        (metrics.ssim, (a, b)),
        (metrics.ms_ssim, (a, b)),
        (metrics.psnr_hole, (a, b, mask)),
    ):
        metric = jax.jit(metric)
        alone = [metric(*(x[i] for x in batch)) for i in range(3)]
        np.testing.assert_allclose(jax.jit(jax.vmap(metric))(*batch), alone, rtol=1e-5)


def test_images_of_different_shapes_are_refused():
    a, b = jnp.zeros((16, 16, 3)), jnp.zeros((16, 16, 1))
    for call in (
        lambda: metrics.psnr(a, b),
        lambda: metrics.ssim(a, b),
        lambda: metrics.ms_ssim(a, b),
        lambda: metrics.psnr_hole(a, b, jnp.zeros((16, 16, 1))),
    ):
        with pytest.raises(ValueError, match="one shape"):
            call()
