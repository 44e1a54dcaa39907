"""Crops, resizing and masks against brute force; values, writing."""

import os
import re
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import DEMO
from files import noise, save
from PIL import Image

from inpaint_jax import pixels
from inpaint_jax.data import images
from inpaint_jax.data.decoding import read_picture
from inpaint_jax.data.files import ImageError, find_pictures

few = hypothesis.settings(
    max_examples=30, deadline=None, database=None, derandomize=True
)
sides = st.integers(12, 40)
odd_sizes = st.sampled_from([3, 5, 7, 9, 11])  # no source pixel's centre on an edge


# --- cropping ----------------------------------------------------------------


def test_the_right_size_passes_bit_for_bit():
    image = noise(64, 64)
    for crop in ("center", "none", 64, "64"):
        same = images.crop_and_resize(image, crop=crop)
        np.testing.assert_array_equal(same, image)
        assert not np.shares_memory(same, image)


def test_crops_keep_the_pixels_they_say():
    image = noise(218, 178)
    square = images.crop_and_resize(image, size=178)
    np.testing.assert_array_equal(square, image[20:198])
    square = images.crop_and_resize(image, crop="100", size=100)
    np.testing.assert_array_equal(square, image[59:159, 39:139])
    boxed = images.crop_and_resize(image, box=(0.25, 0.5, 0.75, 1), size=89)
    wanted = images.crop_and_resize(image[54:164, 89:], crop="none", size=89)
    np.testing.assert_array_equal(boxed, wanted)


def test_boxes_of_any_corners_hold_at_least_a_pixel():
    image = noise(20, 40)
    same = [(0.2, 0.1, 0.6, 0.5), (0.6, 0.5, 0.2, 0.1), (0.6, 0.1, 0.2, 0.5)]
    first, *others = [images.crop_and_resize(image, box=box) for box in same]
    for other in others:
        np.testing.assert_array_equal(first, other)
    for box, pixel in (((0, 0, 0, 0), image[0, 0]), ((1, 1, 2, 9), image[-1, -1])):
        assert (images.crop_and_resize(image, box=box) == pixel).all()


def brute_force(image, size):
    """The mean of the source pixels whose centres each new pixel covers."""
    rows, columns = (
        (2 * np.arange(side) + 1) * size // (2 * side) for side in image.shape[:2]
    )
    new = range(size)
    return np.array(
        [[image[rows == i][:, columns == j].mean((0, 1)) for j in new] for i in new]
    )


@few
@hypothesis.given(sides, sides, odd_sizes)
def test_shrinking_is_the_mean_of_the_covered(height, width, size):
    image = noise(height, width)
    small = images.crop_and_resize(image, crop="none", size=size)
    # A grey level: columns are rounded before rows are averaged.
    np.testing.assert_allclose(small, brute_force(image, size), atol=1)


def test_shrinking_by_whole_numbers_is_the_mean_of_the_area():
    image = noise(640, 1280)
    small = images.crop_and_resize(image, crop="none")
    blocks = image.reshape(64, 10, 64, 20, 3)
    np.testing.assert_allclose(small, blocks.mean((1, 3)), atol=1)


@pytest.mark.parametrize("shape", [(32, 32), (20, 50), (9, 64)])
def test_enlarging_is_bilinear(shape):
    expected = image = noise(*shape)
    for axis, side in enumerate(shape):
        centres = (np.arange(64) + 0.5) * side / 64 - 0.5

        def line(values, centres=centres):
            return np.interp(centres, np.arange(len(values)), values)

        expected = np.apply_along_axis(line, axis, expected)
    large = images.crop_and_resize(image, crop="none")
    np.testing.assert_allclose(large, expected, atol=1)


def test_one_side_may_shrink_and_the_other_grow():
    constant = np.full((9, 300, 3), 255, np.uint8)
    assert (images.crop_and_resize(constant, crop="none") == 255).all()
    rows = np.broadcast_to(noise(300, 1), (300, 9, 3))
    resized = images.crop_and_resize(rows, crop="none")
    assert (resized == resized[:, :1]).all()


