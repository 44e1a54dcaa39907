import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import TINY, random_weights

from inpaint_jax.networks import dcgan
from inpaint_jax.types import Architecture


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
