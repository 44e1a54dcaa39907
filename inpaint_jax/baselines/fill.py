"""The interface of all baselines: functions of a batch."""

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from inpaint_jax.pixels import to_float, to_uint8, with_hole

Fill = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
"""Images ``[B, S, S, 3]`` in [-1, 1], masks ``[B, S, S, 1]`` (1 = known, 0 = missing)
and ``[B]`` PRNG keys to completed images, whose known pixels are those that were given,
bit for bit. The images may hold anything in their holes."""


class FillError(ValueError):
    """A fill is not available; the message is one line that says why."""


class HoleError(FillError):
    """A method cannot fill this hole; the message is one line that says why."""


@dataclasses.dataclass(frozen=True)
class HostFill:
    """A library's fill, which takes 8-bit images one at a time and runs on the CPU.

    Attributes:
      of_one: A function from an image ``[S, S, 3]`` uint8 with its hole black, the hole
        ``[S, S]`` bool (at least one pixel, but not all) and a seed to a completed
        image, uint8. It raises ``HoleError`` if it cannot fill the hole.
      module: The library's module; None if it needs none.
      package: The library's usual name.
    """

    of_one: Callable[[np.ndarray, np.ndarray, int], np.ndarray]
    module: str | None = None
    package: str = ""

    def __call__(
        self, images: ArrayLike, masks: ArrayLike, keys: jax.Array
    ) -> jax.Array:
        """Fills a batch, as a ``Fill``; the result is 0 where nothing is known.

        Raises:
          FillError: The library is not installed.
          HoleError: One of the holes cannot be filled.
        """
        completed, refused = self.attempt(images, masks, keys)
        for reason in filter(None, refused):
            raise HoleError(reason)
        return jnp.asarray(completed)

    def attempt(
        self, images: ArrayLike, masks: ArrayLike, keys: jax.Array
    ) -> tuple[np.ndarray, list[str]]:
        """Fills all holes of a batch that can be filled.

        Returns:
          The completed images, with NaN in a hole that cannot be filled, and for each
          image the reason why not, or an empty string.

        Raises:
          FillError: The library is not installed.
        """
        given, holes = np.asarray(images), np.asarray(masks)[..., 0] < 0.5
        completed = np.where(holes[..., None], 0, given).astype(np.float32)
        refused = [""] * len(given)
        seeds = np.asarray(_seeds(keys))
        for i, (each, hole) in enumerate(zip(completed, holes, strict=True)):
            if not hole.any() or hole.all():
                continue
            masked = with_hole(to_uint8(each), ~hole[..., None])
            try:
                each[hole] = to_float(self.of_one(masked, hole, int(seeds[i])))[hole]
            except HoleError as error:
                each[hole], refused[i] = np.nan, str(error)
        return completed, refused

    def version(self) -> str:
        """Name and version of the library; an empty string if it needs none.

        Raises:
          FillError: The library is not installed.
        """
        if self.module is None:
            return ""
        return f"{self.package} {require(self.module, self.package).__version__}"


_seeds = jax.jit(jax.vmap(lambda key: jax.random.bits(key, dtype=jnp.uint32)))


def require(module: str, package: str) -> Any:
    """Imports a module that the extra ``competitors`` installs.

    Raises:
      FillError: The module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise FillError(
            f"this fill needs {package}: pip install 'inpaint_jax[competitors]'"
        ) from error
