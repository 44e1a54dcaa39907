import re
import shutil
import zipfile

import numpy as np
import pytest
from conftest import DEMO
from files import PORTRAITS, portrait
from PIL import Image

from inpaint_jax.data import datasets, decoding, sources
from inpaint_jax.data.datasets import DataError
from inpaint_jax.data.files import ImageError


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
    source = sources.open_source(f"images:{tmp_path / 'demo'}", size=32)
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
    assert len(sources.open_source(f"images:{DEMO}", limit=3)) == 3


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
