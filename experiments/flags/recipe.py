"""The flags that say what is trained and how: network, recipe, and changes to it."""

import dataclasses
from typing import Any

from absl import flags

from inpaint_jax.pretrained.runs import KINDS
from inpaint_jax.training import recipes
from inpaint_jax.types import PRECISIONS

MODEL = flags.DEFINE_enum(
    "model",
    "dcgan",
    list(KINDS),
    "What to train: the networks that are searched, the context encoder of Pathak et "
    "al. (2016), or a VAE with the DCGAN's generator. For the last two only their own "
    "flags count: --width, --latent_size, --image_size, --batch_size, --learning_rate, "
    "--beta1, --ema_decay, --flip, --discriminator_width, --adversarial_weight and "
    "--seed.",
)
_WIDTH = flags.DEFINE_integer(
    "width", None, "Channels of the outermost layer. Default: 64."
)
_LATENT_SIZE = flags.DEFINE_integer(
    "latent_size",
    None,
    "Length of z, 100 by default; of a context encoder, its bottleneck, 4000.",
)
_IMAGE_SIZE = flags.DEFINE_integer(
    "image_size", None, "Side of the images. Default: 64."
)
_RECIPE = flags.DEFINE_enum(
    "recipe",
    "tuned",
    list(recipes.RECIPES),
    "Which values the other flags of the recipe have when they are not given.",
)
# Each is a field of some recipe, of the same name.
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
    flags.DEFINE_integer(
        "batch_norm_groups",
        None,
        "Parts of a batch that BatchNorm normalises apart. 1: the whole batch, on "
        "however many devices; as many as there are devices: no statistics exchanged.",
    ),
    flags.DEFINE_integer(
        "discriminator_width",
        None,
        "Channels of the outermost layer of a context encoder's discriminator. "
        "Default: --width.",
    ),
    flags.DEFINE_float(
        "adversarial_weight",
        None,
        "Of a context encoder's adversarial loss; the rest is the squared error's.",
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


def read_recipe() -> recipes.Recipe:
    """The recipe, changed as the flags say.

    Raises:
      ValueError: A value is out of range, or of another model's recipe.
    """
    given: dict[str, Any] = {
        flag.name: flag.value for flag in _OVERRIDES if flag.value is not None
    }
    recipe = KINDS[MODEL.value]()
    known = {field.name for field in dataclasses.fields(recipe)}
    for name in given:
        if name not in known:
            raise ValueError(f"--{name} is not for --model={MODEL.value}")
    if MODEL.value == "dcgan":
        recipe = recipes.RECIPES[_RECIPE.value]
        of_discriminator = recipe.discriminator_learning_rate
        if "learning_rate" in given and of_discriminator is not None:
            # A recipe with two rates says how they relate: changing one changes both.
            share = of_discriminator / recipe.learning_rate
            rate = share * given["learning_rate"]
            given.setdefault("discriminator_learning_rate", rate)
    elif flags.FLAGS["recipe"].present:
        raise ValueError(f"--recipe is not for --model={MODEL.value}")
    sizes = {
        flag.name: flag.value
        for flag in (_WIDTH, _LATENT_SIZE, _IMAGE_SIZE)
        if flag.value is not None
    }
    architecture = dataclasses.replace(recipe.architecture, **sizes)
    changed: recipes.Recipe = dataclasses.replace(
        recipe, architecture=architecture, **given
    )
    return changed
