"""Training the DCGAN: eq. 1 of the paper with the procedure of Radford et al. (2016).

Pure functions of a state: ``init_state`` makes one, ``train_step`` maps one to the
next. All randomness comes from the seed in the configuration and the step's number,
so a run that is stopped and started again ends where an unbroken one does.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from inpaint_jax import parallel
from inpaint_jax.latents import Uniform
from inpaint_jax.losses import FAKE, REAL
from inpaint_jax.networks.dcgan import Discriminator, Generator
from inpaint_jax.networks.variables import Variables
from inpaint_jax.training import updates
from inpaint_jax.training.recipes import TrainConfig
from inpaint_jax.training.updates import Network


class TrainState(NamedTuple):
    """The state of the training, the content of a checkpoint.

    Attributes:
      step: ``[]`` int32, number of steps done.
      generator: The generator under training.
      discriminator: The discriminator under training.
      average: Moving average of the generator's variables, which generates samples
        and is exported.
    """

    step: jax.Array
    generator: Network
    discriminator: Network
    average: Variables


class Metrics(NamedTuple):
    """Figures of one step, each ``[]``.

    Attributes:
      discriminator_loss: -log D(x) - log(1 - D(G(z))), mean over the batch.
      generator_loss: The loss that ``TrainConfig.generator_loss`` names, batch mean.
      real_score: Mean of D(x).
      fake_score: Mean of D(G(z)), before the discriminator's update.
    """

    discriminator_loss: jax.Array
    generator_loss: jax.Array
    real_score: jax.Array
    fake_score: jax.Array


class StepKeys(NamedTuple):
    """The PRNG keys of one step.

    Attributes:
      flips: Key that draws which real images are mirrored.
      latents: Key that draws the generator's input.
    """

    flips: jax.Array
    latents: jax.Array


def _keys(config: TrainConfig) -> jax.Array:
    """Keys of the generator's weights, the discriminator's weights, and all steps."""
    return jax.random.split(jax.random.key(config.seed), 3)


def step_keys(config: TrainConfig, step: jax.Array) -> StepKeys:
    """The keys of a step ``[]``, with which a reference can draw the same values."""
    key = jax.random.fold_in(_keys(config)[2], step)
    return StepKeys(*jax.random.split(key))


def sample_latents(key: jax.Array, count: int, latent_size: int) -> jax.Array:
    """``[count, latent_size]`` from the paper's prior, U[-1, 1]."""
    return Uniform((count, latent_size)).sample(key)


# Compiled, because then only the weights are drawn: the networks' outputs for the dummy
# inputs are not used and so not computed.
@functools.partial(jax.jit, static_argnames="config")
def init_state(config: TrainConfig) -> TrainState:
    """The state before the first step; a function of ``config`` alone."""
    key_g, key_d, _ = _keys(config)
    size = config.architecture
    latents = jnp.zeros((2, size.latent_size), jnp.float32)
    images = jnp.zeros((2, size.image_size, size.image_size, 3), jnp.float32)
    g = Generator(size).init(key_g, latents, train=True)
    d = Discriminator(size).init(key_d, images, train=True)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        generator=Network(g, _generator_optimizer(config).init(g["params"])),
        discriminator=Network(d, _discriminator_optimizer(config).init(d["params"])),
        # A copy: the state is donated to each step, and no buffer may be donated
        # twice.
        average=jax.tree.map(jnp.copy, g),
    )


@functools.partial(jax.jit, static_argnames=("config", "mesh"), donate_argnames="state")
def train_step(
    state: TrainState,
    images: jax.Array,
    *,
    config: TrainConfig,
    mesh: Mesh | None = None,
) -> tuple[TrainState, Metrics]:
    """One update of the discriminator, then one of the generator.

    Both updates use the same generated images: the generator does not change in
    between, so its forward pass is done once. Its backward pass follows when the
    updated discriminator has given a gradient for the images.

    Args:
      state: State of the training. Donated: do not use it again.
      images: ``[B, S, S, 3]`` float32 in [-1, 1], real images.
      config: The recipe.
      mesh: Devices over which ``images`` are split and ``state`` is copied; None: one
        device. The result is the same on any number of devices, up to rounding.

    Returns:
      The next state and the step's figures.

    Raises:
      ValueError: ``config.batch_norm_groups`` is neither 1 nor a multiple of the number
        of devices.
    """
    devices = 1 if mesh is None else mesh.size
    if config.batch_norm_groups > 1 and config.batch_norm_groups % devices:
        raise ValueError(
            f"batch_norm_groups must be 1 or a multiple of the {devices} devices, "
            f"not {config.batch_norm_groups}"
        )
    step = functools.partial(_train_step, config=config)
    return updates.run_step(step, state, images, mesh)


