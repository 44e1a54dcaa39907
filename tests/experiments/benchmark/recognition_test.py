"""Pictures are recognised by what they show."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from experiments.benchmark import recognition
from inpaint_jax.data import sources
from inpaint_jax.data.files import DataError

SIZE = 64


def saved(folder, pictures):
    folder.mkdir()
    for name, picture in pictures.items():
        Image.fromarray(picture).save(folder / f"{name}.png")
    return sources.open_source(f"images:{folder}", size=SIZE)


def blurred(seed):
    """A smooth picture, as photographs are."""
    noise = np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    smooth = Image.fromarray(noise).filter(ImageFilter.GaussianBlur(4))
    pixels = np.asarray(smooth, float)
    span = pixels.max() - pixels.min()
    return ((pixels - pixels.min()) / span * 255).astype(np.uint8)


def compressed(picture):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=90)
    return np.asarray(Image.open(file))


PICTURES = [blurred(seed) for seed in range(6)]
IDS = ["a", "b", "c"]
MARKS = [recognition.mark(PICTURES[i]) for i in range(3)]


def test_names_and_order_do_not_matter(tmp_path):
    source = saved(tmp_path / "pictures", {f"{5 - i}": PICTURES[i] for i in range(6)})
    found = recognition.locate(source, IDS, MARKS)
    assert found.identical == 3
    np.testing.assert_array_equal(found.images, PICTURES[:3])
    two = found.source(2)
    assert len(two) == 2
    assert two.ids == ("a", "b")
    id, image = two.read(1)
    assert (id, two.name_of(1, id)) == ("b", "b")
    np.testing.assert_array_equal(image, PICTURES[1])


def test_a_picture_that_was_compressed_anew_is_known_and_counted(tmp_path):
    again = compressed(PICTURES[1])
    assert (again != PICTURES[1]).any()
    pictures = {"x": PICTURES[0], "y": again, "z": PICTURES[2], "w": PICTURES[4]}
    found = recognition.locate(saved(tmp_path / "pictures", pictures), IDS, MARKS)
    assert found.identical == 2
    np.testing.assert_array_equal(found.images[1], again)


def test_another_picture_and_another_crop_are_not_taken(tmp_path):
    for number, other in enumerate(
        (
            PICTURES[3],
            np.asarray(Image.fromarray(PICTURES[1][6:, :-6]).resize((64, 64))),
        )
    ):
        pictures = {"a": PICTURES[0], "b": other, "c": PICTURES[2]}
        source = saved(tmp_path / f"{number}", pictures)
        with pytest.raises(DataError, match=r"1 of the benchmark's 3 .* first is b: "):
            recognition.locate(source, IDS, MARKS)


def test_pictures_that_cannot_be_read_do_not_count(tmp_path):
    pictures = {name: PICTURES[i] for i, name in enumerate(IDS)}
    source = saved(tmp_path / "pictures", pictures)
    (tmp_path / "pictures" / "b.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="1 of the benchmark's 3"):
        recognition.locate(source, IDS, MARKS)
    for path in (tmp_path / "pictures").iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(DataError, match="no picture can be read"):
        recognition.locate(source, IDS, MARKS)
