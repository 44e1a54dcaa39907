"""Pictures in parquet shards, as Hugging Face stores its data sets."""

import re
import sys

import numpy as np
import pytest
from files import encoded, noise
from PIL import Image

from inpaint_jax.data import datasets
from inpaint_jax.data.datasets import DataError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def shard(path, pictures, column="image", struct=True, **more):
    """Writes a shard of these contents of files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = [{"bytes": x, "path": None} for x in pictures] if struct else pictures
    table = pa.table({column: values, "label": list(range(len(pictures))), **more})
    pq.write_table(table, path, row_group_size=2)
    return path


@pytest.fixture
def load(tmp_path):
    def load(path, **options):
        return datasets.load(f"images:{path}", cache_dir=tmp_path / "cache", **options)

    return load


@pytest.mark.parametrize("column", ["image", "img"])
@pytest.mark.parametrize("struct", [True, False])
def test_shards(load, tmp_path, column, struct):
    folder = tmp_path / "faces"
    contents = [encoded(seed=i) for i in range(5)]
    shard(
        folder / "data" / "train-00000-of-00002.parquet", contents[:3], column, struct
    )
    shard(
        folder / "data" / "train-00001-of-00002.parquet", contents[3:], column, struct
    )
    (folder / "README.md").write_text("---\n")
    loaded = load(folder, crop="none", size=16)
    assert loaded.ids[0] == "train-00000-of-00002-000000"
    assert loaded.ids[4] == "train-00001-of-00002-000001"
    for i, image in enumerate(loaded.images):
        whole = Image.fromarray(noise(seed=i)).resize((16, 16), Image.Resampling.BOX)
        np.testing.assert_array_equal(image, np.asarray(whole))
    for path in (folder / "data", folder / "data" / "*.parquet"):
        assert load(path, crop="none", size=16).ids == loaded.ids
    one = load(folder / "data" / "train-00001-of-00002.parquet", limit=1, size=16)
    assert one.ids == loaded.ids[3:4]


def test_rows_without_a_picture_are_left_out(load, tmp_path):
    path = shard(tmp_path / "a.parquet", [encoded(), None, b"x", b"", encoded()])
    loaded = load(path)
    assert loaded.ids == ("a-000000", "a-000004")
    assert [reason.partition(": ")[0] for reason in loaded.failed] == [
        "a-000001",
        "a-000002",
        "a-000003",
    ]


def test_picture_files_go_before_shards(load, tmp_path):
    Image.fromarray(noise()).save(tmp_path / "b.png")
    shard(tmp_path / "metadata.parquet", [encoded()])
    assert load(tmp_path).ids == ("b",)


def test_shards_of_several_splits_are_refused(load, tmp_path):
    for split in ("train", "test"):
        shard(tmp_path / "x" / f"{split}-00000-of-00001.parquet", [encoded()])
    with pytest.raises(
        DataError, match=r"shards of test, train: give .*/train-\*\.parq"
    ):
        load(tmp_path / "x")
    assert len(load(tmp_path / "x" / "train-*.parquet")) == 1
    for split in ("train", "test"):  # As older versions of Hugging Face's name them.
        shard(
            tmp_path / "y" / f"{split}-00000-of-00001-0a1b2c3d4e.parquet", [encoded()]
        )
    with pytest.raises(DataError, match="shards of test, train: give those of one"):
        load(tmp_path / "y")


def test_shards_of_one_name_are_refused(load, tmp_path):
    for split in ("test", "train"):  # As the conversions of Hugging Face lie there.
        shard(tmp_path / "x" / split / "0000.parquet", [encoded()])
    with pytest.raises(DataError, match=r"several shards 0000\.parquet: give those of"):
        load(tmp_path / "x")
    assert load(tmp_path / "x" / "train").ids == ("0000-000000",)


def test_no_rows_are_no_pictures(load, tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": pa.array([], pa.binary())}), path)
    with pytest.raises(DataError, match=r"a\.parquet: no pictures there"):
        load(path)
    assert not list(tmp_path.glob("cache/*"))


def test_shards_of_something_else_are_refused(load, tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"label": [1, 2]}), path)
    with pytest.raises(DataError, match="its columns label hold no images: call the"):
        load(path)
    shard(path, [encoded()], "one", two=[encoded()])
    with pytest.raises(DataError, match="one, label, two hold several kinds of images"):
        load(path)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_shard_that_is_cut_off(load, tmp_path, share):
    path = shard(tmp_path / "a.parquet", [encoded(seed=i) for i in range(9)])
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DataError, match=re.escape(f"{path}: damaged (")) as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_a_shard_whose_pages_are_damaged(load, tmp_path):
    path = shard(tmp_path / "a.parquet", [encoded(seed=i) for i in range(9)])
    data = bytearray(path.read_bytes())
    data[4:200] = bytes(196)
    path.write_bytes(data)
    with pytest.raises(DataError, match=re.escape(f"{path}: damaged (")):
        load(path)
    assert not list(tmp_path.glob("cache/*"))


def test_the_missing_extra_is_named(load, tmp_path, monkeypatch):
    path = shard(tmp_path / "a.parquet", [encoded()])
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(DataError, match=r"pip install 'inpaint_jax\[parquet\]'"):
        load(path)
