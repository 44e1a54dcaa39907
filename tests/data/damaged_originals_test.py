"""Damage to the files of the paper's data sets, and how it is told."""

import io
import itertools
import re
import tarfile
import zipfile

import layouts
import numpy as np
import pytest
from files import noise, raw_png
from hypothesis import given
from hypothesis import strategies as st

from inpaint_jax.data import archives, matlab, originals
from inpaint_jax.data.datasets import DataError


def one_line(caught, *words):
    line = str(caught.value)
    assert "\n" not in line
    for word in words:
        assert word in line, line


def cut_off(path, share, published, name):
    """The error of a data set while only a share of one of its files is there."""
    size = int(path.stat().st_size * share)
    with layouts.cut(path, size), pytest.raises(DataError) as caught:
        published(name)
    return caught


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_zip_that_is_cut_off(published, downloads, share):
    path = layouts.celeb_a(downloads, layouts.faces_of(range(1, 9)))
    caught = cut_off(path, share, published, "celeb_a")
    one_line(caught, f"{path}: not a readable zip (", "download it again")
    assert not list(downloads.parent.glob("cache/*"))
    assert len(published("celeb_a")) == 8


@pytest.mark.parametrize(
    ("layout", "share"),
    [("owner", share) for share in (0.0, 0.001, 0.3, 0.7, 0.9999)]
    + [("tar", share) for share in (0.0, 0.001, 0.3, 0.7)],
)
def test_a_tar_that_is_cut_off(published, downloads, layout, share):
    pictures, boxes = layouts.cars_of(8)
    path = layouts.cars196(downloads, pictures, boxes, layout=layout)
    caught = cut_off(path, share, published, "cars196")
    one_line(caught, f"{path}: damaged (", "download it again")
    assert not list(downloads.parent.glob("cache/*"))
    assert len(published("cars196")) == 8


def test_a_tar_of_the_same_length_is_decoded_anew(published, downloads, monkeypatch):
    pictures, boxes = layouts.cars_of(8)
    path = layouts.cars196(downloads, pictures, boxes, layout="tar")
    monkeypatch.setattr(archives, "_ENDS", 100)  # No picture lies in its ends.
    before = published("cars196")
    data = path.read_bytes()
    first = data.index(pictures["00001"])
    other = pictures["00002"][: len(pictures["00001"])].ljust(len(pictures["00001"]))
    path.write_bytes(data[:first] + other + data[first + len(other) :])
    assert not np.array_equal(published("cars196").images, before.images)


def test_a_tar_whose_bytes_have_changed(published, downloads):
    pictures, boxes = layouts.cars_of(8)
    path = layouts.cars196(downloads, pictures, boxes)
    data = bytearray(path.read_bytes())
    data[-6] ^= 1  # Of the checksum of all.
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        published("cars196")
    one_line(caught, "damaged (CRC check failed")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9])
def test_matlab_files_that_are_cut_off(published, downloads, share):
    rng = np.random.default_rng(0)
    digits = layouts.svhn(downloads, rng.integers(0, 256, (30, 32, 32, 3), np.uint8))
    caught = cut_off(digits, share, published, "svhn_cropped")
    one_line(caught, str(digits), "download it again")
    pictures, boxes = layouts.cars_of(3)
    layouts.cars196(downloads, pictures, boxes, layout="unpacked")
    path = downloads / "devkit" / "cars_train_annos.mat"
    one_line(cut_off(path, share, published, "cars196"), str(path))
    assert not list(downloads.parent.glob("cache/*"))


def test_matlab_files_of_something_else(published, downloads):
    pictures, boxes = layouts.cars_of(2)
    layouts.cars196(downloads, pictures, boxes, layout="unpacked")
    path = downloads / "devkit" / "cars_train_annos.mat"
    layouts.scipy.io.savemat(path, {"annotations": np.zeros(3)})
    with pytest.raises(DataError, match=r"has no annotations with bbox_x1, .* fname"):
        published("cars196")
    digits = downloads / "train_32x32.mat"
    for wrong in (
        {"x": np.zeros(3)},
        {"X": np.zeros((32, 32, 3))},
        {"X": np.zeros((32, 32, 3, 2))},
        {"X": np.zeros((3, 32, 32, 3), np.uint8)},
    ):
        layouts.scipy.io.savemat(digits, wrong)
        with pytest.raises(DataError, match="has no X of 32x32x3xN bytes"):
            published("svhn_cropped")


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
def test_a_partition_with_a_strange_line(published, downloads, text, reason):
    layouts.celeb_a(downloads, layouts.faces_of((1, 2)), partition=text)
    with pytest.raises(DataError) as caught:
        published("celeb_a")
    one_line(caught, "list_eval_partition.txt", reason, "download it again")


@given(st.binary(max_size=60))
def test_a_partition_of_any_bytes_is_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "partition.txt"
    path.write_bytes(content)
    found, said = {}, ""
    try:
        found = originals._read_partition(str(path))
    except DataError as error:
        said = str(error)
    assert "\n" not in said
    assert all(re.fullmatch(r"\d{6}", id) for id in found)


