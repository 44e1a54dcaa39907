"""The nouns of the library: frozen records whose fields say their shapes."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, get_args

import jax

Generate = Callable[[jax.Array], jax.Array]
"""One latent ``[L]`` to one image ``[H, W, 3]`` in [-1, 1]."""

Critic = Callable[[jax.Array], jax.Array]
"""One image ``[H, W, 3]`` in [-1, 1] to two logits ``[2]``: (fake, real)."""

Reduction = Literal["sum", "mean"]

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

    Attributes:
      steps: Adam updates of z.
      learning_rate: Adam's step size, in units of z (whose range is [-1, 1]). The
        paper gives none; the default was chosen on validation images (BUILD.md).
      prior_weight: lambda of eq. 5.
      window: Side of the neighbourhood N(i) of eq. 3, in pixels; odd.
      reduction: Whether the context loss (eq. 4) sums over pixels and channels, as
        the paper's norm does, or averages; lambda only means something beside it.

    Raises:
      ValueError: A value is out of range.
    """

    steps: int = 1500
    learning_rate: float = 0.1
    prior_weight: float = 0.003
    window: int = 7
    reduction: Reduction = "sum"

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, not {self.steps}")
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning_rate must be > 0, not {self.learning_rate}")
        if not 0 <= self.prior_weight < float("inf"):
            raise ValueError(f"prior_weight must be >= 0, not {self.prior_weight}")
        if self.window < 1 or self.window % 2 == 0:
            raise ValueError(f"window must be odd and positive, not {self.window}")
        if self.reduction not in get_args(Reduction):
            raise ValueError(f"reduction must be sum or mean, not {self.reduction!r}")


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
      generated: ``[B, H, W, 3]`` in [-1, 1]: G(z) at the best z.
      latent: ``[B, L]`` in [-1, 1]: the best z by total loss.
      losses: ``[B]`` each: context and prior loss at ``latent``.
      trace: ``[B, steps + 1]`` each: the losses at every iterate, the start first.
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
      name: What to call it in results.
      metadata: What its file says of it: crop, data, steps, figures.
    """

    generate: Generate
    critic: Critic
    latent_size: int
    image_size: int
    name: str = "custom"
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for field in ("generate", "critic"):
            network = getattr(self, field)
            if not isinstance(network, jax.tree_util.Partial):
                object.__setattr__(self, field, jax.tree_util.Partial(network))
