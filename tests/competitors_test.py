"""Files and runs of the networks that the search is compared with."""

import json
from dataclasses import asdict

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import CONTEXT_ENCODER, TINY, VAE, random_weights

from inpaint_jax import load_context_encoder, load_vae
from inpaint_jax.baselines import context_encoder, context_encoder_fill, vae
from inpaint_jax.checkpoints import Checkpoints
from inpaint_jax.networks import Generator
from inpaint_jax.pretrained import ModelError, files, load_model
from inpaint_jax.pretrained.competitors import (
    Competitor,
    competitor_names,
    read_competitor,
    save_competitor,
)
from inpaint_jax.training import Network

KINDS = ("context_encoder", "vae")
COLOR = jnp.array([0.25, -0.5, 0.125])  # Exact in half precision.


def state_of(kind):
    """As after three steps, of random weights."""
    if kind == "vae":
        like = jax.eval_shape(lambda: vae.init_state(VAE))
    else:
        like = jax.eval_shape(
            lambda: context_encoder.init_state(CONTEXT_ENCODER, COLOR)
        )

    def network(like):
        variables = random_weights(like.variables)
        return Network(variables, optax.adam(0.0).init(variables["params"]))

    found = {name: network(getattr(like, name)) for name in like._fields[1:3]}
    average = jax.tree.map(lambda x: 1.5 * x, random_weights(like.average))
    found |= {"step": jnp.asarray(3), "average": average}
    if kind == "context_encoder":
        found["color"] = COLOR
    return type(like)(**found)


def variables_of(state):
    if isinstance(state, vae.VaeState):
        return {"decoder": state.average}
    return {"network": state.average, "color": state.color}


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def state(kind):
    return state_of(kind)


@pytest.fixture(scope="module")
def path(kind, state, tmp_path_factory):
    """The file of that network."""
    return written(tmp_path_factory.mktemp("file"), kind, state)


def written(folder, kind, state):
    path = folder / "mine.safetensors"
    metadata = {"dataset": "noise", "steps": 3}
    save_competitor(
        path, Competitor(kind, "other", TINY, variables_of(state), metadata)
    )
    return path


def run_folder(folder, kind, state=None):
    config = {
        "model": kind,
        "architecture": asdict(TINY),
        "discriminator_width": CONTEXT_ENCODER.discriminator_width,
        "crop": "none",
    }
    (folder / "config.json").write_text(json.dumps(config))
    if state is not None:
        with Checkpoints(folder) as checkpoints:
            checkpoints.save(state)
    return folder


@pytest.fixture
def context_encoder_file(tmp_path):
    return written(tmp_path, "context_encoder", state_of("context_encoder"))


def assert_close(found, expected):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6),
        dict(found),
        dict(expected),
    )


def test_what_is_saved_comes_back_to_half_precision(kind, state, path):
    found = read_competitor(kind, path)
    assert (found.kind, found.name, found.architecture) == (kind, "mine", TINY)
    assert (found.metadata["dataset"], found.metadata["steps"]) == ("noise", 3)
    assert_close(found.variables, variables_of(state))


def test_a_runs_folder_is_read_like_a_file(kind, state, tmp_path):
    run_folder(tmp_path, kind)
    with pytest.raises(ModelError, match="no checkpoint yet"):
        read_competitor(kind, tmp_path)
    run_folder(tmp_path, kind, state)
    found = read_competitor(kind, tmp_path)
    assert (found.kind, found.name) == (kind, tmp_path.name)
    assert found.architecture == TINY
    assert (found.metadata["crop"], found.metadata["steps"]) == ("none", 3)
    jax.tree.map(
        np.testing.assert_array_equal, dict(found.variables), variables_of(state)
    )


def test_a_run_of_another_kind_is_refused(kind, tmp_path):
    run_folder(tmp_path, kind)
    (other,) = set(KINDS) - {kind}
    with pytest.raises(ModelError, match=f"is the run of a {kind}, not of a {other}$"):
        read_competitor(other, tmp_path)
    with pytest.raises(ModelError, match=f"is the run of a {kind}, not of a dcgan$"):
        load_model(tmp_path)


def test_a_file_of_another_kind_is_refused(kind, path, tmp_path):
    (other,) = set(KINDS) - {kind}
    with pytest.raises(ModelError, match=f"is no {other} model of this library"):
        read_competitor(other, path)
    with pytest.raises(ModelError, match="is no dcgan model of this library"):
        load_model(path)
    model = tmp_path / "model.safetensors"
    files.write(model, "dcgan", {"generator": {"w": jnp.ones(3)}}, TINY, {})
    load = {"context_encoder": load_context_encoder, "vae": load_vae}[kind]
    with pytest.raises(ModelError, match=f"is no {kind} model") as error:
        load(model)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("where", [0.3, 0.9])
def test_a_damaged_file_is_refused(kind, path, tmp_path, where):
    content = bytearray(path.read_bytes())
    content[int(where * len(content))] ^= 0x10
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        read_competitor(kind, damaged)


def test_a_cut_file_is_refused(kind, path, tmp_path):
    content = path.read_bytes()
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match=r"cut\.safetensors is no readable"):
        read_competitor(kind, cut)


def test_an_unknown_name_lists_the_known(kind):
    for name in (*competitor_names(kind), r"a \.safetensors file"):
        with pytest.raises(ModelError, match=f"no {kind} 'nobody'.*{name}"):
            read_competitor(kind, "nobody")


def test_a_network_that_is_not_finite_is_not_saved(kind, state, tmp_path):
    broken = state._replace(average=jax.tree.map(lambda x: x / 0, state.average))
    with pytest.raises(ModelError, match="not finite"):
        written(tmp_path, kind, broken)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("blend", [False, True])
def test_a_loaded_context_encoder_fills_holes(context_encoder_file, blend):
    images = np.random.default_rng(1).uniform(-1, 1, (2, 16, 16, 3)).astype(np.float32)
    masks = np.ones((2, 16, 16, 1), np.float32)
    masks[:, 4:12, 4:12] = 0
    given = images, masks, None
    variables = variables_of(state_of("context_encoder"))["network"]
    found = load_context_encoder(context_encoder_file, blend=blend)(*given)
    expected = context_encoder_fill(variables, COLOR, blend=blend)(*given)
    np.testing.assert_allclose(found, expected, atol=5e-3)
    other = context_encoder_fill(variables, COLOR, blend=not blend)(*given)
    assert np.abs(found - other).max() > 0.05


def test_a_context_encoder_is_for_images_of_one_size(context_encoder_file):
    load_context_encoder(context_encoder_file, image_size=16)
    with pytest.raises(ModelError, match=r"for images of 16 pixels, not 32$"):
        load_context_encoder(context_encoder_file, image_size=32)


def test_a_loaded_vae_makes_images_of_latents(tmp_path):
    state = state_of("vae")
    decode, latent_size = load_vae(written(tmp_path, "vae", state))
    assert latent_size == TINY.latent_size
    latents = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    images = decode(latents)
    assert images.shape == (5, 16, 16, 3)
    assert np.abs(images).max() <= 1  # False for NaN, too.
    expected = jax.jit(lambda z: Generator(TINY).apply(state.average, z, train=False))(
        latents
    )
    np.testing.assert_allclose(images, expected, atol=5e-3)
    assert np.std(images, axis=0).max() > 1e-4
