"""The autoencoder's networks: their linear part, and the forms that are searched."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import random_weights

from inpaint_jax import masks
from inpaint_jax.configs import Architecture
from inpaint_jax.networks import autoencoder_inference as inference
from inpaint_jax.networks import linear_part
from inpaint_jax.networks.autoencoder import Critic, Decoder, Encoder
from inpaint_jax.networks.inference import discriminator_weights

SMALL = Architecture(latent_size=10, width=8, image_size=16)
DEEP = Architecture(latent_size=10, width=4, image_size=128)  # Layers after the coarse.
NOISE = 0.01


@functools.cache
def networks(architecture):
    """Random variables of decoder, encoder and critic."""
    size = architecture.image_size
    z, seen = jnp.zeros((2, architecture.latent_size)), jnp.zeros((2, size, size, 4))

    def init(key):
        return (
            Decoder(architecture).init(key, z, train=True),
            Encoder(architecture).init(key, seen, train=True),
            Critic(architecture).init(key, seen, train=True),
        )

    drawn = random_weights(jax.eval_shape(init, jax.random.key(0)))
    drawn[0]["params"]["noise"] = jnp.float32(NOISE)
    drawn[0]["params"]["components"] *= 5.0  # Of the size of a picture's contrast.
    random = np.random.default_rng(3)
    length = architecture.latent_size
    factor = np.tril(0.1 * random.normal(size=(length, length))) + 0.6 * np.eye(length)
    prior = {"mean": random.normal(size=length), "factor": factor}
    drawn[0]["prior"] = jax.tree.map(np.float32, prior)
    return drawn


def pictures(architecture, count):
    size = architecture.image_size
    coarse = np.random.default_rng(0).normal(size=(count, 8, 8, 3)).astype(np.float32)
    return np.tanh(jax.image.resize(coarse, (count, size, size, 3), "cubic"))


def hole(name, size):
    return np.asarray(masks.mask_function(name)(jax.random.key(1), (size, size)))


@pytest.mark.parametrize("architecture", [SMALL, DEEP])
@pytest.mark.slow
def test_values_and_gradients_are_those_of_the_trained_networks(architecture):
    decoder, encoder, critic = networks(architecture)
    image = pictures(architecture, 1)[0]
    mask = hole("center", architecture.image_size)
    with jax.enable_x64(True):
        wide = functools.partial(jnp.asarray, dtype=jnp.float64)
        of_g, of_e, of_c = jax.tree.map(wide, (decoder, encoder, critic))
        weights = inference.decoder_weights(of_g, jnp.float64)
        of_encoder = inference.encoder_weights(of_e, of_g, jnp.float64)
        of_critic = discriminator_weights(of_c, jnp.float64)

        def ours(z):
            made = inference.generate(weights, z)
            seen = jnp.concatenate([jnp.where(mask > 0.5, made, -1), mask, made], -1)
            guess = inference.correct(of_encoder, seen)
            return inference.judge(of_critic, made)[0], (made, guess)

        def theirs(z):
            center, factor = of_g["prior"]["mean"], of_g["prior"]["factor"]
            code = center + factor @ z
            made = jnp.clip(
                Decoder(architecture).apply(of_g, code[None], train=False), -1, 1
            )
            guess = linear_part.guess(of_g["params"], made, mask)
            seen = linear_part.see(made, wide(mask))
            correction, _ = Encoder(architecture).apply(of_e, seen, train=False)
            marked = jnp.concatenate([made, jnp.zeros_like(made[..., :1])], -1)
            logit = Critic(architecture).apply(of_c, marked, train=False)
            found = jnp.linalg.solve(factor, (guess + correction)[0] - center)
            return logit[0], (made[0], found)

        z = wide(np.random.default_rng(0).normal(size=architecture.latent_size))
        found, expected = (
            jax.value_and_grad(each, has_aux=True)(z) for each in (ours, theirs)
        )
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-8, atol=1e-10),
        found,
        expected,
    )
    assert np.abs(image).max() <= 1


@pytest.mark.parametrize(
    "mask",
    [
        *(hole(name, 16) for name in ("center", "random80")),
        *(np.full((16, 16, 1), value, np.float32) for value in (0, 1)),
    ],
)
def test_the_linear_guess_is_the_solution_of_least_squares(mask):
    params, images = networks(SMALL)[0]["params"], pictures(SMALL, 3)
    found = linear_part.guess(params, images, mask)
    components = np.asarray(params["components"], np.float64)
    for image, latent in zip(images, found, strict=True):
        rows, right = [np.eye(10)], [np.zeros(10)]
        for y, x in np.ndindex(8, 8):
            block = np.s_[2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
            known = mask[block][..., 0] > 0.5
            if not known.any():
                continue
            difference = image[block][known].mean(0) - params["mean"][y, x]
            weight = np.sqrt(known.mean() / NOISE)
            rows.append(weight * components[:, y, x].T)
            right.append(weight * difference)
        expected = np.linalg.lstsq(np.concatenate(rows), np.concatenate(right))[0]
        np.testing.assert_allclose(latent, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_guesses_of_a_batch_are_those_of_each():
    decoder, encoder, _ = networks(SMALL)
    correct = functools.partial(
        inference.correct, inference.encoder_weights(encoder, decoder)
    )
    images = pictures(SMALL, 3)
    known = np.stack([hole(name, 16) for name in ("center", "left", "random80")])
    seen = np.concatenate([images, known, images], -1)
    together = jax.vmap(correct)(seen)
    alone = np.stack([correct(each) for each in seen])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
    # What is in the hole, or was guessed before, does not matter.
    hidden = seen.copy()
    hidden[..., :3] = np.where(known > 0.5, images, 0.7)
    hidden[..., 4:] = 0.3
    np.testing.assert_array_equal(jax.vmap(correct)(hidden), together)


def test_it_is_enlarged_as_jax_resizes():
    images = pictures(SMALL, 2)
    for size in (32, 64):
        expected = jax.image.resize(images, (2, size, size, 3), "bilinear")
        found = linear_part.enlarge(images, size)
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.slow
def test_features_can_be_rendered_on_their_own():
    weights = inference.decoder_weights(networks(DEEP)[0])
    z = np.random.default_rng(0).normal(size=10).astype(np.float32)
    features = inference.features(weights, z)
    assert features.shape == (32, 32, 4 * 2 + 3)
    whole = inference.generate(weights, z)
    np.testing.assert_array_equal(inference.render(weights, features), whole)
