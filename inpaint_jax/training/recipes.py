"""Recipes: the settings of a network's training."""

import dataclasses
import numbers
import types
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, get_args

from jax.typing import DTypeLike

from inpaint_jax.configs import (
    Architecture,
    check_counts,
    check_not_negative,
    check_positive,
)
from inpaint_jax.networks.precision import PRECISIONS

GENERATOR_LOSSES = ("non_saturating", "saturating")

GONE: Mapping[str, Any] = {
    "augmentations": [],
    "instance_noise": 0.0,
    "label_smoothing": 0.0,
    "r1_weight": 0.0,
}
"""Former fields of recipes, with the value that turned each off: none was better than
chance (docs/notes/2026-11-recipes.md)."""


class Recipe(Protocol):
    """The fields of every recipe, which is a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    @property
    def architecture(self) -> Architecture: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def seed(self) -> int: ...


def check_common(recipe: Recipe) -> None:
    """Checks the fields of every recipe, and those that several have, if present.

    These are ``beta1``, ``ema_decay`` and ``precision``.

    Raises:
      ValueError: A value is of the wrong type or out of range.
    """
    for field in dataclasses.fields(recipe):
        _check_type(field, getattr(recipe, field.name))
    if recipe.batch_size < 2:
        raise ValueError("batch_size must be at least 2: BatchNorm needs a batch")
    if recipe.seed < 0:
        raise ValueError(f"seed must be at least 0, not {recipe.seed}")
    check_positive(recipe, "learning_rate")
    for name in ("beta1", "ema_decay"):
        value = getattr(recipe, name, 0.0)
        if not 0 <= value < 1:
            raise ValueError(f"{name} must be in [0, 1), not {value}")
    precision = getattr(recipe, "precision", "float32")
    if precision not in PRECISIONS:
        raise ValueError(
            f"precision must be one of {', '.join(PRECISIONS)}, not {precision}"
        )


def _check_type(field: dataclasses.Field[Any], value: Any) -> None:
    """Checks that the value of a field is a number, a whole number or a bool."""
    wanted = get_args(field.type) or (field.type,)
    if value is None and types.NoneType in wanted:
        return
    for kind, numbers_of, what in (
        (bool, bool, "True or False"),
        (int, numbers.Integral, "a whole number"),
        (float, numbers.Real, "a number"),
    ):
        is_bool = isinstance(value, bool)
        if kind in wanted and (
            not isinstance(value, numbers_of) or is_bool != (kind is bool)
        ):
            raise ValueError(f"{field.name} must be {what}, not {value!r}")


def _rounded_to(precision: str) -> DTypeLike | None:
    return None if precision == "float32" else precision


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """The recipe of a DCGAN; by default the paper's.

    Attributes:
      architecture: Sizes of the two networks.
      batch_size: Images per step.
      learning_rate: Adam's step size.
      discriminator_learning_rate: Adam's step size for the discriminator; None: the
        same as ``learning_rate`` (Heusel et al., 2017, use two).
      beta1: Decay of Adam's first moment; 0.5 as in Radford et al.
      ema_decay: Decay per step of the moving average of the generator, after warm-up:
        at step t it is at most (1 + t) / (10 + t).
      generator_loss: ``non_saturating``, -log D(G(z)), or ``saturating``,
        log(1 - D(G(z))), which is eq. 1 itself and has a vanishing gradient early in
        training.
      flip: Whether real images are mirrored at random.
      batch_norm_groups: Number of parts into which BatchNorm divides a batch, each
        normalised by its own statistics. 1: the whole batch, on any number of devices;
        a multiple of the number of devices: devices exchange no statistics.
      precision: Number type of the factors of the networks' products, one of
        ``precision.PRECISIONS``. On GPUs and TPUs a convolution's result is rounded to
        it as well; all else is float32 in any case.
      seed: Seed of weights, latents, flips and order of the images.

    Raises:
      ValueError: A value is of the wrong type or out of range.
    """

    architecture: Architecture = dataclasses.field(default_factory=Architecture)
    batch_size: int = 64
    learning_rate: float = 2e-4
    discriminator_learning_rate: float | None = None
    beta1: float = 0.5
    ema_decay: float = 0.999
    generator_loss: str = "non_saturating"
    flip: bool = True
    batch_norm_groups: int = 1
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        check_common(self)
        groups = self.batch_norm_groups
        if groups < 1 or self.batch_size % groups or self.batch_size < 2 * groups:
            raise ValueError(
                f"batch_norm_groups must divide batch_size {self.batch_size} into "
                f"parts of at least 2, not {groups}"
            )
        if self.discriminator_learning_rate is not None:
            check_positive(self, "discriminator_learning_rate")
        if self.generator_loss not in GENERATOR_LOSSES:
            raise ValueError(
                f"generator_loss must be one of {', '.join(GENERATOR_LOSSES)}, "
                f"not {self.generator_loss}"
            )

    @property
    def dtype(self) -> DTypeLike | None:
        """What factors of products are rounded to; None: they are not."""
        return _rounded_to(self.precision)


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
      settled: Step from which the learning rate falls, and from which
        ``completion_adversarial_weight`` grows; it is reached at twice as many.
      beta1: Decay of Adam's first moment.
      perceptual_weight: Weight of the perceptual distance of an image seen whole,
        beside the negative log likelihood in nats a pixel's channel.
      completion_weight: The same for a completed image.
      adversarial_weight: Weight of the critic's loss of images seen whole, and sampled.
      completion_adversarial_weight: The same for a completed image. Only where it is
        about as strong as the perceptual distance do invented faces get eyes. A tenth
        of it counts until the step ``settled``: early on the critic only leads astray.
        So does a critic that knows the images by heart: with a few thousand of them
        less is more.
      penalty: Weight of the critic's squared slope, at real images and at others.
      ema_decay: Decay per step of the weights' moving average, after warm-up.
      flip: Whether images are mirrored at random.
      precision: As for ``TrainConfig``; of decoder, encoder and critic.
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
    adversarial_weight: float = 0.3
    completion_adversarial_weight: float = 3.0
    penalty: float = 0.1
    ema_decay: float = 0.999
    flip: bool = True
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        check_common(self)
        check_counts(self, "encoder_width", "critic_width", "settled")
        if self.batch_size % 8:
            raise ValueError(
                f"batch_size must be a multiple of 8, not {self.batch_size}: an eighth "
                "of the images goes to each part of the work"
            )
        check_not_negative(
            self,
            "perceptual_weight",
            "completion_weight",
            "adversarial_weight",
            "completion_adversarial_weight",
            "penalty",
        )

    @property
    def dtype(self) -> DTypeLike | None:
        """What factors of products are rounded to; None: they are not."""
        return _rounded_to(self.precision)

    def of_width(self, width: int) -> Architecture:
        """The architecture at another network's width."""
        return dataclasses.replace(self.architecture, width=width)


RECIPES = {
    "paper": TrainConfig(),
    "tuned": TrainConfig(discriminator_learning_rate=1e-4),
}
"""Recipes by name: the paper's, and one with better results
(docs/notes/2026-11-recipes.md)."""
