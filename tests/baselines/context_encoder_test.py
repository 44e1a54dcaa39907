"""The context encoder against one written down plainly, and its training."""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import CONTEXT_ENCODER as CONFIG
from conftest import random_weights
from jax import lax

from inpaint_jax import masks, parallel
from inpaint_jax.baselines import context_encoder
from inpaint_jax.baselines.context_encoder import (
    ContextEncoderConfig,
    context_encoder_fill,
)
from inpaint_jax.networks.dcgan import Discriminator
from inpaint_jax.training.updates import Network

SIZE = 16
COLOR = np.array([0.1, -0.2, 0.3], np.float32)


def batch(seed=0):
    """Smooth images, as there must be something to learn."""
    random = np.random.default_rng(seed)
    coarse = jnp.asarray(random.uniform(-1, 1, (8, 3, 3, 3)), jnp.float32)
    return jax.image.resize(coarse, (8, SIZE, SIZE, 3), "linear")


def run(state, steps, config=CONFIG):
    state = jax.tree.map(jnp.copy, state)
    for step in range(steps):
        state, metrics = context_encoder.train_step(state, batch(step), config=config)
    return state, metrics


@pytest.fixture(scope="module")
def start():
    like = jax.eval_shape(lambda: context_encoder.init_state(CONFIG, COLOR))
    network, discriminator = (
        Network(variables, optax.adam(0.0).init(variables["params"]))
        for variables in map(random_weights, (like.network[0], like.discriminator[0]))
    )
    return context_encoder.ContextEncoderState(
        jnp.zeros((), jnp.int32),
        network,
        discriminator,
        network.variables,
        jnp.asarray(COLOR),
    )


@pytest.fixture(scope="module")
def trained(start):
    """Adam knows the size of gradients, so that a step says something of them."""
    state, _ = run(start, 3)
    return state


def reference_network(variables, x, train):
    """``[B, S, S, 3]`` to images of that shape, by the convolutions of lax alone."""
    params, norms = variables["params"], iter(range(9))
    dimensions = ("NHWC", "HWIO", "NHWC")

    def normalise(x):
        name = f"_BatchNorm_{next(norms)}"
        affine = params[name]["BatchNorm_0"]
        axes = tuple(range(x.ndim - 1))
        mean, var = x.mean(axes), x.var(axes)
        if not train:
            running = variables["batch_stats"][name]["BatchNorm_0"]
            mean, var = running["mean"], running["var"]
        x = (x - mean) / jnp.sqrt(var + 1e-5)
        return x * affine["scale"] + affine["bias"]

    def leaky(x):
        return jnp.where(x > 0, x, 0.2 * x)

    for layer in range(3):  # 16, 8, 4 and 2 pixels a side.
        own = params[f"_Convolution_{layer}"]
        x = lax.conv_general_dilated(
            x, own["kernel"], (2, 2), "SAME", dimension_numbers=dimensions
        )
        x = leaky(x + own["bias"] if layer == 0 else normalise(x))
    shape = x.shape
    assert shape[1:] == (2, 2, 8)
    x = leaky(normalise(x.reshape(len(x), -1) @ params["Dense_0"]["kernel"]))
    x = jax.nn.relu(normalise(x @ params["Dense_1"]["kernel"])).reshape(shape)
    for layer in range(3, 6):
        own = params[f"_Convolution_{layer}"]
        x = lax.conv_transpose(
            x, own["kernel"], (2, 2), "SAME", dimension_numbers=dimensions
        )
        x = jnp.tanh(x + own["bias"]) if layer == 5 else jax.nn.relu(normalise(x))
    return x


@functools.partial(jax.jit, static_argnames="config")
def reference_step(state, images, config):
    """Each loss from scratch, differentiated whole.

    Returns:
      The parameters of network and discriminator, and the figures.
    """
    key = jax.random.fold_in(jax.random.key(config.seed), state.step)
    key_flip, key_mask = jax.random.split(key)
    flips = [jax.random.bernoulli(k) for k in jax.random.split(key_flip, len(images))]
    flipped = jnp.stack(flips)[:, None, None, None]
    images = jnp.where(flipped, jnp.flip(images, 2), images)
    known = masks.masks_in_turn(
        tuple(context_encoder.MASKS.values()), key_mask, len(images), images.shape[1:3]
    )

    def complete(params):
        variables = {**state.network.variables, "params": params}
        seen = known * images + (1 - known) * state.color
        filled = reference_network(variables, seen, train=True)
        return known * images + (1 - known) * filled

    def log_d(params, image):
        variables = {**state.discriminator.variables, "params": params}
        logits, _ = Discriminator(config.discriminator_architecture).apply(
            variables, image, train=True, mutable=["batch_stats"]
        )
        return jax.nn.log_softmax(logits)

    def d_loss(params):
        completed = complete(state.network.variables["params"])
        return -(log_d(params, images)[:, 1] + log_d(params, completed)[:, 0]).mean()

    def updated(network, gradient, rate):
        params = network.variables["params"]
        optimizer = optax.adam(rate, b1=config.beta1)
        update, _ = optimizer.update(gradient, network.optimizer)
        return optax.apply_updates(params, update)

    before = state.discriminator.variables["params"]
    of_discriminator, gradient = jax.value_and_grad(d_loss)(before)
    d_params = updated(state.discriminator, gradient, config.learning_rate / 10)

    def losses(params):
        completed = complete(params)
        errors = ((completed - images) ** 2 * (1 - known)).sum((1, 2, 3))
        hole = (errors / (3 * (1 - known).sum((1, 2, 3)))).mean()
        adversarial = -log_d(d_params, completed)[:, 1].mean()
        weight = config.adversarial_weight
        return (1 - weight) * hole + weight * adversarial, (hole, adversarial)

    before = state.network.variables["params"]
    gradient, figures = jax.grad(losses, has_aux=True)(before)
    params = updated(state.network, gradient, config.learning_rate)
    return params, d_params, (*figures, of_discriminator)


