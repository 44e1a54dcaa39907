"""Photographs of every mode keep what is theirs; only holes change."""

import io

import numpy as np
import pytest
from conftest import DEMO
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from inpaint_jax.data.files import ImageError
from inpaint_jax.photographs.composing import compose
from inpaint_jax.photographs.frames import Frame
from inpaint_jax.photographs.photograph import Photograph

MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I;16")
MODES += ("I", "F")
SIZE = (30, 40)
ORIENTATION = 0x0112


def image(mode, seed=0):
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 256, (*SIZE, 4), np.uint8)
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 65536, SIZE, np.uint16))
    if mode in ("I", "F"):
        wide = rng.integers(0, 65536, SIZE)
        wide = wide.astype(np.int32 if mode == "I" else np.float32)
        return Image.fromarray(wide)
    if mode in ("LA", "RGBA", "PA"):
        made = Image.fromarray(colours)
        return made.convert("LA").convert("PA") if mode == "PA" else made.convert(mode)
    made = Image.fromarray(colours[..., :3])
    return made.quantize(64) if mode == "P" else made.convert(mode)


def pixels(picture):
    return np.asarray(picture)


def put(photograph, missing, *, opaque=False, value=200):
    """The photograph with one square of one colour put into its hole."""
    window = slice(0, SIZE[0]), slice(0, SIZE[1])
    square = np.full((16, 16, 3), value, np.uint8)
    frame = Frame.of_window(window)
    return compose(
        photograph, missing, [frame], [square], way="harmonic", opaque=opaque
    )


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(MODES), st.integers(0, 2**31), st.floats(0.01, 0.99))
def test_known_pixels_are_the_same_bit_for_bit(mode, seed, share):
    given_image = image(mode, seed)
    missing = np.random.default_rng(seed).random(SIZE) < share
    missing[0, 0] = True
    result = put(Photograph.read(given_image), missing).image
    assert result.mode == given_image.mode
    assert result.size == given_image.size
    before, after = pixels(given_image), pixels(result)
    np.testing.assert_array_equal(after[~missing], before[~missing])
    if mode in ("LA", "RGBA", "PA"):
        np.testing.assert_array_equal(after[..., -1], before[..., -1])
    if mode == "P":
        assert result.getpalette() == given_image.getpalette()


@pytest.mark.parametrize("mode", MODES)
def test_what_is_filled_looks_like_what_was_found(mode):
    missing = np.ones(SIZE, bool)  # Nothing is known: the square as it is.
    result = put(Photograph.read(image(mode)), missing).image
    rgb = Photograph.read(result).rgb().astype(int)
    if mode in ("LA", "RGBA", "PA"):
        colours = result.convert("RGBA") if mode != "PA" else result
        rgb = np.asarray(colours.convert("RGB")).astype(int)
    tolerance = {"1": 56, "P": 60, "PA": 2, "YCbCr": 3, "HSV": 3}.get(mode, 1)
    assert np.abs(rgb - 200).max() <= tolerance


def test_sixteen_bits_are_kept():
    ramp = (np.arange(30)[:, None] * 700 + np.arange(40) * 13).astype(np.uint16)
    missing = np.zeros(SIZE, bool)
    missing[5:25, 10:30] = True
    result = pixels(put(Photograph.read(ramp), missing, value=90).image)
    assert result.dtype == np.uint16
    np.testing.assert_array_equal(result[~missing], ramp[~missing])
    # A ramp is harmonic, and 8 bits could not tell its steps apart.
    error = result[missing].astype(int) - ramp[missing]
    assert np.abs(error).max() < 128


