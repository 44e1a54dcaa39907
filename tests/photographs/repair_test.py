"""From a photograph and a hole to the photograph without it."""

import dataclasses

import jax
import numpy as np
import pytest
from conftest import DEMO
from fakes import analytic_model
from PIL import Image

import inpaint_jax
from inpaint_jax.configs import SEARCHES
from inpaint_jax.data.files import ImageError
from inpaint_jax.photographs import faces
from inpaint_jax.photographs.photograph import Photograph

CONFIG = dataclasses.replace(SEARCHES["paper"], steps=3)
PLACES = faces.places_of("celeba64", {})
needs_detector = pytest.mark.skipif(
    not faces.is_installed(), reason="the extra faces is not installed"
)


@pytest.fixture(scope="module")
def model():
    return dataclasses.replace(analytic_model(16), name="celeba64")


def repair(model, picture, mask, **options):
    key = jax.random.key(0)
    return inpaint_jax.repair(
        picture, mask, model=model, key=key, config=CONFIG, **options
    )


def portrait(name="collins"):
    return Image.open(DEMO / f"{name}.png").convert("RGB")


def marks(placed):
    """Eyes and mouth of a 178x218 portrait in a picture, by a function of places."""
    known = np.array([(69.5, 111), (107.6, 111), (89, 152)])
    return np.array([placed(*each) for each in known])


def off_centre():
    canvas = Image.new("RGB", (1200, 800), (90, 110, 120))
    canvas.paste(portrait().resize((356, 436)), (100, 300))
    return canvas, [marks(lambda x, y: (100 + 2 * x, 300 + 2 * y))]


