"""Frames: where they lie, and what is cut from and laid into a photograph."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.transform import SimilarityTransform

from inpaint_jax.data import images
from inpaint_jax.data.files import ImageError
from inpaint_jax.photographs import frames
from inpaint_jax.photographs.composing import laid_spread
from inpaint_jax.photographs.frames import Frame

PLACES = np.array([[0.39, 0.51], [0.61, 0.51], [0.5, 0.74]])


def smooth(height, width):
    y, x = np.mgrid[:height, :width]
    waves = [128 + 100 * np.sin(x / 17), 128 + 100 * np.cos(y / 23), (x + y) / 4 % 256]
    return np.stack(waves, -1).clip(0, 255).astype(np.uint8)


def turned(angle, scale, corner):
    across = scale * np.cos(angle), scale * np.sin(angle)
    return Frame(corner, across, (-across[1], across[0]))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31))
def test_the_similarity_is_that_of_scikit_image(seed):
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 1000, (3, 2))
    frame = Frame.of_points(PLACES, points)
    expected = SimilarityTransform.from_estimate(PLACES, points)
    corners = np.array([[0.0, 0], [1, 0], [0, 1], [0.3, 0.7]])
    if expected and np.linalg.det(expected.params[:2, :2]) > 0:
        # scikit-image's is the best similarity as well, never mirrored.
        np.testing.assert_allclose(
            frame.points(corners), expected(corners), rtol=1e-6, atol=1e-6
        )


def test_places_and_points_are_each_others_inverse():
    frame = turned(0.4, 230.0, (12.0, -30.0))
    points = frame.points(PLACES)
    np.testing.assert_allclose(np.stack(frame.places(*points.T), 1), PLACES)


@pytest.mark.parametrize("crop", ["center", "none", 20])
def test_an_upright_frame_is_cut_as_crops_are(crop):
    picture = smooth(40, 60)
    missing = np.random.default_rng(0).random((40, 60)) < 0.1
    frame = Frame.of_window(images.region(40, 60, crop))
    image, mask = frames.cut(picture, missing, frame, 16)
    expected = images.crop_and_resize(picture, crop=crop, size=16)
    np.testing.assert_array_equal(image, expected)
    np.testing.assert_array_equal(mask, images.crop_mask(missing, crop=crop, size=16))


def test_a_turned_frame_shows_what_lies_there():
    picture, frame = smooth(300, 400), turned(0.5, 120.0, (150.0, 60.0))
    nothing = np.zeros((300, 400), bool)
    image, mask = frames.cut(picture, nothing, frame, 64)
    assert mask.all()
    middles = (np.arange(64) + 0.5) / 64
    places = np.stack(np.meshgrid(middles, middles), -1).reshape(-1, 2)
    x, y = np.floor(frame.points(places)).astype(int).T
    there = picture[y, x].reshape(64, 64, 3).astype(int)
    assert np.abs(image[..., :2] - there[..., :2]).max() < 10


def test_a_small_picture_of_a_large_face_does_not_alias():
    y, x = np.mgrid[:1000, :1000]
    stripes = np.repeat(255 * ((x + y) % 2)[..., None], 3, -1).astype(np.uint8)
    frame = turned(0.3, 600.0, (300.0, 100.0))
    image, _ = frames.cut(stripes, np.zeros((1000, 1000), bool), frame, 64)
    assert np.abs(image.astype(int) - 128).max() < 8


def test_thin_scratches_hide_little_and_leave_no_colour():
    picture = np.full((800, 800, 3), 90, np.uint8)
    missing = np.zeros((800, 800), bool)
    missing[::40] = True
    picture[missing] = 255
    image, mask = frames.cut(picture, missing, turned(0.2, 400.0, (250.0, 150.0)), 64)
    assert mask.all()
    assert set(np.unique(image)) == {90}


def test_what_lies_outside_the_photograph_is_missing():
    frame = turned(0.1, 100.0, (-40.0, 10.0))
    _, mask = frames.cut(smooth(200, 200), np.zeros((200, 200), bool), frame, 32)
    assert not mask[:, :8].any()
    assert mask[:, 20:].all()


def test_a_square_is_laid_where_it_was_cut():
    picture, frame = smooth(300, 300), turned(-0.4, 128.0, (90.0, 120.0))
    image, _ = frames.cut(picture, np.zeros((300, 300), bool), frame, 128)
    window = slice(100, 180), slice(120, 200)
    laid = frames.lay(image, frame, window)
    y, x = np.mgrid[window]
    u, v = frame.places(x + 0.5, y + 0.5)
    inside = (np.maximum(abs(u - 0.5), abs(v - 0.5)) < 0.45)[..., None]
    difference = np.where(inside, laid - picture[window], 0)[..., :2]
    assert np.abs(difference).max() < 4


def test_a_frame_of_the_models_size_is_laid_bit_for_bit():
    picture = smooth(16, 16)
    window = slice(0, 16), slice(0, 16)
    laid = frames.lay(picture, Frame.of_window(window), window)
    np.testing.assert_array_equal(laid, picture)
    # Also a part of it: nothing is interpolated.
    part = slice(3, 9), slice(5, 16)
    laid = frames.lay(picture, Frame.of_window(window), part)
    np.testing.assert_allclose(laid, picture[part], atol=1e-3)


def test_a_drawn_mask_hides_the_pixels_that_it_covers():
    mask = np.ones((4, 4, 1), np.float32)
    mask[1, 2] = 0
    frame = Frame.of_window((slice(10, 50), slice(20, 60)))
    hole = frames.hole_of(mask, frame, (60, 80))
    expected = np.zeros((60, 80), bool)
    expected[20:30, 40:50] = True
    np.testing.assert_array_equal(hole, expected)


def test_a_pixel_is_filled_from_the_frame_in_whose_middle_it_lies():
    left = Frame.of_window((slice(0, 20), slice(0, 20)))
    right = Frame.of_window((slice(0, 20), slice(10, 30)))
    missing = np.zeros((20, 40), bool)
    missing[10, [2, 13, 17, 28, 35]] = True
    assert frames.owners([left, right], missing).tolist() == [0, 0, 1, 1, -1]


@pytest.mark.parametrize("given", ["round", "1,2,3", "1,2,0,4", "-1,2,3,4", "1,2,3,x"])
def test_what_is_no_frame_is_refused(given):
    with pytest.raises(ImageError, match="give auto, face, center, whole, or x,y,w,h"):
        frames.parse(given)


def test_a_rectangle_lies_within_the_picture():
    assert frames.rectangle((1, 2, 3, 4), (6, 4)).window == (slice(2, 6), slice(1, 4))
    with pytest.raises(ImageError, match="does not lie within the picture's 4x5"):
        frames.rectangle((1, 2, 3, 4), (5, 4))


def test_the_spread_of_answers_lies_where_the_frame_does():
    rows, columns = np.mgrid[:16, :16]
    spread = (rows + 2.0 * columns)[..., None].astype(np.float32)
    missing = np.zeros((80, 120), bool)
    missing[10:70, 20:110] = True
    frame = frames.rectangle((30, 5, 64, 64), missing.shape)
    laid = laid_spread(missing, [frame], [spread])
    # Four pixels of the photograph are one of the frame.
    y, x = np.nonzero(missing & (np.mgrid[:80, :120][1] >= 34))
    inside = (x < 90) & (y >= 12) & (y < 65)
    x, y = x[inside], y[inside]
    expected = ((y + 0.5 - 5) / 4 - 0.5) + 2 * ((x + 0.5 - 30) / 4 - 0.5)
    np.testing.assert_allclose(laid[y, x], expected, atol=0.5)  # Bicubic.
    assert not laid[~missing].any()
    outside = missing.copy()
    outside[5:69, 30:94] = False
    assert not laid[outside].any()
    np.testing.assert_array_equal(frames.within([frame], missing), missing & ~outside)
