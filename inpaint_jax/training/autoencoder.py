"""Training an autoencoder whose decoder is searched: ``networks.autoencoder``.

Half of a batch is seen whole, and trains a variational autoencoder at the full weight
of its KL divergence: latents stay normal, and numbers that are not needed fall back to
the prior. The other half is seen through a hole and completed in one go, so that the
decoder learns what it will be asked for. Squared error and a perceptual distance pull
the images towards their pictures. A critic, which sees samples as well, pulls them
towards what real pictures look like.

Training begins with the principal components of the images (``training.principal``).
As in ``gan``, it is pure functions of a state.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.scipy.linalg import solve_triangular
from jax.sharding import Mesh

from inpaint_jax import masks, parallel
from inpaint_jax.networks import linear_part
from inpaint_jax.networks.autoencoder import Critic, Decoder, Encoder
from inpaint_jax.networks.products import multiply_exactly
from inpaint_jax.networks.variables import Variables
from inpaint_jax.training import autoencoder_losses as losses
from inpaint_jax.training import updates
from inpaint_jax.training.autoencoder_losses import Decoded, Perceptual, Shown
from inpaint_jax.training.encoder import MASKS
from inpaint_jax.training.principal import Principal
from inpaint_jax.training.recipes import AutoencoderConfig
from inpaint_jax.training.updates import Network

_WARM_UP = 200
"""Steps in which the learning rate rises."""
_AT_FIRST = 0.1
"""Share of the critic's weight for completed images that counts at first."""


class AutoencoderState(NamedTuple):
    """The state of the training, the content of a checkpoint.

    Attributes:
      step: ``[]`` int32, number of steps done.
      decoder: The decoder under training.
      encoder: The encoder under training.
      critic: The critic.
      average: Moving averages of the variables of decoder and encoder.
      codes: Where the latents of images lie.
    """

    step: jax.Array
    decoder: Network
    encoder: Network
    critic: Network
    average: tuple[Variables, Variables]
    codes: "Codes"


class Codes(NamedTuple):
    """Moments of the latents that the encoder finds for whole images, moving averages.

    Attributes:
      mean: ``[L]``.
      covariance: ``[L, L]``.
    """

    mean: jax.Array
    covariance: jax.Array

    def factor(self) -> jax.Array:
        """``[L, L]``, the lower triangle whose square is the covariance."""
        return jnp.linalg.cholesky(self.covariance)


class Metrics(NamedTuple):
    """Figures of one step, each ``[]``, means over the batch.

    Attributes:
      squared_error: Mean squared error of a pixel's channel, images seen whole.
      completion_error: The same for images with holes, completed in one go.
      divergence: KL divergence of an image's latents from N(0, 1), in nats.
      perceptual: Perceptual distance of images seen whole.
      completion_perceptual: The same for completed images.
      lead: How much more real the critic finds real images than others, in logits.
      slope: Mean squared slope of the critic.
    """

    squared_error: jax.Array
    completion_error: jax.Array
    divergence: jax.Array
    perceptual: jax.Array
    completion_perceptual: jax.Array
    lead: jax.Array
    slope: jax.Array


@functools.partial(jax.jit, static_argnames="config")
def init_state(config: AutoencoderConfig, principal: Principal) -> AutoencoderState:
    """The state before the first step; a function of its arguments alone.

    Args:
      config: The recipe.
      principal: Principal components of the images, as many as a latent has numbers, at
        the side that ``autoencoder.coarse_side`` says.
    """
    size = config.architecture
    keys = jax.random.split(jax.random.key(config.seed), 4)
    images = jnp.zeros((2, size.image_size, size.image_size, 4), jnp.float32)
    latents = jnp.zeros((2, size.latent_size), jnp.float32)
    networks = _networks(config, None)
    decoder, encoder, critic = (
        network.init(key, x, train=True)
        for network, key, x in zip(
            networks, keys, (latents, images, images), strict=False
        )
    )
    linear = {name: jnp.asarray(x) for name, x in principal._asdict().items()}
    decoder = {**decoder, "params": {**decoder["params"], **linear}}
    critic = {"batch_stats": {}, **critic}
    begin = functools.partial(_begin, _optimizer(config))
    # Copies: the state is donated to each step, and no buffer may be donated twice.
    average = jax.tree.map(jnp.copy, (decoder, encoder))
    # Those of the linear part's guesses.
    explained = 1 - linear_part.variance(linear)
    codes = Codes(jnp.zeros_like(explained), jnp.diag(explained))
    step = jnp.zeros((), jnp.int32)
    return AutoencoderState(
        step, begin(decoder), begin(encoder), begin(critic), average, codes
    )


