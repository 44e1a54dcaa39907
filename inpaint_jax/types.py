"""The library's records and protocols; every field says its shape."""

import dataclasses
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, Protocol, get_args

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

Generate = Callable[[jax.Array], jax.Array]
"""A function from one latent ``[*L]``, of the latent space's shape, to one image
``[H, W, 3]`` in [-1, 1]."""

Critic = Callable[[jax.Array], jax.Array]
"""A function from one image ``[H, W, 3]`` in [-1, 1] to two logits ``[2]``, (fake,
real), or to one, ``[]`` or ``[1]``, whose sigmoid is the probability that the image is
real."""

Correct = Callable[[jax.Array], jax.Array]
"""A function from an encoder's input ``[H, W, 7]`` to a correction ``[*L]`` of the
guessed latent."""

Render = Callable[[jax.Array], jax.Array]
"""A function from a generator's inner features ``[h, w, C]`` to an image ``[H, W, 3]``
in [-1, 1]."""


Schedule = Literal["constant", "cosine", "root"]


class LatentSpace(Protocol):
    """What a search needs of a latent space. Every function takes ONE latent."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a latent."""
        ...

    def __hash__(self) -> int: ...

    def sample(self, key: jax.Array, dtype: DTypeLike = jnp.float32) -> jax.Array:
        """A latent ``[*shape]`` drawn from the prior."""
        ...

    def project(self, latent: jax.Array) -> jax.Array:
        """The nearest latent inside the space."""
        ...

    def project_gradient(self, latent: jax.Array, gradient: jax.Array) -> jax.Array:
        """The gradient without the parts that push the latent out of the space."""
        ...

    def log_density(self, latent: jax.Array) -> jax.Array:
        """Log density ``[]`` of the prior, up to a constant of the space."""
        ...

    def squash(self, free: jax.Array) -> jax.Array:
        """The latent that unbounded numbers ``[*shape]``, an encoder's output, mean."""
        ...

    def describe(self) -> dict[str, Any]:
        """A description as JSON values; ``from_description`` is the inverse."""
        ...


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
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning_rate must be > 0, not {self.learning_rate}")
        for name in ("prior_weight", "latent_weight", "start_weight"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be >= 0, not {getattr(self, name)}")
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
    "map": SearchConfig(
        steps=20,
        learning_rate=0.15,
        schedule="root",
        beta1=0.85,
        prior_weight=0.0,
        guesses=True,
        newton=True,
        latent_weight=0.1,
        start_weight=0.2,
    ),
}
"""Search configurations by name: the paper's; a faster one, for the paper's networks;
and the most probable latent (maximum a posteriori), for models of a normal latent space
with an encoder."""


class Losses(NamedTuple):
    """The two terms of eq. 2; their sum is what the search minimises.

    Attributes:
      context: ``[...]`` the context loss, eq. 4.
      prior: ``[...]`` the prior loss, eq. 5, with the factor lambda.
    """

    context: jax.Array
    prior: jax.Array

    @property
    def total(self) -> jax.Array:
        return self.context + self.prior


class Seen(NamedTuple):
    """The known part of an image, which a search fits.

    Attributes:
      image: ``[H, W, 3]`` y of eq. 4, in [-1, 1]; where ``weights`` are 0 it may hold
        anything. With an own objective: the measurement, of any shape and range.
      mask: ``[H, W, 1]``, 1 = known, 0 = missing.
      weights: ``[H, W, 1]`` W of eq. 3; 0 in the hole.
    """

    image: jax.Array
    mask: jax.Array
    weights: jax.Array


Objective = Callable[[jax.Array, jax.Array, Seen], Losses]
"""The function that a search minimises: from a latent ``[*L]``, its image G(z)
``[H, W, 3]`` and the known part of ONE picture to the losses, ``[]`` each."""


