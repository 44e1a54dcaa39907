"""The nouns of the library: frozen records whose fields say their shapes."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, get_args

import jax

Generate = Callable[[jax.Array], jax.Array]
"""One latent ``[L]`` to one image ``[H, W, 3]`` in [-1, 1]."""

Critic = Callable[[jax.Array], jax.Array]
"""One image ``[H, W, 3]`` in [-1, 1] to two logits ``[2]``: (fake, real)."""

Correct = Callable[[jax.Array], jax.Array]
"""What an encoder sees ``[H, W, 7]`` to a correction ``[L]`` of the latent's guess."""

Render = Callable[[jax.Array], jax.Array]
"""A generator's inner features ``[h, w, C]`` to an image ``[H, W, 3]`` in [-1, 1]."""

Reduction = Literal["sum", "mean"]

Schedule = Literal["constant", "cosine", "root"]

PRECISIONS = ("float32", "bfloat16")
"""What networks can compute in."""


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
        if self.latent_size < 1 or self.width < 1:
            raise ValueError("latent_size and width must be at least 1")
        if self.image_size < 16 or self.image_size & (self.image_size - 1):
            raise ValueError(
                f"image_size must be a power of two >= 16, not {self.image_size}"
            )


@dataclasses.dataclass(frozen=True)
class SearchConfig:
    """How the latent space is searched (sections 3.1 to 3.4 of the paper).

    The defaults are the paper's way; ``SEARCHES`` has another by name.

    Attributes:
      steps: Adam updates of z.
      learning_rate: Adam's step size, in units of z (whose range is [-1, 1]). The
        paper gives none; the default was chosen on validation images (BUILD.md).
      prior_weight: lambda of eq. 5.
      window: Side of the neighbourhood N(i) of eq. 3, in pixels; odd.
      reduction: Whether the context loss (eq. 4) sums over pixels and channels, as
        the paper's norm does, or averages; lambda only means something beside it.
      schedule: Whether the learning rate stays, falls to 0 along half a cosine, or as
        the square root of the steps that are left.
      beta1: Adam's first decay.
      beta2: Its second.
      prior_every: The discriminator is asked, and the prior loss has a gradient, at
        one step in so many; in between its last value stands for it.
      starts: Random latents to try; the search starts from the best.
      guesses: Whether what the model's encoders guess is tried, too; it is taken when
        it is clearly better than the best random one.
      principal: Whether Adam's coordinates are the generator's principal directions
        (``curvature``) instead of the axes of z.
      projected: Whether what would push a coordinate of z out of its box is taken
        from the gradient before Adam sees it. In turned coordinates it would move
        the others, too.

    Raises:
      ValueError: A value is out of range.
    """

    steps: int = 1500
    learning_rate: float = 0.1
    prior_weight: float = 0.003
    window: int = 7
    reduction: Reduction = "sum"
    schedule: Schedule = "constant"
    beta1: float = 0.9
    beta2: float = 0.999
    prior_every: int = 1
    starts: int = 1
    guesses: bool = False
    principal: bool = False
    projected: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "prior_every", "starts"):
            if getattr(self, name) < 1:
                value = getattr(self, name)
                raise ValueError(f"{name} must be at least 1, not {value}")
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning_rate must be > 0, not {self.learning_rate}")
        if not 0 <= self.prior_weight < float("inf"):
            raise ValueError(f"prior_weight must be >= 0, not {self.prior_weight}")
        if self.window < 1 or self.window % 2 == 0:
            raise ValueError(f"window must be odd and positive, not {self.window}")
        if self.reduction not in get_args(Reduction):
            raise ValueError(f"reduction must be sum or mean, not {self.reduction!r}")
        if self.schedule not in get_args(Schedule):
            kinds = ", ".join(get_args(Schedule))
            raise ValueError(f"schedule must be one of {kinds}, not {self.schedule!r}")
        if not 0 <= self.beta1 < 1 or not 0 <= self.beta2 < 1:
            raise ValueError("beta1 and beta2 must be in [0, 1)")


@dataclasses.dataclass(frozen=True)
class RefineConfig:
    """How a generator's features are changed after the search (``refine``).

    Attributes:
      steps: Updates of Adam; its learning rate falls to 0 along half a cosine.
      learning_rate: The first, in units of the features' root mean square.
      trust: Weight of the mean squared change of a feature, in units of the features'
        mean square, beside the mean context loss of a known pixel.

    Raises:
      ValueError: A value is out of range.
    """

    steps: int = 50
    learning_rate: float = 0.05
    trust: float = 0.1

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, not {self.steps}")
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning_rate must be > 0, not {self.learning_rate}")
        if not 0 <= self.trust < float("inf"):
            raise ValueError(f"trust must be >= 0, not {self.trust}")


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
}
"""Ways to search by name."""


class Losses(NamedTuple):
    """The two terms of eq. 2; their sum is what the search minimises.

    Attributes:
      context: ``[...]`` eq. 4.
      prior: ``[...]`` eq. 5, lambda included.
    """

    context: jax.Array
    prior: jax.Array

    @property
    def total(self) -> jax.Array:
        return self.context + self.prior


class Solution(NamedTuple):
    """What ``inpaint`` found for a batch of B images.

    Attributes:
      image: ``[B, H, W, 3]`` in [-1, 1]: the completed images; known pixels are
        those of the input, bit for bit.
      generated: ``[B, H, W, 3]`` in [-1, 1]: G(z) at the best z, or what refinement
        made of it.
      latent: ``[B, L]`` in [-1, 1]: the best z by total loss.
      losses: ``[B]`` each: context and prior loss at ``latent``.
      trace: ``[B, steps + 1]`` each: the losses at every iterate, the start first; the
        prior loss as it was when last computed (``SearchConfig.prior_every``).
      residual: ``[B]`` relative residual of the blend's linear system.
    """

    image: jax.Array
    generated: jax.Array
    latent: jax.Array
    losses: Losses
    trace: Losses
    residual: jax.Array


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A generator and its critic, ready to be searched.

    Any two callables will do. Weights that are bound with ``jax.tree_util.Partial``
    are arguments of the compiled search; those in a closure are constants of it.

    Attributes:
      generate: ``[L] -> [S, S, 3]`` in [-1, 1].
      critic: ``[S, S, 3] -> [2]`` logits (fake, real).
      latent_size: L.
      image_size: S.
      correctors: Encoders that guess a latent, each from the guess before
        (``search.guesses``); none if the model has not got any.
      metric: ``[8, 8, L, L]`` of ``curvature.regional_metric``, or None.
      halves: The generator as two functions, one after the other: latent to features,
        features to image; only refinement (``refine``) needs them.
      name: What to call it in results.
      metadata: What its file says of it: crop, data, steps, figures.
    """

    generate: Generate
    critic: Critic
    latent_size: int
    image_size: int
    correctors: tuple[Correct, ...] = ()
    metric: jax.Array | None = None
    halves: tuple[Generate, Render] | None = None
    name: str = "custom"
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        def bound(network: Any) -> Any:
            partial = jax.tree_util.Partial
            return network if isinstance(network, partial) else partial(network)

        for field in ("generate", "critic"):
            object.__setattr__(self, field, bound(getattr(self, field)))
        object.__setattr__(self, "correctors", tuple(map(bound, self.correctors)))
        if self.halves is not None:
            object.__setattr__(self, "halves", tuple(map(bound, self.halves)))
