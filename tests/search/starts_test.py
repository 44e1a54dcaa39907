"""Starts of a search: random ones, and what encoders guess."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fakes import analytic_model

from inpaint_jax import masks
from inpaint_jax.configs import SearchConfig
from inpaint_jax.latents import Normal, Uniform
from inpaint_jax.losses import importance_weights
from inpaint_jax.search.objectives import paper_objective
from inpaint_jax.search.starts import choose_start, guesses
from inpaint_jax.types import Seen

SIZE, LATENTS = 8, 4
MODEL = analytic_model(SIZE, LATENTS)
MASK = masks.center(jax.random.key(0), (SIZE, SIZE))
WISH = np.float32([0.3, -0.2, 0.1, 0.4])
KEY = jax.random.key(0)
OBJECTIVE = paper_objective(MODEL, SearchConfig())
PICTURE = MODEL.generate(WISH)
SEEN = Seen(PICTURE, MASK, importance_weights(MASK))


GUIDED = SearchConfig(guesses=True)


def start(config=GUIDED, corrector=None, **options):
    model = replace(MODEL, correctors=(corrector,)) if corrector else MODEL
    return choose_start(model, OBJECTIVE, SEEN, KEY, config=config, **options)


def test_encoders_guess_in_turn():
    def first(seen):
        known = np.asarray(MASK > 0)
        np.testing.assert_array_equal(seen[..., :3], np.where(known, PICTURE, -1.0))
        np.testing.assert_array_equal(seen[..., 3:4], MASK)
        np.testing.assert_array_equal(seen[..., 4:], 0.0)
        return jnp.arctanh(WISH) - 1.0

    def second(seen):
        expected = MODEL.generate(jnp.tanh(jnp.arctanh(WISH) - 1.0))
        np.testing.assert_allclose(seen[..., 4:], expected, rtol=1e-6)
        return jnp.ones(LATENTS)

    correctors = first, second
    space = Uniform(LATENTS)
    found = list(guesses(correctors, MODEL.generate, space, PICTURE, MASK))
    np.testing.assert_allclose(found[1][0], WISH, rtol=1e-5)
    np.testing.assert_allclose(found[1][1], MODEL.generate(WISH), rtol=1e-5)


def test_a_guess_in_a_normal_space_is_not_squashed():
    far = jnp.full(LATENTS, 3.0)
    guess = next(
        guesses([lambda seen: far], MODEL.generate, Normal(LATENTS), PICTURE, MASK)
    )
    np.testing.assert_array_equal(guess[0], far)


def test_the_start_is_drawn_from_the_models_space():
    normal = replace(MODEL, latents=Normal(1000), generate=lambda z: PICTURE)
    found = choose_start(normal, OBJECTIVE, SEEN, KEY, config=SearchConfig())
    np.testing.assert_array_equal(found, Normal(1000).sample(KEY))
    assert np.abs(found).max() > 2


def test_of_several_starts_the_best_is_taken():
    chosen = start(SearchConfig(starts=20))
    tried = [MODEL.latents.sample(each) for each in jax.random.split(KEY, 20)]
    losses = [OBJECTIVE(z, MODEL.generate(z), SEEN).context for z in tried]
    np.testing.assert_array_equal(chosen, tried[np.argmin(losses)])


@pytest.mark.parametrize(("share", "taken"), [(0.8, True), (0.9, False)])
def test_a_guess_is_the_start_if_it_is_clearly_better_than_what_is_drawn(share, taken):
    drawn = start()

    def loss(latent):
        return OBJECTIVE(latent, MODEL.generate(latent), SEEN).context

    # The context loss is proportional to the distance along this line.
    guess = WISH + share * (drawn - WISH)
    np.testing.assert_allclose(loss(guess), share * loss(drawn), rtol=1e-4)
    chosen = start(corrector=lambda seen: jnp.arctanh(guess))
    np.testing.assert_allclose(chosen, guess if taken else drawn, rtol=1e-4)


def test_a_search_that_is_not_guided_starts_from_what_is_drawn():
    drawn = start()
    near = jnp.arctanh(jnp.asarray(WISH) + 1e-3)
    for guided in (False, jnp.asarray(False)):
        found = start(corrector=lambda seen: near, guided=guided)
        np.testing.assert_array_equal(found, drawn)
    assert (start(corrector=lambda seen: near) != drawn).any()
    # A configuration that does not ask for guesses gets none.
    found = start(SearchConfig(), corrector=lambda seen: near)
    np.testing.assert_array_equal(found, drawn)


TRUSTING = SearchConfig(guesses=True, start_weight=1.0)
UPPER = masks.bottom(jax.random.key(0), (SIZE, SIZE))  # Its lower half is missing.


def quarters(z):
    """An image with a quarter for each number."""
    return jnp.repeat(jnp.repeat(jnp.tile(z.reshape(2, 2, 1), 3), 4, 0), 4, 1)


def read(seen):
    """The numbers of known quarters, and 0 for the others."""
    image, known = seen[..., :3], seen[..., 3:4]
    cells = (image * known).reshape(2, 4, 2, 4, 3).mean((1, 3, 4))
    return cells.reshape(-1)


def trusting(corrector, **options):
    model = replace(
        MODEL, generate=quarters, latents=Normal(LATENTS), correctors=(corrector,)
    )
    seen = Seen(quarters(WISH), UPPER, importance_weights(UPPER))
    return choose_start(model, OBJECTIVE, seen, KEY, config=TRUSTING, **options)


def test_a_trusted_guess_is_the_start():
    np.testing.assert_allclose(trusting(read), [0.3, -0.2, 0, 0], atol=1e-6)
    # However bad it is, but for what is not a number.
    np.testing.assert_array_equal(trusting(lambda seen: jnp.full(4, 9.0)), 9.0)
    drawn = Normal(LATENTS).sample(KEY)
    broken = trusting(lambda seen: jnp.full(4, jnp.nan))
    np.testing.assert_array_equal(broken, drawn)


def test_unguided_it_is_random_in_what_is_missing_alone():
    drawn = Normal(LATENTS).sample(KEY)
    found = trusting(read, guided=jnp.asarray(False))
    # This generator is linear, so it is like a sample of the posterior, but half as far
    # out: the known numbers are certain, and the others as in the prior.
    np.testing.assert_allclose(found[:2], WISH[:2], atol=1e-6)
    np.testing.assert_allclose(found[2:], drawn[2:] / 2, atol=1e-6)
