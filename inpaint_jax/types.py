"""The library's records and protocols; every field says its shape."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

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