@pytest.mark.slow
def test_a_step_is_that_of_the_plain_formula(trained):
    images = batch(7)
    params, d_params, figures = reference_step(trained, images, CONFIG)
    state, metrics = context_encoder.train_step(
        jax.tree.map(jnp.copy, trained), images, config=CONFIG
    )
    np.testing.assert_allclose(metrics, figures, rtol=1e-4)
    assert int(state.step) == 4
    np.testing.assert_array_equal(state.color, COLOR)
    for found, expected, rate in (
        (state.network, params, 2e-3),
        (state.discriminator, d_params, 2e-4),
    ):
        jax.tree.map(
            functools.partial(np.testing.assert_allclose, atol=0.01 * rate, rtol=0),
            found.variables["params"],
            expected,
        )


def test_the_average_follows_the_network(trained):
    state, _ = run(trained, 1)
    decay = min(0.25, 4 / 13)
    jax.tree.map(
        lambda found, old, new: np.testing.assert_allclose(
            found, decay * old + (1 - decay) * new, rtol=1e-5, atol=1e-6
        ),
        state.average,
        trained.average,
        state.network.variables,
    )


@pytest.mark.slow
def test_it_fills_what_is_painted_over_with_the_networks_pixels(trained):
    images = batch(7)
    # Of a network that does not forget what it sees on the way.
    lively = jax.tree.map(lambda x: 2 * x, random_weights(trained.average))
    known = np.random.default_rng(0).integers(0, 2, (8, SIZE, SIZE, 1))
    painted = jnp.where(known == 1, images, COLOR)
    filled = jax.jit(functools.partial(reference_network, train=False))(lively, painted)
    fill = context_encoder_fill(lively, COLOR)
    found = fill(jnp.where(known == 1, images, jnp.nan), known, None)
    np.testing.assert_allclose(found, jnp.where(known == 1, images, filled), atol=1e-5)
    assert jnp.abs(filled - filled[:1]).max() > 0.01


def test_one_batch_over_and_over_is_learnt(start):
    state, images, losses = jax.tree.map(jnp.copy, start), batch(), []
    for _ in range(150):
        state, metrics = context_encoder.train_step(state, images, config=CONFIG)
        losses.append(float(metrics.hole_loss))
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])


@pytest.mark.slow
def test_many_devices_are_as_good_as_one(trained):
    mesh = parallel.make_mesh(jax.devices()[:2])
    state, metrics = context_encoder.train_step(
        parallel.replicate(trained, mesh),
        parallel.place(batch(0), mesh),
        config=CONFIG,
        mesh=mesh,
    )
    ends = [jax.tree.leaves(end) for end in ((state, metrics), run(trained, 1))]
    for found, expected in zip(*map(jax.device_get, ends), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-3)


def test_it_is_trained_on_the_papers_masks():
    names = ("center", "pattern", "random80", "half")
    key = jax.random.key(0)
    for function, name in zip(context_encoder.MASKS.values(), names, strict=True):
        expected = masks.mask_function(name)(key, (SIZE, SIZE))
        np.testing.assert_array_equal(function(key, (SIZE, SIZE)), expected)


def test_the_papers_sizes():
    config = ContextEncoderConfig()
    state = jax.eval_shape(lambda: context_encoder.init_state(config, COLOR))
    shapes = {
        name: leaf["kernel"].shape
        for name, leaf in state.network.variables["params"].items()
        if "kernel" in leaf
    }
    layers = ((3, 64), (64, 64), (64, 128), (128, 256), (256, 512))
    up = ((512, 256), (256, 128), (128, 64), (64, 64), (64, 3))
    assert shapes == {
        **{f"_Convolution_{i}": (4, 4, *s) for i, s in enumerate(layers + up)},
        "Dense_0": (2048, 4000),
        "Dense_1": (4000, 2048),
    }
    found = context_encoder.architecture_of(state.average, 64)
    assert found == config.architecture


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch_size": 1},
        {"learning_rate": 0.0},
        {"ema_decay": 1.0},
        {"beta1": -0.1},
        {"seed": -1},
        {"discriminator_width": 0},
        {"adversarial_weight": -0.1},
        {"adversarial_weight": 1.1},
        {"adversarial_weight": float("nan")},
    ],
)
def test_config_refuses(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        replace(CONFIG, **wrong)
