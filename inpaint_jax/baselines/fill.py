"""What all baselines are: functions of a batch."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from inpaint_jax.images import to_float, to_uint8, with_hole

Fill = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
"""Images ``[B, S, S, 3]`` in [-1, 1], masks ``[B, S, S, 1]`` (1 = known, 0 = missing)
and ``[B]`` PRNG keys to completed images, whose known pixels are those that were given,
bit for bit. What stands in the holes does not matter."""


class FillError(ValueError):
    """A fill cannot be had here; the message is one line that says why."""


class HoleError(FillError):
    """A fill cannot be had for this hole."""


@dataclasses.dataclass(frozen=True)
class HostFill:
    """A library's fill, which takes 8-bit images one at a time and runs on the CPU.

    Attributes:
      of_one: An image ``[S, S, 3]`` uint8 with its hole black, the hole ``[S, S]`` bool
        (at least one pixel, not all) and a seed to a completed image, uint8.
    """

    of_one: Callable[[np.ndarray, np.ndarray, int], np.ndarray]

    def __call__(
        self, images: ArrayLike, masks: ArrayLike, keys: jax.Array
    ) -> jax.Array:
        """As a ``Fill``; 0 where nothing is known.

        Raises:
          FillError: The library is not installed.
          HoleError: It cannot fill one of the holes.
        """
        given, holes = np.asarray(images), np.asarray(masks)[..., 0] < 0.5
        completed = np.where(holes[..., None], 0, given).astype(np.float32)
        seeds = np.asarray(jax.vmap(jax.random.bits)(keys))
        for each, hole, seed in zip(completed, holes, seeds, strict=True):
            if hole.any() and not hole.all():
                masked = with_hole(to_uint8(each), ~hole[..., None])
                each[hole] = to_float(self.of_one(masked, hole, int(seed)))[hole]
        return jnp.asarray(completed)
