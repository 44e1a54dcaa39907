"""Placing work on devices: what belongs to a batch is split, everything else copied.

A function compiled by ``jax.jit`` runs where its arguments are. Given a batch split
over the devices, XLA divides the work along the batch and exchanges what concerns all
of it (BatchNorm's means, the gradients' sums), so that one code path serves one device
and many, with the same results to rounding.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec


class Placement(NamedTuple):
    """Where arrays go; for ``jax.device_put``.

    Attributes:
      batch: Splits the first axis over the devices, which must divide it.
      everywhere: A copy on each device.
    """

    batch: NamedSharding
    everywhere: NamedSharding

    @property
    def devices(self) -> int:
        """How many devices there are."""
        return int(self.batch.mesh.size)


def placement(devices: Sequence[jax.Device] | None = None) -> Placement:
    """The placement over ``devices``; all of this process when left out."""
    found = np.array(jax.local_devices() if devices is None else devices)
    mesh = jax.sharding.Mesh(found, ("batch",), axis_types=(AxisType.Auto,))
    return Placement(
        NamedSharding(mesh, PartitionSpec("batch")),
        NamedSharding(mesh, PartitionSpec()),
    )
