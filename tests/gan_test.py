import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import RECIPE

from inpaint_jax import gan
from inpaint_jax.networks import Discriminator, Generator


def batch(seed=0, count=RECIPE.batch_size):
    return jax.random.uniform(
        jax.random.key(seed), (count, 16, 16, 3), minval=-1.0, maxval=1.0
    )


def run(config, steps):
    state = gan.init_state(config)
    for step in range(steps):
        state, metrics = gan.train_step(state, batch(step), config=config)
    return state, metrics


def assert_same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def reference_step(state, images, config):
    """Eq. 1 written down plainly: each loss from scratch, differentiated whole.

    Returns:
      The generator's parameters for each of its losses, and the discriminator's.
    """
    key_flip, key_z = jax.random.split(
        jax.random.fold_in(jax.random.key(config.seed), state.step)
    )
    flipped = jax.random.bernoulli(key_flip, shape=(len(images), 1, 1, 1))
    real = jnp.where(flipped, jnp.flip(images, 2), images) if config.flip else images
    z = gan.sample_latents(key_z, len(images), config.architecture.latent_size)
    optimizer = optax.adam(config.learning_rate, b1=config.beta1)

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

    def updated(network, loss):
        params = network.variables["params"]
        update, _ = optimizer.update(jax.grad(loss)(params), network.optimizer)
        return optax.apply_updates(params, update)

    def d_loss(params):
        fake, _ = g(state.generator.variables["params"])
        return -(log_d(params, real)[:, 1] + log_d(params, fake)[:, 0]).mean()

    d_params = updated(state.discriminator, d_loss)
    g_losses = {
        "non_saturating": lambda params: -log_d(d_params, g(params)[0])[:, 1].mean(),
        "saturating": lambda params: log_d(d_params, g(params)[0])[:, 0].mean(),
    }
    g_params = {name: updated(state.generator, g_losses[name]) for name in g_losses}
    return g_params, d_params


@pytest.fixture(scope="module")
def plainly():
    """A state, images, and what ``reference_step`` makes of them."""
    state, _ = run(RECIPE, 2)
    images = batch(7)
    return state, images, jax.jit(lambda s: reference_step(s, images, RECIPE))(state)


@pytest.mark.parametrize("loss", gan.GENERATOR_LOSSES)
def test_a_step_is_eq_1_written_plainly(plainly, loss):
    state, images, (g_params, d_params) = plainly
    config = dataclasses.replace(RECIPE, generator_loss=loss)
    state, _ = gan.train_step(jax.tree.map(jnp.copy, state), images, config=config)
    for found, expected in (
        (state.generator.variables["params"], g_params[loss]),
        (state.discriminator.variables["params"], d_params),
    ):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6), found, expected
        )


def test_a_run_is_a_function_of_its_seed():
    first, _ = run(RECIPE, 3)
    again, _ = run(RECIPE, 3)
    other, _ = run(dataclasses.replace(RECIPE, seed=1), 3)
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


def test_flips_mirror_about_half_and_change_nothing_else():
    images = batch(count=256)
    flipped = gan.flip_at_random(jax.random.key(0), images)
    same = np.all(np.asarray(flipped == images), axis=(1, 2, 3))
    mirrored = np.all(np.asarray(flipped == images[:, :, ::-1]), axis=(1, 2, 3))
    assert np.all(same ^ mirrored)
    assert 90 < mirrored.sum() < 166


def test_scores_are_probabilities_of_real(tiny_state):
    _, metrics = gan.train_step(
        jax.tree.map(jnp.copy, tiny_state), batch(), config=RECIPE
    )
    assert 0 < metrics.fake_score < 1
    assert 0 < metrics.real_score < 1
    assert metrics.discriminator_loss > 0


def test_latents_fill_the_prior():
    z = np.asarray(gan.sample_latents(jax.random.key(0), 500, 100))
    assert -1 <= z.min() < -0.99
    assert 0.99 < z.max() <= 1
    assert abs(z.mean()) < 0.01
    assert abs(z.var() - 1 / 3) < 0.01


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_is_finite_finds_the_one_bad_number(bad):
    tree = {"a": jnp.ones((3, 3)), "b": (jnp.zeros(2), jnp.arange(3))}
    assert gan.is_finite(tree)
    tree["a"] = tree["a"].at[1, 2].set(bad)
    assert not gan.is_finite(tree)


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
    ],
)
def test_config_refuses(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        gan.TrainConfig(**wrong)
