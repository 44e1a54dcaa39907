"""The flags of a training: network, recipe, and changes to the recipe."""

import dataclasses
from typing import Any

from absl import flags

from experiments.flags import precision
from inpaint_jax.pretrained.runs import KINDS
from inpaint_jax.training import recipes

MODEL = flags.DEFINE_enum(
    "model",
    "dcgan",
    list(KINDS),
    "What to train: the networks that are searched, the context encoder of Pathak et "
    "al. (2016), or a VAE with the DCGAN's generator. An autoencoder is the generator "
    "that completes pictures best (extra lpips). Each takes its own recipe's flags.",
)
_WIDTH = flags.DEFINE_integer(
    "width", None, "Channels of the outermost layer. Default: 64; autoencoder: 32."
)
_LATENT_SIZE = flags.DEFINE_integer(
    "latent_size",
    None,
    "Length of z, or of a context encoder's bottleneck. Default: 100; autoencoder: "
    "512; context_encoder: 4000.",
)
_IMAGE_SIZE = flags.DEFINE_integer(
    "image_size", None, "Side of the images. Default: 64."
)
_RECIPE = flags.DEFINE_enum(
    "recipe",
    "tuned",
    list(recipes.RECIPES),
    "Recipe whose values hold for the flags that are left out.",
)
# Each is a field of some recipe, of the same name.
_OVERRIDES = (
    flags.DEFINE_integer("batch_size", None, "Images per step."),
    flags.DEFINE_float(
        "learning_rate",
        None,
        "Adam's step size; the discriminator's changes in proportion.",
    ),
    flags.DEFINE_float(
        "discriminator_learning_rate", None, "Adam's step size for the discriminator."
    ),
    flags.DEFINE_float("beta1", None, "Decay of Adam's first moment."),
    flags.DEFINE_float("ema_decay", None, "Decay of the weights' moving average."),
    flags.DEFINE_enum(
        "generator_loss",
        None,
        recipes.GENERATOR_LOSSES,
        "Loss of the generator; saturating is eq. 1 of the paper itself.",
    ),
    flags.DEFINE_bool("flip", None, "Mirror images at random."),
    flags.DEFINE_integer(
        "batch_norm_groups",
        None,
        "Parts of a batch that BatchNorm normalises apart. 1: the whole batch, on any "
        "number of devices. The number of devices: they exchange no statistics.",
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
        "Weight of an autoencoder's adversarial loss; or the weight w of a context "
        "encoder's, beside 1 - w of the squared error.",
    ),
    flags.DEFINE_integer(
        "encoder_width",
        None,
        "Channels of the outermost layer of an autoencoder's encoder. Default: 32.",
    ),
    flags.DEFINE_integer(
        "critic_width",
        None,
        "Channels of the outermost layer of an autoencoder's critic. Default: 24.",
    ),
    flags.DEFINE_float(
        "perceptual_weight",
        None,
        "Weight of LPIPS in an autoencoder's training, for images seen whole.",
    ),
    flags.DEFINE_float(
        "completion_weight", None, "The same for images with a hole, completed."
    ),
    flags.DEFINE_float(
        "completion_adversarial_weight",
        None,
        "Weight of an autoencoder's adversarial loss for completed images. A tenth of "
        "it counts until the step --settled, all of it from twice as many steps on.",
    ),
    flags.DEFINE_integer(
        "settled",
        None,
        "Step from which an autoencoder's learning rate falls, and the weight of its "
        "adversarial loss for completed images grows. Default: 4000; for a short "
        "training about a third of its steps.",
    ),
    flags.DEFINE_enum(
        "precision",
        None,
        precision.CHOICES,
        "Number type of the factors of the networks' products. Default: auto, the "
        "faster one on this machine, where the model has a choice.",
    ),
    flags.DEFINE_integer(
        "seed", None, "Seed of all random choices.", upper_bound=2**31 - 1
    ),
)


def read_recipe() -> recipes.Recipe:
    """The recipe, with the changes that the flags make.

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
    if "precision" in known:
        given["precision"] = precision.choose(given.get("precision", "auto"))
    if MODEL.value == "dcgan":
        recipe = recipes.RECIPES[_RECIPE.value]
        of_discriminator = recipe.discriminator_learning_rate
        if "learning_rate" in given and of_discriminator is not None:
            # The ratio of a recipe's two rates is kept: changing one changes both.
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
