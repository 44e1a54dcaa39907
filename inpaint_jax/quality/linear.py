"""Principal components as a generator: the ceiling that any other should exceed."""

import numpy as np

from inpaint_jax import pixels

_FITTED = 12_000
"""Greatest number of images that the components are fitted to: their values are in
memory, several times over."""


class LinearError(ValueError):
    """Components cannot be fitted; the message is one line that says why."""


def principal_ceiling(
    training: np.ndarray, images: np.ndarray, count: int, *, seed: int = 0
) -> np.ndarray:
    """PSNR of images as the nearest points of a linear subspace.

    Args:
      training: ``[M, S, S, 3]`` uint8, to which the subspace is fitted: the first
        12,000 at most.
      images: ``[N, S, S, 3]`` uint8.
      count: Number of principal components, the subspace's dimensions.
      seed: Seed of the randomised decomposition.

    Returns:
      ``[N]`` dB, of the 8-bit images that it makes.

    Raises:
      LinearError: scikit-learn (extra ``figures``) is not installed, or there are not
        more training images than components.
    """
    try:
        from sklearn.decomposition import PCA
    except ImportError as error:
        raise LinearError(
            "principal components need scikit-learn: pip install 'inpaint_jax[figures]'"
        ) from error
    training = training[:_FITTED]
    if len(training) <= count:
        raise LinearError(
            f"{count} principal components need more than {len(training)} training "
            "images"
        )
    rows, targets = (
        pixels.to_float(each).reshape(len(each), -1) for each in (training, images)
    )
    # More passes than by default: the last components differ little in variance.
    fitted = PCA(count, svd_solver="randomized", iterated_power=7, random_state=seed)
    nearest = fitted.fit(rows).inverse_transform(fitted.transform(targets))
    written = pixels.to_uint8(nearest).reshape(images.shape).astype(np.float64)
    errors = np.square(written - images).mean((1, 2, 3))
    return 10 * np.log10(255**2 / errors)
