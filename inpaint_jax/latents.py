"""Latent spaces: range, sampling and density of latents.

A latent space is a small object without arrays, with equality and hash, so it can be a
static argument of a compiled function. ``Uniform(100)`` is the paper's; most other
generators have a normal one, such as ``Normal(512)``. Any object with the members of
``LatentSpace`` will do.
"""

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from inpaint_jax.types import LatentSpace


def _shape(shape: int | Sequence[int]) -> tuple[int, ...]:
    given = shape if isinstance(shape, Sequence) else (shape,)
    try:
        found = tuple(operator.index(length) for length in given)
    except TypeError:
        found = ()
    if not found or min(found) < 1:
        raise ValueError(f"a latent's shape must be of whole numbers >= 1, not {shape}")
    return found


class _Space:
    """A latent space that is determined by its kind and its shape.

    Args:
      shape: Length of a latent, or its shape.

    Raises:
      ValueError: ``shape`` holds something other than whole numbers of at least 1.
    """

    kind: str

    def __init__(self, shape: int | Sequence[int]) -> None:
        self.shape = _shape(shape)

    def describe(self) -> dict[str, Any]:
        """Kind and shape."""
        return {"kind": self.kind, "shape": list(self.shape)}

    def __repr__(self) -> str:
        shape = self.shape[0] if len(self.shape) == 1 else self.shape
        return f"{type(self).__name__}({shape})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.shape == other.shape

    def __hash__(self) -> int:
        return hash((self.kind, self.shape))


class Uniform(_Space):
    """The box U[-1, 1]^n: the paper's latent space (section 3.4)."""

    kind = "uniform"

    def sample(self, key: jax.Array, dtype: DTypeLike = jnp.float32) -> jax.Array:
        """A latent ``[*shape]`` in [-1, 1)."""
        return jax.random.uniform(key, self.shape, dtype, minval=-1.0, maxval=1.0)

    def project(self, latent: jax.Array) -> jax.Array:
        """The latent clipped to the box, as the paper does after every step."""
        return jnp.clip(latent, -1.0, 1.0)

    def project_gradient(self, latent: jax.Array, gradient: jax.Array) -> jax.Array:
        """The gradient, 0 in coordinates where a descent would leave the box."""
        outwards = (latent >= 1) & (gradient < 0) | (latent <= -1) & (gradient > 0)
        return jnp.where(outwards, jnp.zeros_like(gradient), gradient)

    def log_density(self, latent: jax.Array) -> jax.Array:
        """0 in the box and minus infinity outside."""
        inside = jnp.all(jnp.abs(latent) <= 1)
        return jnp.where(inside, 0.0, -jnp.inf).astype(latent.dtype)

    def squash(self, free: jax.Array) -> jax.Array:
        """``tanh``, coordinate by coordinate."""
        return jnp.tanh(free)


class Normal(_Space):
    """The standard normal distribution N(0, I): unbounded, with a log density.

    A W+ space has the shape ``[n, d]``.
    """

    kind = "normal"

    def sample(self, key: jax.Array, dtype: DTypeLike = jnp.float32) -> jax.Array:
        """A latent ``[*shape]``."""
        return jax.random.normal(key, self.shape, dtype)

    def project(self, latent: jax.Array) -> jax.Array:
        """The latent itself: the space has no bounds."""
        return latent

    def project_gradient(self, latent: jax.Array, gradient: jax.Array) -> jax.Array:
        """The gradient itself."""
        del latent
        return gradient

    def log_density(self, latent: jax.Array) -> jax.Array:
        """``-|z|^2 / 2``, up to a constant."""
        return -0.5 * jnp.sum(jnp.square(latent))

    def squash(self, free: jax.Array) -> jax.Array:
        """The numbers themselves."""
        return free


def size(latents: LatentSpace) -> int:
    """The number of values in a latent."""
    return math.prod(latents.shape)


_KINDS = {space.kind: space for space in (Uniform, Normal)}


def from_description(description: Mapping[str, Any]) -> LatentSpace:
    """The latent space with a given description: the inverse of ``describe``.

    Raises:
      ValueError: The kind is unknown, or the shape is not valid.
    """
    kind = description.get("kind")
    if kind not in _KINDS:
        known = ", ".join(_KINDS)
        raise ValueError(f"unknown latent space {kind!r}: {known} are known")
    return _KINDS[kind](description.get("shape", ()))
