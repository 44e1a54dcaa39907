"""The paper's search in eager PyTorch."""

import jax
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks import peers
from inpaint_jax.configs import SearchConfig

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
      generate: The generator, of ``peers``.
      critic: The discriminator, too; None: there is no adversarial prior loss.
      images: ``[B, S, S, 3]`` in [-1, 1].
      weights: ``[B, S, S, 1]`` W of eq. 3.
      kind: One of ``KINDS``.
      config: Learning rate, and weights of the loss.
      bounded: Whether latents are clipped to [-1, 1].
    """

    def __init__(
        self,
        generate: nn.Module,
        critic: nn.Module | None,
        images: jax.Array,
        weights: jax.Array,
        kind: str,
        config: SearchConfig = _CONFIG,
        *,
        bounded: bool = True,
    ) -> None:
        layout, self._low = KINDS[kind]
        self._images, self._weights = peers.to_torch(images), peers.to_torch(weights)
        self._generate, self._critic = generate, critic
        self._config, self._bounded = config, bounded
        for network in (generate, critic):
            if network is not None:
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
        config = self._config
        optimizer = torch.optim.Adam([z], lr=config.learning_rate)
        best = torch.full((len(z),), torch.inf, dtype=z.dtype)
        best_z = z.detach().clone()
        trace = []
        for _ in range(steps):
            optimizer.zero_grad()
            total = self._losses(z)
            total.sum().backward()
            with torch.no_grad():
                better = total < best
                best = torch.where(better, total, best)
                best_z = torch.where(better[:, None], z, best_z)
            optimizer.step()
            if self._bounded:
                with torch.no_grad():
                    z.clamp_(-1, 1)
            trace.append(total.detach())
        assert z.grad is not None
        return z.grad.numpy(), torch.stack(trace, 1).numpy()

    def _losses(self, z: Tensor) -> Tensor:
        """The total loss of each latent."""
        config = self._config
        with torch.autocast("cpu", self._low, enabled=self._low is not None):
            generated = self._generate(z)
            logits = None if self._critic is None else self._critic(generated)
        difference = (generated.to(z.dtype) - self._images).abs()
        total = (self._weights * difference).sum((1, 2, 3))
        if logits is not None:
            fake = functional.log_softmax(logits.to(z.dtype), 1)[:, 0]
            total = total + config.prior_weight * fake
        return total + config.latent_weight / 2 * z.square().sum(1)
