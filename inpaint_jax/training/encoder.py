"""A learned start for the search: encoders that guess z from the known pixels.

The first encoder guesses z from the image with its hole; each further one sees the
image of the guess before as well and corrects the guess. They are trained without
labels, on whole images with random holes: the loss is the distance of G(z) from the
image, both at known pixels (eq. 4) and over the whole image.

As in ``gan``, training is pure functions of a state: ``init_state`` and ``train_step``.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from inpaint_jax import masks, parallel
from inpaint_jax.configs import Architecture, check_counts
from inpaint_jax.latents import Uniform
from inpaint_jax.losses import importance_weights
from inpaint_jax.networks.dcgan import Encoder
from inpaint_jax.networks.variables import Variables
from inpaint_jax.search.starts import guesses
from inpaint_jax.training import updates
from inpaint_jax.training.recipes import check_common
from inpaint_jax.types import Correct, Generate, LatentSpace

MASKS = (
    masks.center,
    masks.pattern,
    functools.partial(masks.random_pixels, missing=0.8),
    masks.half,
    masks.box,
    masks.any_pixels,
)
"""Masks in training, dealt to the images of a batch in turn."""

_WHOLE_WEIGHT = 1.0  # Weight of the l1 distance over the whole image.
_LATENT_WEIGHT = 3.0  # Weight of the squared distance to a sample's latent.
_OWN = 2  # One image in so many is a sample of the generator, whose latent is known.


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
    """How encoders are trained.

    Attributes:
      architecture: The generator's sizes, except ``width``, which is the encoders'.
      passes: Number of encoders, one after the other.
      steps: Number of steps in all; the learning rate falls to 0 by then.
      batch_size: Images per step.
      learning_rate: Adam's greatest step size, after the warm-up.
      flip: Whether images are mirrored at random.
      seed: Seed of weights, masks, samples and order of the images.

    Raises:
      ValueError: A value is of the wrong type or out of range.
    """

    architecture: Architecture = dataclasses.field(default_factory=Architecture)
    passes: int = 2
    steps: int = 20_000
    batch_size: int = 48
    learning_rate: float = 1e-3
    flip: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        check_common(self)
        check_counts(self, "passes", "steps")


class EncoderState(NamedTuple):
    """The state of the training, the content of a checkpoint.

    Attributes:
      step: ``[]`` int32, number of steps done.
      encoders: Variables of each encoder.
      optimizer: State of Adam for the parameters of all encoders.
    """

    step: jax.Array
    encoders: tuple[Variables, ...]
    optimizer: optax.OptState


class Metrics(NamedTuple):
    """Figures of one step for each encoder, ``[passes]`` each, means over the batch.

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
    seen = jnp.zeros((2, size.image_size, size.image_size, 7), jnp.float32)
    encoders = tuple(Encoder(size).init(key, seen, train=True) for key in keys)
    parameters = [variables["params"] for variables in encoders]
    return EncoderState(
        jnp.zeros((), jnp.int32), encoders, _optimizer(config).init(parameters)
    )


@functools.partial(
    jax.jit, static_argnames=("config", "latents", "mesh"), donate_argnames="state"
)
def train_step(
    state: EncoderState,
    images: jax.Array,
    generate: Generate,
    *,
    config: EncoderConfig,
    latents: LatentSpace | None = None,
    mesh: Mesh | None = None,
) -> tuple[EncoderState, Metrics]:
    """One update of all encoders; each learns from its own guess alone.

    Args:
      state: State of the training. Donated: do not use it again.
      images: ``[B, S, S, 3]`` float32 in [-1, 1].
      generate: The generator that is searched, ``[L] -> [S, S, 3]``.
      config: How to train.
      latents: The generator's latent space; None: the paper's box.
      mesh: As for ``gan.train_step``.

    Returns:
      The next state and the step's figures.
    """
    space = latents or Uniform(config.architecture.latent_size)
    step = functools.partial(_train_step, config=config, space=space)
    return updates.run_step(step, state, images, mesh, generate)


def _train_step(
    state: EncoderState,
    images: jax.Array,
    generate: Generate,
    *,
    config: EncoderConfig,
    space: LatentSpace,
    share: parallel.Share,
) -> tuple[EncoderState, Metrics]:
    """``train_step`` for one device's share of the batch."""
    count, height, width, _ = images.shape
    batch_size = share.devices * count
    key = jax.random.fold_in(jax.random.key(config.seed), state.step)
    key_flip, key_latent, key_mask = jax.random.split(key, 3)
    if config.flip:
        images = updates.flip_at_random(key_flip, images, share)
    # The first images of the batch: every other one would get only some of the masks.
    own = share.take(jnp.arange(batch_size) < batch_size // _OWN)
    keys = share.take(jax.random.split(key_latent, batch_size))
    latents = jax.vmap(space.sample)(keys)
    generate_all = jax.vmap(generate)
    images = jnp.where(own[:, None, None, None], generate_all(latents), images)
    known = share.take(
        masks.masks_in_turn(MASKS, key_mask, batch_size, (height, width))
    )
    weights = jax.vmap(importance_weights)(known)
    # A mean over the known pixels, so that images count alike whatever their holes.
    weights /= 3 * jnp.maximum(weights.sum((1, 2, 3), keepdims=True), 1e-6)
    network = Encoder(config.architecture, axis_name=share.axis_name)

    def loss(parameters: list[Any]) -> tuple[jax.Array, tuple[list[Any], Metrics]]:
        statistics: list[Any] = []

        def corrector(variables: Variables, params: Any) -> Correct:
            def correct(seen: jax.Array) -> jax.Array:
                output, updated = updates.apply(network, variables, params, seen)
                statistics.append(updated)
                return output

            return correct

        correctors = [
            corrector(variables, params)
            for variables, params in zip(state.encoders, parameters, strict=True)
        ]
        total, context, whole = jnp.zeros((), images.dtype), [], []
        for latent, generated in guesses(
            correctors, generate_all, space, images, known
        ):
            error = jnp.abs(generated - images)
            context.append(jnp.sum(weights * error, (1, 2, 3)).mean())
            whole.append(error.mean())
            off = jnp.square(latent - latents).mean(1)
            total += context[-1] + _WHOLE_WEIGHT * whole[-1]
            # A mean over the samples in the whole batch; one share may hold them all.
            known_ones = batch_size // _OWN / share.devices
            total += _LATENT_WEIGHT * jnp.where(own, off, 0).sum() / known_ones
        return total, (statistics, Metrics(jnp.stack(context), jnp.stack(whole)))

    parameters = [variables["params"] for variables in state.encoders]
    gradient, (statistics, metrics) = jax.grad(loss, has_aux=True)(parameters)
    gradient, statistics = share.mean((gradient, statistics))
    changes, optimizer = _optimizer(config).update(gradient, state.optimizer)
    parameters = optax.apply_updates(parameters, changes)
    encoders = tuple(
        {"params": params, "batch_stats": stats}
        for params, stats in zip(parameters, statistics, strict=True)
    )
    return EncoderState(state.step + 1, encoders, optimizer), share.mean(metrics)


def _optimizer(config: EncoderConfig) -> optax.GradientTransformation:
    warm_up = min(100, config.steps // 10)
    rate = optax.warmup_cosine_decay_schedule(
        0.0, config.learning_rate, warm_up, max(config.steps, warm_up + 1)
    )
    return optax.adam(rate)
