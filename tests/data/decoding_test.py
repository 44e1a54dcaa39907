"""Reading pictures of every kind, and broken ones."""

import re
import struct
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from files import encoded, noise, raw_png, save, save_zip
from PIL import Image, features

from inpaint_jax.data import decoding, formats
from inpaint_jax.data.decoding import read_picture
from inpaint_jax.data.files import ImageError, find_pictures


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
    light = Image.fromarray(rgba[..., [0, 3]])
    palette = Image.fromarray(rgba[..., 3] // 255).convert("P")
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


@pytest.mark.parametrize(
    ("feature", "suffix"),
    [
        ("avif", "avif"),
        ("jpg_2000", "jp2"),
        ("jpg_2000", "j2k"),
        ("jpg", "jpe"),
        ("jpg", "jif"),
        ("zlib", "tga"),
    ],
)
def test_rarer_formats(tmp_path, feature, suffix):
    if not features.check(feature):
        pytest.skip(f"Pillow was built without {feature}")
    kind = {"jif": "JPEG"}.get(suffix)
    image = Image.new("RGB", (16, 16), (200, 100, 50))
    save(tmp_path / f"x.{suffix}", image, format=kind)
    (found,) = find_pictures([tmp_path])
    np.testing.assert_allclose(read_picture(found)[8, 8], [200, 100, 50], atol=4)
    (found,) = find_pictures(
        [
            save_zip(
                tmp_path / "z.zip",
                {f"x.{suffix}": (tmp_path / f"x.{suffix}").read_bytes()},
            )
        ]
    )
    np.testing.assert_allclose(read_picture(found)[8, 8], [200, 100, 50], atol=4)


# --- HEIC --------------------------------------------------------------------


@pytest.fixture
def heif():
    plugin = pytest.importorskip("pillow_heif", reason="the extra heic is an option")
    plugin.register_heif_opener()
    if "HEIF" not in Image.SAVE:
        pytest.skip("this pillow-heif cannot write")


@pytest.mark.parametrize("suffix", ["heic", "heif", "hif", "jpg"])
def test_heic(heif, tmp_path, suffix):
    image = Image.new("RGB", (64, 32), (200, 100, 50))
    image.paste((0, 0, 0), (0, 0, 8, 8))
    image.getexif()[0x0112] = 6  # to be turned to the right
    save(tmp_path / f"x.{suffix}", image, format="HEIF", quality=95)
    (found,) = find_pictures([tmp_path])
    read = read_picture(found)
    assert read.shape == (64, 32, 3)
    np.testing.assert_allclose(read[40, 16], [200, 100, 50], atol=6)
    np.testing.assert_allclose(read[3, -4], [0, 0, 0], atol=6)


def test_heic_in_threads(heif, tmp_path):
    paths = []
    for i in range(12):
        image = Image.new("RGB", (64, 64), (20 * i, 100, 50))
        paths.append(save(tmp_path / f"{i}.heic", image, format="HEIF", quality=95))
    with ThreadPoolExecutor(4) as pool:
        for i, read in enumerate(pool.map(read_picture, paths)):
            np.testing.assert_allclose(read[9, 9], [20 * i, 100, 50], atol=6)


def test_heic_without_its_plugin(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "_has_heif", lambda: False)
    data = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
    for name in ("x.heic", "x.jpg"):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ImageError, match=r"pip install 'inpaint_jax\[heic\]'"):
            read_picture(tmp_path / name)


# --- large ones --------------------------------------------------------------


@pytest.mark.parametrize("size", [(12000, 9000), (16320, 12240)])
def test_a_telephones_largest_pictures_are_read(tmp_path, size):
    ramp = Image.linear_gradient("L").resize(size, Image.Resampling.NEAREST)
    path = save(tmp_path / "x.jpg", ramp)
    del ramp
    read = read_picture(path, at_least=64)
    assert read.shape == (size[1] // 2, size[0] // 2, 3)
    rows = ((np.arange(256) + 0.5) * len(read) / 256).astype(int)
    np.testing.assert_allclose(read[rows, 99, 0], range(256), atol=2)


@pytest.fixture
def small_is_large(monkeypatch):
    monkeypatch.setattr(decoding, "LARGE_PIXELS", 500)


@pytest.mark.parametrize("kind", ["jpg", "png", "gif", "16.png", "f.tif", "rgba.png"])
def test_large_pictures_come_at_half_their_size(tmp_path, small_is_large, kind):
    smooth = Image.fromarray(noise(5, 7)).resize((71, 49), Image.Resampling.BICUBIC)
    image = {
        "gif": smooth.quantize(200),
        "16.png": Image.fromarray(np.asarray(smooth.convert("L")).astype("u2") * 257),
        "f.tif": Image.fromarray(np.float32(smooth.convert("L")) / 255),
        "rgba.png": Image.fromarray(
            np.dstack([np.asarray(smooth), np.tile(np.arange(71) * 3, (49, 1))]).astype(
                np.uint8
            )
        ),
    }.get(kind, smooth)
    options = {"quality": 95} if kind == "jpg" else {}
    path = save(tmp_path / f"a.{kind}", image, **options)
    whole = read_picture(path)
    assert whole.shape == (49, 71, 3)
    half = read_picture(path, at_least=24)
    assert half.shape == (25, 36, 3)
    means = whole[:48, :70].reshape(24, 2, 35, 2, 3).mean((1, 3))
    assert np.abs(half[:24, :35] - means).mean() < 2.5
    # Where the crop would need more, or is of the file's own pixels, all comes.
    np.testing.assert_array_equal(read_picture(path, at_least=25), whole)
    with Image.open(path) as opened:
        np.testing.assert_allclose(read_picture(opened, at_least=24), half, atol=40)
        assert opened.size == (71, 49)


def test_large_pictures_are_decoded_one_at_a_time(
    tmp_path, small_is_large, monkeypatch
):
    paths = [save(tmp_path / f"{i}.png", noise(seed=i)) for i in range(8)]
    decode, busy, most = decoding._load, [], []

    def slowly(*args, **options):
        busy.append(1)
        most.append(len(busy))
        time.sleep(0.01)
        busy.pop()
        return decode(*args, **options)

    monkeypatch.setattr(decoding, "_load", slowly)
    with ThreadPoolExecutor(4) as pool:
        for i, image in enumerate(pool.map(read_picture, paths)):
            np.testing.assert_array_equal(image, noise(seed=i))
    assert max(most) == 1
    (tmp_path / "bad.png").write_bytes(encoded()[:700])
    with pytest.raises(ImageError, match="truncated"):
        read_picture(tmp_path / "bad.png")
    assert read_picture(paths[0]).shape == (20, 30, 3), "the lock was let go"


BROKEN = {
    "empty": (b"", "the file is empty"),
    "text": (b"hello, I am text", "not a picture"),
    "truncated": (encoded()[:1000], "truncated"),
    "jpeg": (encoded("JPEG")[:700], "truncated"),
    "tiff": (encoded("TIFF", compression="tiff_lzw")[:900], ""),
    "bomb": (raw_png(16000, 16000), "16000x16000 pixels are more than 250000000"),
    "absurd": (raw_png(2**31 - 1, 2**31 - 1), "pixels are more than 250000000"),
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
