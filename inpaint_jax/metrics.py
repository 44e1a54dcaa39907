"""How close images are: one to another, and one set of them to another.

Pairs are JAX, for one pair, to be vmapped. Sets are NumPy in float32 or float64 on the
host: they sort tens of millions of numbers, at which XLA on a CPU takes fourteen times
as long, or take roots of matrices, for which float32 is too coarse.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

_WINDOW = 11
_SIGMA = 1.5
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_COARSEST = 16  # Side of the last level of a pyramid.
_PATCH = 7

# ---- Pairs of images -------------------------------------------------------------


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
    luminance, structure = _similarity(a, b)
    return jnp.mean(luminance * structure)


def ms_ssim(a: jax.Array, b: jax.Array) -> jax.Array:
    r"""Multi-scale structural similarity.

    .. math::

      l_5^{w_5} \prod_{j=1}^{5} \mathit{cs}_j^{w_j}

    with the contrast-and-structure term of ``ssim`` at five scales, each half the
    size of the one before (2x2 means), and the luminance term at the last, each a mean
    over positions and channels; w = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333). Where an
    image is smaller than the window of 11, the window takes the image's side and its
    standard deviation shrinks along, as in the programs that generative models are
    usually judged with; a negative term counts as 0.

    Between samples of a generator it measures diversity: the mean over random pairs
    rises when modes collapse (Odena et al.), and that over pairs of real images is what
    to compare it with.

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
    luminance = (2 * mean_a * mean_b + c1) / (mean_a * mean_a + mean_b * mean_b + c1)
    structure = (2 * covariance + c2) / (variance_a + variance_b + c2)
    return luminance, structure


