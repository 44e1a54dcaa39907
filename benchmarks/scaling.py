"""Work per device for growing numbers of devices, as counted by the compiler.

    python -m benchmarks.scaling
    python -m benchmarks.scaling --width=32 --batch_size=16 --devices=1,2,4,8,16

Nothing is timed, so no machine with many devices is needed: the same program is
compiled for 1, 2, 4, 8 simulated devices at a fixed number of images per device, and
its operations, bytes and collectives are counted. If a device's work does not grow and
nothing is exchanged, the efficiency is 1, apart from the work of the hosts. Prints a
row of JSON for every program and number of devices.
"""

import functools
import json
import re
from typing import Any

import jax
import jax.numpy as jnp
from absl import flags
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from benchmarks import timing
from experiments.runtime import program
from inpaint_jax import completion, parallel
from inpaint_jax.configs import SEARCHES, Architecture
from inpaint_jax.latents import Uniform
from inpaint_jax.networks import inference
from inpaint_jax.search import batches, strategies
from inpaint_jax.search.objectives import PaperObjective, paper_objective
from inpaint_jax.training import gan, recipes
from inpaint_jax.types import Model, Seen

_WIDTH = flags.DEFINE_integer(
    "width", 64, "Channels of the outermost layer.", lower_bound=1
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 16, "Images per device.", lower_bound=1
)
_DEVICES = flags.DEFINE_list("devices", ["1", "2", "4", "8"], "Numbers of devices.")

_SEARCH = SEARCHES["paper"]
_COLLECTIVES = re.compile(
    r" (?:all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute)"
    r"(?:-start)?\("
)


def main() -> int:
    counts = _counts()
    # Programs from the compilation cache come without an analysis.
    jax.config.update("jax_enable_compilation_cache", False)
    jax.config.update("jax_num_cpu_devices", max(counts))
    for count in counts:
        mesh = parallel.make_mesh(jax.devices()[:count])
        for name, lowered in _programs(mesh).items():
            row = {"program": name, "devices": count, **_count(lowered.compile())}
            print(json.dumps(row), flush=True)
    return 0


def _counts() -> list[int]:
    """The numbers of devices in ``--devices``.

    Raises:
      program.UsageError: They are not whole numbers of at least 1.
    """
    counts = [int(count) for count in _DEVICES.value if count.isdecimal()]
    if not counts or 0 in counts or len(counts) < len(_DEVICES.value):
        raise program.UsageError(
            f"--devices={','.join(_DEVICES.value)}: give numbers of at least 1"
        )
    return counts


def _programs(mesh: Mesh) -> dict[str, jax.stages.Lowered]:
    """The programs to count, for ``--batch_size`` images per device."""
    batch = _BATCH_SIZE.value * mesh.size
    architecture = Architecture(width=_WIDTH.value)
    config = recipes.TrainConfig(architecture=architecture, batch_size=batch)
    split, whole = NamedSharding(mesh, P(parallel.AXIS)), NamedSharding(mesh, P())

    def spread(shapes: Any, sharding: NamedSharding) -> Any:
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), shapes
        )

    strategy = strategies.make_strategy(_SEARCH, Uniform(architecture.latent_size))
    start = functools.partial(batches.start_searches, strategy, config=_SEARCH)
    made = jax.eval_shape(lambda: _make(config))
    state, model, objective = spread(made, whole)
    seen, keys, guided = spread(jax.eval_shape(lambda: _batch(batch)), split)
    searches = jax.eval_shape(start, model, objective, seen, keys, guided)
    pictures = seen.image
    scalar: Any = jax.ShapeDtypeStruct((), jnp.int32, sharding=whole)
    return {
        # The body of a loop is counted once, whatever the number of iterations.
        "search step": batches.advance_searches.lower(
            strategy,
            model,
            objective,
            seen,
            spread(searches, split),
            scalar,
            strategies.Clock(scalar, scalar),
            capacity=batches.CHUNK,
            mesh=mesh,
        ),
        "blend": completion.fill_holes.lower(pictures, pictures, seen.mask, mesh=mesh),
        "training step": gan.train_step.lower(
            state, pictures, config=config, mesh=mesh
        ),
        "training step, batch_norm_groups": gan.train_step.lower(
            state,
            pictures,
            config=recipes.TrainConfig(
                architecture=architecture,
                batch_size=batch,
                batch_norm_groups=mesh.size,
            ),
            mesh=mesh,
        ),
    }


def _make(
    config: recipes.TrainConfig,
) -> tuple[gan.TrainState, Model, PaperObjective]:
    """A training's first state, a model of its networks, and the search's objective."""
    state = gan.init_state(config)
    bind = jax.tree_util.Partial
    of_g = inference.generator_weights(state.average)
    of_d = inference.discriminator_weights(state.discriminator.variables)
    model = Model(
        bind(inference.generate, of_g),
        Uniform(config.architecture.latent_size),
        config.architecture.image_size,
        critic=bind(inference.critic, of_d),
    )
    return state, model, paper_objective(model, _SEARCH)


def _batch(count: int) -> tuple[Seen, jax.Array, jax.Array]:
    """Pictures of a batch, a key for each, and whether encoders may guess."""
    known = jnp.ones((count, 64, 64, 1))
    seen = Seen(jnp.zeros((count, 64, 64, 3)), known, known)
    return seen, jax.random.split(jax.random.key(0), count), jnp.ones(count, bool)


def _count(compiled: jax.stages.Compiled) -> dict[str, float]:
    """Operations, bytes and collectives of one device's part."""
    cost, text = compiled.cost_analysis(), compiled.as_text()
    assert cost is not None  # Every back end used here has both.
    assert text is not None
    return {
        "gflops_a_device": round(cost["flops"] / 1e9, 3),
        "mib_accessed_a_device": round(cost["bytes accessed"] / 2**20, 1),
        **timing.memory(compiled),
        "collectives": len(_COLLECTIVES.findall(text)),
    }


if __name__ == "__main__":
    program.run(main)
