"""Principal components beside scikit-learn's."""

import numpy as np
import pytest

from inpaint_jax import pixels
from inpaint_jax.training.principal import principal_components

sklearn_decomposition = pytest.importorskip(
    "sklearn.decomposition", reason="the extra figures is not installed"
)


def pictures(count):
    """Pictures ``[count, 16, 16, 3]`` uint8, of a few broad patterns and some noise."""
    random = np.random.default_rng(0)
    patterns = random.normal(size=(12, 4, 4, 3)).repeat(4, 1).repeat(4, 2)
    amounts = random.normal(size=(count, 12)) * np.linspace(0.3, 0.05, 12)
    noisy = np.tensordot(amounts, patterns, 1) + random.normal(size=(count, 16, 16, 3))
    return np.clip(127.5 + 60 * noisy, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("flip", [False, True])
def test_its_covariance_is_scikit_learns(flip):
    images = pictures(5000)  # More than are taken at once.
    found = principal_components(images, 6, 4, flip=flip)
    if flip:
        images = np.concatenate([images, images[:, :, ::-1]])
    coarse = pixels.to_float(images).reshape(-1, 4, 4, 4, 4, 3).mean((2, 4))
    rows = coarse.reshape(len(coarse), -1)
    expected = sklearn_decomposition.PCA(6, svd_solver="full").fit(rows)
    np.testing.assert_allclose(found.mean.ravel(), expected.mean_, atol=1e-5)
    assert found.noise == pytest.approx(expected.noise_variance_, rel=1e-3)
    components = found.components.reshape(6, -1)
    covariance = components.T @ components + found.noise * np.eye(48)
    np.testing.assert_allclose(
        covariance, expected.get_covariance(), atol=1e-3 * covariance.max()
    )


def test_there_must_be_fewer_components_than_numbers():
    with pytest.raises(ValueError, match="latent_size must be less than 48"):
        principal_components(pictures(10), 48, 4)
