"""Ridge regression from known to missing pixels, and samples of what it leaves open.

An image is taken for a sample of a normal distribution: of a linear model with R normal
latents, principal components of training images, plus white noise. The mean of the
missing pixels given the known ones is then a ridge regression from these to those, in
closed form. It knows nothing of what faces look like but their covariance, and so it is
a floor that a generative model should be above.

The part of an image that the components leave is not white: neighbours share it, and a
thousand known pixels say less than a thousand numbers. So the noise is taken to be
stronger, and by how much is chosen for each mask on images that were held back.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_factor, cho_solve, solve_triangular

from inpaint_jax.baselines.fill import Fill, FillError
from inpaint_jax.completion import fill_holes
from inpaint_jax.pixels import to_float

RANK = 512
"""Greatest number of components."""
_FITTED = 8192
"""Greatest number of images that they are fitted to."""
_HELD_BACK = 64
"""Greatest number of images that choose the strength of the noise."""
_LEAST = 8
"""Least number of training images."""
_STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0)
"""Variances of the noise that are tried, as multiples of what the components leave."""


class Gaussian(NamedTuple):
    """A normal distribution of images, D numbers each.

    Attributes:
      mean: ``[D]``.
      components: ``[R, D]``: an image is the mean plus N(0, 1) times each, plus noise.
      noise: ``[]``: variance of a number beside the components.
      held_back: ``[N, D]``, images that the components were not fitted to.
    """

    mean: jax.Array
    components: jax.Array
    noise: jax.Array
    held_back: jax.Array


def fit_gaussian(training: np.ndarray, *, rank: int = RANK) -> Gaussian:
    """Fits a normal distribution to images (Tipping and Bishop, 1999).

    Args:
      training: ``[N, S, S, 3]`` uint8, of which the first 8,256 at most are used.
      rank: Greatest number of components.

    Raises:
      FillError: scikit-learn (extra ``figures``) is not installed, or there are fewer
        than 8 images.
    """
    try:
        from sklearn.decomposition import PCA
    except ImportError as error:
        raise FillError(
            "ridge regression needs scikit-learn: pip install 'inpaint_jax[figures]'"
        ) from error
    if len(training) < _LEAST:
        raise FillError(
            f"ridge regression needs at least {_LEAST} training images, not "
            f"{len(training)}"
        )
    back = min(_HELD_BACK, len(training) // 4)
    rows = to_float(training[: back + _FITTED]).reshape(-1, training[0].size)
    held_back, rows = rows[:back], rows[back:]
    rank = min(rank, len(rows) - 1, rows.shape[1] - 1)
    fitted = PCA(rank, svd_solver="randomized", iterated_power=2, random_state=0)
    fitted.fit(rows)
    # A number's variance beyond the components, at least that of rounding to 8 bits.
    noise = max(float(fitted.noise_variance_), (2 / 255) ** 2 / 12)
    scales = np.sqrt(np.maximum(fitted.explained_variance_ - noise, 0))
    return Gaussian(
        jnp.asarray(fitted.mean_, jnp.float32),
        jnp.asarray(fitted.components_ * scales[:, None], jnp.float32),
        jnp.asarray(noise, jnp.float32),
        jnp.asarray(held_back),
    )


def ridge_fill(
    gaussian: Gaussian, *, sampled: bool = False, blend: bool = False
) -> Fill:
    """Makes a fill that regresses the missing pixels on the known ones.

    Args:
      gaussian: Distribution of images, from ``fit_gaussian``.
      sampled: Whether to draw from the distribution of the missing pixels given the
        known ones (without the noise), instead of taking its mean.
      blend: Whether the result is blended into the hole (eq. 6); else it is pasted.

    Returns:
      The fill; its result is the mean image, or a sample, where nothing is known.
    """
    fill = functools.partial(_fill, sampled=sampled, blend=blend)
    return jax.tree_util.Partial(fill, gaussian)


def _fill(
    gaussian: Gaussian,
    images: jax.Array,
    masks: jax.Array,
    keys: jax.Array,
    *,
    sampled: bool,
    blend: bool,
) -> jax.Array:
    def one(problem: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        image, mask, key = problem
        known = jnp.broadcast_to(mask > 0.5, image.shape).reshape(-1)
        found = _conditional(gaussian, image.reshape(-1), known, key, sampled=sampled)
        return found.reshape(image.shape)

    # One after the other: each mask has a matrix of its own.
    made = jax.lax.map(one, (images, masks, keys)).clip(-1, 1)
    completed, _ = fill_holes(images, made, masks, blend=blend)
    return completed


def _conditional(
    gaussian: Gaussian,
    image: jax.Array,
    known: jax.Array,
    key: jax.Array,
    *,
    sampled: bool,
) -> jax.Array:
    """The mean ``[D]`` of an image given its known pixels ``[D]``, or a sample."""
    mean, components, noise, held_back = gaussian
    seen = jnp.where(known, components, 0.0)
    rows = jnp.concatenate([jnp.where(known, image, 0.0)[None], held_back])
    right = seen @ jnp.where(known, rows - mean, 0.0).T
    square = seen @ seen.T
    eye = jnp.eye(len(square), dtype=square.dtype)

    def latents(strength: jax.Array) -> tuple[jax.Array, jax.Array]:
        variance = strength * noise
        factor, _ = cho_factor(square / variance + eye, lower=True)
        return factor, cho_solve((factor, True), right / variance)

    def error(strength: jax.Array) -> jax.Array:
        _, found = latents(strength)
        guessed = mean + found[:, 1:].T @ components
        return jnp.square(jnp.where(known, 0.0, guessed - held_back)).sum()

    strengths = jnp.asarray(_STRENGTHS, square.dtype)
    best = strengths[jnp.argmin(jax.lax.map(error, strengths))]
    factor, found = latents(best)
    latent = found[:, 0]
    if sampled:
        # The latents' precision is L L'; so L'^-1 e has their covariance.
        drawn = jax.random.normal(key, latent.shape, latent.dtype)
        latent += solve_triangular(factor, drawn, lower=True, trans="T")
    return mean + latent @ components
