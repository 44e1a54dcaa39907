"""Generators of other frameworks as models: Flax Linen, Flax NNX and Equinox.

Each adapter makes of a network of batches a function of ONE latent; the weights are
arguments of what is compiled. A framework is imported when it is asked for.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from inpaint_jax.latents import LatentSpace
from inpaint_jax.types import Critic, Metadata, Model, as_pytree


def from_function(
    function: Callable[[Any, jax.Array], jax.Array],
    weights: Any,
    *,
    latents: LatentSpace,
    critic: Critic | None = None,
    name: str = "custom",
    metadata: Mapping[str, Any] | None = None,
) -> Model:
    """A model of a function of weights and one latent.

    Args:
      function: Weights and a latent ``[*L]`` to an image ``[S, S, 3]`` or ``[3, S, S]``
        in [-1, 1].
      weights: A pytree of arrays.
      latents: The latent space of shape ``[*L]``.
      critic: ``[S, S, 3]`` to one or two logits; ``linen_function`` and its like make
        one of a network. None: the search has no prior loss of images.
      name: What to call it in results.
      metadata: What JSON can say of it.

    Raises:
      ValueError: What comes out is no square image of three channels.
    """
    latent = jax.ShapeDtypeStruct(latents.shape, jnp.float32)
    try:
        shape = jax.eval_shape(function, weights, latent).shape
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"the generator does not take a latent {list(latents.shape)}: "
            f"{str(error).splitlines()[0]}"
        ) from error
    first = len(shape) == 3 and shape[0] == 3 and shape[1] == shape[2]
    last = len(shape) == 3 and shape[2] == 3 and shape[0] == shape[1]
    if not first and not last:
        raise ValueError(f"the generator's images are {list(shape)}, not [S, S, 3]")

    def generate(weights: Any, latent: jax.Array) -> jax.Array:
        image = function(weights, latent)
        return image if last else jnp.moveaxis(image, 0, -1)

    return Model(
        jax.tree_util.Partial(generate, weights),
        latents,
        image_size=shape[1],
        critic=as_pytree(critic),
        name=name,
        metadata=Metadata(metadata),
    )


def from_linen(
    module: Any,
    variables: Mapping[str, Any],
    *,
    latents: LatentSpace,
    critic: Critic | None = None,
    name: str = "custom",
    **options: Any,
) -> Model:
    """A Flax Linen generator as a model.

    Args:
      module: Its ``__call__`` takes latents ``[B, *L]`` to images ``[B, S, S, 3]`` in
        [-1, 1].
      variables: As ``module.init`` and training leave them.
      latents: The latent space of shape ``[*L]``.
      critic: As for ``from_function``; ``linen_function`` makes one.
      name: What to call it in results.
      **options: For ``module.apply``, such as ``train=False``.

    Raises:
      ValueError: What comes out is no square image of three channels.

    Examples:
      >>> model = from_linen(generator, variables, latents=Normal(512),
      ...                    train=False)  # doctest: +SKIP
    """
    function = linen_function(module, variables, **options)
    return from_function(
        function.func, *function.args, latents=latents, critic=critic, name=name
    )


def linen_function(module: Any, variables: Mapping[str, Any], **options: Any) -> Any:
    """A Flax Linen module of batches as a function of one input, its weights bound.

    Args:
      module: Takes ``[B, ...]``.
      variables: Its variables.
      **options: For ``module.apply``.

    Returns:
      A ``jax.tree_util.Partial``.
    """

    def function(variables: Mapping[str, Any], x: jax.Array) -> jax.Array:
        found: jax.Array = module.apply(variables, x[None], **options)[0]
        return found

    return jax.tree_util.Partial(function, variables)


def from_nnx(
    module: Any,
    *,
    latents: LatentSpace,
    critic: Critic | None = None,
    name: str = "custom",
) -> Model:
    """A Flax NNX generator as a model.

    Args:
      module: Takes latents ``[B, *L]`` to images ``[B, S, S, 3]`` in [-1, 1]. Its state
        is taken as it is: call ``module.eval()`` before.
      latents: The latent space of shape ``[*L]``.
      critic: As for ``from_function``; ``nnx_function`` makes one.
      name: What to call it in results.

    Raises:
      ValueError: What comes out is no square image of three channels.
    """
    function = nnx_function(module)
    return from_function(
        function.func, *function.args, latents=latents, critic=critic, name=name
    )


def nnx_function(module: Any) -> Any:
    """A Flax NNX module of batches as a function of one input, its weights bound."""
    from flax import nnx

    form, state = nnx.split(module)

    def function(state: Any, x: jax.Array) -> jax.Array:
        found: jax.Array = nnx.merge(form, state)(x[None])[0]
        return found

    return jax.tree_util.Partial(function, state)


def from_equinox(
    module: Any,
    *,
    latents: LatentSpace,
    critic: Critic | None = None,
    name: str = "custom",
) -> Model:
    """An Equinox generator as a model.

    Args:
      module: Takes ONE latent ``[*L]``, as Equinox has it, to an image ``[3, S, S]`` or
        ``[S, S, 3]`` in [-1, 1].
      latents: The latent space of shape ``[*L]``.
      critic: As for ``from_function``.
      name: What to call it in results.

    Raises:
      ValueError: What comes out is no square image of three channels.
    """
    import equinox

    arrays, static = equinox.partition(module, equinox.is_array)

    def function(arrays: Any, latent: jax.Array) -> jax.Array:
        found: jax.Array = equinox.combine(arrays, static)(latent)
        return found

    return from_function(function, arrays, latents=latents, critic=critic, name=name)
