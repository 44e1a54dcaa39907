"""The benchmark is what it was when it was released."""

import hashlib
import shutil

import numpy as np
import pytest
from conftest import ROOT

from experiments.benchmark import frozen, recognition
from experiments.runtime.program import UsageError
from inpaint_jax.data import sources
from inpaint_jax.photographs import faces

RELEASED = {
    "v1": "96eaa9198953588dc7524e4134a202017b4ebbdb0b83ead3aff8bf183f17cad8",
}
"""Checksums of versions, which never change: a mistake makes another version."""

SIZES = {"celeba64": 64, "svhn": 64, "cars64": 64, "faces128": 128}

FILES = sorted(
    [f"{name}.{kind}" for name in SIZES for kind in ("csv", "npz")]
    + ["schema.json", "sets.json"]
)


@pytest.fixture(scope="module")
def sets():
    return frozen.read("v1")


def test_no_version_has_changed():
    folder = ROOT / "experiments" / "benchmark"
    found = {path.name: path for path in folder.glob("v*") if path.is_dir()}
    assert found.keys() == RELEASED.keys()
    for version, path in found.items():
        # As ``sha256sum * | sha256sum`` in the folder, if nothing else lies there.
        lines = [
            f"{hashlib.sha256((path / name).read_bytes()).hexdigest()}  {name}\n"
            for name in FILES
        ]
        assert hashlib.sha256("".join(lines).encode()).hexdigest() == RELEASED[version]


def test_four_sets_of_256_pictures(sets):
    assert {name: given.image_size for name, given in sets.items()} == SIZES
    for given in sets.values():
        assert len(given) == len(set(given.ids)) == len(set(given.marks)) == 256
        assert list(given.ids) == sorted(given.ids)
    # Faces are of the official test partition.
    for name in ("celeba64", "faces128"):
        assert all(182637 < int(id) <= 202599 for id in sets[name].ids)


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        ("center", 0.25, 0.25),
        ("pattern", 0.2, 0.3),
        ("random80", 0.77, 0.83),
        ("half", 0.5, 0.5),
    ],
)
def test_masks_are_what_their_names_say(sets, kind, low, high):
    for given in sets.values():
        masks = given.masks[kind]
        size = given.image_size
        assert masks.shape == (256, size, size, 1)
        assert masks.dtype == np.float32
        assert set(np.unique(masks)) == {0.0, 1.0}
        missing = 1 - masks.mean((1, 2, 3))
        assert low <= missing.min() <= missing.max() <= high
    if kind == "half":
        corners = {tuple(masks[i, [0, 0, -1, -1], [0, -1, 0, -1], 0]) for i in range(9)}
        assert len(corners) > 1
    if kind == "center":
        assert not masks[:, 32:96, 32:96].any()


def test_faces_have_their_eyes_where_models_expect_them(sets):
    places = faces.places_of("celeba64", {})
    np.testing.assert_array_equal(sets["celeba64"].places, places)
    wanted = [[47.1, 55.4], [80.1, 55.4], [64.0, 90.8]]
    np.testing.assert_allclose(128 * sets["faces128"].places, wanted)
    assert sets["svhn"].places is sets["cars64"].places is None


def test_it_is_small():
    folder = ROOT / "experiments" / "benchmark" / "v1"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1.2e6


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the benchmark's folder, which is read in its place."""
    shutil.copytree(ROOT / "experiments" / "benchmark" / "v1", tmp_path / "v1")
    monkeypatch.setattr(frozen, "_HERE", tmp_path)
    return tmp_path / "v1"


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_copy_is_refused(copy, name):
    whole = (copy / name).read_bytes()
    for damaged in (whole + b"\n", whole[: len(whole) // 2], None):
        (copy / name).unlink(missing_ok=True)
        if damaged is not None:
            (copy / name).write_bytes(damaged)
        with pytest.raises(UsageError, match="is not the benchmark v1 as it was rel"):
            frozen.read("v1")
        (copy / name).write_bytes(whole)


def test_other_files_beside_it_do_not_count(copy):
    for name in (".DS_Store", "svhn.csv~", "._svhn.csv", "svhn copy.csv"):
        (copy / name).write_text("not the benchmark's")
    (copy / "__pycache__").mkdir()
    assert frozen.read("v1").keys() == SIZES.keys()


def test_an_unknown_version_is_refused():
    with pytest.raises(UsageError, match="there is no benchmark 'v0'; there is v1"):
        frozen.read("v0")


@pytest.mark.parametrize("name", SIZES)
def test_the_pictures_are_the_first_of_the_test_images(sets, name, real_data):
    given = sets[name]
    dataset = f"images:{real_data}/{name}/test.zip"
    crop = "none" if given.crop == "box" else given.crop
    source = sources.open_source(dataset, crop=crop, size=given.image_size)
    assert source.ids[:256] == given.ids
    found = recognition.locate(source, given.ids, given.marks)
    assert found.identical == 256
    for index in (0, 255):
        np.testing.assert_array_equal(found.images[index], source.read(index)[1])


def test_a_set_of_nobodys_archives_wants_a_place(sets):
    with pytest.raises(UsageError, match="give --dataset=images:PATH"):
        sets["faces128"].locate(None)


def test_the_schema_has_the_sets(schema):
    assert schema["properties"]["set"]["enum"] == list(SIZES)
