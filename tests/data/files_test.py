"""Finding pictures: folders, links, zips, patterns, names of every kind."""

import os
import re
import subprocess
import sys

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from files import encoded, noise, save, save_zip

from inpaint_jax.data import files, formats
from inpaint_jax.data.decoding import read_picture
from inpaint_jax.data.files import ImageError, find_pictures, list_pictures


def test_folder_is_searched_to_the_bottom_in_order(tmp_path):
    for name in ("b.png", "a.JPG", "sub/deep/c.webp", "sub/a.png"):
        save(tmp_path / name)
    for name in (".hidden.png", ".git/x.png", "__MACOSX/a.png", "._a.png"):
        save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    found = find_pictures([str(tmp_path)])
    assert [p.id for p in found] == ["a", "b", "sub/a", "sub/deep/c"]
    assert [p.stem for p in found] == ["a", "b", "sub_a", "sub_deep_c"]
    assert find_pictures([tmp_path / "."]) != []
    assert [p.id for p in find_pictures(tmp_path)] == [p.id for p in found]


def test_zip_is_searched_and_read(tmp_path):
    wanted = dict.fromkeys(["x/2.png", "./1.png", "win\\3.png"], encoded())
    others = ["read.me", "__MACOSX/x/._2.png", "x/.2.png", "folder.png/"]
    path = save_zip(tmp_path / "a.zip", wanted | dict.fromkeys(others, b""))
    found = find_pictures([path])
    assert [p.id for p in found] == ["1", "win/3", "x/2"]
    for picture in found:
        np.testing.assert_array_equal(read_picture(picture), noise())


def test_a_replaced_zip_is_opened_anew(tmp_path):
    for seed, names in ((1, ["a.png"]), (2, ["a.png", "b.png"])):
        members = dict.fromkeys(names, encoded(seed=seed))
        found = find_pictures([save_zip(tmp_path / "a.zip", members)])
        assert len(found) == len(names)
        np.testing.assert_array_equal(read_picture(found[0]), noise(seed=seed))


def test_patterns_of_files_folders_and_zips(tmp_path):
    save(tmp_path / "1" / "a.png")
    save(tmp_path / "2" / "b.png")
    (tmp_path / "2" / "c.txt").write_text("")
    save_zip(tmp_path / "z.zip", {"d.png": b""})

    def ids(pattern):
        return [p.id for p in find_pictures([str(tmp_path / pattern)])]

    assert ids("*/*.png") == ["a", "b"]
    assert ids("2/*") == ["b"]
    assert ids("[12]") == ["a", "b"]
    assert ids("*.zip") == ["d"]
    assert ids("**") == ["1/a", "2/b", "d"]


def test_clashing_names_grow_until_they_differ(tmp_path):
    for name in ("1/set/face.png", "2/set/face.jpg", "2/set/face.png", "2/set/a.png"):
        save(tmp_path / name)
    found = find_pictures([tmp_path / "1" / "set", tmp_path / "2" / "set"])
    assert [p.id for p in found] == ["1/set/face", "a", "face.jpg", "2/set/face"]


def test_a_picture_reached_twice_is_listed_once(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    found = find_pictures(["a.png", str(path), ".", "*.png"])
    assert [(p.id, p.path) for p in found] == [("a", "a.png")]


@hypothesis.settings(max_examples=30, deadline=None, database=None, derandomize=True)
@hypothesis.given(
    st.lists(st.text("aA/._- ~é*", min_size=1, max_size=9), min_size=1, max_size=12)
)
def test_ids_and_stems_are_unique_and_safe(tmp_path_factory, names):
    # Empty files, which could not be read: finding opens none.
    members = dict.fromkeys(["one.png"] + [f"{name}.png" for name in names], b"")
    path = save_zip(tmp_path_factory.mktemp("zips") / "any.zip", members)
    found = find_pictures([path])
    assert len({p.id for p in found}) == len(found)
    assert len({p.stem.casefold() for p in found}) == len(found)
    assert all(re.fullmatch(r"[\w-][\w.-]*", p.stem) for p in found)
    assert found == find_pictures([path])


def test_stems_differ_where_case_is_ignored(tmp_path):
    members = dict.fromkeys(["A/b.png", "a/B.png", "a_b.png"], b"")
    found = find_pictures([save_zip(tmp_path / "a.zip", members)])
    assert [p.id for p in found] == ["A/b", "a/B", "a_b"]
    assert [p.stem for p in found] == ["A_b", "a_B-2", "a_b-3"]


def test_long_names_stay_writable(tmp_path):
    folder = "x" * 120
    for name in ("a" * 200, "b" * 200):
        save(tmp_path / folder / f"{name}.png")
    stems = {p.stem for p in find_pictures([tmp_path])}
    assert len(stems) == 2
    for stem in stems:
        save(tmp_path / "out" / f"{stem}.png")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("missing", "missing: no such file or folder"),
        ("missing/*.png", "missing/*.png: nothing matches this pattern"),
        ("empty", "empty: no pictures there"),
        ("empty/*", "empty/*: nothing matches this pattern"),
        ("[e]mpty", "[e]mpty: no pictures there"),
        ("zips", "zips: no pictures there; for its zips give zips/*.zip"),
        ("zips/text.zip", "zips/text.zip: not a readable zip (File is not a zip file)"),
        ("zips/none.zip", "zips/none.zip: no pictures there"),
    ],
)
def test_useless_inputs_are_named(tmp_path, monkeypatch, given, reason):
    (tmp_path / "empty").mkdir()
    (tmp_path / "zips").mkdir()
    (tmp_path / "zips" / "text.zip").write_text("not a zip")
    save_zip(tmp_path / "zips" / "none.zip", {})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ImageError, match=re.escape(reason) + "$"):
        find_pictures([given])


