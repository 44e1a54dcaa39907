"""Files and runs of the networks that the search is compared with."""

import json
from dataclasses import asdict
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import CONTEXT_ENCODER, TINY, VAE, random_weights

from inpaint_jax import load_context_encoder, load_vae, make_masks, pretrained
from inpaint_jax.baselines import context_encoder, harmonic_fill, vae
from inpaint_jax.baselines.context_encoder import context_encoder_fill
from inpaint_jax.data import datasets
from inpaint_jax.latents import Normal
from inpaint_jax.networks.dcgan import Generator
from inpaint_jax.pretrained import ModelError, files, load_model
from inpaint_jax.pretrained.competitors import (
    Competitor,
    competitor_names,
    read_competitor,
    save_competitor,
)
from inpaint_jax.training.checkpoints import Checkpoints
from inpaint_jax.training.updates import Network

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
    with pytest.raises(ModelError, match=f"is the run of a {kind}, not of a dcgan or"):
        load_model(tmp_path)


def test_a_file_of_another_kind_is_refused(kind, path, tmp_path):
    (other,) = set(KINDS) - {kind}
    with pytest.raises(ModelError, match=f"is no {other} model of this library"):
        read_competitor(other, path)
    with pytest.raises(ModelError, match="is no dcgan or autoencoder model of this"):
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
    model = load_vae(written(tmp_path, "vae", state))
    assert (model.latents, model.image_size) == (Normal(TINY.latent_size), 16)
    latents = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    images = jax.vmap(model.generate)(latents)
    assert images.shape == (5, 16, 16, 3)
    assert np.abs(images).max() <= 1  # False for NaN, too.
    expected = jax.jit(lambda z: Generator(TINY).apply(state.average, z, train=False))(
        latents
    )
    np.testing.assert_allclose(images, expected, atol=5e-3)
    assert np.std(images, axis=0).max() > 1e-4


@pytest.mark.parametrize("blend", [False, True])
@pytest.mark.slow
def test_a_run_becomes_a_file_with_the_figures_of_what_it_pasted(
    program, tiny_model_file, noise_folder, tmp_path, blend
):
    run = tmp_path / "run"
    run.mkdir()
    run_folder(run, "context_encoder", state_of("context_encoder"))
    config = json.loads((run / "config.json").read_text())
    config |= {"dataset": "images:noise", "batch_size": 8}
    (run / "config.json").write_text(json.dumps(config))
    output, evaluated = tmp_path / "noise.safetensors", tmp_path / "evaluated"
    export = ("export", f"--workdir={run}", f"--output={output}")
    program(*export)
    program(
        "evaluate",
        "--method=context_encoder",
        f"--context_encoder={output}",
        f"--model={tiny_model_file}",
        f"--dataset=images:{noise_folder}",
        f"--workdir={evaluated}",
        f"--blend={blend}",
    )
    results = evaluated / "metrics.json"
    result = program(*export, f"--results={results}", check=False)
    if blend:
        assert result.returncode == 2
        assert "is of blended results" in result.stderr
        return
    metadata = read_competitor("context_encoder", output).metadata
    measured = json.loads(results.read_text())["figures"]["psnr"]["mean"]
    assert metadata["figures"]["center"]["psnr"] == measured
    assert (metadata["steps"], metadata["images_seen"]) == (3, 24)


SHIPPED = [(kind, name) for kind in KINDS for name in competitor_names(kind)]


@pytest.mark.parametrize(("shipped_kind", "name"), SHIPPED)
def test_shipped_ones_are_complete(shipped_kind, name):
    path = Path(pretrained.__file__).parent / shipped_kind / f"{name}.safetensors"
    assert path.stat().st_size <= 20_000_000
    assert path.with_suffix(".md").is_file()
    found = read_competitor(shipped_kind, name)
    for field in ("crop", "dataset", "steps", "date"):
        assert field in found.metadata


@pytest.mark.slow
def test_the_shipped_context_encoder_knows_faces(real_data):
    faces = datasets.load(f"images:{real_data}/celeba64/test.zip", limit=32)
    given = faces.images.astype(np.float32) / 127.5 - 1
    keys = jax.random.split(jax.random.key(0), len(given))
    known = make_masks("center", keys, given.shape[1:3])
    hole = np.broadcast_to(known == 0, given.shape)

    def error(fill):
        return np.square(
            np.asarray(fill(given, known, keys))[hole] - given[hole]
        ).mean()

    # Half of what a smooth fill leaves, and less.
    assert error(load_context_encoder("celeba64")) < 0.5 * error(harmonic_fill)
