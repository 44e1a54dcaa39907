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

import dataclasses
import functools
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from inpaint_jax import masks, parallel
from inpaint_jax.networks import autoencoder
from inpaint_jax.networks.autoencoder import Critic, Decoder, Encoder, see
from inpaint_jax.networks.dcgan import Variables
from inpaint_jax.training import updates
from inpaint_jax.training.encoder import MASKS
from inpaint_jax.training.principal import Principal
from inpaint_jax.training.recipes import check_common
from inpaint_jax.training.updates import Network
from inpaint_jax.types import Architecture, check_counts

_WARM_UP = 200
"""Steps in which the learning rate rises."""
_ERROR_WEIGHTS = np.array([0.5, 0.25], np.float32)
"""Weights of the logarithms of the squared errors of images seen whole, where this is
the likelihood, and of completed ones."""
_SAMPLE_WEIGHT = 4.0
"""Weight of a sample's adversarial loss, in units of another image's."""
_PROBE = 0.03
"""Standard deviation of the noise that probes how steep the critic is."""


class Perceptual(Protocol):
    """A distance of images: two batches ``[B, S, S, 3]`` in [-1, 1] to ``[B]``."""

    def __call__(self, a: jax.Array, b: jax.Array) -> jax.Array: ...


@dataclasses.dataclass(frozen=True)
class AutoencoderConfig:
    """How an autoencoder is trained.

    Attributes:
      architecture: Sizes; ``width`` is the decoder's.
      encoder_width: Channels of the encoder's outermost layer.
      critic_width: Channels of the critic's outermost layer.
      batch_size: Images per step, a multiple of 8 for each device.
      learning_rate: Adam's greatest step size. It rises over the first 200 steps, and
        falls with one over the root of the step number from ``settled`` on.
      settled: Step from which the learning rate falls.
      beta1: Decay of Adam's first moment.
      perceptual_weight: Weight of the perceptual distance of an image seen whole,
        beside the negative log likelihood in nats a pixel's channel.
      completion_weight: The same for a completed image.
      adversarial_weight: Weight of the critic's loss of an image.
      penalty: Weight of the critic's squared slope, at real images and at others.
      ema_decay: Decay per step of the weights' moving average, after warm-up.
      flip: Whether images are mirrored at random.
      seed: Seed of weights, latents, masks, flips and order of the images.

    Raises:
      ValueError: A value is out of range.
    """

    architecture: Architecture = dataclasses.field(
        default_factory=lambda: Architecture(latent_size=512, width=32)
    )
    encoder_width: int = 32
    critic_width: int = 24
    batch_size: int = 64
    learning_rate: float = 5e-4
    settled: int = 4000
    beta1: float = 0.5
    perceptual_weight: float = 3.0
    completion_weight: float = 2.0
    adversarial_weight: float = 1.0
    penalty: float = 0.1
    ema_decay: float = 0.999
    flip: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        check_common(self)
        check_counts(self, "encoder_width", "critic_width", "settled")
        if self.batch_size % 8:
            raise ValueError(
                f"batch_size must be a multiple of 8, not {self.batch_size}: an eighth "
                "of the images goes to each part of the work"
            )
        for name in (
            "perceptual_weight",
            "completion_weight",
            "adversarial_weight",
            "penalty",
        ):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be >= 0, not {getattr(self, name)}")

    def of_width(self, width: int) -> Architecture:
        """The architecture at another network's width."""
        return dataclasses.replace(self.architecture, width=width)


