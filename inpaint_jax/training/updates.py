"""What the trainings of all networks share: a network's state, and its update."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from inpaint_jax import parallel
from inpaint_jax.networks.dcgan import Module, Variables


class Network(NamedTuple):
    """One network under training.

    Attributes:
      variables: Its parameters and BatchNorm statistics.
      optimizer: State of its Adam.
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
    """A training step, of which every device does its share.

    Args:
      step: Of the state, a device's share of the images, the constants, and the
        ``share``, to the next state and figures, which are the same on all devices.
      state: Where training stands.
      images: ``[B, S, S, 3]``.
      mesh: Over which ``images`` are split and all else is copied; None: one device.
      *constants: What else the step needs, which it does not change.
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
      key: For the whole batch.
      images: ``[B, S, S, 3]``, the share.
      share: Which share it is.
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
    """A network in training mode.

    Args:
      network: Of ``networks``.
      variables: Where its BatchNorm statistics stand.
      params: Its parameters.
      x: ``[B, ...]``, what goes in.
      groups: Parts of the batch that BatchNorm normalises apart.

    Returns:
      Its output ``[B, ...]`` and its new BatchNorm statistics.
    """

    def of_group(x: jax.Array) -> tuple[jax.Array, Any]:
        output, updated = network.apply(
            {**variables, "params": params}, x, train=True, mutable=["batch_stats"]
        )
        return output, updated["batch_stats"]

    if groups == 1:
        return of_group(x)
    # BatchNorm is all that looks at other images of a batch.
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
    average: Variables, variables: Variables, step: jax.Array, decay: float
) -> Variables:
    """The average of a network's variables, one step on.

    Args:
      average: Where it stands.
      variables: Those after this step.
      step: ``[]``, steps done before this one.
      decay: How much of the average stays, at most: early on it forgets faster, or it
        would hold on to the first weights.
    """
    done = step.astype(jnp.float32)
    now = jnp.minimum(decay, (1.0 + done) / (10.0 + done))
    return optax.incremental_update(variables, average, 1.0 - now)


@jax.jit
def is_finite(tree: Any) -> jax.Array:
    """``[]`` bool: whether every floating-point number in ``tree`` is finite."""
    leaves = [
        jnp.isfinite(leaf).all()
        for leaf in jax.tree.leaves(tree)
        if jnp.issubdtype(leaf.dtype, jnp.floating)
    ]
    return jnp.stack(leaves).all()
