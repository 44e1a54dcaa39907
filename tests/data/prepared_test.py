import builtins
import re

import numpy as np
import pytest
from absl import logging
from conftest import DEMO
from files import PORTRAITS, portrait, prepare

from inpaint_jax.data import datasets
from inpaint_jax.data.datasets import DataError


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