def test_a_hole_that_was_transparent_becomes_opaque():
    erased = image("RGBA")
    missing = np.zeros(SIZE, bool)
    missing[3:9, 4:20] = True
    result = pixels(put(Photograph.read(erased), missing, opaque=True).image)
    assert (result[missing][:, 3] == 255).all()
    np.testing.assert_array_equal(result[~missing], pixels(erased)[~missing])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_profile_and_size_of_a_file_stay(orientation, tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path, stored = tmp_path / "a.png", image("RGB")
    stored.save(path, exif=exif, icc_profile=b"a profile", dpi=(300, 300))
    photograph = Photograph.read(path)
    same = Image.open(io.BytesIO(photograph.encode(photograph.image)))
    np.testing.assert_array_equal(pixels(same), pixels(stored))
    assert same.getexif()[ORIENTATION] == orientation
    assert same.info["icc_profile"] == b"a profile"
    assert same.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    turned = {5, 6, 7, 8}
    assert photograph.shape == (SIZE[::-1] if orientation in turned else SIZE)


@pytest.mark.parametrize("format", ["TIFF", "PNG", "JPEG"])
def test_what_a_tiff_tells_of_its_picture_stays(format, tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION], exif[ExifTags.Base.Make] = 6, "a camera"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "1999"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    image("RGB").save(tmp_path / "a.tiff", exif=exif.tobytes())
    photograph = Photograph.read(tmp_path / "a.tiff")
    assert photograph.shape == SIZE[::-1]
    made = Image.open(io.BytesIO(photograph.encode(photograph.image, format)))
    assert made.size == SIZE
    told = made.getexif()
    assert told[ExifTags.Base.Make] == "a camera"
    assert told.get(ORIENTATION, 1) == 1
    assert told.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] == "1999"
    assert told.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] == "N"


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("format", ["GIF", "TIFF", "MPO", "WEBP"])
def test_further_pictures_of_a_file_are_told(format, orientation, tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    one, other = image("RGB"), image("RGB", seed=1)
    path = tmp_path / f"a.{format.lower()}"
    one.save(path, format, save_all=True, append_images=[other], exif=exif)
    assert "of the 2 pictures in its file the first" in Photograph.read(path).note
    one.save(path, format, exif=exif)
    assert Photograph.read(path).note == ""


def test_a_jpeg_is_compressed_as_it_was(tmp_path):
    with Image.open(DEMO / "collins.png") as portrait:
        portrait.convert("RGB").save(tmp_path / "a.jpg", quality=60)
    with Image.open(tmp_path / "a.jpg") as file:
        tables = file.quantization
    photograph = Photograph.read(tmp_path / "a.jpg")
    again = Image.open(io.BytesIO(photograph.encode(photograph.image)))
    assert again.format == "JPEG"
    assert again.quantization == tables
    difference = pixels(again).astype(int) - pixels(photograph.image)
    assert np.abs(difference).mean() < 0.5


def test_a_format_that_cannot_hold_the_mode_gets_rgb():
    photograph = Photograph.read(image("RGBA"))
    made = Image.open(io.BytesIO(photograph.encode(photograph.image, "JPEG")))
    assert (made.format, made.mode) == ("JPEG", "RGB")
    with pytest.raises(ImageError, match="cannot be written as FITS"):
        photograph.encode(photograph.image, "FITS")


def test_what_lies_outside_all_frames_is_filled_or_left():
    photograph = Photograph.read(image("L"))
    missing = np.zeros(SIZE, bool)
    missing[10:20, 10:30] = True
    frame = Frame.of_window((slice(0, 30), slice(0, 20)))
    square = np.full((16, 16, 3), 50, np.uint8)
    for way in ("harmonic", "leave"):
        done = compose(photograph, missing, [frame], [square], way=way)
        assert done.outside == 0.5
        changed = pixels(done.image) != pixels(photograph.image)
        assert changed[10:20, 10:20].mean() > 0.9
        assert (changed[10:20, 20:30].mean() > 0.9) == (way == "harmonic")
        assert not changed[~missing].any()


def test_frames_side_by_side_leave_no_seam():
    photograph = Photograph.read(Image.new("RGB", SIZE[::-1], (120, 120, 120)))
    missing = np.zeros(SIZE, bool)
    missing[5:25, 5:35] = True
    frames = [
        Frame.of_window((slice(0, 30), slice(left, left + 20))) for left in (0, 20)
    ]
    squares = [np.full((16, 16, 3), value, np.uint8) for value in (40, 230)]
    done = compose(photograph, missing, frames, squares, way="leave")
    np.testing.assert_array_equal(pixels(done.image), 120)
