"""The paper's data sets in the files that people have, and how damage is told."""

import io
import itertools
import re
import tarfile
import zipfile

import layouts
import numpy as np
import pytest
from files import noise, prepare, raw_png
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from inpaint_jax.data import archives, datasets, matlab, originals
from inpaint_jax.data.datasets import DataError

COUNT = 24


def shades(count, height=218, width=178):
    """Pictures that differ, each of two colours, so that JPEG keeps them apart."""
    result = []
    for i in range(count):
        image = np.full(
            (height, width, 3), (9 * i % 256, 40, 255 - 7 * i % 256), np.uint8
        )
        image[: height // 2, : width // 2] //= 2
        result.append(image)
    return result


@pytest.fixture
def load(tmp_path):
    def load(name, split="train", folder=tmp_path / "data", **options):
        return datasets.load(
            name, split=split, data_dir=folder, cache_dir=tmp_path / "cache", **options
        )

    return load


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "data"
    path.mkdir()
    return path


def faces_of(ids):
    return {
        f"{id:06d}": layouts.jpeg(image)
        for id, image in zip(ids, shades(len(ids)), strict=True)
    }


def cars_of(count):
    cars = [layouts.framed_car(noise(64, 64, i), i) for i in range(count)]
    pictures = {f"{i:05d}": layouts.jpeg(car) for i, (car, _) in enumerate(cars, 1)}
    boxes = {f"{i:05d}": box for i, (_, box) in enumerate(cars, 1)}
    return pictures, boxes


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
def test_faces(tfds, real_faces, load, folder, tmp_path, layout, crop):
    layouts.celeb_a(folder, real_faces, layout)
    loaded = load("celeb_a", "validation", crop=crop)
    assert loaded.ids == tuple(sorted(real_faces))
    assert isinstance(loaded.images, np.memmap)
    files = {id: (data, None) for id, data in real_faces.items()}
    prepare(tfds, "celeb_a", tmp_path / "tfds", pictures=files)
    same = load("celeb_a", folder=tmp_path / "tfds", crop=crop)
    assert same.crop == loaded.crop
    # tensorflow-datasets changes the order, and has no ids.
    assert as_set(same.images) == as_set(loaded.images)
    assert len(as_set(loaded.images)) == COUNT


def as_set(images):
    return {image.tobytes() for image in np.asarray(images)}


@pytest.mark.parametrize("layout", layouts.CARS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_cars(tfds, real_cars, load, folder, tmp_path, layout, split):
    pictures, boxes = real_cars
    layouts.cars196(folder, pictures, boxes, split, layout)
    loaded = load("cars196", split)
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
        loaded = load("cars196", split, **options)
        same = load("cars196", split, folder=tmp_path / "tfds", **options)
        images = dict(zip(same.ids, same.images, strict=True))
        for id, image in zip(loaded.ids, loaded.images, strict=True):
            np.testing.assert_array_equal(image, images[id])


def test_digits(tfds, real_digits, load, folder, tmp_path):
    for split in ("train", "test", "extra"):
        layouts.svhn(folder, real_digits, split)
        loaded = load("svhn_cropped", split)
        assert loaded.ids == tuple(f"{split}_{i:06d}" for i in range(COUNT))
    assert load("svhn_cropped", "extra", size=32).images.tobytes() == (
        real_digits.tobytes()
    )
    files = {}
    for i, digit in enumerate(real_digits):
        file = io.BytesIO()
        Image.fromarray(digit).save(file, "PNG")
        files[f"test_{i:06d}"] = file.getvalue(), None
    prepare(tfds, "svhn_cropped", tmp_path / "tfds", pictures=files)
    same = load("svhn_cropped", "test", folder=tmp_path / "tfds")
    images = dict(zip(same.ids, same.images, strict=True))
    loaded = load("svhn_cropped", "test")
    for id, image in zip(loaded.ids, loaded.images, strict=True):
        np.testing.assert_array_equal(image, images[id])


def test_what_is_prepared_goes_before_archives(tfds, load, folder):
    layouts.svhn(folder, np.zeros((3, 32, 32, 3), np.uint8))
    assert len(load("svhn_cropped")) == 3
    prepare(tfds, "svhn_cropped", folder)
    assert len(load("svhn_cropped")) == 4


# --- splits ------------------------------------------------------------------

NUMBERS = (1, 2, 162_770, 162_771, 182_637, 182_638, 202_599)


def test_official_splits(load, folder):
    layouts.celeb_a(folder, faces_of(NUMBERS))
    assert load("celeb_a").ids == ("000001", "000002", "162770")
    assert load("celeb_a", "validation").ids == ("162771", "182637")
    assert load("celeb_a", "test").ids == ("182638", "202599")


def test_without_its_partition_the_official_ranges_are_used(load, folder):
    layouts.celeb_a(folder, faces_of(NUMBERS), partition=False)
    assert load("celeb_a").ids == ("000001", "000002", "162770")
    assert load("celeb_a", "validation").ids == ("162771", "182637")
    assert load("celeb_a", "test").ids == ("182638", "202599")
    opened = originals.open_split("celeb_a", "test", str(folder))
    about, counts = opened.notes
    assert "no list_eval_partition.txt or list_eval_partition.csv in" in about
    assert "train to 162770, validation to 182637" in about
    assert "has 2 pictures of the split 'test'; 19,962 are published" in counts


def test_a_partition_may_say_otherwise(load, folder):
    partition = "000001.jpg 2\n000002.png\t2\n162771.jpg,0\n\n"
    layouts.celeb_a(folder, faces_of(NUMBERS), partition=partition)
    assert load("celeb_a").ids == ("162771",)
    assert load("celeb_a", "test").ids == ("000001", "000002")
    with pytest.raises(originals.MissingError, match="no picture of the split 'valid"):
        load("celeb_a", "validation")


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


def test_parts_of_a_split(load, folder):
    layouts.celeb_a(folder, faces_of(range(1, 11)))
    whole = load("celeb_a")
    assert load("celeb_a", "train[2:5]").ids == whole.ids[2:5]
    part = load("celeb_a", "train[50%:]", limit=2)
    assert part.ids == whole.ids[5:7]
    np.testing.assert_array_equal(part.images, whole.images[5:7])
    bad = faces_of(range(1, 11)) | {"000003": b"no picture", "000009": b"x"}
    layouts.celeb_a(folder, bad)
    part = load("celeb_a", "train[:5]")  # What cannot be read counts, but nowhere else.
    assert part.ids == ("000001", "000002", "000004", "000005")
    assert len(part.failed) == 1
    np.testing.assert_array_equal(part.images, whole.images[[0, 1, 3, 4]])
    with pytest.raises(DataError, match="1 of 1 pictures could not be read; the first"):
        load("celeb_a", "train[2:3]")
    with pytest.raises(DataError, match=r"the split 'train\[:0\]' is empty"):
        load("celeb_a", "train[:0]")
    with pytest.raises(
        DataError, match=r"split 'train\[oops': give a name, or a slice"
    ):
        load("celeb_a", "train[oops")
    with pytest.raises(DataError, match=r"no split 'extra': give train, validation, t"):
        load("celeb_a", "extra")


def test_the_rest_stays_on_the_disk(load, folder):
    layouts.celeb_a(folder, faces_of(range(1, 21)))
    whole = load("celeb_a", size=16)
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
def test_what_is_expected_is_said_in_full(load, folder, name):
    with pytest.raises(DataError) as caught:
        load(name)
    line = str(caught.value)
    assert line.startswith(f"{name} is not in {folder}: expected are ")
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


def test_what_is_found_is_said_as_well(load, folder):
    pictures, boxes = cars_of(3)
    layouts.cars196(folder, pictures, boxes)
    (folder / "car_devkit.tgz").unlink()
    with pytest.raises(originals.MissingError) as caught:
        load("cars196")
    assert str(caught.value).startswith(
        f"cars196, split 'train': no cars_train_annos.mat in {folder}, where there is "
        "cars_train.tgz; expected are cars_train.tgz and "
    )
    with pytest.raises(
        originals.MissingError, match=r"no cars_test\.tgz or cars_test\.t"
    ):
        load("cars196", "test")
    layouts.svhn(folder, np.zeros((3, 32, 32, 3), np.uint8))
    with pytest.raises(
        originals.MissingError, match=r"no extra_32x32\.mat in .*, where "
    ):
        load("svhn_cropped", "extra")
    (folder / "list_eval_partition.txt").write_text("000001.jpg 0\n")
    with pytest.raises(
        originals.MissingError, match=r"no img_align_celeba\.zip or img_"
    ):
        load("celeb_a")
    assert not list(folder.parent.glob("cache/*"))


def test_boxes_of_the_test_split_need_no_labels(load, folder):
    pictures, boxes = cars_of(3)
    layouts.cars196(folder, pictures, boxes, "test", "unpacked")
    expected = load("cars196", "test")
    (folder / "devkit" / "cars_test_annos_withlabels.mat").unlink()
    data = layouts.annotations(boxes, labels=False)
    layouts.tar_of(folder / "car_devkit.tgz", {"devkit/cars_test_annos.mat": data})
    loaded = load("cars196", "test")
    np.testing.assert_array_equal(loaded.images, expected.images)


# --- damage ------------------------------------------------------------------


def one_line(caught, *words):
    line = str(caught.value)
    assert "\n" not in line
    for word in words:
        assert word in line, line


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_zip_that_is_cut_off(load, folder, share):
    path = layouts.celeb_a(folder, faces_of(range(1, 9)))
    size = int(path.stat().st_size * share)
    with layouts.cut(path, size), pytest.raises(DataError) as caught:
        load("celeb_a")
    one_line(caught, f"{path}: not a readable zip (", "download it again")
    assert not list(folder.parent.glob("cache/*"))
    assert len(load("celeb_a")) == 8


@pytest.mark.parametrize(
    ("layout", "share"),
    [("owner", share) for share in (0.0, 0.001, 0.3, 0.7, 0.9999)]
    + [("tar", share) for share in (0.0, 0.001, 0.3, 0.7)],
)
def test_a_tar_that_is_cut_off(load, folder, layout, share):
    pictures, boxes = cars_of(8)
    path = layouts.cars196(folder, pictures, boxes, layout=layout)
    size = int(path.stat().st_size * share)
    with layouts.cut(path, size), pytest.raises(DataError) as caught:
        load("cars196")
    one_line(caught, f"{path}: damaged (", "download it again")
    assert not list(folder.parent.glob("cache/*"))
    assert len(load("cars196")) == 8


def test_a_tar_of_the_same_length_is_decoded_anew(load, folder, monkeypatch):
    pictures, boxes = cars_of(8)
    path = layouts.cars196(folder, pictures, boxes, layout="tar")
    monkeypatch.setattr(archives, "_ENDS", 100)  # No picture lies in its ends.
    before = load("cars196")
    data = path.read_bytes()
    first = data.index(pictures["00001"])
    other = pictures["00002"][: len(pictures["00001"])].ljust(len(pictures["00001"]))
    path.write_bytes(data[:first] + other + data[first + len(other) :])
    assert not np.array_equal(load("cars196").images, before.images)


def test_a_tar_whose_bytes_have_changed(load, folder):
    pictures, boxes = cars_of(8)
    path = layouts.cars196(folder, pictures, boxes)
    data = bytearray(path.read_bytes())
    data[-6] ^= 1  # Of the checksum of all.
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        load("cars196")
    one_line(caught, "damaged (CRC check failed")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9])
