"""One step of the search, compared with the same step in PyTorch and plain JAX.

A step is the forward and backward pass of generator, context loss, discriminator and
prior loss, the best iterate kept, Adam, the clip. All contenders start from the same
latents with the same weights; before anything is timed their losses and gradients are
compared in float64.
"""

import functools
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from benchmarks import timing, tutorial
from inpaint_jax.configs import Architecture, SearchConfig
from inpaint_jax.latents import Uniform
from inpaint_jax.networks import inference
from inpaint_jax.networks.variables import GRID, Variables
from inpaint_jax.search import running, strategies
from inpaint_jax.search.objectives import PaperObjective
from inpaint_jax.training import gan, recipes
from inpaint_jax.types import Critic, Generate, Losses, Seen

_CONFIG = SearchConfig()
_TOLERANCE = 1e-4

_OURS, _TUTORIAL = "inpaint_jax", "jax tutorial"
_IN_JAX = (_OURS, _OURS + " bfloat16", _TUTORIAL)

_Answer = tuple[np.ndarray, np.ndarray]  # Gradient of the last step, losses of all.
_Call = Callable[[int], _Answer]
_Networks = tuple[Generate, Critic]


class Effort(NamedTuple):
    """Effort of the timing.

    Attributes:
      repetitions: Number of timed calls of each contender.
      seconds: Approximate duration of a call, which sets its number of steps, up to
        that of a search.
      tutorial_limit: Largest batch for the tutorials' code, which is slow.
    """

    repetitions: int
    seconds: float
    tutorial_limit: int


def measure(
    architecture: Architecture, batch_sizes: list[int], effort: Effort, peak: float
) -> Iterator[dict[str, Any]]:
    """A row on the agreement of contenders, then one for each batch size and contender.

    Without PyTorch it is left out.

    Args:
      architecture: Sizes of the networks.
      batch_sizes: Numbers of images at once.
      effort: Effort of the timing.
      peak: GFLOP/s of the machine's matrix product.
    """
    state = gan.init_state(recipes.TrainConfig(architecture=architecture))
    variables = state.average, state.discriminator.variables
    yield from compare(architecture, variables)
    flops = search_step_flops(architecture)
    for batch in batch_sizes:
        problem = Problem(architecture, batch)
        names = _names()
        if batch > effort.tutorial_limit:
            names.remove(_TUTORIAL)
        contenders, compiled = problem.contenders(variables, names)
        # As many steps as fit into the time, because a fixed number takes some
        # contenders a hundred times as long as others.
        steps = {
            name: min(max(1, round(effort.seconds / _seconds(call))), _CONFIG.steps)
            for name, call in contenders.items()
        }
        calls = {
            name: functools.partial(call, steps[name])
            for name, call in contenders.items()
        }
        for name, seconds in timing.alternate(calls, effort.repetitions).items():
            each = timing.spread([1e3 * s / steps[name] / batch for s in seconds])
            rate = flops / each["median"] / 1e6
            yield {
                "what": "search step",
                "contender": name,
                "batch": batch,
                "ms_per_image": each,
                "gflops_per_second": round(rate, 1),
                "share_of_peak": round(rate / peak, 3),
                "peak_resident_mib": peak_memory(architecture, variables, batch, name),
                **compiled.get(name, {}),
            }


def _names() -> list[str]:
    """All contenders; those in PyTorch if it is installed."""
    return [*_IN_JAX, *torch_names()]


def torch_names() -> list[str]:
    """The contenders in PyTorch; none if it is not installed."""
    if not timing.has_torch():
        return []
    from benchmarks import torch_search

    return list(torch_search.KINDS)


def peak_memory(
    architecture: Architecture,
    variables: tuple[Variables, Variables],
    batch: int,
    name: str,
) -> int:
    """MiB of memory of a process that only runs two steps of a contender."""
    arrays = jax.device_get(variables)
    return timing.peak_memory(_two_steps, architecture, arrays, batch, name)


def _two_steps(
    architecture: Architecture,
    arrays: tuple[Variables, Variables],
    batch: int,
    name: str,
) -> None:
    variables = jax.tree.map(jnp.asarray, arrays)
    contenders, _ = Problem(architecture, batch).contenders(variables, [name])
    contenders[name](2)


def compare(
    architecture: Architecture, variables: tuple[Variables, Variables]
) -> Iterator[dict[str, Any]]:
    """The agreement of all contenders in losses and gradient in z.

    In float64 they must agree. In float32 rounding changes the gradient by jumps (a
    ReLU near 0 passes its gradient or does not), so only the losses must agree, and the
    median of the gradient's error over images is reported.

    Raises:
      AssertionError: They do not agree.
    """
    with jax.enable_x64(True):
        contenders, _ = Problem(architecture, 16, jnp.float64).contenders(
            jax.tree.map(lambda x: x.astype(jnp.float64), variables),
            [name for name in _names() if "bfloat16" not in name],
        )
        exact = contenders[_TUTORIAL](1)
        for name, call in contenders.items():
            for what, error in _errors(call(1), exact).items():
                assert error.max() < _TOLERANCE, f"{name}: {what} off by {error.max()}"
    contenders, _ = Problem(architecture, 16).contenders(variables, _names())
    for name, call in contenders.items():
        errors = _errors(call(1), exact)
        if "bfloat16" not in name:
            assert errors["total loss"].max() < _TOLERANCE, f"{name}: {errors}"
        yield {
            "what": "search step, error in float32",
            "contender": name,
            **{key: float(f"{np.median(e):.1e}") for key, e in errors.items()},
        }


