"""Shared parts of all trainings: the state of a network and its update."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from inpaint_jax import parallel
from inpaint_jax.networks.dcgan import Module
from inpaint_jax.networks.variables import Variables

Tree = TypeVar("Tree")


class Network(NamedTuple):
    """One network under training.

    Attributes:
      variables: Parameters and BatchNorm statistics.
      optimizer: State of Adam for the parameters.
    """

    variables: Variables
    optimizer: optax.OptState


def run_step(
    step: Callable[..., Any],
    state: Any,
    images: jax.Array,
    mesh: Mesh | None,
    *constants: Any,
) -> Any:
    """Runs a training step, divided over the devices.

    Args:
      step: Function from the state, a device's share of the images, the constants and
        the ``share`` to the next state and figures, the same on all devices.
      state: State of the training.
      images: ``[B, S, S, 3]``.
      mesh: Devices over which ``images`` are split and all else is copied; None: one
        device.
      *constants: Further arguments of the step, which it does not change.
    """
    share = parallel.Share(1 if mesh is None else mesh.size)
    bound = functools.partial(step, share=share)
    axes = (None, 0, *(None for _ in constants))
    return parallel.split(bound, axes, mesh, joined=True)(state, images, *constants)


def flip_at_random(
    key: jax.Array, images: jax.Array, share: parallel.Share
) -> jax.Array:
    """A share of a batch, each image mirrored left to right with probability 1/2.

    Args:
      key: PRNG key of the whole batch.
      images: ``[B, S, S, 3]``, the share.
      share: Position of the share in the batch.
    """
    keys = share.take(jax.random.split(key, share.devices * len(images)))
    half = jnp.float32(0.5)
    chosen = jax.vmap(lambda key: jax.random.bernoulli(key, half))(keys)
    return jnp.where(chosen[:, None, None, None], images[:, :, ::-1], images)


def apply(
    network: Module,
    variables: Variables,
    params: Any,
    x: jax.Array,
    *,
    groups: int = 1,
) -> tuple[jax.Array, Any]:
    """Applies a network in training mode.

    Args:
      network: A network of ``inpaint_jax.networks``.
      variables: Variables of the network, of which the BatchNorm statistics are used.
      params: Parameters to use.
      x: ``[B, ...]``, the input.
      groups: Number of parts of the batch that BatchNorm normalises apart.

    Returns:
      The output ``[B, ...]`` and the new BatchNorm statistics.
    """

    def of_group(x: jax.Array) -> tuple[jax.Array, Any]:
        output, updated = network.apply(
            {**variables, "params": params}, x, train=True, mutable=["batch_stats"]
        )
        return output, updated["batch_stats"]

    if groups == 1:
        return of_group(x)
    # Only BatchNorm depends on the other images of a batch.
    outputs, statistics = jax.vmap(of_group)(x.reshape(groups, -1, *x.shape[1:]))
    mean = jax.tree.map(lambda each: each.mean(0), statistics)
    return outputs.reshape(len(x), *outputs.shape[2:]), mean


def update(
    network: Network,
    optimizer: optax.GradientTransformation,
    gradient: Any,
    statistics: Any,
) -> Network:
    """The network after one step along a gradient, with new BatchNorm statistics."""
    updates, state = optimizer.update(gradient, network.optimizer)
    params = optax.apply_updates(network.variables["params"], updates)
    return Network({"params": params, "batch_stats": statistics}, state)


def moving_average(
    average: Tree, variables: Tree, step: jax.Array, decay: float
) -> Tree:
    """The moving average of a network's variables after one more step.

    Args:
      average: The average before this step: variables of a network or of several.
      variables: The variables after this step.
      step: ``[]``, number of steps done before this one.
      decay: Greatest share of the average that is kept. The share is less early in
        training, when the average must forget the first weights.
    """
    done = step.astype(jnp.float32)
    now = jnp.minimum(decay, (1.0 + done) / (10.0 + done))
    updated: Tree = optax.incremental_update(variables, average, 1.0 - now)
    return updated


@jax.jit
def is_finite(tree: Any) -> jax.Array:
    """``[]`` bool: whether every floating-point number in ``tree`` is finite."""
    leaves = [
        jnp.isfinite(leaf).all()
        for leaf in jax.tree.leaves(tree)
        if jnp.issubdtype(leaf.dtype, jnp.floating)
    ]
    return jnp.stack(leaves).all()
