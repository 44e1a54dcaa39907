from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import DEMO
from fakes import analytic_model
from PIL import Image

import inpaint_jax
from inpaint_jax import pixels
from inpaint_jax.data import images as image_lib
from inpaint_jax.types import SEARCHES, RefineConfig, SearchConfig

SHORT = SearchConfig(steps=5)
# Another batch size rounds otherwise, and an l1 loss magnifies that step by step.
SLOW = SearchConfig(steps=30, learning_rate=0.01)
FAST = replace(SEARCHES["fast"], steps=30, learning_rate=0.01)
MODEL = analytic_model(size=8, latent_size=4)


def problem(count, seed=0, mask="random50", size=8):
    keys = jax.random.split(jax.random.key(seed), count)
    images = jax.random.uniform(
        jax.random.key(seed + 1), (count, size, size, 3), minval=-1.0, maxval=1.0
    )
    return images, inpaint_jax.make_masks(mask, keys, (size, size)), keys


@pytest.mark.parametrize("blend", [True, False])
@pytest.mark.parametrize("mask", ["center", "random80", "top", "right"])
def test_known_pixels_come_back_bit_for_bit(blend, mask):
    images, masks, keys = problem(3, mask=mask)
    found = inpaint_jax.inpaint(MODEL, images, masks, keys, config=SHORT, blend=blend)
    known = np.broadcast_to(np.asarray(masks) == 1, images.shape)
    np.testing.assert_array_equal(
        np.asarray(found.image)[known].view(np.int32),
        np.asarray(images)[known].view(np.int32),
    )
    assert np.abs(found.image).max() <= 1
    assert not np.allclose(np.asarray(found.image)[~known], np.asarray(images)[~known])


def test_shapes_are_those_the_docs_say():
    images, masks, keys = problem(3)
    found = inpaint_jax.inpaint(MODEL, images, masks, keys, config=SHORT)
    shapes = jax.tree.map(jnp.shape, found)
    assert shapes.image == shapes.generated == (3, 8, 8, 3)
    assert shapes.latent == (3, 4)
    assert shapes.losses.context == shapes.losses.prior == shapes.residual == (3,)
    assert shapes.trace.context == shapes.trace.prior == (3, 6)
    np.testing.assert_array_equal(
        found.generated, jax.vmap(MODEL.generate)(found.latent)
    )


def test_refined_images_are_closer_and_only_when_asked(tiny_model_file):
    model = inpaint_jax.load_model(tiny_model_file)
    images, masks, keys = problem(3, size=16)

    def run(model, steps):
        return inpaint_jax.inpaint(
            model,
            images,
            masks,
            keys,
            config=SHORT,
            refinement=RefineConfig(steps=steps, trust=0.0) if steps else None,
        )

    plain, refined = run(model, 0), run(model, 20)
    np.testing.assert_array_equal(refined.latent, plain.latent)
    distances = [
        (masks * np.abs(found.generated - images)).sum() for found in (plain, refined)
    ]
    assert distances[1] < distances[0]
    known = np.broadcast_to(np.asarray(masks) == 1, images.shape)
    np.testing.assert_array_equal(np.asarray(refined.image)[known], images[known])
    with pytest.raises(ValueError, match="has no halves"):
        run(replace(model, halves=None), 20)


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

    np.testing.assert_allclose(latents(None), np.tanh(5.0), atol=1e-5)
    with pytest.raises(ValueError, match=r"guided must be \[3\]"):
        latents([True])
    mixed = latents([True, False, False])
    np.testing.assert_allclose(mixed[0], np.tanh(5.0), atol=1e-5)
    assert np.abs(mixed[:, None] - mixed).max(-1)[np.triu_indices(3, 1)].min() > 0.1


def test_an_image_alone_is_the_image_in_a_batch(tiny_model_file):
    model = inpaint_jax.load_model(tiny_model_file)
    images, masks, keys = problem(8, size=16)
    together = inpaint_jax.inpaint(model, images, masks, keys, config=SLOW)
    for i in (0, 5):
        one = slice(i, i + 1)
        alone = inpaint_jax.inpaint(
            model, images[one], masks[one], keys[one], config=SLOW
        )
        np.testing.assert_allclose(alone.latent[0], together.latent[i], atol=1e-4)
        np.testing.assert_allclose(alone.image[0], together.image[i], atol=1e-4)


@pytest.mark.parametrize("config", [SLOW, FAST])
def test_the_neighbours_in_a_batch_do_not_matter(tiny_model_file, config):
    model = inpaint_jax.load_model(tiny_model_file)
    images, masks, keys = problem(8, size=16)
    before = inpaint_jax.inpaint(model, images, masks, keys, config=config)
    others = images.at[1:].multiply(-1.0)
    after = inpaint_jax.inpaint(model, others, masks, keys, config=config)
    np.testing.assert_array_equal(before.image[0], after.image[0])
    assert not np.array_equal(before.image[1], after.image[1])


def test_the_same_key_gives_the_same_bytes():
    images, masks, _ = problem(3)
    runs = [
        inpaint_jax.inpaint(MODEL, images, masks, jax.random.key(seed), config=SHORT)
        for seed in (0, 0, 1)
    ]
    jax.tree.map(np.testing.assert_array_equal, runs[0], runs[1])
    assert not np.array_equal(runs[0].latent, runs[2].latent)


