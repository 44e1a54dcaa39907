"""Finding the mask that belongs to a picture."""

import os
import re

import pytest
from files import encoded, save, save_zip

from inpaint_jax.data.files import ImageError, find_pictures
from inpaint_jax.data.mask_files import find_masks, own_mask, without_masks


def test_masks_are_found_by_name(tmp_path):
    for name in ("in/a.jpg", "in/sub/b.jpg", "in/c.jpg", "in/sub/c.jpg"):
        save(tmp_path / name)
    given = find_pictures(tmp_path / "in")
    assert [p.id for p in given] == ["a", "c", "sub/b", "sub/c"]
    folder = tmp_path / "masks"
    for name in ("a.png", "b.png", "c.png", "sub/c.png", "d.png"):
        save(folder / name)
    assert [m.id for m in find_masks(folder / "d.png", given)] == ["d"] * 4
    assert [m.id for m in find_masks(folder, given)] == ["a", "c", "b", "sub/c"]

    (folder / "b.png").unlink()
    a, c, b, _ = find_masks(folder, given)
    assert (a.id, c.id) == ("a", "c")
    assert re.search(r"b\.jpg: no mask in .*masks has its name$", str(b))
    with pytest.raises(ImageError, match=r"b\.jpg: no mask"):
        find_masks(folder, given[2:3])
    with pytest.raises(ImageError, match="no such file"):
        find_masks(tmp_path / "gone", given)


def test_a_mask_in_doubt_is_refused(tmp_path):
    for name in ("in/x/a.jpg", "in/b.jpg", "masks/1/a.png", "masks/2/a.png"):
        save(tmp_path / name)
    save(tmp_path / "masks" / "b.png")
    b, a = find_masks(tmp_path / "masks", find_pictures(tmp_path / "in"))
    assert b.id == "b"
    assert "could be its mask" in str(a)


# --- LaMa's layout -----------------------------------------------------------


def names(found):
    """Files, with a star where only transparency counts; errors as they are."""
    return [
        str(each)
        if isinstance(each, ImageError)
        else (each.member or each.path).rsplit("/", 1)[-1] + "*" * each.only_alpha
        for each in found
    ]


@pytest.mark.parametrize("suffix", ["_mask", "_mask001", "_mask7"])
def test_masks_beside_their_pictures(tmp_path, suffix):
    for name in ("a.jpg", f"a{suffix}.png", "b.png", f"b{suffix}.png"):
        save(tmp_path / name)
    found = find_pictures(tmp_path)
    assert len(found) == 4
    kept = without_masks(tmp_path, found)
    assert names(kept) == ["a.jpg", "b.png"]
    wanted = [f"a{suffix}.png", f"b{suffix}.png"]
    assert names(find_masks(tmp_path, kept)) == wanted
    assert names(find_masks(f"{tmp_path}/*{suffix}.png", kept)) == wanted
    assert names(without_masks(f"{tmp_path}/*{suffix}.png", found)) == names(kept)
    # By a link or another spelling it is the same folder.
    (tmp_path / "link").symlink_to(tmp_path)
    assert names(find_masks(tmp_path / "link", kept)) == wanted
    assert names(without_masks(f"{tmp_path}/.", found)) == names(kept)


def test_masks_beside_their_pictures_in_folders_and_zips(tmp_path):
    members = ["x/a.png", "x/a_mask1.png", "y/a.png", "y/a_mask1.png", "y/z_mask.png"]
    for name in members:
        save(tmp_path / "in" / name)
    data = (tmp_path / "in" / "x" / "a.png").read_bytes()
    for path in (
        tmp_path / "in",
        save_zip(tmp_path / "a.zip", dict.fromkeys(members, data)),
    ):
        kept = without_masks(path, find_pictures(path))
        assert [p.id for p in kept] == ["x/a", "y/a", "y/z_mask"]
        a, b, c = find_masks(path, kept)
        assert (a.id, b.id) == ("x/a_mask1", "y/a_mask1")
        assert names([c]) == ["z_mask.png*"], "there is no z.png: it is a picture"


