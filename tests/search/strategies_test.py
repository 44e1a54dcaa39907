from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fakes import bright_critic, indifferent_critic, repeating_generator

from inpaint_jax import masks
from inpaint_jax.configs import SearchConfig
from inpaint_jax.latents import Normal, Uniform
from inpaint_jax.losses import importance_weights
from inpaint_jax.search.directions import inverse_curvature, regional_metric
from inpaint_jax.search.objectives import PaperObjective
from inpaint_jax.search.running import advance, search
from inpaint_jax.search.strategies import (
    adam,
    keep_best,
    make_strategy,
    near_start,
    newton,
)
from inpaint_jax.search.strategy import Clock, Iterate, Problem, Strategy
from inpaint_jax.types import Losses, Model, Seen

SIZE, LATENTS = 8, 4
SPACE = Uniform(LATENTS)
GENERATE = repeating_generator(SIZE, LATENTS)
MASK = masks.center(jax.random.key(0), (SIZE, SIZE))


def image(seed=0, scale=1.0):
    key = jax.random.key(seed)
    return scale * jax.random.uniform(key, (SIZE, SIZE, 3), minval=-1.0, maxval=1.0)


PAPER = SearchConfig()


def paper(picture, config=PAPER, mask=MASK, critic=bright_critic):
    """The paper's objective of one picture."""
    losses = PaperObjective(critic, SPACE, config.prior_weight)
    seen = Seen(picture, mask, importance_weights(mask))
    return lambda latent, generated: losses(latent, generated, seen)


def problem(picture, config=PAPER, critic=bright_critic):
    return Problem(GENERATE, paper(picture, config, critic=critic))


