"""The flag that names a model, and reading of that model."""

from pathlib import Path

from absl import flags

from experiments.runtime import program
from inpaint_jax.photographs import faces
from inpaint_jax.pretrained import Parts, model_names, read_parts

_HELP = (
    "A shipped model's name, a .safetensors file, or the work folder of a training. "
    "Shipped names take precedence; write ./NAME for a folder of that name."
)


def define_model() -> flags.FlagHolder[str]:
    """``--model``, by default the model of images as data sets have them."""
    return flags.DEFINE_string("model", "faces", _HELP)


def define_model_for_photographs() -> flags.FlagHolder[str | None]:
    """``--model``, without a default: ``or_default`` has it."""
    return flags.DEFINE_string(
        "model",
        None,
        f"{_HELP} Default: faces128 where faces are looked for (extra faces); faces "
        "for other frames and for a context encoder.",
    )


def or_default(name: str | None, *, frame: str = "auto", method: str = "latent") -> str:
    """The name given with ``--model``, or that of the best model for photographs.

    The frame of ``faces128`` is around eyes and mouth: it is of no use where they are
    not looked for. That of ``faces`` is, roughly, the centre of a portrait.

    Args:
      name: Value of ``--model``.
      frame: Value of ``--frame``.
      method: Value of ``--method``; the context encoders are for 64 pixels.
    """
    if name is not None:
        return name
    found = faces.is_installed() and frame in ("auto", "face")
    return "faces128" if found and method != "context_encoder" else "faces"


def read(name: str) -> Parts:
    """Reads a model (``read_parts``); warns if its name is ambiguous."""
    if name in model_names() and Path(name).exists():
        program.warn(
            f"--model={name} is the model that comes with the program; for what is "
            f"called so in this folder give ./{name}"
        )
    return read_parts(name)
