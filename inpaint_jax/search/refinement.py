"""Refinement: images outside the generator's range, by changing its inner features.

After the search the features of an inner layer, ``G(z) = render(features(z))``, are
changed until the image fits the known pixels better. A trust term keeps features
unchanged where no known pixel depends on them: there the image stays G(z).

``refine`` is for ONE image, ``refine_batch`` for a batch. The paper has no such step.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from inpaint_jax import parallel
from inpaint_jax.configs import RefineConfig
from inpaint_jax.losses import context_loss
from inpaint_jax.types import Generate, Model, Render, as_pytree


def refine(
    render: Render,
    features: jax.Array,
    image: jax.Array,
    weights: jax.Array,
    *,
    config: RefineConfig,
) -> jax.Array:
    r"""Changes the features of an image so that it fits the known pixels.

    .. math::

      \min_d \frac{\mathcal{L}_c(\mathrm{render}(f + s d))}{C \sum W}
      + \mathrm{trust} \cdot \mathrm{mean}(d^2)

    with f the features, s their root mean square, and C channels.

    Args:
      render: ``[h, w, F] -> [H, W, C]``, the rest of the generator.
      features: ``[h, w, F]`` at the latent that the search found.
      image: ``[H, W, C]`` in [-1, 1]; pixels whose ``weights`` are 0 are ignored.
      weights: ``[H, W, 1]`` W of eq. 3; 0 in the hole.
      config: Number of steps, learning rate, and weight of the trust term.

    Returns:
      ``[H, W, C]`` the image of the changed features; if all weights are 0, that of
      ``features``.
    """
    import optax  # Here, as most searches need not wait for it.

    scale = jnp.sqrt(jnp.mean(jnp.square(features)))
    total = jnp.maximum(image.shape[-1] * weights.sum(), jnp.finfo(weights.dtype).tiny)
    schedule = optax.cosine_decay_schedule(config.learning_rate, config.steps)
    optimizer = optax.adam(schedule)

    def show(change: jax.Array) -> jax.Array:
        return render(features + scale * change)

    def loss(change: jax.Array) -> jax.Array:
        context = context_loss(show(change), image, weights) / total
        return context + config.trust * jnp.mean(jnp.square(change))

    def step(_: int, carry: tuple[jax.Array, Any]) -> tuple[jax.Array, Any]:
        change, moments = carry
        update, moments = optimizer.update(jax.grad(loss)(change), moments)
        return change + update, moments

    start = jnp.zeros_like(features)
    change, _ = jax.lax.fori_loop(0, config.steps, step, (start, optimizer.init(start)))
    return show(change)


def refine_batch(
    model: Model,
    latents: jax.Array,
    images: jax.Array,
    weights: jax.Array,
    *,
    config: RefineConfig,
    mesh: Mesh | None = None,
) -> jax.Array:
    """Refines a batch of images (``refine``).

    Args:
      model: The model whose latents were searched; it must have ``halves``.
      latents: ``[B, *L]``.
      images: ``[B, S, S, 3]`` in [-1, 1].
      weights: ``[B, S, S, 1]`` W of eq. 3.
      config: How to refine.
      mesh: Devices over which the arguments are spread; None: one device.

    Returns:
      ``[B, S, S, 3]`` in [-1, 1], the images to use instead of G(z).

    Raises:
      ValueError: The model has no ``halves``.
    """
    halves = map(as_pytree, halves_of(model))
    return _refine(*halves, latents, images, weights, config, mesh)


def halves_of(model: Model) -> tuple[Generate, Render]:
    """The model's ``halves``, or a ``ValueError`` if it has none."""
    if model.halves is None:
        raise ValueError("this model cannot be refined: it has no halves")
    return model.halves


@functools.partial(jax.jit, static_argnames=("config", "mesh"))
def _refine(
    features: Generate,
    render: Render,
    latents: jax.Array,
    images: jax.Array,
    weights: jax.Array,
    config: RefineConfig,
    mesh: Mesh | None,
) -> jax.Array:
    def one(
        features: Generate,
        render: Render,
        latent: jax.Array,
        image: jax.Array,
        weights: jax.Array,
    ) -> jax.Array:
        return refine(render, features(latent), image, weights, config=config)

    axes = (None, None, 0, 0, 0)
    of_batch = parallel.split(jax.vmap(one, axes), axes, mesh)
    return of_batch(features, render, latents, images, weights)