def _errors(found: _Answer, exact: _Answer) -> dict[str, np.ndarray]:
    """``[B]`` each: relative errors of the losses and of the gradient."""
    return {
        "total loss": np.abs(found[1][:, 0] / exact[1][:, 0] - 1),
        "gradient": np.linalg.norm(found[0] - exact[0], axis=1)
        / np.linalg.norm(exact[0], axis=1),
    }


def search_step_flops(architecture: Architecture) -> float:
    """Operations per step and image: both networks, forward and gradient in the input.

    They are counted for direct convolution, 25 taps per pixel of the smaller side;
    Winograd's algorithm needs fewer.
    """
    channels, side = architecture.width, architecture.image_size // 2
    total = 2 * 25 * side**2 * 3 * channels
    while side > GRID:
        side //= 2
        total += 2 * 25 * side**2 * channels * 2 * channels
        channels *= 2
    dense = 2 * GRID**2 * channels * (architecture.latent_size + 2)
    return 4 * total + 2 * dense


class Problem:
    """Latents, images and weights of one batch size, for all contenders alike."""

    def __init__(
        self, architecture: Architecture, batch: int, dtype: DTypeLike = jnp.float32
    ) -> None:
        keys = jax.random.split(jax.random.key(0), 3)
        side, size = architecture.image_size, architecture.latent_size
        shape = (batch, side, side)
        # Drawn in float32 whatever the dtype, because another would give other values.
        draw = functools.partial(jax.random.uniform, dtype=jnp.float32)
        self.architecture, self.dtype = architecture, dtype
        self.latents = draw(keys[0], (batch, size), minval=-1.0).astype(dtype)
        self.images = draw(keys[1], (*shape, 3), minval=-1.0).astype(dtype)
        self.weights = draw(keys[2], (*shape, 1)).astype(dtype)

    def contenders(
        self, variables: tuple[Variables, Variables], names: Iterable[str]
    ) -> tuple[dict[str, _Call], dict[str, dict[str, Any]]]:
        """Functions of a number of steps, and the cost of compilation, by name."""
        calls: dict[str, _Call] = {}
        compiled: dict[str, dict[str, Any]] = {}
        for name in names:
            if name not in _IN_JAX:
                from benchmarks import peers, torch_search

                search_all = torch_search.TorchSearch(
                    peers.TorchGenerator(variables[0]),
                    peers.TorchDiscriminator(variables[1]),
                    self.images,
                    self.weights,
                    name,
                )
                calls[name] = functools.partial(search_all, self.latents)
                continue
            if name == _TUTORIAL:
                networks = _tutorial(variables)
            else:
                low = "bfloat16" in name
                networks = _prepared(variables, "bfloat16" if low else self.dtype)
            calls[name], compiled[name] = self.in_jax(networks)
        return calls, compiled

    def in_jax(self, networks: _Networks) -> tuple[_Call, dict[str, Any]]:
        """The search itself, batched and compiled."""

        def advance(
            networks: _Networks,
            images: jax.Array,
            weights: jax.Array,
            latents: jax.Array,
            steps: jax.Array,
        ) -> tuple[strategies.BestState, Losses]:
            latent_space = Uniform(self.architecture.latent_size)
            strategy = strategies.make_strategy(_CONFIG, latent_space)
            clock = strategies.Clock(jnp.zeros_like(steps), steps)

            def one(
                image: jax.Array, weight: jax.Array, latent: jax.Array
            ) -> tuple[strategies.BestState, Losses]:
                generate, critic = networks
                objective = PaperObjective(critic, latent_space, _CONFIG.prior_weight)
                seen = Seen(image, jnp.ones_like(weight), weight)
                state, (trace, _) = running.advance(
                    strategy,
                    strategy.init(latent, None),
                    strategies.Problem(generate, lambda z, g: objective(z, g, seen)),
                    steps,
                    clock=clock,
                    capacity=_CONFIG.steps,
                )
                return state, trace

            return jax.vmap(one)(images, weights, latents)

        arguments = (networks, self.images, self.weights, self.latents)
        began = time.perf_counter()
        # Compiled once, for any number of steps.
        executable = jax.jit(advance).lower(*arguments, jnp.asarray(2)).compile()
        seconds = time.perf_counter() - began

        def call(steps: int) -> _Answer:
            found = executable(*arguments, jnp.asarray(steps))
            state, trace = jax.block_until_ready(found)
            # Adam's first moment after one step is a tenth of the gradient.
            moment = np.asarray(state.inner.optimizer.mu)
            return 10 * moment, np.asarray(trace.total)

        compiled = {"compile_seconds": round(seconds, 2), **timing.memory(executable)}
        return call, compiled


def _prepared(variables: tuple[Variables, Variables], dtype: DTypeLike) -> _Networks:
    """This project's networks, ready for a search."""
    of_g = jax.jit(inference.generator_weights, static_argnums=1)
    of_d = jax.jit(inference.discriminator_weights, static_argnums=1)
    bind = jax.tree_util.Partial
    return (
        bind(inference.generate, of_g(variables[0], dtype)),
        bind(inference.critic, of_d(variables[1], dtype)),
    )


def _tutorial(variables: tuple[Variables, Variables]) -> _Networks:
    bind = jax.tree_util.Partial
    return bind(tutorial.generate, variables[0]), bind(tutorial.critic, variables[1])


def _seconds(call: _Call) -> float:
    call(2)  # Warms up.
    began = time.perf_counter()
    call(2)
    return (time.perf_counter() - began) / 2
