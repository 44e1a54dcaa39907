"""The training of the autoencoder."""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import AUTOENCODER

from inpaint_jax import masks, parallel
from inpaint_jax.configs import Architecture
from inpaint_jax.networks import autoencoder as networks
from inpaint_jax.networks import linear_part
from inpaint_jax.training import autoencoder
from inpaint_jax.training.encoder import MASKS
from inpaint_jax.training.principal import principal_components

SIZE = AUTOENCODER.architecture


def faces(count, seed=0):
    """Pictures ``[count, 16, 16, 3]`` uint8 of a few broad patterns."""
    patterns = np.random.default_rng(0).normal(size=(6, 4, 4, 3))
    patterns = patterns.repeat(4, 1).repeat(4, 2)
    random = np.random.default_rng(seed)
    images = np.tensordot(random.normal(size=(count, 6)), patterns, 1)
    images += 0.1 * random.normal(size=images.shape)
    return np.clip(127.5 + 30 * images, 0, 255).astype(np.uint8)


def batch(seed, count=16):
    return faces(count, seed).astype(np.float32) / 127.5 - 1


def squared(a, b):
    """A distance with a gradient where the perceptual one stands."""
    return jnp.square(a - b).mean((1, 2, 3))


DISTANCE = jax.tree_util.Partial(squared)


@functools.cache
def principal():
    return principal_components(faces(500), SIZE.latent_size, 8)


def init(config=AUTOENCODER):
    return autoencoder.init_state(config, principal())


def train(steps, config=AUTOENCODER, mesh=None):
    state, rows = init(config), []
    for step in range(steps):
        images = parallel.place(batch(step), mesh)
        state, metrics = autoencoder.train_step(
            state, images, DISTANCE, config=config, mesh=mesh
        )
        rows.append(jax.tree.map(np.asarray, metrics))
    return state, rows


@pytest.mark.slow
def test_before_the_first_step_it_is_probabilistic_pca():
    state, images = init(), batch(1)
    decoder = state.decoder.variables
    everything = jnp.ones((16, 16, 1))
    latents = linear_part.guess(decoder["params"], images, everything)
    found = networks.Decoder(SIZE).apply(decoder, latents, train=False)
    mean, components, noise = principal()
    rows = components.reshape(len(components), -1).astype(np.float64)
    coarse = images.reshape(16, 8, 2, 8, 2, 3).mean((2, 4)) - mean
    # Tipping and Bishop, 1999: M^-1 W' (x - mu), M = W' W + noise.
    inner = rows @ rows.T + noise * np.eye(len(rows))
    expected = np.linalg.solve(inner, rows @ coarse.reshape(16, -1).T).T
    np.testing.assert_allclose(latents, expected, rtol=2e-3, atol=2e-3)
    rebuilt = (expected @ rows).reshape(16, 8, 8, 3) + mean
    enlarged = jax.image.resize(rebuilt, (16, 16, 16, 3), "bilinear")
    assert np.abs(found - enlarged).max() < 0.05  # The body's first weights.


@pytest.mark.slow
def test_the_step_counts_what_it_says():
    # Independently: the figures of the first step, from the networks as they start.
    state, images = init(), batch(0)
    key = jax.random.fold_in(jax.random.key(AUTOENCODER.seed), 0)
    key_flip, key_mask, key_noise, key_sample, _ = jax.random.split(key, 5)
    for i, each in enumerate(jax.random.split(key_flip, 16)):
        if jax.random.bernoulli(each):
            images[i] = images[i, :, ::-1]
    whole, holed = images[0::2], images[1::2]
    key_masks, key_choice = jax.random.split(key_mask)
    drawn = masks.masks_in_turn(MASKS, key_masks, len(MASKS), (16, 16))
    mask = np.asarray(drawn[jax.random.randint(key_choice, (), 0, len(MASKS))])
    decoder, encoder, critic = (
        each.variables for each in (state.decoder, state.encoder, state.critic)
    )
    everything = np.ones((16, 16, 1), np.float32)
    guess = [
        linear_part.guess(decoder["params"], *each)
        for each in ((whole, everything), (holed, mask))
    ]
    seen = [
        np.concatenate([np.where(known > 0.5, each, -1), np.stack([known] * 8)], -1)
        for each, known in ((whole, everything), (holed, mask))
    ]
    wide = replace(SIZE, width=AUTOENCODER.encoder_width)
    (correction, log_variance), _ = networks.Encoder(wide).apply(
        encoder, np.concatenate(seen), train=True, mutable=["batch_stats"]
    )
    rows = principal().components.reshape(SIZE.latent_size, -1)
    noise = principal().noise
    variance = np.exp(log_variance[:8]) * noise / (noise + np.square(rows).sum(1))
    mean = guess[0] + correction[:8]
    latents = mean + np.sqrt(variance) * jax.random.normal(key_noise, mean.shape)
    sampled = jax.random.normal(key_sample, (4, SIZE.latent_size))
    sampled *= np.sqrt(1 - noise / (noise + np.square(rows).sum(1)))  # As guesses.
    given = np.concatenate([latents, guess[1] + correction[8:], sampled])
    decoded, _ = networks.Decoder(SIZE).apply(
        decoder, given, train=True, mutable=["batch_stats"]
    )
    completed = np.where(mask > 0.5, holed, decoded[8:16])
    judge = functools.partial(
        networks.Critic(replace(SIZE, width=AUTOENCODER.critic_width)).apply, critic
    )

    def opinion(images, known):
        marks = np.broadcast_to(known, (*images.shape[:3], 1))
        return np.asarray(judge(np.concatenate([images, marks], -1), train=True))

    lead = [
        opinion(holed, mask) - opinion(completed, mask),
        opinion(whole[0::2], 0) - opinion(decoded[0:8:2], 0),
        opinion(whole[1::2], 0) - opinion(decoded[16:], 0),
    ]
    after, found = autoencoder.train_step(
        init(), batch(0), DISTANCE, config=AUTOENCODER
    )
    expected = {
        "squared_error": np.square(decoded[:8] - whole).mean(),
        "completion_error": np.square(decoded[8:16] - holed).mean(),
        "divergence": (mean**2 + variance - 1 - np.log(variance)).sum(1).mean() / 2,
        "perceptual": np.square(decoded[:8] - whole).mean(),
        "completion_perceptual": np.square(completed - holed).mean(),
        "lead": np.concatenate(lead).mean(),
    }
    for name, value in expected.items():
        assert getattr(found, name) == pytest.approx(float(value), rel=1e-3), name
    assert found.slope > 0
    kept = AUTOENCODER.ema_decay
    np.testing.assert_allclose(after.codes.mean, (1 - kept) * mean.mean(0), rtol=1e-3)
    explained = np.square(rows).sum(1) / (noise + np.square(rows).sum(1))
    covariance = kept * np.diag(explained) + (1 - kept) * mean.T @ mean / 8
    np.testing.assert_allclose(after.codes.covariance, covariance, rtol=1e-3, atol=1e-6)


