"""Training the DCGAN: eq. 1 of the paper with the procedure of Radford et al. (2016),
and what has been found since to make such training better.

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
from jax.typing import DTypeLike

from inpaint_jax import augment
from inpaint_jax.losses import FAKE, REAL
from inpaint_jax.networks import Discriminator, Generator, Variables
from inpaint_jax.types import PRECISIONS, Architecture

GENERATOR_LOSSES = ("non_saturating", "saturating")

_R1_EVERY = 16  # Steps; the penalty weighs as many times more (Karras et al., 2020).


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """The recipe; by default the paper's.

    Attributes:
      architecture: Sizes of the two networks.
      batch_size: Images a step.
      learning_rate: Adam's.
      discriminator_learning_rate: Adam's for the discriminator; None: the same (Heusel
        et al., 2017, use two).
      beta1: Adam's first decay; 0.5 as Radford et al. found.
      ema_decay: Decay a step of the moving average of the generator, once warm: at
        step t it is at most (1 + t) / (10 + t).
      generator_loss: ``non_saturating``, -log D(G(z)), or ``saturating``,
        log(1 - D(G(z))), which is eq. 1 to the letter and starves early on.
      flip: Whether real images are mirrored at random.
      label_smoothing: How far the discriminator's target for real images is below 1
        (one-sided: Salimans et al., 2016).
      instance_noise: Standard deviation of the noise on all that the discriminator sees
        (Arjovsky and Bottou, 2017), in units of [-1, 1].
      augmentations: Of all that the discriminator sees; some of
        ``augment.AUGMENTATIONS``.
      r1_weight: Gamma of the R1 penalty, gamma / 2 times the squared norm of the
        gradient of log D / (1 - D) in real images as the discriminator sees them
        (Mescheder et al., 2018); applied at every 16th step, 16 times over. Through
        BatchNorm an image's gradient also holds its part in the others' logits.
      batch_norm_groups: Into how many parts BatchNorm divides a batch, each normalised
        by statistics of its own. 1: the whole batch, wherever its images are; as many
        as there are devices: none waits for another's statistics.
      precision: What the networks compute in, one of ``types.PRECISIONS``; parameters,
        BatchNorm's statistics, losses and Adam are float32 in any case.
      seed: Of the weights, the latents, the flips and the order of the images.

    Raises:
      ValueError: A value is out of range.
    """

    architecture: Architecture = dataclasses.field(default_factory=Architecture)
    batch_size: int = 64
    learning_rate: float = 2e-4
    discriminator_learning_rate: float | None = None
    beta1: float = 0.5
    ema_decay: float = 0.999
    generator_loss: str = "non_saturating"
    flip: bool = True
    label_smoothing: float = 0.0
    instance_noise: float = 0.0
    augmentations: tuple[str, ...] = ()
    r1_weight: float = 0.0
    batch_norm_groups: int = 1
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.batch_size < 2:
            raise ValueError("batch_size must be at least 2: BatchNorm needs a batch")
        groups = self.batch_norm_groups
        if groups < 1 or self.batch_size % groups or self.batch_size < 2 * groups:
            raise ValueError(
                f"batch_norm_groups must divide batch_size {self.batch_size} into "
                f"parts of at least 2, not {groups}"
            )
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, not {self.seed}")
        for name in ("learning_rate", "discriminator_learning_rate"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"{name} must be > 0, not {value}")
        if not 0 <= self.beta1 < 1 or not 0 <= self.ema_decay < 1:
            raise ValueError("beta1 and ema_decay must be in [0, 1)")
        if self.generator_loss not in GENERATOR_LOSSES:
            raise ValueError(
                f"generator_loss must be one of {', '.join(GENERATOR_LOSSES)}, "
                f"not {self.generator_loss}"
            )
        if not 0 <= self.label_smoothing < 0.5:
            raise ValueError(
                f"label_smoothing must be in [0, 0.5), not {self.label_smoothing}"
            )
        for name in ("instance_noise", "r1_weight"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be >= 0, not {getattr(self, name)}")
        augment.check(self.augmentations)
        if self.precision not in PRECISIONS:
            raise ValueError(
                f"precision must be one of {', '.join(PRECISIONS)}, not "
                f"{self.precision}"
            )

    @property
    def dtype(self) -> DTypeLike | None:
        """What the networks are told to compute in; None: as their inputs are."""
        return None if self.precision == "float32" else self.precision


RECIPES = {
    "paper": TrainConfig(),
    "tuned": TrainConfig(discriminator_learning_rate=1e-4),
}
"""Recipes by name: the paper's, and one that measured better (BUILD.md)."""


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
      discriminator_loss: -log D(x) - log(1 - D(G(z))), mean over the batch, with
        smoothed labels if so configured, without the penalty.
      generator_loss: As the configuration chose.
      real_score: Mean of D(x).
      fake_score: Mean of D(G(z)), before the discriminator's update.
    """

    discriminator_loss: jax.Array
    generator_loss: jax.Array
    real_score: jax.Array
    fake_score: jax.Array


def _keys(config: TrainConfig) -> jax.Array:
    """Keys of the generator's weights, the discriminator's, and all steps."""
    return jax.random.split(jax.random.key(config.seed), 3)


def sample_latents(key: jax.Array, count: int, latent_size: int) -> jax.Array:
    """``[count, latent_size]`` from the paper's prior, U[-1, 1]."""
    return jax.random.uniform(key, (count, latent_size), minval=-1.0, maxval=1.0)


