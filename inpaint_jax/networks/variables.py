"""The weights of networks: how they are laid out, and their names.

Files of models and the forms that are searched need these, and not the Flax modules
that are trained; importing this module does not import Flax.
"""

from collections.abc import Mapping
from typing import Any

import jax

Variables = Mapping[str, Any]
"""``{"params": ..., "batch_stats": ...}`` as Flax lays them out."""

GRID = 4
"""Side of the image at the generator's first and the discriminator's last layer."""
NORM_EPSILON = 1e-5
"""The constant that BatchNorm adds to a variance."""
SLOPE = 0.2
"""Slope of LeakyReLU below 0."""


def convolution_name(layer: int) -> str:
    """Name of a network's ``layer``-th convolution, from 0, in its weights.

    These names, and ``norm_name``'s and ``dense_name``'s, are in every model file and
    checkpoint: no class's name may change them.
    """
    return f"_Convolution_{layer}"


def norm_name(layer: int) -> str:
    """Name of the ``layer``-th BatchNorm; its own weights are in ``NORM``."""
    return f"_BatchNorm_{layer}"


def dense_name(layer: int) -> str:
    """Name of the ``layer``-th dense layer."""
    return f"Dense_{layer}"


NORM = "BatchNorm_0"
"""Name of the one layer inside each BatchNorm."""


def flatten(tree: Variables) -> dict[str, jax.Array]:
    """Flattens nested variables to ``{"params/Dense_0/kernel": ...}``."""
    flat: dict[str, jax.Array] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}/{rest}": leaf for rest, leaf in flatten(value).items()}
        else:
            flat[name] = value
    return flat


def unflatten(flat: Mapping[str, jax.Array]) -> Variables:
    """Inverse of ``flatten``."""
    tree: dict[str, Any] = {}
    for path, leaf in flat.items():
        *folders, name = path.split("/")
        inner = tree
        for folder in folders:
            inner = inner.setdefault(folder, {})
        inner[name] = leaf
    return tree