def _begin(optimizer: optax.GradientTransformation, variables: Variables) -> Network:
    return Network(variables, optimizer.init(variables["params"]))


@functools.partial(jax.jit, static_argnames=("config", "mesh"), donate_argnames="state")
def train_step(
    state: AutoencoderState,
    images: jax.Array,
    perceptual: Perceptual,
    *,
    config: AutoencoderConfig,
    mesh: Mesh | None = None,
) -> tuple[AutoencoderState, Metrics]:
    """One update of decoder and encoder, then one of the critic.

    Args:
      state: State of the training. Donated: do not use it again.
      images: ``[B, S, S, 3]`` float32 in [-1, 1]. Every other one gets a hole.
      perceptual: The perceptual distance, a pytree: ``quality.perceptual`` has one.
      config: The recipe.
      mesh: As for ``gan.train_step``. The batch must divide into shares of a multiple
        of 8 images.

    Returns:
      The next state and the step's figures.
    """
    step = functools.partial(_train_step, config=config)
    return updates.run_step(step, state, images, mesh, perceptual)


def _train_step(
    state: AutoencoderState,
    images: jax.Array,
    perceptual: Perceptual,
    *,
    config: AutoencoderConfig,
    share: parallel.Share,
) -> tuple[AutoencoderState, Metrics]:
    """``train_step`` for one device's share of the batch.

    Random values are drawn for the whole batch and then divided. The images are decoded
    once: the gradients of all losses meet in them, on their way back.
    """
    key = jax.random.fold_in(jax.random.key(config.seed), state.step)
    key_flip, key_mask, *keys_latent, key_probe = jax.random.split(key, 5)
    if config.flip:
        images = updates.flip_at_random(key_flip, images, share)
    mask = _draw_mask(key_mask, config.architecture.image_size)
    shown = Shown(images[0::2], images[1::2], mask)

    forward = _forward(state, shown, keys_latent, config, share)
    params = state.decoder.variables["params"], state.encoder.variables["params"]
    (decoded, cost), pull_back, (*stats, divergence, moments) = jax.vjp(
        forward, params, has_aux=True
    )
    judge = _judge(config)
    critic = state.critic.variables["params"]
    real, fake = losses.to_judge(shown, decoded)

    def distances(decoded: Decoded) -> tuple[jax.Array, Any]:
        return losses.distances(decoded, shown, perceptual, config, share)

    def adversarial_loss(decoded: Decoded) -> jax.Array:
        _, fake = losses.to_judge(shown, decoded)
        # Each against a real one (Jolicoeur-Martineau, 2019).
        doubt = jax.nn.softplus(judge(critic, real) - judge(critic, fake))
        completed, others = jnp.split(doubt, 2)
        grown = _grown(state.step, config.settled)
        completed = grown * config.completion_adversarial_weight * completed.mean()
        return (completed + config.adversarial_weight * others.mean()) / 2

    gradient, (errors, perceived) = jax.grad(distances, has_aux=True)(decoded)
    gradient = jax.tree.map(jnp.add, gradient, jax.grad(adversarial_loss)(decoded))
    (gradients,) = pull_back((gradient, jnp.ones_like(cost)))
    gradients, stats = share.mean((gradients, stats))
    optimizer = _optimizer(config)
    decoder = updates.update(state.decoder, optimizer, gradients[0], stats[0])
    encoder = updates.update(state.encoder, optimizer, gradients[1], stats[1])

    shape = share.devices * len(images) // 8, *images.shape[1:]
    probe = share.take(losses.PROBE * jax.random.normal(key_probe, shape, jnp.float32))
    c_gradient, (lead, slope) = jax.grad(losses.critic_loss, has_aux=True)(
        critic, judge, real, fake, probe, config.penalty
    )
    updated = updates.update(state.critic, optimizer, share.mean(c_gradient), {})
    average = updates.moving_average(
        state.average,
        (decoder.variables, encoder.variables),
        state.step,
        config.ema_decay,
    )
    codes = jax.tree.map(
        lambda old, new: config.ema_decay * old + (1 - config.ema_decay) * new,
        state.codes,
        share.mean(moments),
    )
    metrics = Metrics(
        errors[0], errors[1], divergence, perceived[0], perceived[1], lead, slope
    )
    state = AutoencoderState(state.step + 1, decoder, encoder, updated, average, codes)
    return state, share.mean(metrics)


