"""Training the DCGAN: eq. 1 of the paper with the procedure of Radford et al. (2016).

Pure functions of a state: ``init_state`` makes one, ``train_step`` maps one to the
next. All randomness comes from the seed in the configuration and the step's number,
so a run that is stopped and started again ends where an unbroken one does.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from inpaint_jax.losses import FAKE, REAL
from inpaint_jax.networks import Discriminator, Generator, Variables
from inpaint_jax.types import Architecture

GENERATOR_LOSSES = ("non_saturating", "saturating")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """The recipe.

    Attributes:
      architecture: Sizes of the two networks.
      batch_size: Images a step.
      learning_rate: Adam's, for both networks.
      beta1: Adam's first decay; 0.5 as Radford et al. found.
      ema_decay: Decay a step of the moving average of the generator, once warm: at
        step t it is at most (1 + t) / (10 + t).
      generator_loss: ``non_saturating``, -log D(G(z)), or ``saturating``,
        log(1 - D(G(z))), which is eq. 1 to the letter and starves early on.
      flip: Whether real images are mirrored at random.
      seed: Of the weights, the latents, the flips and the order of the images.

    Raises:
      ValueError: A value is out of range.
    """

    architecture: Architecture = dataclasses.field(default_factory=Architecture)
    batch_size: int = 64
    learning_rate: float = 2e-4
    beta1: float = 0.5
    ema_decay: float = 0.999
    generator_loss: str = "non_saturating"
    flip: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if self.batch_size < 2:
            raise ValueError("batch_size must be at least 2: BatchNorm needs a batch")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, not {self.seed}")
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning_rate must be > 0, not {self.learning_rate}")
        if not 0 <= self.beta1 < 1 or not 0 <= self.ema_decay < 1:
            raise ValueError("beta1 and ema_decay must be in [0, 1)")
        if self.generator_loss not in GENERATOR_LOSSES:
            raise ValueError(
                f"generator_loss must be one of {', '.join(GENERATOR_LOSSES)}, "
                f"not {self.generator_loss}"
            )


class Network(NamedTuple):
    """One network under training.

    Attributes:
      variables: Its parameters and BatchNorm statistics.
      optimizer: State of its Adam.
    """

    variables: Variables
    optimizer: optax.OptState


class TrainState(NamedTuple):
    """Everything that a checkpoint holds.

    Attributes:
      step: ``[]`` int32, steps done.
      generator: The generator under training.
      discriminator: The discriminator under training.
      average: Moving average of the generator's variables: what samples are drawn
        from and what ships.
    """

    step: jax.Array
    generator: Network
    discriminator: Network
    average: Variables


class Metrics(NamedTuple):
    """Figures of one step, each ``[]``.

    Attributes:
      discriminator_loss: -log D(x) - log(1 - D(G(z))), mean over the batch.
      generator_loss: As the configuration chose.
      real_score: Mean of D(x).
      fake_score: Mean of D(G(z)), before the discriminator's update.
    """

    discriminator_loss: jax.Array
    generator_loss: jax.Array
    real_score: jax.Array
    fake_score: jax.Array


def _optimizer(config: TrainConfig) -> optax.GradientTransformation:
    return optax.adam(config.learning_rate, b1=config.beta1)


def sample_latents(key: jax.Array, count: int, latent_size: int) -> jax.Array:
    """``[count, latent_size]`` from the paper's prior, U[-1, 1]."""
    return jax.random.uniform(key, (count, latent_size), minval=-1.0, maxval=1.0)


# Compiled, because then only the weights are drawn: what the networks make of the
# dummy inputs is used by nobody and not computed.
@functools.partial(jax.jit, static_argnames="config")
def init_state(config: TrainConfig) -> TrainState:
    """The state before the first step; a function of ``config`` alone."""
    key_g, key_d = jax.random.split(jax.random.key(config.seed))
    size = config.architecture
    latents = jnp.zeros((2, size.latent_size))
    images = jnp.zeros((2, size.image_size, size.image_size, 3))
    g = Generator(size).init(key_g, latents, train=True)
    d = Discriminator(size).init(key_d, images, train=True)
    optimizer = _optimizer(config)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        generator=Network(g, optimizer.init(g["params"])),
        discriminator=Network(d, optimizer.init(d["params"])),
        # A copy: the state is donated to each step, and no buffer may be donated
        # twice.
        average=jax.tree.map(jnp.copy, g),
    )