class AutoencoderState(NamedTuple):
    """The state of the training, the content of a checkpoint.

    Attributes:
      step: ``[]`` int32, number of steps done.
      decoder: The decoder under training.
      encoder: The encoder under training.
      critic: The critic.
      average: Moving averages of the variables of decoder and encoder.
    """

    step: jax.Array
    decoder: Network
    encoder: Network
    critic: Network
    average: tuple[Variables, Variables]


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
    return AutoencoderState(
        jnp.zeros((), jnp.int32), begin(decoder), begin(encoder), begin(critic), average
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
    size, numbers = config.architecture, images[0].size
    count = share.devices * len(images)
    key = jax.random.fold_in(jax.random.key(config.seed), state.step)
    key_flip, key_mask, key_noise, key_sample, key_probe = jax.random.split(key, 5)
    if config.flip:
        images = updates.flip_at_random(key_flip, images, share)
    whole, holed = images[0::2], images[1::2]
    half = len(whole)
    everything = jnp.ones((size.image_size, size.image_size, 1), jnp.float32)
    mask = _draw_mask(key_mask, size.image_size)
    normal = functools.partial(jax.random.normal, dtype=jnp.float32)
    noise = share.take(normal(key_noise, (count // 2, size.latent_size)))
    sampled = share.take(normal(key_sample, (count // 4, size.latent_size)))
    decoder_network, encoder_network, critic_network = _networks(
        config, share.axis_name
    )

    # --- Forward: latents of what is seen, and of nothing; their images ---------------
    guesses = _linear_guesses(state.decoder, (whole, everything), (holed, mask))
    seen = jnp.concatenate([see(whole, everything), see(holed, mask)])

    def forward(params: tuple[Any, Any]) -> tuple[Any, Any]:
        (correction, log_variance), e_stats = updates.apply(
            encoder_network, state.encoder.variables, params[1], seen
        )
        mean, completing = guesses[:half] + correction[:half], guesses + correction
        completing, log_variance = completing[half:], log_variance[:half]
        # The linear part's own posterior is where the encoder starts from.
        variance = jnp.exp(log_variance) * prior_variance
        latents = mean + jnp.sqrt(variance) * noise
        decoded, d_stats = updates.apply(
            decoder_network,
            state.decoder.variables,
            params[0],
            jnp.concatenate([latents, completing, sampled]),
        )
        divergence = (jnp.square(mean) + variance - 1 - jnp.log(variance)).sum(1) / 2
        # A completing latent is to be probable, too; it has no variance.
        improbable = jnp.square(completing).sum(1).mean() / 2
        divergence = divergence.mean()
        cost = (divergence + improbable / 2) / numbers
        return (decoded, cost), (d_stats, e_stats, divergence)

    prior_variance = _posterior_variance(state.decoder)
    (decoded, _), pull_back, (d_stats, e_stats, divergence) = jax.vjp(
        forward,
        (state.decoder.variables["params"], state.encoder.variables["params"]),
        has_aux=True,
    )

    # --- Losses of the images, and the critic's opinion -------------------------------
    def completed(decoded: jax.Array) -> jax.Array:
        return jnp.where(mask > 0.5, holed, decoded[half : 2 * half])

    def distances(decoded: jax.Array) -> tuple[jax.Array, Any]:
        errors = jnp.stack(
            [
                jnp.square(decoded[:half] - whole).mean(),
                jnp.square(decoded[half : 2 * half] - holed).mean(),
            ]
        )
        found = perceptual(
            jnp.concatenate([decoded[:half], completed(decoded)]),
            jnp.concatenate([whole, holed]),
        )
        found = jnp.stack([found[:half].mean(), found[half:].mean()])
        # The gradient of the logarithm of the whole batch's error.
        rates = _ERROR_WEIGHTS / jax.lax.stop_gradient(share.mean(errors))
        cost = rates @ errors
        cost += config.perceptual_weight * found[0]
        cost += config.completion_weight * found[1]
        return cost, (errors, found)

    gradient, (errors, perceived) = jax.grad(distances, has_aux=True)(decoded)
    nothing = jnp.zeros_like(everything)
    real = jnp.concatenate(
        [_mark(holed, mask), _mark(whole[0::2], nothing), _mark(whole[1::2], nothing)]
    )

    def others(decoded: jax.Array) -> jax.Array:
        # Every other image that was seen whole makes room for a sample.
        return jnp.concatenate(
            [
                _mark(completed(decoded), mask),
                _mark(decoded[0:half:2], nothing),
                _mark(decoded[2 * half :], nothing),
            ]
        )

    def judge(params: Any, images: jax.Array) -> jax.Array:
        return jnp.asarray(critic_network.apply({"params": params}, images, train=True))

    critic_params = state.critic.variables["params"]
    on_real = judge(critic_params, real)

    def adversarial_loss(decoded: jax.Array) -> jax.Array:
        # Each against a real one (Jolicoeur-Martineau, 2019).
        losses = jax.nn.softplus(on_real - judge(critic_params, others(decoded)))
        # Nothing else tells samples what to be.
        return losses.mean() + (_SAMPLE_WEIGHT - 1) * losses[-half // 2 :].sum() / len(
            losses
        )

    opinion = jax.grad(adversarial_loss)(decoded)
    gradient += config.adversarial_weight * opinion

    # --- Updates ----------------------------------------------------------------------
    (gradients,) = pull_back((gradient, jnp.ones((), gradient.dtype)))
    gradients, d_stats, e_stats = share.mean((gradients, d_stats, e_stats))
    optimizer = _optimizer(config)
    decoder = updates.update(state.decoder, optimizer, gradients[0], d_stats)
    encoder = updates.update(state.encoder, optimizer, gradients[1], e_stats)
    # The mean squared change along a random direction is the squared slope. (The exact
    # one is a derivative of a derivative, at more than twice the cost.)
    fake = others(decoded)
    noise = share.take(_PROBE * normal(key_probe, (count // 8, *images.shape[1:])))
    probe = _mark(jnp.tile(noise, (5, 1, 1, 1)), nothing)

    def some(real: jax.Array, fake: jax.Array) -> jax.Array:
        # Five kinds of images, an eighth of the batch of each.
        quarter = half // 2
        kinds = (
            real[:half:4],
            real[half : half + quarter : 2],
            fake[:half:4],
            fake[half::2],
        )
        return jnp.concatenate(kinds)

    def critic_loss(params: Any) -> tuple[jax.Array, Any]:
        on_real, on_fake = judge(params, real), judge(params, fake)
        moved = judge(params, some(real, fake) + probe) - some(on_real, on_fake)
        slope = jnp.square(moved / _PROBE).mean()
        lead = on_real - on_fake
        loss = jax.nn.softplus(-lead).mean() + config.penalty / 2 * slope
        return loss, (lead.mean(), slope)

    c_gradient, judgement = jax.grad(critic_loss, has_aux=True)(critic_params)
    critic = updates.update(state.critic, optimizer, share.mean(c_gradient), {})
    variables = decoder.variables, encoder.variables
    average = updates.moving_average(
        state.average, variables, state.step, config.ema_decay
    )
    metrics = Metrics(
        errors[0], errors[1], divergence, perceived[0], perceived[1], *judgement
    )
    state = AutoencoderState(state.step + 1, decoder, encoder, critic, average)
    return state, share.mean(metrics)


def _networks(
    config: AutoencoderConfig, axis_name: str | None
) -> tuple[Decoder, Encoder, Critic]:
    return (
        Decoder(config.architecture, axis_name),
        Encoder(config.of_width(config.encoder_width), axis_name),
        Critic(config.of_width(config.critic_width)),
    )


def _draw_mask(key: jax.Array, size: int) -> jax.Array:
    """A mask ``[S, S, 1]`` of one of ``encoder.MASKS``."""
    key_masks, key_choice = jax.random.split(key)
    each = masks.masks_in_turn(MASKS, key_masks, len(MASKS), (size, size))
    return each[jax.random.randint(key_choice, (), 0, len(MASKS), jnp.int32)]


def _linear_guesses(decoder: Network, *seen: tuple[jax.Array, jax.Array]) -> jax.Array:
    """The linear part's latents ``[B, L]`` for images under a mask, and others."""
    params = jax.lax.stop_gradient(decoder.variables["params"])
    guesses = [autoencoder.linear_guess(params, *each) for each in seen]
    return jnp.concatenate(guesses)


def _posterior_variance(decoder: Network) -> jax.Array:
    """Variance ``[L]`` that a whole image leaves of each number, for the linear part.

    That of orthogonal components, as they are when training begins.
    """
    params = decoder.variables["params"]
    strength = jnp.square(params["components"]).sum((1, 2, 3))
    return params["noise"] / (params["noise"] + strength)


def _mark(images: jax.Array, known: jax.Array) -> jax.Array:
    """The critic's input: images ``[B, S, S, 3]`` with the channel ``[S, S, 1]``."""
    shape = (*images.shape[:-1], 1)
    return jnp.concatenate([images, jnp.broadcast_to(known, shape)], -1)


def _optimizer(config: AutoencoderConfig) -> optax.GradientTransformation:
    def rate(step: jax.Array) -> jax.Array:
        done = step.astype(jnp.float32) + 1
        falling = jnp.sqrt(config.settled / jnp.maximum(done, config.settled))
        return config.learning_rate * jnp.minimum(done / _WARM_UP, falling)

    return optax.adam(rate, b1=config.beta1, b2=0.99)
