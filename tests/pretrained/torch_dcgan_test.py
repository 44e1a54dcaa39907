"""PyTorch's DCGANs against PyTorch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import inpaint_jax
from inpaint_jax.latents import Normal, Uniform
from inpaint_jax.pretrained import ModelError, load_model, save_model
from inpaint_jax.pretrained.torch_dcgan import load_torch_dcgan, read_torch_dcgan

torch = pytest.importorskip("torch", reason="PyTorch (extra bench) is not installed")
from torch_networks import L, discriminator, generator  # noqa: E402

nn = torch.nn


@pytest.fixture(params=["safetensors", "pth"])
def files(request, tmp_path):
    networks = generator(), discriminator()
    paths = [tmp_path / f"net{name}.{request.param}" for name in "GD"]
    for network, path in zip(networks, paths, strict=True):
        state = network.state_dict()
        if request.param == "pth":
            torch.save(state, path)
        else:
            from safetensors.torch import save_file

            save_file(state, path)
    return networks, paths


def torch_images(network, latents):
    with torch.no_grad():
        found = network(torch.from_numpy(np.array(latents))[:, :, None, None])
    return found.permute(0, 2, 3, 1).numpy()


def test_it_is_what_pytorch_makes(files):
    (of_g, of_d), paths = files
    model = load_torch_dcgan(*paths)
    assert (model.latents, model.image_size) == (Normal(L), 32)
    latents = jax.vmap(Normal(L).sample)(jax.random.split(jax.random.key(0), 7))
    images = jax.vmap(model.generate)(latents)
    assert 0.1 < np.std(images) < 0.9
    np.testing.assert_allclose(images, torch_images(of_g, latents), atol=1e-4)
    with torch.no_grad():
        odds = of_d(torch.from_numpy(np.array(images)).permute(0, 3, 1, 2))
    fake, real = jax.vmap(model.critic)(images).T
    logits = torch.special.logit(odds.double()).reshape(-1).numpy()
    assert np.std(logits) > 2e-3
    np.testing.assert_allclose(real - fake, logits, atol=1e-4)


@pytest.mark.slow
def test_its_own_images_are_found(files):
    (of_g, _), (path, _) = files
    model = load_torch_dcgan(path)
    assert model.critic is None
    keys = jax.random.split(jax.random.key(1), 4)
    images = torch_images(of_g, jax.vmap(Normal(L).sample)(keys))
    masks = inpaint_jax.make_masks("center", keys, (32, 32))
    config = inpaint_jax.SearchConfig(steps=400, starts=8)
    found = inpaint_jax.inpaint(model, images, masks, keys, config=config)
    error = jax.vmap(inpaint_jax.psnr_hole)(found.image, images, masks)
    # In a box of [-1, 1] a third of the latent's numbers could not be reached.
    boxed = inpaint_jax.inpaint(
        inpaint_jax.Model(model.generate, Uniform(L), 32),
        images,
        masks,
        keys,
        config=config,
    )
    in_box = jax.vmap(inpaint_jax.psnr_hole)(boxed.image, images, masks)
    assert np.mean(error) > np.mean(in_box) + 3


def test_it_becomes_a_model_file(files, tmp_path):
    (of_g, _), paths = files
    target = tmp_path / "mine.safetensors"
    save_model(target, read_torch_dcgan(*paths))
    model = load_model(target)
    assert (model.name, model.latents) == ("mine", Normal(L))
    latents = jax.vmap(model.latents.sample)(jax.random.split(jax.random.key(0), 3))
    images = jax.vmap(model.generate)(latents)
    # Weights are stored in half precision.
    np.testing.assert_allclose(images, torch_images(of_g, latents), atol=0.01)
    assert jax.vmap(model.critic)(images).shape == (3, 2)
    save_model(target, read_torch_dcgan(paths[0]))
    assert load_model(target).critic is None


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (lambda path: path.write_bytes(b"no weights"), "holds no PyTorch weights"),
        (lambda path: torch.save([1, 2], path), "holds no state_dict"),
        (lambda path: torch.save(generator(), path), "holds no PyTorch weights"),
        (
            lambda path: torch.save(nn.Conv2d(3, 8, 3).state_dict(), path),
            "convolutions with a bias",
        ),
        (
            lambda path: torch.save(discriminator().state_dict(), path),
            "holds no DCGAN generator",
        ),
    ],
)
def test_another_file_is_refused(write, reason, tmp_path):
    path = tmp_path / "netG.pth"
    write(path)
    with pytest.raises(ModelError, match=reason) as refusal:
        load_torch_dcgan(path)
    assert "\n" not in str(refusal.value)


def test_networks_that_do_not_fit_are_refused(tmp_path):
    paths = tmp_path / "netG.pth", tmp_path / "netD.pth"
    torch.save(generator().state_dict(), paths[0])
    torch.save(discriminator(size=64).state_dict(), paths[1])
    with pytest.raises(ModelError, match="images of 64 pixels, the generator for 32"):
        load_torch_dcgan(*paths)
    with pytest.raises(ModelError, match="no DCGAN discriminator"):
        load_torch_dcgan(paths[0], paths[0])
    with pytest.raises(ModelError, match="there is no file"):
        load_torch_dcgan(tmp_path / "missing.pth")


def test_latents_may_be_another_space(files):
    _, (path, _) = files
    assert load_torch_dcgan(path, latents=Uniform(L)).latents == Uniform(L)
    images = jax.vmap(load_torch_dcgan(path).generate)(jnp.zeros((2, L)))
    assert images.dtype == jnp.float32
