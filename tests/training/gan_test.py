from dataclasses import replace

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import RECIPE, TINY

from inpaint_jax import parallel
from inpaint_jax.networks.dcgan import Discriminator, Generator
from inpaint_jax.training import gan, recipes, updates


def batch(seed=0, count=RECIPE.batch_size):
    return jax.random.uniform(
        jax.random.key(seed), (count, 16, 16, 3), minval=-1.0, maxval=1.0
    )


def run(config, steps):
    state = gan.init_state(config)
    for step in range(steps):
        images = batch(step, config.batch_size)
        state, metrics = gan.train_step(state, images, config=config)
    return state, metrics


def assert_same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def reference_step(state, images, config):
    """Eq. 1 written down plainly: each loss from scratch, differentiated whole.

    Returns:
      The generator's parameters for each of its losses, and the discriminator's.
    """
    key_steps = jax.random.split(jax.random.key(config.seed), 3)[2]
    key = jax.random.fold_in(key_steps, state.step)
    key_flip, key_z = jax.random.split(key)
    flips = [jax.random.bernoulli(k) for k in jax.random.split(key_flip, len(images))]
    flipped = jnp.stack(flips)[:, None, None, None]
    real = jnp.where(flipped, jnp.flip(images, 2), images) if config.flip else images
    z = gan.sample_latents(key_z, len(images), config.architecture.latent_size)
    optimizer = optax.adam(config.learning_rate, b1=config.beta1)
    d_optimizer = optax.adam(
        config.discriminator_learning_rate or config.learning_rate, b1=config.beta1
    )

    def g(params):
        variables = {**state.generator.variables, "params": params}
        return Generator(config.architecture).apply(
            variables, z, train=True, mutable=["batch_stats"]
        )

    def log_d(params, image):
        variables = {**state.discriminator.variables, "params": params}
        logits, _ = Discriminator(config.architecture).apply(
            variables, image, train=True, mutable=["batch_stats"]
        )
        return jax.nn.log_softmax(logits)

    def updated(network, loss, optimizer):
        params = network.variables["params"]
        update, _ = optimizer.update(jax.grad(loss)(params), network.optimizer)
        return optax.apply_updates(params, update)

    def d_loss(params):
        fake, _ = g(state.generator.variables["params"])
        return -(log_d(params, real)[:, 1] + log_d(params, fake)[:, 0]).mean()

    d_params = updated(state.discriminator, d_loss, d_optimizer)

    def log_judged(params):
        return log_d(d_params, g(params)[0])

    g_losses = {
        "non_saturating": lambda params: -log_judged(params)[:, 1].mean(),
        "saturating": lambda params: log_judged(params)[:, 0].mean(),
    }
    g_params = {
        name: updated(state.generator, g_losses[name], optimizer) for name in g_losses
    }
    g_before = state.generator.variables["params"]
    d_before = state.discriminator.variables["params"]
    figures = {
        "discriminator_loss": d_loss(d_before),
        "generator_loss": {name: loss(g_before) for name, loss in g_losses.items()},
        "real_score": jnp.exp(log_d(d_before, real)[:, 1]).mean(),
        "fake_score": jnp.exp(log_d(d_before, g(g_before)[0])[:, 1]).mean(),
    }
    return g_params, d_params, figures


reference_step = jax.jit(reference_step, static_argnames="config")


CHANGED = replace(RECIPE, discriminator_learning_rate=1e-4, flip=False)


@pytest.mark.parametrize(
    "config",
    [RECIPE, replace(RECIPE, generator_loss="saturating"), CHANGED],
    ids=["paper", "saturating", "changed"],
)
def test_a_step_is_eq_1_written_plainly(tiny_state, config):
    state = tiny_state._replace(step=jnp.asarray(2, jnp.int32))
    images = batch(7)
    # The reference gives both losses' parameters at once: one compilation.
    recipe = replace(config, generator_loss=RECIPE.generator_loss)
    g_params, d_params, figures = reference_step(state, images, recipe)
    figures["generator_loss"] = figures["generator_loss"][config.generator_loss]
    state, metrics = gan.train_step(
        jax.tree.map(jnp.copy, state), images, config=config
    )
    for name, figure in metrics._asdict().items():
        np.testing.assert_allclose(figure, figures[name], rtol=1e-4, err_msg=name)
    for found, expected in (
        (state.generator.variables["params"], g_params[config.generator_loss]),
        (state.discriminator.variables["params"], d_params),
    ):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6), found, expected
        )


def test_a_run_is_a_function_of_its_seed():
    first, _ = run(RECIPE, 3)
    again, _ = run(RECIPE, 3)
    other, _ = run(replace(RECIPE, seed=1), 3)
    assert_same(first, again)
    kernels = [jax.tree.leaves(s.generator.variables)[0] for s in (first, other)]
    assert not np.allclose(*kernels)


def test_the_average_is_the_warmed_up_moving_average():
    state = gan.init_state(RECIPE)
    expected = jax.tree.map(np.asarray, state.average)
    for step in range(4):
        state, _ = gan.train_step(state, batch(step), config=RECIPE)
        decay = min(0.25, (1 + step) / (10 + step))
        expected = jax.tree.map(
            lambda old, new, d=decay: d * old + (1 - d) * np.asarray(new),
            expected,
            state.generator.variables,
        )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
        state.average,
        expected,
    )


