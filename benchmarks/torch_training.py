"""The DCGAN's training in eager PyTorch."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch.nn import functional

from benchmarks import peers
from benchmarks.torch_search import KINDS
from inpaint_jax.training import gan, recipes


def steps(
    config: recipes.TrainConfig, images: jax.Array, kind: str
) -> Callable[[], np.ndarray]:
    """A training from the weights of ``gan.init_state``, a step a call.

    Args:
      config: The recipe.
      images: ``[B, S, S, 3]`` in [-1, 1], the same at every step.
      kind: One of ``torch_search.KINDS``.

    Returns:
      A function that makes a step and returns the losses of discriminator and
      generator.
    """
    layout, low = KINDS[kind]
    state = gan.init_state(config)
    generator = peers.TorchGenerator(state.generator.variables)
    discriminator = peers.TorchDiscriminator(state.discriminator.variables)
    networks = generator, discriminator
    of_g, of_d = (
        torch.optim.Adam(
            network.to(memory_format=layout).parameters(),
            config.learning_rate,
            (config.beta1, 0.999),
        )
        for network in networks
    )
    real = peers.to_torch(images)
    size = config.architecture.latent_size
    count = 0

    def judge(images: torch.Tensor, outcome: int) -> torch.Tensor:
        with torch.autocast("cpu", low, enabled=low is not None):
            logits = discriminator(images)
        return functional.log_softmax(logits.to(images.dtype), 1)[:, outcome].mean()

    def step() -> np.ndarray:
        nonlocal count
        key = gan.step_keys(config, jnp.asarray(count)).latents
        z = torch.from_numpy(np.array(gan.sample_latents(key, len(real), size)))
        count += 1
        with torch.autocast("cpu", low, enabled=low is not None):
            fake = generator(z)
        fake = fake.to(z.dtype)
        of_d.zero_grad()
        d_loss = -judge(real, 1) - judge(fake.detach(), 0)
        d_loss.backward()
        of_d.step()
        of_g.zero_grad()
        discriminator.requires_grad_(False)
        g_loss = -judge(fake, 1)
        g_loss.backward()
        discriminator.requires_grad_(True)
        of_g.step()
        return np.array([d_loss.item(), g_loss.item()])

    return step
