"""One mesh over all devices: arrays of a batch are split, all others are copied.

The same code runs on one device, on eight, and on the devices of many hosts. A host is
a *process*: it places its own part of a batch (``place``) and gets only the results of
that part back (``local``).

A function under ``split`` runs on every device, on that device's part of the batch.
Searches are independent and exchange nothing. A training step needs means over the
whole batch (BatchNorm's statistics, gradients) and takes them from a ``Share``. The
work is not divided by the compiler, which had every device compute most of the batch.
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
    """A mesh of one axis, ``batch``, over ``devices``.

    Args:
      devices: The devices; by default those of all processes.
    """
    found = jax.devices() if devices is None else devices
    return jax.make_mesh(
        (len(found),), (AXIS,), axis_types=(AxisType.Auto,), devices=found
    )


def local_size(mesh: Mesh) -> int:
    """Number of the mesh's devices that belong to this process."""
    return len(mesh.local_devices)


def place(tree: Any, mesh: Mesh | None) -> Any:
    """Splits a batch over the mesh.

    Args:
      tree: Arrays ``[B, ...]``, this process's part of the batch; B is the same in all
        processes, and a multiple of ``local_size``.
      mesh: The devices; None for the default device.

    Returns:
      Arrays ``[processes * B, ...]``, of which each device holds its own part.
    """
    if mesh is None:
        return jax.device_put(tree)  # It compiles nothing, unlike ``jnp.asarray``.
    sharding = NamedSharding(mesh, P(AXIS))
    return jax.tree.map(lambda x: _put(x, sharding), tree)


def replicate(tree: Any, mesh: Mesh) -> Any:
    """A copy of every array on each device.

    Args:
      tree: Arrays, the same in all processes.
      mesh: The devices.
    """
    sharding = NamedSharding(mesh, P())

    return jax.tree.map(lambda x: _put(x, sharding), tree)


def _put(x: jax.Array | np.ndarray, sharding: NamedSharding) -> jax.Array:
    """This process's part of an array, or of an array of keys, on its devices."""
    if isinstance(x, jax.Array) and x.sharding == sharding:
        return x
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        data = _put(jax.random.key_data(x), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(x))
    return jax.make_array_from_process_local_data(sharding, np.asarray(x))


def local(tree: Any) -> Any:
    """This process's part of arrays that are split over a mesh, in NumPy.

    Args:
      tree: Arrays ``[processes * B, ...]`` as ``split`` or ``place`` leave them, arrays
        of one device, or copies as ``replicate`` makes them.

    Returns:
      Arrays ``[B, ...]`` in the order in which ``place`` took them; one of the copies
      where the array is replicated.
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
      devices: Number of devices that the batch is split over; with 1 there is nothing
        to exchange.
    """

    devices: int

    @property
    def axis_name(self) -> str | None:
        """Mesh axis to average over, as Flax takes it; None with a single device."""
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
        """The mean over all devices, which every device gets."""
        return tree if self.devices == 1 else jax.lax.pmean(tree, AXIS)


def split(
    function: Callable[..., Any], axes: Any, mesh: Mesh | None, *, joined: bool = False
) -> Any:
    """Makes ``function`` run on every device, on that device's part of a batch.

    No device waits for another: a loop ends when the images of its own device are done.
    (If the compiler divided the work, a loop's stopping test would be a reduction over
    all devices.)

    Args:
      function: A function from batches to batches. Its results have the batch's axis in
        front, unless they are ``joined``.
      axes: A tuple with 0 for every argument that has the batch's axis in front and
        None for an argument that is the same for all, or a tree of these, like the
        ``in_axes`` of ``jax.vmap``.
      mesh: The devices; with None the result is ``function`` itself.
      joined: Whether every device returns the same results, for the whole batch.
    """
    if mesh is None:
        return function
    specs = jax.tree.map(
        lambda axis: P() if axis is None else P(AXIS), axes, is_leaf=lambda x: x is None
    )
    # With check_vma JAX would sum gradients with respect to what all devices share.
    return jax.shard_map(
        function,
        mesh=mesh,
        in_specs=specs,
        out_specs=P() if joined else P(AXIS),
        check_vma=False,
    )
