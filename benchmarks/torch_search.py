"""The paper's search in eager PyTorch."""

import jax
import numpy as np
import torch
from torch.nn import functional

from benchmarks import peers
from inpaint_jax.configs import Architecture, SearchConfig
from inpaint_jax.networks.variables import Variables

_CONFIG = SearchConfig()

KINDS = {
    "torch": (torch.contiguous_format, None),
    "torch channels_last": (torch.channels_last, None),
    "torch bfloat16": (torch.channels_last, torch.bfloat16),
}
"""Contenders by name, with their memory layout and the type for autocast, if any."""


class TorchSearch:
    """A batch of searches with this project's weights.

    Args:
      architecture: Sizes of both networks.
      variables: Variables of generator and discriminator.
      images: ``[B, S, S, 3]`` in [-1, 1].
      weights: ``[B, S, S, 1]`` W of eq. 3.
      kind: One of ``KINDS``.
    """

    def __init__(
        self,
        architecture: Architecture,
        variables: tuple[Variables, Variables],
        images: jax.Array,
        weights: jax.Array,
        kind: str,
    ) -> None:
        layout, self._low = KINDS[kind]
        self._images, self._weights = peers.to_torch(images), peers.to_torch(weights)
        self._generate = peers.TorchGenerator(architecture, variables[0])
        self._critic = peers.TorchDiscriminator(variables[1])
        for network in (self._generate, self._critic):
            network.eval().requires_grad_(False).to(self._images.dtype)
            network.to(memory_format=layout)

    def __call__(
        self, latents: jax.Array | np.ndarray, steps: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Searches from ``latents`` ``[B, L]``.

        Returns:
          The gradient of the last step ``[B, L]``, and the total losses
          ``[B, steps]`` at every iterate but the last.
        """
        z = torch.from_numpy(np.array(latents)).requires_grad_()
        optimizer = torch.optim.Adam([z], lr=_CONFIG.learning_rate)
        best = torch.full((len(z),), torch.inf, dtype=z.dtype)
        best_z = z.detach().clone()
        trace = []
        for _ in range(steps):
            optimizer.zero_grad()
            with torch.autocast("cpu", self._low, enabled=self._low is not None):
                generated = self._generate(z)
                logits = self._critic(generated)
            difference = (generated.to(z.dtype) - self._images).abs()
            total = (self._weights * difference).sum((1, 2, 3))
            fake = functional.log_softmax(logits.to(z.dtype), 1)[:, 0]
            total = total + _CONFIG.prior_weight * fake
            total.sum().backward()
            with torch.no_grad():
                better = total < best
                best = torch.where(better, total, best)
                best_z = torch.where(better[:, None], z, best_z)
            optimizer.step()
            with torch.no_grad():
                z.clamp_(-1, 1)
            trace.append(total.detach())
        assert z.grad is not None
        return z.grad.numpy(), torch.stack(trace, 1).numpy()