class Solution(NamedTuple):
    """The result of ``inpaint`` for a batch of B images.

    With ``candidates=K`` every field but the last two has a second axis for the K
    answers to an image, ``[B, K, ...]``, in order of total loss, the least first.

    Attributes:
      image: ``[B, H, W, 3]`` in [-1, 1]: the completed images; known pixels are
        those of the input, bit for bit.
      generated: ``[B, H, W, 3]`` in [-1, 1]: G(z) at the best z, or the refined image.
      latent: ``[B, *L]``: the best z by total loss.
      losses: ``[B]`` each: context and prior loss at ``latent``.
      trace: ``[B, steps + 1]`` each: the losses at every iterate, the start first. The
        prior loss is the last one computed (``SearchConfig.prior_every``).
      residual: ``[B]`` relative residual of the blend's linear system.
      candidate: ``[B]`` int32: the number of the search among those of its image, from
        0. Encoders may guide only search 0.
      path: ``[B, steps + 1, *L]``: z at every iterate with ``inpaint(...,
        keep_path=True)``; otherwise None.
      mean: ``[B, H, W, 3]`` in [-1, 1]: the mean of the K completed images
        (``answers.average``); None without ``candidates``.
      spread: ``[B, H, W, 1]``: their standard deviation (``answers.spread``), 0 on
        known pixels: high where the model invents, low where it knows. None without
        ``candidates``.
    """

    image: jax.Array
    generated: jax.Array
    latent: jax.Array
    losses: Losses
    trace: Losses
    residual: jax.Array
    candidate: jax.Array
    path: jax.Array | None = None
    mean: jax.Array | None = None
    spread: jax.Array | None = None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Metric:
    """How strongly each direction of a latent space moves each region of the image.

    Attributes:
      blocks: ``[8, 8, L, L]``: the symmetric matrix of ``search.directions`` for each
        of 8x8 regions; or, if ``factored``, ``[8, 8, L, R]``: a factor A of each
        matrix, which is about A A'. L is the number of values in a latent.
      factored: Whether ``blocks`` holds factors instead of matrices.
    """

    blocks: jax.Array
    factored: bool = dataclasses.field(default=False, metadata={"static": True})


class Metadata(Mapping[str, Any]):
    """A model's metadata, JSON values by name: a mapping with equality and hash."""

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self._values = dict(values or {})

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and self._values == dict(other)

    def __hash__(self) -> int:
        return hash(frozenset(self._values))  # Equal values may be written differently.

    def __repr__(self) -> str:
        return f"Metadata({self._values!r})"


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A generator to search, with its discriminator and aids for the search. A pytree.

    Any callables will do. If a callable is a pytree, such as a
    ``jax.tree_util.Partial`` or an Equinox module, its weights are leaves of the model
    and so arguments of compiled functions. The weights of a plain function become
    constants of them.

    Attributes:
      generate: ``[*L] -> [S, S, 3]`` in [-1, 1].
      latents: The latent space, of shape ``[*L]``: ``latents.Uniform(100)`` is the
        paper's.
      image_size: S.
      critic: ``[S, S, 3]`` to logits, two (fake, real) or one; None: the search has no
        adversarial prior loss.
      correctors: Encoders that guess a latent, each correcting the guess of the one
        before (``search.guesses``); may be empty.
      metric: How strongly each direction of the latent space moves the image, for
        searches along principal directions; None: searches go along the axes of z.
      halves: The generator as two functions, one after the other: latent to features,
        features to image; only refinement needs them.
      search: Name of the configuration in ``SEARCHES`` that suits the model.
      name: Name of the model in results.
      metadata: Description of the model from its file: crop, data, steps, figures.
    """

    generate: Generate
    latents: LatentSpace
    image_size: int
    critic: Critic | None = None
    correctors: tuple[Correct, ...] = ()
    metric: Metric | None = None
    halves: tuple[Generate, Render] | None = None
    search: str = "fast"
    name: str = "custom"
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=Metadata)


_LEAVES = ("generate", "critic", "correctors", "metric", "halves")
_STATIC = ("latents", "image_size", "search", "name", "metadata")


def as_pytree(function: Any) -> Any:
    """A callable as a pytree: itself, or a ``Partial`` of a plain function."""
    plain = callable(function) and jax.tree_util.all_leaves([function])
    return jax.tree_util.Partial(function) if plain else function


def _flatten(model: Model) -> tuple[list[tuple[Any, Any]], tuple[Any, ...]]:
    def bound(value: Any) -> Any:
        return (
            tuple(map(as_pytree, value)) if type(value) is tuple else as_pytree(value)
        )

    children = [
        (jax.tree_util.GetAttrKey(name), bound(getattr(model, name)))
        for name in _LEAVES
    ]
    static = [getattr(model, name) for name in _STATIC]
    if isinstance(static[-1], dict):
        static[-1] = Metadata(static[-1])
    return children, tuple(static)


def _unflatten(static: tuple[Any, ...], children: Any) -> Model:
    return Model(
        **dict(zip(_LEAVES, children, strict=True)),
        **dict(zip(_STATIC, static, strict=True)),
    )


# Registered by hand: ``register_dataclass`` would make a plain function a leaf, and
# ``jax.jit`` does not accept functions as arguments.
jax.tree_util.register_pytree_with_keys(Model, _flatten, _unflatten)