def test_a_folder_of_masks_with_such_names(tmp_path):
    for name in ("in/a.jpg", "in/b.jpg", "masks/a_mask000.png", "masks/b_mask.png"):
        save(tmp_path / name)
    found = find_pictures(tmp_path / "in")
    assert names(find_masks(tmp_path / "masks", found)) == [
        "a_mask000.png",
        "b_mask.png",
    ]
    assert without_masks(tmp_path / "masks", found) == found


def test_several_masks_of_a_picture(tmp_path):
    for name in ("a.png", "b.png", "b_mask.png", *(f"a_mask{i}.png" for i in range(4))):
        save(tmp_path / name)
    kept = without_masks(tmp_path, find_pictures(tmp_path))
    several, one = names(find_masks(tmp_path, kept))
    assert several == (
        f"{tmp_path}/a.png: 4 files could be its mask: a_mask0.png, a_mask1.png,"
        " a_mask2.png, ...; leave one"
    )
    assert one == "b_mask.png"


def test_a_mask_that_cannot_be_read_is_named(tmp_path, warned):
    for name in ("in/a.jpg", "in/b.jpg", "in/c.jpg", "masks/c.png"):
        save(tmp_path / name)
    for name in ("a.psd", "b_mask01.psd"):
        (tmp_path / "masks" / name).write_bytes(b"")
    a, b, c = names(find_masks(tmp_path / "masks", find_pictures(tmp_path / "in")))
    assert a.startswith(f"{tmp_path}/in/a.jpg: {tmp_path}/masks/a.psd: .psd is not a")
    assert b.startswith(f"{tmp_path}/in/b.jpg: {tmp_path}/masks/b_mask01.psd: .psd is")
    assert c == "c.png"
    assert not warned


def test_pictures_that_are_called_masks(tmp_path):
    """Faces with and without masks, each with a mask of its own."""
    for folder in ("in", "masks"):
        for name in ("1.png", "1_mask.png"):
            save(tmp_path / folder / name)
    found = find_pictures(tmp_path / "in")
    assert without_masks(tmp_path / "masks", found) == found
    assert names(find_masks(tmp_path / "masks", found)) == ["1.png", "1_mask.png"]
    (tmp_path / "masks" / "1.png").unlink()
    lacks, own = names(find_masks(tmp_path / "masks", found))
    assert "no mask in" in lacks
    assert own == "1_mask.png"


def test_a_picture_is_no_others_mask(tmp_path):
    for name in ("x/a.png", "y/a.png", "y/a_mask.png", "b.png"):
        save(tmp_path / name)
    kept = without_masks(tmp_path, find_pictures(tmp_path))
    assert [p.id for p in kept] == ["b", "x/a", "y/a"]
    assert names(find_masks(tmp_path, kept)) == ["b.png*", "a.png*", "a_mask.png"]


def test_a_picture_as_its_own_mask(tmp_path):
    for name in ("a.png", "b.png"):
        save(tmp_path / name)
    a, b = find_pictures(tmp_path)
    assert names(find_masks(tmp_path, [a, b])) == ["a.png*", "b.png*"]
    assert find_masks(tmp_path, [a])[0] == own_mask(a)
    # One file for all is a mask to the others, if it is one at all.
    assert names(find_masks(tmp_path / "a.png", [a, b])) == ["a.png*", "a.png"]
    (tmp_path / "link").symlink_to(tmp_path)
    assert names(find_masks(tmp_path / "link" / "a.png", [a])) == ["a.png*"]
    assert not a.only_alpha


def test_masks_of_names_that_are_not_utf_8(tmp_path):
    folders = [os.path.join(os.fsencode(tmp_path), name) for name in (b"in", b"masks")]
    for folder in folders:
        os.mkdir(folder)
        try:
            with open(os.path.join(folder, b"caf\xe9.png"), "wb") as file:
                file.write(encoded())
        except OSError:
            pytest.skip("this file system takes UTF-8 only")
    found = find_pictures(tmp_path / "in")
    (mask,) = find_masks(tmp_path / "masks", found)
    assert mask.id == "caf\\xe9"
    assert not mask.only_alpha
