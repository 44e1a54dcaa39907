"""U-IDS and P-IDS: how often a linear judge takes made pictures for real ones.

A linear support vector machine learns, from what a network sees in pictures, to tell
real from made ones. The original program asks it about the very pictures that it has
learned from. With fewer pictures than features it then knows them all by heart, however
real the made ones look; so here it is asked about pictures that it has not seen.
"""

from typing import NamedTuple

import numpy as np

LEAST = 64
"""Least number of pairs."""
_FOLDS = 10
_PENALTY = 0.001
"""Weight of an error beside the squared weights of the machine. Of 1e-4,
1e-3 and 1e-2 it told completed from whole faces best, 128 to 1,024 of the validation
images."""


class SeparationError(ValueError):
    """Sets cannot be told apart; the message is one line that says why."""


class Scores(NamedTuple):
    """How real each made picture looks to a judge that has seen neither of its pair.

    Attributes:
      unpaired: ``[N]``, the share of the pair that is judged wrongly: 0, 0.5 or 1. The
        mean, U-IDS, is about 0.5 where nothing tells made from real, and 0 where they
        are told apart without an error.
      paired: ``[N]``, 1 where the made picture is judged more real than the real one, 0
        where less, 0.5 where they are alike. The mean, P-IDS, is about 0.5 likewise.
    """

    unpaired: np.ndarray
    paired: np.ndarray


def separate(made: np.ndarray, real: np.ndarray, *, seed: int = 0) -> Scores:
    """Judge pairs of a made and a real picture by cross-validation in ten folds.

    Both pictures of a pair are in one fold. Otherwise the machine would learn that what
    is known of a picture is real, and find it in the made one.

    Args:
      made: ``[N, F]``, the features of made pictures, N at least 64.
      real: ``[N, F]``; row i is the picture of which row i of ``made`` was made.
      seed: Seed of the folds.

    Returns:
      The scores of each pair. Their means fall with N, as the machine learns from more
      pictures: compare them for one N. Between sets of one source they are 0.5, with a
      standard deviation of 0.05 (U-IDS) and 0.07 (P-IDS) for 64 pairs, 0.03 and 0.04
      for 256 (measured on faces).

    Raises:
      SeparationError: There are fewer pairs, or scikit-learn (extra ``figures``) is not
        installed.

    References:
      Zhao et al., Large scale image completion via co-modulated generative adversarial
      networks, ICLR 2021, section 4
    """
    count = len(real)
    if count < LEAST:
        raise SeparationError(f"it takes {LEAST} images, not {count}")
    try:
        from sklearn.svm import LinearSVC
    except ImportError as error:
        raise SeparationError(
            "it needs scikit-learn: pip install 'inpaint_jax[figures]'"
        ) from error
    folds = np.random.default_rng(seed).permutation(count) % _FOLDS
    judged_real, judged_made = np.zeros((2, count))
    for fold in range(_FOLDS):
        asked, learned = folds == fold, folds != fold
        known = np.concatenate([real[learned], made[learned]]).astype(np.float64)
        deviation = known.std(0)
        scale = np.where(deviation > 0, deviation, 1)
        answers = np.repeat([1, 0], learned.sum())
        machine = LinearSVC(C=_PENALTY, dual=False, max_iter=10_000)
        machine.fit((known - known.mean(0)) / scale, answers)
        judged_real[asked], judged_made[asked] = (
            machine.decision_function((each[asked] - known.mean(0)) / scale)
            for each in (real, made)
        )
    wrong = (np.sign(judged_made) - np.sign(judged_real)) / 4 + 0.5
    return Scores(wrong, (np.sign(judged_made - judged_real) + 1) / 2)