# Compiled, because then only the weights are drawn: what the networks make of the
# dummy inputs is used by nobody and not computed.
@functools.partial(jax.jit, static_argnames="config")
def init_state(config: TrainConfig) -> TrainState:
    """The state before the first step; a function of ``config`` alone."""
    key_g, key_d, _ = _keys(config)
    size = config.architecture
    latents = jnp.zeros((2, size.latent_size))
    images = jnp.zeros((2, size.image_size, size.image_size, 3))
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
    key = jax.random.fold_in(_keys(config)[2], state.step)
    key_flip, key_z, key_real, key_fake, key_judged = jax.random.split(key, 5)
    real = flip_at_random(key_flip, images) if config.flip else images
    latents = sample_latents(key_z, real.shape[0], config.architecture.latent_size)
    generator, discriminator = state.generator, state.discriminator

    def forward(params: Any) -> tuple[jax.Array, Any]:
        network = Generator(config.architecture, config.dtype)
        return _apply(network, generator.variables, params, latents, config)

    fake, pull_back, g_stats = jax.vjp(
        forward, generator.variables["params"], has_aux=True
    )

    judge = Discriminator(config.architecture, config.dtype)
    seen_real = _seen(key_real, real, config)
    seen_fake = _seen(key_fake, fake, config)

    def discriminator_loss(params: Any) -> tuple[jax.Array, Any]:
        # Real and generated images are normalised apart, each by its own batch's
        # statistics; the running ones see first the one, then the other.
        on_real, stats = _apply(
            judge, discriminator.variables, params, seen_real, config
        )
        variables = {**discriminator.variables, "batch_stats": stats}
        on_fake, stats = _apply(judge, variables, params, seen_fake, config)
        real_score = jax.nn.softmax(on_real)[:, REAL].mean()
        fake_score = jax.nn.softmax(on_fake)[:, REAL].mean()
        of_real = jax.nn.log_softmax(on_real).mean(0)
        loss = -(1 - config.label_smoothing) * of_real[REAL]
        loss -= config.label_smoothing * of_real[FAKE]
        loss -= jax.nn.log_softmax(on_fake)[:, FAKE].mean()
        penalty = _r1(judge, discriminator.variables, params, seen_real, state, config)
        return loss + penalty, (loss, stats, real_score, fake_score)

    d_gradient, (d_loss, d_stats, real_score, fake_score) = jax.grad(
        discriminator_loss, has_aux=True
    )(discriminator.variables["params"])
    optimizer = _discriminator_optimizer(config)
    discriminator = _update(discriminator, optimizer, d_gradient, d_stats)

    def generator_loss(fake: jax.Array) -> jax.Array:
        params = discriminator.variables["params"]
        seen = _seen(key_judged, fake, config)
        logits, _ = _apply(judge, discriminator.variables, params, seen, config)
        log_probability = jax.nn.log_softmax(logits)
        if config.generator_loss == "saturating":
            return log_probability[:, FAKE].mean()
        return -log_probability[:, REAL].mean()

    g_loss, image_gradient = jax.value_and_grad(generator_loss)(fake)
    (g_gradient,) = pull_back(image_gradient)
    optimizer = _generator_optimizer(config)
    generator = _update(generator, optimizer, g_gradient, g_stats)

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


