import io
import os
import shutil
import sys
import zipfile

import numpy as np
import pytest
from conftest import DEMO
from files import PORTRAITS, portrait
from PIL import Image

from inpaint_jax.data import datasets, sources
from inpaint_jax.data.files import DataError, Picture


def test_a_folder():
    loaded = datasets.load(f"images:{DEMO}")
    assert loaded.ids == tuple(PORTRAITS)
    assert (len(loaded), loaded.split, loaded.crop) == (4, "train", "center")
    assert loaded.name == f"images:{DEMO}"
    assert loaded.images.dtype == np.uint8
    expected = np.stack([portrait(name) for name in PORTRAITS])
    np.testing.assert_array_equal(loaded.images, expected)


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


def test_an_interrupt_does_not_wait_for_the_rest(monkeypatch):
    asked = []

    def read(index):
        asked.append(index)
        raise KeyboardInterrupt

    pictures = [Picture("x", "x", "x.png")] * 10_000
    monkeypatch.setattr(sources, "_open_pictures", lambda *args: (pictures, read))
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


def test_real_zips(real_data):
    faces = datasets.load(f"images:{real_data}/celeba64/validation.zip", limit=8)
    assert faces.ids[0] == "162773"
    cars = datasets.load(f"images:{real_data}/cars64/t*.zip", limit=8)
    digits = datasets.load(f"images:{real_data}/svhn/test.zip", crop="none", limit=8)
    for loaded in (faces, cars, digits):
        assert loaded.images.shape == (8, 64, 64, 3)
        assert len(set(loaded.ids)) == 8
        assert loaded.images.std(axis=(1, 2, 3)).min() > 5