def test_no_input_and_special_files(tmp_path):
    with pytest.raises(ImageError, match="no input"):
        find_pictures([])
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="neither a file nor a folder"):
        find_pictures([tmp_path / "pipe.png"])


# --- links -------------------------------------------------------------------


def test_links_to_folders_are_followed(tmp_path):
    save(tmp_path / "elsewhere" / "deep" / "b.png")
    save(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "file.png").symlink_to(tmp_path / "in" / "a.png")
    found = find_pictures(tmp_path / "in")
    assert [p.id for p in found] == ["a", "file", "link/deep/b"]
    for picture in found:
        np.testing.assert_array_equal(read_picture(picture), noise())
    (tmp_path / "all").symlink_to(tmp_path / "in")
    assert [p.id for p in find_pictures(tmp_path / "all")] == [p.id for p in found]


def test_links_that_lead_back_are_not_followed(tmp_path):
    save(tmp_path / "in" / "sub" / "a.png")
    save(tmp_path / "beside" / "b.png")
    for name, target in (
        ("in/sub/here", "in/sub"),
        ("in/sub/up", "in"),
        ("in/sub/top", "."),  # above the folder that was asked for
        ("beside/back", "in"),
        ("beside/above", "."),
        ("in/beside", "beside"),
        ("in/itself", "in/itself"),
    ):
        (tmp_path / name).symlink_to(tmp_path / target)
    found = find_pictures(tmp_path / "in")
    assert [p.id for p in found] == ["beside/b", "sub/a"]


def test_a_folder_reached_twice_is_listed_by_its_own_name(tmp_path):
    save(tmp_path / "in" / "z" / "a.png")
    (tmp_path / "in" / "a_link").symlink_to(tmp_path / "in" / "z")
    (tmp_path / "other").symlink_to(tmp_path / "in" / "z")
    assert [p.id for p in find_pictures(tmp_path / "in")] == ["z/a"]
    inputs = [tmp_path / "in", tmp_path / "other", tmp_path / "other" / "a.png"]
    assert [p.id for p in find_pictures(inputs)] == ["z/a"]


