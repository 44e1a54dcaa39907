"""Fills of image libraries: called as they are meant to be, and seeded."""

import sys

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import patchmatch
import pytest
from problems import problem
from skimage.restoration import inpaint_biharmonic

from inpaint_jax import baselines
from inpaint_jax.baselines import FillError, HoleError, HostFill

DIRECT = {
    "telea": lambda image, hole: cv2.inpaint(image, hole, 3, cv2.INPAINT_TELEA),
    "navier_stokes": lambda image, hole: cv2.inpaint(image, hole, 3, cv2.INPAINT_NS),
    "biharmonic": lambda image, hole: (
        255 * inpaint_biharmonic(image / 255, hole, channel_axis=-1).clip(0, 1)
    ).round(),
}
FILLS = {
    "telea": baselines.telea_fill,
    "navier_stokes": baselines.navier_stokes_fill,
    "biharmonic": baselines.biharmonic_fill,
    "patch_match": baselines.patch_match_fill,
}


@pytest.mark.parametrize("mask", ["center", "random80", "left"])
@pytest.mark.parametrize("name", list(DIRECT))
def test_it_is_the_librarys_own(name, mask):
    images, masks, keys = problem(mask, count=2, size=16)
    completed = np.asarray(FILLS[name](images, masks, keys))
    for image, known, found in zip(images, masks, completed, strict=True):
        hole = np.asarray(known[..., 0] == 0)
        pixels = np.rint((np.asarray(image) + 1) * 127.5).astype(np.uint8)
        pixels[hole] = 0
        expected = DIRECT[name](pixels, hole.astype(np.uint8)) / 127.5 - 1
        np.testing.assert_allclose(found[hole], expected[hole], atol=1e-6)


def test_what_a_library_is_given():
    calls = []

    def of_one(image, hole, seed):
        calls.append((image, hole, seed))
        return np.full_like(image, 255)

    images, masks, keys = problem("random80", count=4)
    # Nothing to fill, and nothing to fill it from.
    masks = masks.at[1].set(1).at[2].set(0)
    completed = np.asarray(HostFill(of_one)(images, masks, keys))
    assert len(calls) == 2
    for (image, hole, _), i in zip(calls, (0, 3), strict=True):
        assert image.dtype == np.uint8
        assert hole.dtype == bool
        np.testing.assert_array_equal(hole, masks[i, ..., 0] == 0)
        assert (image[hole] == 0).all()
        known = np.asarray(images[i])[~hole]
        np.testing.assert_allclose(image[~hole] / 127.5 - 1, known, atol=0.5 / 127)
        assert (completed[i][hole] == 1).all()
    np.testing.assert_array_equal(completed[1], images[1])
    assert (completed[2] == 0).all()


def test_an_images_seed_is_of_its_key_alone():
    seeds = []

    def of_one(image, hole, seed):
        seeds.append(seed)
        return image

    images, masks, keys = problem(count=4)
    keys = jax.random.split(jax.random.key(5), 3)[jnp.array([0, 1, 2, 0])]
    HostFill(of_one)(images, masks, keys)
    HostFill(of_one)(images[::-1], masks.at[1].set(1)[::-1], keys[::-1])
    a, b, c, again = seeds[:4]
    assert a == again
    assert len({a, b, c}) == 3
    assert seeds[4:] == [a, c, a]
    assert all(type(seed) is int and 0 <= seed < 2**32 for seed in seeds)


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("telea", "cv2"),
        ("navier_stokes", "cv2"),
        ("biharmonic", "skimage"),
        ("patch_match", "patchmatch"),
    ],
)
def test_a_missing_library_says_how_to_get_it(name, module, monkeypatch):
    for loaded in [module, *sys.modules]:
        if loaded == module or loaded.startswith(f"{module}."):
            monkeypatch.setitem(sys.modules, loaded, None)
    for use in (FILLS[name].version, lambda: FILLS[name](*problem("left", size=16))):
        with pytest.raises(FillError, match=r"install 'inpaint_jax\[competitors\]'$"):
            use()


def test_a_library_has_a_version():
    assert baselines.telea_fill.version() == f"OpenCV {cv2.__version__}"
    assert HostFill(lambda image, hole, seed: image).version() == ""


def test_a_hole_that_cannot_be_filled_is_of_no_harm_to_others():
    def of_one(image, hole, seed):
        if hole.sum() < 20:
            raise HoleError("too small")
        return np.full_like(image, 255)

    images, masks, keys = problem("left", count=3)
    masks = masks.at[1].set(1).at[1, :2, :2].set(0)
    fill = HostFill(of_one)
    completed, refused = fill.attempt(images, masks, keys)
    assert refused == ["", "too small", ""]
    assert np.isnan(completed[1, :2, :2]).all()
    alone = fill(images[::2], masks[::2], keys[::2])
    np.testing.assert_array_equal(completed[::2], alone)
    with pytest.raises(HoleError, match=r"^too small$"):
        fill(images, masks, keys)


def test_half_a_patch_match_is_none(monkeypatch):
    monkeypatch.setattr(patchmatch, "patchmatch_available", False)
    with pytest.raises(FillError, match="without its native library"):
        baselines.patch_match_fill(*problem("left", size=16))
