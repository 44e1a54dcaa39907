"""Measures of how close one image is to another, for one pair of images."""

import jax
import jax.numpy as jnp
import numpy as np

_WINDOW = 11
_SIGMA = 1.5
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def psnr(a: jax.Array, b: jax.Array) -> jax.Array:
    r"""Peak signal-to-noise ratio in decibels.

    .. math::

      10 \log_{10} \frac{255^2}{\mathrm{MSE}}

    with the mean squared error over all pixels and channels on the 0 to 255 scale, as
    in the paper's Table 1, but without rounding to integers.

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
      a: ``[H, W, C]`` in [-1, 1] where missing; known pixels may hold anything.
      b: ``[H, W, C]`` in [-1, 1] where missing; known pixels may hold anything.
      mask: ``[H, W, 1]``, 1 = known, 0 = missing.

    Returns:
      ``[]`` dB, infinite if the missing pixels are identical, NaN if there are none.

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
    ``C_1 = (0.01 L)^2`` and ``C_2 = (0.03 L)^2``; averaged over the positions where the
    window lies inside the image and over channels. The moments are those of the pixels
    as a file holds them, 0 to ``L = 255``: the luminance term is a ratio of means, and
    black must count as 0.

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
    luminance, structure = _similarity(a, b)
    return jnp.mean(luminance * structure)


def ms_ssim(a: jax.Array, b: jax.Array) -> jax.Array:
    r"""Multi-scale structural similarity.

    .. math::

      l_5^{w_5} \prod_{j=1}^{5} \mathit{cs}_j^{w_j}

    with the contrast-and-structure term of ``ssim`` at five scales, each half the
    size of the one before (2x2 means), and the luminance term at the last scale. Each
    term is a mean over positions and channels; w = (0.0448, 0.2856, 0.3001, 0.2363,
    0.1333). Where an image is smaller than the window of 11, the window shrinks to the
    image's side, and its standard deviation in proportion, as in the programs that
    generative models are usually judged with. A negative term counts as 0.

    Between samples of a generator it measures diversity: the mean over random pairs
    rises when modes collapse (Odena et al.). The mean over pairs of real images is the
    value to compare it with.

    Args:
      a: ``[H, W, C]`` in [-1, 1], H and W at least 16.
      b: ``[H, W, C]`` in [-1, 1].

    Returns:
      ``[]`` in [0, 1], 1 for identical images.

    Raises:
      ValueError: If the shapes differ, or a side is shorter than 16.

    References:
      Wang et al., Multiscale structural similarity for image quality assessment,
      Asilomar, 2003; Odena et al., Conditional image synthesis with auxiliary
      classifier GANs, ICML 2017
    """
    _check_same_shape(a, b)
    halvings = len(_SCALE_WEIGHTS) - 1
    if min(a.shape[:2]) < 2**halvings:
        raise ValueError(
            f"ms_ssim needs images of at least {2**halvings}x{2**halvings} pixels, got "
            f"{a.shape[0]}x{a.shape[1]}"
        )
    result = jnp.ones((), a.dtype)
    for scale, weight in enumerate(_SCALE_WEIGHTS):
        if scale > 0:
            a, b = _halve(a), _halve(b)
        luminance, term = _similarity(a, b)
        if scale == halvings:
            term = luminance * term
        result *= jnp.maximum(jnp.mean(term), 0) ** weight
    return result


def _similarity(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """SSIM's luminance term and its contrast-and-structure term at every position."""
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    mean_a, mean_b = _blur(a), _blur(b)
    variance_a = _blur(a * a) - mean_a * mean_a
    variance_b = _blur(b * b) - mean_b * mean_b
    covariance = _blur(a * b) - mean_a * mean_b
    # An offset does not change the second moments, but it changes the luminance: black
    # is -1 here and 0 in a file. In units of [-1, 1] the range L is 2.
    light_a, light_b = mean_a + 1, mean_b + 1
    luminance = (2 * light_a * light_b + c1) / (
        light_a * light_a + light_b * light_b + c1
    )
    structure = (2 * covariance + c2) / (variance_a + variance_b + c2)
    return luminance, structure


def _halve(image: jax.Array) -> jax.Array:
    """Means of 2x2 pixels; an odd last row or column is dropped."""
    height, width = (n // 2 for n in image.shape[:2])
    blocks = image[: 2 * height, : 2 * width].reshape(height, 2, width, 2, -1)
    return blocks.mean((1, 3))


def _check_same_shape(a: jax.Array, b: jax.Array) -> None:
    # Broadcasting would give an answer, and a wrong one.
    if a.shape != b.shape:
        raise ValueError(f"images must have one shape, got {a.shape} and {b.shape}")


def _squared_error(a: jax.Array, b: jax.Array) -> jax.Array:
    """Squared error on the 0 to 255 scale; one unit of [-1, 1] is 127.5 levels."""
    return jnp.square(127.5 * (a - b))


def _decibels(mean_squared_error: jax.Array) -> jax.Array:
    return 10 * jnp.log10(255.0**2 / mean_squared_error)


def _blur(values: jax.Array) -> jax.Array:
    """Gaussian mean of ``[H, W, C]`` at every position inside the image.

    Written as shifted sums rather than as a convolution, which accelerators compute in
    less than float32 by default: the variances are small differences of such means.
    """
    window = min(_WINDOW, *values.shape[:2])
    offsets = np.arange(window) - (window - 1) / 2
    weights = np.exp(-0.5 * (offsets / (_SIGMA * window / _WINDOW)) ** 2)
    weights /= weights.sum()
    height, width = (n - window + 1 for n in values.shape[:2])
    rows = sum(w * values[i : i + height] for i, w in enumerate(weights.tolist()))
    blurred: jax.Array = sum(
        w * rows[:, i : i + width] for i, w in enumerate(weights.tolist())
    )
    return blurred
