"""A variational autoencoder with the DCGAN's generator as its decoder.

It is there for comparison with a DCGAN (Figure 2 of Yeh et al.): its samples of the
same data are blurred. The standard deviation of the pixels is not a parameter to choose
but the best one for each batch (Rybkin et al., 2021), which balances the two losses.

As in ``gan``, training is pure functions of a state: ``init_state`` and ``train_step``.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from inpaint_jax import parallel
from inpaint_jax.configs import Architecture
from inpaint_jax.networks.dcgan import Discriminator, Generator
from inpaint_jax.networks.variables import Variables
from inpaint_jax.training import updates
from inpaint_jax.training.recipes import check_common
from inpaint_jax.training.updates import Network


@dataclasses.dataclass(frozen=True)
class VaeConfig:
    """How a VAE is trained.

    Attributes:
      architecture: Sizes, as for a DCGAN.
      batch_size: Images per step.
      learning_rate: Adam's step size.
      beta1: Decay of Adam's first moment.
      ema_decay: Decay per step of the moving average of the decoder, after warm-up.
      flip: Whether images are mirrored at random.
      seed: Seed of weights, latents, flips and order of the images.

    Raises:
      ValueError: A value is out of range.
    """

    architecture: Architecture = dataclasses.field(default_factory=Architecture)
    batch_size: int = 64
    learning_rate: float = 1e-3
    beta1: float = 0.9
    ema_decay: float = 0.999
    flip: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        check_common(self)


class VaeState(NamedTuple):
    """The state of the training, the content of a checkpoint.

    Attributes:
      step: ``[]`` int32, number of steps done.
      encoder: The encoder under training.
      decoder: The decoder under training; the encoder's Adam has the same settings.
      average: Moving average of the decoder's variables, which generates samples.
    """

    step: jax.Array
    encoder: Network
    decoder: Network
    average: Variables


class Metrics(NamedTuple):
    """Figures of one step, each ``[]``, means over the batch.

    Attributes:
      squared_error: Mean squared error of a pixel's channel.
      divergence: KL divergence of an image's latents from N(0, 1), in nats.
    """

    squared_error: jax.Array
    divergence: jax.Array


@functools.partial(jax.jit, static_argnames="config")
def init_state(config: VaeConfig) -> VaeState:
    """The state before the first step; a function of ``config`` alone."""
    key_e, key_d = jax.random.split(jax.random.key(config.seed))
    size = config.architecture
    images = jnp.zeros((2, size.image_size, size.image_size, 3), jnp.float32)
    latents = jnp.zeros((2, size.latent_size), jnp.float32)
    e = encoder_network(size).init(key_e, images, train=True)
    d = Generator(size).init(key_d, latents, train=True)
    optimizer = _optimizer(config)
    return VaeState(
        step=jnp.zeros((), jnp.int32),
        encoder=Network(e, optimizer.init(e["params"])),
        decoder=Network(d, optimizer.init(d["params"])),
        # A copy: the state is donated to each step, and no buffer may be donated
        # twice.
        average=jax.tree.map(jnp.copy, d),
    )


@functools.partial(jax.jit, static_argnames=("config", "mesh"), donate_argnames="state")
def train_step(
    state: VaeState, images: jax.Array, *, config: VaeConfig, mesh: Mesh | None = None
) -> tuple[VaeState, Metrics]:
    """One update of encoder and decoder.

    Args:
      state: State of the training. Donated: do not use it again.
      images: ``[B, S, S, 3]`` float32 in [-1, 1].
      config: The recipe.
      mesh: As for ``gan.train_step``.

    Returns:
      The next state and the step's figures.
    """
    step = functools.partial(_train_step, config=config)
    return updates.run_step(step, state, images, mesh)


def _train_step(
    state: VaeState, images: jax.Array, *, config: VaeConfig, share: parallel.Share
) -> tuple[VaeState, Metrics]:
    """``train_step`` for one device's share of the batch."""
    size, axis_name = config.architecture, share.axis_name
    batch_size = share.devices * images.shape[0]
    key = jax.random.fold_in(jax.random.key(config.seed), state.step)
    key_flip, key_noise = jax.random.split(key)
    if config.flip:
        images = updates.flip_at_random(key_flip, images, share)
    shape = batch_size, size.latent_size
    noise = share.take(jax.random.normal(key_noise, shape, jnp.float32))

    def loss(params: tuple[Any, Any]) -> tuple[jax.Array, Any]:
        encoder = encoder_network(size, axis_name)
        found, e_stats = updates.apply(
            encoder, state.encoder.variables, params[0], images
        )
        mean, log_variance = jnp.split(found, 2, axis=1)
        latents = mean + jnp.exp(log_variance / 2) * noise
        decoder = Generator(size, axis_name=axis_name)
        decoded, d_stats = updates.apply(
            decoder, state.decoder.variables, params[1], latents
        )
        metrics = Metrics(
            jnp.square(decoded - images).mean(), _divergence(mean, log_variance)
        )
        error = share.mean(metrics.squared_error)
        total = _loss(error, metrics.divergence, images[0].size)
        return total, (e_stats, d_stats, metrics)

    networks = (state.encoder, state.decoder)
    gradients, (*statistics, metrics) = jax.grad(loss, has_aux=True)(
        tuple(network.variables["params"] for network in networks)
    )
    gradients, statistics = share.mean((gradients, statistics))
    encoder, decoder = (
        updates.update(network, _optimizer(config), gradient, stats)
        for network, gradient, stats in zip(
            networks, gradients, statistics, strict=True
        )
    )
    average = updates.moving_average(
        state.average, decoder.variables, state.step, config.ema_decay
    )
    return VaeState(state.step + 1, encoder, decoder, average), share.mean(metrics)


