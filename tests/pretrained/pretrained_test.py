import json
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
import safetensors
import safetensors.numpy
from conftest import AUTOENCODER, TINY

import inpaint_jax
from inpaint_jax.configs import SEARCHES
from inpaint_jax.latents import Uniform
from inpaint_jax.networks.dcgan import Discriminator, Encoder, Generator
from inpaint_jax.pretrained import (
    ModelError,
    digest,
    load_model,
    make_model,
    model_names,
    read_parts,
    save_model,
)
from inpaint_jax.training import autoencoder, encoder
from inpaint_jax.training.checkpoints import Checkpoints
from inpaint_jax.training.principal import principal_components

LATENT = np.linspace(-1, 1, 8, dtype=np.float32)


# Compiled whole: operation by operation takes several times as long.
@jax.jit
def generate(variables):
    return Generator(TINY).apply(variables, LATENT[None], train=False)[0]


@jax.jit
def criticise(variables, image):
    return Discriminator(TINY).apply(variables, image[None], train=False)[0]


def test_what_is_saved_comes_back_to_half_precision(tiny_state, tiny_model_file):
    model = load_model(tiny_model_file)
    assert (model.name, model.latents, model.image_size) == ("tiny", Uniform(8), 16)
    assert model.metadata["dataset"] == "noise"
    image = generate(tiny_state.average)
    logits = criticise(tiny_state.discriminator.variables, image)
    np.testing.assert_allclose(model.generate(LATENT), image, atol=5e-3)
    np.testing.assert_allclose(model.critic(image), logits, atol=5e-2)


@pytest.mark.slow
def test_encoders_come_along(tiny_parts, tmp_path):
    config = encoder.EncoderConfig(TINY, passes=2)
    trained = encoder.init_state(config).encoders
    path = tmp_path / "tiny.safetensors"
    save_model(path, replace(tiny_parts, encoders=trained))
    model = load_model(path)
    seen = np.random.default_rng(0).uniform(-1, 1, (16, 16, 7)).astype(np.float32)
    for correct, variables in zip(model.correctors, trained, strict=True):
        expected = Encoder(TINY).apply(variables, seen[None], train=False)[0]
        assert expected.shape == (8,)
        np.testing.assert_allclose(correct(seen), expected, atol=2e-3)
    whole = digest(read_parts(path))
    save_model(path, tiny_parts)
    assert load_model(path).correctors == ()
    assert digest(read_parts(path)) == whole  # Of the networks that are searched.
    other = replace(tiny_parts, generator=tiny_parts.discriminator)
    assert digest(other) != digest(tiny_parts)


def test_a_training_runs_folder_is_a_model(tiny_state, tmp_path):
    config = {"architecture": vars(TINY), "crop": "none"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="no checkpoint yet"):
        load_model(tmp_path)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(tiny_state)
    model = load_model(tmp_path)
    assert model.metadata["steps"] == 3
    assert model.metadata["crop"] == "none"
    # Programs that only generate, or search otherwise, do not wait for a metric.
    assert model.metric is not None
    assert read_parts(tmp_path).metric is None
    image = generate(tiny_state.average)
    np.testing.assert_allclose(model.generate(LATENT), image, atol=1e-5)


def test_an_autoencoders_folder_has_what_its_search_needs(tmp_path):
    config = {**vars(AUTOENCODER), "architecture": vars(TINY), "model": "autoencoder"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    noise = np.random.default_rng(0).integers(0, 256, (30, 16, 16, 3), np.uint8)
    state = autoencoder.init_state(AUTOENCODER, principal_components(noise, 8, 8))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state)
    model = load_model(tmp_path)
    assert model.search == "map"
    assert model.metric is not None


def test_a_file_names_the_search_that_suits_it(tiny_parts, tmp_path):
    assert make_model(tiny_parts).search == "fast"
    path = tmp_path / "model.safetensors"
    for name in ("paper", "another"):
        save_model(path, replace(tiny_parts, metadata={"search": name}))
        if name in SEARCHES:
            assert load_model(path).search == name
        else:
            with pytest.raises(ModelError, match="there is no search 'another'"):
                load_model(path)


def test_the_networks_compute_in_the_precision_asked_for(tiny_model_file):
    full = load_model(tiny_model_file).generate(LATENT)
    half = load_model(tiny_model_file, precision="bfloat16").generate(LATENT)
    assert half.dtype == np.float32
    assert 0 < np.abs(full - half).max() < 0.05
    with pytest.raises(ModelError, match="precision must be one of auto"):
        load_model(tiny_model_file, precision="int4")


def test_any_two_functions_are_a_model():
    model = inpaint_jax.Model(
        generate=lambda z: z.reshape(2, 2, 1).repeat(3, -1),
        critic=lambda image: image.sum(axis=(0, 1))[:2],
        latents=Uniform(4),
        image_size=2,
    )
    assert jax.vmap(model.generate)(np.zeros((5, 4))).shape == (5, 2, 2, 3)


@pytest.mark.parametrize("name", ["celeba65", "missing.safetensors", "no/such/folder"])
def test_an_unknown_model_lists_the_known(name):
    with pytest.raises(ModelError, match=r"there is no model .*celeba64"):
        load_model(name)


def test_a_folder_of_something_else(tmp_path):
    with pytest.raises(ModelError, match="not the work folder"):
        load_model(tmp_path)


@pytest.mark.parametrize("where", [0, 4, 0.3, 0.9, -1])
def test_a_flipped_byte_is_noticed(tiny_model_file, tmp_path, where):
    content = bytearray(tiny_model_file.read_bytes())
    place = int(where * len(content)) if isinstance(where, float) else where
    content[place] ^= 0x10
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        load_model(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x00" * 1000])
def test_no_model_file_at_all(tmp_path, content):
    path = tmp_path / "other.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"other\.safetensors"):
        load_model(path)


def test_a_cut_file(tiny_model_file, tmp_path):
    content = tiny_model_file.read_bytes()
    path = tmp_path / "cut.safetensors"
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match=r"cut\.safetensors"):
        load_model(path)


def test_another_librarys_file(tmp_path):
    path = tmp_path / "other.safetensors"
    path.write_bytes(safetensors.numpy.save({"weight": np.zeros(3)}))
    with pytest.raises(
        ModelError, match="no dcgan or autoencoder model of this library"
    ):
        load_model(path)


def test_weights_that_are_no_numbers_are_not_saved(tiny_parts, tmp_path):
    broken = jax.tree.map(lambda x: x * np.nan, tiny_parts.generator)
    path = tmp_path / "broken.safetensors"
    with pytest.raises(ModelError, match="not finite"):
        save_model(path, replace(tiny_parts, generator=broken))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", model_names())
def test_shipped_models_are_complete(name):
    path = Path(inpaint_jax.pretrained.__file__).parent / f"{name}.safetensors"
    assert path.stat().st_size <= 20_000_000
    assert path.with_suffix(".md").is_file()
    model = load_model(name)
    for field in ("architecture", "crop", "dataset", "steps", "date", "figures"):
        assert field in model.metadata
    keys = jax.random.split(jax.random.key(0), 16)
    latents = jax.vmap(model.latents.sample)(keys)
    images = np.asarray(jax.vmap(model.generate)(latents))
    # Pictures, and different ones: neither flat nor all alike.
    assert images.std(axis=(1, 2, 3)).min() > 0.1
    assert images.std(axis=0).mean() > 0.1
