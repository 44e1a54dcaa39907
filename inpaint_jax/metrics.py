"""How close a completed image is to the original, for one pair of images."""

import jax
import jax.numpy as jnp
import numpy as np

_WINDOW = 11
_SIGMA = 1.5


def psnr(a: jax.Array, b: jax.Array) -> jax.Array:
    r"""Peak signal-to-noise ratio in decibels.

    .. math::

      10 \log_{10} \frac{255^2}{\mathrm{MSE}}

    with the mean squared error over all pixels and channels on the 0 to 255 scale, as
    in the paper's Table 1, but without rounding to whole levels.

    Args:
      a: ``[H, W, C]`` in [-1, 1].
      b: ``[H, W, C]`` in [-1, 1].

    Returns:
      ``[]`` dB, infinite for identical images.

    Raises:
      ValueError: If the shapes differ.
    """
    _check_same_shape(a, b)
    return _decibels(jnp.mean(_squared_error(a, b)))


def psnr_hole(a: jax.Array, b: jax.Array, mask: jax.Array) -> jax.Array:
    """``psnr`` over the missing pixels alone.

    Args:
      a: ``[H, W, C]`` in [-1, 1]; known pixels do not matter, whatever they hold.
      b: ``[H, W, C]`` in [-1, 1]; likewise.
      mask: ``[H, W, 1]``, 1 = known, 0 = missing.

    Returns:
      ``[]`` dB, infinite if they are identical there, NaN if nothing is missing.

    Raises:
      ValueError: If the shapes of ``a`` and ``b`` differ.
    """
    _check_same_shape(a, b)
    missing = jnp.broadcast_to(mask < 0.5, a.shape)
    error = jnp.sum(jnp.where(missing, _squared_error(a, b), 0))
    return _decibels(error / jnp.sum(missing, dtype=error.dtype))


def ssim(a: jax.Array, b: jax.Array) -> jax.Array:
    r"""Structural similarity.

    .. math::

      \frac{(2 \mu_a \mu_b + C_1)(2 \sigma_{ab} + C_2)}
           {(\mu_a^2 + \mu_b^2 + C_1)(\sigma_a^2 + \sigma_b^2 + C_2)}

    with local moments under a Gaussian window of 11x11 and standard deviation 1.5,
    ``C_1 = (0.01 L)^2``, ``C_2 = (0.03 L)^2`` and ``L = 2`` the range of [-1, 1];
    averaged over the positions where the window lies inside the image and over
    channels.

    Args:
      a: ``[H, W, C]`` in [-1, 1].
      b: ``[H, W, C]`` in [-1, 1].

    Returns:
      ``[]`` in [-1, 1], 1 for identical images.

    Raises:
      ValueError: If the shapes differ, or a side is shorter than the window.

    References:
      Wang et al., Image quality assessment: from error visibility to structural
      similarity, IEEE TIP, 2004
    """
    _check_same_shape(a, b)
    if min(a.shape[:2]) < _WINDOW:
        raise ValueError(
            f"ssim needs images of at least {_WINDOW}x{_WINDOW} pixels, got "
            f"{a.shape[0]}x{a.shape[1]}"
        )
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    mean_a, mean_b = _blur(a), _blur(b)
    variance_a = _blur(a * a) - mean_a * mean_a
    variance_b = _blur(b * b) - mean_b * mean_b
    covariance = _blur(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + c1) / (mean_a * mean_a + mean_b * mean_b + c1)
    structure = (2 * covariance + c2) / (variance_a + variance_b + c2)
    return jnp.mean(luminance * structure)


def _check_same_shape(a: jax.Array, b: jax.Array) -> None:
    # Broadcasting would answer, and wrongly.
    if a.shape != b.shape:
        raise ValueError(f"images must have one shape, got {a.shape} and {b.shape}")


def _squared_error(a: jax.Array, b: jax.Array) -> jax.Array:
    """On the 0 to 255 scale, of which 127.5 levels make one unit of [-1, 1]."""
    return jnp.square(127.5 * (a - b))


def _decibels(mean_squared_error: jax.Array) -> jax.Array:
    return 10 * jnp.log10(255.0**2 / mean_squared_error)


def _blur(values: jax.Array) -> jax.Array:
    """Gaussian mean, ``[H, W, C] -> [H - 10, W - 10, C]``.

    Written as shifted sums rather than as a convolution, which accelerators compute in
    less than float32 by default: the variances are small differences of such means.
    """
    offsets = np.arange(_WINDOW) - _WINDOW // 2
    weights = np.exp(-0.5 * (offsets / _SIGMA) ** 2)
    weights /= weights.sum()
    height, width = (n - _WINDOW + 1 for n in values.shape[:2])
    rows = sum(w * values[i : i + height] for i, w in enumerate(weights.tolist()))
    blurred: jax.Array = sum(
        w * rows[:, i : i + width] for i, w in enumerate(weights.tolist())
    )
    return blurred
