"""Ways to fill holes other than the search, in the programs that offer them."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from PIL import Image

from experiments.filling import methods
from inpaint_jax import parallel
from inpaint_jax.baselines import context_encoder
from inpaint_jax.configs import SEARCHES, Architecture, RefineConfig
from inpaint_jax.pretrained import make_model, read_parts, save_model
from inpaint_jax.pretrained.competitors import Competitor, save_competitor
from inpaint_jax.training import encoder


@pytest.fixture
def inpaint(program, tiny_model_file, noise_folder, tmp_path):
    """Fills the pictures of noise; returns the result and its folder."""

    def run(*arguments, check=True):
        output = tmp_path / "out"
        arguments = (f"--input={noise_folder}", f"--output={output}", *arguments)
        model = f"--model={tiny_model_file}"
        return program("inpaint", model, *arguments, check=check), output

    return run


@pytest.fixture
def evaluate(program, tiny_model_file, noise_folder, tmp_path):
    def run(name, *arguments, check=True):
        workdir = tmp_path / name
        result = program(
            "evaluate",
            f"--model={tiny_model_file}",
            f"--dataset=images:{noise_folder}",
            f"--workdir={workdir}",
            *arguments,
            check=check,
        )
        if not check:
            return result
        return json.loads((workdir / "metrics.json").read_text())

    return run


@pytest.fixture(scope="module")
def context_encoder_file(tmp_path_factory):
    sizes = Architecture(latent_size=8, width=4, image_size=16)
    config = context_encoder.ContextEncoderConfig(sizes)
    state = context_encoder.init_state(config, jax.numpy.array([0.5, 0.0, -0.5]))
    path = tmp_path_factory.mktemp("networks") / "noise.safetensors"
    variables = {"network": state.average, "color": state.color}
    save_competitor(path, Competitor("context_encoder", "", sizes, variables, {}))
    return path


@pytest.fixture(scope="module")
def guessing_file(tiny_parts, tmp_path_factory):
    """The tiny model with two encoders."""
    config = encoder.EncoderConfig(tiny_parts.architecture, passes=2)
    path = tmp_path_factory.mktemp("guessing") / "guessing.safetensors"
    trained = encoder.init_state(config).encoders
    save_model(path, dataclasses.replace(tiny_parts, encoders=trained))
    return path


def read(path):
    return np.asarray(Image.open(path))


def test_a_fill_leaves_no_generated_image_and_no_losses(inpaint, noise_folder):
    _, output = inpaint("--method=harmonic", "--mask=left", "--batch_size=8")
    found = json.loads((output / "results.json").read_text())
    assert len(found["images"]) == 12
    assert found["config"]["method"] == "harmonic"
    assert "context_loss" not in found["images"][0]
    assert found["summary"]["psnr"] > 5
    assert not (output / "frames/generated").exists()
    for name in ("00.png", "11.png"):
        original, completed = (
            read(noise_folder / name),
            read(output / "completed" / name),
        )
        np.testing.assert_array_equal(completed[:, 8:], original[:, 8:])
        assert (completed[:, :8] != original[:, :8]).any()


def test_the_nearest_of_the_pictures_themselves_is_the_picture(inpaint, noise_folder):
    training = f"--train_dataset=images:{noise_folder}"
    _, output = inpaint("--method=nearest", training, "--mask=half")
    for path in sorted(noise_folder.iterdir()):
        completed = read(output / "completed" / path.name)
        np.testing.assert_array_equal(completed, read(path))


def test_a_hole_that_cannot_be_filled_costs_only_its_own_picture(
    inpaint, noise_folder, tmp_path
):
    masks = tmp_path / "masks"
    masks.mkdir()
    for path in noise_folder.iterdir():
        mask = np.zeros((16, 16), np.uint8)
        mask[2:5, 2:5] = 255
        if path.stem == "03":
            mask[::4] = 255
        Image.fromarray(mask).save(masks / path.name)
    result, output = inpaint("--method=patch_match", f"--mask={masks}", check=False)
    assert result.returncode == 1
    found = json.loads((output / "results.json").read_text())
    assert len(found["images"]) == 11
    assert [failure["id"] for failure in found["failed"]] == ["03"]
    assert "no patch of 7x7 known pixels" in found["failed"][0]["reason"]


def test_an_evaluation_goes_on_without_the_holes_that_cannot_be_filled(
    evaluate, noise_folder, tmp_path
):
    # About half of such holes leave 7x7 pixels.
    arguments = ("run", "--method=patch_match", "--mask=random10")
    result = evaluate(*arguments, check=False)
    assert result.returncode == 1
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert 0 < found["n"] < 12
    assert found["n"] + len(found["failed"]) == 12
    for reason in found["failed"]:
        assert "no patch of 7x7 known pixels" in reason
        assert reason in result.stderr
    # Those alone are tried again.
    assert evaluate(*arguments, check=False).returncode == 1
    again = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert again == found
    completed = {path.name for path in (tmp_path / "run" / "completed").iterdir()}
    failed = {reason.partition(":")[0] for reason in found["failed"]}
    assert completed == {
        path.name for path in noise_folder.iterdir() if path.stem not in failed
    }


@pytest.mark.slow
def test_an_evaluation_of_every_kind_of_method(
    evaluate, noise_folder, context_encoder_file
):
    training = f"--train_dataset=images:{noise_folder}"
    found = {
        "telea": evaluate("telea", "--method=telea"),
        "nearest": evaluate("nearest", "--method=nearest", training),
        "nearest, blended": evaluate(
            "blended", "--method=nearest", training, "--blend"
        ),
        "ridge": evaluate("ridge", "--method=ridge", training),
        "gaussian": evaluate("gaussian", "--method=gaussian", training),
        "context encoder": evaluate(
            "ce",
            "--method=context_encoder",
            f"--context_encoder={context_encoder_file}",
        ),
    }
    for each in found.values():
        assert each["n"] == 12
        assert each["figures"]["missing"] == found["telea"]["figures"]["missing"]
    configs = {name: each["config"] for name, each in found.items()}
    assert "blend" not in configs["telea"]
    assert configs["nearest"]["blend"] is False
    assert configs["nearest, blended"]["blend"] is True
    assert configs["nearest"]["train_dataset"] == f"images:{noise_folder}"
    assert configs["context encoder"]["context_encoder"] == "noise"
    assert "psnr" not in found["nearest"]["figures"]  # Exact.
    assert 5 < found["context encoder"]["figures"]["psnr"]["mean"] < 20


@pytest.mark.slow
def test_what_encoders_guess_is_the_same_in_both_programs(
    inpaint, evaluate, guessing_file, tmp_path
):
    given = ("--method=guess", f"--model={guessing_file}", "--mask=random50")
    _, output = inpaint(*given)
    found = evaluate("run", *given)
    assert found["n"] == 12
    config = found["config"]
    assert (config["method"], config["model"]) == ("guess", "guessing")
    assert (config["blend"], config["precision"]) == (True, "float32")
    for path in sorted((output / "completed").iterdir()):
        other = tmp_path / "run" / "completed" / path.name
        assert path.read_bytes() == other.read_bytes()
    pasted = evaluate("pasted", *given, "--noblend", "--precision=float32")
    figures = [each["figures"]["psnr"]["mean"] for each in (found, pasted)]
    assert 5 < min(figures) < max(figures) < 20


@pytest.mark.slow
def test_the_search_can_be_pasted(evaluate):
    blended = evaluate("blended", "--steps=2")
    pasted = evaluate("pasted", "--steps=2", "--noblend")
    assert (blended["config"]["blend"], pasted["config"]["blend"]) == (True, False)
    losses = [each["figures"]["context_loss"]["mean"] for each in (blended, pasted)]
    assert losses[0] == losses[1]
    assert blended["figures"]["psnr"]["mean"] != pasted["figures"]["psnr"]["mean"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method=nearest"], "mean, nearest, ridge, gaussian need --train_dataset"),
        (["--method=tv", "--blend"], "--blend is for latent, guess, context_encoder"),
        (["--method=tv", "--search=fast"], "--search is for --method=latent"),
        (["--method=guess", "--steps=9"], "--steps is for --method=latent"),
        (["--method=tv", "--precision=float32"], "is for --method=latent, guess"),
        (["--method=guess"], "model tiny has no encoder that guesses"),
        (["--context_encoder=x"], "--context_encoder is for --method=context_encoder"),
        (["--method=context_encoder"], "there is no context_encoder 'tiny'"),
        (["--method=patch_match", "--mask=random80"], "no patch of 7x7 known pixels"),
    ],
)
def test_one_line_says_what_is_wrong(evaluate, arguments, message):
    result = evaluate("run", *arguments, check=False)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("flag", ["--candidates=2", "--answer=mean"])
def test_several_answers_are_of_the_search(inpaint, flag):
    result, _ = inpaint("--method=tv", flag, check=False)
    assert result.returncode == 2
    name, _, _ = flag.partition("=")
    assert f"{name} is for --method=latent" in result.stderr


@pytest.mark.slow
def test_a_context_encoder_of_another_size_is_refused(evaluate, tmp_path):
    sizes = Architecture(latent_size=8, width=4, image_size=32)
    config = context_encoder.ContextEncoderConfig(sizes)
    state = context_encoder.init_state(config, jax.numpy.zeros(3))
    path = tmp_path / "large.safetensors"
    variables = {"network": state.average, "color": state.color}
    save_competitor(path, Competitor("context_encoder", "", sizes, variables, {}))
    given = ("--method=context_encoder", f"--context_encoder={path}")
    result = evaluate("run", *given, check=False)
    assert result.returncode == 2
    assert "is for images of 32 pixels, not 16" in result.stderr


@pytest.fixture(scope="module")
def prepared():
    """Prepares the search of a shipped model on one device."""
    parts = read_parts("house_numbers")
    model, mesh = make_model(parts), parallel.make_mesh(jax.devices()[:1])

    def prepare(refinement=None, kind="autoencoder", **settings):
        config = dataclasses.replace(SEARCHES["map"], **settings.pop("config", {}))
        search = methods.Search("map", config, refinement)
        of_kind = dataclasses.replace(parts, kind=kind)
        method = methods.Method("latent", of_kind, model, search, **settings)
        return method.prepare(lambda count: None, mesh)

    return prepare


def test_every_setting_of_a_search_tells_its_trace_from_others(prepared, monkeypatch):
    told = []
    monkeypatch.setattr(
        methods.traces, "keep", lambda function, about, folder: told.append(about)
    )
    prepared()
    prepared(config={"steps": 7})
    prepared(config={"window": 9})
    prepared(refinement=RefineConfig())
    prepared(refinement=RefineConfig(steps=7))
    prepared(kind="dcgan")
    prepared(blend=False)
    prepared(candidates=4)
    prepared(filmed=True)
    assert len(set(told)) == 9
    prepared(config={"steps": 65})  # Longer than its tracing: it has progress.
    assert len(told) == 9


def test_a_search_with_a_trace_refuses_bad_values(prepared):
    fill = prepared().fill
    images, masks = np.zeros((1, 64, 64, 3), "f"), np.ones((1, 64, 64, 1), "f")
    keys = jax.random.split(jax.random.key(0), 1)
    with pytest.raises(ValueError, match="finite"):
        fill(np.full_like(images, np.nan), masks, keys)
    with pytest.raises(ValueError, match="masks must hold only 1"):
        fill(images, 0.3 * masks, keys)
