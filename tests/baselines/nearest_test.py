"""The nearest training image against a search by hand."""

import jax.numpy as jnp
import numpy as np
import pytest
from problems import problem

from inpaint_jax.baselines import harmonic_fill, nearest, nearest_fill

SIZE = 12


def pictures(count, seed=0):
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)


def by_hand(training, images, masks):
    t = training / 127.5 - 1
    completed = []
    for y, m in zip(np.asarray(images, float), np.asarray(masks), strict=True):
        distances = (m * (t - y) ** 2).sum((1, 2, 3))
        completed.append(np.where(m == 1, y, t[distances.argmin()]))
    return np.stack(completed)


@pytest.mark.parametrize("chunk", [1, 4, 10, 1024])
@pytest.mark.parametrize("mask", ["center", "random80", "left"])
def test_it_is_the_one_with_the_least_squares(mask, chunk, monkeypatch):
    monkeypatch.setattr(nearest, "_CHUNK", chunk)
    images, masks, keys = problem(mask, count=8)
    training = pictures(10)
    # Each is near another one: with noise, and only where it is known.
    near = training[[3, 9, 0, 8, 4, 7, 1, 5]] / 127.5 - 1
    noise = 0.3 * np.random.default_rng(1).normal(size=near.shape)
    images = jnp.asarray((near + noise).clip(-1, 1), jnp.float32)
    images = jnp.where(masks == 1, images, jnp.nan)
    found = nearest_fill(training)(images, masks, keys)
    known = jnp.where(masks == 1, images, 0)
    np.testing.assert_allclose(found, by_hand(training, known, masks), atol=1e-6)


@pytest.mark.parametrize("chunk", [4, 1024])
def test_what_fills_up_the_last_chunk_is_never_found(chunk, monkeypatch):
    monkeypatch.setattr(nearest, "_CHUNK", chunk)
    _, masks, keys = problem(count=2)
    training = pictures(5)
    for level in (0, 127, 255):  # Of whatever color it might be.
        images = jnp.full((2, SIZE, SIZE, 3), level / 127.5 - 1)
        found = nearest_fill(training)(images, masks, keys)
        np.testing.assert_allclose(found, by_hand(training, images, masks), atol=1e-6)


@pytest.mark.parametrize("chunk", [4, 1024])
def test_of_equals_the_first_is_taken(chunk, monkeypatch):
    monkeypatch.setattr(nearest, "_CHUNK", chunk)
    images, masks, keys = problem()
    training = pictures(11)
    # Alike where they are known, in one chunk and in several.
    known = np.asarray(masks[0] == 1)
    training[[2, 3, 6, 10]] = np.where(known, training[2], training[[2, 3, 6, 10]])
    images = jnp.broadcast_to(training[6] / 127.5 - 1, images.shape)
    found = nearest_fill(training)(images, masks, keys)
    expected = np.broadcast_to(training[2] / 127.5 - 1, images.shape)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_nothing_known_gives_the_first():
    images, masks, keys = problem()
    training = pictures(5)
    found = nearest_fill(training)(images, jnp.zeros_like(masks), keys)
    expected = np.broadcast_to(training[0] / 127.5 - 1, images.shape)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_blended_it_follows_the_gradients_of_what_is_found():
    _, masks, keys = problem()
    training = (64 + pictures(5) // 2).astype(np.uint8)
    found = np.broadcast_to(training[3] / 127.5 - 1, (3, SIZE, SIZE, 3))
    # Brighter by as much everywhere: blended, the hole is, too.
    images = jnp.asarray(found + 0.1, jnp.float32)
    completed = nearest_fill(training, blend=True)(images, masks, keys)
    np.testing.assert_allclose(completed, images, atol=1e-4)
    assert np.abs(harmonic_fill(images, masks, keys) - images).max() > 0.1