BAD = {
    "text": b"no picture",
    "nothing": b"",
    "half a picture": layouts.jpeg(noise(218, 178))[:900],
    "a bomb of pixels": raw_png(60_000, 60_000),
}


@pytest.mark.parametrize("layout", ["zip", "folder"])
def test_faces_that_are_no_images_are_named_and_left_out(published, downloads, layout):
    pictures = layouts.faces_of(range(1, 11))
    bad = ["000002", "000003", "000006", "000010"]
    pictures |= zip(bad, BAD.values(), strict=True)
    layouts.celeb_a(downloads, pictures, layout)
    for _ in range(2):  # The second time from the cache.
        loaded = published("celeb_a")
        assert loaded.ids == (
            "000001",
            "000004",
            "000005",
            *(f"00000{i}" for i in "789"),
        )
        assert [
            re.search(r"\d{6}(?=\.jpg: )", reason)[0] for reason in loaded.failed
        ] == bad
    assert "not a picture" in loaded.failed[0]
    assert "3600000000" in loaded.failed[3] or "60000x60000" in loaded.failed[3]
    good = {id: pictures[id] for id in loaded.ids}
    layouts.celeb_a(downloads / "good", good, layout)
    expected = published("celeb_a", folder=downloads / "good")
    np.testing.assert_array_equal(loaded.images, expected.images)


@pytest.mark.parametrize("layout", layouts.CARS)
def test_cars_that_are_no_images_or_not_there(published, downloads, layout):
    pictures, boxes = layouts.cars_of(6)
    pictures["00002"] = b"no picture"
    del pictures["00005"], pictures["00006"]
    layouts.cars196(downloads, pictures, boxes, layout=layout)
    loaded = published("cars196")
    assert loaded.ids == ("00001", "00003", "00004")
    assert "00002.jpg: not a picture" in loaded.failed[0]
    assert loaded.failed[1].endswith("has no picture 00005")
    assert len(loaded.failed) == 3


def test_a_face_whose_bytes_have_changed(published, downloads):
    path = layouts.celeb_a(downloads, layouts.faces_of(range(1, 5)))
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        data[archive.infolist()[2].header_offset + 300] ^= 1
    path.write_bytes(data)
    loaded = published("celeb_a")
    assert loaded.ids == ("000001", "000003", "000004")
    assert "000002.jpg: Bad CRC-32" in loaded.failed[0]


def test_nothing_but_what_is_no_image(published, downloads):
    layouts.celeb_a(downloads, {"000001": b"x", "000002": b"x"})
    with pytest.raises(
        DataError, match=r"2 of 2 pictures could not be read; the first"
    ):
        published("celeb_a")
    assert not list(downloads.parent.glob("cache/*"))


@pytest.mark.slow
def test_a_zip_with_a_large_member(published, downloads):
    path = layouts.celeb_a(downloads, layouts.faces_of((1, 2)))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("img_align_celeba/000003.jpg", "w", force_zip64=True) as file:
            for _ in range(1100):
                file.write(bytes(1 << 20))
        archive.writestr("__MACOSX/img_align_celeba/._000004.jpg", b"x")
    partition = downloads / "list_eval_partition.txt"
    partition.write_text(partition.read_text() + "000003.jpg 0\n000004.jpg 0\n")
    loaded = published("celeb_a")
    assert loaded.ids == ("000001", "000002")
    (reason,) = loaded.failed
    assert "bytes are more than" in reason


def test_a_tar_with_a_large_member_and_others(published, downloads):
    pictures, boxes = layouts.cars_of(4)
    path = downloads / "cars_train.tgz"
    layouts.cars196(downloads, pictures, boxes)
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
    loaded = published("cars196")
    assert loaded.ids == ("00001", "00003")
    assert "bytes are more than" in loaded.failed[0]
    assert "has no picture 00004" in loaded.failed[1]


def test_matlab_bombs(published, downloads, monkeypatch):
    pictures, boxes = layouts.cars_of(2)
    layouts.cars196(downloads, pictures, boxes, layout="unpacked")
    path = downloads / "devkit" / "cars_train_annos.mat"
    large = {"annotations": np.zeros(1 << 24)}
    layouts.scipy.io.savemat(path, large, do_compression=True)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(DataError, match="bytes when unpacked"):
        published("cars196")
    layouts.svhn(downloads, np.zeros((30, 32, 32, 3), np.uint8))
    monkeypatch.setattr(matlab, "_MOST_DIGITS", 29)
    with pytest.raises(DataError, match="30 digits are not what SVHN has"):
        published("svhn_cropped")


def test_odd_boxes(published, downloads):
    pictures, _ = layouts.cars_of(3)
    boxes = {"00001": (0, 0, 9999, 9999), "00002": (5, 5, 5, 5), "00003": (9, 9, 2, 2)}
    layouts.cars196(downloads, pictures, boxes)
    loaded = published("cars196")
    assert len(loaded) == 3
    whole = published("cars196", crop="none")
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