def _seen(key: jax.Array, images: jax.Array, config: TrainConfig) -> jax.Array:
    """What the discriminator gets to see of a batch, real or generated."""
    key_augment, key_noise = jax.random.split(key)
    if config.augmentations:
        images = augment.augment(key_augment, images, config.augmentations)
    if config.instance_noise:
        noise = jax.random.normal(key_noise, images.shape, images.dtype)
        images = images + config.instance_noise * noise
    return images


def _r1(
    judge: Discriminator,
    variables: Variables,
    params: Any,
    real: jax.Array,
    state: TrainState,
    config: TrainConfig,
) -> jax.Array:
    """The R1 penalty of this step, ``[]``; 0 at most steps."""
    if not config.r1_weight:
        return jnp.zeros(())

    def log_odds(images: jax.Array) -> jax.Array:
        logits, _ = _apply(judge, variables, params, images, config)
        return (logits[:, REAL] - logits[:, FAKE]).sum()

    def penalty() -> jax.Array:
        gradient = jax.grad(log_odds)(real)
        squared_norms = jnp.square(gradient).sum((1, 2, 3))
        return _R1_EVERY * config.r1_weight / 2 * squared_norms.mean()

    return jax.lax.cond(state.step % _R1_EVERY == 0, penalty, lambda: jnp.zeros(()))


def _apply(
    network: Generator | Discriminator,
    variables: Variables,
    params: Any,
    x: jax.Array,
    config: TrainConfig,
) -> tuple[jax.Array, Any]:
    """The network in training mode: its output and its new BatchNorm statistics."""

    def of_group(x: jax.Array) -> tuple[jax.Array, Any]:
        output, updated = network.apply(
            {**variables, "params": params}, x, train=True, mutable=["batch_stats"]
        )
        return output, updated["batch_stats"]

    groups = config.batch_norm_groups
    if groups == 1:
        return of_group(x)
    # BatchNorm is all that looks at other images of a batch.
    outputs, statistics = jax.vmap(of_group)(x.reshape(groups, -1, *x.shape[1:]))
    mean = jax.tree.map(lambda each: each.mean(0), statistics)
    return outputs.reshape(len(x), *outputs.shape[2:]), mean


def _generator_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    return optax.adam(config.learning_rate, b1=config.beta1)


def _discriminator_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    rate = config.discriminator_learning_rate or config.learning_rate
    return optax.adam(rate, b1=config.beta1)


def _update(
    network: Network,
    optimizer: optax.GradientTransformation,
    gradient: Any,
    statistics: Any,
) -> Network:
    updates, state = optimizer.update(gradient, network.optimizer)
    params = optax.apply_updates(network.variables["params"], updates)
    return Network({"params": params, "batch_stats": statistics}, state)


@jax.jit
def is_finite(tree: Any) -> jax.Array:
    """``[]`` bool: whether every floating-point number in ``tree`` is finite."""
    leaves = [
        jnp.isfinite(leaf).all()
        for leaf in jax.tree.leaves(tree)
        if jnp.issubdtype(leaf.dtype, jnp.floating)
    ]
    return jnp.stack(leaves).all()
