"""The benchmarks' peers compute what this project's networks do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import inpaint_jax
from inpaint_jax.configs import SearchConfig
from inpaint_jax.losses import context_loss, prior_loss
from inpaint_jax.pretrained import read_parts

torch = pytest.importorskip("torch", reason="PyTorch is in the extra bench")


@pytest.fixture(params=["house_numbers", "svhn"])
def name(request):
    return request.param


def test_the_generator_in_pytorch_is_the_same(name):
    from benchmarks import peers

    model = inpaint_jax.load_model(name)
    latents = jax.vmap(model.latents.sample)(jax.random.split(jax.random.key(0), 3))
    network, critic = peers.networks(read_parts(name), critic=name == "svhn")
    with torch.no_grad():
        found = network.eval()(torch.from_numpy(np.array(latents)))
    images = jax.vmap(model.generate)(latents)
    np.testing.assert_allclose(found, peers.to_torch(images), atol=2e-5)
    if critic is not None:
        with torch.no_grad():
            logits = critic.eval()(peers.to_torch(images))
        np.testing.assert_allclose(logits, jax.vmap(model.critic)(images), atol=1e-3)


def test_the_search_in_pytorch_minimises_the_same(name):
    from benchmarks import peers
    from benchmarks.torch_search import TorchSearch

    model = inpaint_jax.load_model(name)
    keys = jax.random.split(jax.random.key(0), 4)
    first, other = (jax.vmap(model.latents.sample)(k) for k in (keys[:2], keys[2:]))
    images = jax.vmap(model.generate)(other)
    weights = jnp.ones((2, model.image_size, model.image_size, 1))
    dcgan = name == "svhn"
    weight = 0.0 if dcgan else 0.1
    config = SearchConfig(
        learning_rate=0.01,
        prior_weight=0.003 if dcgan else 0.0,
        latent_weight=weight,
    )
    networks = peers.networks(read_parts(name), critic=dcgan)
    search = TorchSearch(*networks, images, weights, "torch", config, bounded=dcgan)
    _, losses = search(first, 1)
    generated = jax.vmap(model.generate)(first)
    expected = jax.vmap(context_loss)(generated, images, weights)
    expected += weight / 2 * jnp.sum(first**2, 1)
    if dcgan:
        expected += jax.vmap(lambda x: prior_loss(model.critic(x)))(generated)
    np.testing.assert_allclose(losses[:, 0], expected, rtol=1e-4)
    assert (search(first, 30)[1].min(1) < losses[:, 0]).all()
