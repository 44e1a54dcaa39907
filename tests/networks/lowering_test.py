"""What runs on a TPU or a GPU is lowered for them here, where there is neither."""

import functools

import jax
import jax.numpy as jnp
import pytest

from inpaint_jax import completion
from inpaint_jax.configs import SEARCHES, Architecture, SearchConfig
from inpaint_jax.latents import Uniform
from inpaint_jax.networks import inference, linear_part
from inpaint_jax.search import batches, strategies
from inpaint_jax.search.objectives import paper_objective
from inpaint_jax.training import gan, recipes
from inpaint_jax.types import Metric, Model, Seen

PLATFORMS = ("tpu", "cuda")
# No other test's: what was traced for the CPU must not be found again.
ARCHITECTURE = Architecture(latent_size=12, width=8, image_size=32)
BATCH = 4


@pytest.fixture(autouse=True)
def accelerator(monkeypatch):
    """Layers take the form that they have there."""
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")


def lowered(function, *arguments):
    """The text of ``function`` for both platforms, lowered for shapes alone."""
    exported = jax.export.export(jax.jit(function), platforms=PLATFORMS)(*arguments)
    assert exported.platforms == PLATFORMS
    return exported.mlir_module()


def searched(dtype):
    """A model, its objective and what is known of a batch, as shapes."""

    def make():
        config = recipes.TrainConfig(architecture=ARCHITECTURE)
        state = gan.init_state(config)
        bind = jax.tree_util.Partial
        of_g = inference.generator_weights(state.average, dtype)
        of_d = inference.discriminator_weights(state.discriminator.variables, dtype)
        model = Model(
            bind(inference.generate, of_g),
            Uniform(12),
            32,
            critic=bind(inference.critic, of_d),
            metric=Metric(jnp.zeros((8, 8, 12, 12))),
        )
        known = jnp.ones((BATCH, 32, 32, 1))
        seen = Seen(jnp.zeros((BATCH, 32, 32, 3)), known, known)
        return model, paper_objective(model, SearchConfig()), seen

    return jax.eval_shape(make)


@pytest.mark.parametrize("name", list(SEARCHES))
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_the_search(name, dtype):
    strategy = strategies.make_strategy(SEARCHES[name], Uniform(12))
    asked = searched(dtype)
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), BATCH))
    start = functools.partial(batches.start_searches, strategy, config=SEARCHES[name])
    guided = jax.ShapeDtypeStruct((BATCH,), bool)
    states = jax.eval_shape(start, *asked, keys, guided)
    clock = strategies.Clock(*[jax.ShapeDtypeStruct((), jnp.int32)] * 2)
    text = lowered(
        lambda *batch: batches.advance_searches(strategy, *batch, capacity=64),
        *asked,
        states,
        jax.ShapeDtypeStruct((), jnp.int32),
        clock,
    )
    convolutions = [line for line in text.splitlines() if "convolution(" in line]
    assert convolutions
    of_type = "bf16>" if dtype == jnp.bfloat16 else "f32>"
    assert all(of_type in line for line in convolutions)
    # Turning into the principal directions and back is exact, as is Newton's step.
    assert ("HIGHEST" in text) == SEARCHES[name].needs_metric
    lowered(start, *asked, keys, guided)
    lowered(functools.partial(batches.finish_searches, strategy), *asked, states)


def test_the_blend():
    pictures = jax.ShapeDtypeStruct((BATCH, 32, 32, 3), jnp.float32)
    masks = jax.ShapeDtypeStruct((BATCH, 32, 32, 1), jnp.float32)
    text = lowered(completion.fill_holes, pictures, pictures, masks)
    # Rounded products would keep conjugate gradient from converging.
    products = [line for line in text.splitlines() if "stablehlo.dot_general" in line]
    assert products
    assert not [line for line in products if "HIGHEST" not in line]


def test_the_equations_of_a_linear_part():
    decoder = {
        "components": jax.ShapeDtypeStruct((12, 16, 16, 3), jnp.float32),
        "mean": jax.ShapeDtypeStruct((16, 16, 3), jnp.float32),
        "noise": jax.ShapeDtypeStruct((), jnp.float32),
    }
    mask = jax.ShapeDtypeStruct((32, 32, 1), jnp.float32)
    images = jax.ShapeDtypeStruct((BATCH, 32, 32, 3), jnp.float32)
    text = lowered(linear_part.factor, decoder, mask)
    text += lowered(linear_part.evidence, decoder, images, mask)
    # With rounded products the matrix would have negative eigenvalues.
    products = [line for line in text.splitlines() if "stablehlo.dot_general" in line]
    assert len(products) >= 2
    assert not [line for line in products if "HIGHEST" not in line]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_training_step(precision):
    config = recipes.TrainConfig(ARCHITECTURE, batch_size=BATCH, precision=precision)
    state = jax.eval_shape(functools.partial(gan.init_state, config))
    images = jax.ShapeDtypeStruct((BATCH, 32, 32, 3), jnp.float32)
    text = lowered(functools.partial(gan.train_step, config=config), state, images)
    convolutions = [line for line in text.splitlines() if "convolution(" in line]
    assert convolutions
    assert all(("bf16>" in line) == (precision != "float32") for line in convolutions)