@pytest.mark.slow
def test_it_gets_better_and_repeats_itself():
    state, rows = train(40)
    again, _ = train(40)
    jax.tree.map(np.testing.assert_array_equal, state, again)
    first, last = (
        np.mean([row.completion_error for row in part])
        for part in (rows[:8], rows[-8:])
    )
    assert last < 0.95 * first
    kernels = [
        init(config).decoder.variables["params"]["Dense_0"]["kernel"]
        for config in (AUTOENCODER, replace(AUTOENCODER, seed=1))
    ]
    assert not np.array_equal(*kernels)
    # What training keeps.
    assert state.decoder.variables["params"]["noise"] == principal().noise
    for network in (state.decoder, state.encoder, state.critic):
        assert np.isfinite(jax.tree.leaves(network.variables)[0]).all()


@pytest.mark.slow
def test_two_devices_are_as_good_as_one():
    alone, expected = train(2)
    mesh = parallel.make_mesh(jax.devices()[:2])
    together, found = train(2, mesh=mesh)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-5)
    # Where a gradient is nothing but rounding, Adam's steps are not.
    for a, b in zip(*map(jax.tree.leaves, (together, alone)), strict=True):
        assert np.mean(np.abs(a - b) > 1e-4 + 1e-2 * np.abs(b)) < 0.05


@pytest.mark.parametrize(
    "weight", ["adversarial_weight", "completion_adversarial_weight"]
)
@pytest.mark.slow
def test_the_critic_moves_the_decoder(weight):
    deaf = replace(AUTOENCODER, **{weight: 0.0})
    # Adam's first step has the signs of the gradient alone, which may be the same.
    states = [train(2, config)[0] for config in (AUTOENCODER, deaf)]
    one, two = (state.decoder.variables["params"] for state in states)
    assert not np.array_equal(one["components"], two["components"])


@pytest.mark.slow
def test_the_critic_has_little_to_say_until_training_has_settled():
    def gradient(settled, weight):
        config = replace(
            AUTOENCODER, settled=settled, completion_adversarial_weight=weight
        )
        state = init()._replace(step=jnp.int32(150))
        state, _ = autoencoder.train_step(state, batch(0), DISTANCE, config=config)
        return jax.tree.leaves(state.decoder.optimizer[0].mu)

    grown, growing, at_first = (
        gradient(75, 1.1),
        gradient(100, 2.0),
        gradient(150, 11.0),
    )
    for found in (growing, at_first):
        for a, b in zip(found, grown, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch_size": 12}, "batch_size must be a multiple of 8"),
        ({"penalty": -1.0}, "penalty must be >= 0"),
        ({"encoder_width": 0}, "encoder_width must be at least 1"),
        ({"adversarial_weight": float("inf")}, "adversarial_weight must be >= 0"),
    ],
)
def test_a_recipe_must_make_sense(wrong, message):
    with pytest.raises(ValueError, match=message):
        replace(AUTOENCODER, **wrong)


def test_the_layers_next_to_a_large_image_are_not_wider():
    wide = Architecture(latent_size=8, width=4, image_size=128)
    assert networks.channels(wide) == [4, 8, 16, 32, 32]
    assert networks.coarse_side(wide) == 32