def _train_step(
    state: TrainState, images: jax.Array, *, config: TrainConfig, share: parallel.Share
) -> tuple[TrainState, Metrics]:
    """``train_step`` for one device's share of the batch.

    Random values are drawn for the whole batch and then divided. As BatchNorm
    statistics are exchanged between devices, the gradient of a share's loss is that of
    the sum of all losses; its mean over the devices is the gradient for the whole
    batch.
    """
    batch_size = share.devices * images.shape[0]
    keys = step_keys(config, state.step)
    real = images
    if config.flip:
        real = updates.flip_at_random(keys.flips, images, share)
    latents = share.take(
        sample_latents(keys.latents, batch_size, config.architecture.latent_size)
    )
    generator, discriminator = state.generator, state.discriminator

    # With groups each share is normalised on its own, in one part or several.
    axis_name = share.axis_name if config.batch_norm_groups == 1 else None
    groups = max(1, config.batch_norm_groups // share.devices)
    apply = functools.partial(updates.apply, groups=groups)

    def forward(params: Any) -> tuple[jax.Array, Any]:
        network = Generator(config.architecture, config.dtype, axis_name)
        return apply(network, generator.variables, params, latents)

    fake, pull_back, g_stats = jax.vjp(
        forward, generator.variables["params"], has_aux=True
    )

    judge = Discriminator(config.architecture, config.dtype, axis_name)

    def discriminator_loss(params: Any) -> tuple[jax.Array, Any]:
        # Real and generated images are normalised apart, each by their own batch
        # statistics; the running statistics are updated by the real ones first.
        on_real, stats = apply(judge, discriminator.variables, params, real)
        variables = {**discriminator.variables, "batch_stats": stats}
        on_fake, stats = apply(judge, variables, params, fake)
        real_score = jax.nn.softmax(on_real)[:, REAL].mean()
        fake_score = jax.nn.softmax(on_fake)[:, REAL].mean()
        loss = -jax.nn.log_softmax(on_real)[:, REAL].mean()
        loss -= jax.nn.log_softmax(on_fake)[:, FAKE].mean()
        return loss, (stats, real_score, fake_score)

    (d_loss, (d_stats, real_score, fake_score)), d_gradient = jax.value_and_grad(
        discriminator_loss, has_aux=True
    )(discriminator.variables["params"])
    d_gradient, d_stats = share.mean((d_gradient, d_stats))
    optimizer = _discriminator_optimizer(config)
    discriminator = updates.update(discriminator, optimizer, d_gradient, d_stats)

    def generator_loss(fake: jax.Array) -> jax.Array:
        params = discriminator.variables["params"]
        logits, _ = apply(judge, discriminator.variables, params, fake)
        log_probability = jax.nn.log_softmax(logits)
        if config.generator_loss == "saturating":
            return log_probability[:, FAKE].mean()
        return -log_probability[:, REAL].mean()

    g_loss, image_gradient = jax.value_and_grad(generator_loss)(fake)
    (g_gradient,) = pull_back(image_gradient)
    g_gradient, g_stats = share.mean((g_gradient, g_stats))
    optimizer = _generator_optimizer(config)
    generator = updates.update(generator, optimizer, g_gradient, g_stats)

    average = updates.moving_average(
        state.average, generator.variables, state.step, config.ema_decay
    )
    return (
        TrainState(state.step + 1, generator, discriminator, average),
        share.mean(Metrics(d_loss, g_loss, real_score, fake_score)),
    )


def _generator_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    return optax.adam(config.learning_rate, b1=config.beta1)


def _discriminator_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    rate = config.discriminator_learning_rate or config.learning_rate
    return optax.adam(rate, b1=config.beta1)