def test_matlab_files_that_are_cut_off(load, folder, share):
    rng = np.random.default_rng(0)
    digits = layouts.svhn(folder, rng.integers(0, 256, (30, 32, 32, 3), np.uint8))
    with layouts.cut(digits, int(digits.stat().st_size * share)):
        with pytest.raises(DataError) as caught:
            load("svhn_cropped")
        one_line(caught, str(digits), "download it again")
    pictures, boxes = cars_of(3)
    layouts.cars196(folder, pictures, boxes, layout="unpacked")
    path = folder / "devkit" / "cars_train_annos.mat"
    with layouts.cut(path, int(path.stat().st_size * share)):
        with pytest.raises(DataError) as caught:
            load("cars196")
        one_line(caught, str(path))
    assert not list(folder.parent.glob("cache/*"))


def test_matlab_files_of_something_else(load, folder):
    pictures, boxes = cars_of(2)
    layouts.cars196(folder, pictures, boxes, layout="unpacked")
    path = folder / "devkit" / "cars_train_annos.mat"
    layouts.scipy.io.savemat(path, {"annotations": np.zeros(3)})
    with pytest.raises(DataError, match=r"has no annotations with bbox_x1, .* fname"):
        load("cars196")
    digits = folder / "train_32x32.mat"
    for wrong in (
        {"x": np.zeros(3)},
        {"X": np.zeros((32, 32, 3))},
        {"X": np.zeros((32, 32, 3, 2))},
        {"X": np.zeros((3, 32, 32, 3), np.uint8)},
    ):
        layouts.scipy.io.savemat(digits, wrong)
        with pytest.raises(DataError, match="has no X of 32x32x3xN bytes"):
            load("svhn_cropped")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("000001.jpg 0\n000002.jpg 3\n", "line 2 is strange: '000002.jpg 3'"),
        ("000001.jpg 0\n000002.jpg\n", "line 2 is strange"),
        ("<html>Quota exceeded</html>\n", "line 1 is strange: '<html>Quota ex"),
        ("000001.jpg 0\n\n../1.jpg 0\n", "line 3 is strange"),
        ("000001.jpg 0\n000001.jpg 2\n", "line 2 names a picture again"),
        ("\n", "is empty"),
        ("000001.jpg 0" + "\x00" * 9, "line 1 is strange"),
    ],
)
def test_a_partition_with_a_strange_line(load, folder, text, reason):
    layouts.celeb_a(folder, faces_of((1, 2)), partition=text)
    with pytest.raises(DataError) as caught:
        load("celeb_a")
    one_line(caught, "list_eval_partition.txt", reason, "download it again")


