"""Semantic image inpainting with deep generative models, in JAX.

Yeh et al., CVPR 2017: holes in images are filled by searching the latent space of a
generative model for the code whose image fits what is left, and blending that image in.
"""

import importlib
from typing import TYPE_CHECKING, Any

from inpaint_jax import blend, latents
from inpaint_jax.blend import overlay
from inpaint_jax.completion import image_key, inpaint, replay
from inpaint_jax.configs import SEARCHES, Architecture, RefineConfig, SearchConfig
from inpaint_jax.latents import LatentSpace, Normal, Uniform
from inpaint_jax.losses import context_loss, importance_weights, prior_loss
from inpaint_jax.masks import MASK_NAMES, make_masks, mask_function
from inpaint_jax.metrics import psnr, psnr_hole, ssim
from inpaint_jax.search import search, strategies, with_metric
from inpaint_jax.types import Critic, Generate, Losses, Model, Objective, Seen, Solution
from inpaint_jax.version import __version__

if TYPE_CHECKING:
    from inpaint_jax.photographs.repair import Repaired, repair
    from inpaint_jax.pretrained import (
        ModelError,
        Parts,
        load_model,
        model_names,
        save_model,
    )
    from inpaint_jax.pretrained.adapters import (
        from_equinox,
        from_function,
        from_linen,
        from_nnx,
    )
    from inpaint_jax.pretrained.competitors import (
        competitor_names,
        load_context_encoder,
        load_vae,
    )
    from inpaint_jax.pretrained.torch_dcgan import load_torch_dcgan, read_torch_dcgan

__all__ = [
    "MASK_NAMES",
    "SEARCHES",
    "Architecture",
    "Critic",
    "Generate",
    "LatentSpace",
    "Losses",
    "Model",
    "ModelError",
    "Normal",
    "Objective",
    "Parts",
    "RefineConfig",
    "Repaired",
    "SearchConfig",
    "Seen",
    "Solution",
    "Uniform",
    "__version__",
    "blend",
    "competitor_names",
    "context_loss",
    "from_equinox",
    "from_function",
    "from_linen",
    "from_nnx",
    "image_key",
    "importance_weights",
    "inpaint",
    "latents",
    "load_context_encoder",
    "load_model",
    "load_torch_dcgan",
    "load_vae",
    "make_masks",
    "mask_function",
    "model_names",
    "overlay",
    "prior_loss",
    "psnr",
    "psnr_hole",
    "read_torch_dcgan",
    "repair",
    "replay",
    "save_model",
    "search",
    "ssim",
    "strategies",
    "with_metric",
]

_LATER = {
    "inpaint_jax.photographs.repair": ("Repaired", "repair"),
    "inpaint_jax.pretrained": (
        "ModelError",
        "Parts",
        "load_model",
        "model_names",
        "save_model",
    ),
    "inpaint_jax.pretrained.adapters": (
        "from_equinox",
        "from_function",
        "from_linen",
        "from_nnx",
    ),
    "inpaint_jax.pretrained.competitors": (
        "competitor_names",
        "load_context_encoder",
        "load_vae",
    ),
    "inpaint_jax.pretrained.torch_dcgan": ("load_torch_dcgan", "read_torch_dcgan"),
}
"""What brings Flax or Pillow along is imported when it is asked for, by module."""


def __getattr__(name: str) -> Any:
    for module, names in _LATER.items():
        if name in names:
            value = getattr(importlib.import_module(module), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
