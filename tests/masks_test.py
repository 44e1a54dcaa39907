"""Masks against their definitions, and the bicubic field against Pillow's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from inpaint_jax import masks

SIZE = (64, 64)
SIDES = ("top", "bottom", "left", "right")


def draw(name, seed=0, size=SIZE):
    """One mask, as `[H, W]` truth values of 'missing'."""
    return (
        np.asarray(masks.mask_function(name)(jax.random.key(seed), size))[..., 0] == 0
    )


def missing_share(name, count):
    keys = jax.random.split(jax.random.key(7), count)
    return 1 - np.asarray(masks.make_masks(name, keys, SIZE)).mean(axis=(1, 2, 3))


def closed_form(name, height=64, width=64):
    missing = np.zeros((height, width), bool)
    region = {
        "center": np.s_[16:48, 16:48],
        "top": np.s_[:32, :],
        "bottom": np.s_[32:, :],
        "left": np.s_[:, :32],
        "right": np.s_[:, 32:],
    }[name]
    missing[region] = True
    return missing


@pytest.mark.parametrize("name", ("center", *SIDES))
def test_fixed_masks_are_the_named_block(name):
    np.testing.assert_array_equal(draw(name), closed_form(name))
    np.testing.assert_array_equal(draw(name, seed=1), closed_form(name))


@pytest.mark.parametrize("name", (*masks.MASK_NAMES, "random37"))
def test_a_mask_is_float32_zeros_and_ones(name):
    mask = masks.mask_function(name)(jax.random.key(0), SIZE)
    assert mask.shape == (64, 64, 1)
    assert mask.dtype == jnp.float32
    assert set(np.unique(mask)) == {0.0, 1.0}


@pytest.mark.parametrize("name", masks.MASK_NAMES)
def test_the_same_alone_and_in_a_batch(name):
    keys = jax.random.split(jax.random.key(3), 5)
    batch = masks.make_masks(name, keys, SIZE)
    assert batch.shape == (5, 64, 64, 1)
    function = masks.mask_function(name)
    for key, mask in zip(keys, batch, strict=True):
        np.testing.assert_array_equal(function(key, SIZE), mask)


@pytest.mark.parametrize("name", ("pattern", "random80", "random20"))
def test_keys_differ_and_repeat(name):
    np.testing.assert_array_equal(draw(name, 0), draw(name, 0))
    assert (draw(name, 0) != draw(name, 1)).any()


@pytest.mark.parametrize("percent", (1, 20, 50, 80, 99))
def test_random_removes_the_share_it_names(percent):
    shares = missing_share(f"random{percent}", 40)
    error = np.sqrt(percent * (100 - percent) / shares.size) / 100 / 64
    np.testing.assert_allclose(shares.mean(), percent / 100, atol=5 * error)


def test_random_pixels_are_independent():
    missing = draw("random50")
    for shifted in (missing[1:, :] ^ missing[:-1, :], missing[:, 1:] ^ missing[:, :-1]):
        assert abs(shifted.mean() - 0.5) < 5 * 0.5 / 63


def test_random_pixels_takes_everything_and_nothing():
    key = jax.random.key(0)
    assert (masks.random_pixels(key, SIZE, 1.0) == 0).all()
    assert (masks.random_pixels(key, SIZE, 0.0) == 1).all()
    for missing in (-0.1, 1.1, 80, float("nan")):
        with pytest.raises(ValueError, match="0 to 1"):
            masks.random_pixels(key, SIZE, missing)


def test_half_is_each_side_equally_often():
    keys = jax.random.split(jax.random.key(11), 800)
    missing = np.asarray(masks.make_masks("half", keys, (8, 8)))[..., 0] == 0
    counts = [
        (missing == draw(side, size=(8, 8))).all(axis=(1, 2)).sum() for side in SIDES
    ]
    assert sum(counts) == 800
    # Four standard deviations of a binomial with n = 800, p = 1/4.
    assert all(abs(count - 200) < 50 for count in counts), counts


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (7, 5), (2, 9)])
def test_sides_and_center_at_any_size(size):
    height, width = size
    counts = {name: int(draw(name, size=size).sum()) for name in ("center", *SIDES)}
    assert counts["top"] == counts["bottom"] == height // 2 * width
    assert counts["left"] == counts["right"] == height * (width // 2)
    assert counts["center"] == (height // 2) * (width // 2)
    assert not (draw("top", size=size) & draw("bottom", size=size)).any()
    assert not (draw("left", size=size) & draw("right", size=size)).any()


# ---- pattern ---------------------------------------------------------------------


def test_pattern_always_lies_between_20_and_30_per_cent():
    shares = missing_share("pattern", 200)
    assert shares.min() > 0.20
    assert shares.max() < 0.30
    assert shares.std() > 0.01


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 999))
def test_pattern_share_at_another_size(seed):
    missing = draw("pattern", seed, (20, 50))
    assert missing.shape == (20, 50)
    assert 0.20 < missing.mean() < 0.30


enlarged_crop = jax.jit(masks._enlarged_crop, static_argnums=2)


def noise_and_picture(rows=12, columns=15):
    noise = np.random.default_rng(0).integers(0, 2**14, (rows, columns), np.int32)
    picture = Image.fromarray((noise / 2**14).astype(np.float32)).resize(
        (columns * 50 // 3, rows * 50 // 3), Image.Resampling.BICUBIC
    )
    return jnp.asarray(noise), np.asarray(picture)


@settings(deadline=None, max_examples=10)
@given(st.integers(50, 99), st.integers(50, 99))
def test_pattern_is_cut_from_noise_that_pillow_enlarges(row, column):
    noise, picture = noise_and_picture()
    field = enlarged_crop(noise, jnp.array([row, column]), (40, 64))
    np.testing.assert_allclose(
        np.asarray(field) / 2**28,
        picture[row : row + 40, column : column + 64],
        atol=5e-4,  # 14 bits, twice
    )


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 512))
def test_crops_stay_inside_the_noise(length):
    cells, _ = masks._keys_weights()
    last = 99 + length - 1
    assert cells[0] + 3 - 1 >= 0
    assert cells[last % 50] + last // 50 * 3 + 2 < masks._noise_cells(length)


def test_pattern_before_rejection_loses_a_sixth():
    def share(key):
        noise_key, crop_key = jax.random.split(key)
        noise = jax.random.randint(noise_key, (12, 12), 0, 2**14)
        corner = jax.random.randint(crop_key, (2,), 50, 100)
        field = masks._enlarged_crop(noise, corner, SIZE)
        return jnp.mean(field < 2**26)

    shares = jax.jit(jax.vmap(share))(jax.random.split(jax.random.key(0), 500))
    # A standard deviation of 0.085 a crop: four standard errors.
    np.testing.assert_allclose(shares.mean(), 0.166, atol=0.015)


def test_pattern_holes_are_blobs():
    """Neighbours agree nearly always, which independent pixels do 62 % of the time."""
    missing = draw("pattern")
    assert (missing[1:] == missing[:-1]).mean() > 0.93
    assert (missing[:, 1:] == missing[:, :-1]).mean() > 0.93


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (2, 3), (1, 5), (513, 513)])
def test_pattern_refuses_sizes_for_which_it_would_not_end(size):
    with pytest.raises(ValueError, match="pattern mask") as error:
        masks.pattern(jax.random.key(0), size)
    assert "\n" not in str(error.value)


# ---- names -----------------------------------------------------------------------


def test_every_name_has_a_mask():
    assert masks.MASK_NAMES[:4] == ("center", "pattern", "random80", "half")
    assert len(set(masks.MASK_NAMES)) == len(masks.MASK_NAMES) == 8
    for percent in range(1, 100):
        masks.mask_function(f"random{percent}")


@pytest.mark.parametrize(
    "name",
    ["random180", "random0", "random100", "random", "random-5", "random8.5", "centre"]
    + ["", "Center", "random80 ", "random80\n", "random٨٠", "none"],
)
def test_a_wrong_name_says_which_are_right(name):
    with pytest.raises(ValueError, match="unknown mask") as error:
        masks.mask_function(name)
    message = str(error.value)
    assert repr(name) in message
    assert "\n" not in message
    assert "1 to 99" in message
    for right in (*masks.MASK_NAMES, "random<NN>"):
        assert right in message or right == "random80"
    with pytest.raises(ValueError, match="unknown mask"):
        masks.make_masks(name, jax.random.split(jax.random.key(0), 2), SIZE)


@pytest.mark.parametrize("count", [1, 6, 8])
def test_masks_in_turn_are_of_each_kind_in_turn(count):
    kinds = [masks.top, masks.mask_function("random50"), masks.left]
    key, size = jax.random.key(0), (16, 16)
    found = np.asarray(masks.masks_in_turn(kinds, key, count, size))
    assert found.shape == (count, 16, 16, 1)
    assert found.dtype == np.float32
    for fixed in (0, 2):
        expected = np.asarray(kinds[fixed](key, size))
        assert (found[fixed::3] == expected).all()
    random = found[1::3]
    assert len({mask.tobytes() for mask in random}) == len(random)
    assert (abs(random.mean((1, 2, 3)) - 0.5) < 0.2).all()
    again = masks.masks_in_turn(kinds, key, count, size)
    np.testing.assert_array_equal(again, found)
    other = np.asarray(masks.masks_in_turn(kinds, jax.random.key(1), count, size))
    assert count == 1 or (other[1::3] != random).any((1, 2, 3)).all()


def test_two_random_kinds_in_turn_are_drawn_apart():
    kinds = [masks.mask_function("random50")] * 2
    first, second = masks.masks_in_turn(kinds, jax.random.key(0), 2, (16, 16))
    assert (first != second).any()


def test_a_box_is_one_rectangle_within_its_limits():
    keys = jax.random.split(jax.random.key(0), 3000)
    known = jax.vmap(lambda key: masks.box(key, (32, 16)))(keys)
    drawn = np.asarray(known)[..., 0] == 0
    corners = set()
    for missing in drawn:
        rows, columns = np.flatnonzero(missing.any(1)), np.flatnonzero(missing.any(0))
        assert 4 <= len(rows) < 24
        assert 2 <= len(columns) < 12
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert missing[box].all()
        assert missing.sum() == len(rows) * len(columns)
        corners |= {rows[0] == 0, rows[-1] == 31, columns[0] == 0, columns[-1] == 15}
    assert corners == {True, False}
    assert drawn.any(0).all()  # Every pixel can be missing.


def test_any_share_of_pixels_is_as_likely_as_another():
    keys = jax.random.split(jax.random.key(0), 2000)
    drawn = jax.vmap(lambda key: masks.any_pixels(key, (16, 16)))(keys)
    share = 1 - np.asarray(drawn).mean((1, 2, 3))
    counts, _ = np.histogram(share, 5, (0, 1))
    assert (abs(counts / len(share) - 0.2) < 5 * np.sqrt(0.2 * 0.8 / len(share))).all()
    # Pixels do not know of their neighbours.
    half = np.asarray(drawn)[(share > 0.4) & (share < 0.6)]
    assert abs(np.corrcoef(half[:, 1:].ravel(), half[:, :-1].ravel())[0, 1]) < 0.06
