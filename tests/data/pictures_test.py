"""Finding pictures and masks; reading pictures of every kind, and broken ones."""

import os
import re
import runpy
import struct
import warnings
from concurrent.futures import ThreadPoolExecutor

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from files import encoded, noise, raw_png, save, save_zip
from PIL import Image, features

from inpaint_jax.data import pictures
from inpaint_jax.data.pictures import (
    ImageError,
    find_masks,
    find_pictures,
    read_picture,
)

# --- finding -----------------------------------------------------------------


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


# --- reading -----------------------------------------------------------------


def grey(values):
    return np.repeat(np.asarray(values, np.uint8)[..., None], 3, axis=-1)


def test_lossless_modes_are_read_exactly(tmp_path):
    rgb = noise()
    light = np.array(Image.fromarray(rgb).convert("L"))
    palette = Image.fromarray(rgb).quantize(16)
    one = Image.fromarray(light > 127)
    options = {"rgb.webp": {"lossless": True}, "really_a_bmp.png": {"format": "BMP"}}
    for name, image, expected in (
        ("rgb.png", rgb, rgb),
        ("rgb.webp", rgb, rgb),
        ("rgb.ppm", rgb, rgb),
        ("really_a_bmp.png", rgb, rgb),
        ("l.png", light, grey(light)),
        ("one.png", one, grey(np.where(light > 127, 255, 0))),
        ("p.png", palette, np.array(palette.convert("RGB"))),
        ("p.gif", palette, np.array(palette.convert("RGB"))),
    ):
        read = read_picture(save(tmp_path / name, image, **options.get(name, {})))
        np.testing.assert_array_equal(read, expected, err_msg=name)
        assert read.dtype == np.uint8
        assert read.flags.writeable


def test_transparency_is_laid_over_white(tmp_path):
    # Left half opaque, right half transparent over a colour that must not show.
    rgba = np.zeros((10, 20, 4), np.uint8)
    rgba[..., 0] = 200
    rgba[:, :10, 3] = 255
    light = Image.fromarray(rgba[..., [0, 3]], "LA")
    palette = Image.fromarray(rgba[..., 3] // 255, "L").convert("P")
    palette.putpalette([200, 0, 0, 200, 0, 0])
    for name, image, options in (
        ("rgba.png", rgba, {}),
        ("rgba.tif", rgba, {}),
        ("rgba.webp", rgba, {"lossless": True}),
        ("la.png", light, {}),
        ("p.png", palette, {"transparency": 0}),
        ("p.gif", palette, {"transparency": 0}),
        ("bytes.png", palette, {"transparency": b"\x00\xff"}),
    ):
        read = read_picture(save(tmp_path / name, image, **options))
        colour = (200, 200, 200) if image is light else (200, 0, 0)
        assert (read[:, :10] == colour).all(), name
        assert (read[:, 10:] == 255).all(), name
    rgba[..., 3] = 128
    read = read_picture(save(tmp_path / "half.png", rgba))
    np.testing.assert_allclose(read[0, 0], [227, 127, 127], atol=1)


def test_grey_with_a_transparent_value(tmp_path):
    row = b"\0" + struct.pack(">8H", *[0x1234] * 4, *[0xFFFF, 0, 0x8000, 0x1234])
    path = tmp_path / "key.png"
    path.write_bytes(raw_png(8, 1, row, kind=0, depth=16, tRNS=b"\x12\x34"))
    assert read_picture(path)[0, :, 0].tolist() == [255] * 5 + [0, 128, 255]


def test_deep_greys_are_scaled_not_clipped(tmp_path):
    ramp = np.linspace(0, 65535, 256).round().reshape(16, 16)
    expected = grey(np.arange(256).reshape(16, 16))
    big_endian = ramp.astype(">u2").tobytes()
    for name, image in (
        ("16.png", ramp.astype(np.uint16)),
        ("16be.tif", Image.frombytes("I;16B", (16, 16), big_endian)),
        ("32.tif", ramp.astype(np.int32)),
        ("full.tif", (ramp / 65535 * (2**31 - 1)).astype(np.int32)),
        ("unit.tif", (ramp / 65535).astype(np.float32)),
        ("byte.tif", (ramp / 257).astype(np.float32)),
        ("wide.tif", ramp.astype(np.float32)),
    ):
        read = read_picture(save(tmp_path / name, image))
        np.testing.assert_array_equal(read, expected, err_msg=name)
    (tmp_path / "16.pgm").write_bytes(b"P5 16 16 65535\n" + big_endian)
    np.testing.assert_array_equal(read_picture(tmp_path / "16.pgm"), expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.5, 1e6])
def test_floats_of_an_unknown_range_are_refused(tmp_path, value):
    pixels = np.full((9, 9), 0.5, np.float32)
    pixels[4, 4] = value
    with pytest.raises(ImageError, match="float pixels outside"):
        read_picture(save(tmp_path / "f.tif", pixels))


