import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import TINY
from fakes import analytic_model

from inpaint_jax import load_model
from inpaint_jax.configs import SearchConfig
from inpaint_jax.latents import Normal, Uniform
from inpaint_jax.search import directions
from inpaint_jax.search.strategies import adam
from inpaint_jax.search.strategy import Clock, Problem
from inpaint_jax.types import Losses, Metric, Model

KEY = jax.random.key(0)


@pytest.mark.networks
def test_the_metric_is_the_mean_of_the_jacobians_squares(tiny_model_file):
    # Not only of an analytic generator: the layers have derivative rules of their own.
    generate = load_model(tiny_model_file).generate
    space = Uniform(8)
    found = directions.regional_metric(generate, KEY, latents=space, samples=3).blocks
    assert found.shape == (8, 8, 8, 8)
    latents = jax.vmap(space.sample)(jax.random.split(KEY, 3))
    jacobians = np.asarray(jax.vmap(jax.jacrev(generate))(latents), np.float64)
    for row, column in ((0, 0), (3, 7), (5, 2)):
        rows, columns = slice(2 * row, 2 * row + 2), slice(2 * column, 2 * column + 2)
        part = jacobians[:, rows, columns].reshape(3, -1, TINY.latent_size)
        expected = np.einsum("npi,npj->ij", part, part) / 3
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found[row, column], expected, atol=1e-4 * scale)


def test_a_model_keeps_its_own_metric_or_gets_one():
    model = analytic_model(size=8, latent_size=4)
    found = directions.with_metric(model).metric
    generate = jax.tree_util.Partial(model.generate)
    expected = directions.regional_metric(generate, KEY, latents=model.latents)
    np.testing.assert_array_equal(found.blocks, expected.blocks)
    own = Metric(jnp.zeros((8, 8, 4, 4)))
    model = dataclasses.replace(model, metric=own)
    assert directions.with_metric(model).metric is own


@pytest.mark.networks
@pytest.mark.slow
def test_factors_estimate_the_metric(tiny_model_file):
    generate, space = load_model(tiny_model_file).generate, Uniform(8)
    whole = directions.regional_metric(generate, KEY, latents=space, samples=400)
    found = directions.regional_factors(generate, KEY, latents=space, samples=400)
    assert found.factored
    assert found.blocks.shape == (8, 8, 8, 400)
    squares = jnp.einsum("hwir,hwjr->hwij", found.blocks, found.blocks)
    # Over the whole image the noise of 64 regions averages out.
    expected, estimate = (np.asarray(x).sum((0, 1)) for x in (whole.blocks, squares))
    scale = np.linalg.norm(expected)
    assert np.linalg.norm(estimate - expected) < 0.1 * scale
    region = np.asarray(squares[3, 4] - whole.blocks[3, 4])
    assert np.linalg.norm(region) < 0.35 * np.linalg.norm(whole.blocks[3, 4])


def test_factors_and_whole_matrices_have_the_same_directions():
    random = np.random.default_rng(0)
    factors = random.normal(size=(8, 8, 5, 9)).astype(np.float32)
    weights = random.uniform(size=(16, 16, 1)).astype(np.float32)
    whole = Metric(jnp.asarray(factors @ factors.swapaxes(-1, -2)))
    found = [
        np.abs(directions.principal_directions(metric, weights))
        for metric in (whole, Metric(jnp.asarray(factors), factored=True))
    ]
    np.testing.assert_allclose(*found, atol=1e-3)


def test_a_long_latent_gets_the_largest_factors():
    def generate(z):  # Each pixel shows one number.
        return jnp.repeat(z.reshape(16, 16, 1), 3, -1)

    model = Model(generate, Normal(256), 16)
    metric = directions.with_metric(model).metric
    assert metric.factored
    assert metric.blocks.shape == (8, 8, 256, 16)
    # Four numbers in each region, three channels each: nothing is lost.
    squares = jnp.einsum("hwir,hwjr->ij", metric.blocks, metric.blocks)
    np.testing.assert_allclose(squares, 3 * np.eye(256), atol=1e-4)


@pytest.mark.slow
def test_a_large_generator_gets_factors():
    def generate(z):
        return (
            jnp.broadcast_to(z.sum(), (256, 256, 3))
            * jnp.linspace(0, 1, 256)[:, None, None]
        )

    model = Model(generate, Normal((8, 64)), 256)
    metric = directions.with_metric(model).metric
    assert metric.factored
    assert metric.blocks.shape == (8, 8, 512, 32)
    # This image moves along the sum of all numbers only.
    found = directions.principal_directions(metric, jnp.ones((256, 256, 1)))
    np.testing.assert_allclose(np.abs(found[:, -1]), 512**-0.5, rtol=1e-3)


