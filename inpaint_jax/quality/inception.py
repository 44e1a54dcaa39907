"""Fréchet inception distance, for users who have the weights of its network.

The features are those of torch-fidelity, whose network and resizing reproduce the
original program; the distance between them is ``sets.frechet_distance_of``.
"""

import os
import pickle
from collections.abc import Callable

import numpy as np

from inpaint_jax.quality.sets import frechet_distance_of

_LAYER = "2048"
_BATCH = 32

Features = Callable[[np.ndarray], np.ndarray]
"""Images ``[N, H, W, 3]`` uint8 to ``[N, 2048]`` float64."""


class InceptionError(ValueError):
    """The network cannot be loaded; the message is one line that says why."""


def load_features(weights: str | os.PathLike[str]) -> Features:
    """Loads the Inception network's last features as a function of images.

    Args:
      weights: torch-fidelity's file ``weights-inception-2015-12-05-6726825d.pth``.

    Raises:
      InceptionError: The extra ``fid`` is not installed, or the file holds something
        else.
    """
    try:
        import torch
        from torch_fidelity.feature_extractor_inceptionv3 import (
            FeatureExtractorInceptionV3,
        )
    except ImportError as error:
        raise InceptionError(
            "the Fréchet inception distance needs torch-fidelity: pip install "
            "'inpaint_jax[fid]'"
        ) from error
    try:
        # torch-fidelity unpickles whatever the file holds, code included. This call
        # refuses everything but tensors.
        torch.load(weights, map_location="cpu", weights_only=True)
        network = FeatureExtractorInceptionV3(
            "inception-v3-compat", [_LAYER], os.fspath(weights)
        )
    except (
        EOFError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
        pickle.UnpicklingError,
    ) as error:
        reason = str(error).strip().splitlines() or ["it ends too early"]
        raise InceptionError(
            f"{weights} does not hold torch-fidelity's inception weights: "
            f"{reason[0][:120]}"
        ) from error

    def features(images: np.ndarray) -> np.ndarray:
        found = []
        for start in range(0, len(images), _BATCH):
            batch = images[start : start + _BATCH].transpose(0, 3, 1, 2)
            found.append(network(torch.from_numpy(batch.copy()))[0].numpy())
        return np.concatenate(found).astype(np.float64)

    return features


def frechet_inception_distance(
    a: np.ndarray, b: np.ndarray, features: Features
) -> float:
    """FID between two sets of images.

    Args:
      a: ``[N, H, W, 3]`` uint8, N at least 2.
      b: ``[M, H, W, 3]`` uint8, M at least 2.
      features: The result of ``load_features``.

    Returns:
      The distance. With fewer than some 10,000 images in a set it is biased upwards;
      the fewer images there are, the larger is the bias.

    References:
      Heusel et al., GANs trained by a two time-scale update rule converge to a local
      Nash equilibrium, NeurIPS 2017
    """
    return frechet_distance_of(features(a), features(b))
