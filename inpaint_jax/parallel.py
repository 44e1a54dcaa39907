"""One mesh over all devices: what belongs to a batch is split, all else is copied.

One device, eight, and the devices of many hosts run the same code. A host is a
*process*: it hands over its own part of a batch (``place``) and gets the results of
that part back (``local``), and no other.

Two ways to divide work. A function under ``split`` runs on every device with that
device's part alone, so nothing can be exchanged: the searches, which know nothing of
each other. Where a batch is one thing (a training step, with BatchNorm's means and the
gradients' sums), ``jax.jit`` of arrays that are ``place``d divides it, and exchanges
what concerns all of the batch.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

AXIS = "batch"


def make_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh of one axis, ``batch``, over ``devices``; of all processes by default."""
    found = jax.devices() if devices is None else devices
    return jax.make_mesh(
        (len(found),), (AXIS,), axis_types=(AxisType.Auto,), devices=found
    )


def local_size(mesh: Mesh) -> int:
    """How many of the mesh's devices are this process's; they divide its batches."""
    return len(mesh.local_devices)


def place(tree: Any, mesh: Mesh | None) -> Any:
    """Splits a batch over the mesh.

    Args:
      tree: Arrays ``[B, ...]``, this process's part of the batch; B is the same in all
        processes, and a multiple of ``local_size``.
      mesh: Where to; None: to the default device.

    Returns:
      Arrays ``[processes * B, ...]``, of which each device holds its own part.
    """
    if mesh is None:
        return jax.tree.map(jnp.asarray, tree)
    sharding = NamedSharding(mesh, P(AXIS))

    def put(x: jax.Array | np.ndarray) -> jax.Array:
        if not jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            return jax.make_array_from_process_local_data(sharding, np.asarray(x))
        data = np.asarray(jax.random.key_data(x))
        return jax.random.wrap_key_data(put(data), impl=jax.random.key_impl(x))

    return jax.tree.map(put, tree)


def replicate(tree: Any, mesh: Mesh) -> Any:
    """A copy of every array on each device.

    Args:
      tree: Arrays, the same in all processes.
      mesh: Where to.
    """
    sharding = NamedSharding(mesh, P())

    def put(x: jax.Array | np.ndarray) -> jax.Array:
        if isinstance(x, jax.Array) and x.sharding == sharding:
            return x
        return jax.make_array_from_process_local_data(sharding, np.asarray(x))

    return jax.tree.map(put, tree)


def local(tree: Any) -> Any:
    """This process's part of arrays that are split over a mesh, in NumPy.

    Args:
      tree: Arrays ``[processes * B, ...]`` as ``split`` or ``place`` leave them, arrays
        of one device, or copies as ``replicate`` makes them.

    Returns:
      Arrays ``[B, ...]``, in the order in which ``place`` took them; of copies, one.
    """

    def gather(x: jax.Array) -> np.ndarray:
        if x.is_fully_addressable or x.is_fully_replicated:
            return np.asarray(x)
        parts = sorted(x.addressable_shards, key=lambda part: part.index[0].start)
        return np.concatenate([part.data for part in parts])

    return jax.tree.map(gather, tree)


def split(function: Callable[..., Any], axes: Any, mesh: Mesh | None) -> Any:
    """``function`` of a batch, run by every device on its own part.

    No device waits for another: loops end when those of its own images do. (Divided by
    the compiler instead, a loop's stopping test would be asked of all devices in turn.)

    Args:
      function: Of batches, to batches: its results have the batch's axis in front.
      axes: A tuple with 0 for every argument that has the batch's axis in front and
        None for one that is the same for all, or a tree of these, as ``jax.vmap``'s
        ``in_axes``.
      mesh: Over which devices; None: ``function`` itself.
    """
    if mesh is None:
        return function
    specs = jax.tree.map(
        lambda axis: P() if axis is None else P(AXIS), axes, is_leaf=lambda x: x is None
    )
    # check_vma would sum gradients with respect to what all devices share.
    return jax.shard_map(
        function, mesh=mesh, in_specs=specs, out_specs=P(AXIS), check_vma=False
    )