@given(st.binary(max_size=60))
def test_a_partition_of_any_bytes_is_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "partition.txt"
    path.write_bytes(content)
    try:
        found = originals._read_partition(str(path))
    except DataError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert all(re.fullmatch(r"\d{6}", id) for id in found)


BAD = {
    "text": b"no picture",
    "nothing": b"",
    "half a picture": layouts.jpeg(noise(218, 178))[:900],
    "a bomb of pixels": raw_png(60_000, 60_000),
}


@pytest.mark.parametrize("layout", ["zip", "folder"])
def test_faces_that_are_no_images_are_named_and_left_out(load, folder, layout):
    pictures = faces_of(range(1, 11))
    for id, data in zip(("000002", "000003", "000006", "000010"), BAD.values()):  # noqa: B905
        pictures[id] = data
    layouts.celeb_a(folder, pictures, layout)
    for _ in range(2):  # The second time from the cache.
        loaded = load("celeb_a")
        assert loaded.ids == (
            "000001",
            "000004",
            "000005",
            *(f"00000{i}" for i in "789"),
        )
        assert [
            re.search(r"\d{6}(?=\.jpg: )", reason)[0] for reason in loaded.failed
        ] == ["000002", "000003", "000006", "000010"]
    assert "not a picture" in loaded.failed[0]
    assert "3600000000" in loaded.failed[3] or "60000x60000" in loaded.failed[3]
    good = {id: pictures[id] for id in loaded.ids}
    layouts.celeb_a(folder / "good", good, layout)
    expected = load("celeb_a", folder=folder / "good")
    np.testing.assert_array_equal(loaded.images, expected.images)


