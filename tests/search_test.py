from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fakes import bright_critic, indifferent_critic, repeating_generator

from inpaint_jax import masks
from inpaint_jax.losses import importance_weights
from inpaint_jax.search import Objective, advance, evaluate, finish, search, start
from inpaint_jax.types import SearchConfig

SIZE, LATENTS = 8, 4
GENERATE = repeating_generator(SIZE, LATENTS)
MASK = masks.center(jax.random.key(0), (SIZE, SIZE))


def image(seed=0, scale=1.0):
    key = jax.random.key(seed)
    return scale * jax.random.uniform(key, (SIZE, SIZE, 3), minval=-1.0, maxval=1.0)


def run(picture, config, mask=MASK, critic=indifferent_critic, seed=0):
    return jax.jit(
        lambda y, m, key: search(
            GENERATE, critic, y, m, key, latent_size=LATENTS, config=config
        )
    )(picture, mask, jax.random.key(seed))


def weighted_median(values, weights):
    order = np.argsort(values)
    passed = np.cumsum(weights[order])
    return values[order][np.searchsorted(passed, passed[-1] / 2)]


def optimum(picture, mask):
    """argmin of eq. 4 over z for the repeating generator, latent by latent."""
    weights = np.repeat(importance_weights(mask), 3, axis=-1).reshape(-1)
    shown = np.repeat(np.arange(SIZE * SIZE) % LATENTS, 3)
    values = np.asarray(picture).reshape(-1)
    return np.array(
        [
            weighted_median(values[shown == each], weights[shown == each])
            for each in range(LATENTS)
        ]
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_reaches_the_closed_form_optimum(seed):
    picture = image(seed)
    config = SearchConfig(steps=600, learning_rate=0.01)
    found = run(picture, config, seed=seed)
    objective = Objective(
        GENERATE, indifferent_critic, picture, importance_weights(MASK)
    )
    best = optimum(picture, MASK)
    least = evaluate(objective, jnp.asarray(best), config).total
    # A median can be an interval, over which the loss is flat.
    assert least * (1 - 1e-6) <= found.losses.total <= least * 1.001
    np.testing.assert_allclose(found.latent, best, atol=0.05)


def test_z_stays_in_its_box_at_the_constrained_optimum():
    # Targets beyond the range of z: the best that clipping allows is the border.
    picture = jnp.full((SIZE, SIZE, 3), 3.0).at[:, ::2].set(-3.0)
    found = run(picture, SearchConfig(steps=200))
    np.testing.assert_array_equal(found.latent, [-1.0, 1.0, -1.0, 1.0])


def test_the_trace_holds_every_iterate_and_the_best_is_its_least():
    config = SearchConfig(steps=40, learning_rate=0.3)  # Large: it overshoots.
    found = run(image(), config, critic=bright_critic)
    assert found.trace.total.shape == (41,)
    assert found.losses.total == found.trace.total.min()
    assert found.losses.total < found.trace.total[-1]
    objective = Objective(GENERATE, bright_critic, image(), importance_weights(MASK))
    np.testing.assert_allclose(
        evaluate(objective, found.latent, config).total, found.losses.total, rtol=1e-6
    )


def test_the_first_iterates_are_adam_by_hand():
    picture, config = image(), SearchConfig(steps=3, learning_rate=0.1)
    weights = importance_weights(MASK)
    key = jax.random.key(5)
    z = np.asarray(jax.random.uniform(key, (LATENTS,), minval=-1.0))

    def loss(z):
        context = jnp.sum(weights * jnp.abs(GENERATE(z) - picture))
        odds = jax.nn.softmax(bright_critic(GENERATE(z)))[1]
        return context + 0.003 * jnp.log(1 - odds)

    m = v = np.zeros(LATENTS)
    expected = [loss(z)]
    for t in (1, 2, 3):
        gradient = np.asarray(jax.grad(loss)(z))
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        step = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        z = np.clip(z - 0.1 * step, -1, 1).astype(np.float32)
        expected.append(loss(z))
    found = run(picture, config, critic=bright_critic, seed=5)
    np.testing.assert_allclose(found.trace.total, expected, rtol=1e-5)


def test_cut_in_pieces_it_is_the_same_search():
    picture, config = image(), SearchConfig(steps=7)
    objective = Objective(GENERATE, bright_critic, picture, importance_weights(MASK))
    state, traces = start(jax.random.key(0), LATENTS, config), []
    for steps in (3, 1, 3):
        state, trace = advance(state, objective, steps, config)
        traces.append(trace)
    state, last = finish(state, objective, config)
    trace = jnp.concatenate([*(trace.total for trace in traces), last.total[None]])
    whole = run(picture, config, critic=bright_critic)
    np.testing.assert_allclose(state.best_latent, whole.latent, rtol=1e-6)
    np.testing.assert_allclose(trace, whole.trace.total, rtol=1e-6)


def test_the_number_of_steps_may_be_traced():
    picture, config = image(), SearchConfig()
    objective = Objective(GENERATE, bright_critic, picture, importance_weights(MASK))
    state = start(jax.random.key(0), LATENTS, config)

    @jax.jit
    def some(steps):
        return advance(state, objective, steps, config, capacity=10)

    for steps in (1, 4, 10):
        found, trace = some(steps)
        expected, losses = advance(state, objective, steps, config)
        np.testing.assert_allclose(found.latent, expected.latent, rtol=1e-6)
        np.testing.assert_allclose(trace.total[:steps], losses.total, rtol=1e-6)
        assert not trace.total[steps:].any()
    assert some._cache_size() == 1


def test_the_hole_does_not_matter():
    picture = image()
    hidden = jnp.where(MASK > 0, picture, jnp.nan)
    config = SearchConfig(steps=20)
    jax.tree.map(
        np.testing.assert_array_equal, run(picture, config), run(hidden, config)
    )


def test_a_latent_that_no_known_pixel_shows_is_left_to_the_prior():
    # Nothing is known: only the critic's wish for brightness moves z.
    config = SearchConfig(steps=100)
    found = run(image(), config, mask=jnp.zeros((SIZE, SIZE, 1)), critic=bright_critic)
    np.testing.assert_array_equal(found.losses.context, 0.0)
    np.testing.assert_allclose(found.latent, 1.0, atol=1e-6)


def test_the_prior_pulls_towards_what_the_critic_takes_for_real():
    # Grey is as good as any for one balanced pixel pair; a strong prior decides.
    picture = jnp.zeros((SIZE, SIZE, 3))
    config = SearchConfig(steps=300, learning_rate=0.03)
    weak = run(picture, replace(config, prior_weight=0.0), critic=bright_critic)
    strong = run(picture, replace(config, prior_weight=1e4), critic=bright_critic)
    np.testing.assert_allclose(weak.latent, 0.0, atol=0.02)
    np.testing.assert_allclose(strong.latent, 1.0, atol=1e-6)


def test_the_start_is_the_prior_and_depends_on_the_key():
    keys = jax.random.split(jax.random.key(0), 200)
    z = jax.vmap(lambda key: start(key, LATENTS, SearchConfig()).latent)(keys)
    assert -1 <= z.min() < -0.95
    assert 0.95 < z.max() < 1
    assert len(np.unique(np.asarray(z[:, 0]))) == 200
