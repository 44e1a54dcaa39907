import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import TINY

from inpaint_jax import masks, parallel
from inpaint_jax.configs import Architecture
from inpaint_jax.latents import Normal, Uniform
from inpaint_jax.search.starts import guesses
from inpaint_jax.training import encoder

CONFIG = encoder.EncoderConfig(TINY, passes=2, steps=100, batch_size=12)


def generate(z):
    """Every latent a block of pixels of its own: what is known says what z is."""
    blocks = jnp.tile(z.reshape(2, 4, 1), (1, 1, 3))
    return jnp.repeat(jnp.repeat(blocks, 8, 0), 4, 1)


GENERATE = jax.tree_util.Partial(generate)


def pictures(seed=0):
    latents = jax.random.uniform(jax.random.key(seed), (12, 8), minval=-1.0)
    return jax.vmap(generate)(latents)


def train(steps, config=CONFIG, seed=0):
    state, rows = encoder.init_state(config), []
    for step in range(steps):
        batch = pictures(100 * seed + step)
        state, metrics = encoder.train_step(state, batch, GENERATE, config=config)
        rows.append(metrics)
    return state, rows


def test_guesses_get_better_with_training_and_with_every_pass():
    _, rows = train(CONFIG.steps)
    first, last = (
        np.mean([row.whole for row in part], 0) for part in (rows[:5], rows[-5:])
    )
    assert (last < 0.8 * first).all()
    assert last[1] < last[0]


@pytest.mark.slow
def test_the_same_seed_trains_the_same_encoders():
    one, two = train(2)[0], train(2)[0]
    jax.tree.map(np.testing.assert_array_equal, one, two)
    other, _ = train(2, replace(CONFIG, seed=1))
    kernels = [
        state.encoders[0]["params"]["Dense_0"]["kernel"] for state in (one, other)
    ]
    assert not np.array_equal(*kernels)


@pytest.mark.parametrize("space", [Uniform(8), Normal(8)])
@pytest.mark.slow
def test_the_step_counts_what_it_says(space):
    # Independently: the figures of the first step, from the networks as they start.
    state = encoder.init_state(CONFIG)
    key = jax.random.fold_in(jax.random.key(CONFIG.seed), 0)
    key_flip, key_latent, key_mask = jax.random.split(key, 3)
    flips = [jax.random.bernoulli(key) for key in jax.random.split(key_flip, 12)]
    chosen = jnp.stack(flips)[:, None, None, None]
    images = np.array(jnp.where(chosen, pictures()[:, :, ::-1], pictures()))
    keys = jax.random.split(key_latent, 12)
    latents = jnp.stack([space.sample(key) for key in keys])
    images[:6] = jax.vmap(generate)(latents)[:6]
    known = masks.masks_in_turn(encoder.MASKS, key_mask, 12, (16, 16))
    network = encoder.Encoder(TINY)
    correctors = [
        lambda seen, each=each: network.apply(
            each, seen, train=True, mutable=["batch_stats"]
        )[0]
        for each in state.encoders
    ]
    expected = [
        np.abs(np.asarray(generated) - images).mean()
        for _, generated in guesses(
            correctors, jax.vmap(generate), space, images, known
        )
    ]
    _, metrics = encoder.train_step(
        state, pictures(), GENERATE, config=CONFIG, latents=space
    )
    np.testing.assert_allclose(metrics.whole, expected, rtol=1e-4)


@pytest.mark.slow
def test_masks_are_of_all_kinds_in_turn():
    drawn = np.asarray(
        masks.masks_in_turn(encoder.MASKS, jax.random.key(0), 13, (16, 16))
    )
    assert drawn.shape == (13, 16, 16, 1)
    assert set(np.unique(drawn)) == {0.0, 1.0}
    center = np.asarray(masks.center(jax.random.key(0), (16, 16)))
    same = [bool((mask == center).all()) for mask in drawn]
    assert same == [i % 6 == 0 for i in range(13)]
    assert all(
        not np.array_equal(a, b)
        for a, b in itertools.combinations(drawn[[1, 2, 4, 5, 7, 8, 10, 11]], 2)
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("passes", 0),
        ("steps", 0),
        ("batch_size", 1),
        ("learning_rate", 0.0),
    ],
)
def test_refuses_what_makes_no_sense(field, value):
    with pytest.raises(ValueError, match=field):
        encoder.EncoderConfig(Architecture(), **{field: value})


@pytest.mark.slow
def test_many_devices_are_as_good_as_one():
    mesh = parallel.make_mesh(jax.devices()[:4])

    def run(mesh):
        state = encoder.init_state(CONFIG)
        if mesh is not None:
            state = parallel.replicate(state, mesh)
        for step in range(2):
            images = parallel.place(pictures(step), mesh)
            state, metrics = encoder.train_step(
                state, images, GENERATE, config=CONFIG, mesh=mesh
            )
        return jax.device_get((state, metrics))

    # As in gan_test: where a gradient is nothing but rounding, Adam's steps are not.
    for a, b in zip(*map(jax.tree.leaves, (run(mesh), run(None))), strict=True):
        assert np.mean(np.abs(a - b) > 1e-5 + 1e-3 * np.abs(b)) < 0.02