@pytest.mark.parametrize("layout", layouts.CARS)
def test_cars_that_are_no_images_or_not_there(load, folder, layout):
    pictures, boxes = cars_of(6)
    pictures["00002"] = b"no picture"
    del pictures["00005"], pictures["00006"]
    layouts.cars196(folder, pictures, boxes, layout=layout)
    loaded = load("cars196")
    assert loaded.ids == ("00001", "00003", "00004")
    assert "00002.jpg: not a picture" in loaded.failed[0]
    assert loaded.failed[1].endswith("has no picture 00005")
    assert len(loaded.failed) == 3


def test_a_face_whose_bytes_have_changed(load, folder):
    path = layouts.celeb_a(folder, faces_of(range(1, 5)))
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        data[archive.infolist()[2].header_offset + 300] ^= 1
    path.write_bytes(data)
    loaded = load("celeb_a")
    assert loaded.ids == ("000001", "000003", "000004")
    assert "000002.jpg: Bad CRC-32" in loaded.failed[0]


def test_nothing_but_what_is_no_image(load, folder):
    layouts.celeb_a(folder, {"000001": b"x", "000002": b"x"})
    with pytest.raises(
        DataError, match=r"2 of 2 pictures could not be read; the first"
    ):
        load("celeb_a")
    assert not list(folder.parent.glob("cache/*"))


