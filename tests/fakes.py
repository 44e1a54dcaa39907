"""Analytic stand-ins for the networks, whose best latent is known in closed form."""

import jax
import jax.numpy as jnp

from inpaint_jax.latents import Uniform
from inpaint_jax.masks import make_masks
from inpaint_jax.types import Model


def repeating_generator(size: int, latent_size: int):
    """G(z): pixel p of ``[size, size, 3]`` shows latent ``p mod latent_size``.

    Each latent minimises a weighted l1 distance to the pixels that show it, so the
    context loss is least at their weighted median.
    """
    index = jnp.arange(size * size) % latent_size

    def generate(z: jax.Array) -> jax.Array:
        return jnp.repeat(z[index].reshape(size, size, 1), 3, axis=-1)

    return generate


def indifferent_critic(image: jax.Array) -> jax.Array:
    """D that gives every image even odds and no gradient."""
    return jnp.zeros(2)


def bright_critic(image: jax.Array) -> jax.Array:
    """D that takes an image for real the more, the brighter it is."""
    return jnp.stack([0.0, image.mean()])


def analytic_model(size: int = 8, latent_size: int = 4) -> Model:
    return Model(
        generate=repeating_generator(size, latent_size),
        critic=bright_critic,
        latents=Uniform(latent_size),
        image_size=size,
    )


def problem(count, seed=0, mask="random50", size=8):
    """Images of noise, their masks, and a key each."""
    keys = jax.random.split(jax.random.key(seed), count)
    images = jax.random.uniform(
        jax.random.key(seed + 1), (count, size, size, 3), minval=-1.0, maxval=1.0
    )
    return images, make_masks(mask, keys, (size, size)), keys
