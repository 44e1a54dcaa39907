"""The paper's data sets in the files that people have."""

import io

import layouts
import numpy as np
import pytest
from files import prepare
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from inpaint_jax.data import datasets, originals
from inpaint_jax.data.datasets import DataError

COUNT = 24


# --- the same as through tensorflow-datasets ---------------------------------


@pytest.fixture(scope="module")
def tfds():
    return pytest.importorskip("tensorflow_datasets")


@pytest.fixture(scope="module")
def real_faces(real_data):
    """Real faces in CelebA's frame, as files by number."""
    loaded = datasets.load(f"images:{real_data}/celeba64/validation.zip", limit=COUNT)
    return {
        id: layouts.jpeg(layouts.framed_face(image))
        for id, image in zip(loaded.ids, loaded.images, strict=True)
    }


@pytest.fixture(scope="module")
def real_cars(real_data):
    """Real cars in larger frames as files by id, and their boxes in pixels."""
    loaded = datasets.load(f"images:{real_data}/cars64/train.zip", limit=COUNT)
    cars = [layouts.framed_car(image, i) for i, image in enumerate(loaded.images)]
    pictures = {f"{i:05d}": layouts.jpeg(car) for i, (car, _) in enumerate(cars, 1)}
    return pictures, {f"{i:05d}": box for i, (_, box) in enumerate(cars, 1)}


@pytest.fixture(scope="module")
def real_digits(real_data):
    loaded = datasets.load(
        f"images:{real_data}/svhn/train.zip", crop="none", size=32, limit=COUNT
    )
    return loaded.images


@pytest.mark.parametrize("layout", layouts.FACES)
@pytest.mark.parametrize("crop", [None, 100])
def test_faces(tfds, real_faces, published, downloads, tmp_path, layout, crop):
    layouts.celeb_a(downloads, real_faces, layout)
    loaded = published("celeb_a", "validation", crop=crop)
    assert loaded.ids == tuple(sorted(real_faces))
    assert isinstance(loaded.images, np.memmap)
    files = {id: (data, None) for id, data in real_faces.items()}
    prepare(tfds, "celeb_a", tmp_path / "tfds", pictures=files)
    same = published("celeb_a", folder=tmp_path / "tfds", crop=crop)
    assert same.crop == loaded.crop
    # tensorflow-datasets changes the order, and has no ids.
    assert as_set(same.images) == as_set(loaded.images)
    assert len(as_set(loaded.images)) == COUNT


def as_set(images):
    return {image.tobytes() for image in np.asarray(images)}


