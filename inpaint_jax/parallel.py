"""One mesh over all devices: what belongs to a batch is split, all else is copied.

One device, eight, and the devices of many hosts run the same code. A host is a
*process*: it hands over its own part of a batch (``place``) and gets the results of
that part back (``local``), and no other.

A function under ``split`` runs on every device with that device's part alone. The
searches, which know nothing of each other, exchange nothing. Where a batch is one
thing (a training step, with BatchNorm's means and the gradients'), the function asks a
``Share`` for what concerns all of it. The compiler is not left to divide work itself:
it has every device draw all latents and then do all of the batch.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

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


class Share(NamedTuple):
    """One device's share of a batch, for functions that ``split`` runs.

    Attributes:
      devices: Over how many the batch is split; 1: there is nothing to exchange.
    """

    devices: int

    @property
    def axis_name(self) -> str | None:
        """Over which to exchange, as Flax wants it; None: with nobody."""
        return AXIS if self.devices > 1 else None

    def take(self, whole: jax.Array) -> jax.Array:
        """This device's rows of ``[devices * B, ...]``, which every device has."""
        if self.devices == 1:
            return whole
        size = len(whole) // self.devices
        return jax.lax.dynamic_slice_in_dim(
            whole, jax.lax.axis_index(AXIS) * size, size
        )

    def mean(self, tree: Any) -> Any:
        """The mean over all devices, in every device."""
        return tree if self.devices == 1 else jax.lax.pmean(tree, AXIS)


def split(
    function: Callable[..., Any], axes: Any, mesh: Mesh | None, *, joined: bool = False
) -> Any:
    """``function`` of a batch, run by every device on its own part.

    No device waits for another: loops end when those of its own images do. (Divided by
    the compiler instead, a loop's stopping test would be asked of all devices in turn.)

    Args:
      function: Of batches, to batches: its results have the batch's axis in front,
        unless they are ``joined``.
      axes: A tuple with 0 for every argument that has the batch's axis in front and
        None for one that is the same for all, or a tree of these, as ``jax.vmap``'s
        ``in_axes``.
      mesh: Over which devices; None: ``function`` itself.
      joined: Whether every device has the same results, of the whole batch.
    """
    if mesh is None:
        return function
    specs = jax.tree.map(
        lambda axis: P() if axis is None else P(AXIS), axes, is_leaf=lambda x: x is None
    )
    # check_vma would sum gradients with respect to what all devices share.
    return jax.shard_map(
        function,
        mesh=mesh,
        in_specs=specs,
        out_specs=P() if joined else P(AXIS),
        check_vma=False,
    )