def tilted():
    canvas = Image.new("RGB", (1200, 800), (90, 110, 120))
    turned = portrait().resize((356, 436)).rotate(25, Image.BICUBIC, expand=True)
    canvas.paste(turned, (600, 100))
    angle, middle = np.radians(25), np.array(turned.size) / 2 + (600, 100)

    def placed(x, y):
        across, down = 2 * x - 178, 2 * y - 218
        turn = np.array(
            [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
        )
        return middle + turn @ (across, down)

    return canvas, [marks(placed)]


def three():
    canvas = Image.new("RGB", (1200, 800), (90, 110, 120))
    for i, name in enumerate(("biden", "obama_speech", "collins")):
        canvas.paste(portrait(name).resize((356, 436)), (20 + 400 * i, 180))
    return canvas, [
        marks(lambda x, y, i=i: (20 + 400 * i + 2 * x, 180 + 2 * y)) for i in range(3)
    ]


def small():
    canvas = Image.new("RGB", (1200, 800), (90, 110, 120))
    canvas.paste(portrait("obama_portrait").resize((98, 120)), (800, 500))
    return canvas, [marks(lambda x, y: (800 + 0.55 * x, 500 + 0.55 * y))]


KINDS = {each.__name__: each for each in (off_centre, tilted, three, small)}


def stroke_over_an_eye(size, points):
    y, x = np.mgrid[: size[1], : size[0]]
    eyes = np.hypot(*(points[1] - points[0]))
    return (abs(x - points[0][0]) < 0.5 * eyes) & (abs(y - points[0][1]) < 0.2 * eyes)


def half_a_face(size, points):
    y, x = np.mgrid[: size[1], : size[0]]
    eyes = np.hypot(*(points[1] - points[0]))
    middle = points.mean(axis=0)
    inside = (abs(y - middle[1]) < 1.5 * eyes) & (x < middle[0] + 1.5 * eyes)
    return inside & (x > middle[0])


def scratch(size, points):
    y, x = np.mgrid[: size[1], : size[0]]
    eyes = np.hypot(*(points[1] - points[0]))
    off = (x - points[0][0]) - (y - points[0][1])
    return (abs(off) < 0.05 * eyes) & (abs(y - points[0][1]) < eyes)


HOLES = (stroke_over_an_eye, scratch, half_a_face)


@needs_detector
@pytest.mark.parametrize("hole", HOLES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_right_face_is_filled_and_nothing_else(model, kind, hole):
    picture, places = KINDS[kind]()
    points = places[len(places) // 2]
    missing = hole(picture.size, points)
    damaged = np.where(missing[..., None], 255, np.asarray(picture)).astype(np.uint8)
    found = repair(model, Image.fromarray(damaged), missing)
    assert (found.picture.size, found.picture.mode) == (picture.size, "RGB")
    known = ~missing
    np.testing.assert_array_equal(np.asarray(found.picture)[known], damaged[known])
    assert found.note == ""
    (frame,) = found.frames
    # Where the model expects eyes and mouth there are eyes and mouth.
    eyes = np.hypot(*(points[1] - points[0]))
    error = np.hypot(*(frame.points(PLACES) - points).T)
    assert error.max() < (0.6 if hole is half_a_face else 0.3) * eyes


@needs_detector
def test_every_face_under_one_mask_is_filled(model):
    picture, places = three()
    missing = np.zeros((800, 1200), bool)
    missing[::40] = missing[1::40] = True
    found = repair(model, picture, missing, candidates=2)
    assert len(found.frames) == 3
    assert found.solution.image.shape == (3, 2, 16, 16, 3)
    middles = np.sort([frame.points(PLACES).mean(0)[0] for frame in found.frames])
    expected = [points.mean(0)[0] for points in places]
    np.testing.assert_allclose(middles, expected, atol=20)
    assert 0.2 < found.outside < 0.8
    for each in found.pictures:
        np.testing.assert_array_equal(
            np.asarray(each)[~missing], np.asarray(picture)[~missing]
        )
    assert len(found.pictures) == 2


@needs_detector
def test_a_face_that_both_eyes_are_hidden_of_is_found():
    picture, (points,) = off_centre()
    eyes = stroke_over_an_eye(picture.size, points)
    eyes |= stroke_over_an_eye(picture.size, points[[1, 0, 2]] * [1, 1])
    damaged = np.where(eyes[..., None], 0, np.asarray(picture)).astype(np.uint8)
    (face,) = faces.find(damaged, eyes)
    distance = np.hypot(*(points[1] - points[0]))
    assert np.hypot(*(face.points - points).T).max() < 0.3 * distance


@needs_detector
def test_a_face_cut_by_the_border_is_filled(model):
    picture = np.asarray(portrait().resize((356, 436)))[60:, 90:]
    missing = np.zeros(picture.shape[:2], bool)
    missing[150:170, 20:60] = True
    found = repair(model, picture, missing, frame="face")
    assert found.frames[0].corner[0] < 0
    np.testing.assert_array_equal(found.picture[~missing], picture[~missing])
    assert found.outside == 0


@needs_detector
@pytest.mark.slow
def test_no_face_and_a_face_that_is_not_touched_are_said(model):
    picture, (points,) = off_centre()
    missing = np.zeros((800, 1200), bool)
    missing[20:60, 900:1000] = True
    blank = Image.new("RGB", (1200, 800), (90, 110, 120))
    for given, line in ((picture, "does not touch the face"), (blank, "no face was")):
        with pytest.raises(ImageError, match=line):
            repair(model, given, missing, frame="face")
        found = repair(model, given, missing)
        assert line in found.note
        (frame,) = found.frames
        if given is blank:
            assert frame.window == (slice(0, 800), slice(200, 1000))
        else:  # No face is painted where there is none.
            assert np.abs(frame.points(PLACES) - points).max() < 20
            assert found.outside == 1


@needs_detector
@pytest.mark.parametrize("frame", ["auto", "face"])
def test_without_a_hole_it_is_the_face_and_nothing_is_said(model, frame):
    picture, (points,) = off_centre()
    nothing = np.zeros((800, 1200), bool)
    wanted = faces.wanted_by(model)
    chosen = faces.choose(np.asarray(picture), nothing, frame=frame, **wanted)
    assert chosen.note == ""
    (found,) = chosen.frames
    assert np.abs(found.points(PLACES) - points).max() < 20


@needs_detector
def test_a_picture_that_is_framed_already_is_not_framed_anew(model):
    missing = np.zeros((218, 178), bool)
    missing[100:120, 60:80] = True
    for name in ("biden", "collins", "obama_portrait", "obama_speech"):
        found = repair(model, portrait(name), missing)
        assert found.frames[0].window == (slice(20, 198), slice(0, 178))


def test_without_the_detector_it_is_the_centre(model, monkeypatch):
    monkeypatch.setattr(faces, "is_installed", lambda: False)
    picture, (points,) = off_centre()
    missing = stroke_over_an_eye(picture.size, points)
    found = repair(model, picture, missing)
    assert "no detector of faces is installed: pip install" in found.note
    assert found.frames[0].window == (slice(0, 800), slice(200, 1000))
    with pytest.raises(ImageError, match="inpaint_jax\\[faces\\]"):
        repair(model, picture, missing, frame="face")


@pytest.mark.parametrize("shape", [(40, 50), (40, 50, 1), (40, 50, 3), (40, 50, 4)])
def test_an_array_gives_an_array(model, shape):
    picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    missing = np.zeros((40, 50), bool)
    missing[10:20, 15:30] = True
    result = repair(model, picture, missing, frame="center").picture
    assert (result.shape, result.dtype) == (picture.shape, picture.dtype)
    np.testing.assert_array_equal(result[~missing], picture[~missing])
    assert (result != picture)[missing].any()


def test_a_picture_of_the_models_size_is_what_inpaint_makes(model):
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    missing = np.zeros((16, 16), bool)
    missing[4:12, 4:12] = True
    found = repair(model, picture, missing)
    image, mask = picture[None] / 127.5 - 1, ~missing[None, ..., None]
    expected = inpaint_jax.inpaint(
        model, image, mask.astype(np.float32), jax.random.key(0), config=CONFIG
    )
    eight = np.rint((np.asarray(expected.image[0]) + 1) * 127.5)
    np.testing.assert_array_equal(found.picture, eight)


def test_keys_may_depend_on_the_number_of_frames(model):
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    missing = np.zeros((16, 16), bool)
    missing[4:12, 4:12] = True
    counts = []

    def keys(count):
        counts.append(count)
        return jax.random.fold_in(jax.random.key(0), 0)[None]

    given = Photograph.read(picture)
    found = inpaint_jax.repair(given, missing, model=model, key=keys, config=CONFIG)
    assert counts == [1]
    expected = repair(model, picture, missing).picture
    np.testing.assert_array_equal(np.asarray(found.picture), expected)


def test_what_cannot_be_repaired_is_one_line(model, tmp_path):
    picture = np.zeros((40, 50, 3), np.uint8)
    with pytest.raises(ImageError, match="30x20 pixels do not fit"):
        repair(model, picture, np.ones((20, 30), bool))
    with pytest.raises(ImageError, match="nothing is missing"):
        repair(model, picture, np.zeros((40, 50), bool))
    with pytest.raises(ValueError, match="fill_outside must be one of"):
        repair(model, picture, np.ones((40, 50), bool), fill_outside="magic")
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(99))
    with pytest.raises(ImageError, match=r"a\.mp4: a video"):
        repair(model, tmp_path / "a.mp4", np.ones((40, 50), bool))
    with pytest.raises(TypeError, match="as load_model gives it, not 'faces128'"):
        repair("faces128", picture, np.ones((40, 50), bool))
    other = dataclasses.replace(model, name="custom")
    with pytest.raises(ImageError, match="not of faces"):
        repair(other, picture, np.ones((40, 50), bool), frame="face")


def test_several_answers_have_a_mean_and_a_map_of_where_they_differ(model):
    picture = off_centre()[0]
    missing = np.zeros((800, 1200), bool)
    missing[380:560, 150:400] = True
    found = repair(model, picture, missing, frame="50,250,500,500", candidates=3)
    assert len(found.pictures) == 3
    assert repr(found).startswith("Repaired(3 pictures, 1 frames, ")
    pixels = np.stack([np.asarray(each) for each in found.pictures]).astype(float)
    np.testing.assert_array_equal(np.asarray(found.mean)[~missing], pixels[0][~missing])
    # Each answer is rounded and clipped, and so is what the mean is laid from.
    difference = np.asarray(found.mean)[missing] - pixels.mean(0)[missing]
    assert np.abs(difference).mean() < 1
    assert (found.spread[~missing] == 0).all()
    assert found.spread.shape == missing.shape
    assert found.spread[missing].mean() > 5
    alone = repair(model, picture, missing, frame="50,250,500,500")
    assert alone.mean is None
    assert alone.spread is None
