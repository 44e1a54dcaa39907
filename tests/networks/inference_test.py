import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import TINY, random_weights

from inpaint_jax.configs import Architecture
from inpaint_jax.networks import inference
from inpaint_jax.networks.dcgan import Discriminator, Generator
from inpaint_jax.training import gan, recipes

WIDE = Architecture(latent_size=10, width=8, image_size=16)  # Enough for tiles.
DEEP = Architecture(latent_size=10, width=8, image_size=32)  # And for several layers.


@functools.cache
def networks(architecture):
    """Random networks, their BatchNorm statistics too."""
    config = recipes.TrainConfig(architecture=architecture)
    shapes = jax.eval_shape(lambda: gan.init_state(config))
    return random_weights((shapes.average, shapes.discriminator.variables))


def latents(architecture, count):
    return gan.sample_latents(jax.random.key(2), count, architecture.latent_size)


@pytest.mark.parametrize("architecture", [TINY, DEEP])
def test_values_and_gradients_are_those_of_the_trained_networks(architecture):
    single = networks(architecture)
    # In float64, where folding and tiles round nothing away.
    with jax.enable_x64(True):
        g, d = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), single)
        of_g = jax.jit(inference.generator_weights, static_argnums=1)(g, jnp.float64)
        of_d = jax.jit(inference.discriminator_weights, static_argnums=1)(
            d, jnp.float64
        )

        def ours(z):
            image = inference.generate(of_g, z)
            return (inference.critic(of_d, image) @ jnp.arange(1.0, 3)), image

        def theirs(z):
            image = Generator(architecture).apply(g, z[None], train=False)
            logits = Discriminator(architecture).apply(d, image, train=False)
            return (logits[0] @ jnp.arange(1.0, 3)), image[0]

        def of_all(function, z):
            return jax.jit(jax.vmap(jax.value_and_grad(function, has_aux=True)))(z)

        z = latents(architecture, 16).astype(jnp.float64)
        expected = of_all(theirs, z)
        for count in (1, 16):  # The layers choose their form by the batch.
            jax.tree.map(
                lambda a, b, count=count: np.testing.assert_allclose(
                    a, b[:count], rtol=1e-9, atol=1e-11
                ),
                of_all(ours, z[:count]),
                expected,
            )


def test_no_image_influences_another():
    weights = jax.jit(inference.generator_weights)(networks(WIDE)[0])
    generate = jax.jit(jax.vmap(lambda z: inference.generate(weights, z)))
    z = latents(WIDE, 16)
    changed = z.at[1:].multiply(-1.0)
    np.testing.assert_array_equal(generate(z)[0], generate(changed)[0])
    assert not np.array_equal(generate(z)[1], generate(changed)[1])


def test_an_image_that_all_share_is_judged_for_each():
    # Under vmap an argument may be the same for all: one image, many latents.
    weights = jax.jit(inference.discriminator_weights)(networks(WIDE)[1])
    image = jax.random.uniform(jax.random.key(0), (16, 16, 3), minval=-1.0)

    def loss(scale, image):
        return inference.critic(weights, image)[0] * scale

    gradient = jax.grad(loss, 1)
    together = jax.jit(jax.vmap(gradient, (0, None)))(jnp.array([1.0, 2.0]), image)
    alone = jax.jit(gradient)(2.0, image)
    np.testing.assert_allclose(together[1], alone, rtol=1e-4, atol=1e-6)


def test_no_image_at_all_is_a_batch_of_none():
    weights = jax.jit(inference.generator_weights)(networks(WIDE)[0])
    images = jax.vmap(lambda z: inference.generate(weights, z))(jnp.zeros((0, 10)))
    assert images.shape == (0, 16, 16, 3)


@pytest.mark.slow
def test_second_derivatives_are_those_of_the_trained_networks():
    g, _ = networks(TINY)
    weights = jax.jit(inference.generator_weights)(g)
    z = latents(TINY, 1)[0]

    def roughness(generate):
        gradient = jax.grad(lambda z: (generate(z) ** 3).sum())
        return jax.jit(jax.grad(lambda z: (gradient(z) ** 2).sum()))(z)

    found = roughness(lambda z: inference.generate(weights, z))
    network = Generator(TINY)
    expected = roughness(lambda z: network.apply(g, z[None], train=False)[0])
    scale = jnp.abs(expected).max()
    assert scale > 0
    np.testing.assert_allclose(found, expected, atol=1e-4 * scale)


def test_weights_are_constants():
    weights = jax.jit(inference.generator_weights)(networks(TINY)[0])
    z = latents(TINY, 1)[0]
    gradient = jax.jit(jax.grad(lambda w: inference.generate(w, z).sum()))(weights)
    assert not any(leaf.any() for leaf in jax.tree.leaves(gradient))


def test_weights_cannot_be_mapped_over():
    weights = inference.generator_weights(networks(TINY)[0])
    several = jax.tree.map(lambda x: jnp.stack([x, x]), weights)
    with pytest.raises(NotImplementedError, match="weights"):
        jax.vmap(inference.generate)(several, latents(TINY, 2))


@pytest.mark.parametrize("architecture", [TINY, WIDE])
@pytest.mark.slow
def test_bfloat16_is_near(architecture):
    g, d = networks(architecture)
    z = latents(architecture, 16)

    def run(dtype):
        # Arranging is compiled, or each of its many sums would be by itself.
        of_g = jax.jit(inference.generator_weights, static_argnums=1)(g, dtype)
        of_d = jax.jit(inference.discriminator_weights, static_argnums=1)(d, dtype)
        for weights in (of_g, of_d):
            stored = weights.dense, weights.kernels
            assert {leaf.dtype for leaf in jax.tree.leaves(stored)} == {
                jnp.dtype(dtype)
            }
            assert {bias.dtype for bias in weights.biases} == {jnp.dtype("float32")}
        images = jax.vmap(lambda z: inference.generate(of_g, z))(z)
        return images, jax.vmap(lambda x: inference.critic(of_d, x))(images)

    for low, high in zip(run(jnp.bfloat16), run(jnp.float32), strict=True):
        assert low.dtype == high.dtype == jnp.float32
        assert 0 < jnp.abs(low - high).max() < 0.05 * max(1, jnp.abs(high).max())
