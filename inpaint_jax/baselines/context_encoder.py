"""The context encoder (Pathak et al., 2016): one pass of a network fills the hole.

This is the variant for holes of any shape, whose input is the image with its hole in
one colour, without the mask. As in the comparison of Yeh et al. (section 4.2), one
network is trained on all four of their masks together.

As in ``gan``, training is pure functions of a state: ``init_state`` and ``train_step``.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jax.typing import ArrayLike

from inpaint_jax import masks, parallel
from inpaint_jax.baselines.fill import Fill
from inpaint_jax.completion import fill_holes
from inpaint_jax.configs import Architecture, check_counts
from inpaint_jax.losses import FAKE, REAL
from inpaint_jax.networks.dcgan import ContextEncoder, Discriminator
from inpaint_jax.networks.variables import Variables, convolution_name, dense_name
from inpaint_jax.training import updates
from inpaint_jax.training.recipes import check_common
from inpaint_jax.training.updates import Network

MASKS: dict[str, masks.MaskFunction] = {
    "center": masks.center,
    "pattern": masks.pattern,
    "random80": functools.partial(masks.random_pixels, missing=0.8),
    "half": masks.half,
}
"""Masks in training, dealt to the images of a batch in turn."""


@dataclasses.dataclass(frozen=True)
class ContextEncoderConfig:
    """How a context encoder is trained; with the published values where there are any.

    Attributes:
      architecture: Sizes; ``latent_size`` is the bottleneck's, 4000 in the paper.
      discriminator_width: Channels of the discriminator's outermost layer; None: as
        many as the context encoder has. It does most of a step's work.
      batch_size: Images per step.
      learning_rate: Adam's step size; the discriminator's is a tenth of it.
      beta1: Decay of Adam's first moment.
      adversarial_weight: Weight w of the adversarial loss; the squared error has the
        weight 1 - w.
      ema_decay: Decay per step of the moving average of the weights, after warm-up.
      flip: Whether images are mirrored at random.
      seed: Seed of weights, masks, flips and order of the images.

    Raises:
      ValueError: A value is out of range.
    """

    architecture: Architecture = dataclasses.field(
        default_factory=lambda: Architecture(latent_size=4000)
    )
    discriminator_width: int | None = None
    batch_size: int = 64
    learning_rate: float = 2e-3
    beta1: float = 0.5
    adversarial_weight: float = 0.001
    ema_decay: float = 0.999
    flip: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        check_common(self)
        if self.discriminator_width is not None:
            check_counts(self, "discriminator_width")
        if not 0 <= self.adversarial_weight <= 1:
            raise ValueError(
                f"adversarial_weight must be in [0, 1], not {self.adversarial_weight}"
            )

    @property
    def discriminator_architecture(self) -> Architecture:
        """Sizes of the discriminator."""
        width = self.discriminator_width or self.architecture.width
        return dataclasses.replace(self.architecture, width=width)


class ContextEncoderState(NamedTuple):
    """The state of the training, the content of a checkpoint.

    Attributes:
      step: ``[]`` int32, number of steps done.
      network: The context encoder under training.
      discriminator: The discriminator under training.
      average: Moving average of the context encoder's variables, which fills holes.
      color: ``[3]`` in [-1, 1], colour of the holes: the mean of the training images.
    """

    step: jax.Array
    network: Network
    discriminator: Network
    average: Variables
    color: jax.Array


class Metrics(NamedTuple):
    """Figures of one step, each ``[]``.

    Attributes:
      hole_loss: Mean squared error in the hole, the mean over the batch.
      adversarial_loss: -log D of the completed images.
      discriminator_loss: -log D(x) - log(1 - D) of the completed images.
    """

    hole_loss: jax.Array
    adversarial_loss: jax.Array
    discriminator_loss: jax.Array


@functools.partial(jax.jit, static_argnames="config")
def init_state(config: ContextEncoderConfig, color: jax.Array) -> ContextEncoderState:
    """The state before the first step.

    Args:
      config: The recipe.
      color: ``[3]`` in [-1, 1], the mean colour of the training images.
    """
    key_c, key_d = jax.random.split(jax.random.key(config.seed))
    size = config.architecture
    images = jnp.zeros((2, size.image_size, size.image_size, 3), jnp.float32)
    c = ContextEncoder(size).init(key_c, images, train=True)
    d = Discriminator(config.discriminator_architecture).init(key_d, images, train=True)
    of_network, of_discriminator = _optimizers(config)
    return ContextEncoderState(
        step=jnp.zeros((), jnp.int32),
        network=Network(c, of_network.init(c["params"])),
        discriminator=Network(d, of_discriminator.init(d["params"])),
        # Copies: the state is donated to each step, and no buffer may be donated twice.
        average=jax.tree.map(jnp.copy, c),
        color=jnp.array(color, jnp.float32),
    )


@functools.partial(jax.jit, static_argnames=("config", "mesh"), donate_argnames="state")
def train_step(
    state: ContextEncoderState,
    images: jax.Array,
    *,
    config: ContextEncoderConfig,
    mesh: Mesh | None = None,
) -> tuple[ContextEncoderState, Metrics]:
    """One update of the discriminator, then one of the context encoder.

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
    state: ContextEncoderState,
    images: jax.Array,
    *,
    config: ContextEncoderConfig,
    share: parallel.Share,
) -> tuple[ContextEncoderState, Metrics]:
    """``train_step`` for one device's share of the batch."""
    count, height, width, _ = images.shape
    batch_size = share.devices * count
    key = jax.random.fold_in(jax.random.key(config.seed), state.step)
    key_flip, key_mask = jax.random.split(key)
    if config.flip:
        images = updates.flip_at_random(key_flip, images, share)
    known = share.take(
        masks.masks_in_turn(
            tuple(MASKS.values()), key_mask, batch_size, (height, width)
        )
    )
    seen = _with_holes(images, known, state.color)

    context_encoder = ContextEncoder(config.architecture, axis_name=share.axis_name)
    judge = Discriminator(config.discriminator_architecture, axis_name=share.axis_name)

    def forward(params: Any) -> tuple[jax.Array, Any]:
        filled, statistics = updates.apply(
            context_encoder, state.network.variables, params, seen
        )
        return jnp.where(known > 0.5, images, filled), statistics

    completed, pull_back, statistics = jax.vjp(
        forward, state.network.variables["params"], has_aux=True
    )

    def discriminator_loss(params: Any) -> tuple[jax.Array, Any]:
        variables = state.discriminator.variables
        on_real, stats = updates.apply(judge, variables, params, images)
        on_completed, stats = updates.apply(
            judge, {**variables, "batch_stats": stats}, params, completed
        )
        loss = -jax.nn.log_softmax(on_real)[:, REAL].mean()
        return loss - jax.nn.log_softmax(on_completed)[:, FAKE].mean(), stats

    of_network, of_discriminator = _optimizers(config)
    (d_loss, d_stats), gradient = jax.value_and_grad(discriminator_loss, has_aux=True)(
        state.discriminator.variables["params"]
    )
    gradient, d_stats = share.mean((gradient, d_stats))
    discriminator = updates.update(
        state.discriminator, of_discriminator, gradient, d_stats
    )

    def loss(completed: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        squared = jnp.square(completed - images).sum((1, 2, 3))
        hole = (squared / (3 * jnp.maximum((1 - known).sum((1, 2, 3)), 1))).mean()
        variables = discriminator.variables
        logits, _ = updates.apply(judge, variables, variables["params"], completed)
        adversarial = -jax.nn.log_softmax(logits)[:, REAL].mean()
        weight = config.adversarial_weight
        return (1 - weight) * hole + weight * adversarial, (hole, adversarial)

    image_gradient, (hole, adversarial) = jax.grad(loss, has_aux=True)(completed)
    (gradient,) = pull_back(image_gradient)
    gradient, statistics = share.mean((gradient, statistics))
    network = updates.update(state.network, of_network, gradient, statistics)
    average = updates.moving_average(
        state.average, network.variables, state.step, config.ema_decay
    )
    return (
        ContextEncoderState(
            state.step + 1, network, discriminator, average, state.color
        ),
        share.mean(Metrics(hole, adversarial, d_loss)),
    )


def context_encoder_fill(
    variables: Variables, color: ArrayLike, *, blend: bool = False
) -> Fill:
    """A trained context encoder as a method to fill holes.

    Args:
      variables: Variables of the network.
      color: ``[3]`` in [-1, 1], colour of the holes in training.
      blend: Whether to blend its pixels into the hole by eq. 6; otherwise they are
        pasted.

    Returns:
      The fill, for images of the size that the network was trained on.
    """
    # The weights are arguments of the compiled function, not constants of it.
    fill = functools.partial(_fill, blend=blend)
    return jax.tree_util.Partial(fill, variables, jnp.asarray(color, jnp.float32))


@functools.partial(jax.jit, static_argnames="blend")
def _fill(
    variables: Variables,
    color: jax.Array,
    images: jax.Array,
    known: jax.Array,
    keys: jax.Array,
    *,
    blend: bool,
) -> jax.Array:
    network = ContextEncoder(architecture_of(variables, images.shape[1]))
    filled = network.apply(variables, _with_holes(images, known, color), train=False)
    completed, _ = fill_holes(images, jnp.asarray(filled), known, blend=blend)
    return completed


def architecture_of(variables: Variables, image_size: int) -> Architecture:
    """The sizes of a context encoder, from the shapes of its weights."""
    parameters = variables["params"]
    return Architecture(
        latent_size=parameters[dense_name(0)]["kernel"].shape[1],
        width=parameters[convolution_name(0)]["kernel"].shape[-1],
        image_size=image_size,
    )


def _with_holes(images: jax.Array, known: jax.Array, color: jax.Array) -> jax.Array:
    return jnp.where(known > 0.5, images, color)


def _optimizers(
    config: ContextEncoderConfig,
) -> tuple[optax.GradientTransformation, optax.GradientTransformation]:
    """The optimizers of the context encoder and of the discriminator."""
    rate = config.learning_rate
    return (
        optax.adam(rate, b1=config.beta1),
        optax.adam(rate / 10, b1=config.beta1),
    )
