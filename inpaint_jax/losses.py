"""The losses of the latent search (Yeh et al., 2017, section 3), for one image."""

import jax
import jax.numpy as jnp

FAKE = 0
"""Index of the discriminator's logit for "generated"."""
REAL = 1
"""Index of the discriminator's logit for "real": D(x) = softmax(logits)[REAL]."""


def importance_weights(mask: jax.Array, window: int = 7) -> jax.Array:
    r"""Importance of each known pixel: how much of its neighbourhood is missing.

    .. math::

      W_i = M_i \sum_{j \in N(i)} \frac{1 - M_j}{|N(i)|}

    with ``N(i)`` the ``window`` x ``window`` square around ``i`` (eq. 3). Beyond the
    border the mask is mirrored, its edge pixel repeated, so that ``|N(i)|`` is
    ``window**2`` everywhere. The paper does not say this; the authors' code does so.

    Args:
      mask: ``[H, W, 1]``, 1 = known, 0 = missing.
      window: Side of the square, odd; 7 in the paper.

    Returns:
      ``[H, W, 1]`` in [0, 1): 0 at missing pixels, and at known pixels with no missing
      pixel in their window.

    Raises:
      ValueError: If ``window`` is not odd and positive.
    """
    if window < 1 or window % 2 == 0:
        raise ValueError(f"window must be odd and positive, got {window}")
    reach = window // 2
    missing = jnp.pad(1 - mask, ((reach, reach), (reach, reach), (0, 0)), "symmetric")
    count = jax.lax.reduce_window(
        missing,
        missing.dtype.type(0),
        jax.lax.add,
        window_dimensions=(window, window, 1),
        window_strides=(1, 1, 1),
        padding="VALID",
    )
    return jnp.asarray(mask * count / window**2)


def context_loss(
    generated: jax.Array, image: jax.Array, weights: jax.Array
) -> jax.Array:
    r"""Weighted l1 distance to what is known of the image.

    .. math::

      \mathcal{L}_c = \| W \odot (G(z) - y) \|_1

    (eq. 4). Only pixels with a positive weight enter: the others may hold anything, NaN
    included, and change neither the loss nor its gradient.

    Args:
      generated: ``[H, W, C]`` G(z), in [-1, 1].
      image: ``[H, W, C]`` y, in [-1, 1] where known.
      weights: ``[H, W, 1]`` from ``importance_weights``, not negative, 0 where missing.

    Returns:
      ``[]`` the loss, at least 0: a sum over pixels and channels, with which the
      paper's prior weight of 0.003 goes.
    """
    # 0 * NaN is NaN. So what has no weight is removed before the difference (and
    # before its gradient), instead of being multiplied by 0 after it.
    weighted = weights > 0
    difference = jnp.where(weighted, generated, 0) - jnp.where(weighted, image, 0)
    terms = weights * jnp.abs(difference)
    return jnp.sum(terms)


def prior_loss(logits: jax.Array, weight: float | jax.Array = 0.003) -> jax.Array:
    r"""Penalty on images that the discriminator takes for generated.

    .. math::

      \mathcal{L}_p = \lambda \log(1 - D(G(z)))

    (eq. 5). ``1 - D`` is the softmax's 'generated' class, so its logarithm is a
    log-softmax: exact, and with a gradient, where ``D`` rounds to 1. A discriminator
    with one logit has ``D`` as its sigmoid, which is the softmax of (0, logit).

    Args:
      logits: ``[2]`` the discriminator's logits for G(z), at ``FAKE`` and ``REAL``; or
        one logit, ``[]`` or ``[1]``.
      weight: Lambda; 0.003 in the paper, beside a summed context loss.

    Returns:
      ``[]`` the loss, at most 0: the lower, the more real.

    Raises:
      ValueError: There are neither one nor two logits.
    """
    if logits.size == 1:
        return weight * jax.nn.log_sigmoid(-logits.reshape(()))
    if logits.shape != (2,):
        raise ValueError(f"a discriminator has 1 or 2 logits, not {list(logits.shape)}")
    return weight * jax.nn.log_softmax(logits)[FAKE]
