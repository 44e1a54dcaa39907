"""Recipes: all that says how a DCGAN is trained (``gan``); what every recipe has."""

import dataclasses
from typing import Any, ClassVar, Protocol

from jax.typing import DTypeLike

from inpaint_jax.training import augment
from inpaint_jax.types import PRECISIONS, Architecture

GENERATOR_LOSSES = ("non_saturating", "saturating")


class Recipe(Protocol):
    """What every recipe has; it is a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    @property
    def architecture(self) -> Architecture: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def beta1(self) -> float: ...
    @property
    def ema_decay(self) -> float: ...
    @property
    def seed(self) -> int: ...


def check_common(recipe: Recipe) -> None:
    """Checks what every recipe has.

    Raises:
      ValueError: A value is out of range.
    """
    if recipe.batch_size < 2:
        raise ValueError("batch_size must be at least 2: BatchNorm needs a batch")
    if recipe.seed < 0:
        raise ValueError(f"seed must be at least 0, not {recipe.seed}")
    if not 0 < recipe.learning_rate < float("inf"):
        raise ValueError(f"learning_rate must be > 0, not {recipe.learning_rate}")
    if not 0 <= recipe.beta1 < 1 or not 0 <= recipe.ema_decay < 1:
        raise ValueError("beta1 and ema_decay must be in [0, 1)")


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
        by statistics of its own. 1: the whole batch, over however many devices; a
        multiple of the devices: none waits for another's statistics.
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
        check_common(self)
        groups = self.batch_norm_groups
        if groups < 1 or self.batch_size % groups or self.batch_size < 2 * groups:
            raise ValueError(
                f"batch_norm_groups must divide batch_size {self.batch_size} into "
                f"parts of at least 2, not {groups}"
            )
        value = self.discriminator_learning_rate
        if value is not None and not 0 < value < float("inf"):
            raise ValueError(f"discriminator_learning_rate must be > 0, not {value}")
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
