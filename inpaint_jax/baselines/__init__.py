"""Other methods to fill holes, for comparison with the latent search.

Each is a function of a batch, ``fill(images, masks, keys) -> completed``: images
``[B, S, S, 3]`` in [-1, 1], masks ``[B, S, S, 1]`` with 1 = known, and B PRNG keys. The
known pixels of the completed images are those of the input, bit for bit. A trained
context encoder is loaded by ``inpaint_jax.load_context_encoder``; its module, like that
of the VAE, brings Flax along and is not imported here.
"""

from inpaint_jax.baselines.classics import (
    biharmonic_fill,
    navier_stokes_fill,
    telea_fill,
)
from inpaint_jax.baselines.fill import Fill, FillError, HoleError, HostFill
from inpaint_jax.baselines.guess import guess_fill
from inpaint_jax.baselines.low_rank import low_rank_fill
from inpaint_jax.baselines.membrane import guided_fill, harmonic_fill
from inpaint_jax.baselines.nearest import nearest_fill
from inpaint_jax.baselines.patch_match import patch_match_fill
from inpaint_jax.baselines.ridge import fit_gaussian, ridge_fill
from inpaint_jax.baselines.tv import tv_fill

FILLS: dict[str, Fill] = {
    "harmonic": harmonic_fill,
    "biharmonic": biharmonic_fill,
    "telea": telea_fill,
    "navier_stokes": navier_stokes_fill,
    "tv": tv_fill,
    "low_rank": low_rank_fill,
    "patch_match": patch_match_fill,
}
"""Methods that need no training images or weights, by name."""

__all__ = [
    "FILLS",
    "Fill",
    "FillError",
    "HoleError",
    "HostFill",
    "biharmonic_fill",
    "fit_gaussian",
    "guess_fill",
    "guided_fill",
    "harmonic_fill",
    "low_rank_fill",
    "navier_stokes_fill",
    "nearest_fill",
    "patch_match_fill",
    "ridge_fill",
    "telea_fill",
    "tv_fill",
]
