"""The flags for several answers to a picture, for all programs that fill holes."""

from absl import flags

from experiments.flags import method
from experiments.flags.names import ANSWERS
from experiments.runtime import program

_ANSWER = flags.DEFINE_enum(
    "answer",
    "best",
    ANSWERS,
    "Which completed picture is the result. best: the candidate of least total loss. "
    "mean: the mean of all candidates, which is smoother, and nearer to what was there "
    "than most of them.",
)
_CANDIDATES = flags.DEFINE_integer(
    "candidates",
    None,
    "Searches for each picture, from different starts, at most --batch_size. Each has "
    "a seed, from 0. Unless --search=paper, 0 starts from the guess of the model's "
    "encoders. The others start at random, with map and far from what agrees with the "
    "known pixels. Of several it is shown where they differ. "
    "Default: 1; with --answer=mean 8.",
    lower_bound=1,
)

_FOR_A_MEAN = 8
"""Most of what is to be gained by a mean is gained by so many."""


def answer() -> str:
    """The kind of answer, one of ``ANSWERS``."""
    return str(_ANSWER.value)


def candidates(batch_size: int) -> int:
    """The number of searches for each picture.

    Raises:
      program.UsageError: The method has one answer only, the mean is one of one
        candidate, or they do not fit into a batch.
    """
    count = _CANDIDATES.value
    if method.METHOD.value != "latent":
        several = ((_ANSWER, answer() != "best"), (_CANDIDATES, count not in (None, 1)))
        for flag, wanted in several:
            if wanted:
                raise program.UsageError(f"--{flag.name} is for --method=latent")
    if count is None:
        count = min(_FOR_A_MEAN, batch_size) if answer() == "mean" else 1
    if answer() == "mean" and count < 2:
        raise program.UsageError(
            "--answer=mean needs at least --candidates=2 and --batch_size=2"
        )
    if count > batch_size:
        raise program.UsageError(
            f"--candidates={count} must not exceed --batch_size={batch_size}, as they "
            "are searched at once"
        )
    return int(count)
