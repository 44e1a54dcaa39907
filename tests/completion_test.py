import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import DEMO
from fakes import analytic_model, problem
from PIL import Image

import inpaint_jax
from inpaint_jax import parallel, pixels
from inpaint_jax.configs import SEARCHES, RefineConfig, SearchConfig
from inpaint_jax.data import images as image_lib
from inpaint_jax.latents import Normal
from inpaint_jax.types import Losses

SHORT = SearchConfig(steps=5)
# Another batch size rounds otherwise, and an l1 loss magnifies that step by step.
SLOW = SearchConfig(steps=30, learning_rate=0.01)
FAST = replace(SEARCHES["fast"], steps=30, learning_rate=0.01)
MODEL = analytic_model(size=8, latent_size=4)


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


@pytest.mark.slow
def test_a_model_is_searched_as_suits_it_unless_something_is_said():
    images, masks, keys = problem(2)
    for name in SEARCHES:
        model = inpaint_jax.with_metric(replace(MODEL, search=name))
        found = inpaint_jax.inpaint(model, images, masks, keys)
        assert found.trace.context.shape == (2, SEARCHES[name].steps + 1)
    said = inpaint_jax.inpaint(model, images, masks, keys, config=SHORT)
    assert said.trace.context.shape == (2, SHORT.steps + 1)


def test_a_search_that_wants_a_metric_says_so():
    images, masks, keys = problem(2)
    with pytest.raises(ValueError, match=r"inpaint_jax\.with_metric\(model\)"):
        inpaint_jax.inpaint(replace(MODEL, search="map"), images, masks, keys)


@pytest.mark.networks
@pytest.mark.slow
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


@pytest.mark.networks
def test_a_model_is_a_pytree(tiny_model_file):
    for model in (MODEL, inpaint_jax.load_model(tiny_model_file)):
        leaves, form = jax.tree.flatten(model)
        again = jax.tree.unflatten(form, leaves)
        assert (again.name, again.latents) == (model.name, model.latents)
        assert form == jax.tree.structure(again)
        assert isinstance(hash(form), int)
        latent = jnp.full(model.latents.shape, 0.3)
        expected = model.generate(latent)
        for moved in (
            jax.device_put(model, jax.devices()[1]),
            jax.tree.map(lambda x: x + 0, model),
            jax.jit(lambda model: model)(model),
        ):
            np.testing.assert_allclose(moved.generate(latent), expected, atol=1e-6)
        drawn = jax.jit(lambda model, z: model.generate(z))(model, latent)
        np.testing.assert_allclose(drawn, expected, atol=1e-6)
        many = jax.vmap(lambda model, z: model.generate(z), (None, 0))(
            model, jnp.stack([latent, latent])
        )
        np.testing.assert_allclose(many, [expected] * 2, atol=1e-6)


@pytest.mark.networks
@pytest.mark.parametrize("config", [SLOW, FAST])
@pytest.mark.slow
def test_it_may_be_called_under_jit(tiny_model_file, config):
    model = inpaint_jax.load_model(tiny_model_file)
    images, masks, keys = problem(2, size=16)
    run = functools.partial(inpaint_jax.inpaint, config=config)
    inside, outside = (
        jax.jit(run)(model, images, masks, keys),
        run(model, images, masks, keys),
    )
    # Compiled as one, it rounds otherwise.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=2e-3, rtol=2e-3),
        inside,
        outside,
    )
    known = np.broadcast_to(np.asarray(masks) == 1, images.shape)
    np.testing.assert_array_equal(np.asarray(inside.image)[known], images[known])
    with pytest.raises(ValueError, match="no progress"):
        jax.jit(lambda x: run(model, x, masks, keys, progress=print))(images)
    with pytest.raises(ValueError, match="images must be"):
        jax.jit(lambda x: run(model, x, masks, keys))(images[0])


@pytest.mark.slow
def test_whatever_goes_in_jax_arrays_come_out():
    images, masks, keys = problem(8)
    for mesh in (None, parallel.make_mesh()):
        found = inpaint_jax.inpaint(
            MODEL, np.asarray(images), np.asarray(masks), keys, config=SHORT, mesh=mesh
        )
        assert all(isinstance(x, jax.Array) for x in jax.tree.leaves(found))


def test_the_path_of_a_search_is_kept_where_it_is_asked_for():
    images, masks, keys = problem(2)
    config = SearchConfig(steps=70)
    found = inpaint_jax.inpaint(
        MODEL, images, masks, keys, config=config, keep_path=True
    )
    assert found.path.shape == (2, 71, 4)
    best = jnp.argmin(found.trace.total, 1)
    np.testing.assert_array_equal(found.path[np.arange(2), best], found.latent)
    without = inpaint_jax.inpaint(MODEL, images, masks, keys, config=config)
    assert without.path is None
    np.testing.assert_array_equal(without.latent, found.latent)


def test_another_objective_takes_the_place_of_the_papers():
    images, masks, keys = problem(3)

    def squares(latent, generated, seen):
        known = seen.mask * (generated - seen.image)
        return Losses(jnp.sum(jnp.square(known)), 1e-6 * jnp.sum(jnp.square(latent)))

    found = inpaint_jax.inpaint(
        replace(MODEL, critic=None),
        images,
        masks,
        keys,
        config=SearchConfig(steps=400, learning_rate=0.02),
        objective=squares,
    )
    # Each latent is the mean of the known pixels that show it.
    shown = (np.arange(64) % 4)[:, None] == np.arange(4)
    values = np.asarray((masks * images).sum(-1)).reshape(3, 64) @ shown
    counts = 3 * np.asarray(masks).reshape(3, 64) @ shown
    np.testing.assert_allclose(found.latent, values / counts, atol=0.01)