@pytest.mark.parametrize("layout", layouts.CARS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_cars(tfds, real_cars, published, downloads, tmp_path, layout, split):
    pictures, boxes = real_cars
    layouts.cars196(downloads, pictures, boxes, split, layout)
    loaded = published("cars196", split)
    assert loaded.ids == tuple(sorted(pictures))
    assert loaded.crop == "box"
    files = {}
    for id, (top, left, bottom, right) in boxes.items():
        with Image.open(io.BytesIO(pictures[id])) as image:
            width, height = image.size
        box = (top / height, left / width, bottom / height, right / width)
        files[id] = pictures[id], box
    prepare(tfds, "cars196", tmp_path / "tfds", pictures=files)
    for options in ({}, {"crop": "center"}):
        loaded = published("cars196", split, **options)
        same = published("cars196", split, folder=tmp_path / "tfds", **options)
        images = dict(zip(same.ids, same.images, strict=True))
        for id, image in zip(loaded.ids, loaded.images, strict=True):
            np.testing.assert_array_equal(image, images[id])


def test_digits(tfds, real_digits, published, downloads, tmp_path):
    for split in ("train", "test", "extra"):
        layouts.svhn(downloads, real_digits, split)
        loaded = published("svhn_cropped", split)
        assert loaded.ids == tuple(f"{split}_{i:06d}" for i in range(COUNT))
    assert published("svhn_cropped", "extra", size=32).images.tobytes() == (
        real_digits.tobytes()
    )
    files = {}
    for i, digit in enumerate(real_digits):
        file = io.BytesIO()
        Image.fromarray(digit).save(file, "PNG")
        files[f"test_{i:06d}"] = file.getvalue(), None
    prepare(tfds, "svhn_cropped", tmp_path / "tfds", pictures=files)
    same = published("svhn_cropped", "test", folder=tmp_path / "tfds")
    images = dict(zip(same.ids, same.images, strict=True))
    loaded = published("svhn_cropped", "test")
    for id, image in zip(loaded.ids, loaded.images, strict=True):
        np.testing.assert_array_equal(image, images[id])


def test_what_is_prepared_goes_before_archives(tfds, published, downloads):
    layouts.svhn(downloads, np.zeros((3, 32, 32, 3), np.uint8))
    assert len(published("svhn_cropped")) == 3
    prepare(tfds, "svhn_cropped", downloads)
    assert len(published("svhn_cropped")) == 4


# --- splits ------------------------------------------------------------------

NUMBERS = (1, 2, 162_770, 162_771, 182_637, 182_638, 202_599)


def test_official_splits(published, downloads):
    layouts.celeb_a(downloads, layouts.faces_of(NUMBERS))
    assert published("celeb_a").ids == ("000001", "000002", "162770")
    assert published("celeb_a", "validation").ids == ("162771", "182637")
    assert published("celeb_a", "test").ids == ("182638", "202599")


def test_without_its_partition_the_official_ranges_are_used(published, downloads):
    layouts.celeb_a(downloads, layouts.faces_of(NUMBERS), partition=False)
    assert published("celeb_a").ids == ("000001", "000002", "162770")
    assert published("celeb_a", "validation").ids == ("162771", "182637")
    assert published("celeb_a", "test").ids == ("182638", "202599")
    opened = originals.open_split("celeb_a", "test", str(downloads))
    about, counts = opened.notes
    assert "no list_eval_partition.txt or list_eval_partition.csv in" in about
    assert "train to 162770, validation to 182637" in about
    assert "has 2 pictures of the split 'test'; 19,962 are published" in counts


def test_a_partition_may_say_otherwise(published, downloads):
    partition = "000001.jpg 2\n000002.png\t2\n162771.jpg,0\n\n"
    layouts.celeb_a(downloads, layouts.faces_of(NUMBERS), partition=partition)
    assert published("celeb_a").ids == ("162771",)
    assert published("celeb_a", "test").ids == ("000001", "000002")
    with pytest.raises(originals.MissingError, match="no picture of the split 'valid"):
        published("celeb_a", "validation")


@given(
    st.integers(1, 60),
    st.tuples(*[st.none() | st.integers(-70, 70)] * 2),
    st.booleans(),
)
def test_slices_are_those_of_python(count, bounds, percent):
    first, stop = bounds
    unit = "%" if percent else ""
    text = ["" if bound is None else f"{bound}{unit}" for bound in bounds]
    name, rows = originals.parse_split(f"train[{text[0]}:{text[1]}]")
    numbers = list(range(count))
    if percent:
        first, stop = (x if x is None else round(count * x / 100) for x in bounds)
    assert (name, numbers[rows(count)]) == ("train", numbers[first:stop])


def test_parts_of_a_split(published, downloads):
    layouts.celeb_a(downloads, layouts.faces_of(range(1, 11)))
    whole = published("celeb_a")
    assert published("celeb_a", "train[2:5]").ids == whole.ids[2:5]
    part = published("celeb_a", "train[50%:]", limit=2)
    assert part.ids == whole.ids[5:7]
    np.testing.assert_array_equal(part.images, whole.images[5:7])
    bad = layouts.faces_of(range(1, 11)) | {"000003": b"no picture", "000009": b"x"}
    layouts.celeb_a(downloads, bad)
    part = published(
        "celeb_a", "train[:5]"
    )  # What cannot be read counts, but nowhere else.
    assert part.ids == ("000001", "000002", "000004", "000005")
    assert len(part.failed) == 1
    np.testing.assert_array_equal(part.images, whole.images[[0, 1, 3, 4]])
    with pytest.raises(DataError, match="1 of 1 pictures could not be read; the first"):
        published("celeb_a", "train[2:3]")
    with pytest.raises(DataError, match=r"the split 'train\[:0\]' is empty"):
        published("celeb_a", "train[:0]")
    with pytest.raises(
        DataError, match=r"split 'train\[oops': give a name, or a slice"
    ):
        published("celeb_a", "train[oops")
    with pytest.raises(DataError, match=r"no split 'extra': give train, validation, t"):
        published("celeb_a", "extra")


def test_the_rest_stays_on_the_disk(published, downloads):
    layouts.celeb_a(downloads, layouts.faces_of(range(1, 21)))
    whole = published("celeb_a", size=16)
    rest, held_back = datasets.hold_back(whole, 5)
    assert not isinstance(rest.images, np.ndarray)
    assert type(held_back.images) is np.ndarray
    assert rest.images.shape == (len(rest), 16, 16, 3) == (15, 16, 16, 3)
    rows = [whole.ids.index(id) for id in rest.ids]
    np.testing.assert_array_equal(np.asarray(rest.images), whole.images[rows])
    np.testing.assert_array_equal(rest.images[[3, 0]], whole.images[rows][[3, 0]])
    np.testing.assert_array_equal(rest.images[2:4], whole.images[rows][2:4])
    _, few = datasets.hold_back(rest, 3)
    assert type(few.images) is np.ndarray
    assert len(few) == 3


# --- what is missing ---------------------------------------------------------


@pytest.mark.parametrize("name", originals.PUBLISHED)
def test_what_is_expected_is_said_in_full(published, downloads, name):
    with pytest.raises(DataError) as caught:
        published(name)
    line = str(caught.value)
    assert line.startswith(f"{name} is not in {downloads}: expected are ")
    assert "\n" not in line
    for word in {
        "celeb_a": (
            "img_align_celeba.zip",
            "list_eval_partition.txt",
            "https://mmlab.",
        ),
        "svhn_cropped": ("train_32x32.mat", "extra_32x32.mat", "http://ufldl."),
        "cars196": ("cars_train.tgz", "cars_train_annos.mat", "car_devkit.tgz", "Kagg"),
    }[name]:
        assert word in line
    assert f"tfds build {name} " in line


def test_what_is_found_is_said_as_well(published, downloads):
    pictures, boxes = layouts.cars_of(3)
    layouts.cars196(downloads, pictures, boxes)
    (downloads / "car_devkit.tgz").unlink()
    with pytest.raises(originals.MissingError) as caught:
        published("cars196")
    assert str(caught.value).startswith(
        f"cars196, split 'train': no cars_train_annos.mat in {downloads}, where there "
        "is cars_train.tgz; expected are cars_train.tgz and "
    )
    with pytest.raises(
        originals.MissingError, match=r"no cars_test\.tgz or cars_test\.t"
    ):
        published("cars196", "test")
    layouts.svhn(downloads, np.zeros((3, 32, 32, 3), np.uint8))
    with pytest.raises(
        originals.MissingError, match=r"no extra_32x32\.mat in .*, where "
    ):
        published("svhn_cropped", "extra")
    (downloads / "list_eval_partition.txt").write_text("000001.jpg 0\n")
    with pytest.raises(
        originals.MissingError, match=r"no img_align_celeba\.zip or img_"
    ):
        published("celeb_a")
    assert not list(downloads.parent.glob("cache/*"))


def test_boxes_of_the_test_split_need_no_labels(published, downloads):
    pictures, boxes = layouts.cars_of(3)
    layouts.cars196(downloads, pictures, boxes, "test", "unpacked")
    expected = published("cars196", "test")
    (downloads / "devkit" / "cars_test_annos_withlabels.mat").unlink()
    data = layouts.annotations(boxes, labels=False)
    layouts.tar_of(downloads / "car_devkit.tgz", {"devkit/cars_test_annos.mat": data})
    loaded = published("cars196", "test")
    np.testing.assert_array_equal(loaded.images, expected.images)


# --- damage ------------------------------------------------------------------
