import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors
from conftest import TINY, random_weights

from inpaint_jax import pretrained
from inpaint_jax.configs import Architecture
from inpaint_jax.networks import dcgan
from inpaint_jax.networks.variables import flatten

FOLDER = Path(pretrained.__file__).parent


def shapes(tree):
    return [leaf.shape for leaf in jax.tree.leaves(tree) if leaf.ndim == 4]


def test_the_papers_channels():
    size = Architecture(width=64)
    key = jax.random.key(0)
    g, d = dcgan.Generator(size), dcgan.Discriminator(size)
    z, x = jnp.zeros((2, 100)), jnp.zeros((2, 64, 64, 3))
    of_g = jax.eval_shape(lambda: g.init(key, z, train=True))
    of_d = jax.eval_shape(lambda: d.init(key, x, train=True))
    assert shapes(of_g["params"]) == [
        (5, 5, 512, 256),
        (5, 5, 256, 128),
        (5, 5, 128, 64),
        (5, 5, 64, 3),
    ]
    assert shapes(of_d["params"]) == [
        (5, 5, 3, 64),
        (5, 5, 64, 128),
        (5, 5, 128, 256),
        (5, 5, 256, 512),
    ]


@pytest.mark.parametrize("size", [16, 64])
def test_shapes_and_range(size):
    architecture = Architecture(latent_size=5, width=2, image_size=size)
    generator = dcgan.Generator(architecture)
    judge = dcgan.Discriminator(architecture)

    z, key = jnp.full((2, 5), 100.0), jax.random.key(0)

    def run(network, x):
        shapes = jax.eval_shape(lambda: network.init(key, x, train=True))
        apply = jax.jit(lambda variables, x: network.apply(variables, x, train=False))
        return apply(random_weights(shapes), x)

    images = run(generator, z)
    logits = run(judge, images)
    assert images.shape == (2, size, size, 3)
    assert jnp.abs(images).max() <= 1
    assert logits.shape == (2, 2)


def test_inference_uses_the_running_statistics(tiny_state):
    # By hand: the first layer, dense, normalise, ReLU, compared through the network's
    # own intermediate outputs.
    variables = tiny_state.average
    z = jax.random.uniform(jax.random.key(0), (1, 8), minval=-1.0)
    network = dcgan.Generator(TINY)
    _, state = network.apply(
        variables, z, train=False, capture_intermediates=True, mutable="intermediates"
    )
    found = state["intermediates"]["_BatchNorm_0"]["__call__"][0]
    kernel = variables["params"]["Dense_0"]["kernel"]
    affine = variables["params"]["_BatchNorm_0"]["BatchNorm_0"]
    running = variables["batch_stats"]["_BatchNorm_0"]["BatchNorm_0"]
    x = np.asarray(z @ kernel).reshape(4, 4, 1, -1)
    expected = (x - running["mean"]) / np.sqrt(running["var"] + 1e-5)
    expected = expected * affine["scale"] + affine["bias"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


class Renamed(dcgan.Convolution):
    pass


class AlsoRenamed(dcgan.BatchNorm):
    pass


NETWORKS = {
    "generator": lambda: (dcgan.Generator(TINY), jnp.zeros((2, 8))),
    "discriminator": lambda: (dcgan.Discriminator(TINY), jnp.zeros((2, 16, 16, 3))),
    "encoders/0": lambda: (dcgan.Encoder(TINY), jnp.zeros((2, 16, 16, 7))),
    "network": lambda: (dcgan.ContextEncoder(TINY), jnp.zeros((2, 16, 16, 3))),
}


@pytest.mark.parametrize("which", NETWORKS)
def test_weights_are_called_what_they_are_whatever_a_class_is_called(
    which, monkeypatch
):
    def names():
        network, x = NETWORKS[which]()
        shapes = jax.eval_shape(lambda: network.init(jax.random.key(0), x, train=True))
        return set(flatten(shapes))

    before = names()
    monkeypatch.setattr(dcgan, "Convolution", Renamed)
    monkeypatch.setattr(dcgan, "BatchNorm", AlsoRenamed)
    monkeypatch.setattr(dcgan.nn, "Dense", type("Linear", (dcgan.nn.Dense,), {}))
    monkeypatch.setattr(dcgan.nn, "BatchNorm", type("B", (dcgan.nn.BatchNorm,), {}))
    assert names() == before


def test_networks_have_the_names_of_the_shipped_files():
    def shipped(path):
        with safetensors.safe_open(path, "numpy") as file:
            sizes = json.loads(file.metadata()["metadata"])["architecture"]
            return Architecture(**sizes), set(file.keys())

    size, found = shipped(FOLDER / "celeba64.safetensors")
    _, of_context_encoder = shipped(FOLDER / "context_encoder" / "celeba64.safetensors")
    images = jnp.zeros((2, 64, 64, 7))
    expected = {"metric", "color"}
    for prefix, network, x in (
        ("generator", dcgan.Generator(size), jnp.zeros((2, 100))),
        ("discriminator", dcgan.Discriminator(size), images[..., :3]),
        ("encoders/0", dcgan.Encoder(size), images),
        ("encoders/1", dcgan.Encoder(size), images),
        ("network", dcgan.ContextEncoder(size), images[..., :3]),
    ):
        shapes = jax.eval_shape(
            lambda network=network, x=x: network.init(jax.random.key(0), x, train=True)
        )
        expected |= {f"{prefix}/{name}" for name in flatten(shapes)}
    assert found | of_context_encoder == expected