def test_a_model_without_a_critic_has_no_prior_loss():
    images, masks, keys = problem(2)
    model = replace(MODEL, critic=None)
    found = inpaint_jax.inpaint(model, images, masks, keys, config=SHORT)
    np.testing.assert_array_equal(found.losses.prior, 0.0)
    # With a weight, the density of a normal latent is one.
    normal = replace(model, latents=Normal(4))
    config = replace(SHORT, latent_weight=0.5)
    found = inpaint_jax.inpaint(normal, images, masks, keys, config=config)
    expected = 0.25 * jnp.square(found.latent).sum(1)
    np.testing.assert_allclose(found.losses.prior, expected, rtol=1e-5)


@pytest.mark.parametrize("bad", [{"steps": 2.5}, {"starts": "3"}, {"prior_every": 0}])
def test_a_number_of_steps_that_is_none_is_refused(bad):
    (name,) = bad
    with pytest.raises(ValueError, match=f"^{name} must be"):
        SearchConfig(**bad)


@pytest.mark.networks
@pytest.mark.parametrize("config", [SLOW, FAST])
@pytest.mark.slow
def test_double_precision_elsewhere_changes_nothing(tiny_model_file, config):
    model = inpaint_jax.load_model(tiny_model_file)
    images, masks, keys = problem(2, size=16)
    images, masks = np.asarray(images), np.asarray(masks)
    config = replace(config, steps=3)
    expected = inpaint_jax.inpaint(model, images, masks, keys, config=config)
    with jax.enable_x64(True):
        found = inpaint_jax.inpaint(
            model, images, masks, keys, config=config, candidates=2
        )
    for x in jax.tree.leaves(found._replace(candidate=None)):
        assert x.dtype == jnp.float32
    rows = np.argmax(found.candidate == 0, 1)
    np.testing.assert_allclose(
        found.latent[np.arange(2), rows], expected.latent, atol=1e-3
    )


@pytest.mark.networks
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


@pytest.mark.networks
@pytest.mark.parametrize("config", [SLOW, FAST])
@pytest.mark.slow
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


@pytest.mark.networks
@pytest.mark.slow
def test_as_many_fast_steps_get_further():
    # On what the generator can express: four of its own faces.
    model = inpaint_jax.load_model("celeba64")
    latents = jax.vmap(model.latents.sample)(jax.random.split(jax.random.key(1), 4))
    images = jax.jit(jax.vmap(model.generate))(latents)
    keys = jax.random.split(jax.random.key(0), 4)
    masks = inpaint_jax.make_masks("center", keys, images.shape[1:3])

    def loss(config):
        found = inpaint_jax.inpaint(model, images, masks, keys, config=config)
        return found.losses.total.mean()

    assert loss(replace(SEARCHES["fast"], steps=60)) < loss(SearchConfig(steps=60))


@pytest.mark.networks
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


@pytest.mark.parametrize(
    "generate",
    [
        lambda z: jnp.zeros((1, 8, 8, 3)) * z.sum(),
        lambda z: jnp.zeros((8, 8, 1)) * z.sum(),
        lambda z: jnp.zeros((3, 8, 8)) * z.sum(),
    ],
)
def test_a_generator_of_other_shapes_is_refused(generate):
    images, masks, keys = problem(2)
    model = inpaint_jax.Model(generate, Normal(4), 8)
    with pytest.raises(ValueError, match=r"the model generates .*, not \[8, 8, 3\]"):
        inpaint_jax.inpaint(model, images, masks, keys, config=SHORT)


@pytest.mark.parametrize("given", [{"progress": print}, {"mesh": parallel.make_mesh()}])
def test_what_cannot_be_traced_is_refused_under_jit(given):
    images, masks, keys = problem(8)

    @jax.jit
    def traced(keys):  # The images are known, the keys are not.
        return inpaint_jax.inpaint(MODEL, images, masks, keys, config=SHORT, **given)

    with pytest.raises(ValueError, match=r"jax\.jit"):
        traced(keys)


def test_a_name_is_no_model_and_no_configuration():
    images, masks, keys = problem(2)
    with pytest.raises(TypeError, match="a Model, as load_model gives it, not 'faces'"):
        inpaint_jax.inpaint("faces", images, masks, keys)
    with pytest.raises(TypeError, match="config must be a SearchConfig, not 'fast'"):
        inpaint_jax.inpaint(MODEL, images, masks, keys, config="fast")


def test_a_start_that_is_not_a_number_is_not_taken():
    def generate(z):
        return jnp.where(z[0] > 0, jnp.nan, MODEL.generate(z))

    images, masks, keys = problem(4)
    model = replace(MODEL, generate=generate, critic=None)
    config = SearchConfig(steps=1, starts=16, learning_rate=1e-6)
    found = inpaint_jax.inpaint(model, images, masks, keys, config=config)
    assert np.isfinite(found.losses.total).all()


def test_arrays_may_change_as_soon_as_the_call_has_returned():
    images, masks, keys = problem(2)
    expected = inpaint_jax.inpaint(MODEL, images, masks, keys, config=SHORT).image
    for _ in range(5):  # Whether JAX copies an array depends on its address.
        own = np.array(images), np.array(masks)
        found = inpaint_jax.inpaint(MODEL, *own, keys, config=SHORT)
        own[0][:], own[1][:] = 0, 1
        np.testing.assert_array_equal(found.image, expected)