@pytest.mark.slow
def test_a_zip_with_a_large_member(load, folder):
    path = layouts.celeb_a(folder, faces_of((1, 2)))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("img_align_celeba/000003.jpg", "w", force_zip64=True) as file:
            for _ in range(1100):
                file.write(bytes(1 << 20))
        archive.writestr("__MACOSX/img_align_celeba/._000004.jpg", b"x")
    partition = folder / "list_eval_partition.txt"
    partition.write_text(partition.read_text() + "000003.jpg 0\n000004.jpg 0\n")
    loaded = load("celeb_a")
    assert loaded.ids == ("000001", "000002")
    (reason,) = loaded.failed
    assert "bytes are more than" in reason


def test_a_tar_with_a_large_member_and_others(load, folder):
    pictures, boxes = cars_of(4)
    path = folder / "cars_train.tgz"
    layouts.cars196(folder, pictures, boxes)
    with tarfile.open(path, "w:gz") as archive:
        for name, data in (
            ("./cars_train/00001.jpg", pictures["00001"]),
            ("../../00004.jpg", pictures["00004"]),
            ("cars_train/00002.jpg", bytes(archives._MOST_BYTES + 1)),
            ("cars_train/README.txt", b"x"),
            ("cars_train/._00003.jpg", b"x"),
            ("cars_train/00003.jpg", pictures["00003"]),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("cars_train/00004.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    loaded = load("cars196")
    assert loaded.ids == ("00001", "00003")
    assert "bytes are more than" in loaded.failed[0]
    assert "has no picture 00004" in loaded.failed[1]


def test_matlab_bombs(load, folder, monkeypatch):
    pictures, boxes = cars_of(2)
    layouts.cars196(folder, pictures, boxes, layout="unpacked")
    path = folder / "devkit" / "cars_train_annos.mat"
    large = {"annotations": np.zeros(1 << 24)}
    layouts.scipy.io.savemat(path, large, do_compression=True)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(DataError, match="bytes when unpacked"):
        load("cars196")
    layouts.svhn(folder, np.zeros((30, 32, 32, 3), np.uint8))
    monkeypatch.setattr(matlab, "_MOST_DIGITS", 29)
    with pytest.raises(DataError, match="30 digits are not what SVHN has"):
        load("svhn_cropped")


def test_odd_boxes(load, folder):
    pictures, _ = cars_of(3)
    boxes = {"00001": (0, 0, 9999, 9999), "00002": (5, 5, 5, 5), "00003": (9, 9, 2, 2)}
    layouts.cars196(folder, pictures, boxes)
    loaded = load("cars196")
    assert len(loaded) == 3
    whole = load("cars196", crop="none")
    np.testing.assert_array_equal(loaded.images[0], whole.images[0])


def test_looking_around_ends(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path)
    deep = tmp_path.joinpath(*itertools.repeat("x", 9))
    deep.mkdir(parents=True)
    (deep / "a.zip").write_bytes(b"")
    (tmp_path / "x" / "b (2).mat").write_bytes(b"")
    assert archives.find(str(tmp_path), {"a.zip", "b.mat"}) == {
        "b.mat": str(tmp_path / "x" / "b (2).mat")
    }
    assert archives.find(str(tmp_path / "nothing"), {"a.zip"}) == {}
