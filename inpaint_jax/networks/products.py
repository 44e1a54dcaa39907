"""Matrix products with factors of 16 bits and sums of 32, and exact ones.

A processor that multiplies bfloat16 does it at twice to eight times its float32 rate.
Only the products take part: what is read, added up and written is float32.
"""

import functools

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike


def at_least_float32(x: jax.Array) -> jax.Array:
    """Converts ``x`` to float32 if it has fewer bits."""
    return x.astype(jnp.float32) if x.dtype.itemsize < 4 else x


def multiply_exactly(x: jax.Array, y: jax.Array) -> jax.Array:
    """Product over the last axis of ``x`` and the first of ``y``; no factor is rounded.

    GPUs and TPUs round the factors of float32 products to 11 or 8 bits by default. That
    is no good for equations, nor for a change of coordinates.

    Args:
      x: ``[..., K]``.
      y: ``[K, ...]``.

    Returns:
      Their other axes, those of ``x`` first.
    """
    return jnp.tensordot(x, y, 1, precision=jax.lax.Precision.HIGHEST)


def multiply(x: jax.Array, y: jax.Array, dtype: DTypeLike | None = None) -> jax.Array:
    """Matrix product ``x @ y``, its factors rounded to ``dtype``.

    The products of its derivatives have their factors rounded as well.

    Args:
      x: ``[..., M, K]``.
      y: ``[..., K, N]``; as many axes in front as ``x`` has, or none.
      dtype: Type of the factors; None: that of ``y``.

    Returns:
      ``[..., M, N]``, at least float32.
    """
    dtype = jnp.dtype(dtype or y.dtype)
    if dtype.itemsize >= 4:
        return x @ y
    return _multiply(x, y, dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _multiply(x: jax.Array, y: jax.Array, dtype: jnp.dtype) -> jax.Array:
    return jnp.matmul(
        x.astype(dtype), y.astype(dtype), preferred_element_type=jnp.float32
    )


def _forward(
    x: jax.Array, y: jax.Array, dtype: jnp.dtype
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    types = jnp.zeros(0, x.dtype), jnp.zeros(0, y.dtype)
    x, y = x.astype(dtype), y.astype(dtype)
    return _multiply(x, y, dtype), (x, y, *types)


def _backward(
    dtype: jnp.dtype, saved: tuple[jax.Array, ...], cotangent: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, y, of_x, of_y = saved
    for_x = _multiply(cotangent, y.mT, dtype)
    if y.ndim == 2:
        x = x.reshape(-1, x.shape[-1])
        cotangent = cotangent.reshape(-1, cotangent.shape[-1])
    for_y = _multiply(x.mT, cotangent, dtype)
    return for_x.astype(of_x.dtype), for_y.astype(of_y.dtype)


_multiply.defvjp(_forward, _backward)
