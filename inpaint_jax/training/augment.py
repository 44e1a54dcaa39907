"""Differentiable augmentation of what the discriminator sees.

With few images a discriminator learns them by heart. Changing real and generated images
alike, at random and in a way that gradients pass through, keeps it from that without
teaching the generator to draw changed images.

References:
  Zhao et al., Differentiable augmentation for data-efficient GAN training, NeurIPS 2020
"""

import functools

import jax
import jax.numpy as jnp

AUGMENTATIONS = ("color", "translation", "cutout")
"""What ``augment`` can do, in the order in which it is done."""


def augment(
    keys: jax.Array, images: jax.Array, augmentations: tuple[str, ...]
) -> jax.Array:
    """Changes each image in its own random way.

    Args:
      keys: ``[B]``, consumed.
      images: ``[B, H, W, 3]`` in [-1, 1].
      augmentations: Some of ``AUGMENTATIONS``:

        * ``color``: brightness up or down by at most 0.5, saturation times 0 to 2,
          contrast times 0.5 to 1.5;
        * ``translation``: by at most an eighth of a side, zeros moving in;
        * ``cutout``: a square of half a side, its centre anywhere, becomes zero.

    Returns:
      ``[B, H, W, 3]``; colours may leave [-1, 1].

    Raises:
      ValueError: An unknown augmentation.
    """
    check(augmentations)
    one = functools.partial(_augment_one, augmentations=augmentations)
    return jax.vmap(one)(keys, images)


def flip_at_random(keys: jax.Array, images: jax.Array) -> jax.Array:
    """Mirrors each of ``[B, H, W, C]`` left to right with probability 1/2; B keys."""
    chosen = jax.vmap(jax.random.bernoulli)(keys)[:, None, None, None]
    return jnp.where(chosen, images[:, :, ::-1], images)


def check(augmentations: tuple[str, ...]) -> None:
    """Raises the ``ValueError`` of an unknown augmentation."""
    unknown = set(augmentations) - set(AUGMENTATIONS)
    if unknown:
        raise ValueError(
            f"augmentations can be {', '.join(AUGMENTATIONS)}, not "
            f"{', '.join(sorted(unknown))}"
        )


def _augment_one(
    key: jax.Array, image: jax.Array, augmentations: tuple[str, ...]
) -> jax.Array:
    key_color, key_translation, key_cutout = jax.random.split(key, 3)
    if "color" in augmentations:
        image = _color(key_color, image)
    if "translation" in augmentations:
        image = _translate(key_translation, image)
    if "cutout" in augmentations:
        image = _cut_out(key_cutout, image)
    return image


def _color(key: jax.Array, image: jax.Array) -> jax.Array:
    brightness, saturation, contrast = jax.random.uniform(key, (3,))
    image = image + (brightness - 0.5)
    grey = image.mean(-1, keepdims=True)
    image = grey + 2 * saturation * (image - grey)
    mean = image.mean()
    return mean + (contrast + 0.5) * (image - mean)


def _translate(key: jax.Array, image: jax.Array) -> jax.Array:
    # Shifts as products with matrices of ones and zeros: exact, and their derivative
    # is such a product again, where that of a gather would be a slow scatter.
    rows, columns = (
        _shift(key, side, image.dtype)
        for key, side in zip(jax.random.split(key), image.shape[:2], strict=True)
    )
    return jnp.einsum(
        "rh,hwc,sw->rsc", rows, image, columns, precision=jax.lax.Precision.HIGHEST
    )


def _shift(key: jax.Array, side: int, dtype: jnp.dtype) -> jax.Array:
    """``[side, side]``, which moves a column of pixels by at most an eighth of it."""
    by = jax.random.randint(key, (), -(side // 8), side // 8 + 1)
    pixel = jnp.arange(side)
    return (pixel[:, None] == pixel + by).astype(dtype)


def _cut_out(key: jax.Array, image: jax.Array) -> jax.Array:
    rows, columns = (
        _half(key, side)
        for key, side in zip(jax.random.split(key), image.shape[:2], strict=True)
    )
    return jnp.where(rows[:, None, None] & columns[:, None], 0, image)


def _half(key: jax.Array, side: int) -> jax.Array:
    """``[side]`` bool: half of them in a row, or less where the border cuts it."""
    first = jax.random.randint(key, (), 0, side + 1) - side // 4
    pixel = jnp.arange(side)
    return (first <= pixel) & (pixel < first + side // 2)