def test_a_link_to_nothing_costs_itself_only(tmp_path):
    save(tmp_path / "a.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    a, gone = find_pictures(tmp_path)
    assert read_picture(a).shape == (20, 30, 3)
    with pytest.raises(ImageError, match=r"gone\.png: No such file"):
        read_picture(gone)


# --- what is skipped ---------------------------------------------------------


OTHERS = ["notes.txt", "labels.json", "README.md", "clip.MOV", "a.xmp", "LICENSE"]
UNREAD = {
    "b.CR2": "camera raw is not read: develop it to JPEG, PNG or TIFF",
    "c.dng": "camera raw is not read: develop it to JPEG, PNG or TIFF",
    "d.jxl": ".jxl is not a format that is read: export it as PNG or JPEG",
    "e.PSD": ".psd is not a format that is read: export it as PNG or JPEG",
    "f.svg": ".svg is not a format that is read: export it as PNG or JPEG",
    "g.heic": "HEIC needs pillow-heif: pip install 'inpaint_jax[heic]'",
}


@pytest.mark.parametrize("kind", ["folder", "pattern", "zip"])
def test_what_looks_like_a_picture_is_named_if_skipped(
    tmp_path, monkeypatch, warned, kind
):
    monkeypatch.setattr(formats, "_has_heif", lambda: False)
    names = [*UNREAD, *OTHERS, ".hidden.cr2", "a.png"]
    if kind == "zip":
        given = save_zip(tmp_path / "x.zip", dict.fromkeys(names, b""))
        begin = f"{given}: "
    else:
        for name in names:
            (tmp_path / name).write_bytes(b"")
        given = tmp_path if kind == "folder" else tmp_path / "*"
        begin = f"{tmp_path}/"
    pictures, skipped = list_pictures([given, given])
    assert [p.id for p in pictures] == ["a"]
    assert [each.file for each in skipped] == [begin + name for name in UNREAD]
    for each, reason in zip(skipped, UNREAD.values(), strict=True):
        assert each.reason.startswith(reason)
        assert str(each) == f"{each.file}: {each.reason}"
    assert not warned
    assert [p.id for p in find_pictures(given)] == ["a"]
    (line,) = warned
    assert line == f"skipped {skipped[0]} (and {len(UNREAD) - 1} more)"


def test_nothing_but_what_is_skipped(tmp_path):
    for name in ("a.nef", "b.nef"):
        (tmp_path / name).write_bytes(b"")
    reason = f"{tmp_path}: no pictures there that can be read; {tmp_path}/a.nef: camera"
    with pytest.raises(ImageError, match=f"^{reason}.*1 more"):
        find_pictures(tmp_path)
    # A file that is named itself is listed; reading it says what is wrong.
    (picture,) = list_pictures(tmp_path / "a.nef").pictures
    with pytest.raises(ImageError, match="camera raw"):
        read_picture(picture)


def test_heic_counts_where_its_plugin_is(tmp_path, monkeypatch, warned):
    for name in ("a.heic", "b.HIF", "c.avif", "d.tga", "e.jpe", "f.j2k"):
        (tmp_path / name).write_bytes(b"")
    monkeypatch.setattr(formats, "_has_heif", lambda: True)
    assert [p.id for p in find_pictures(tmp_path)] == list("abcdef")
    assert not warned


def test_a_folder_that_cannot_be_listed_costs_itself_only(tmp_path, monkeypatch):
    save(tmp_path / "a.png")
    save(tmp_path / "closed" / "b.png")
    scan = os.scandir

    def guarded(path):
        if os.path.basename(path) == "closed":
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(files.os, "scandir", guarded)
    pictures, (skipped,) = list_pictures(tmp_path)
    assert [p.id for p in pictures] == ["a"]
    assert str(skipped) == f"{tmp_path}/closed: Permission denied"


# --- names that are not UTF-8 ------------------------------------------------


def save_bytes(folder, name):
    """A picture whose file's name is these bytes, if the file system takes them."""
    path = os.path.join(os.fsencode(folder), name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    try:
        with open(path, "wb") as file:
            file.write(encoded())
    except OSError:
        pytest.skip("this file system takes UTF-8 only")


def test_names_that_are_not_utf_8(tmp_path, warned):
    for name in (
        b"a.png",
        b"caf\xe9.png",
        b"caf\xe8.png",
        b"\xff\xfe/x.png",
        b"\xff.nef",
    ):
        save_bytes(tmp_path, name)
    found = find_pictures(tmp_path)
    assert [p.id for p in found] == ["a", "caf\\xe8", "caf\\xe9", "\\xff\\xfe/x"]
    assert [p.stem for p in found] == ["a", "caf_xe8", "caf_xe9", "_xff_xfe_x"]
    for picture in found:
        np.testing.assert_array_equal(read_picture(picture), noise())
        for text in (picture.id, picture.stem, picture.name, str(picture)):
            text.encode()
            assert "\n" not in text
        save(tmp_path / "out" / f"{picture.stem}.png")
    (line,) = warned
    line.encode()
    assert "\\xff.nef" in line


def test_errors_about_such_names_can_be_printed(tmp_path):
    save_bytes(tmp_path, b"caf\xe9.png")
    path = os.fsdecode(os.path.join(os.fsencode(tmp_path), b"caf\xe9.png"))
    with open(path, "wb") as file:
        file.write(b"no picture")
    gone = path.replace("caf", "no\nsuch")
    for attempt in (
        lambda: read_picture(path),
        lambda: read_picture(gone),
        lambda: find_pictures(gone),
        lambda: find_pictures(path.replace("caf", "no*such")),
    ):
        with pytest.raises(ImageError) as caught:
            attempt()
        str(caught.value).encode()
        assert "\n" not in str(caught.value)
        assert "\\xe9.png: " in str(caught.value)


def test_stems_are_names_where_unicode_is_none(tmp_path):
    """Under a locale whose encoding has not every letter."""
    save_zip(tmp_path / "a.zip", {"é/世界.png": encoded(), "b.png": encoded()})
    script = (
        "import sys; from inpaint_jax.data.files import find_pictures\n"
        "for picture in find_pictures(sys.argv[1]):\n"
        "    open(f'{sys.argv[2]}/{picture.stem}', 'w').close()"
    )
    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    (tmp_path / "out").mkdir()
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "a.zip"), str(tmp_path / "out")],
        env=os.environ | ascii_only,
        check=True,
        timeout=300,
    )
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_zips_of_other_encodings(tmp_path):
    """Names of an unknown encoding, and such as only claim to be UTF-8."""
    members = {"caf#.png": encoded(), "b.png": encoded()}
    path = save_zip(tmp_path / "old.zip", members)
    path.write_bytes(path.read_bytes().replace(b"caf#", b"caf\xe9"))
    b, cafe = find_pictures(path)
    assert (b.id, cafe.id) == ("b", "cafΘ")
    np.testing.assert_array_equal(read_picture(cafe), noise())

    path = save_zip(tmp_path / "false.zip", {"café.png": encoded()})
    path.write_bytes(path.read_bytes().replace("café".encode(), b"caf\xe9\xe9"))
    with pytest.raises(ImageError, match=r"false\.zip: not a readable zip \(.utf-8"):
        find_pictures(path)
