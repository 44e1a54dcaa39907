"""The flag that names a model, and loading of that model."""

from pathlib import Path

from absl import flags

import inpaint_jax
from experiments.runtime import program
from inpaint_jax.types import Model


def define_model() -> flags.FlagHolder[str]:
    """``--model``."""
    return flags.DEFINE_string(
        "model",
        "celeba64",
        "A shipped model's name, a .safetensors file, or the work folder of a "
        "training. A shipped name wins; a folder called so is ./NAME.",
    )


def load(name: str, *, precision: str = "float32") -> Model:
    """Loads a model (``inpaint_jax.load_model``); warns if its name is ambiguous."""
    if name in inpaint_jax.model_names() and Path(name).exists():
        program.warn(
            f"--model={name} is the model that comes with the program; for what is "
            f"called so in this folder give ./{name}"
        )
    return inpaint_jax.load_model(name, precision=precision)