@pytest.mark.parametrize(
    ("shape", "options", "reason"),
    [
        ((30, 20), {"crop": 21}, "21 pixels is larger than the picture's 20x30"),
        ((30, 20), {"crop": "middle"}, "crop 'middle': give center, none, or"),
        ((30, 20), {"crop": 0}, "crop '0': give"),
        ((30, 20), {"crop": "-3"}, "crop '-3': give"),
        ((30, 20), {"box": (0, 0, np.nan, 1)}, "nan, 1.0] is not of numbers"),
    ],
)
def test_impossible_crops(shape, options, reason):
    with pytest.raises(ImageError, match=re.escape(reason)):
        images.crop_and_resize(noise(*shape), **options)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (7, 3), (2, 2)])
@pytest.mark.parametrize("crop", ["center", "none", 1])
def test_pictures_of_a_few_pixels_are_enlarged(shape, crop):
    image = noise(*shape)
    large = images.crop_and_resize(image, crop=crop, size=16)
    assert large.shape == (16, 16, 3)
    if min(shape) == 1 and crop != "none":
        middle = image[(shape[0] - 1) // 2, (shape[1] - 1) // 2]
        assert (large == middle).all()
    assert large.min() >= image.min()
    assert large.max() <= image.max()
    missing = np.zeros(shape, bool)
    missing[0, 0] = True
    mask = images.read_mask(missing, image_size=shape, crop="none", size=16)
    assert mask[0, 0] == 0


def test_whatever_is_a_picture_is_cropped(tmp_path):
    image = noise(40, 50)
    path = save(tmp_path / "a.png", image)
    expected = images.crop_and_resize(image, size=20)
    (found,) = find_pictures(path)
    alpha = np.dstack([image, np.full((40, 50), 255, np.uint8)])
    with Image.open(path) as opened:
        given = [path, str(path), found, opened, Image.fromarray(image), alpha]
        for each in [*given, jnp.asarray(image)]:
            same = images.crop_and_resize(each, size=20)
            np.testing.assert_array_equal(same, expected)
    for grey in (image[..., 0], image[..., :1], Image.fromarray(image[..., 0])):
        cropped = images.crop_and_resize(grey, size=20)
        np.testing.assert_array_equal(cropped, expected[..., :1].repeat(3, -1))


def test_pil_images_are_turned_upright():
    image = Image.fromarray(noise(40, 50))
    expected = images.crop_and_resize(image.transpose(Image.Transpose.ROTATE_180))
    image.getexif()[0x0112] = 3
    np.testing.assert_array_equal(images.crop_and_resize(image), expected)


def test_what_is_no_rgb_picture_is_refused():
    empty = np.zeros((0, 4, 3), np.uint8)
    for wrong in (np.zeros((20, 20, 3)), noise() > 9, noise()[..., :2], empty):
        with pytest.raises(ImageError, match="array given: not RGB of 8 bits"):
            images.crop_and_resize(wrong)


# --- masks -------------------------------------------------------------------


def read_mask(tmp_path, missing, **options):
    path = save(tmp_path / "mask.png", np.uint8(missing) * 255)
    return images.read_mask(path, image_size=missing.shape, **options)


@few
@hypothesis.given(
    st.integers(8, 40), st.integers(8, 40), st.integers(2, 30), st.integers(0, 99)
)
def test_nothing_from_the_hole_reaches_a_known_pixel(
    tmp_path_factory, height, width, size, seed
):
    rng = np.random.default_rng(seed)
    missing = rng.random((height, width)) < rng.choice([0.02, 0.3])
    path = tmp_path_factory.mktemp("mask")
    options = {"crop": str(rng.choice(["center", "none", "8"])), "size": size}
    mask = read_mask(path, missing, **options)
    assert mask.shape == (size, size, 1)
    assert mask.dtype == np.float32
    assert set(np.unique(mask)) <= {0, 1}

    image = noise(height, width, seed)
    damaged = np.where(missing[..., None], noise(height, width, seed + 1), image)
    clean = images.crop_and_resize(image, **options)
    spoilt = images.crop_and_resize(damaged, **options)
    np.testing.assert_array_equal(clean * (mask == 1), spoilt * (mask == 1))


@few
@hypothesis.given(
    st.integers(8, 40), st.integers(8, 40), st.integers(2, 8), st.integers(0, 99)
)
def test_a_shrunk_mask_gives_up_no_more_than_the_hole_changes(
    tmp_path_factory, height, width, size, seed
):
    missing = np.random.default_rng(seed).random((height, width)) < 0.05
    options = {"crop": "none", "size": size}
    mask = read_mask(tmp_path_factory.mktemp("m"), missing, **options)
    white = np.repeat(np.uint8(missing[..., None]) * 255, 3, axis=-1)
    changed = images.crop_and_resize(white, **options)[..., :1] > 0
    np.testing.assert_array_equal(mask == 0, changed)


@few
@hypothesis.given(sides, sides, odd_sizes, st.integers(0, 99))
def test_a_shrunk_mask_against_brute_force(tmp_path_factory, height, width, size, seed):
    missing = np.random.default_rng(seed).random((height, width)) < 0.05
    mask = read_mask(tmp_path_factory.mktemp("m"), missing, crop="none", size=size)
    np.testing.assert_array_equal(mask == 0, brute_force(missing[..., None], size) > 0)


@pytest.mark.parametrize("size", [5, 8, 64, 100])
def test_one_missing_pixel_of_a_large_picture_is_not_lost(tmp_path, size):
    for row, column in ((0, 0), (499, 299), (123, 217)):
        missing = np.zeros((500, 300), bool)
        missing[row, column] = True
        mask = read_mask(tmp_path, missing, crop="none", size=size)
        (at,) = np.argwhere(mask[..., 0] == 0)
        np.testing.assert_allclose(
            at + 0.5, (np.r_[row, column] + 0.5) * size / [500, 300], atol=0.5001
        )


def test_masks_of_whole_blocks_are_exact(tmp_path):
    missing = np.zeros((512, 512), bool)
    missing[128:384, 128:384] = True
    mask = read_mask(tmp_path, missing)
    np.testing.assert_array_equal(mask[..., 0] == 0, missing[::8, ::8])
    missing = missing[::8, ::8]
    np.testing.assert_array_equal(read_mask(tmp_path, missing)[..., 0] == 0, missing)


def test_the_mask_is_cropped_as_its_picture(tmp_path):
    missing = np.zeros((218, 178), bool)
    missing[:20] = True  # cut off by the centre square
    assert read_mask(tmp_path, missing).all()
    assert not read_mask(tmp_path, missing, crop="none").all()


def test_colours_of_a_mask(tmp_path):
    missing = np.zeros((64, 64), bool)
    missing[:32] = True
    path = save(tmp_path / "m.png", np.uint8(missing) * 255)
    options = {"image_size": (64, 64)}
    white_missing = images.read_mask(path, **options)
    np.testing.assert_array_equal(white_missing[..., 0] == 0, missing)
    inverted = images.read_mask(path, **options, known="white")
    np.testing.assert_array_equal(inverted, 1 - white_missing)
    # As drawn with an eraser: what was made transparent is missing.
    erased = np.zeros((64, 64, 4), np.uint8)
    erased[..., 3] = np.where(missing, 0, 255)
    erased = images.read_mask(save(tmp_path / "m2.png", erased), **options)
    np.testing.assert_array_equal(erased, white_missing)
    with pytest.raises(ImageError, match="give black or white"):
        images.read_mask(path, **options, known="grey")


def test_a_mask_of_another_size_gives_up_no_less():
    missing = np.zeros((218, 178), bool)
    missing[100:150, 90:93] = True
    whole = images.read_mask(missing, image_size=(218, 178))
    double = missing.repeat(2, 0).repeat(2, 1)
    doubled = images.read_mask(double, image_size=(218, 178))
    np.testing.assert_array_equal(doubled, whole)
    # Drawn on a small copy: where that is missing, all that it shows is.
    small = np.zeros((109, 89), bool)
    small[50:75, 45:47] = True
    drawn = images.read_mask(small, image_size=(218, 178))
    assert (drawn <= whole).all()
    assert drawn.mean() > 0.9


def test_masks_that_do_not_fit(tmp_path):
    path = save(tmp_path / "m.png", np.zeros((64, 80), np.uint8))
    with pytest.raises(ImageError, match="80x64 pixels do not fit the picture's 178x"):
        images.read_mask(path, image_size=(218, 178))
    path.write_text("")
    with pytest.raises(ImageError, match=r"m\.png: the file is empty"):
        images.read_mask(path, image_size=(64, 64))


@pytest.mark.parametrize(
    ("rows", "crop", "expected"),
    [
        (slice(0, 20), "center", 1),  # all of it above the centre square
        (slice(0, 20), "none", 0),
        (slice(10, 50), "center", 1 / 4),
        (slice(50, 60), "center", 0),
        (slice(0, 218), 100, 1 - 100 * 100 / (218 * 178)),
        (slice(0, 0), "center", 0),
    ],
)
def test_the_share_of_a_hole_that_a_crop_cuts_off(rows, crop, expected):
    missing = np.zeros((218, 178), bool)
    missing[rows] = True
    inside = missing[images.region(218, 178, crop)].sum()
    share = 1 - inside / missing.sum() if missing.any() else 0
    np.testing.assert_allclose(share, expected)
    kept = images.crop_mask(missing, crop=crop)
    assert kept.all() == (share == 1 or not missing.any())
    same = images.read_mask(missing, image_size=missing.shape, crop=crop)
    np.testing.assert_array_equal(kept, same)


# --- values and writing ------------------------------------------------------


def test_all_256_values_come_back():
    values = np.arange(256, dtype=np.uint8)
    floats = pixels.to_float(values)
    assert floats.dtype == np.float32
    assert (floats[0], floats[-1]) == (-1, 1)
    np.testing.assert_array_equal(pixels.to_uint8(floats), values)


@few
@hypothesis.given(st.floats(width=32, allow_nan=False))
def test_values_are_clipped_then_rounded(value):
    expected = round((min(max(value, -1), 1) + 1) * 127.5)
    assert abs(int(pixels.to_uint8(np.float32(value))) - expected) <= 1


def test_what_is_not_a_number_is_refused():
    with pytest.raises(ValueError, match="not numbers"):
        pixels.to_uint8(np.array([0.0, np.nan]))


def test_written_pictures_come_back(tmp_path):
    path = tmp_path / "new" / "folders" / "x.png"
    for image in (noise(), noise()[..., :1], noise()[..., 0]):
        images.write_png(path, image)
        expected = np.broadcast_to(image.reshape(20, 30, -1), (20, 30, 3))
        np.testing.assert_array_equal(read_picture(path), expected)
    assert [p.name for p in path.parent.iterdir()] == ["x.png"]


@pytest.mark.parametrize("broken", ["save", "replace"])
def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch, broken):
    path = tmp_path / "x.png"
    images.write_png(path, noise())
    before = path.read_bytes()

    def fail(*args, **kwargs):
        if broken == "save":
            Path(args[1]).write_bytes(b"half of a picture")
        raise OSError(28, "No space left on device")

    if broken == "save":
        monkeypatch.setattr(Image.Image, "save", fail)
    else:
        monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(ImageError, match=r"x\.png: No space left on device$"):
        images.write_png(path, noise(seed=1))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"]


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(image, path, **options):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        images.write_png(tmp_path / "x.png", noise())
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ImageError, match=r"x\.png: (Not a directory|File exists)$"):
        images.write_png(tmp_path / "file" / "x.png", noise())
    for wrong in (np.zeros((4, 4)), noise()[:0], np.zeros(3, np.uint8)):
        with pytest.raises(ImageError, match="cannot write"):
            images.write_png(tmp_path / "x.png", wrong)
    with pytest.raises(ImageError, match=r"x\.png: "):
        images.write_png(tmp_path / "x.png", np.zeros((4, 4, 7), np.uint8))


# --- real pictures -----------------------------------------------------------


def test_the_demo_portraits():
    for path in DEMO.glob("*.png"):
        image = read_picture(path)
        face = images.crop_and_resize(image)
        assert face.shape == (64, 64, 3)
        smooth = Image.fromarray(image[20:198]).resize(
            (64, 64), Image.Resampling.HAMMING
        )
        assert np.abs(face.astype(int) - np.asarray(smooth)).mean() < 3
