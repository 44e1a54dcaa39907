"""One training step, compared with the same step in eager PyTorch, if that is there.

A step is the discriminator's loss on real and on generated images and its Adam update,
then the generator's loss through the updated discriminator and its Adam update, all
with batch statistics. Before anything is timed, both do two steps from the same weights
on the same images and latents, and their losses are compared; those of the second step
depend on both updates. Adam's first update is hardly more than the gradient's sign,
which rounding decides for gradients near 0, so after it the losses agree less closely.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import timing
from benchmarks.search_step import search_step_flops, torch_names
from inpaint_jax.configs import Architecture
from inpaint_jax.training import gan, recipes

_TOLERANCES = (1e-3, 1e-2)  # Relative tolerances of the first and the second step.
_ROUNDED = 0.05  # The same where factors are rounded.

_OURS = "inpaint_jax"
_LOW = " bfloat16"
_IN_JAX = (_OURS, _OURS + _LOW)

_Step = Callable[[], np.ndarray]


def measure(
    architecture: Architecture, batch: int, repetitions: int, peak: float
) -> Iterator[dict[str, Any]]:
    """A row for every contender; without PyTorch it is left out."""
    names = [*_IN_JAX, *torch_names()]
    compiled = {name: _compile(_config(architecture, batch, name)) for name in _IN_JAX}
    calls = {name: contender(architecture, batch, name) for name in names}
    for step, tolerance in enumerate(_TOLERANCES):
        expected = calls[_OURS]()
        for name in names[1:]:
            error = np.abs(calls[name]() / expected - 1).max()
            limit = _ROUNDED if _LOW in name else tolerance
            assert error < limit, f"{name}: losses of step {step} differ by {error:.1e}"
    # Eleven passes through a network, while a search step has four. Forward: G once, D
    # on real images, on generated ones, and on these again. Backward: D for weights and
    # inputs on both kinds of image, the updated D for inputs, G for weights and inputs.
    flops = 11 / 4 * search_step_flops(architecture)
    for name, timed in timing.alternate(calls, repetitions).items():
        each = [batch / s for s in timed]
        median = timing.spread(each)["median"]
        yield {
            "what": "training step",
            "contender": name,
            "batch": batch,
            "images_per_second": timing.spread(each, 1),
            "gflops_per_second": round(flops * median / 1e9, 1),
            "share_of_peak": round(flops * median / 1e9 / peak, 3),
            "peak_resident_mib": timing.peak_memory(
                _two_steps, architecture, batch, name
            ),
            **compiled.get(name, {}),
        }


def contender(architecture: Architecture, batch: int, name: str) -> _Step:
    """A training from the first step, a step a call; a step returns both losses."""
    config = _config(architecture, batch, name)
    images = _images(config)
    if name not in _IN_JAX:
        from benchmarks import torch_training

        return torch_training.steps(config, images, name)
    state = gan.init_state(config)

    def step() -> np.ndarray:
        nonlocal state
        state, metrics = gan.train_step(state, images, config=config)
        jax.block_until_ready(state)
        return np.array([metrics.discriminator_loss, metrics.generator_loss])

    return step


def _two_steps(architecture: Architecture, batch: int, name: str) -> None:
    step = contender(architecture, batch, name)
    step()
    step()


def _config(architecture: Architecture, batch: int, name: str) -> recipes.TrainConfig:
    # Without flips, which PyTorch's step does not have.
    config = recipes.TrainConfig(architecture, batch_size=batch, flip=False)
    low = name == _OURS + _LOW
    return dataclasses.replace(config, precision="bfloat16") if low else config


def _images(config: recipes.TrainConfig) -> jax.Array:
    side = config.architecture.image_size
    shape = config.batch_size, side, side, 3
    return jax.random.uniform(jax.random.key(1), shape, jnp.float32, minval=-1.0)


def _compile(config: recipes.TrainConfig) -> dict[str, Any]:
    """The cost of compilation."""
    began = time.perf_counter()
    state = gan.init_state(config)
    compiled = gan.train_step.lower(state, _images(config), config=config).compile()
    seconds = time.perf_counter() - began
    return {"compile_seconds": round(seconds, 2), **timing.memory(compiled)}
