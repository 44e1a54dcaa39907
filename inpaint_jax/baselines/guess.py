"""The guess of a model's encoders: one pass from the picture to the code.

A search starts from this guess. On its own it says what the search adds: a model whose
encoder and decoder were trained on holes is an inpainting network like any other.
"""

import dataclasses
import functools

import jax

from inpaint_jax.baselines.fill import Fill, FillError
from inpaint_jax.completion import fill_holes
from inpaint_jax.search.starts import last_guess
from inpaint_jax.types import Metadata, Model


def guess_fill(model: Model, *, blend: bool = True) -> Fill:
    """The image of the encoders' last guess, as a method to fill holes.

    Args:
      model: A model with encoders (``Model.correctors``).
      blend: Whether to blend the image into the hole by eq. 6; otherwise its pixels are
        pasted.

    Returns:
      The fill, for images of the model's size.

    Raises:
      FillError: The model has no encoder.
    """
    if not model.correctors:
        raise FillError(
            f"model {model.name} has no encoder that guesses: search it, or train one "
            "(experiments.train_encoder)"
        )
    # What a guess does not use is neither copied to devices nor compiled for.
    lean = dataclasses.replace(
        model, critic=None, metric=None, halves=None, name="", metadata=Metadata()
    )
    return jax.tree_util.Partial(functools.partial(_fill, blend=blend), lean)


@functools.partial(jax.jit, static_argnames="blend")
def _fill(
    model: Model,
    images: jax.Array,
    masks: jax.Array,
    keys: jax.Array,
    *,
    blend: bool,
) -> jax.Array:
    _, generated = jax.vmap(functools.partial(last_guess, model))(images, masks)
    completed, _ = fill_holes(images, generated, masks, blend=blend)
    return completed
