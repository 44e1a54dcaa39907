"""Pictures of every kind, broken ones, masks against brute force, grids."""

import io
import os
import re
import struct
import threading
import warnings
import zipfile
import zlib
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from PIL import Image, ImageFile, features

from inpaint_jax import images
from inpaint_jax.images import ImageError

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
DEMO = Path(images.__file__).parent / "demo"
few = hypothesis.settings(
    max_examples=30, deadline=None, database=None, derandomize=True
)


def noise(height=20, width=30, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(path, pixels=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else None
    if image is None:
        image = Image.fromarray(noise() if pixels is None else np.asarray(pixels))
    image.save(path, **options)
    return path


def png(width, height, data=b"", *, kind=2, depth=8, extra=b""):
    """A PNG by hand: headers that Pillow would never write."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + crc(name + body)

    def crc(body):
        return struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    parts = chunk(b"IHDR", head), extra and chunk(b"tRNS", extra)
    end = chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + b"".join(end)


# --- finding -----------------------------------------------------------------


def test_folder_is_searched_to_the_bottom_in_order(tmp_path):
    for name in ("b.png", "a.JPG", "sub/deep/c.webp", "sub/a.png"):
        save(tmp_path / name)
    for name in (".hidden.png", ".git/x.png", "__MACOSX/a.png", "._a.png"):
        save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    found = images.find_pictures([str(tmp_path)])
    assert [p.id for p in found] == ["a", "b", "sub/a", "sub/deep/c"]
    assert [p.stem for p in found] == ["a", "b", "sub_a", "sub_deep_c"]
    assert images.find_pictures([tmp_path / "."]) != []
    assert [p.id for p in images.find_pictures(tmp_path)] == [p.id for p in found]


def test_zip_is_searched_and_read(tmp_path):
    path = tmp_path / "set.zip"
    pixels = noise()
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("x/2.png", "./1.png", "win\\3.png", "read.me"):
            archive.writestr(name, data.getvalue())
        archive.writestr("__MACOSX/x/._2.png", b"junk")
        archive.writestr("x/.2.png", b"junk")
        archive.writestr("folder.png/", b"")
    found = images.find_pictures([path])
    assert [p.id for p in found] == ["1", "win/3", "x/2"]
    for picture in found:
        np.testing.assert_array_equal(images.read_picture(picture), pixels)


def test_a_replaced_zip_is_opened_anew(tmp_path):
    path = tmp_path / "set.zip"
    for value, names in ((10, ["a.png"]), (20, ["a.png", "b.png"])):
        data = io.BytesIO()
        Image.new("RGB", (9, 9), (value,) * 3).save(data, "PNG")
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, data.getvalue())
        found = images.find_pictures([path])
        assert len(found) == len(names)
        assert images.read_picture(found[0]).max() == value


def test_patterns_of_files_folders_and_zips(tmp_path):
    save(tmp_path / "1" / "a.png")
    save(tmp_path / "2" / "b.png")
    (tmp_path / "2" / "c.txt").write_text("")
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.write(tmp_path / "1" / "a.png", "d.png")

    def ids(pattern):
        return [p.id for p in images.find_pictures([str(tmp_path / pattern)])]

    assert ids("*/*.png") == ["a", "b"]
    assert ids("2/*") == ["b"]
    assert ids("[12]") == ["a", "b"]
    assert ids("*.zip") == ["d"]
    assert ids("**") == ["a", "b", "d"] or sorted(ids("**")) == ["1/a", "2/b", "d"]


def test_clashing_names_grow_until_they_differ(tmp_path):
    same = ("x/set/face.png", "y/set/face.png", "y/set/face.jpg", "y/set/other.png")
    for name in same:
        save(tmp_path / name)
    found = images.find_pictures([tmp_path / "x" / "set", tmp_path / "y" / "set"])
    assert {Path(p.path).relative_to(tmp_path).as_posix(): p.id for p in found} == {
        "x/set/face.png": "x/set/face",
        "y/set/face.jpg": "face.jpg",
        "y/set/face.png": "y/set/face",
        "y/set/other.png": "other",
    }
    assert len({p.stem.casefold() for p in found}) == 4


def test_a_picture_reached_twice_is_listed_once(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    found = images.find_pictures(["a.png", str(path), ".", "*.png"])
    assert [(p.id, p.path) for p in found] == [("a", "a.png")]


@few
@hypothesis.given(
    st.lists(st.text("aA/._- ~é*", min_size=1, max_size=9), min_size=1, max_size=12)
)
def test_ids_and_stems_are_unique_and_safe(tmp_path_factory, names):
    path = tmp_path_factory.mktemp("zips") / "any.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("one.png", b"")
        for name in dict.fromkeys(names):
            archive.writestr(name + ".png", b"")
    found = images.find_pictures([path])
    assert len({p.id for p in found}) == len(found)
    assert len({p.stem.casefold() for p in found}) == len(found)
    assert all(re.fullmatch(r"[\w-][\w.-]*", p.stem) for p in found)
    assert found == images.find_pictures([path])


def test_stems_differ_where_case_is_ignored(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("A/b.png", "a/B.png", "a_b.png"):
            archive.writestr(name, b"")
    found = images.find_pictures([tmp_path / "a.zip"])
    assert [p.id for p in found] == ["A/b", "a/B", "a_b"]
    assert [p.stem for p in found] == ["A_b", "a_B-2", "a_b-3"]


def test_long_names_stay_writable(tmp_path):
    folder = "x" * 120
    for name in ("a" * 200, "b" * 200):
        save(tmp_path / folder / f"{name}.png")
    found = images.find_pictures([tmp_path])
    assert len({p.stem for p in found}) == 2
    for picture in found:
        images.write_png(tmp_path / "out" / f"{picture.stem}.png", noise())


def test_finding_opens_no_picture(tmp_path):
    for i in range(2000):
        (tmp_path / f"{i:05d}.png").touch()  # empty: reading any of them fails
    assert len(images.find_pictures([tmp_path])) == 2000


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
    zipfile.ZipFile(tmp_path / "zips" / "none.zip", "w").close()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ImageError, match=re.escape(reason) + "$"):
        images.find_pictures([given])


def test_no_input_and_special_files(tmp_path):
    with pytest.raises(ImageError, match="no input"):
        images.find_pictures([])
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="neither a file nor a folder"):
        images.find_pictures([tmp_path / "pipe.png"])


# --- reading -----------------------------------------------------------------


def grey(values):
    return np.repeat(np.asarray(values, np.uint8)[..., None], 3, axis=-1)


def test_lossless_modes_are_read_exactly(tmp_path):
    rgb = noise()
    light = np.array(Image.fromarray(rgb).convert("L"))
    palette = Image.fromarray(rgb).quantize(16)
    one = Image.fromarray(light > 127)
    for name, image, expected in (
        ("rgb.png", Image.fromarray(rgb), rgb),
        ("rgb.webp", Image.fromarray(rgb), rgb),
        ("rgb.bmp", Image.fromarray(rgb), rgb),
        ("rgb.ppm", Image.fromarray(rgb), rgb),
        ("l.png", Image.fromarray(light), grey(light)),
        ("one.png", one, grey(np.where(light > 127, 255, 0))),
        ("p.png", palette, np.array(palette.convert("RGB"))),
        ("p.gif", palette, np.array(palette.convert("RGB"))),
    ):
        options = {"lossless": True} if name.endswith("webp") else {}
        read = images.read_picture(save(tmp_path / name, image, **options))
        np.testing.assert_array_equal(read, expected, err_msg=name)
        assert read.dtype == np.uint8
        assert read.flags.writeable


def test_transparency_is_laid_over_white(tmp_path):
    # Left half opaque, right half transparent over a colour that must not show.
    rgba = np.zeros((10, 20, 4), np.uint8)
    rgba[..., 0] = 200
    rgba[:, :10, 3] = 255
    la = rgba[..., [0, 3]]
    palette = Image.fromarray((rgba[..., 3] // 255).astype(np.uint8), "L").convert("P")
    palette.putpalette([200, 0, 0, 200, 0, 0])
    red, black = (200, 0, 0), (200, 200, 200)
    for name, image, colour, options in (
        ("rgba.png", Image.fromarray(rgba), red, {}),
        ("rgba.tif", Image.fromarray(rgba), red, {}),
        ("rgba.webp", Image.fromarray(rgba), red, {"lossless": True}),
        ("la.png", Image.fromarray(la, "LA"), black, {}),
        ("p.png", palette, red, {"transparency": 0}),
        ("p.gif", palette, red, {"transparency": 0}),
        ("bytes.png", palette, red, {"transparency": b"\x00\xff"}),
    ):
        read = images.read_picture(save(tmp_path / name, image, **options))
        assert (read[:, :10] == colour).all(), name
        assert (read[:, 10:] == 255).all(), name
    rgba[..., 3] = 128
    read = images.read_picture(save(tmp_path / "half.png", Image.fromarray(rgba)))
    np.testing.assert_allclose(read[0, 0], [227, 127, 127], atol=1)


def test_grey_with_a_transparent_value(tmp_path):
    path = tmp_path / "key.png"
    row = b"\0" + struct.pack(">8H", *[0x1234] * 4, *[0xFFFF, 0, 0x8000, 0x1234])
    path.write_bytes(png(8, 1, row, kind=0, depth=16, extra=b"\x12\x34"))
    read = images.read_picture(path)[0, :, 0]
    np.testing.assert_array_equal(read, [255] * 4 + [255, 0, 128, 255])


def test_deep_greys_are_scaled_not_clipped(tmp_path):
    ramp = np.linspace(0, 65535, 256).round().reshape(16, 16)
    expected = grey(np.arange(256).reshape(16, 16))
    floats = np.float32
    for name, pixels in (
        ("16.png", ramp.astype(np.uint16)),
        ("16.tif", ramp.astype(np.uint16)),
        ("16be.tif", ramp.astype(">u2")),
        ("32.tif", ramp.astype(np.int32)),
        ("full.tif", (ramp / 65535 * (2**31 - 1)).astype(np.int32)),
        ("unit.tif", (ramp / 65535).astype(floats)),
        ("byte.tif", (ramp / 257).astype(floats)),
        ("wide.tif", ramp.astype(floats)),
    ):
        if name == "16be.tif":
            image = Image.frombytes("I;16B", (16, 16), pixels.tobytes())
        else:
            image = Image.fromarray(pixels)
        read = images.read_picture(save(tmp_path / name, image))
        np.testing.assert_array_equal(read, expected, err_msg=name)
    header = b"P5 16 16 65535\n"
    (tmp_path / "16.pgm").write_bytes(header + ramp.astype(">u2").tobytes())
    np.testing.assert_array_equal(images.read_picture(tmp_path / "16.pgm"), expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.5, 1e6])
def test_floats_of_an_unknown_range_are_refused(tmp_path, value):
    pixels = np.full((9, 9), 0.5, np.float32)
    pixels[4, 4] = value
    with pytest.raises(ImageError, match="float pixels outside"):
        images.read_picture(save(tmp_path / "f.tif", pixels))


def test_cmyk(tmp_path):
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    for name in ("c.tif", "c.jpg"):
        read = images.read_picture(save(tmp_path / name, image))
        np.testing.assert_allclose(read[8, 8], [255, 0, 0], atol=3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_orientation_is_applied(tmp_path, orientation, suffix):
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :16] = 255  # white at the top left, and twice as wide as high
    turned = {
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.transpose(1, 0, 2),
        6: lambda x: np.rot90(x, 1),
        7: lambda x: x.transpose(1, 0, 2)[::-1, ::-1],
        8: lambda x: np.rot90(x, -1),
    }[orientation](upright)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / f"x.{suffix}", np.ascontiguousarray(turned), exif=exif)
    read = images.read_picture(path)
    assert read.shape == (16, 32, 3)
    assert np.abs(read.astype(int) - upright).mean() < 5


def test_broken_exif_is_no_reason_to_refuse(tmp_path):
    path = save(tmp_path / "x.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01")
    assert images.read_picture(path).shape == (20, 30, 3)


def test_of_an_animation_the_first_frame(tmp_path):
    frames = [Image.new("RGB", (9, 9), c) for c in ("red", "lime", "blue")]
    # Telephones write JPEGs of several frames, which Pillow calls MPO.
    for name in ("a.gif", "a.png", "a.webp", "a.tif", "a.mpo"):
        save(tmp_path / name, frames[0], save_all=True, append_images=frames[1:])
        read = images.read_picture(tmp_path / name)
        np.testing.assert_allclose(read[4, 4], [255, 0, 0], atol=3, err_msg=name)


@pytest.mark.parametrize(("feature", "suffix"), [("avif", "avif"), ("jpg_2000", "jp2")])
def test_newer_formats(tmp_path, feature, suffix):
    if not features.check(feature):
        pytest.skip(f"Pillow was built without {feature}")
    image = Image.new("RGB", (16, 16), (200, 100, 50))
    save(tmp_path / f"x.{suffix}", image)
    (found,) = images.find_pictures([tmp_path])
    np.testing.assert_allclose(images.read_picture(found)[8, 8], [200, 100, 50], atol=4)


def test_the_suffix_does_not_matter(tmp_path):
    path = save(tmp_path / "really_a.png", format="JPEG")
    assert images.read_picture(path).shape == (20, 30, 3)


def broken_files():
    whole = io.BytesIO()
    Image.fromarray(noise(64, 64)).save(whole, "PNG")
    jpeg = io.BytesIO()
    Image.fromarray(noise(64, 64)).save(jpeg, "JPEG")
    tiff = io.BytesIO()
    Image.fromarray(noise(64, 64)).save(tiff, "TIFF", compression="tiff_lzw")
    return {
        "empty": (b"", "the file is empty"),
        "text": (b"hello, I am text", "not a picture"),
        "truncated": (whole.getvalue()[:3000], "truncated"),
        "header": (whole.getvalue()[:20], ""),
        "jpeg": (jpeg.getvalue()[:900], "truncated"),
        "tiff": (tiff.getvalue()[:900], ""),
        "large": (png(9500, 9500), "9500x9500 pixels are more than 90000000"),
        "bomb": (png(30000, 30000), "bomb"),
        "absurd": (png(2**31 - 1, 2**31 - 1), ""),
        "nothing": (png(0, 5), ""),
        "hollow": (png(20, 20), ""),
        "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
    }


@pytest.mark.parametrize("name", broken_files())
def test_broken_files_end_in_one_line(tmp_path, name):
    data, reason = broken_files()[name]
    path = tmp_path / f"{name}.png"
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError) as caught:
            images.read_picture(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert reason in message.removeprefix(str(path))
    assert "\n" not in message
    assert " at 0x" not in message


def test_missing_files_and_members(tmp_path):
    with pytest.raises(ImageError, match=r"gone.png: No such file or directory$"):
        images.read_picture(tmp_path / "gone.png")
    with pytest.raises(ImageError, match="Is a directory"):
        images.read_picture(tmp_path)
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.png", b"")
    lost = images.Picture("b", "b", str(archive), "b.png")
    with pytest.raises(ImageError, match=r"a\.zip: b\.png: "):
        images.read_picture(lost)
    archive.write_bytes(archive.read_bytes()[:40])
    with pytest.raises(ImageError, match="not a readable zip"):
        images.read_picture(lost)


def test_a_damaged_member_costs_itself_only(tmp_path):
    archive = tmp_path / "a.zip"
    good = save(tmp_path / "good.png").read_bytes()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.png", good)
        file.writestr("b.png", good[::-1])
        file.writestr("c.png", good)
    data = bytearray(archive.read_bytes())
    data[data.index(good[::-1]) + 10] ^= 255
    archive.write_bytes(data)
    a, b, c = images.find_pictures([archive])
    with pytest.raises(ImageError, match="CRC"):
        images.read_picture(b)
    np.testing.assert_array_equal(images.read_picture(a), images.read_picture(c))


def test_threads_leave_the_warning_filters_as_they_were(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for i in range(40):
            path = save(tmp_path / f"{i}.png", noise(seed=i))
            archive.write(path, path.name)
    found = images.find_pictures([tmp_path / "a.zip"])
    before = list(warnings.filters)
    read: dict[str, np.ndarray] = {}

    def work(part):
        read.update({p.id: images.read_picture(p) for p in part})

    threads = [threading.Thread(target=work, args=(found[i::4],)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warnings.filters == before
    for i in range(40):
        np.testing.assert_array_equal(read[str(i)], noise(seed=i))


def test_the_first_to_leave_lets_the_others_stay_quiet():
    with images._quiet():
        with images._quiet():
            pass
        warnings.warn("must not be heard", stacklevel=1)
    with pytest.warns(UserWarning, match="heard again"):
        warnings.warn("heard again", stacklevel=1)


def test_truncated_files_are_refused_whatever_pillow_is_set_to():
    # The library relies on Pillow's default here.
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


# --- cropping ----------------------------------------------------------------


def test_the_right_size_passes_bit_for_bit():
    image = noise(64, 64)
    for crop in ("center", "none", 64, "64"):
        same = images.crop_and_resize(image, crop=crop)
        np.testing.assert_array_equal(same, image)
        assert not np.shares_memory(same, image)


def test_crops_keep_the_pixels_they_say():
    image = noise(218, 178)
    square = images.crop_and_resize(image, size=178)
    np.testing.assert_array_equal(square, image[20:198])
    square = images.crop_and_resize(image, crop="100", size=100)
    np.testing.assert_array_equal(square, image[59:159, 39:139])
    boxed = images.crop_and_resize(image, box=(0.25, 0.5, 0.75, 1), size=89)
    wanted = images.crop_and_resize(image[54:164, 89:], crop="none", size=89)
    np.testing.assert_array_equal(boxed, wanted)


def test_boxes_of_any_corners_hold_at_least_a_pixel():
    image = noise(20, 40)
    same = [(0.2, 0.1, 0.6, 0.5), (0.6, 0.5, 0.2, 0.1), (0.6, 0.1, 0.2, 0.5)]
    first, *others = [images.crop_and_resize(image, box=box) for box in same]
    for other in others:
        np.testing.assert_array_equal(first, other)
    for box, pixel in (((0, 0, 0, 0), image[0, 0]), ((1, 1, 2, 9), image[-1, -1])):
        assert (images.crop_and_resize(image, box=box) == pixel).all()


def brute_force_area(image, size):
    """Every pixel split into size x size parts, every part counted once."""
    fine = image.repeat(size, axis=0).repeat(size, axis=1).astype(np.float64)
    height, width, channels = image.shape
    return fine.reshape(size, height, size, width, channels).mean((1, 3))


@few
@hypothesis.given(st.integers(12, 40), st.integers(12, 40), st.integers(2, 12))
def test_shrinking_is_the_mean_of_the_area(height, width, size):
    image = noise(height, width)
    small = images.crop_and_resize(image, crop="none", size=size)
    # Rounding may differ in the last bit of an exact half.
    np.testing.assert_allclose(small, brute_force_area(image, size), atol=0.501)


def test_enlarging_is_bilinear():
    image = noise(32, 32)
    large = images.crop_and_resize(image, crop="none", size=64)
    pillow = Image.fromarray(image).resize((64, 64), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(large, np.asarray(pillow).astype(int), atol=1)
    constant = np.full((9, 300, 3), 255, np.uint8)
    assert (images.crop_and_resize(constant, crop="none") == 255).all()


def test_large_pictures_are_like_pillows_box():
    image = noise(640, 1280)
    small = images.crop_and_resize(image, crop="none")
    pillow = Image.fromarray(image).resize((64, 64), Image.Resampling.BOX)
    np.testing.assert_allclose(small, np.asarray(pillow).astype(int), atol=1)


@pytest.mark.parametrize(
    ("shape", "options", "reason"),
    [
        ((1, 1), {}, "1x1 pixels are too few; the smallest side accepted is 8"),
        ((1, 500), {"crop": "none"}, "500x1 pixels are too few"),
        ((30, 20), {"crop": 21}, "21 pixels is larger than the picture's 20x30"),
        ((30, 20), {"crop": "middle"}, "crop 'middle': give center, none, or"),
        ((30, 20), {"crop": 0}, "crop '0': give"),
        ((30, 20), {"crop": "-3"}, "crop '-3': give"),
        ((30, 20), {"box": (0, 0, np.nan, 1)}, "nan, 1.0] is not of numbers"),
    ],
)
def test_impossible_crops(shape, options, reason):
    with pytest.raises(ImageError, match=re.escape(reason)):
        images.crop_and_resize(noise(*shape), **options)


def test_what_is_no_rgb_picture_is_refused():
    for wrong in (np.zeros((20, 20, 3)), noise()[..., 0], noise()[..., :2]):
        with pytest.raises(ImageError, match="not RGB of 8 bits"):
            images.crop_and_resize(wrong)


# --- masks -------------------------------------------------------------------


def read_mask(tmp_path, missing, **options):
    path = save(tmp_path / "mask.png", np.uint8(missing) * 255)
    return images.read_mask(path, image_size=missing.shape, **options)


@few
@hypothesis.given(
    st.integers(8, 40), st.integers(8, 40), st.integers(2, 30), st.integers(0, 99)
)
def test_nothing_from_the_hole_reaches_a_known_pixel(
    tmp_path_factory, height, width, size, seed
):
    rng = np.random.default_rng(seed)
    missing = rng.random((height, width)) < rng.choice([0.02, 0.3])
    path = tmp_path_factory.mktemp("mask")
    options = {"crop": str(rng.choice(["center", "none", "8"])), "size": size}
    mask = read_mask(path, missing, **options)
    assert mask.shape == (size, size, 1)
    assert mask.dtype == np.float32
    assert set(np.unique(mask)) <= {0, 1}

    image = noise(height, width, seed)
    damaged = np.where(missing[..., None], noise(height, width, seed + 1), image)
    clean = images.crop_and_resize(image, **options)
    spoilt = images.crop_and_resize(damaged, **options)
    np.testing.assert_array_equal(clean * (mask == 1), spoilt * (mask == 1))


@few
@hypothesis.given(
    st.integers(8, 40), st.integers(8, 40), st.integers(2, 8), st.integers(0, 99)
)
def test_a_shrunk_mask_gives_up_no_more_than_it_must(
    tmp_path_factory, height, width, size, seed
):
    missing = np.random.default_rng(seed).random((height, width)) < 0.05
    mask = read_mask(tmp_path_factory.mktemp("m"), missing, crop="none", size=size)
    touched = brute_force_area(missing[..., None].astype(np.float64), size) > 0
    np.testing.assert_array_equal(mask == 0, touched)


def test_masks_of_whole_blocks_are_exact(tmp_path):
    missing = np.zeros((512, 512), bool)
    missing[128:384, 128:384] = True
    mask = read_mask(tmp_path, missing)
    np.testing.assert_array_equal(mask[..., 0] == 0, missing[::8, ::8])
    missing = missing[::8, ::8]
    np.testing.assert_array_equal(read_mask(tmp_path, missing)[..., 0] == 0, missing)


def test_the_mask_is_cropped_as_its_picture(tmp_path):
    missing = np.zeros((218, 178), bool)
    missing[:20] = True  # cut off by the centre square
    assert read_mask(tmp_path, missing).all()
    assert not read_mask(tmp_path, missing, crop="none").all()


def test_colours_of_a_mask(tmp_path):
    missing = np.zeros((64, 64), bool)
    missing[:32] = True
    path = save(tmp_path / "m.png", np.uint8(missing) * 255)
    options = {"image_size": (64, 64)}
    white_missing = images.read_mask(path, **options)
    np.testing.assert_array_equal(white_missing[..., 0] == 0, missing)
    inverted = images.read_mask(path, **options, known="white")
    np.testing.assert_array_equal(inverted, 1 - white_missing)
    greys = np.where(missing, 128, 127).astype(np.uint8)
    assert len(np.unique(images.read_mask(save(path, greys), **options))) == 2
    save(tmp_path / "m1.png", Image.fromarray(missing))
    one_bit = images.read_mask(tmp_path / "m1.png", **options)
    np.testing.assert_array_equal(one_bit, white_missing)
    # As drawn with an eraser: what was made transparent is missing.
    erased = np.zeros((64, 64, 4), np.uint8)
    erased[..., 3] = np.where(missing, 0, 255)
    erased = images.read_mask(save(tmp_path / "m2.png", erased), **options)
    np.testing.assert_array_equal(erased, white_missing)
    with pytest.raises(ImageError, match="give black or white"):
        images.read_mask(path, **options, known="grey")


def test_masks_that_do_not_fit(tmp_path):
    path = save(tmp_path / "m.png", np.zeros((64, 80), np.uint8))
    with pytest.raises(ImageError, match="the mask is 80x64, its picture 178x218"):
        images.read_mask(path, image_size=(218, 178))
    save(path, np.eye(64, dtype=np.uint8))
    with pytest.raises(ImageError, match="write it as 0 and 255"):
        images.read_mask(path, image_size=(64, 64))
    path.write_text("")
    with pytest.raises(ImageError, match=r"m\.png: the file is empty"):
        images.read_mask(path, image_size=(64, 64))


def test_masks_are_found_by_name(tmp_path):
    for name in ("in/a.jpg", "in/sub/b.jpg", "in/c.jpg", "in/sub/c.jpg"):
        save(tmp_path / name)
    pictures = images.find_pictures([tmp_path / "in"])
    assert [p.id for p in pictures] == ["a", "c", "sub/b", "sub/c"]
    one = save(tmp_path / "masks" / "a.png")
    assert [m.path for m in images.find_masks(one, pictures)] == [str(one)] * 4
    for name in ("b.png", "c.png", "sub/c.png", "d.png"):
        save(tmp_path / "masks" / name)
    masks = images.find_masks(tmp_path / "masks", pictures)
    assert [m.id for m in masks] == ["a", "c", "b", "sub/c"]

    (tmp_path / "masks" / "b.png").unlink()
    masks = images.find_masks(tmp_path / "masks", pictures)
    assert isinstance(masks[2], ImageError)
    assert re.search(r"b\.jpg: no mask in .*masks has its name$", str(masks[2]))
    assert [m.id for m in masks[:2]] == ["a", "c"]
    with pytest.raises(ImageError, match=r"b\.jpg: no mask"):
        images.find_masks(tmp_path / "masks", pictures[2:3])
    with pytest.raises(ImageError, match="no such file"):
        images.find_masks(tmp_path / "gone", pictures)


def test_a_mask_in_doubt_is_refused(tmp_path):
    for name in ("in/x/a.jpg", "in/b.jpg", "masks/1/a.png", "masks/2/a.png"):
        save(tmp_path / name)
    save(tmp_path / "masks" / "b.png")
    pictures = images.find_pictures([tmp_path / "in"])
    b, a = images.find_masks(tmp_path / "masks", pictures)
    assert b.id == "b"
    assert "could be its mask" in str(a)


# --- values and writing ------------------------------------------------------


def test_all_256_values_come_back():
    values = np.arange(256, dtype=np.uint8)
    floats = images.to_float(values)
    assert floats.dtype == np.float32
    assert (floats[0], floats[-1]) == (-1, 1)
    np.testing.assert_array_equal(images.to_uint8(floats), values)


@few
@hypothesis.given(st.floats(width=32, allow_nan=False))
def test_values_are_clipped_then_rounded(value):
    expected = round((min(max(value, -1), 1) + 1) * 127.5)
    assert abs(int(images.to_uint8(np.float32(value))) - expected) <= 1


def test_what_is_not_a_number_is_refused():
    with pytest.raises(ImageError, match="not numbers"):
        images.to_uint8(np.array([0.0, np.nan]))


def test_written_pictures_come_back(tmp_path):
    path = tmp_path / "new" / "folders" / "x.png"
    for image in (noise(), noise()[..., :1], noise()[..., 0]):
        images.write_png(path, image)
        expected = np.broadcast_to(image.reshape(20, 30, -1), (20, 30, 3))
        np.testing.assert_array_equal(images.read_picture(path), expected)
    assert [p.name for p in path.parent.iterdir()] == ["x.png"]


@pytest.mark.parametrize("broken", ["save", "replace"])
def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch, broken):
    path = tmp_path / "x.png"
    images.write_png(path, noise())
    before = path.read_bytes()

    def fail(*args, **kwargs):
        if broken == "save":
            Path(args[1]).write_bytes(b"half of a picture")
        raise OSError(28, "No space left on device")

    if broken == "save":
        monkeypatch.setattr(Image.Image, "save", fail)
    else:
        monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(ImageError, match=r"x\.png: No space left on device$"):
        images.write_png(path, noise(seed=1))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"]


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(image, path, **options):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        images.write_png(tmp_path / "x.png", noise())
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ImageError, match=r"x\.png: (Not a directory|File exists)$"):
        images.write_png(tmp_path / "file" / "x.png", noise())
    for wrong in (np.zeros((4, 4)), noise()[:0], np.zeros(3, np.uint8)):
        with pytest.raises(ImageError, match="cannot write"):
            images.write_png(tmp_path / "x.png", wrong)
    with pytest.raises(ImageError, match=r"x\.png: "):
        images.write_png(tmp_path / "x.png", np.zeros((4, 4, 7), np.uint8))


# --- contact sheets ----------------------------------------------------------


def test_grid_places_images_and_labels():
    cells = [[noise(8, 12, 3 * i + j) for j in range(3)] for i in range(2)]
    bare = images.grid(cells, scale=2, pad=4)
    assert bare.shape == (2 * 20 + 4, 3 * 28 + 4, 3)
    np.testing.assert_array_equal(bare[24:40:2, 60:84:2], cells[1][2])
    np.testing.assert_array_equal(bare, images.grid(np.array(cells), pad=4))

    columns = ["original", "masked", "a very long name that cannot fit"]
    sheet = images.grid(cells, column_labels=columns, row_labels=["first", "2nd\n"])
    assert sheet.shape[0] > bare.shape[0]
    assert sheet.shape[1] > bare.shape[1]
    np.testing.assert_array_equal(sheet[-20:-4:2, -28:-4:2], cells[1][2])
    above, beside = sheet[:16], sheet[24:, : sheet.shape[1] - bare.shape[1]]
    assert above.min() < 64, "no ink above the columns"
    assert beside.min() < 64, "no ink beside the rows"


def test_grid_takes_floats_greys_and_short_rows():
    light = np.full((8, 8, 1), -1.0, np.float32)
    sheet = images.grid([[light, noise(8, 8)], [light]], scale=1, pad=1)
    assert (sheet[1:9, 1:9] == 0).all()
    assert (sheet[10:18, 10:18] == 255).all()


def test_grid_refuses_what_does_not_line_up():
    with pytest.raises(ImageError, match="one size"):
        images.grid([[noise(8, 8), noise(8, 9)]])
    with pytest.raises(ImageError, match="one size"):
        images.grid([])
    with pytest.raises(ImageError, match="1 column labels for 2 columns"):
        images.grid([[noise(), noise()]], column_labels=["a"])
    with pytest.raises(ImageError, match="not an image"):
        images.grid([[np.zeros(5, np.uint8)]])


def test_tile_is_nearly_square():
    assert images.tile(np.zeros((64, 8, 8, 3)), pad=0).shape == (64, 64, 3)
    assert images.tile([noise(8, 8)] * 5, pad=0).shape == (16, 24, 3)
    with pytest.raises(ImageError):
        images.tile([])


# --- real pictures -----------------------------------------------------------


def test_the_demo_portraits():
    found = images.find_pictures([DEMO])
    names = ["biden", "collins", "obama_portrait", "obama_speech"]
    assert [p.stem for p in found] == names
    for picture in found:
        image = images.read_picture(picture)
        assert image.shape == (218, 178, 3)
        face = images.crop_and_resize(image)
        assert face.shape == (64, 64, 3)
        square = Image.fromarray(image[20:198])
        pillow = np.asarray(square.resize((64, 64), Image.Resampling.HAMMING))
        assert np.abs(face.astype(int) - pillow).mean() < 3


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the research data")
def test_real_zips():
    faces = images.find_pictures([SHARED / "celeba64" / "validation.zip"])
    assert len(faces) == 2945
    cars = images.find_pictures([str(SHARED / "cars64" / "*.zip")])
    assert len({p.stem for p in faces + cars}) == len(faces) + len(cars)
    for picture in faces[:4] + cars[:4]:
        image = images.read_picture(picture)
        assert image.shape == (64, 64, 3)
        assert image.std() > 10
        np.testing.assert_array_equal(images.crop_and_resize(image), image)
