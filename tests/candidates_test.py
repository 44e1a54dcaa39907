"""Several searches for one image, and which of them are guided."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fakes import analytic_model, problem

import inpaint_jax
from inpaint_jax import completion
from inpaint_jax.configs import SearchConfig

SHORT = SearchConfig(steps=5)
MODEL = analytic_model(size=8, latent_size=4)


def test_searches_that_are_not_guided_find_other_answers():
    corner = jnp.full(4, 5.0)  # Of u: the best z there is for these images.
    images = jnp.stack([MODEL.generate(jnp.tanh(corner))] * 3)
    masks = inpaint_jax.make_masks(
        "center", jax.random.split(jax.random.key(0)), (8, 8)
    )
    model = replace(MODEL, correctors=(lambda seen: corner,))
    config = SearchConfig(steps=1, learning_rate=1e-6, guesses=True)

    def latents(guided):
        key = jax.random.key(0)
        found = inpaint_jax.inpaint(
            model, images, masks[0], key, config=config, guided=guided
        )
        return np.asarray(found.latent)

    np.testing.assert_allclose(latents(True), np.tanh(5.0), atol=1e-5)
    with pytest.raises(ValueError, match=r"guided must be \[3\]"):
        latents([True])
    # Left out, an image that comes again is not guided again.
    for mixed in (latents([True, False, False]), latents(None)):
        np.testing.assert_allclose(mixed[0], np.tanh(5.0), atol=1e-5)
        assert np.abs(mixed[:, None] - mixed).max(-1)[np.triu_indices(3, 1)].min() > 0.1


def test_the_same_image_under_another_mask_is_guided_too():
    images, masks, keys = problem(4)
    images = images[jnp.array([0, 0, 1, 0])]
    masks = masks[jnp.array([0, 1, 0, 0])]
    hidden = jnp.where(masks > 0, images, jax.random.normal(keys[0], images.shape))
    found = completion._first_of_its_kind(hidden, masks)
    np.testing.assert_array_equal(found, [True, True, True, False])


def test_candidates_are_searches_of_their_own_the_best_first():
    images, masks, keys = problem(3)
    found = inpaint_jax.inpaint(MODEL, images, masks, keys, config=SHORT, candidates=4)
    assert found.image.shape == (3, 4, 8, 8, 3)
    assert found.trace.total.shape == (3, 4, 6)
    assert (np.diff(found.losses.total, axis=1) >= 0).all()
    np.testing.assert_array_equal(np.sort(found.candidate, 1), [[0, 1, 2, 3]] * 3)
    fold = jax.vmap(jax.random.fold_in, (0, None))
    for number in range(4):
        of_key = keys if number == 0 else fold(keys, number)
        alone = inpaint_jax.inpaint(MODEL, images, masks, of_key, config=SHORT)
        rows = np.argmax(found.candidate == number, 1)
        np.testing.assert_allclose(
            found.latent[np.arange(3), rows], alone.latent, atol=1e-5
        )
    with pytest.raises(ValueError, match="candidates must be at least 1"):
        inpaint_jax.inpaint(MODEL, images, masks, keys, candidates=0)


def test_only_the_first_candidate_is_guided():
    images, masks, keys = problem(2)
    best = jnp.full(4, 0.2)
    images = jnp.stack([MODEL.generate(best)] * 2)
    model = replace(MODEL, correctors=(lambda seen: jnp.arctanh(best),))
    config = SearchConfig(steps=1, learning_rate=1e-6, guesses=True)
    found = inpaint_jax.inpaint(
        model, images, masks, keys, config=config, candidates=3, guided=True
    )
    np.testing.assert_array_equal(found.candidate[:, 0], 0)
    np.testing.assert_allclose(found.latent[:, 0], 0.2, atol=1e-4)
    assert np.abs(found.latent[:, 1:] - 0.2).max(-1).min() > 0.1