def equations(jaxpr):
    """All equations of a program and of the programs within it."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            yield from equations(inner)


@pytest.mark.slow
def test_products_have_bfloat16_factors_and_nothing_else_is_rounded():
    config = replace(RECIPE, precision="bfloat16")
    state, metrics = run(config, 2)
    for leaf in jax.tree.leaves((state, metrics)):
        assert leaf.dtype in (jnp.float32, jnp.int32)
    step = jax.make_jaxpr(lambda s, x: gan.train_step(s, x, config=config))
    products = [
        equation
        for equation in equations(step(gan.init_state(config), batch()).jaxpr)
        if equation.primitive.name == "dot_general"
    ]
    assert products
    for product in products:
        assert {str(each.aval.dtype) for each in product.invars} == {"bfloat16"}
        assert {str(each.aval.dtype) for each in product.outvars} == {"float32"}
    # Close to float32, and not the same.
    _, exact = run(RECIPE, 2)
    for found, expected in zip(metrics, exact, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0.1)
        assert found != expected


GROUPED = replace(RECIPE, batch_norm_groups=4)


@pytest.mark.parametrize(
    ("config", "devices"),
    [(RECIPE, 8), (replace(CHANGED, batch_size=16), 8), (GROUPED, 2)],
)
@pytest.mark.slow
def test_many_devices_are_as_good_as_one(config, devices):
    mesh = parallel.make_mesh(jax.devices()[:devices])
    state = parallel.replicate(gan.init_state(config), mesh)
    for step in range(3):
        images = parallel.place(batch(step, config.batch_size), mesh)
        state, metrics = gan.train_step(state, images, config=config, mesh=mesh)
    for leaf in jax.tree.leaves(state):
        assert leaf.is_fully_replicated
        assert len(leaf.devices()) == devices
    # Adam divides a gradient by its own size, so where one is nothing but rounding the
    # step is as large as any other: a few parameters may be a step apart.
    ends = [jax.tree.leaves(end) for end in ((state, metrics), run(config, 3))]
    for a, b in zip(*map(jax.device_get, ends), strict=True):
        assert np.mean(np.abs(a - b) > 1e-5 + 1e-4 * np.abs(b)) < 0.01
        np.testing.assert_allclose(a, b, atol=2e-3, rtol=1e-2)


@pytest.mark.slow
def test_batch_norm_in_groups_is_that_of_smaller_batches():
    network = Discriminator(TINY)
    variables = network.init(jax.random.key(0), batch(0), train=True)
    found, statistics = updates.apply(
        network, variables, variables["params"], batch(0), groups=4
    )
    parts = [
        updates.apply(network, variables, variables["params"], part)
        for part in np.split(batch(0), 4)
    ]
    np.testing.assert_allclose(found, np.concatenate([p[0] for p in parts]), atol=1e-5)
    for mean, *each in zip(
        *map(jax.tree.leaves, (statistics, *(p[1] for p in parts))), strict=True
    ):
        np.testing.assert_allclose(mean, np.mean(each, axis=0), atol=1e-6)


@pytest.mark.slow
def test_a_device_does_its_share_and_no_more():
    alone = gan.train_step.lower(gan.init_state(RECIPE), batch(), config=RECIPE)
    flops = alone.compile().cost_analysis()["flops"]

    def compiled(config):
        mesh = parallel.make_mesh(jax.devices()[:4])
        state = parallel.replicate(gan.init_state(config), mesh)
        images = parallel.place(batch(count=32), mesh)
        lowered = gan.train_step.lower(state, images, config=config, mesh=mesh)
        return lowered.compile()

    together = compiled(replace(RECIPE, batch_size=32))
    apart = compiled(replace(RECIPE, batch_size=32, batch_norm_groups=4))
    # Adam's work, which every device does, is as much for this tiny network.
    assert together.cost_analysis()["flops"] < 1.5 * flops
    assert "all-gather" not in together.as_text()

    def exchanges(step):
        return step.as_text().count(" all-reduce(")

    assert 0 < exchanges(apart) < exchanges(together)


def test_groups_must_suit_the_devices():
    mesh = parallel.make_mesh(jax.devices()[:4])
    config = replace(RECIPE, batch_norm_groups=2)
    with pytest.raises(ValueError, match="a multiple of the 4 devices, not 2"):
        gan.train_step(gan.init_state(config), batch(), config=config, mesh=mesh)
    with pytest.raises(ValueError, match="batch_norm_groups must divide batch_size 8"):
        replace(RECIPE, batch_norm_groups=8)


def test_latents_fill_the_prior():
    z = np.asarray(gan.sample_latents(jax.random.key(0), 500, 100))
    assert -1 <= z.min() < -0.99
    assert 0.99 < z.max() <= 1
    assert abs(z.mean()) < 0.01
    assert abs(z.var() - 1 / 3) < 0.01


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_is_finite_finds_the_one_bad_number(bad):
    tree = {"a": jnp.ones((3, 3)), "b": (jnp.zeros(2), jnp.arange(3))}
    assert updates.is_finite(tree)
    tree["a"] = tree["a"].at[1, 2].set(bad)
    assert not updates.is_finite(tree)


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch_size": 1},
        {"learning_rate": -1.0},
        {"learning_rate": float("nan")},
        {"ema_decay": 1.0},
        {"beta1": 1.0},
        {"seed": -1},
        {"generator_loss": "hinge"},
        {"discriminator_learning_rate": 0.0},
        {"precision": "float16"},
    ],
)
def test_config_refuses(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        recipes.TrainConfig(**wrong)
