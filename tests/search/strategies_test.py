from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fakes import bright_critic, indifferent_critic, repeating_generator

from inpaint_jax import masks
from inpaint_jax.losses import importance_weights
from inpaint_jax.search.strategies import (
    Clock,
    Objective,
    adam,
    advance,
    evaluate,
    guesses,
    search,
)
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


def problem(picture, critic=bright_critic, correctors=()):
    weights = importance_weights(MASK)
    return Objective(GENERATE, critic, picture, MASK, weights, correctors)


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
    objective = problem(picture, indifferent_critic)
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
    objective = problem(image())
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


@pytest.mark.parametrize("schedule", ["constant", "cosine", "root"])
@pytest.mark.parametrize("prior_every", [1, 3])
def test_cut_in_pieces_it_is_the_same_search(schedule, prior_every):
    picture = image()
    config = SearchConfig(steps=7, schedule=schedule, prior_every=prior_every)
    objective, strategy = problem(picture), adam(config, LATENTS)
    state, traces, done = strategy.init(jax.random.key(0), objective), [], 0
    for steps in (3, 1, 3):
        clock = Clock(jnp.asarray(done), jnp.asarray(7))
        state, trace = advance(strategy, state, objective, steps, clock=clock)
        traces.append(trace.total)
        done += steps
    latent, losses, last = strategy.result(state, objective)
    whole = run(picture, config, critic=bright_critic)
    np.testing.assert_allclose(latent, whole.latent, rtol=1e-6)
    np.testing.assert_allclose(losses.total, whole.losses.total, rtol=1e-6)
    trace = jnp.concatenate([*traces, last.total[None]])
    np.testing.assert_allclose(trace, whole.trace.total, rtol=1e-6)


def test_the_number_of_steps_may_be_traced():
    objective, strategy = problem(image()), adam(SearchConfig(), LATENTS)
    state = strategy.init(jax.random.key(0), objective)
    clock = Clock(jnp.asarray(0), jnp.asarray(10))

    @jax.jit
    def some(steps):
        return advance(strategy, state, objective, steps, clock=clock, capacity=10)

    for steps in (1, 4, 10):
        found, trace = some(steps)
        expected, losses = advance(strategy, state, objective, steps, clock=clock)
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
    init = adam(SearchConfig(), LATENTS).init
    z = jax.vmap(lambda key: init(key, problem(image())).latent)(keys)
    assert -1 <= z.min() < -0.95
    assert 0.95 < z.max() < 1
    assert len(np.unique(np.asarray(z[:, 0]))) == 200


@pytest.mark.parametrize(
    ("schedule", "shape"),
    [
        ("cosine", lambda done: 0.5 * (1 + np.cos(np.pi * done))),
        ("root", lambda done: np.sqrt(1 - done)),
    ],
)
def test_the_rate_falls_as_scheduled(schedule, shape):
    # One known gradient sign: every step of Adam is then as long as its rate.
    picture = jnp.full((SIZE, SIZE, 3), 3.0)
    config = SearchConfig(steps=4, learning_rate=0.02, schedule=schedule)
    objective, strategy = problem(picture, indifferent_critic), adam(config, LATENTS)
    state = strategy.init(jax.random.key(0), objective)
    state = state._replace(latent=jnp.zeros(LATENTS))
    visited = [state.latent]
    for step in range(4):
        clock = Clock(jnp.asarray(step), jnp.asarray(4))
        state, _ = strategy.step(state, objective, clock)
        visited.append(state.latent)
    expected = 0.02 * shape(np.arange(4) / 4)
    np.testing.assert_allclose(
        np.diff(visited, axis=0), np.tile(expected[:, None], LATENTS), rtol=1e-4
    )


def test_the_prior_is_computed_when_its_turn_comes_and_at_the_end():
    config = SearchConfig(steps=6, prior_every=3, prior_weight=1.0)
    found = run(image(), config, critic=bright_critic)
    prior = np.asarray(found.trace.prior)
    np.testing.assert_array_equal(prior[[1, 2]], prior[0])
    np.testing.assert_array_equal(prior[[4, 5]], prior[3])
    assert len({prior[0], prior[3], prior[6]}) == 3
    exact = evaluate(problem(image()), found.latent, config)
    np.testing.assert_allclose(found.losses, exact, rtol=1e-6)


def test_of_several_starts_the_best_is_searched():
    many = SearchConfig(starts=20)
    objective = problem(image(), indifferent_critic)
    key = jax.random.key(0)
    chosen = adam(many, LATENTS).init(key, objective).latent
    tried = [
        jax.random.uniform(each, (LATENTS,), minval=-1.0)
        for each in jax.random.split(key, 20)
    ]
    losses = [evaluate(objective, each, many).context for each in tried]
    np.testing.assert_array_equal(chosen, tried[np.argmin(losses)])


def test_encoders_guess_in_turn():
    picture = image(scale=0.5)
    wish = np.float32([0.3, -0.2, 0.1, 0.4])

    def first(seen):
        known = np.asarray(MASK > 0)
        np.testing.assert_array_equal(seen[..., :3], np.where(known, picture, -1.0))
        np.testing.assert_array_equal(seen[..., 3:4], MASK)
        np.testing.assert_array_equal(seen[..., 4:], 0.0)
        return jnp.arctanh(wish) - 1.0

    def second(seen):
        expected = GENERATE(jnp.tanh(jnp.arctanh(wish) - 1.0))
        np.testing.assert_allclose(seen[..., 4:], expected, rtol=1e-6)
        return jnp.ones(LATENTS)

    found = list(guesses((first, second), GENERATE, picture, MASK))
    np.testing.assert_allclose(found[1][0], wish, rtol=1e-5)
    np.testing.assert_allclose(found[1][1], GENERATE(wish), rtol=1e-5)


@pytest.mark.parametrize(("share", "taken"), [(0.8, True), (0.9, False)])
def test_a_guess_is_the_start_if_it_is_clearly_better_than_what_is_drawn(share, taken):
    picture = image(scale=0.5)
    config = SearchConfig(guesses=True)
    best, key = optimum(picture, MASK), jax.random.key(0)
    drawn = adam(SearchConfig(), LATENTS).init(key, problem(picture)).latent

    def loss(latent):
        return evaluate(problem(picture), latent, config).context

    # The context loss rises along this line: bisection finds the share of it.
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        below = loss(best + middle * (drawn - best)) < share * loss(drawn)
        low, high = (middle, high) if below else (low, middle)
    guess = best + low * (drawn - best)
    np.testing.assert_allclose(loss(guess), share * loss(drawn), rtol=1e-3)

    def corrector(seen):
        return jnp.arctanh(guess)

    objective = problem(picture, correctors=(corrector,))
    chosen = adam(config, LATENTS).init(key, objective).latent
    np.testing.assert_allclose(chosen, guess if taken else drawn, rtol=1e-4)


def test_a_search_that_is_not_guided_starts_from_what_is_drawn():
    def corrector(seen):
        return jnp.arctanh(0.999 * optimum(image(), MASK))

    key, config = jax.random.key(0), SearchConfig(guesses=True)
    objective = problem(image(), correctors=(corrector,))
    drawn = adam(SearchConfig(), LATENTS).init(key, objective).latent
    init = adam(config, LATENTS).init
    alone = init(key, objective._replace(guided=jnp.asarray(False)))
    np.testing.assert_array_equal(alone.latent, drawn)
    assert (init(key, objective).latent != drawn).any()
