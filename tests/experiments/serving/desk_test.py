"""What the page does with photographs, without the page."""

import io

import numpy as np
import pytest
from absl import flags
from conftest import DEMO
from PIL import Image

from experiments.serving import desk
from inpaint_jax.data.files import ImageError
from inpaint_jax.photographs.photograph import Photograph
from inpaint_jax.pretrained import model_names


@pytest.fixture(scope="module", autouse=True)
def few_steps():
    # Not parsed: programs that other tests import have flags that must be given.
    flags.FLAGS.mark_as_parsed()
    flags.FLAGS.steps, flags.FLAGS.precision = 20, "float32"
    yield
    flags.FLAGS.unparse_flags()
    for name in ("steps", "precision"):
        flags.FLAGS[name].unparse()


@pytest.fixture(scope="module")
def desks(tiny_model_file):
    return desk.Desk(str(tiny_model_file), 0, 1.0)


@pytest.fixture
def hole():
    hole = np.zeros((60, 80), bool)
    hole[20:40, 30:60] = True
    return hole


def given(mode="RGB", **options):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 4), np.uint8)
    image = Image.fromarray(pixels[..., :3]).convert(mode)
    return desk.Given("a", Photograph(image, **options))


def test_the_model_at_the_start_comes_first(desks, tiny_model_file):
    assert desks.models == [str(tiny_model_file), *model_names()]
    others = ["cars", "cars64", "celeba64", "faces", "faces128", "house_numbers"]
    assert desk.Desk("svhn", 0, 1.0).models == ["svhn", *others]


@pytest.mark.slow
def test_progress_ends_with_the_whole(desks, hole):
    shares = []
    desks.fill(given(), hole, desks.models[0], 2, shares.append)
    assert shares == sorted(shares)
    assert shares == [0.5, 1.0]


@pytest.mark.slow
def test_several_answers_come_with_their_mean_and_a_map(desks, hole):
    found = desks.fill(given(), hole, desks.models[0], 2)
    assert found.captions[2:] == ["the mean of all", "where they differ"]
    assert len(found.pictures) == 4
    names = [name for name, _ in found.files]
    assert names == ["a-1.png", "a-2.png", "a-mean.png"]
    one, other, mean = (
        np.asarray(Image.open(io.BytesIO(content)), float) for _, content in found.files
    )
    np.testing.assert_array_equal(mean[~hole], one[~hole])
    assert np.abs(mean - (one + other) / 2)[hole].mean() < 2
    doubt = np.asarray(found.pictures[3])
    coloured = np.ptp(doubt, axis=-1) > 0
    # What is shown is the hole, and around it as much as it is wide.
    assert coloured.any()
    assert coloured.sum() <= hole.sum()
    alone = desks.fill(given(), hole, desks.models[0], 1)
    assert len(alone.pictures) == len(alone.files) == len(alone.captions) == 1


def test_the_map_is_of_what_the_model_filled(desks):
    hole = np.zeros((60, 80), bool)
    hole[20:40, :20] = True
    found = desks.fill(given(), hole, desks.models[0], 2)
    coloured = np.ptp(np.asarray(found.pictures[3]), axis=-1) > 0
    # The centre square begins at column 10.
    assert coloured[20:40, 10:20].mean() > 0.9
    coloured[20:40, 10:20] = False
    assert not coloured.any()


def test_a_film_comes_along(desks, hole):
    found = desks.fill(given(), hole, desks.models[0], 1)
    with Image.open(io.BytesIO(found.film)) as film:
        assert film.format == "WEBP"
        assert film.n_frames >= 2


LOSSLESS = {
    ("RGB", "JPEG"): "PNG",
    ("RGB", "TIFF"): "TIFF",
    ("RGBA", "WEBP"): "PNG",
    ("P", "GIF"): "PNG",
    ("CMYK", "JPEG"): "TIFF",
    ("F", "TIFF"): "TIFF",
    ("LA", "PNG"): "PNG",
}


@pytest.mark.parametrize("mode, format", LOSSLESS)
def test_an_answer_loses_nothing(desks, hole, mode, format):
    photograph = given(mode, format=format)
    (answer,) = desks.fill(photograph, hole, desks.models[0], 1).files
    name, content = answer
    with Image.open(io.BytesIO(content)) as made:
        assert made.format == LOSSLESS[mode, format]
        assert name == f"a.{made.format.lower()}"
        assert made.mode == mode
        before = np.asarray(photograph.photograph.image)
        np.testing.assert_array_equal(np.asarray(made)[~hole], before[~hole])


def test_strokes_may_be_on_a_smaller_copy(desks):
    photograph = desk.Given("a", Photograph(Image.new("RGB", (2000, 1500), "gray")))
    canvas = desk.canvas_of(photograph.photograph)
    assert canvas.size == (1024, 768)
    strokes = np.zeros((768, 1024), bool)
    strokes[480:500, 640:700] = True
    (answer,) = desks.fill(photograph, strokes, desks.models[0], 1).pictures
    # The hole, with as much around it as it is wide.
    assert answer.size == pytest.approx((180 * 2000 / 1024, 140 * 1500 / 768), abs=2)


def test_small_pictures_are_enlarged_to_be_painted_on():
    for size in ((178, 218), (64, 64), (1, 3), (639, 640), (641, 20)):
        canvas = desk.canvas_of(Photograph(Image.new("RGB", size)))
        factor = canvas.width // size[0]
        assert canvas.size == (factor * size[0], factor * size[1])
        assert 640 <= max(canvas.size) < 1280


def test_all_layers_count():
    layers = [Image.new("RGBA", (4, 3)) for _ in range(2)]
    layers[0].putpixel((1, 2), (255, 0, 170, 255))
    layers[1].putpixel((3, 0), (255, 0, 170, 3))
    assert np.argwhere(desk.painted(layers)).tolist() == [[0, 3], [2, 1]]
    for nothing in ([], [Image.new("RGBA", (4, 3))]):
        with pytest.raises(ImageError, match="nothing is painted"):
            desk.painted(nothing)


def test_a_photograph_is_not_decoded_if_it_is_too_large(tmp_path):
    small = desk.Desk("svhn", 0, 0.03)
    with pytest.raises(ImageError) as error:
        small.read(str(DEMO / "collins.png"))
    assert str(error.value) == (
        "collins.png: 178x218 pixels are more than the 0.03 million that are taken here"
    )
    (tmp_path / "b.txt").write_text("no picture")
    with pytest.raises(ImageError, match=r"^b\.txt: not a picture"):
        small.read(str(tmp_path / "b.txt"))