def _halve(image: jax.Array) -> jax.Array:
    """Means of 2x2 pixels; a last odd row or column is dropped."""
    height, width = (n // 2 for n in image.shape[:2])
    blocks = image[: 2 * height, : 2 * width].reshape(height, 2, width, 2, -1)
    return blocks.mean((1, 3))


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
    """Gaussian mean of ``[H, W, C]`` wherever the window lies inside.

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


# ---- Sets of images --------------------------------------------------------------


def sliced_wasserstein(
    a: np.ndarray,
    b: np.ndarray,
    *,
    seed: int = 0,
    patches: int = 128,
    directions: int = 512,
) -> dict[int, float]:
    """Sliced Wasserstein distance between two sets of images, level by level.

    Of every level of the images' Laplacian pyramids, random 7x7 patches are taken,
    each channel is brought to mean 0 and standard deviation 1 within its set, and the
    patches' projections onto random directions are compared: a direction's distance
    is the mean of |a_i - b_i| over both sets' sorted projections, and the level's the
    mean over directions. Fine levels judge texture, the last one shapes. It falls with
    the number of images even between sets from one source, so compare like with like,
    and with what two sets of real images give.

    Args:
      a: ``[N, S, S, C]``, S a power of two of at least 16; any range.
      b: ``[N, S, S, C]`` in the same range.
      seed: Of patches and directions.
      patches: Patches an image and level.
      directions: Random directions a level.

    Returns:
      A distance for each level by the level's side, ``{S: ..., ..., 16: ...}``, times
      1000 as usual.

    Raises:
      ValueError: If the shapes differ or have no such pyramid.

    References:
      Karras et al., Progressive growing of GANs for improved quality, stability, and
      variation, ICLR 2018, section 5
    """
    size = a.shape[1]
    square = a.ndim == 4 and a.shape == b.shape and a.shape[2] == size
    if not square or size < _COARSEST or size & (size - 1):
        raise ValueError(
            f"both sets must be [N, S, S, C] with S a power of two >= {_COARSEST}, got "
            f"{list(a.shape)} and {list(b.shape)}"
        )
    rng = np.random.default_rng(seed)
    distances = {}
    pyramids = zip(_laplacian_pyramid(a), _laplacian_pyramid(b), strict=True)
    for level_a, level_b in pyramids:
        set_a, set_b = (_patches(level, patches, rng) for level in (level_a, level_b))
        total = 0.0
        # Some directions at a time: the projections are larger than the patches.
        for start in range(0, directions, 64):
            axes = rng.standard_normal((min(64, directions - start), set_a.shape[1]))
            axes /= np.linalg.norm(axes, axis=1, keepdims=True)
            axes = axes.astype(np.float32)
            gap = np.sort(axes @ set_a.T, axis=1) - np.sort(axes @ set_b.T, axis=1)
            total += float(np.abs(gap).mean(axis=1, dtype=np.float64).sum())
        distances[level_a.shape[1]] = 1000 * total / directions
    return distances


def frechet_distance(
    mean_a: np.ndarray,
    covariance_a: np.ndarray,
    mean_b: np.ndarray,
    covariance_b: np.ndarray,
) -> float:
    r"""Fréchet (2-Wasserstein) distance between two Gaussians, squared.

    .. math::

      \|\mu_a - \mu_b\|^2 + \mathrm{tr}(A + B - 2 (A^{1/2} B A^{1/2})^{1/2})

    Of the features of an Inception network it is the FID (Heusel et al.).

    Args:
      mean_a: ``[F]``.
      covariance_a: ``[F, F]``, positive semidefinite.
      mean_b: ``[F]``.
      covariance_b: ``[F, F]``.

    Returns:
      The squared distance, 0 for equal Gaussians.

    References:
      Dowson and Landau, The Fréchet distance between multivariate normal distributions,
      1982; Heusel et al., GANs trained by a two time-scale update rule, NeurIPS 2017
    """
    covariance_a = np.asarray(covariance_a, np.float64)
    values, vectors = np.linalg.eigh(covariance_a)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.linalg.eigvalsh(root @ covariance_b @ root)
    difference = np.asarray(mean_a, np.float64) - mean_b
    distance = difference @ difference + np.trace(covariance_a) + np.trace(covariance_b)
    return float(distance - 2 * np.sqrt(np.maximum(cross, 0)).sum())


def _laplacian_pyramid(images: np.ndarray) -> list[np.ndarray]:
    """``[N, S, S, C]`` to its levels from S down to 16, float32."""
    levels = [np.array(images, np.float32)]  # A copy: it is changed below.
    while levels[-1].shape[1] > _COARSEST:
        levels.append(_five_taps(_five_taps(levels[-1], 1), 2)[:, ::2, ::2])
    for fine, coarse in itertools.pairwise(levels):
        spread = np.zeros_like(fine)
        spread[:, ::2, ::2] = 4 * coarse
        # In place and from the fine end, so that a level is still whole when the one
        # above it is predicted from it.
        fine -= _five_taps(_five_taps(spread, 1), 2)
    return levels


def _five_taps(images: np.ndarray, axis: int) -> np.ndarray:
    """Burt and Adelson's filter (1, 4, 6, 4, 1) / 16 along an axis, mirrored."""
    padding = [(0, 0)] * images.ndim
    padding[axis] = (2, 2)
    padded = np.moveaxis(np.pad(images, padding, "reflect"), axis, 0)
    length = images.shape[axis]
    taps = [padded[i : i + length] for i in range(5)]
    blurred = (taps[0] + 4 * taps[1] + 6 * taps[2] + 4 * taps[3] + taps[4]) / 16
    return np.moveaxis(blurred, 0, axis)


def _patches(level: np.ndarray, patches: int, rng: np.random.Generator) -> np.ndarray:
    """Random patches ``[N * patches, 7 * 7 * C]``, channels normalised in the set."""
    count, size, _, channels = level.shape
    rows, columns = rng.integers(0, size - _PATCH + 1, (2, count, patches))
    windows = np.lib.stride_tricks.sliding_window_view(level, (_PATCH, _PATCH), (1, 2))
    chosen = windows[np.arange(count)[:, None], rows, columns]
    chosen = chosen.reshape(count * patches, channels, _PATCH**2)
    mean = chosen.mean((0, 2), keepdims=True, dtype=np.float64).astype(np.float32)
    deviation = chosen.std((0, 2), keepdims=True, dtype=np.float64).astype(np.float32)
    chosen = (chosen - mean) / np.maximum(deviation, np.finfo(np.float32).tiny)
    return chosen.reshape(count * patches, -1)
