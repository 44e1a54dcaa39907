"""Configurations: the size of a network, how a search and a refinement go."""

import dataclasses
import operator
from typing import Any, Literal, get_args

Schedule = Literal["constant", "cosine", "root"]


def check_counts(config: Any, *names: str) -> None:
    """Checks that fields of a configuration are whole numbers of at least 1.

    Raises:
      ValueError: A field is not; the message names it.
    """
    for name in names:
        value = getattr(config, name)
        try:
            whole = operator.index(value)
        except TypeError:
            raise ValueError(f"{name} must be a whole number, not {value!r}") from None
        if whole < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")


def check_positive(config: Any, *names: str) -> None:
    """Checks that fields of a configuration are finite and above 0.

    Raises:
      ValueError: A field is not; the message names it.
    """
    for name in names:
        value = getattr(config, name)
        if not 0 < value < float("inf"):  # NaN is neither.
            raise ValueError(f"{name} must be > 0, not {value}")


def check_not_negative(config: Any, *names: str) -> None:
    """Checks that fields of a configuration are finite and at least 0.

    Raises:
      ValueError: A field is not; the message names it.
    """
    for name in names:
        value = getattr(config, name)
        if not 0 <= value < float("inf"):
            raise ValueError(f"{name} must be >= 0, not {value}")


@dataclasses.dataclass(frozen=True)
class Architecture:
    """The size of a DCGAN.

    Attributes:
      latent_size: Length of z; 100 in the paper.
      width: Channels of the layer next to the image; each layer inwards doubles
        them. 64 gives the paper's 512-256-128-64.
      image_size: Side of the square image: a power of two, at least 16.

    Raises:
      ValueError: A size is out of range.
    """

    latent_size: int = 100
    width: int = 64
    image_size: int = 64

    def __post_init__(self) -> None:
        check_counts(self, "latent_size", "width", "image_size")
        if self.image_size < 16 or self.image_size & (self.image_size - 1):
            raise ValueError(
                f"image_size must be a power of two >= 16, not {self.image_size}"
            )


@dataclasses.dataclass(frozen=True)
class SearchConfig:
    """How the latent space is searched (sections 3.1 to 3.4 of the paper).

    The defaults are the paper's; ``SEARCHES`` holds named configurations.

    Attributes:
      steps: Adam updates of z.
      learning_rate: Adam's step size, in units of z (whose range is [-1, 1]). The
        paper gives none; the default was chosen on validation images
        (docs/notes/2026-11-learning-rate.md).
      prior_weight: lambda of eq. 5.
      window: Side of the neighbourhood N(i) of eq. 3, in pixels; odd.
      schedule: The learning rate over time: ``constant``; ``cosine``, falling to 0
        along half a cosine; or ``root``, falling to 0 as the square root of the number
        of steps that are left.
      beta1: Decay of Adam's first moment; the second moment's is 0.999.
      prior_every: Number of steps from one evaluation of the prior loss to the next. In
        between it keeps its last value and has no gradient; that is meant for the
        discriminator's loss, which is dear and weighs little. With an objective whose
        second loss matters at every step set 1.
      starts: Number of random latents to try; the search starts from the best.
      guesses: Whether to try the latents that the model's encoders guess, too. A guess
        is taken when it is clearly better than the best random latent.
      principal: Whether Adam's coordinates are the generator's principal directions
        instead of the axes of z, where the model has a ``metric``
        (``search.directions.with_metric`` gives it one).
      newton: Whether steps go along the gradient, multiplied by the inverse of the
        curvature that the model's ``metric`` says (``search.strategies.newton``),
        instead of Adam's way; ``beta1`` is then the decay of the momentum.
      projected: Whether to remove from the gradient, before Adam sees it, the part
        that would push z out of its space. In rotated coordinates that part would move
        other numbers of z, too.
      latent_weight: Weight in the prior loss of ``-log p(z)``, the negative log density
        of the latent space: ``|z|^2 / 2`` for a normal one (Bora et al., 2017), 0 for
        the paper's box.
      start_weight: Weight in the prior loss of ``|z - z_0|^2 / 2``, of the squared
        distance from the start, for starts that are good guesses.

    Raises:
      ValueError: A value is out of range.
    """

    steps: int = 1500
    learning_rate: float = 0.1
    prior_weight: float = 0.003
    window: int = 7
    schedule: Schedule = "constant"
    beta1: float = 0.9
    prior_every: int = 1
    starts: int = 1
    guesses: bool = False
    principal: bool = False
    newton: bool = False
    projected: bool = False
    latent_weight: float = 0.0
    start_weight: float = 0.0

    def __post_init__(self) -> None:
        check_counts(self, "steps", "prior_every", "starts", "window")
        check_positive(self, "learning_rate")
        check_not_negative(self, "prior_weight", "latent_weight", "start_weight")
        if self.window % 2 == 0:
            raise ValueError(f"window must be odd, not {self.window}")
        if self.schedule not in get_args(Schedule):
            kinds = ", ".join(get_args(Schedule))
            raise ValueError(f"schedule must be one of {kinds}, not {self.schedule!r}")
        if not 0 <= self.beta1 < 1:
            raise ValueError(f"beta1 must be in [0, 1), not {self.beta1}")
        if self.newton and (self.principal or self.projected):
            raise ValueError("newton is without principal directions and projection")

    @property
    def needs_metric(self) -> bool:
        """Whether the model's ``metric`` is used."""
        return self.principal or self.newton


@dataclasses.dataclass(frozen=True)
class RefineConfig:
    """How a generator's features are changed after the search (``refine``).

    Attributes:
      steps: Updates of Adam; the learning rate falls to 0 along half a cosine.
      learning_rate: The learning rate of the first step, in units of the features' root
        mean square.
      trust: Weight of the features' mean squared change, in units of their mean square,
        relative to the context loss averaged over the known pixels.

    Raises:
      ValueError: A value is out of range.
    """

    steps: int = 50
    learning_rate: float = 0.05
    trust: float = 0.1

    def __post_init__(self) -> None:
        check_counts(self, "steps")
        check_positive(self, "learning_rate")
        check_not_negative(self, "trust")


_MAP = SearchConfig(
    steps=20,
    learning_rate=0.15,
    schedule="root",
    beta1=0.85,
    prior_weight=0.0,
    guesses=True,
    newton=True,
    latent_weight=0.1,
    start_weight=0.2,
)
SEARCHES = {
    "paper": SearchConfig(),
    "fast": SearchConfig(
        steps=200,
        learning_rate=0.3,
        schedule="root",
        prior_every=16,
        starts=8,
        guesses=True,
        principal=True,
        projected=True,
    ),
    "map": _MAP,
    "far": dataclasses.replace(_MAP, start_weight=0.03),
}
"""Search configurations by name: the paper's; a faster one, for the paper's networks;
and two for models of a normal latent space with an encoder, which look for the most
probable latent (maximum a posteriori), near the encoder's guess or further from it."""
