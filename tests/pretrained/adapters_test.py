"""Generators of other frameworks, against these frameworks."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import inpaint_jax
from inpaint_jax.latents import Normal
from inpaint_jax.pretrained.adapters import (
    from_equinox,
    from_function,
    from_linen,
    from_nnx,
    linen_function,
    nnx_function,
)

SPACE = Normal(6)
WRONG = {"params": {"kernel": jnp.zeros((5, 3)), "bias": jnp.zeros(3)}}
LATENTS = jax.vmap(SPACE.sample)(jax.random.split(jax.random.key(0), 3))


class LinenGenerator(nn.Module):
    @nn.compact
    def __call__(self, z, train):
        x = nn.BatchNorm(use_running_average=not train)(nn.Dense(8 * 8 * 3)(z))
        return jnp.tanh(x).reshape(-1, 8, 8, 3)


class NnxGenerator(nnx.Module):
    def __init__(self, rngs):
        self.dense = nnx.Linear(6, 8 * 8 * 3, rngs=rngs)
        self.norm = nnx.BatchNorm(8 * 8 * 3, rngs=rngs)

    def __call__(self, z):
        return jnp.tanh(self.norm(self.dense(z))).reshape(-1, 8, 8, 3)


def assert_searched(model, expected):
    """It makes these images of ``LATENTS``, and a search comes near to one of them."""
    np.testing.assert_allclose(jax.vmap(model.generate)(LATENTS), expected, atol=1e-5)
    masks = inpaint_jax.make_masks(
        "center", jax.random.split(jax.random.key(0), 3), (8, 8)
    )
    found = inpaint_jax.inpaint(model, expected, masks, jax.random.key(1))
    assert found.image.shape == (3, 8, 8, 3)
    error = jax.vmap(inpaint_jax.psnr_hole)(found.image, expected, masks)
    assert np.min(error) > 20
    # A pytree with the weights as leaves.
    doubled = jax.tree.map(lambda x: 2 * x, model)
    assert (doubled.generate(LATENTS[0]) != model.generate(LATENTS[0])).any()


@pytest.mark.slow
def test_linen():
    module = LinenGenerator()
    variables = module.init(jax.random.key(0), LATENTS, train=True)
    expected = module.apply(variables, LATENTS, train=False)
    model = from_linen(module, variables, latents=SPACE, train=False)
    assert (model.image_size, model.critic) == (8, None)
    assert_searched(model, expected)


def test_nnx():
    module = NnxGenerator(nnx.Rngs(0))
    module.eval()
    assert_searched(from_nnx(module, latents=SPACE), module(LATENTS))


def test_equinox():
    equinox = pytest.importorskip("equinox", reason="Equinox is not installed")

    class Generator(equinox.Module):
        mlp: equinox.nn.MLP

        def __call__(self, z):
            return jnp.tanh(self.mlp(z)).reshape(3, 8, 8)

    module = Generator(equinox.nn.MLP(6, 192, 16, 1, key=jax.random.key(0)))
    expected = jnp.moveaxis(jax.vmap(module)(LATENTS), 1, -1)
    model = from_equinox(module, latents=SPACE)
    np.testing.assert_allclose(jax.vmap(model.generate)(LATENTS), expected, atol=1e-5)
    assert all(isinstance(x, jax.Array) for x in jax.tree.leaves(model))


def test_two_models_of_one_architecture_are_compiled_once():
    module, count = LinenGenerator(), 0

    def judge(model, latent):
        nonlocal count
        count += 1
        return model.generate(latent)

    judge = jax.jit(judge)
    for seed in range(2):
        variables = module.init(jax.random.key(seed), LATENTS, train=True)
        judge(from_linen(module, variables, latents=SPACE, train=False), LATENTS[0])
        network = NnxGenerator(nnx.Rngs(seed))
        network.eval()
        judge(from_nnx(network, latents=SPACE), LATENTS[0])
    assert count == 2


def test_critics_of_networks():
    class Judge(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(1)(x.reshape(len(x), -1))

    module = LinenGenerator()
    variables = module.init(jax.random.key(0), LATENTS, train=True)
    judge = Judge()
    weights = judge.init(jax.random.key(1), jnp.zeros((1, 8, 8, 3)))
    critic = linen_function(judge, weights)
    model = from_linen(module, variables, latents=SPACE, critic=critic, train=False)
    images = jax.vmap(model.generate)(LATENTS)
    np.testing.assert_allclose(
        jax.vmap(model.critic)(images), judge.apply(weights, images), rtol=1e-5
    )
    linear = nnx.Linear(4, 2, rngs=nnx.Rngs(0))
    np.testing.assert_allclose(nnx_function(linear)(jnp.ones(4)), linear(jnp.ones(4)))


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda weights, z: jnp.zeros((8, 8)), r"are \[8, 8\], not \[S, S, 3\]"),
        (lambda weights, z: jnp.zeros((8, 4, 3)), "not"),
        (lambda weights, z: jnp.ones((5, 5)) @ z, r"does not take a latent \[6\]"),
        (lambda weights, z: nn.Dense(3).apply(WRONG, z), r"latent \[6\]: .*kernel"),
    ],
)
def test_what_is_no_generator_is_refused(function, reason):
    with pytest.raises(ValueError, match=reason):
        from_function(function, (), latents=SPACE)
