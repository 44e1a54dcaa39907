"""Ways to fill holes by name, as functions of a batch."""

from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh

import inpaint_jax
from inpaint_jax import baselines, parallel
from inpaint_jax.completion import replicate
from inpaint_jax.types import Model, RefineConfig, SearchConfig

FILLS: dict[str, baselines.Fill] = {
    "harmonic": baselines.harmonic_fill,
    "tv": baselines.tv_fill,
}
"""Those that take nothing but the images."""

METHODS = ("latent", "mean", *FILLS)

Complete = Callable[[np.ndarray, np.ndarray, jax.Array], dict[str, np.ndarray]]
"""Images, masks and keys of this process's part of a batch to fields ``[B, ...]``:
``image``, the completed ones, and losses where there are any."""


def latent(
    model: Model,
    config: SearchConfig,
    refinement: RefineConfig | None,
    progress: Callable[[float], object],
    mesh: Mesh,
) -> Complete:
    """A search of the latent space.

    Args:
      model: What is searched.
      config: How.
      refinement: What follows.
      progress: Called with the number of images just done, in fractions.
      mesh: Devices to divide each batch over.
    """
    model = replicate(model, mesh)

    def complete(
        images: np.ndarray, masks: np.ndarray, keys: jax.Array
    ) -> dict[str, np.ndarray]:
        found = inpaint_jax.inpaint(
            model,
            images,
            masks,
            keys,
            config=config,
            refinement=refinement,
            progress=lambda steps: progress(len(images) * steps / config.steps),
            mesh=mesh,
        )
        return {
            "image": np.asarray(found.image),
            "context_loss": np.asarray(found.losses.context),
            "prior_loss": np.asarray(found.losses.prior),
        }

    return complete


def baseline(fill: baselines.Fill, mesh: Mesh) -> Complete:
    """One of ``inpaint_jax.baselines``, each batch divided over a mesh."""
    of_part = jax.jit(parallel.split(fill, (0, 0, 0), mesh))

    def complete(
        images: np.ndarray, masks: np.ndarray, keys: jax.Array
    ) -> dict[str, np.ndarray]:
        batch = parallel.place((images, masks, keys), mesh)
        return {"image": parallel.local(of_part(*batch))}

    return complete
