"""The ceiling of principal components beside a full decomposition."""

import numpy as np
import pytest

from inpaint_jax.quality import linear

pytest.importorskip("sklearn", reason="the extra figures is not installed")


def pictures(count, seed):
    """Pictures ``[count, 8, 8, 3]`` uint8 in which some directions vary more."""
    random = np.random.default_rng(seed)
    patterns = np.linalg.qr(np.random.default_rng(0).normal(size=(192, 192)))[0]
    amounts = random.normal(size=(count, 192)) * 300 / np.arange(1, 193)
    rows = np.clip(127.5 + amounts @ patterns.T, 0, 255)
    return rows.reshape(count, 8, 8, 3).astype(np.uint8)


@pytest.mark.parametrize("count", [1, 10, 40])
def test_it_is_that_of_the_full_decomposition(count):
    training, images = pictures(400, 1), pictures(20, 2)
    rows = training.reshape(400, -1).astype(float)
    _, _, axes = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    away = images.reshape(20, -1) - rows.mean(0)
    nearest = away @ axes[:count].T @ axes[:count] + rows.mean(0)
    written = np.rint(np.clip(nearest, 0, 255)).reshape(images.shape)
    errors = np.square(written - images).mean((1, 2, 3))
    expected = 10 * np.log10(255**2 / errors)
    found = linear.principal_ceiling(training, images, count)
    # Randomised, and the last components differ little in what they explain.
    np.testing.assert_allclose(found, expected, atol=0.1)
    assert found.mean() == pytest.approx(expected.mean(), abs=0.03)


def test_components_want_more_images():
    with pytest.raises(linear.LinearError, match="40 principal components need more"):
        linear.principal_ceiling(pictures(40, 1), pictures(2, 2), 40)
