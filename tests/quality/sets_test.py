"""Distances of sets of images against their definitions and closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, ndimage, stats
from sklearn.metrics import pairwise

from inpaint_jax.quality import sets


def images(seed=0, shape=(24, 20, 3), noise=0.3):
    """A smooth picture and the same with noise."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 6, (1, 1, shape[2]))
    rows, columns = np.mgrid[: shape[0], : shape[1]][..., None]
    a = np.sin(rows / 3 + phase) * np.cos(columns / 4 + phase)
    b = np.clip(a + noise * rng.standard_normal(shape), -1, 1)
    return a.astype(np.float32), b.astype(np.float32)


# ---- sliced Wasserstein ----------------------------------------------------------


def pictures(seed, count=6, size=32):
    return np.random.default_rng(seed).uniform(-1, 1, (count, size, size, 3))


def reference_sliced_wasserstein(a, b, seed, patches, directions):
    """Karras et al., an image, a patch and a direction at a time."""
    taps = np.array([1, 4, 6, 4, 1]) / 16
    kernel = np.outer(taps, taps)[None, :, :, None]

    def pyramid(x):
        levels = [x]
        while levels[-1].shape[1] > 16:
            smooth = ndimage.convolve(levels[-1], kernel, mode="mirror")
            levels.append(smooth[:, ::2, ::2])
        for i in range(len(levels) - 1):
            spread = np.zeros_like(levels[i])
            spread[:, ::2, ::2] = levels[i + 1]
            levels[i] = levels[i] - ndimage.convolve(spread, 4 * kernel, mode="mirror")
        return levels

    def descriptors(level):
        count, size = level.shape[:2]
        rows, columns = rng.integers(0, size - 6, (2, count, patches))
        rows, columns = rows.tolist(), columns.tolist()
        found = np.stack(
            [
                level[n, r : r + 7, c : c + 7].transpose(2, 0, 1)
                for n in range(count)
                for r, c in zip(rows[n], columns[n], strict=True)
            ]
        )
        for channel in range(level.shape[-1]):
            values = found[:, channel]
            found[:, channel] = (values - values.mean()) / values.std()
        return found.reshape(len(found), -1)

    rng = np.random.default_rng(seed)
    distances = {}
    for level_a, level_b in zip(pyramid(a), pyramid(b), strict=True):
        set_a, set_b = descriptors(level_a), descriptors(level_b)
        axes = rng.standard_normal((directions, set_a.shape[1]))
        each = [
            stats.wasserstein_distance(
                set_a @ axis / np.linalg.norm(axis), set_b @ axis / np.linalg.norm(axis)
            )
            for axis in axes
        ]
        distances[level_a.shape[1]] = 1000 * np.mean(each)
    return distances


@pytest.mark.parametrize("size", [16, 32, 64])
def test_sliced_wasserstein_is_its_definition(size):
    a = pictures(0, size=size)
    b = ndimage.gaussian_filter(pictures(1, size=size), (0, 1, 1, 0))
    before = a.astype(np.float32).copy()
    given_a = before.copy()
    found = sets.sliced_wasserstein(
        given_a, b.astype(np.float32), seed=5, patches=20, directions=7
    )
    expected = reference_sliced_wasserstein(a, b, 5, 20, 7)
    assert list(found) == [s for s in (64, 32, 16) if s <= size]
    for level, distance in expected.items():
        np.testing.assert_allclose(found[level], distance, rtol=1e-3)
    np.testing.assert_array_equal(given_a, before)


def test_sliced_wasserstein_does_not_see_an_affine_change_of_values():
    """Channels are normalised, so 8-bit pixels and [-1, 1] are the same."""
    a, b = pictures(0), pictures(1)
    plain = sets.sliced_wasserstein(a, b, directions=16)
    scaled = sets.sliced_wasserstein(127.5 * (a + 1), 127.5 * (b + 1), directions=16)
    for level, distance in plain.items():
        np.testing.assert_allclose(scaled[level], distance, rtol=1e-3)


def test_sliced_wasserstein_sees_at_its_level_what_is_wrong():
    real = ndimage.gaussian_filter(pictures(0, 40, 64), (0, 2, 2, 0))
    same = ndimage.gaussian_filter(pictures(1, 40, 64), (0, 2, 2, 0))
    rng = np.random.default_rng(2)
    noisy = same + 0.1 * rng.standard_normal(same.shape)
    none = sets.sliced_wasserstein(real, same, directions=64)
    fine = sets.sliced_wasserstein(real, noisy, directions=64)
    assert fine[64] > 3 * none[64]
    assert abs(fine[16] - none[16]) < 0.2 * none[16]


def test_sliced_wasserstein_is_a_function_of_its_seed():
    a, b = pictures(0), pictures(1)
    one, again, other = (
        sets.sliced_wasserstein(a, b, seed=seed, directions=8) for seed in (1, 1, 2)
    )
    assert one == again != other


@pytest.mark.parametrize(
    "shapes",
    [
        ((4, 8, 8, 3),) * 2,
        ((4, 24, 24, 3),) * 2,
        ((4, 16, 32, 3),) * 2,
        ((4, 16, 16, 3), (4, 32, 32, 3)),
        ((4, 16, 16, 3), (4, 16, 16, 1)),
        ((16, 16, 3),) * 2,
        ((16,),) * 2,
    ],
)
def test_sliced_wasserstein_refuses(shapes):
    with pytest.raises(ValueError, match="power of two"):
        sets.sliced_wasserstein(*(np.zeros(shape) for shape in shapes))


