"""The flags that choose a method to fill holes, shared by all programs that do."""

from absl import flags

from experiments.flags import search as search_flags
from experiments.flags.names import BLENDED, FROM_MODEL, FROM_TRAINING, METHODS
from experiments.runtime import program

METHOD = flags.DEFINE_enum(
    "method",
    "latent",
    METHODS,
    "latent: a search of the latent space (--search). guess: the latent that the "
    "model's encoders guess, without a search. context_encoder: one pass of a network "
    "(Pathak et al.). mean: the smoothest fill with the gradients of the mean "
    "training image. nearest: the training image that fits best. ridge: ridge "
    "regression from known to missing pixels. gaussian: a sample of what it leaves "
    "open. harmonic: the "
    "smoothest fill. biharmonic, telea, navier_stokes: classical methods of "
    "scikit-image and OpenCV. tv: least total variation. low_rank: least truncated "
    "nuclear norm. patch_match: patches from around the hole. For all but latent "
    "and guess --model only determines crop and size.",
)
TRAIN_DATASET = flags.DEFINE_string(
    "train_dataset",
    None,
    "Training images for --method=mean, nearest, ridge and gaussian: a data set as in "
    "experiments.train, whose split train is used, or images:PATH.",
)
CONTEXT_ENCODER = flags.DEFINE_string(
    "context_encoder",
    None,
    "Network for --method=context_encoder: the name of a shipped one, a .safetensors "
    "file, or the work folder of a training run. Default: the one named like --model.",
)
_BLEND = flags.DEFINE_bool(
    "blend",
    None,
    f"Poisson blending of the results of {', '.join(BLENDED)}; otherwise they are "
    f"pasted. Default: only {' and '.join(FROM_MODEL)} are blended, as in the paper.",
)


def check() -> None:
    """Checks that the flags go together.

    Raises:
      program.UsageError: Some do not.
    """
    name = METHOD.value
    if (name in FROM_TRAINING) != (TRAIN_DATASET.value is not None):
        raise program.UsageError(
            f"--method={', '.join(FROM_TRAINING)} need --train_dataset; no other "
            "method takes it"
        )
    for other in search_flags.NAMES:
        takers = FROM_MODEL if other == "precision" else ("latent",)
        if name not in takers and flags.FLAGS[other].present:
            raise program.UsageError(f"--{other} is for --method={', '.join(takers)}")
    if name != "context_encoder" and CONTEXT_ENCODER.value is not None:
        raise program.UsageError("--context_encoder is for --method=context_encoder")
    if name not in BLENDED and _BLEND.value is not None:
        raise program.UsageError(f"--blend is for {', '.join(BLENDED)}")


def blend() -> bool:
    """Whether the method's result is blended."""
    return METHOD.value in FROM_MODEL if _BLEND.value is None else _BLEND.value
