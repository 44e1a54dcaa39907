"""The VAE's losses by other means, and its training."""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import TINY, random_weights
from conftest import VAE as CONFIG
from scipy import integrate, stats

from inpaint_jax import parallel
from inpaint_jax.baselines import vae
from inpaint_jax.networks.dcgan import Generator
from inpaint_jax.training.updates import Network

PIXELS = 16 * 16 * 3


def batch(seed=0):
    random = np.random.default_rng(seed)
    coarse = jnp.asarray(random.uniform(-1, 1, (8, 3, 3, 3)), jnp.float32)
    return jax.image.resize(coarse, (8, 16, 16, 3), "linear")


def run(state, steps):
    state = jax.tree.map(jnp.copy, state)
    for step in range(steps):
        state, metrics = vae.train_step(state, batch(step), config=CONFIG)
    return state, metrics


@pytest.fixture(scope="module")
def start():
    like = jax.eval_shape(lambda: vae.init_state(CONFIG))
    encoder, decoder = (
        Network(variables, optax.adam(0.0).init(variables["params"]))
        for variables in map(random_weights, (like.encoder[0], like.decoder[0]))
    )
    return vae.VaeState(jnp.zeros((), jnp.int32), encoder, decoder, decoder.variables)


@pytest.fixture(scope="module")
def trained(start):
    """Adam knows the size of gradients, so that a step says something of them."""
    state, _ = run(start, 3)
    return state


def divergence(mean, variance):
    """Of the normal distribution from N(0, 1), by numbers."""
    of_latent, prior = stats.norm(mean, variance**0.5), stats.norm()

    def surprise(x):
        return of_latent.pdf(x) * (of_latent.logpdf(x) - prior.logpdf(x))

    reach = 10 * variance**0.5
    return integrate.quad(surprise, mean - reach, mean + reach)[0]


def test_the_divergence_is_the_integral():
    random = np.random.default_rng(0)
    mean, log_variance = random.normal(size=(2, 3, 4))
    each = np.vectorize(divergence)(mean, np.exp(log_variance))
    found = vae._divergence(jnp.asarray(mean), jnp.asarray(log_variance))
    np.testing.assert_allclose(found, each.sum(1).mean(), rtol=1e-5)


@functools.partial(jax.jit, static_argnames="config")
def reference_step(state, images, config):
    """The parameters of encoder and decoder after a step, and the figures."""
    key = jax.random.fold_in(jax.random.key(config.seed), state.step)
    key_flip, key_noise = jax.random.split(key)
    flips = [jax.random.bernoulli(k) for k in jax.random.split(key_flip, len(images))]
    flipped = jnp.stack(flips)[:, None, None, None]
    images = jnp.where(flipped, jnp.flip(images, 2), images)
    latent_size = config.architecture.latent_size
    noise = jax.random.normal(key_noise, (len(images), latent_size))

    def run(network, variables, params, x):
        variables = {**variables, "params": params}
        return network.apply(variables, x, train=True, mutable=["batch_stats"])[0]

    def losses(params):
        size = config.architecture
        variables = state.encoder.variables, state.decoder.variables
        found = run(vae.encoder_network(size), variables[0], params[0], images)
        mean, deviation = found[:, :latent_size], jnp.exp(found[:, latent_size:]) ** 0.5
        z = mean + deviation * noise
        decoded = run(Generator(size), variables[1], params[1], z)
        error = ((decoded - images) ** 2).mean()
        surprise = (mean**2 + deviation**2) / 2 - 0.5 - jnp.log(deviation)
        divergence = surprise.sum(1).mean()
        return PIXELS / 2 * jnp.log(error) + divergence, (error, divergence)

    networks = state.encoder, state.decoder
    params = tuple(network.variables["params"] for network in networks)
    gradients, figures = jax.grad(losses, has_aux=True)(params)
    optimizer = optax.adam(config.learning_rate, b1=config.beta1)
    updated = [
        optax.apply_updates(before, optimizer.update(gradient, network.optimizer)[0])
        for before, gradient, network in zip(params, gradients, networks, strict=True)
    ]
    return updated, figures


@pytest.mark.slow
def test_a_step_is_that_of_the_plain_formula(trained):
    images = batch(7)
    params, figures = reference_step(trained, images, CONFIG)
    state, metrics = vae.train_step(
        jax.tree.map(jnp.copy, trained), images, config=CONFIG
    )
    np.testing.assert_allclose(metrics, figures, rtol=1e-4)
    assert int(state.step) == 4
    found = [network.variables["params"] for network in (state.encoder, state.decoder)]
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, atol=1e-5, rtol=0), found, params
    )
    decay = min(0.25, 4 / 13)
    jax.tree.map(
        lambda found, old, new: np.testing.assert_allclose(
            found, decay * old + (1 - decay) * new, rtol=1e-5, atol=1e-6
        ),
        state.average,
        trained.average,
        state.decoder.variables,
    )


@pytest.mark.slow
def test_what_it_measures(trained):
    images = np.asarray(batch(8))
    # Further from N(0, 1) than so short a training brings it.
    spread = jax.tree.map(lambda x: 5 * x, trained.encoder.variables["params"])
    variables = {**trained.encoder.variables, "params": spread}
    trained = trained._replace(encoder=trained.encoder._replace(variables=variables))

    @jax.jit
    def encode_and_decode(images):
        found = vae.encoder_network(TINY).apply(
            trained.encoder.variables, images, train=False
        )
        mean = found[:, : TINY.latent_size]
        return found, Generator(TINY).apply(trained.average, mean, train=False)

    found, decoded = (np.asarray(x, float) for x in encode_and_decode(images))
    mean, log_variance = np.split(found, 2, axis=1)
    error = ((decoded - images) ** 2).mean()
    each = np.vectorize(divergence)(mean, np.exp(log_variance)).sum(1)
    figures = vae.measure(trained, images, architecture=TINY)
    expected = {
        "squared_error": error,
        "divergence": each.mean(),
        "loss": PIXELS / 2 * np.log(error) + each.mean(),
    }
    assert figures.keys() == expected.keys()
    for name, figure in expected.items():
        np.testing.assert_allclose(figures[name], figure, rtol=1e-4, err_msg=name)


def test_one_batch_over_and_over_is_learnt(start):
    state, images, losses = jax.tree.map(jnp.copy, start), batch(), []
    for _ in range(150):
        state, (error, divergence) = vae.train_step(state, images, config=CONFIG)
        losses.append(PIXELS / 2 * np.log(error) + divergence)
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 100


@pytest.mark.slow
def test_many_devices_are_as_good_as_one(trained):
    mesh = parallel.make_mesh(jax.devices()[:2])
    state, metrics = vae.train_step(
        parallel.replicate(trained, mesh),
        parallel.place(batch(0), mesh),
        config=CONFIG,
        mesh=mesh,
    )
    ends = [jax.tree.leaves(end) for end in ((state, metrics), run(trained, 1))]
    for found, expected in zip(*map(jax.device_get, ends), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch_size": 1},
        {"learning_rate": float("inf")},
        {"ema_decay": -0.1},
        {"beta1": 1.0},
        {"seed": -1},
    ],
)
def test_config_refuses(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        replace(CONFIG, **wrong)
