"""The flags that say what is trained and how: network, recipe, and changes to it."""

import dataclasses
from typing import Any

from absl import flags

from inpaint_jax import recipes
from inpaint_jax.augment import AUGMENTATIONS
from inpaint_jax.types import PRECISIONS, Architecture

_WIDTH = flags.DEFINE_integer("width", 64, "Channels of the outermost layer.")
_LATENT_SIZE = flags.DEFINE_integer("latent_size", 100, "Length of z.")
_IMAGE_SIZE = flags.DEFINE_integer("image_size", 64, "Side of the images.")
_RECIPE = flags.DEFINE_enum(
    "recipe",
    "tuned",
    list(recipes.RECIPES),
    "Which values the other flags of the recipe have when they are not given.",
)
# Each is a field of recipes.TrainConfig of the same name.
_OVERRIDES = (
    flags.DEFINE_integer("batch_size", None, "Images a step."),
    flags.DEFINE_float(
        "learning_rate",
        None,
        "Adam's step size; the discriminator's stays the same share of it.",
    ),
    flags.DEFINE_float(
        "discriminator_learning_rate", None, "The discriminator's own, if another."
    ),
    flags.DEFINE_float("beta1", None, "Adam's first decay."),
    flags.DEFINE_float("ema_decay", None, "Of the generator's average."),
    flags.DEFINE_enum(
        "generator_loss",
        None,
        recipes.GENERATOR_LOSSES,
        "saturating is the paper's eq. 1 to the letter.",
    ),
    flags.DEFINE_bool("flip", None, "Mirror images at random."),
    flags.DEFINE_float(
        "label_smoothing", None, "How far below 1 the target for real images is."
    ),
    flags.DEFINE_float(
        "instance_noise", None, "Deviation of the noise on what the critic sees."
    ),
    flags.DEFINE_list(
        "augmentations",
        None,
        f"Of what the discriminator sees: some of {', '.join(AUGMENTATIONS)}.",
    ),
    flags.DEFINE_float("r1_weight", None, "Gamma of the R1 penalty."),
    flags.DEFINE_integer(
        "batch_norm_groups",
        None,
        "Parts of a batch that BatchNorm normalises apart. 1: the whole batch, on "
        "however many devices; as many as there are devices: no statistics exchanged.",
    ),
    flags.DEFINE_enum(
        "precision",
        None,
        PRECISIONS,
        "What the networks compute in. bfloat16 is for GPUs and TPUs.",
    ),
    flags.DEFINE_integer(
        "seed", None, "Of weights, latents, flips and order.", upper_bound=2**31 - 1
    ),
)


def read_config() -> recipes.TrainConfig:
    """The recipe, changed as the flags say.

    Raises:
      ValueError: A value is out of range.
    """
    given: dict[str, Any] = {
        flag.name: flag.value for flag in _OVERRIDES if flag.value is not None
    }
    recipe = recipes.RECIPES[_RECIPE.value]
    of_discriminator = recipe.discriminator_learning_rate
    if "learning_rate" in given and of_discriminator is not None:
        # A recipe with two rates says how they relate: changing one changes both.
        share = of_discriminator / recipe.learning_rate
        given.setdefault("discriminator_learning_rate", share * given["learning_rate"])
    if "augmentations" in given:
        given["augmentations"] = tuple(given["augmentations"])
    return dataclasses.replace(
        recipe,
        architecture=Architecture(
            latent_size=_LATENT_SIZE.value,
            width=_WIDTH.value,
            image_size=_IMAGE_SIZE.value,
        ),
        **given,
    )
