"""Generators of other frameworks as models: Flax Linen, Flax NNX and Equinox.

Each adapter turns a network into a function of ONE latent, whose weights are arguments
of compiled functions. A framework is imported only by its own adapter.
"""

import dataclasses
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
    """A model from a function of weights and one latent.

    Args:
      function: From weights and a latent ``[*L]`` to an image ``[S, S, 3]`` or
        ``[3, S, S]`` in [-1, 1].
      weights: A pytree of arrays.
      latents: The latent space of shape ``[*L]``.
      critic: ``[S, S, 3]`` to one or two logits; ``linen_function`` and
        ``nnx_function`` make one from a network. None: the search has no adversarial
        prior loss.
      name: Name of the model in results.
      metadata: JSON values that describe the model.

    Raises:
      ValueError: The output is not a square image of three channels.
    """
    latent = jax.ShapeDtypeStruct(latents.shape, jnp.float32)
    try:
        shape = jax.eval_shape(function, weights, latent).shape
    except Exception as error:  # Each framework has its own.
        raise ValueError(
            f"the generator does not take a latent {list(latents.shape)}: "
            f"{' '.join(str(error).split())[:300] or type(error).__name__}"
        ) from error
    first = len(shape) == 3 and shape[0] == 3 and shape[1] == shape[2]
    last = len(shape) == 3 and shape[2] == 3 and shape[0] == shape[1]
    if not first and not last:
        raise ValueError(f"the generator's images are {list(shape)}, not [S, S, 3]")

    generate = function if last else _ChannelsLast(function)
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
      module: Module whose ``__call__`` maps latents ``[B, *L]`` to images
        ``[B, S, S, 3]`` in [-1, 1].
      variables: Variables of the module, as ``module.init`` returns them.
      latents: The latent space of shape ``[*L]``.
      critic: As for ``from_function``; ``linen_function`` makes one.
      name: Name of the model in results.
      **options: Arguments of ``module.apply``, such as ``train=False``.

    Raises:
      ValueError: The output is not a square image of three channels.

    Examples:
      >>> model = from_linen(generator, variables, latents=Normal(512),
      ...                    train=False)  # doctest: +SKIP
    """
    function = linen_function(module, variables, **options)
    return from_function(
        function.func, *function.args, latents=latents, critic=critic, name=name
    )


def linen_function(module: Any, variables: Mapping[str, Any], **options: Any) -> Any:
    """A Flax Linen module as a function of one input without batch axis.

    Args:
      module: Module that takes ``[B, ...]``.
      variables: Variables of the module.
      **options: Arguments of ``module.apply``.

    Returns:
      A ``jax.tree_util.Partial`` that binds the variables.
    """

    return jax.tree_util.Partial(_Linen(module, Metadata(options)), variables)


def from_nnx(
    module: Any,
    *,
    latents: LatentSpace,
    critic: Critic | None = None,
    name: str = "custom",
) -> Model:
    """A Flax NNX generator as a model.

    Args:
      module: Module from latents ``[B, *L]`` to images ``[B, S, S, 3]`` in [-1, 1]. Its
        state is used as it is: call ``module.eval()`` before.
      latents: The latent space of shape ``[*L]``.
      critic: As for ``from_function``; ``nnx_function`` makes one.
      name: Name of the model in results.

    Raises:
      ValueError: The output is not a square image of three channels.
    """
    function = nnx_function(module)
    return from_function(
        function.func, *function.args, latents=latents, critic=critic, name=name
    )


def nnx_function(module: Any) -> Any:
    """A Flax NNX module as a function of one input without batch axis.

    Returns:
      A ``jax.tree_util.Partial`` that binds the module's state.
    """
    from flax import nnx

    form, state = nnx.split(module)
    return jax.tree_util.Partial(_Nnx(form), state)


def from_equinox(
    module: Any,
    *,
    latents: LatentSpace,
    critic: Critic | None = None,
    name: str = "custom",
) -> Model:
    """An Equinox generator as a model.

    Args:
      module: Module from ONE latent ``[*L]``, as usual in Equinox, to an image
        ``[3, S, S]`` or ``[S, S, 3]`` in [-1, 1].
      latents: The latent space of shape ``[*L]``.
      critic: As for ``from_function``.
      name: Name of the model in results.

    Raises:
      ValueError: The output is not a square image of three channels.
    """
    import equinox

    arrays, static = equinox.partition(module, equinox.is_array)
    function = _Equinox(static)
    return from_function(function, arrays, latents=latents, critic=critic, name=name)


# Records instead of nested functions, because two of equal content are equal: another
# model of the same architecture then needs no new compilation.


@dataclasses.dataclass(frozen=True)
class _ChannelsLast:
    function: Callable[[Any, jax.Array], jax.Array]

    def __call__(self, weights: Any, latent: jax.Array) -> jax.Array:
        return jnp.moveaxis(self.function(weights, latent), 0, -1)


@dataclasses.dataclass(frozen=True)
class _Linen:
    module: Any
    options: Metadata

    def __call__(self, variables: Mapping[str, Any], x: jax.Array) -> jax.Array:
        found: jax.Array = self.module.apply(variables, x[None], **self.options)[0]
        return found


@dataclasses.dataclass(frozen=True)
class _Nnx:
    form: Any

    def __call__(self, state: Any, x: jax.Array) -> jax.Array:
        from flax import nnx

        found: jax.Array = nnx.merge(self.form, state)(x[None])[0]
        return found


@dataclasses.dataclass(frozen=True)
class _Equinox:
    static: Any

    def __call__(self, arrays: Any, latent: jax.Array) -> jax.Array:
        import equinox

        found: jax.Array = equinox.combine(arrays, self.static)(latent)
        return found
