"""What encoders guess, without a search."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fakes import analytic_model
from problems import problem

import inpaint_jax
from inpaint_jax import baselines
from inpaint_jax.completion import fill_holes
from inpaint_jax.configs import SearchConfig

SIZE = 8
WISH = np.float32([0.3, -0.2, 0.1, 0.4])
MODEL = analytic_model(SIZE)


def right_at_last(seen):
    """What is left to do after ``half_way``; it needs the picture of that guess."""
    return jnp.arctanh(WISH) - jnp.arctanh(seen[0, :4, 4])


GUESSING = dataclasses.replace(
    MODEL,
    correctors=(lambda seen: jnp.arctanh(WISH / 2), right_at_last),
)


@pytest.mark.parametrize("blend", [True, False])
def test_the_last_guess_fills_the_hole(blend):
    images, masks, keys = problem(size=SIZE)
    found = baselines.guess_fill(GUESSING, blend=blend)(images, masks, keys)
    guessed = jnp.broadcast_to(MODEL.generate(WISH), images.shape)
    expected, _ = fill_holes(images, guessed, masks, blend=blend)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_search_that_keeps_its_start_gives_the_same():
    images, masks, keys = problem(size=SIZE)
    # Trusts the guess, and goes nowhere from it.
    config = SearchConfig(
        steps=1, learning_rate=1e-12, guesses=True, start_weight=1e-3, prior_weight=0.0
    )
    searched = inpaint_jax.inpaint(
        GUESSING, images, masks, keys, config=config, guided=True
    )
    found = baselines.guess_fill(GUESSING)(images, masks, keys)
    np.testing.assert_allclose(found, searched.image, atol=1e-5)


def test_weights_are_arguments_and_what_a_guess_does_not_need_is_left_out():
    fill = baselines.guess_fill(GUESSING)
    assert jax.tree.leaves(fill) == []
    bound = jax.tree_util.Partial(lambda wish, seen: wish, jnp.asarray(WISH))
    model = dataclasses.replace(MODEL, correctors=(bound,), name="mine")
    (leaf,) = jax.tree.leaves(baselines.guess_fill(model))
    np.testing.assert_array_equal(leaf, WISH)


def test_a_model_without_encoders_is_refused():
    with pytest.raises(baselines.FillError, match=r"^model custom has no encoder"):
        baselines.guess_fill(MODEL)
