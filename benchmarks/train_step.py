"""One training step, compared with the same step in eager PyTorch.

A step is the discriminator's loss on real and on generated images and its Adam update,
then the generator's loss through the updated discriminator and its Adam update, all
with batch statistics. Before anything is timed, both do two steps from the same weights
on the same images and latents, and their losses are compared; those of the second step
depend on both updates. Adam's first update is hardly more than the gradient's sign,
which rounding decides for gradients near 0, so after it the losses agree less closely.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch.nn import functional

from benchmarks import peers, timing
from benchmarks.search_step import search_step_flops
from inpaint_jax.training import gan, recipes
from inpaint_jax.types import Architecture

_TOLERANCES = (1e-3, 1e-2)  # Relative tolerances of the first and the second step.


def measure(
    architecture: Architecture, batch: int, repetitions: int, peak: float
) -> Iterator[dict[str, Any]]:
    """A row for every contender."""
    # Without flips, which PyTorch's step does not have.
    config = recipes.TrainConfig(
        architecture=architecture, batch_size=batch, flip=False
    )
    side = architecture.image_size
    images = jax.random.uniform(jax.random.key(1), (batch, side, side, 3), minval=-1.0)
    began = time.perf_counter()
    state = gan.init_state(config)
    compiled = gan.train_step.lower(state, images, config=config).compile()
    seconds = time.perf_counter() - began
    ours, theirs, channels_last = (
        _in_jax(config, images),
        _in_torch(config, images, torch.contiguous_format),
        _in_torch(config, images, torch.channels_last),
    )
    for step, tolerance in enumerate(_TOLERANCES):
        error = np.abs(ours() / theirs() - 1).max()
        assert error < tolerance, f"losses of step {step} differ by {error:.1e}"
    # Eleven passes through a network, while a search step has four. Forward: G once, D
    # on real images, on generated ones, and on these again. Backward: D for weights and
    # inputs on both kinds of image, the updated D for inputs, G for weights and inputs.
    flops = 11 / 4 * search_step_flops(architecture)
    calls = {
        "inpaint_jax": ours,
        "torch": theirs,
        "torch channels_last": channels_last,
    }
    for name, timed in timing.alternate(calls, repetitions).items():
        each = [batch / s for s in timed]
        median = timing.spread(each)["median"]
        row = {
            "what": "training step",
            "contender": name,
            "batch": batch,
            "images_per_second": timing.spread(each, 1),
            "gflops_per_second": round(flops * median / 1e9, 1),
            "share_of_peak": round(flops * median / 1e9 / peak, 3),
        }
        if name == "inpaint_jax":
            row["compile_seconds"] = round(seconds, 2)
            row |= timing.memory(compiled)
        yield row


def _in_jax(config: recipes.TrainConfig, images: jax.Array) -> Callable[[], np.ndarray]:
    state = gan.init_state(config)

    def step() -> np.ndarray:
        nonlocal state
        state, metrics = gan.train_step(state, images, config=config)
        jax.block_until_ready(state)
        return np.array([metrics.discriminator_loss, metrics.generator_loss])

    return step


def _in_torch(
    config: recipes.TrainConfig, images: jax.Array, layout: torch.memory_format
) -> Callable[[], np.ndarray]:
    state = gan.init_state(config)
    generator = peers.TorchGenerator(config.architecture, state.generator.variables)
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

    def step() -> np.ndarray:
        nonlocal count
        key = gan.step_keys(config, jnp.asarray(count)).latents
        z = torch.from_numpy(np.array(gan.sample_latents(key, len(real), size)))
        count += 1
        fake = generator(z)
        of_d.zero_grad()
        on_real = functional.log_softmax(discriminator(real), 1)[:, 1]
        on_fake = functional.log_softmax(discriminator(fake.detach()), 1)[:, 0]
        d_loss = -on_real.mean() - on_fake.mean()
        d_loss.backward()
        of_d.step()
        of_g.zero_grad()
        discriminator.requires_grad_(False)
        g_loss = -functional.log_softmax(discriminator(fake), 1)[:, 1].mean()
        g_loss.backward()
        discriminator.requires_grad_(True)
        of_g.step()
        return np.array([d_loss.item(), g_loss.item()])

    return step
