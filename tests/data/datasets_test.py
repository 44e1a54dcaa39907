"""Data sets by name: folders and zips, tensorflow-datasets."""

import builtins
import io
import os
import re
import shutil
import sys
import zipfile

import numpy as np
import pytest
from absl import logging
from conftest import DEMO
from files import PORTRAITS, prepare
from PIL import Image

from inpaint_jax.data import datasets, decoding
from inpaint_jax.data.datasets import DataError
from inpaint_jax.data.decoding import read_picture
from inpaint_jax.data.files import ImageError
from inpaint_jax.data.images import crop_and_resize


def portrait(name, **options):
    return crop_and_resize(read_picture(DEMO / f"{name}.png"), **options)


# --- folders and zips --------------------------------------------------------


def test_a_folder():
    loaded = datasets.load(f"images:{DEMO}")
    assert loaded.ids == tuple(PORTRAITS)
    assert (len(loaded), loaded.split, loaded.crop) == (4, "train", "center")
    assert loaded.name == f"images:{DEMO}"
    assert loaded.images.dtype == np.uint8
    expected = np.stack([portrait(name) for name in PORTRAITS])
    np.testing.assert_array_equal(loaded.images, expected)


def test_crop_size_and_limit():
    loaded = datasets.load(f"images:{DEMO}", crop=100, size=32, limit=2, split="test")
    assert (loaded.split, loaded.crop) == ("test", "100")
    expected = np.stack([portrait(n, crop=100, size=32) for n in PORTRAITS[:2]])
    np.testing.assert_array_equal(loaded.images, expected)
    assert len(datasets.load(f"images:{DEMO}", limit=99)) == 4


def test_a_pattern_of_zips_relative_to_the_folder(tmp_path, monkeypatch):
    for name in PORTRAITS[:3]:
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            archive.write(DEMO / f"{name}.png", f"in/{name}.png")
    monkeypatch.chdir(tmp_path)
    loaded = datasets.load("images:*.zip")
    assert loaded.ids == ("in/biden", "in/collins", "in/obama_portrait")
    np.testing.assert_array_equal(loaded.images[1], portrait("collins"))
    np.testing.assert_array_equal(
        datasets.load("images:collins.zip").images[0], portrait("collins")
    )


