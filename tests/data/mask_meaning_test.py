"""What masks of every kind mean, which are refused, and how they are resized."""

import dataclasses
import re

import hypothesis
import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from conftest import DEMO
from files import noise, raw_png, save
from PIL import Image, ImageDraw, features

from inpaint_jax.data.decoding import read_picture
from inpaint_jax.data.files import ImageError, find_pictures
from inpaint_jax.data.mask_files import own_mask
from inpaint_jax.data.mask_meaning import read_missing

HOLE = np.zeros((218, 178), bool)
HOLE[60:145, 45:126] = True  # 17.7 % of a portrait


@pytest.fixture(scope="module")
def portrait():
    return read_picture(DEMO / "biden.png")


def layer(colour, alpha):
    """An RGBA image: one colour, or a picture's, with this transparency."""
    colours = np.broadcast_to(np.asarray(colour, np.uint8), (*alpha.shape, 3))
    return np.dstack([colours, alpha.astype(np.uint8)])


def grey(values):
    return np.repeat(np.asarray(values, np.uint8)[..., None], 3, axis=-1)


def refused(mask, reason, **options):
    with pytest.raises(ImageError, match=re.escape(reason)) as caught:
        read_missing(mask, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- transparency ------------------------------------------------------------


def test_an_erased_hole_is_what_is_missing(tmp_path, portrait):
    erased = Image.fromarray(layer(portrait, np.where(HOLE, 0, 255)))
    la = Image.fromarray(portrait).convert("LA")
    la.putalpha(Image.fromarray(np.uint8(~HOLE * 255)))
    key = Image.fromarray(np.where(HOLE[..., None], 1, portrait).astype(np.uint8))
    palette = Image.fromarray(np.where(HOLE, 0, portrait[..., 0] // 2 + 1))
    palette = palette.convert("L")
    palette.putpalette([value for i in range(256) for value in (i, i // 2, 255 - i)])
    for name, image, options in (
        ("rgba.png", erased, {}),
        ("rgba.tif", erased, {}),
        ("rgba.webp", erased, {"lossless": True}),
        ("lossy.webp", erased, {"quality": 80}),
        ("la.png", la, {}),
        ("key.png", key, {"transparency": (1, 1, 1)}),
        ("palette.png", palette, {"transparency": 0}),
    ):
        missing = read_missing(save(tmp_path / name, image, **options))
        np.testing.assert_array_equal(missing, HOLE, err_msg=name)
    assert round(HOLE.mean(), 3) == 0.177


def test_what_is_partly_erased_is_missing(portrait):
    soft = np.where(HOLE, 0, 255)
    soft[60:145, 126:140] = np.arange(14) * 18  # 0 to 234
    soft[:3] = 252  # an encoder's noise
    missing = read_missing(layer(portrait, soft))
    expected = HOLE.copy()
    expected[60:145, 126:140] = True
    np.testing.assert_array_equal(missing, expected)


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (255, 0, 0), (9, 9, 9)])
def test_a_stroke_on_an_empty_layer_is_what_is_missing(colour):
    alpha = np.where(HOLE, 255, 0)
    np.testing.assert_array_equal(read_missing(layer(colour, alpha)), HOLE)
    soft = alpha.copy()
    soft[60:145, 126:140] = 240 - np.arange(14) * 18
    alpha[60:145, 126:140] = 255
    np.testing.assert_array_equal(read_missing(layer(colour, soft)), alpha > 0)
    faint = np.where(HOLE, 100, 0)
    np.testing.assert_array_equal(read_missing(layer(colour, faint)), HOLE)


def test_a_stroke_of_what_lies_under_transparency():
    """Colours where nothing is painted do not count."""
    colours = np.where(HOLE[..., None], np.uint8(255), noise(218, 178))
    missing = read_missing(layer(colours, np.where(HOLE, 255, 0)))
    np.testing.assert_array_equal(missing, HOLE)


def test_a_black_sheet_with_a_hole():
    alpha = np.where(HOLE, 0, 255)
    np.testing.assert_array_equal(read_missing(layer((0, 0, 0), alpha)), HOLE)


def test_transparency_in_doubt_is_refused(portrait):
    right = "paint the hole white and all else black, or erase it to transparency"
    most = np.where(HOLE, 0, 255)
    part = np.where(np.arange(178) < 71, 255, 0) + np.zeros((218, 1))  # 40 %
    for colour in ((255, 255, 255), (255, 0, 0)):  # paint, or what is left?
        assert refused(layer(colour, most), "could be the hole").endswith(right)
    for colour in ((255, 255, 255), (0, 0, 0), portrait):
        assert refused(layer(colour, part), "60.1 % of it is").endswith(right)
    # Something cut out, to be taken away or to be kept?
    cut = layer(portrait, np.where(HOLE, 255, 0))
    assert refused(cut, "82.3 % of it is transparent").endswith(right)
    black_and_white = layer(grey(HOLE * 255), np.arange(178) >= 9 + np.zeros((218, 1)))
    black_and_white[..., 3] *= 255
    assert refused(black_and_white, "white as well as transparent").endswith(right)
    assert refused(layer(portrait, 0 * most), "all of it is tr").endswith(right)
    line = refused(layer(portrait, most), "mask_known=white out", known="white")
    assert "transparency is the mask" in line


def test_transparency_that_does_not_vary_tells_nothing():
    for alpha in (255, 253, 128):
        mask = layer(grey(HOLE * 255), np.full(HOLE.shape, alpha))
        np.testing.assert_array_equal(read_missing(mask), HOLE)


def test_a_picture_is_its_own_mask_by_transparency_alone(tmp_path, portrait):
    def own(name, image):
        (found,) = find_pictures(save(tmp_path / name, image))
        return own_mask(found)

    # Whatever share is erased: here nothing else can be meant.
    for hole in (HOLE, ~HOLE, np.ones_like(HOLE)):
        picture = own("a.png", layer(portrait, np.where(hole, 0, 255)))
        np.testing.assert_array_equal(read_missing(picture), hole)
    white = layer((255, 255, 255), np.where(HOLE, 0, 255))
    np.testing.assert_array_equal(read_missing(own("b.png", white)), HOLE)
    for image in (portrait, np.uint8(HOLE * 255), layer(portrait, 0 * HOLE + 255)):
        picture = own("c.png", image)
        refused(picture, "a picture is its own mask by its transparency alone")
        assert str(picture) in refused(picture, "put a mask beside it (a_mask.png")
    np.testing.assert_array_equal(
        read_missing(dataclasses.replace(own("d.png", HOLE), only_alpha=False)), HOLE
    )


# --- values ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("l.png", np.uint8(HOLE * 255)),
        ("one.png", HOLE),
        ("one.pbm", HOLE),
        ("one.tif", HOLE),
        ("rgb.png", grey(HOLE * 255)),
        ("rgb.bmp", grey(HOLE * 255)),
        ("palette.png", Image.fromarray(grey(HOLE * 255)).quantize(2)),
        ("p.gif", Image.fromarray(grey(HOLE * 255)).quantize(2)),
        ("video.png", np.where(HOLE, 235, 16).astype(np.uint8)),
        ("0_1.png", np.uint8(HOLE)),
        ("0_1_rgb.png", grey(HOLE)),
        ("label.png", np.uint8(HOLE * 7)),
        ("half.png", np.uint8(HOLE * 128)),
        ("16.png", np.uint16(HOLE * 65535)),
        ("16_255.png", np.uint16(HOLE * 255)),
        ("16_1.png", np.uint16(HOLE)),
        ("16_label.png", np.uint16(HOLE * 1000)),
        ("16.tif", np.uint16(HOLE * 65535)),
        ("32.tif", np.int32(HOLE * 65535)),
        ("32_255.tif", np.int32(HOLE * 255)),
        ("32_1.tif", np.int32(HOLE)),
        ("32_full.tif", np.int32(HOLE * (2**31 - 1))),
        ("float_1.tif", np.float32(HOLE)),
        ("float_255.tif", np.float32(HOLE * 255)),
    ],
)
def test_black_and_white_of_every_kind(tmp_path, name, image):
    path = save(tmp_path / name, image)
    np.testing.assert_array_equal(read_missing(path), HOLE)
    np.testing.assert_array_equal(read_missing(path, known="white"), ~HOLE)


def test_a_palette_of_other_order():
    palette = Image.fromarray(np.uint8(~HOLE))
    palette.putpalette([255, 255, 255, 0, 0, 0])
    np.testing.assert_array_equal(read_missing(palette), HOLE)


@pytest.mark.parametrize("quality", [95, 75, 30])
@pytest.mark.parametrize("suffix", ["jpg", "webp", "avif"])
def test_noise_of_coding(tmp_path, suffix, quality):
    if not features.check({"jpg": "jpg"}.get(suffix, suffix)):
        pytest.skip(f"Pillow was built without {suffix}")
    image = Image.new("L", (256, 256))
    random = np.random.default_rng(0)
    for line in random.integers(0, 256, (12, 8)).tolist():
        ImageDraw.Draw(image).line(line, fill=255, width=8)
    drawn = np.asarray(image) > 0
    for mode in ("L", "RGB"):
        path = save(tmp_path / f"a.{suffix}", image.convert(mode), quality=quality)
        assert (read_missing(path) != drawn).mean() < 0.005


@pytest.mark.parametrize("scale", [1, 257, 8421504, 1 / 255])
def test_smooth_edges_are_cut_at_half_grey(scale):
    values = np.where(HOLE, 255, 0)
    values[60:145, 44], values[60:145, 126] = 100, 160
    kind = {1: np.uint8, 257: np.uint16, 8421504: np.int32}.get(scale, np.float32)
    expected = HOLE.copy()
    expected[60:145, 126] = True
    image = Image.fromarray((values * scale).astype(kind))
    np.testing.assert_array_equal(read_missing(image), expected)


def test_masks_of_one_value(tmp_path):
    for value, kind, expected in (
        (0, np.uint8, False),
        (0, np.uint16, False),
        (1, np.uint8, True),
        (255, np.uint8, True),
        (65535, np.uint16, True),
        (1, np.float32, True),
    ):
        missing = read_missing(Image.fromarray(np.full((9, 9), value, kind)))
        assert (missing == expected).all()
    refused(np.full((9, 9), 7, np.uint8), "dark all over, but not black")


def test_what_is_no_mask_is_refused(tmp_path, portrait):
    red, white, pure = portrait.copy(), portrait.copy(), np.zeros_like(portrait)
    red[HOLE] = pure[HOLE] = (255, 0, 0)
    white[HOLE] = 255
    trimap, labels, void = (np.uint8(HOLE * value) for value in (255, 2, 1))
    trimap[40:60] = 128
    labels[:20] = 1
    void[:20] = 255
    many = np.uint16(HOLE * 1000)
    many[:20] = 1001
    for image, reason in (
        (portrait, "of its pixels are neither black nor white"),
        (red, "of its pixels are neither black nor white"),
        (white, "of its pixels are neither black nor white"),
        (pure, "17.7 % of its pixels are neither black nor white"),
        (trimap, "9.2 % of its pixels are neither black nor white"),
        (labels, "dark all over, but not black"),
        (void, "its values 0, 1 are labels of more than one kind"),
        (many, "dark all over, but not black"),
        (pure // 5, "dark all over, but not black"),
    ):
        path = save(tmp_path / "m.png", image)
        line = refused(path, reason)
        assert line.startswith(f"{path}: ")
        assert line.endswith("white and all else black, or erase it to transparency")


def test_two_per_cent_of_greys_pass_and_no_more():
    values = np.zeros((100, 100), np.uint8)
    values[50:] = 255
    values[0] = values[1] = 120
    assert (read_missing(values) == (np.arange(100)[:, None] >= 50)).all()
    values[2, 0] = 120
    refused(values, "2.0 % of its pixels are neither black nor white")


def test_zero_and_one_in_jpeg_are_noise(tmp_path):
    path = save(tmp_path / "m.jpg", np.uint8(HOLE), quality=100)
    refused(path, "dark all over, but not black")


def test_colours_of_16_bits_that_lost_their_lower_half(tmp_path):
    row = b"\0" + b"\0\xff" * 24
    path = tmp_path / "deep.png"
    path.write_bytes(raw_png(8, 8, row * 8, kind=2, depth=16))
    refused(path, "have 16 bits, of which the upper 8 are all black")
    path.write_bytes(raw_png(8, 8, (b"\0" + b"\xff\xff" * 24) * 8, kind=2, depth=16))
    assert read_missing(path).all()


def test_a_grey_that_means_transparent(tmp_path):
    row = b"\0" + bytes([0, 1] * 2 + [80, 0] * 4 + [255, 255] * 2)
    path = tmp_path / "key.png"
    path.write_bytes(raw_png(8, 8, row * 8, kind=0, depth=16, tRNS=b"\0\1"))
    assert read_missing(path)[3].tolist() == [True] * 2 + [False] * 6


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_values_of_no_sense(tmp_path, value):
    values = np.float32(HOLE)
    values[3, 3] = value
    refused(save(tmp_path / "m.tif", values), "negative values or such as are no")


# --- images and arrays -------------------------------------------------------


@pytest.mark.parametrize(
    "mask",
    [
        HOLE,
        HOLE[..., None],
        np.uint8(HOLE * 255),
        np.uint8(HOLE),
        np.int64(HOLE * 255),
        np.uint16(HOLE * 65535)[..., None],
        grey(HOLE * 255),
        layer((255, 0, 0), HOLE * 255),
        Image.fromarray(HOLE),
        Image.fromarray(np.uint8(HOLE * 255)),
        Image.fromarray(layer((255, 0, 0), HOLE * 255)),
        jnp.asarray(HOLE),
    ],
    ids=lambda mask: f"{type(mask).__name__}-{getattr(mask, 'dtype', '')}",
)
def test_images_and_arrays_are_read_as_files(mask):
    np.testing.assert_array_equal(read_missing(mask), HOLE)


def test_images_given_are_left_as_they_are(tmp_path):
    with Image.open(save(tmp_path / "m.png", np.uint8(HOLE * 255))) as image:
        for _ in range(2):
            np.testing.assert_array_equal(read_missing(image), HOLE)
        assert image.getpixel((100, 100)) == 255


@pytest.mark.parametrize(
    "mask",
    [
        np.float32(HOLE),  # the library's own masks are 1 where known
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((4, 4, 3), np.uint16),
        np.zeros((2, 4, 4, 1), np.uint8),
        np.zeros((0, 4), np.uint8),
        np.zeros(4, np.uint8),
    ],
)
def test_arrays_that_are_no_mask(mask):
    refused(mask, "is not a mask: give bool or uint8 [H, W]")


def test_what_is_known_is_black_or_white():
    refused(HOLE, "known='grey': give black or white", known="grey")


# --- sizes -------------------------------------------------------------------

sides = st.integers(1, 60)


def touched(missing, size):
    """The new pixels that any missing one reaches into, one by one."""
    new = np.zeros(size, bool)
    for row, column in np.argwhere(missing):
        spans = []
        for at, old, length in zip((row, column), missing.shape, size, strict=True):
            spans.append(slice(at * length // old, -(-(at + 1) * length // old)))
        new[tuple(spans)] = True
    return new


@hypothesis.settings(max_examples=60, deadline=None, database=None, derandomize=True)
@hypothesis.given(
    sides,
    sides,
    st.sampled_from([1 / 7, 1 / 3, 0.5, 0.9, 1, 1.1, 2, 3.3]),
    st.sampled_from([np.floor, np.ceil, np.rint]),
    st.integers(0, 99),
)
def test_a_mask_of_the_same_shape_is_resized(height, width, factor, rounded, seed):
    missing = np.random.default_rng(seed).random((height, width)) < 0.1
    size = tuple(max(1, int(rounded(side * factor))) for side in (height, width))
    resized = read_missing(missing, image_size=size)
    assert resized.shape == size
    needed = touched(missing, size)
    assert not (needed & ~resized).any()
    if factor >= 1:
        np.testing.assert_array_equal(resized, needed)


@hypothesis.settings(max_examples=30, deadline=None, database=None, derandomize=True)
@hypothesis.given(st.integers(2, 60), st.integers(2, 60), st.integers(0, 99))
def test_a_mask_fits_a_halved_picture(height, width, seed):
    """As large pictures are read: by blocks of 2x2, the last ones cut short."""
    missing = np.random.default_rng(seed).random((height, width)) < 0.1
    size = (height + 1) // 2, (width + 1) // 2
    padded = np.zeros((2 * size[0], 2 * size[1]), bool)
    padded[:height, :width] = missing
    blocks = padded.reshape(size[0], 2, size[1], 2).any((1, 3))
    resized = read_missing(missing, image_size=size)
    assert not (blocks & ~resized).any()
    grown = scipy.ndimage.binary_dilation(blocks, np.ones((3, 3)))
    assert not (resized & ~grown).any(), "more than a pixel too many"


@pytest.mark.parametrize(
    ("size", "image_size"),
    [
        ((64, 80), (218, 178)),
        ((64, 64), (218, 178)),
        ((178, 218), (218, 178)),
        ((218, 180), (218, 178)),
        ((436, 350), (218, 178)),
    ],
)
def test_a_mask_of_another_shape_is_refused(size, image_size):
    reason = f"{size[1]}x{size[0]} pixels do not fit the picture's 178x218: give a mask"
    refused(np.zeros(size, bool), reason, image_size=image_size)


@pytest.mark.parametrize("size", [(436, 356), (109, 89), (55, 45), (2180, 1780)])
def test_rounded_sizes_are_of_the_same_shape(size):
    missing = read_missing(np.zeros(size, bool), image_size=(218, 178))
    assert missing.shape == (218, 178)
