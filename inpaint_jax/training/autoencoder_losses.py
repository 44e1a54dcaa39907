"""The losses of an autoencoder and of its critic (``training.autoencoder``)."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from inpaint_jax import parallel
from inpaint_jax.training.recipes import AutoencoderConfig

PROBE = 0.03
"""Standard deviation of the noise that probes how steep the critic is."""
_ERROR_WEIGHTS = np.array([0.5, 0.25], np.float32)
"""Weights of the logarithms of the squared errors of images seen whole, where this is
the likelihood, and of completed ones."""


class Perceptual(Protocol):
    """A distance of images: two batches ``[B, S, S, 3]`` in [-1, 1] to ``[B]``."""

    def __call__(self, a: jax.Array, b: jax.Array) -> jax.Array: ...


class Shown(NamedTuple):
    """A share of a batch as the networks get to see it.

    Attributes:
      whole: ``[N, S, S, 3]``, images that are seen whole.
      holed: ``[N, S, S, 3]``, images that are seen through ``mask``.
      mask: ``[S, S, 1]``, 1 = known, 0 = missing.
    """

    whole: jax.Array
    holed: jax.Array
    mask: jax.Array


class Decoded(NamedTuple):
    """What the decoder makes of latents.

    Attributes:
      whole: ``[N, S, S, 3]``, of the latents of images that were seen whole.
      holed: ``[N, S, S, 3]``, of those that were seen through a hole.
      sampled: ``[N / 2, S, S, 3]``, of samples.
    """

    whole: jax.Array
    holed: jax.Array
    sampled: jax.Array

    def completed(self, shown: Shown) -> jax.Array:
        """``[N, S, S, 3]``: the images with the decoded ones in their holes."""
        return jnp.where(shown.mask > 0.5, shown.holed, self.holed)


def distances(
    decoded: Decoded,
    shown: Shown,
    perceptual: Perceptual,
    config: AutoencoderConfig,
    share: parallel.Share,
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """The loss of images beside their pictures; squared and perceptual distances."""
    pairs = (decoded.whole, shown.whole), (decoded.holed, shown.holed)
    errors = jnp.stack([jnp.square(a - b).mean() for a, b in pairs])
    perceived = perceptual(
        jnp.concatenate([decoded.whole, decoded.completed(shown)]),
        jnp.concatenate([shown.whole, shown.holed]),
    )
    perceived = perceived.reshape(2, -1).mean(1)
    # Its gradient is that of the logarithm of the whole batch's error.
    rates = _ERROR_WEIGHTS / jax.lax.stop_gradient(share.mean(errors))
    loss = rates @ errors
    loss += config.perceptual_weight * perceived[0]
    loss += config.completion_weight * perceived[1]
    return loss, (errors, perceived)


def to_judge(shown: Shown, decoded: Decoded) -> tuple[jax.Array, jax.Array]:
    """Real images ``[2 N, S, S, 4]`` and as many others, each of a kind with its like.

    Completed images are judged beside their originals, with the mask. Of images that
    were seen whole every other one makes room for a sample.
    """
    nothing = jnp.zeros_like(shown.mask)
    even, odd = shown.whole[0::2], shown.whole[1::2]
    real = _mark(shown.holed, shown.mask), _mark(even, nothing), _mark(odd, nothing)
    fake = (
        _mark(decoded.completed(shown), shown.mask),
        _mark(decoded.whole[0::2], nothing),
        _mark(decoded.sampled, nothing),
    )
    return jnp.concatenate(real), jnp.concatenate(fake)


def critic_loss(
    params: Any,
    judge: Callable[[Any, jax.Array], jax.Array],
    real: jax.Array,
    fake: jax.Array,
    probe: jax.Array,
    penalty: float,
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """The critic's loss; how much more real it finds real images; its squared slope.

    The slope is measured by the change along a random direction, whose mean square it
    is. (The exact slope is a derivative of a derivative, at more than twice the cost.)
    """
    half = len(real) // 2

    def some(real: jax.Array, fake: jax.Array) -> jax.Array:
        # As many of each kind as there are probes; of fakes, samples too.
        even = real[half : half + half // 2]
        return jnp.concatenate([real[:half:4], even[::2], fake[:half:4], fake[half::2]])

    on_real, on_fake = judge(params, real), judge(params, fake)
    lead = on_real - on_fake
    noise = _mark(jnp.tile(probe, (5, 1, 1, 1)), jnp.zeros_like(real[0, ..., :1]))
    moved = judge(params, some(real, fake) + noise) - some(on_real, on_fake)
    slope = jnp.square(moved / PROBE).mean()
    loss = jax.nn.softplus(-lead).mean() + penalty / 2 * slope
    return loss, (lead.mean(), slope)


def _mark(images: jax.Array, known: jax.Array) -> jax.Array:
    """The critic's input: images ``[B, S, S, 3]`` with the channel ``[S, S, 1]``."""
    shape = (*images.shape[:-1], 1)
    return jnp.concatenate([images, jnp.broadcast_to(known, shape)], -1)