@functools.partial(jax.jit, static_argnames="architecture")
def measure(
    state: VaeState, images: jax.Array, *, architecture: Architecture
) -> dict[str, jax.Array]:
    """The figures of a training for held-back images, each ``[]``.

    Args:
      state: State of the training, whose encoder and averaged decoder are evaluated.
      images: ``[N, S, S, 3]`` in [-1, 1].
      architecture: Sizes of the networks.

    Returns:
      ``squared_error`` and ``divergence`` as in ``Metrics``, the first with the mean of
      the latent's distribution as latent; and ``loss``.
    """
    encoder = encoder_network(architecture)
    found = encoder.apply(state.encoder.variables, images, train=False)
    mean, log_variance = jnp.split(jnp.asarray(found), 2, axis=1)
    decoded = Generator(architecture).apply(state.average, mean, train=False)
    error = jnp.square(jnp.asarray(decoded) - images).mean()
    divergence = _divergence(mean, log_variance)
    loss = _loss(error, divergence, images[0].size)
    return {"loss": loss, "squared_error": error, "divergence": divergence}


def encoder_network(size: Architecture, axis_name: str | None = None) -> Discriminator:
    """A network from images ``[B, S, S, 3]`` to means and log variances ``[B, 2 L]``.

    It is the DCGAN's discriminator with 2 L outputs, as the decoder is its generator.
    """
    return Discriminator(size, axis_name=axis_name, outputs=2 * size.latent_size)


def _divergence(mean: jax.Array, log_variance: jax.Array) -> jax.Array:
    """Mean KL divergence of N(mean, variance) ``[B, L]`` from N(0, 1), in nats."""
    surprise = jnp.square(mean) + jnp.exp(log_variance) - 1 - log_variance
    return surprise.sum(1).mean() / 2


def _loss(error: jax.Array, divergence: jax.Array, pixels: int) -> jax.Array:
    """An image's negative evidence lower bound, without constants.

    The variance of the pixels is the mean squared error, which minimises the bound.
    """
    return pixels / 2 * jnp.log(error) + divergence


def _optimizer(config: VaeConfig) -> optax.GradientTransformation:
    return optax.adam(config.learning_rate, b1=config.beta1)
