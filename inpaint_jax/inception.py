"""Fréchet inception distance, for whoever has the weights of its network.

The features are torch-fidelity's, whose network and resizing reproduce those of the
original program; the distance between them is ``metrics.frechet_distance``.
"""

import os
import pickle

import numpy as np

from inpaint_jax.metrics import frechet_distance

_FEATURES = "2048"
_BATCH = 32


class InceptionError(ValueError):
    """The distance cannot be computed; the message is one line that says why."""


def frechet_inception_distance(
    a: np.ndarray, b: np.ndarray, weights: str | os.PathLike[str]
) -> float:
    """FID between two sets of images.

    Args:
      a: ``[N, H, W, 3]`` uint8.
      b: ``[M, H, W, 3]`` uint8.
      weights: ``weights-inception-2015-12-05-6726825d.pth`` as torch-fidelity publishes
        it.

    Returns:
      The distance. With fewer than some 10,000 images a set it is biased upwards, the
      more the fewer.

    Raises:
      InceptionError: The extra ``fid`` is not installed, or the file is of something
        else.

    References:
      Heusel et al., GANs trained by a two time-scale update rule converge to a local
      Nash equilibrium, NeurIPS 2017
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
        # torch-fidelity unpickles whatever the file holds, code included; this refuses
        # everything but tensors.
        torch.load(weights, map_location="cpu", weights_only=True)
        network = FeatureExtractorInceptionV3(
            "inception-v3-compat", [_FEATURES], os.fspath(weights)
        )
    except (OSError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else "unreadable"
        raise InceptionError(
            f"{weights} does not hold torch-fidelity's inception weights: {reason}"
        ) from error

    def statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        batches = [images[i : i + _BATCH] for i in range(0, len(images), _BATCH)]
        tensors = (torch.from_numpy(batch.transpose(0, 3, 1, 2)) for batch in batches)
        features = np.concatenate([network(batch)[0].numpy() for batch in tensors])
        features = features.astype(np.float64)
        return features.mean(0), np.cov(features, rowvar=False)

    return frechet_distance(*statistics(a), *statistics(b))