def _forward(
    state: AutoencoderState,
    shown: Shown,
    keys: Sequence[jax.Array],
    config: AutoencoderConfig,
    share: parallel.Share,
) -> Callable[[tuple[Any, Any]], Any]:
    """The way from parameters of decoder and encoder to what is decoded.

    Args:
      state: State of the training.
      shown: The images.
      keys: Keys of the latents' noise and of the samples.
      config: The recipe.
      share: Position of the images in the batch.

    Returns:
      A function to the ``Decoded`` and the cost of the latents in nats a number of an
      image; and beside these BatchNorm's statistics, the KL divergence and the
      moments of the latents of images seen whole.
    """
    size = config.architecture
    decoder_network, encoder_network, _ = _networks(config, share.axis_name)
    half = len(shown.whole)
    count = share.devices * half
    noise = share.take(jax.random.normal(keys[0], (count, size.latent_size), "float32"))
    samples = jax.random.normal(keys[1], (count // 2, size.latent_size), "float32")
    codes, factor = state.codes, state.codes.factor()
    sampled = codes.mean + share.take(samples) @ factor.T
    everything = jnp.ones_like(shown.mask)
    linear = jax.lax.stop_gradient(state.decoder.variables["params"])
    guesses = jnp.concatenate(
        [
            linear_part.guess(linear, shown.whole, everything),
            linear_part.guess(linear, shown.holed, shown.mask),
        ]
    )
    linear_variance = linear_part.variance(linear)
    seen = jnp.concatenate(
        [
            linear_part.see(shown.whole, everything),
            linear_part.see(shown.holed, shown.mask),
        ]
    )

    def forward(params: tuple[Any, Any]) -> Any:
        (correction, log_variance), e_stats = updates.apply(
            encoder_network, state.encoder.variables, params[1], seen
        )
        mean, completing = jnp.split(guesses + correction, 2)
        variance = linear_variance * jnp.exp(log_variance[:half])
        latents = mean + jnp.sqrt(variance) * noise
        given = jnp.concatenate([latents, completing, sampled])
        decoded, d_stats = updates.apply(
            decoder_network, state.decoder.variables, params[0], given
        )
        divergence = (jnp.square(mean) + variance - 1 - jnp.log(variance)).sum(1) / 2
        divergence = divergence.mean()
        # A completing latent is to be probable among those; it has no variance.
        away = (completing - codes.mean).T
        away = solve_triangular(factor, away, lower=True)
        improbable = jnp.square(away).sum(0).mean() / 2
        apart = mean - codes.mean
        # Exact, as its triangular factor is wanted.
        moments = Codes(mean.mean(0), multiply_exactly(apart.T, apart) / half)
        cost = (divergence + improbable / 2) / shown.whole[0].size
        parts = Decoded(*jnp.split(decoded, [half, 2 * half]))
        return (parts, cost), (d_stats, e_stats, divergence, moments)

    return forward


def _judge(config: AutoencoderConfig) -> Callable[[Any, jax.Array], jax.Array]:
    """The critic as a function of parameters and images."""
    _, _, network = _networks(config, None)

    def judge(params: Any, images: jax.Array) -> jax.Array:
        return jnp.asarray(network.apply({"params": params}, images, train=True))

    return judge


def _networks(
    config: AutoencoderConfig, axis_name: str | None
) -> tuple[Decoder, Encoder, Critic]:
    return (
        Decoder(config.architecture, config.dtype, axis_name),
        Encoder(config.of_width(config.encoder_width), config.dtype, axis_name),
        Critic(config.of_width(config.critic_width), config.dtype),
    )


def _draw_mask(key: jax.Array, size: int) -> jax.Array:
    """A mask ``[S, S, 1]`` of one of ``encoder.MASKS``."""
    key_masks, key_choice = jax.random.split(key)
    each = masks.masks_in_turn(MASKS, key_masks, len(MASKS), (size, size))
    return each[jax.random.randint(key_choice, (), 0, len(MASKS), jnp.int32)]


def _grown(step: jax.Array, settled: int) -> jax.Array:
    """The share of ``completion_adversarial_weight`` that counts after ``step`` steps.

    With more at first the critic runs ahead, and the images only get worse.
    """
    grown = jnp.clip((step - settled) / settled, 0, 1)
    return _AT_FIRST + (1 - _AT_FIRST) * grown


def _optimizer(config: AutoencoderConfig) -> optax.GradientTransformation:
    def rate(step: jax.Array) -> jax.Array:
        done = step.astype(jnp.float32) + 1
        falling = jnp.sqrt(config.settled / jnp.maximum(done, config.settled))
        return config.learning_rate * jnp.minimum(done / _WARM_UP, falling)

    return optax.adam(rate, b1=config.beta1, b2=0.99)
