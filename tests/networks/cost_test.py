"""What the compiled search costs, as its compiler counts it: no timings."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest
from fakes import analytic_model

import inpaint_jax
from inpaint_jax import completion, parallel
from inpaint_jax.configs import SEARCHES, Architecture, SearchConfig
from inpaint_jax.latents import Uniform
from inpaint_jax.networks import inference
from inpaint_jax.search import batches, running, strategies
from inpaint_jax.search.objectives import paper_objective
from inpaint_jax.training import gan, recipes
from inpaint_jax.types import Model, Seen

SPACE = Uniform(100)
STRATEGY = strategies.make_strategy(SearchConfig(), SPACE)
COLLECTIVES = ("all-reduce", "all-gather", "all-to-all", "collective", "reduce-scatter")


def arguments(batch, width, strategy=STRATEGY):
    """Shapes and types of what one step of a batch of searches takes."""

    def make():
        architecture = Architecture(width=width)
        state = gan.init_state(recipes.TrainConfig(architecture=architecture))
        bind = jax.tree_util.Partial
        of_g = inference.generator_weights(state.average)
        of_d = inference.discriminator_weights(state.discriminator.variables)
        known = jnp.ones((batch, 64, 64, 1))
        model = Model(
            bind(inference.generate, of_g),
            SPACE,
            64,
            critic=bind(inference.critic, of_d),
        )
        objective = paper_objective(model, SearchConfig())
        seen = Seen(jnp.zeros((batch, 64, 64, 3)), known, known)
        keys = jax.random.split(jax.random.key(0), batch)
        states = batches.start_searches(
            strategy,
            model,
            objective,
            seen,
            keys,
            jnp.ones(batch, bool),
            config=SearchConfig(),
        )
        clock = strategies.Clock(jnp.asarray(0), jnp.asarray(3))
        return model, objective, seen, states, 3, clock

    return jax.eval_shape(make)


def compiled_step(batch, width):
    return batches.advance_searches.lower(
        STRATEGY, *arguments(batch, width), capacity=batches.CHUNK
    ).compile()


def test_the_discriminator_is_not_asked_at_every_step():
    # Under vmap a branch that depends on the image would become both, and a choice.
    config = replace(SEARCHES["fast"], principal=False)
    searching = strategies.make_strategy(config, SPACE)

    def conditionals(strategy):
        lowered = batches.advance_searches.lower(
            strategy, *arguments(16, 4, strategy), capacity=batches.CHUNK
        )
        return lowered.as_text().count("stablehlo.case")

    assert conditionals(searching) == 1
    assert conditionals(STRATEGY) == 0


@pytest.fixture(scope="module")
def step_of_64():
    """The step for 64 images, the networks of the paper's width."""
    return compiled_step(64, 64)


def test_a_step_has_no_convolution_left(step_of_64):
    text = step_of_64.as_text()
    assert "convolution(" not in text
    assert "lhs_dilate" not in text


def test_temporary_memory_is_bounded(step_of_64):
    # 1.9 MiB an image when this was written, of which the largest arrays (a tile's 36
    # points of 16x16x256) are 0.6 MiB each.
    assert step_of_64.memory_analysis().temp_size_in_bytes / 64 < 2.5 * 2**20


@pytest.mark.slow
def test_temporary_memory_grows_with_the_batch_and_no_faster(step_of_64):
    small, large = (
        step.memory_analysis().temp_size_in_bytes
        for step in (compiled_step(32, 64), step_of_64)
    )
    assert large < 2.1 * small


@pytest.mark.slow
def test_searches_on_several_devices_do_not_talk():
    mesh = parallel.make_mesh()
    steps = batches.advance_searches.lower(
        STRATEGY, *arguments(64, 8), capacity=batches.CHUNK, mesh=mesh
    )
    # A solve ends when its residual is small: every device must find that for itself.
    pictures = jax.ShapeDtypeStruct((64, 64, 64, 3), jnp.float32)
    masks = jax.ShapeDtypeStruct((64, 64, 64, 1), jnp.float32)
    blend = completion.fill_holes.lower(pictures, pictures, masks, mesh=mesh)
    for lowered in (steps, blend):
        text = lowered.compile().as_text()
        assert "num_partitions=8" in text
        assert not [name for name in COLLECTIVES if name in text]


def test_any_number_of_steps_is_traced_once():
    model = analytic_model(size=8, latent_size=4)
    traced = []

    def generate(z):
        traced.append(z)
        return model.generate(z)

    counting = replace(model, generate=generate)
    images = jnp.zeros((2, 8, 8, 3))
    masks = inpaint_jax.make_masks(
        "center", jax.random.split(jax.random.key(0)), (8, 8)
    )

    def run(steps):
        config = SearchConfig(steps=steps)
        key = jax.random.key(0)
        return inpaint_jax.inpaint(counting, images, masks, key, config=config)

    run(1)
    before = len(traced)
    for steps in (2, 64, 65, 200):
        assert run(steps).trace.total.shape == (2, steps + 1)
    assert len(traced) == before


@pytest.mark.slow
def test_an_unbatched_search_still_works():
    # The layers choose their form by the batch; a search of one has none.
    model = inpaint_jax.load_model("celeba64")
    image = jnp.zeros((64, 64, 3))
    mask = jnp.ones((64, 64, 1)).at[16:48, 16:48].set(0)
    seen = Seen(image, mask, inpaint_jax.importance_weights(mask))
    config = SearchConfig(steps=2)
    objective = paper_objective(model, config)
    found = jax.jit(
        lambda key: running.search(
            model.generate,
            lambda z, generated: objective(z, generated, seen),
            key,
            latents=model.latents,
            config=config,
        )
    )(jax.random.key(0))
    assert found.losses.total < found.trace.total[0]
