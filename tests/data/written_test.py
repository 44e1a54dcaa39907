"""What programs wrote is no input, and each program finds what is its own."""

import pytest
from files import save

from inpaint_jax.data import written
from inpaint_jax.data.pictures import ImageError, find_pictures


def ids(*inputs):
    return [picture.id for picture in find_pictures([str(each) for each in inputs])]


@pytest.fixture
def folder(tmp_path):
    """Two pictures, and beside them what a run wrote."""
    names = ["a.png", "sub/b.png", "grid.png", "run/completed/a.png", "run/own.png"]
    for name in names:
        save(tmp_path / name)
    written.add(tmp_path, "figures", ["grid.png"])
    written.add(tmp_path / "run", "inpaint", ["completed"])
    return tmp_path


def test_a_folder_gives_what_nobody_noted(folder):
    assert ids(folder) == ["a", "run/own", "sub/b"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.png", ["a"]),
        ("**/*.png", ["a", "own", "b"]),
        ("*/*.png", ["own", "b"]),
        ("run/*/*.png", None),
        ("r*", ["own"]),
    ],
)
def test_a_pattern_gives_what_nobody_noted(folder, pattern, found):
    if found is None:
        with pytest.raises(ImageError, match="nothing matches"):
            ids(folder / pattern)
    else:
        assert ids(folder / pattern) == found


def test_what_is_named_itself_is_taken(folder):
    assert ids(folder / "grid.png") == ["grid"]
    assert ids(folder / "run" / "completed") == ["a"]
    assert ids(folder / "run" / "completed" / "*.png") == ["a"]


def test_a_folder_of_nothing_else_says_so(folder):
    (folder / "run" / "own.png").unlink()
    with pytest.raises(ImageError, match="but results of earlier runs"):
        ids(folder / "run")


def test_a_pattern_from_the_current_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert ids("*.png") == ["a"]
    assert ids("run/*.png") == ["own"]
    assert ids(".") == ["a", "run/own", "sub/b"]


def test_a_program_deletes_its_own_files_and_no_others(tmp_path):
    for name in ("c/x/1.png", "c/x/2.png", "c/y/1.png", "c/mine.png", "grid.png"):
        save(tmp_path / name)
    written.add(tmp_path, "inpaint", ["c", "c/x/1.png", "c/x/2.png", "c/y/1.png"])
    written.add(tmp_path, "inpaint", ["lost.png", "c/x/1.png"])
    written.add(tmp_path, "evaluate", ["grid.png"])
    save(tmp_path / "c/y/notes.png")
    assert written.delete_own(tmp_path, "inpaint") == 3
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.png"))
    assert left == ["c/mine.png", "c/y/notes.png", "grid.png"]
    assert not (tmp_path / "c/x").exists()
    assert written.read(tmp_path) == {"c", "grid.png"}
    assert written.delete_own(tmp_path, "inpaint") == 0


def test_a_note_reaches_nothing_outside_its_folder(tmp_path):
    outside = save(tmp_path / "outside.png")
    (tmp_path / "run").mkdir()
    written.add(tmp_path / "run", "inpaint", ["../outside.png", str(outside)])
    written.delete_own(tmp_path / "run", "inpaint")
    assert outside.exists()
