"""What the discriminator's augmentation does to pixels, against plain NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inpaint_jax.training.augment import AUGMENTATIONS, augment, flip_at_random

augment = jax.jit(augment, static_argnums=2)


def images(count=64, size=16):
    return jax.random.uniform(
        jax.random.key(7), (count, size, size, 3), minval=-1.0, maxval=1.0
    )


def keys(seed, images):
    return jax.random.split(jax.random.key(seed), len(images))


def shifted(image, down, right):
    moved = np.zeros_like(image)
    height, width = image.shape[:2]
    for row in range(height):
        for column in range(width):
            if 0 <= row - down < height and 0 <= column - right < width:
                moved[row, column] = image[row - down, column - right]
    return moved


def test_nothing_is_asked_and_nothing_changes():
    np.testing.assert_array_equal(augment(keys(0, images()), images(), ()), images())


def test_translation_moves_each_image_by_at_most_an_eighth():
    x = np.asarray(images())
    found = np.asarray(augment(keys(0, x), x, ("translation",)))
    seen = set()
    for before, after in zip(x, found, strict=True):
        moves = [
            (down, right)
            for down in range(-2, 3)
            for right in range(-2, 3)
            if np.array_equal(shifted(before, down, right), after)
        ]
        assert len(moves) == 1
        seen.add(moves[0])
    assert (
        {down for down, _ in seen} == {right for _, right in seen} == set(range(-2, 3))
    )


def test_cutout_blanks_a_square_whose_centre_is_in_the_image():
    x = np.asarray(images())
    found = np.asarray(augment(keys(0, x), x, ("cutout",)))
    for before, after in zip(x, found, strict=True):
        blank = (after == 0).all(-1)
        np.testing.assert_array_equal(after[~blank], before[~blank])
        rows, columns = (np.flatnonzero(blank.any(axis)) for axis in (1, 0))
        # A full rectangle, half the image's side where the border does not cut it.
        assert blank.sum() == len(rows) * len(columns)
        for span in (rows, columns):
            assert 4 <= len(span) <= 8
            assert len(span) == 8 or span[0] == 0 or span[-1] == 15
            np.testing.assert_array_equal(np.diff(span), 1)


def test_color_keeps_its_ranges():
    x = np.asarray(images(256), np.float64)
    found = np.asarray(augment(keys(0, x), x, ("color",)), np.float64)
    brightness = found.mean((1, 2, 3)) - x.mean((1, 2, 3))
    assert -0.5 <= brightness.min() < -0.45
    assert 0.45 < brightness.max() <= 0.5
    grey, new_grey = x.mean(-1), found.mean(-1)
    contrast = new_grey.std((1, 2)) / grey.std((1, 2))
    assert 0.5 <= contrast.min() < 0.55
    assert 1.45 < contrast.max() <= 1.5 + 1e-5
    colors = [
        (i - g[..., None]).std((1, 2, 3)) for i, g in ((x, grey), (found, new_grey))
    ]
    saturation = colors[1] / colors[0] / contrast
    assert 0 <= saturation.min() < 0.1
    assert 1.9 < saturation.max() <= 2 + 1e-5
    # One change for the whole image: what was linear stays linear.
    fit = [
        np.polyfit(a.ravel(), b.ravel(), 1, full=True)[1]
        for a, b in zip(grey, new_grey, strict=True)
    ]
    assert np.max(fit) < 1e-6


def test_it_is_a_function_of_the_key_and_of_the_place_in_the_batch():
    x = jnp.broadcast_to(images(1), (8, 16, 16, 3))
    one, again, other = (augment(keys(k, x), x, AUGMENTATIONS) for k in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, other)
    assert not np.allclose(one[0], one[1])


@pytest.mark.parametrize("what", AUGMENTATIONS)
def test_gradients_pass_through(what):
    x = images(4)
    weights = jax.random.normal(jax.random.key(1), x.shape)

    @jax.jit
    def loss(x):
        return (weights * augment(keys(0, x), x, (what,))).sum()

    direction = jax.random.normal(jax.random.key(2), x.shape)
    # Linear for a given key, so that a large step is as good as a small one.
    change = loss(x + direction) - loss(x)
    np.testing.assert_allclose((jax.grad(loss)(x) * direction).sum(), change, rtol=1e-3)


def test_an_unknown_augmentation_is_refused():
    with pytest.raises(ValueError, match=r"augmentations can be color, .*, not blur"):
        augment(keys(0, images()), images(), ("blur",))


def test_flips_mirror_about_half_and_change_nothing_else():
    before = images(256)
    flipped = flip_at_random(keys(0, before), before)
    same = np.all(np.asarray(flipped == before), axis=(1, 2, 3))
    mirrored = np.all(np.asarray(flipped == before[:, :, ::-1]), axis=(1, 2, 3))
    assert np.all(same ^ mirrored)
    assert 90 < mirrored.sum() < 166