@functools.partial(jax.jit, static_argnames="config", donate_argnames="state")
def train_step(
    state: TrainState, images: jax.Array, *, config: TrainConfig
) -> tuple[TrainState, Metrics]:
    """One update of the discriminator, then one of the generator.

    The generator's images serve both updates: it has not changed in between, so its
    forward pass is done once and pulled back through when the discriminator's new
    parameters have judged them.

    Args:
      state: Where training stands. Donated: do not use it again.
      images: ``[B, S, S, 3]`` float32 in [-1, 1], real ones.
      config: The recipe.

    Returns:
      The next state and the step's figures.
    """
    key = jax.random.fold_in(jax.random.key(config.seed), state.step)
    key_flip, key_z = jax.random.split(key)
    real = flip_at_random(key_flip, images) if config.flip else images
    latents = sample_latents(key_z, real.shape[0], config.architecture.latent_size)
    generator, discriminator = state.generator, state.discriminator

    def forward(params: Any) -> tuple[jax.Array, Any]:
        return _apply(
            Generator(config.architecture), generator.variables, params, latents
        )

    fake, pull_back, g_stats = jax.vjp(
        forward, generator.variables["params"], has_aux=True
    )

    judge = Discriminator(config.architecture)

    def discriminator_loss(params: Any) -> tuple[jax.Array, Any]:
        # Real and generated images are normalised apart, each by its own batch's
        # statistics; the running ones see first the one, then the other.
        on_real, stats = _apply(judge, discriminator.variables, params, real)
        variables = {**discriminator.variables, "batch_stats": stats}
        on_fake, stats = _apply(judge, variables, params, fake)
        real_score = jax.nn.softmax(on_real)[:, REAL].mean()
        fake_score = jax.nn.softmax(on_fake)[:, REAL].mean()
        loss = -jax.nn.log_softmax(on_real)[:, REAL].mean()
        loss -= jax.nn.log_softmax(on_fake)[:, FAKE].mean()
        return loss, (stats, real_score, fake_score)

    (d_loss, (d_stats, real_score, fake_score)), d_gradient = jax.value_and_grad(
        discriminator_loss, has_aux=True
    )(discriminator.variables["params"])
    discriminator = _update(discriminator, d_gradient, d_stats, config)

    def generator_loss(fake: jax.Array) -> jax.Array:
        params = discriminator.variables["params"]
        logits, _ = _apply(judge, discriminator.variables, params, fake)
        log_probability = jax.nn.log_softmax(logits)
        if config.generator_loss == "saturating":
            return log_probability[:, FAKE].mean()
        return -log_probability[:, REAL].mean()

    g_loss, image_gradient = jax.value_and_grad(generator_loss)(fake)
    (g_gradient,) = pull_back(image_gradient)
    generator = _update(generator, g_gradient, g_stats, config)

    # Early on the average forgets faster, or it would hold on to the first weights.
    decay = jnp.minimum(config.ema_decay, (1.0 + state.step) / (10.0 + state.step))
    average = optax.incremental_update(generator.variables, state.average, 1.0 - decay)
    return (
        TrainState(state.step + 1, generator, discriminator, average),
        Metrics(d_loss, g_loss, real_score, fake_score),
    )


def flip_at_random(key: jax.Array, images: jax.Array) -> jax.Array:
    """Mirrors each of ``[B, H, W, C]`` left to right with probability 1/2."""
    chosen = jax.random.bernoulli(key, shape=(images.shape[0], 1, 1, 1))
    return jnp.where(chosen, images[:, :, ::-1], images)


def _apply(
    network: Generator | Discriminator, variables: Variables, params: Any, x: jax.Array
) -> tuple[jax.Array, Any]:
    """The network in training mode: its output and its new BatchNorm statistics."""
    output, updated = network.apply(
        {**variables, "params": params}, x, train=True, mutable=["batch_stats"]
    )
    return output, updated["batch_stats"]


def _update(
    network: Network, gradient: Any, statistics: Any, config: TrainConfig
) -> Network:
    updates, optimizer = _optimizer(config).update(gradient, network.optimizer)
    params = optax.apply_updates(network.variables["params"], updates)
    return Network({"params": params, "batch_stats": statistics}, optimizer)


@jax.jit
def is_finite(tree: Any) -> jax.Array:
    """``[]`` bool: whether every floating-point number in ``tree`` is finite."""
    leaves = [
        jnp.isfinite(leaf).all()
        for leaf in jax.tree.leaves(tree)
        if jnp.issubdtype(leaf.dtype, jnp.floating)
    ]
    return jnp.stack(leaves).all()
