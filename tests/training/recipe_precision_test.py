"""Trainings compute in float32, whatever JAX_ENABLE_X64 says; the same numbers, too."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import AUTOENCODER, CONTEXT_ENCODER, RECIPE, TINY, VAE

from inpaint_jax.baselines import context_encoder, vae
from inpaint_jax.training import autoencoder, encoder, gan
from inpaint_jax.training.principal import principal_components

ENCODER = encoder.EncoderConfig(TINY, passes=1, steps=100, batch_size=8)
COLOR = np.array([0.1, -0.2, 0.3])


def generate(z):
    return jnp.repeat(jnp.repeat(jnp.tile(z.reshape(2, 4, 1), 3), 8, 0), 4, 1)


def distance(a, b):
    return jnp.abs(a - b).mean((1, 2, 3))


PRINCIPAL = principal_components(
    np.random.default_rng(0).integers(0, 256, (30, 16, 16, 3), np.uint8), 8, 8
)
DISTANCE = jax.tree_util.Partial(distance)
GENERATE = jax.tree_util.Partial(generate)
TRAININGS = {
    "dcgan": (
        lambda: gan.init_state(RECIPE),
        lambda state, images: gan.train_step(state, images, config=RECIPE),
    ),
    "dcgan, bfloat16": (
        lambda: gan.init_state(RECIPE),
        lambda state, images: gan.train_step(
            state, images, config=replace(RECIPE, precision="bfloat16")
        ),
    ),
    "autoencoder": (
        lambda: autoencoder.init_state(AUTOENCODER, PRINCIPAL),
        lambda state, images: autoencoder.train_step(
            state, np.concatenate([images] * 2), DISTANCE, config=AUTOENCODER
        ),
    ),
    "context_encoder": (
        lambda: context_encoder.init_state(CONTEXT_ENCODER, COLOR),
        lambda state, images: context_encoder.train_step(
            state, images, config=CONTEXT_ENCODER
        ),
    ),
    "vae": (
        lambda: vae.init_state(VAE),
        lambda state, images: vae.train_step(state, images, config=VAE),
    ),
    "encoder": (
        lambda: encoder.init_state(ENCODER),
        lambda state, images: encoder.train_step(
            state, images, GENERATE, config=ENCODER
        ),
    ),
}


@pytest.mark.parametrize("name", TRAININGS)
@pytest.mark.slow
def test_a_training_is_the_same_under_x64(name):
    init, step = TRAININGS[name]
    images = np.random.default_rng(0).uniform(-1, 1, (8, 16, 16, 3)).astype(np.float32)

    def run():
        state = init()
        for _ in range(2):
            state, metrics = step(state, images)
        return jax.tree.map(np.asarray, (state, metrics))

    expected = run()
    with jax.enable_x64(True):
        found = run()
    for path, leaf in jax.tree.leaves_with_path(found):
        name = jax.tree_util.keystr(path)
        assert leaf.dtype in (np.float32, np.int32), name
    # Adam's first steps are as large for gradients that are nothing but rounding.
    for a, b in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        assert np.mean(np.abs(a - b) > 1e-5 + 1e-3 * np.abs(b)) < 0.02
