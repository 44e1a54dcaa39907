"""A learned start for the search: encoders that see what is known and name a latent.

The first encoder guesses z from the image with its hole; each further one looks at the
image of the guess before and corrects it. They are trained without labels: on whole
images, damaged at random, by how far G(z) is from the image where it is known (eq. 4)
and where it is not.

As in ``gan``, training is pure functions of a state: ``init_state`` and ``train_step``.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from inpaint_jax import masks
from inpaint_jax.latents import Uniform
from inpaint_jax.losses import importance_weights
from inpaint_jax.networks.dcgan import Encoder, Variables
from inpaint_jax.search.starts import guesses
from inpaint_jax.training import gan
from inpaint_jax.training.augment import flip_at_random
from inpaint_jax.types import Architecture, Correct, Generate

MASKS = (
    masks.center,
    masks.pattern,
    functools.partial(masks.random_pixels, missing=0.8),
    masks.half,
    masks.box,
    masks.any_pixels,
)
"""Of the images of a batch, in turn."""


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
    """How encoders are trained.

    Attributes:
      architecture: The generator's sizes, but for ``width``, which is the encoders'.
      passes: How many encoders there are, one after the other.
      steps: Of the whole training: the learning rate falls to 0 by then.
      batch_size: Images a step.
      learning_rate: Adam's greatest, after a warm-up.
      hidden_weight: Of the l1 distance over the whole image beside the context loss.
      latent_weight: Of the squared distance to the latent, where that is known.
      own_share: One image in so many is a sample of the generator.
      flip: Whether images are mirrored at random.
      seed: Of the weights, the masks, the samples and the order of the images.

    Raises:
      ValueError: A value is out of range.
    """

    architecture: Architecture = dataclasses.field(default_factory=Architecture)
    passes: int = 2
    steps: int = 20_000
    batch_size: int = 48
    learning_rate: float = 1e-3
    hidden_weight: float = 1.0
    latent_weight: float = 3.0
    own_share: int = 2
    flip: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("passes", "steps"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"{name} must be at least 1, not {getattr(self, name)}"
                )
        if self.batch_size < 2:
            raise ValueError("batch_size must be at least 2: BatchNorm needs a batch")
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning_rate must be > 0, not {self.learning_rate}")
        for name in ("hidden_weight", "latent_weight"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be >= 0, not {getattr(self, name)}")
        if not 2 <= self.own_share <= self.batch_size:
            raise ValueError(
                f"own_share must be at least 2 and at most batch_size, not "
                f"{self.own_share}"
            )


class EncoderState(NamedTuple):
    """Everything that a checkpoint holds.

    Attributes:
      step: ``[]`` int32, steps done.
      encoders: The variables of each pass's network.
      optimizer: State of Adam, over the parameters of all.
    """

    step: jax.Array
    encoders: tuple[Variables, ...]
    optimizer: optax.OptState


class Metrics(NamedTuple):
    """Figures of one step after each pass, each ``[passes]``, means over the batch.

    Attributes:
      context: Mean l1 distance to the known pixels, weighted by their importance.
      whole: Mean l1 distance to the whole image.
    """

    context: jax.Array
    whole: jax.Array


@functools.partial(jax.jit, static_argnames="config")
def init_state(config: EncoderConfig) -> EncoderState:
    """The state before the first step; a function of ``config`` alone."""
    size = config.architecture
    keys = jax.random.split(jax.random.key(config.seed), config.passes)
    seen = jnp.zeros((2, size.image_size, size.image_size, 7))
    encoders = tuple(Encoder(size).init(key, seen, train=True) for key in keys)
    parameters = [variables["params"] for variables in encoders]
    return EncoderState(
        jnp.zeros((), jnp.int32), encoders, _optimizer(config).init(parameters)
    )


@functools.partial(jax.jit, static_argnames="config", donate_argnames="state")
def train_step(
    state: EncoderState, images: jax.Array, generate: Generate, *, config: EncoderConfig
) -> tuple[EncoderState, Metrics]:
    """One update of all encoders; each learns from its own guess alone.

    Args:
      state: Where training stands. Donated: do not use it again.
      images: ``[B, S, S, 3]`` float32 in [-1, 1].
      generate: The generator that is searched, ``[L] -> [S, S, 3]``.
      config: How to train.

    Returns:
      The next state and the step's figures.
    """
    key = jax.random.fold_in(jax.random.key(config.seed), state.step)
    key_flip, key_latent, key_mask = jax.random.split(key, 3)
    if config.flip:
        images = flip_at_random(jax.random.split(key_flip, len(images)), images)
    # The first ones, not one in so many: masks are dealt in turn.
    own = jnp.arange(len(images)) < len(images) // config.own_share
    latents = gan.sample_latents(
        key_latent, len(images), config.architecture.latent_size
    )
    generate_all = jax.vmap(generate)
    images = jnp.where(own[:, None, None, None], generate_all(latents), images)
    _, height, width, _ = images.shape
    known = masks.masks_in_turn(MASKS, key_mask, len(images), (height, width))
    weights = jax.vmap(importance_weights)(known)
    # A mean over the known pixels: images with small holes count as much.
    weights /= 3 * jnp.maximum(weights.sum((1, 2, 3), keepdims=True), 1e-6)
    network = Encoder(config.architecture)
    space = Uniform(config.architecture.latent_size)

    def loss(parameters: list[Any]) -> tuple[jax.Array, tuple[list[Any], Metrics]]:
        statistics: list[Any] = []

        def corrector(variables: Variables, params: Any) -> Correct:
            def correct(seen: jax.Array) -> jax.Array:
                output, updated = network.apply(
                    {**variables, "params": params},
                    seen,
                    train=True,
                    mutable=["batch_stats"],
                )
                statistics.append(updated["batch_stats"])
                return output

            return correct

        correctors = [
            corrector(variables, params)
            for variables, params in zip(state.encoders, parameters, strict=True)
        ]
        total, context, whole = jnp.zeros(()), [], []
        for latent, generated in guesses(
            correctors, generate_all, space, images, known
        ):
            error = jnp.abs(generated - images)
            context.append(jnp.sum(weights * error, (1, 2, 3)).mean())
            whole.append(error.mean())
            off = jnp.square(latent - latents).mean(1)
            total += context[-1] + config.hidden_weight * whole[-1]
            total += config.latent_weight * jnp.mean(off, where=own)
        return total, (statistics, Metrics(jnp.stack(context), jnp.stack(whole)))

    parameters = [variables["params"] for variables in state.encoders]
    gradient, (statistics, metrics) = jax.grad(loss, has_aux=True)(parameters)
    updates, optimizer = _optimizer(config).update(gradient, state.optimizer)
    parameters = optax.apply_updates(parameters, updates)
    encoders = tuple(
        {"params": params, "batch_stats": stats}
        for params, stats in zip(parameters, statistics, strict=True)
    )
    return EncoderState(state.step + 1, encoders, optimizer), metrics


def _optimizer(config: EncoderConfig) -> optax.GradientTransformation:
    warm_up = min(100, config.steps // 10)
    rate = optax.warmup_cosine_decay_schedule(
        0.0, config.learning_rate, warm_up, max(config.steps, warm_up + 1)
    )
    return optax.adam(rate)