def test_many_pictures_keep_their_order(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for i in range(300):
            file = io.BytesIO()
            Image.new("L", (8, 8), i % 256).save(file, "PNG")
            archive.writestr(f"{i:03d}.png", file.getvalue())
    loaded = datasets.load(f"images:{tmp_path}/a.zip", size=8)
    assert loaded.ids == tuple(f"{i:03d}" for i in range(300))
    np.testing.assert_array_equal(loaded.images[:, 0, 0, 0], np.arange(300) % 256)


def test_unreadable_pictures_are_left_out_with_their_reasons(tmp_path):
    for name in ("a", "c"):
        portrait_file = (DEMO / "biden.png").read_bytes()
        (tmp_path / f"{name}.png").write_bytes(portrait_file)
    (tmp_path / "b.png").write_text("no picture")
    (tmp_path / "d.png").write_text("")
    loaded = datasets.load(f"images:{tmp_path}")
    assert loaded.ids == ("a", "c")
    np.testing.assert_array_equal(loaded.images, [portrait("biden")] * 2)
    assert len(loaded.failed) == 2
    assert loaded.failed[0].startswith(f"{tmp_path}/b.png: not a picture")
    with pytest.raises(DataError, match=r"1 of 1 pictures .*d\.png: the file is empty"):
        datasets.load(f"images:{tmp_path}/d.png")


def test_pictures_that_are_skipped_are_named(tmp_path, warned):
    shutil.copy(DEMO / "biden.png", tmp_path / "a.png")
    (tmp_path / "b.nef").write_bytes(b"")
    assert datasets.load(f"images:{tmp_path}").ids == ("a",)
    (line,) = warned
    assert line.startswith(f"skipped {tmp_path}/b.nef: camera raw is not read")


def test_names_that_are_not_utf_8(tmp_path):
    portrait_file = (DEMO / "biden.png").read_bytes()
    for name in (b"a.png", b"\xe9.png", b"\xe8.png", b"\xff.png"):
        try:
            with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
                file.write(portrait_file)
        except OSError:
            pytest.skip("this file system takes UTF-8 only")
    loaded = datasets.load(f"images:{tmp_path}")
    assert loaded.ids == ("a", "\\xe8", "\\xe9", "\\xff")
    rest, held_back = datasets.hold_back(loaded, 2)
    assert sorted(rest.ids + held_back.ids) == sorted(loaded.ids)
    with pytest.raises(DataError) as caught:
        datasets.load("images:gone/" + os.fsdecode(b"\xe9.png"))
    assert str(caught.value).encode() == rb"gone/\xe9.png: no such file or folder"


@pytest.mark.parametrize("crop", ["center", "none", 40])
def test_large_pictures_are_shrunk_as_far_as_the_crop_lets(tmp_path, monkeypatch, crop):
    ramp = np.arange(200, dtype=np.uint8)
    image = np.stack(np.broadcast_arrays(ramp[:100, None], ramp, ramp[::-1]), axis=-1)
    Image.fromarray(image).save(tmp_path / "a.png")
    options = {"crop": crop, "size": 16}
    whole = datasets.load(f"images:{tmp_path}", **options)
    monkeypatch.setattr(decoding, "LARGE_PIXELS", 1000)
    widths = []
    halve = decoding._halve
    monkeypatch.setattr(
        decoding, "_halve", lambda image: widths.append(image.width) or halve(image)
    )
    large = datasets.load(f"images:{tmp_path}", **options)
    np.testing.assert_allclose(large.images, whole.images, atol=4)
    assert widths == ([] if crop == 40 else [200])


def test_a_source_is_read_as_it_is_asked(tmp_path):
    shutil.copytree(DEMO, tmp_path / "demo")
    source = datasets.open_source(f"images:{tmp_path / 'demo'}", size=32)
    whole = datasets.load(f"images:{DEMO}", size=32)
    assert len(source) == len(whole) == 4
    assert source.ids == whole.ids
    assert source.crop == whole.crop == "center"
    for index in (2, 0):
        id, image = source.read(index)
        assert id == whole.ids[index]
        np.testing.assert_array_equal(image, whole.images[index])
    # Nothing was read before it was asked for, or is kept.
    victim = next((tmp_path / "demo").glob(f"{whole.ids[1]}.*"))
    victim.write_bytes(b"no picture")
    with pytest.raises(ImageError, match=victim.name):
        source.read(1)
    assert len(datasets.open_source(f"images:{DEMO}", limit=3)) == 3


def test_an_interrupt_does_not_wait_for_the_rest(monkeypatch):
    asked = []

    def read(index):
        asked.append(index)
        raise KeyboardInterrupt

    pictures = [datasets.Picture("x", "x", "x.png")] * 10_000
    monkeypatch.setattr(datasets, "_open_pictures", lambda *args: (pictures, read))
    with pytest.raises(KeyboardInterrupt):
        datasets.load("images:x", size=8)
    assert len(asked) < 100


def test_the_bar_is_shown_on_a_terminal_only(monkeypatch, capsys):
    datasets.load(f"images:{DEMO}", progress=True)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    datasets.load(f"images:{DEMO}", progress=False)
    assert capsys.readouterr().err == ""
    datasets.load(f"images:{DEMO}", progress=True)
    assert "4/4" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("celeba", {}, "'celeba': give celeb_a, svhn_cropped, cars196, or images:PATH"),
        ("", {}, "unknown data set ''"),
        ("images:", {}, "unknown data set 'images:'"),
        ("folder:x", {}, "unknown data set 'folder:x'"),
        ("celeb_a:x", {}, "unknown data set 'celeb_a:x'"),
        ("images:missing", {}, "missing: no such file or folder"),
        (f"images:{DEMO}", {"crop": "square"}, "crop 'square': give center, none"),
        (f"images:{DEMO}", {"crop": "box"}, "crop 'box': give center, none"),
        ("celeb_a", {"crop": "box"}, "celeb_a: crop 'box': give center, none"),
        (f"images:{DEMO}", {"limit": 0}, "limit 0: give at least 1"),
        (f"images:{DEMO}", {"size": 0}, "size 0: give at least 1"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(name, options, reason):
    with pytest.raises(DataError, match=re.escape(reason)) as caught:
        datasets.load(name, **options)
    assert "\n" not in str(caught.value)


def test_real_zips(real_data):
    faces = datasets.load(f"images:{real_data}/celeba64/validation.zip", limit=8)
    assert faces.ids[0] == "162773"
    cars = datasets.load(f"images:{real_data}/cars64/t*.zip", limit=8)
    digits = datasets.load(f"images:{real_data}/svhn/test.zip", crop="none", limit=8)
    for loaded in (faces, cars, digits):
        assert loaded.images.shape == (8, 64, 64, 3)
        assert len(set(loaded.ids)) == 8
        assert loaded.images.std(axis=(1, 2, 3)).min() > 5


# --- tensorflow-datasets -----------------------------------------------------


@pytest.fixture
def tfds():
    return pytest.importorskip("tensorflow_datasets")


@pytest.mark.parametrize("name", ["celeb_a", "svhn_cropped", "cars196"])
def test_mocked_data(tfds, name, warned):
    with tfds.testing.mock_data(num_examples=20):
        loaded = datasets.load(name, split="test")
        again = datasets.load(name, split="test", limit=3)
        whole = datasets.load(name, split="test", crop="none")
    assert loaded.images.shape[1:] == (64, 64, 3)
    assert len(set(loaded.ids)) == len(loaded) == len(loaded.images)
    np.testing.assert_array_equal(again.images, loaded.images[: len(again)])
    assert len(loaded) == 20
    if name != "cars196":  # mocked cars may be too small for a crop
        assert not warned
    crops = {"celeb_a": "center", "svhn_cropped": "none", "cars196": "box"}
    assert loaded.crop == crops[name]
    same = np.array_equal(whole.images, loaded.images)
    assert same == (name == "svhn_cropped")


def test_an_empty_split(tfds):
    mocked = tfds.testing.mock_data(num_examples=0)
    with mocked, pytest.raises(DataError, match="the split 'extra' is empty"):
        datasets.load("svhn_cropped", split="extra")


def portraits_like(loaded, **options):
    """Pairs what was loaded, whose order is the preparation's, with the originals."""
    expected = np.stack([portrait(name, **options) for name in PORTRAITS])
    found = [
        next(i for i, one in enumerate(expected) if np.array_equal(one, image))
        for image in loaded.images
    ]
    return sorted(found) == [0, 1, 2, 3]


def test_prepared_faces(tfds, tmp_path):
    prepare(tfds, "celeb_a", tmp_path)
    loaded = datasets.load("celeb_a", split="test", data_dir=tmp_path)
    assert portraits_like(loaded)
    assert loaded.ids == tuple(f"test-{i:06d}" for i in range(4))
    loaded = datasets.load("celeb_a", data_dir=str(tmp_path), crop=100, size=50)
    assert portraits_like(loaded, crop=100, size=50)
    assert len(datasets.load("celeb_a", split="train[:2]", data_dir=tmp_path)) == 2


def test_prepared_cars_are_cut_to_their_boxes(tfds, tmp_path):
    prepare(tfds, "cars196", tmp_path)
    loaded = datasets.load("cars196", data_dir=tmp_path)
    assert sorted(loaded.ids) == ["00000", "00001", "00002", "00003"]
    assert portraits_like(loaded, box=(0.25, 0.5, 0.75, 1))
    assert portraits_like(datasets.load("cars196", data_dir=tmp_path, crop="center"))
    assert loaded.crop == "box"


def test_prepared_house_numbers_are_enlarged(tfds, tmp_path):
    prepare(tfds, "svhn_cropped", tmp_path)
    loaded = datasets.load("svhn_cropped", data_dir=tmp_path, limit=3)
    assert loaded.images.shape == (3, 64, 64, 3)
    assert all(id.startswith("test_") for id in loaded.ids)


def test_splits_and_preparation_are_explained(tfds, tmp_path):
    reason = f"svhn_cropped is not in {tmp_path}: expected are train_32x32.mat, "
    command = f" svhn_cropped --file_format=array_record --data_dir={tmp_path} "
    how = f"{re.escape('; or prepare it: tfds build')}{re.escape(command)}"
    with pytest.raises(DataError, match=f"^{re.escape(reason)}.*{how}") as caught:
        datasets.load("svhn_cropped", data_dir=tmp_path)
    assert "\n" not in str(caught.value)

    prepare(tfds, "svhn_cropped", tmp_path)
    with pytest.raises(DataError, match=r"no split 'validation': give train, test$"):
        datasets.load("svhn_cropped", data_dir=tmp_path, split="validation")
    for split in ("train[:0]", "train[oops"):
        reason = f"svhn_cropped: cannot read the split '{split}': "
        with pytest.raises(DataError, match=f"^{re.escape(reason)}") as caught:
            datasets.load("svhn_cropped", data_dir=tmp_path, split=split)
        assert "\n" not in str(caught.value)


def test_the_wrong_file_format_is_explained(tfds, tmp_path):
    prepare(tfds, "svhn_cropped", tmp_path)
    info = next(tmp_path.rglob("dataset_info.json"))
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    with pytest.raises(DataError, match="is not stored as array_record; prepare it"):
        datasets.load("svhn_cropped", data_dir=tmp_path)


def test_a_damaged_record_is_left_out(tfds, tmp_path, monkeypatch):
    prepare(tfds, "svhn_cropped", tmp_path)
    source = tfds.builder("svhn_cropped", data_dir=tmp_path).as_data_source("train")
    get = type(source).__getitem__

    def damaged(self, index):
        if index == 1:
            raise ValueError("corrupt\nrecord")
        return get(self, index)

    monkeypatch.setattr(type(source), "__getitem__", damaged)
    loaded = datasets.load("svhn_cropped", data_dir=tmp_path)
    assert len(loaded) == 3
    assert loaded.failed == ("train-000001: corrupt record",)


def test_loading_is_quiet_and_leaves_the_log_as_it_was(tfds, tmp_path, caplog):
    prepare(tfds, "svhn_cropped", tmp_path)
    before = logging.get_verbosity()
    logging.set_verbosity(logging.INFO)
    try:
        caplog.clear()
        datasets.load("svhn_cropped", data_dir=tmp_path)
        with pytest.raises(DataError, match="is not in"):
            datasets.load("cars196", data_dir=tmp_path)
        assert not caplog.records
        assert logging.get_verbosity() == logging.INFO
    finally:
        logging.set_verbosity(before)


def test_the_missing_extra_is_named(tfds, tmp_path, monkeypatch):
    prepare(tfds, "celeb_a", tmp_path)
    real = builtins.__import__

    def without_tfds(name, *args, **kwargs):
        if name == "tensorflow_datasets":
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_tfds)
    with pytest.raises(DataError, match=r"pip install 'inpaint_jax\[tfds\]'"):
        datasets.load("celeb_a", data_dir=tmp_path)
    with pytest.raises(DataError, match=r"celeb_a is not in .*: expected are img_"):
        datasets.load("celeb_a", data_dir=tmp_path / "nothing")
    assert len(datasets.load(f"images:{DEMO}")) == 4