def test_directions_are_those_of_the_weighted_metric():
    random = np.random.default_rng(0)
    factors = random.normal(size=(8, 8, 5, 5)).astype(np.float32)
    metric = factors @ factors.swapaxes(-1, -2)
    weights = random.uniform(size=(16, 16, 1)).astype(np.float32)
    found = directions.principal_directions(Metric(jnp.asarray(metric)), weights)
    found = np.asarray(found)
    np.testing.assert_allclose(found.T @ found, np.eye(5), atol=1e-5)
    # A pixel's weight counts with its region's matrix, a quarter each.
    whole = sum(
        weights[i, j, 0] / 4 * metric[i // 2, j // 2].astype(np.float64)
        for i in range(16)
        for j in range(16)
    )
    turned = found.T @ whole @ found
    np.testing.assert_allclose(turned, np.diag(np.diag(turned)), atol=1e-3)
    assert (np.diff(np.diag(turned)) > 0).all()


@pytest.mark.parametrize("factored", [False, True])
@pytest.mark.parametrize("damping", [0.0, 0.3])
def test_the_inverse_curvature_is_that_of_the_weighted_metric(factored, damping):
    random = np.random.default_rng(0)
    factors = random.normal(size=(8, 8, 5, 3)).astype(np.float32)
    whole = factors @ factors.swapaxes(-1, -2)
    metric = Metric(jnp.asarray(factors if factored else whole), factored=factored)
    weights = random.uniform(size=(3, 16, 16, 1)).astype(np.float32)
    weights[1] = 0.0
    find = jax.vmap(lambda w: directions.inverse_curvature(metric, w, damping))
    found = jax.jit(find)(weights)
    for each, w in zip(found, weights, strict=True):
        regions = w.reshape(8, 2, 8, 2).mean((1, 3)).astype(np.float64)
        matrix = np.einsum("hw,hwij->ij", regions, whole) / 0.1
        least = max(damping, 1e-3 * np.trace(matrix) / 5, 1e-6)
        expected = np.linalg.inv(matrix + least * np.eye(5))
        np.testing.assert_allclose(each, expected, rtol=2e-3, atol=1e-5)


def test_the_largest_factors_are_those_of_an_eigendecomposition():
    random = np.random.default_rng(0)
    factors = random.normal(size=(8, 8, 6, 6)).astype(np.float32)
    whole = factors @ factors.swapaxes(-1, -2)
    found = directions.largest_factors(Metric(jnp.asarray(whole)), 2)
    assert found.factored
    assert found.blocks.shape == (8, 8, 6, 2)
    u, s, _ = np.linalg.svd(whole[2, 5].astype(np.float64))
    kept = u[:, :2] * s[:2] @ u[:, :2].T
    square = found.blocks[2, 5] @ found.blocks[2, 5].T
    np.testing.assert_allclose(square, kept, atol=1e-3)


def test_triangles_come_back_to_squares():
    random = np.random.default_rng(0).normal(size=(8, 8, 7, 7)).astype(np.float32)
    metric = random + random.swapaxes(-1, -2)
    triangles = directions.to_triangles(metric)
    assert triangles.shape == (8, 8, 28)
    np.testing.assert_array_equal(directions.from_triangles(triangles), metric)


def distance(latent, generated):
    return Losses(jnp.sum(jnp.abs(generated)), jnp.zeros(()))


def test_a_search_along_directions_is_adam_in_turned_coordinates():
    random = np.random.default_rng(1)
    turn = np.linalg.qr(random.normal(size=(4, 4)))[0].astype(np.float32)
    scales = np.float32([4.0, 3.0, 2.0, 1.0])
    matrix = (turn * scales) @ turn.T
    metric = jnp.broadcast_to(jnp.asarray(matrix), (8, 8, 4, 4))
    target = jnp.asarray(random.uniform(-0.2, 0.2, 4), jnp.float32)

    def generate(z):
        return jnp.broadcast_to((z - target).reshape(1, 4, 1), (8, 4, 3)).repeat(2, 1)

    found = directions.principal_directions(Metric(metric), jnp.ones((8, 8, 1)))
    space = Uniform(4)
    strategy = adam(SearchConfig(learning_rate=0.01), space)
    state = strategy.init(space.sample(KEY), found)
    latent, axes = np.asarray(state.latent, np.float64), np.asarray(found, np.float64)
    np.testing.assert_allclose(np.abs(axes.T @ turn), np.eye(4)[::-1], atol=1e-4)
    m = v = np.zeros(4)
    for t in range(1, 6):
        clock = Clock(jnp.asarray(t), jnp.asarray(9))
        state, _ = strategy.step(state, Problem(generate, distance), clock)
        gradient = axes.T @ (48 * np.sign(latent - np.asarray(target)))
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        step = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        latent = np.clip(latent - 0.01 * axes @ step, -1, 1)
        np.testing.assert_allclose(state.latent, latent, atol=1e-5)


def test_a_projected_search_does_not_lean_on_its_box():
    # Along (1, 1) and (1, -1): the gradient in a coordinate that is at its bound would
    # drag the other one along.
    axes = jnp.float32([[1, 1], [1, -1]]) / jnp.sqrt(2)
    target = jnp.float32([3.0, 0.0])  # The first is out of reach.

    def generate(z):
        return jnp.broadcast_to((z - target).reshape(1, 2, 1), (8, 2, 3)).repeat(4, 1)

    weights = jnp.ones((8, 8, 1)).at[:, 4:].set(0.5)

    def weighted(latent, generated):
        return Losses(jnp.sum(weights * jnp.abs(generated)), jnp.zeros(()))

    def step(projected):
        config = SearchConfig(learning_rate=0.1, projected=projected)
        strategy = adam(config, Uniform(2))
        state = strategy.init(jnp.float32([1.0, -0.5]), axes)
        moved, _ = strategy.step(state, Problem(generate, weighted), Clock(0, 9))
        return np.asarray(moved.latent)

    # The gradient is (-96, -48), or (0, -48) without what leads out. Adam's first step
    # is of one length along both directions: (1, 1) and (1, -1), or (1, 1) and (-1, 1).
    np.testing.assert_allclose(step(False), [1.0, -0.5], atol=1e-5)
    np.testing.assert_allclose(step(True), [1.0, -0.5 + 0.1 * np.sqrt(2)], atol=1e-5)


def test_an_image_that_cannot_be_cut_into_regions_is_refused():
    def generate(z):
        return jnp.zeros((12, 12, 3)) + z.sum()

    with pytest.raises(ValueError, match="not 12"):
        directions.regional_metric(
            jax.tree_util.Partial(generate), KEY, latents=Uniform(4)
        )