def test_cmyk(tmp_path):
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    for name in ("c.tif", "c.jpg"):
        read = read_picture(save(tmp_path / name, image))
        np.testing.assert_allclose(read[8, 8], [255, 0, 0], atol=3)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_orientation_is_applied(tmp_path, suffix):
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :16] = 255  # white at the top left, and twice as wide as high
    how = Image.Transpose
    stored = [how.FLIP_LEFT_RIGHT, how.ROTATE_180, how.FLIP_TOP_BOTTOM]
    stored += [how.TRANSPOSE, how.ROTATE_90, how.TRANSVERSE, how.ROTATE_270]
    for orientation, method in enumerate(stored, start=2):
        image = Image.fromarray(upright).transpose(method)
        exif = Image.Exif()
        exif[0x0112] = orientation
        read = read_picture(save(tmp_path / f"x.{suffix}", image, exif=exif))
        assert read.shape == (16, 32, 3)
        assert np.abs(read.astype(int) - upright).mean() < 5


def test_of_an_animation_the_first_frame(tmp_path):
    frames = [Image.new("RGB", (9, 9), c) for c in ("red", "lime", "blue")]
    # Telephones write JPEGs of several frames, which Pillow calls MPO.
    for name in ("a.gif", "a.png", "a.webp", "a.tif", "a.mpo"):
        save(tmp_path / name, frames[0], save_all=True, append_images=frames[1:])
        read = read_picture(tmp_path / name)
        np.testing.assert_allclose(read[4, 4], [255, 0, 0], atol=3, err_msg=name)


@pytest.mark.parametrize(("feature", "suffix"), [("avif", "avif"), ("jpg_2000", "jp2")])
def test_newer_formats(tmp_path, feature, suffix):
    if not features.check(feature):
        pytest.skip(f"Pillow was built without {feature}")
    save(tmp_path / f"x.{suffix}", Image.new("RGB", (16, 16), (200, 100, 50)))
    (found,) = find_pictures([tmp_path])
    np.testing.assert_allclose(read_picture(found)[8, 8], [200, 100, 50], atol=4)


BROKEN = {
    "empty": (b"", "the file is empty"),
    "text": (b"hello, I am text", "not a picture"),
    "truncated": (encoded()[:1000], "truncated"),
    "jpeg": (encoded("JPEG")[:700], "truncated"),
    "tiff": (encoded("TIFF", compression="tiff_lzw")[:900], ""),
    "large": (raw_png(9440, 9440), "9440x9440 pixels are more than 89000000"),
    "bomb": (raw_png(30000, 30000), "bomb"),
    "absurd": (raw_png(2**31 - 1, 2**31 - 1), ""),
    "nothing": (raw_png(0, 5), ""),
    "hollow": (raw_png(20, 20), ""),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
}


@pytest.mark.parametrize(("data", "reason"), BROKEN.values(), ids=BROKEN)
def test_broken_files_end_in_one_line(tmp_path, data, reason):
    path = tmp_path / "x.png"
    path.write_bytes(data)
    begins = f"^{re.escape(str(path))}: .*{re.escape(reason)}"
    with pytest.raises(ImageError, match=begins) as caught:
        read_picture(path)
    assert "\n" not in str(caught.value)
    assert " at 0x" not in str(caught.value)


def test_missing_files_and_members(tmp_path):
    with pytest.raises(ImageError, match=r"gone.png: No such file or directory$"):
        read_picture(tmp_path / "gone.png")
    with pytest.raises(ImageError, match="Is a directory"):
        read_picture(tmp_path)
    archive = save_zip(tmp_path / "a.zip", {"a.png": b""})
    lost = pictures.Picture("b", "b", str(archive), "b.png")
    with pytest.raises(ImageError, match=r"a\.zip: b\.png: "):
        read_picture(lost)
    archive.write_bytes(archive.read_bytes()[:40])
    with pytest.raises(ImageError, match="not a readable zip"):
        read_picture(lost)


def test_a_damaged_member_costs_itself_only(tmp_path):
    good = encoded()
    members = {"a.png": good, "b.png": good[::-1], "c.png": good}
    archive = save_zip(tmp_path / "a.zip", members)
    data = bytearray(archive.read_bytes())
    data[data.index(good[::-1]) + 10] ^= 255
    archive.write_bytes(data)
    a, b, c = find_pictures([archive])
    with pytest.raises(ImageError, match="CRC"):
        read_picture(b)
    np.testing.assert_array_equal(read_picture(a), read_picture(c))


def test_threads_may_share_a_zip(tmp_path):
    members = {f"{i:02d}.png": encoded(seed=i) for i in range(40)}
    found = find_pictures([save_zip(tmp_path / "a.zip", members)])
    with ThreadPoolExecutor(4) as pool:
        for i, image in enumerate(pool.map(read_picture, found)):
            np.testing.assert_array_equal(image, noise(seed=i))


def test_pillows_remarks_are_not_heard(tmp_path):
    exif = b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01"  # cut short
    odd = [save(tmp_path / "a.jpg", exif=exif), tmp_path / "b.png"]
    row = b"\0" + bytes(30 * 3)
    odd[1].write_bytes(raw_png(30, 20, 20 * row, acTL=bytes(8)))  # of no frames
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        afresh = runpy.run_path(pictures.__file__)
        for path in odd:
            assert afresh["read_picture"](path).shape == (20, 30, 3)