def run(picture, config, mask=MASK, critic=indifferent_critic, seed=0, **options):
    return jax.jit(
        lambda y, m, key: search(
            GENERATE,
            paper(y, config, m, critic),
            key,
            latents=SPACE,
            config=config,
            **options,
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
    best = optimum(picture, MASK)
    asked = problem(picture, config, indifferent_critic)
    least = asked.evaluate(jnp.asarray(best)).total
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
    np.testing.assert_allclose(
        problem(image(), config).evaluate(found.latent).total,
        found.losses.total,
        rtol=1e-6,
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
    asked, strategy = problem(picture, config), make_strategy(config, SPACE)
    state, traces, done = strategy.init(SPACE.sample(jax.random.key(0))), [], 0
    for steps in (3, 1, 3):
        clock = Clock(jnp.asarray(done), jnp.asarray(7))
        state, (trace, path) = advance(strategy, state, asked, steps, clock=clock)
        assert path is None
        traces.append(trace.total)
        done += steps
    found = strategy.result(state, asked)
    whole = run(picture, config, critic=bright_critic)
    np.testing.assert_allclose(found.latent, whole.latent, rtol=1e-6)
    np.testing.assert_allclose(found.losses.total, whole.losses.total, rtol=1e-6)
    trace = jnp.concatenate([*traces, found.last.losses.total[None]])
    np.testing.assert_allclose(trace, whole.trace.total, rtol=1e-6)


def test_the_number_of_steps_may_be_traced():
    asked, strategy = problem(image()), adam(SearchConfig(), SPACE)
    state = strategy.init(SPACE.sample(jax.random.key(0)))
    clock = Clock(jnp.asarray(0), jnp.asarray(10))

    @jax.jit
    def some(steps):
        return advance(strategy, state, asked, steps, clock=clock, capacity=10)

    for steps in (1, 4, 10):
        found, (trace, _) = some(steps)
        expected, (losses, _) = advance(strategy, state, asked, steps, clock=clock)
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

    def start(key):
        found = search(
            GENERATE,
            paper(image()),
            key,
            latents=SPACE,
            config=SearchConfig(steps=1),
            keep_path=True,
        )
        return found.path[0]

    z = jax.jit(jax.vmap(start))(keys)
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
    asked, strategy = problem(picture, config, indifferent_critic), adam(config, SPACE)
    state = strategy.init(jnp.zeros(LATENTS))
    visited = []
    for step in range(4):
        clock = Clock(jnp.asarray(step), jnp.asarray(4))
        state, iterate = strategy.step(state, asked, clock)
        visited.append(iterate.latent)
    visited.append(strategy.result(state, asked).latent)
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
    exact = problem(image(), config).evaluate(found.latent)
    np.testing.assert_allclose(found.losses, exact, rtol=1e-6)


def test_of_several_starts_the_best_is_searched():
    config = SearchConfig(starts=20, steps=1)
    key = jax.random.key(0)
    found = run(image(), config, keep_path=True)
    tried = [SPACE.sample(each) for each in jax.random.split(key, 20)]
    losses = [problem(image()).evaluate(each).context for each in tried]
    np.testing.assert_array_equal(found.path[0], tried[np.argmin(losses)])


def test_the_path_is_every_iterate():
    config = SearchConfig(steps=9)
    found = run(image(), config, critic=bright_critic, keep_path=True)
    assert found.path.shape == (10, LATENTS)
    totals = jax.vmap(problem(image(), config).evaluate)(found.path).total
    np.testing.assert_allclose(totals, found.trace.total, rtol=1e-6)
    np.testing.assert_array_equal(found.latent, found.path[jnp.argmin(totals)])
    assert run(image(), config).path is None


@pytest.mark.parametrize("weight", [0.5, 3.0])
def test_near_its_start_it_ends_between_it_and_the_target(weight):
    target = jnp.array([0.3, -0.2, 0.8, 0.0])
    start = jnp.array([-0.5, 0.4, 0.1, 0.2])

    def objective(latent, generated):
        del generated
        return Losses(0.5 * jnp.sum((latent - target) ** 2), jnp.float32(0.25))

    config = SearchConfig(learning_rate=0.05, schedule="cosine")
    inner = keep_best(adam(config, Normal(LATENTS)), exact=True)
    strategy = near_start(inner, weight)
    wrapped, steps = Problem(GENERATE, objective), jnp.int32(400)
    state = strategy.init(start, None)
    state, _ = advance(strategy, state, wrapped, 400, clock=Clock(jnp.int32(0), steps))
    found = strategy.result(state, wrapped)
    # The minimum of the sum of two paraboloids.
    expected = (target + weight * start) / (1 + weight)
    np.testing.assert_allclose(found.latent, expected, atol=1e-3)
    away = weight / 2 * jnp.sum((found.latent - start) ** 2)
    assert found.losses.prior == pytest.approx(0.25 + float(away), rel=1e-4)
    said = replace(config, start_weight=weight)
    assert make_strategy(said, SPACE) is make_strategy(replace(said), SPACE)
    assert make_strategy(said, SPACE) is not make_strategy(config, SPACE)


def test_keep_best_wraps_any_strategy():
    # One that walks through 0, 1, 2, ... whatever it meets.
    def step(state, asked, clock):
        return state + 1, Iterate(state, asked.evaluate(state))

    def result(state, asked):
        raise NotImplementedError

    def far(latent, generated):
        return Losses(jnp.abs(latent - 2.2), jnp.zeros(()))

    asked = Problem(lambda z: z, far)
    strategy = keep_best(Strategy(lambda latent, directions: latent, step, result))
    state = strategy.init(jnp.zeros(()))
    for i in range(6):
        state, _ = strategy.step(state, asked, Clock(i, 6))
    assert (state.inner, state.best.latent) == (6, 2)
    np.testing.assert_allclose(state.best.losses.total, 0.2, rtol=1e-5)


def test_a_normal_latent_may_leave_the_box_and_its_density_holds_it():
    space = Normal((2, 3))
    target = jnp.full((2, 3), 4.0)
    config = SearchConfig(steps=800, learning_rate=0.05)

    def objective(weight):
        def losses(z, image):
            prior = -weight * space.log_density(z)
            return Losses(jnp.sum(jnp.square(image - target)) / 2, prior)

        return losses

    def find(weight):
        found = search(
            lambda z: z,
            objective(weight),
            jax.random.key(0),
            latents=space,
            config=config,
        )
        return found.latent

    np.testing.assert_allclose(find(0.0), target, atol=1e-2)
    # (z - y)^2 + w z^2 is least at y / (1 + w).
    np.testing.assert_allclose(find(3.0), target / 4, atol=1e-2)


NEWTON = SearchConfig(newton=True, beta1=0.8, learning_rate=0.2, schedule="root")


def newton_run(problem, start, inverse, steps, config=NEWTON, space=None):
    strategy = keep_best(newton(config, space or Normal(LATENTS)))
    clock = Clock(np.int32(0), np.int32(steps))
    state, (trace, path) = advance(
        strategy,
        strategy.init(start, inverse),
        problem,
        steps,
        clock=clock,
        keep_path=True,
    )
    return strategy.result(state, problem), trace.total, path


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_newton_reaches_the_closed_form_optimum_in_few_steps(seed):
    picture = image(seed)
    model = Model(GENERATE, SPACE, SIZE)
    metric = regional_metric(
        jax.tree_util.Partial(GENERATE), jax.random.key(0), latents=SPACE
    )
    inverse = inverse_curvature(metric, importance_weights(MASK))
    asked = problem(picture, critic=indifferent_critic)
    start = model.latents.sample(jax.random.key(seed))
    found, _, _ = newton_run(asked, start, inverse, 40)
    least = asked.evaluate(jnp.asarray(optimum(picture, MASK))).total
    assert least * (1 - 1e-6) <= found.losses.total <= least * 1.02


def test_the_first_iterates_are_newton_by_hand():
    random = np.random.default_rng(0)
    root = random.normal(size=(LATENTS, LATENTS)).astype(np.float32)
    inverse = np.linalg.inv(root @ root.T + np.eye(LATENTS, dtype=np.float32))
    asked = problem(image())
    start = jnp.asarray(random.normal(size=LATENTS), jnp.float32)
    _, totals, path = newton_run(asked, start, jnp.asarray(inverse), 3)
    z, velocity = np.asarray(start), np.zeros(LATENTS)
    for t in range(3):
        np.testing.assert_allclose(path[t], z, atol=1e-5)
        loss, gradient = jax.value_and_grad(lambda z: asked.evaluate(z).total)(
            jnp.asarray(z, jnp.float32)
        )
        np.testing.assert_allclose(totals[t], loss, rtol=1e-5)
        velocity = 0.8 * velocity + inverse @ np.asarray(gradient)
        ahead = 0.8 * velocity + inverse @ np.asarray(gradient)
        z = z - 0.2 * np.sqrt(1 - t / 3) * ahead


def test_newton_starts_again_with_care_when_it_is_lost():
    # The true curvature is 100 times the one that it is told.
    def steep(latent, generated):
        return Losses(50.0 * jnp.sum(latent**2), jnp.zeros(()))

    start, inverse = jnp.ones(LATENTS), jnp.eye(LATENTS)
    asked = Problem(GENERATE, steep)
    found, totals, path = newton_run(asked, start, inverse, 40)
    assert totals[1] > totals[0]
    np.testing.assert_array_equal(path[2], start)
    assert found.losses.total < 1e-3 * totals[0]


def test_newton_wants_the_curvature():
    with pytest.raises(ValueError, match="newton needs the inverse curvature"):
        newton(NEWTON, SPACE).init(jnp.zeros(LATENTS), None)
    for other in ("principal", "projected"):
        with pytest.raises(ValueError, match="newton is without"):
            replace(NEWTON, **{other: True})
