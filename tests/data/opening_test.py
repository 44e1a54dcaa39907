"""Opening files of every kind, and broken ones."""

import re
import runpy
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from files import encoded, noise, raw_png, save, save_zip
from PIL import Image, PngImagePlugin, features

from inpaint_jax.data import formats, opening
from inpaint_jax.data.decoding import read_picture
from inpaint_jax.data.files import ImageError, Picture, find_pictures


def test_tga_is_known_by_its_name_alone(tmp_path):
    path = save(tmp_path / "x.tga", noise())
    np.testing.assert_array_equal(read_picture(path), noise())
    with pytest.raises(ImageError, match="not a picture"):
        read_picture(path.rename(tmp_path / "x.png"))
    (tmp_path / "y.tga").write_bytes(encoded())  # a PNG
    np.testing.assert_array_equal(read_picture(tmp_path / "y.tga"), noise())


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("x.jxl", b"\xff\x0a" + bytes(50), r".jxl is not a format that is read: exp"),
        ("x.png", b"\xff\x0a" + bytes(50), r".jxl is not a format that is read: exp"),
        ("x.psd", b"8BPS" + bytes(50), ".psd is not a format that is read: export"),
        ("x.svg", b"<svg/>", ".svg is not a format that is read: export it as PNG"),
        ("x.CR3", bytes(50), "camera raw is not read: develop it to JPEG, PNG or TIFF"),
        ("x.txt", b"hello", "not a picture, or of a format that is not supported"),
    ],
    ids=["jxl", "jxl.png", "psd", "svg", "raw", "text"],
)
def test_what_is_not_read_says_what_to_do(tmp_path, name, data, reason):
    (tmp_path / name).write_bytes(data)
    begins = f"^{re.escape(str(tmp_path / name))}: .*{re.escape(reason)}"
    with pytest.raises(ImageError, match=begins):
        read_picture(tmp_path / name)


def test_the_thumbnail_of_a_camera_raw_is_not_its_picture(tmp_path):
    for name in ("x.nef", "x.DNG"):
        path = save(tmp_path / name, format="TIFF")
        with pytest.raises(ImageError, match=r"camera raw is not read: develop it"):
            read_picture(path)
    archive = save_zip(tmp_path / "a.zip", {"x.nef": path.read_bytes()})
    with pytest.raises(ImageError, match=r"camera raw is not read: develop it"):
        read_picture(Picture("x", "x", str(archive), "x.nef"))


@pytest.mark.parametrize(
    ("feature", "suffix"), [("avif", "avif"), ("webp", "webp"), ("jpg_2000", "jp2")]
)
def test_a_pillow_without_a_format(tmp_path, monkeypatch, feature, suffix):
    (tmp_path / f"x.{suffix}").write_bytes(bytes(50))
    check = features.check
    without = lambda name: name != feature and check(name)  # noqa: E731
    monkeypatch.setattr(formats.features, "check", without)
    with pytest.raises(ImageError, match=r"this Pillow was built without .*: pip inst"):
        read_picture(tmp_path / f"x.{suffix}")


def long_texts():
    """Chunks with which Pillow refuses a PNG: texts and a profile of more than 1 MB."""
    packed = zlib.compress(bytes(3 << 20))
    return {
        "iCCP": b"profile\0\0" + packed,
        "zTXt": b"Raw\0\0" + packed,
        "iTXt": b"XML:com.adobe.xmp\0\1\0\0\0" + packed,
    }


@pytest.mark.parametrize("kind", ["iCCP", "zTXt", "iTXt", "all", "after"])
def test_long_texts_and_profiles_harm_no_pixel(tmp_path, kind):
    chunks = long_texts()
    rows = b"".join(b"\0" + row.tobytes() for row in noise())
    path = tmp_path / "x.png"
    if kind == "after":  # the pixels
        before, end = raw_png(30, 20, rows), raw_png(30, 20, rows, **chunks)
        inserted = end[33 : len(end) - len(before) + 33]
        data = before[:-12] + inserted + before[-12:]
    else:
        wanted = chunks if kind == "all" else {kind: chunks[kind]}
        data = raw_png(30, 20, rows, **wanted)
    path.write_bytes(data)
    with pytest.raises(ValueError, match="too large"), Image.open(path) as image:
        image.load()
    np.testing.assert_array_equal(read_picture(path), noise())


def test_many_texts_harm_no_pixel(tmp_path):
    rows = b"".join(b"\0" + row.tobytes() for row in noise())
    text = raw_png(30, 20, rows, tEXt=b"Comment\0" + b"x" * (2 << 20))
    plain = raw_png(30, 20, rows)
    chunk = text[33 : len(text) - len(plain) + 33]
    (tmp_path / "x.png").write_bytes(plain[:33] + 40 * chunk + plain[33:])
    np.testing.assert_array_equal(read_picture(tmp_path / "x.png"), noise())


def test_short_texts_keep_the_orientation(tmp_path):
    xmp = '<x tiff:Orientation="6"/>' + " " * 2000
    for body in (b"\0\0\0\0" + xmp.encode(), b"\1\0\0\0" + zlib.compress(xmp.encode())):
        rows = b"".join(b"\0" + row.tobytes() for row in noise())
        text = b"XML:com.adobe.xmp\0" + body
        data = raw_png(30, 20, rows, iTXt=text, iCCP=long_texts()["iCCP"])
        (tmp_path / "x.png").write_bytes(data)
        turned = np.rot90(noise(), -1)
        np.testing.assert_array_equal(read_picture(tmp_path / "x.png"), turned)


def test_the_settings_of_pillow_stay_as_they_are(tmp_path):
    before = Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK
    read_picture(save(tmp_path / "a.png"))
    assert before == (Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK)
    assert before == (1024 * 1024 * 1024 // 4 // 3, 1 << 20)


def test_missing_files_and_members(tmp_path):
    with pytest.raises(ImageError, match=r"gone.png: No such file or directory$"):
        read_picture(tmp_path / "gone.png")
    with pytest.raises(ImageError, match="Is a directory"):
        read_picture(tmp_path)
    archive = save_zip(tmp_path / "a.zip", {"a.png": b""})
    lost = Picture("b", "b", str(archive), "b.png")
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
        runpy.run_path(opening.__file__)
        for path in odd:
            assert read_picture(path).shape == (20, 30, 3)


def test_the_content_of_a_file_is_read_as_the_file(tmp_path):
    data = encoded(seed=3)
    (tmp_path / "a.png").write_bytes(data)
    image = read_picture(opening.Encoded("a.png", data))
    np.testing.assert_array_equal(image, read_picture(tmp_path / "a.png"))
    for content, reason in ((b"", "the file is empty"), (b"x", "not a picture")):
        with pytest.raises(ImageError, match=f"in a tar: {reason}"):
            read_picture(opening.Encoded("in a tar", content))
