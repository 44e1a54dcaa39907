"""Small images with holes to fill."""

import jax
import jax.numpy as jnp

from inpaint_jax import make_masks


def problem(mask="center", count=3, size=12):
    """Smooth images with some noise, their masks and keys."""
    keys = jax.random.split(jax.random.key(0), count)
    rows = jnp.linspace(-0.8, 0.8, size)
    images = jnp.sin(3 * rows[:, None] + jnp.arange(3.0)) * jnp.cos(
        2 * rows[:, None, None]
    )
    images = images + jax.random.uniform(keys[0], (count, size, size, 3), maxval=0.1)
    return images.clip(-1, 1), make_masks(mask, keys, (size, size)), keys