@pytest.mark.parametrize("steps", [1, 63, 64, 65, 131])
def test_progress_counts_every_step_and_changes_nothing(steps):
    images, masks, keys = problem(2)
    seen = []
    config = SearchConfig(steps=steps)
    with_it = inpaint_jax.inpaint(
        MODEL, images, masks, keys, config=config, progress=seen.append
    )
    without = inpaint_jax.inpaint(MODEL, images, masks, keys, config=config)
    assert sum(seen) == steps
    assert with_it.trace.total.shape == (2, steps + 1)
    jax.tree.map(np.testing.assert_array_equal, with_it, without)


def test_degenerate_masks():
    images, _, keys = problem(2)
    nothing_missing = inpaint_jax.inpaint(
        MODEL, images, jnp.ones((8, 8, 1)), keys, config=SHORT
    )
    np.testing.assert_array_equal(nothing_missing.image, images)
    nothing_known = inpaint_jax.inpaint(
        MODEL, images, jnp.zeros((8, 8, 1)), keys, config=SHORT
    )
    np.testing.assert_array_equal(nothing_known.image, nothing_known.generated)


@pytest.mark.parametrize("config", [SHORT, replace(FAST, steps=5)])
@pytest.mark.parametrize("hidden", [np.nan, np.inf, 300.0])
def test_the_hole_may_hold_anything(hidden, config):
    images, masks, keys = problem(2)
    damaged = jnp.where(masks > 0, images, hidden)
    jax.tree.map(
        np.testing.assert_array_equal,
        inpaint_jax.inpaint(MODEL, damaged, masks, keys, config=config),
        inpaint_jax.inpaint(MODEL, images, masks, keys, config=config),
    )


def test_wrong_arguments_are_named():
    images, masks, keys = problem(2)
    with pytest.raises(ValueError, match=r"images must be \[B, 8, 8, 3\]"):
        inpaint_jax.inpaint(MODEL, images[0], masks, keys)
    with pytest.raises(ValueError, match="masks must be"):
        inpaint_jax.inpaint(MODEL, images, masks[:, :4], keys)
    with pytest.raises(ValueError, match="only 1"):
        inpaint_jax.inpaint(MODEL, images, masks * 255, keys)
    with pytest.raises(ValueError, match=r"finite and in \[-1, 1\]"):
        inpaint_jax.inpaint(MODEL, (images + 1) * 127.5, masks, keys)
    with pytest.raises(ValueError, match=r"finite and in \[-1, 1\]"):
        inpaint_jax.inpaint(MODEL, images * np.nan, masks, keys)
    with pytest.raises(ValueError, match="one key or 2"):
        inpaint_jax.inpaint(MODEL, images, masks, keys[:1])
    with pytest.raises(ValueError, match=r"jax\.random\.key"):
        inpaint_jax.inpaint(MODEL, images, masks, jax.random.PRNGKey(0))


def test_an_images_key_depends_on_its_name_and_the_seed():
    def data(seed, name):
        return jax.random.key_data(inpaint_jax.image_key(seed, name)).tolist()

    assert data(0, "a") == data(0, "a")
    assert len({str(data(seed, name)) for seed in (0, 1) for name in "abc"}) == 6


def test_as_many_fast_steps_get_further():
    # On what the generator can express: four of its own faces.
    model = inpaint_jax.load_model("celeba64")
    latents = jax.random.uniform(jax.random.key(1), (4, 100), minval=-1.0)
    images = jax.jit(jax.vmap(model.generate))(latents)
    keys = jax.random.split(jax.random.key(0), 4)
    masks = inpaint_jax.make_masks("center", keys, images.shape[1:3])

    def loss(config):
        found = inpaint_jax.inpaint(model, images, masks, keys, config=config)
        return found.losses.total.mean()

    assert loss(replace(SEARCHES["fast"], steps=60)) < loss(SearchConfig(steps=60))


def test_the_shipped_model_fills_a_portrait():
    # The five lines of the README, with fewer steps.
    picture = image_lib.crop_and_resize(
        np.asarray(Image.open(DEMO / "obama_portrait.png"))
    )
    images = pixels.to_float(picture)[None]

    model = inpaint_jax.load_model("celeba64")
    keys = jax.random.split(jax.random.key(0), len(images))
    masks = inpaint_jax.make_masks("center", keys, images.shape[1:3])
    config = inpaint_jax.SearchConfig(steps=60)
    solution = inpaint_jax.inpaint(
        model, images, masks, jax.random.key(1), config=config
    )

    # The start of a search is a random face; its end must fit much better, and fill
    # the hole better than grey does.
    trace = solution.trace.total[0]
    assert solution.losses.total[0] < 0.7 * trace[0]
    grey = jnp.where(masks > 0, images, 0.0)
    filled = inpaint_jax.psnr_hole(solution.image[0], images[0], masks[0])
    assert filled > inpaint_jax.psnr_hole(grey[0], images[0], masks[0]) + 3
