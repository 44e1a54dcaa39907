"""The flag that names a model, and reading of that model."""

from pathlib import Path

from absl import flags

from experiments.runtime import program
from inpaint_jax.pretrained import Parts, model_names, read_parts


def define_model() -> flags.FlagHolder[str]:
    """``--model``."""
    return flags.DEFINE_string(
        "model",
        "faces",
        "A shipped model's name, a .safetensors file, or the work folder of a "
        "training. Shipped names take precedence; write ./NAME for a folder of that "
        "name.",
    )


def read(name: str) -> Parts:
    """Reads a model (``read_parts``); warns if its name is ambiguous."""
    if name in model_names() and Path(name).exists():
        program.warn(
            f"--model={name} is the model that comes with the program; for what is "
            f"called so in this folder give ./{name}"
        )
    return read_parts(name)