@pytest.mark.parametrize("counts", [(4, 5), (5, 4), (0, 4), (0, 0)])
def test_sliced_wasserstein_is_of_as_many_images(counts):
    message = "the same number of images, at least 1, not {} and {}: ".format(*counts)
    with pytest.raises(ValueError, match=message):
        sets.sliced_wasserstein(*(np.zeros((n, 16, 16, 3)) for n in counts))


# ---- Frechet distance ------------------------------------------------------------


def covariance(seed, size=5, rank=None):
    factor = np.random.default_rng(seed).standard_normal((size, rank or size))
    return factor @ factor.T


@settings(deadline=None, max_examples=20)
@given(st.floats(-3, 3), st.floats(0, 4), st.floats(-3, 3), st.floats(0, 4))
def test_frechet_distance_of_one_dimensional_gaussians(mean_a, sd_a, mean_b, sd_b):
    found = sets.frechet_distance([mean_a], [[sd_a**2]], [mean_b], [[sd_b**2]])
    expected = (mean_a - mean_b) ** 2 + (sd_a - sd_b) ** 2
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_frechet_distance_of_gaussians_whose_covariances_commute():
    axes = linalg.qr(covariance(0))[0]
    sd_a, sd_b = np.arange(5.0), np.array([3.0, 0, 1, 1, 2])
    found = sets.frechet_distance(
        np.zeros(5), axes * sd_a**2 @ axes.T, np.ones(5), axes * sd_b**2 @ axes.T
    )
    np.testing.assert_allclose(found, 5 + ((sd_a - sd_b) ** 2).sum(), rtol=1e-6)


@pytest.mark.parametrize("rank", [5, 3])
def test_frechet_distance_is_dowson_and_landaus(rank):
    a, b = covariance(1, rank=rank), covariance(2)
    mean = np.arange(5.0)
    expected = mean @ mean + np.trace(a + b - 2 * linalg.sqrtm(a @ b).real)
    found = sets.frechet_distance(mean, a, np.zeros(5), b)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    back = sets.frechet_distance(np.zeros(5), b, mean, a)
    np.testing.assert_allclose(found, back, rtol=1e-6)
    np.testing.assert_allclose(sets.frechet_distance(mean, a, mean, a), 0, atol=1e-6)


# ---- kernel distance -------------------------------------------------------------


def test_kernel_distance_is_the_unbiased_estimate_of_scikit_learns_kernel():
    # As torch-fidelity has it by default: degree 3, gamma 1 / F, coef0 1.
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(9, 6)), rng.normal(size=(7, 6)) + 0.5
    aa, bb, ab = (
        pairwise.polynomial_kernel(*each, degree=3, coef0=1)
        for each in ((a, a), (b, b), (a, b))
    )
    expected = (aa.sum() - np.trace(aa)) / 72 + (bb.sum() - np.trace(bb)) / 42
    expected -= 2 * ab.mean()
    np.testing.assert_allclose(sets.kernel_distance(a, b), 1000 * expected)
    np.testing.assert_allclose(
        sets.kernel_distance(a, b), sets.kernel_distance(b, a), rtol=1e-9
    )


def test_kernel_distance_of_pairs_is_0_on_average_although_they_are_alike():
    rng = np.random.default_rng(2)
    a = rng.normal(size=(200, 30, 4))
    b = 0.8 * a + 0.6 * rng.normal(size=a.shape)  # Of the same distribution.
    for paired, low, high in ((True, -40, 40), (False, -1000, -100)):
        found = [
            sets.kernel_distance(*pair, paired=paired)
            for pair in zip(a, b, strict=True)
        ]
        assert low < np.mean(found) < high
    assert sets.kernel_distance(a[0], a[0], paired=True) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("counts", "paired"), [((1, 3), False), ((4, 5), True)])
def test_kernel_distance_refuses(counts, paired):
    with pytest.raises(ValueError, match="at least 2, and both equally many if"):
        sets.kernel_distance(*(np.ones((n, 3)) for n in counts), paired=paired)


def test_kernel_distance_of_one_source_is_0_on_average():
    rng = np.random.default_rng(1)
    found = [
        sets.kernel_distance(rng.normal(size=(20, 4)), rng.normal(size=(30, 4)))
        for _ in range(400)
    ]
    assert abs(np.mean(found)) < 3 * np.std(found) / 20
    other = [
        sets.kernel_distance(rng.normal(size=(20, 4)), 1 + rng.normal(size=(30, 4)))
        for _ in range(20)
    ]
    assert np.mean(other) > 10 * abs(np.mean(found))


def test_frechet_distance_of_sets_is_that_of_their_moments():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(50, 4)), 1 + 2 * rng.normal(size=(60, 4))
    covariances = np.cov(a.T), np.cov(b.T)
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(
        sum(covariances) - 2 * linalg.sqrtm(covariances[0] @ covariances[1]).real
    )
    np.testing.assert_allclose(sets.frechet_distance_of(a, b), expected, rtol=1e-6)
