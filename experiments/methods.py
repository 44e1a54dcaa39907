"""Ways to fill holes by name, as functions of a batch."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

import inpaint_jax
from inpaint_jax import baselines
from inpaint_jax.types import Model, RefineConfig, SearchConfig

METHODS = ("latent", "harmonic", "mean")

Complete = Callable[[np.ndarray, np.ndarray, jax.Array], dict[str, np.ndarray]]
"""Images, masks and keys of a batch to fields ``[B, ...]``: ``image``, the completed
ones, and losses where there are any."""


def latent(
    model: Model,
    config: SearchConfig,
    refinement: RefineConfig | None,
    progress: Callable[[float], object],
) -> Complete:
    """A search of the latent space.

    Args:
      model: What is searched.
      config: How.
      refinement: What follows.
      progress: Called with the number of images just done, in fractions.
    """

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
        )
        return {
            "image": np.asarray(found.image),
            "context_loss": np.asarray(found.losses.context),
            "prior_loss": np.asarray(found.losses.prior),
        }

    return complete


def baseline(fill: baselines.Fill) -> Complete:
    """One of ``inpaint_jax.baselines``."""

    def complete(
        images: np.ndarray, masks: np.ndarray, keys: jax.Array
    ) -> dict[str, np.ndarray]:
        return {
            "image": np.asarray(fill(jnp.asarray(images), jnp.asarray(masks), keys))
        }

    return complete
