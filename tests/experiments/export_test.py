"""The export program, run as its users run it."""

import dataclasses
import json
import subprocess
import sys

import jax
import numpy as np
import pytest
from conftest import RECIPE, ROOT
from launching import TIME_LIMIT

from inpaint_jax.photographs import faces
from inpaint_jax.pretrained import digest, load_model, read_parts, save_model
from inpaint_jax.training.checkpoints import Checkpoints


@pytest.fixture(scope="module")
def workdir(tiny_state, tmp_path_factory):
    path = tmp_path_factory.mktemp("run")
    config = dataclasses.asdict(RECIPE)
    config |= {"dataset": "images:noise", "images": 8, "crop": "none"}
    (path / "config.json").write_text(json.dumps(config))
    with Checkpoints(path) as checkpoints:
        checkpoints.save(tiny_state)
    return path


@pytest.mark.slow
def test_a_run_becomes_a_model_file(program, workdir, noise_folder, tmp_path):
    output = tmp_path / "noise.safetensors"
    arguments = (f"--workdir={workdir}", f"--output={output}")
    program("export", *arguments)
    evaluated = tmp_path / "evaluated"
    program(
        "evaluate",
        f"--dataset=images:{noise_folder}",
        f"--model={output}",
        f"--workdir={evaluated}",
        "--search=paper",
        "--steps=2",
    )
    results = evaluated / "metrics.json"
    program("export", *arguments, f"--results={results}")
    model, run = load_model(output), load_model(workdir)
    assert model.name == "noise"
    assert model.metadata["steps"] == 3
    assert model.metadata["images_seen"] == 24
    assert model.metadata["crop"] == "none"
    measured = json.loads(results.read_text())["figures"]
    figures = model.metadata["figures"]["center"]
    assert figures["psnr"] == measured["psnr"]["mean"]
    assert figures["swd"] == measured["swd"]["mean"]
    assert (figures["n"], figures["steps"], figures["split"]) == (12, 2, "test")
    z = np.linspace(-1, 1, 8, dtype=np.float32)
    np.testing.assert_allclose(model.generate(z), run.generate(z), atol=5e-3)


def test_the_quality_of_its_own_checkpoint_goes_along(program, workdir, tmp_path):
    output, quality = tmp_path / "noise.safetensors", tmp_path / "quality.json"
    found = {"images": 9, "split": "test", "swd": {"mean": 1.5}, "ms_ssim": 0.1}
    found |= {"ceiling": {"psnr": 20.0}, "real": {}}
    found["weights"] = digest(read_parts(workdir))
    quality.write_text(json.dumps(found))
    arguments = (f"--workdir={workdir}", f"--output={output}", f"--quality={quality}")
    program("export", *arguments)
    assert load_model(output).metadata["quality"]["swd"]["mean"] == 1.5
    assert digest(read_parts(output)) == found["weights"]
    output.unlink()
    quality.write_text(json.dumps(found | {"weights": "another's"}))
    result = program("export", *arguments, check=False)
    assert result.returncode == 2
    assert "was measured with other weights" in result.stderr
    assert not output.exists()


def test_figures_of_another_run_are_refused(
    program, workdir, tiny_model_file, noise_folder, tmp_path
):
    model = tmp_path / "noise.safetensors"
    parts = read_parts(tiny_model_file)
    doubled = jax.tree.map(lambda x: 2 * x, parts.generator)
    save_model(model, dataclasses.replace(parts, generator=doubled))
    data = f"--dataset=images:{noise_folder}"
    run = f"--workdir={tmp_path / 'run'}"
    program("evaluate", data, f"--model={model}", run, "--search=paper", "--steps=2")
    result = program(
        "export",
        f"--workdir={workdir}",
        f"--output={model}",
        f"--results={tmp_path / 'run' / 'metrics.json'}",
        check=False,
    )
    assert result.returncode == 2
    assert "was measured with other weights" in result.stderr


UP_TO_THE_METRIC = """
import sys
from experiments import export
from experiments.runtime import program
export.with_metric = lambda model: sys.exit("and now the metric")
program.run(export.main)
"""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "and now the metric"),
        ({"quality": {"weights": "another's"}}, "was measured with other weights"),
        ({"quality": {"refinement": {}}}, "is of refined reconstructions"),
        ({"config": {"weights": "another's"}}, "was measured with other weights"),
        ({"config": {"search": "fast"}}, "is not of --search=paper alone"),
    ],
)
def test_wrong_figures_are_refused_before_the_metric_is_found(
    workdir, tmp_path, changes, message
):
    weights = digest(read_parts(workdir))
    quality = {"images": 9, "split": "test", "swd": {"mean": 1.5}, "ms_ssim": 0.1}
    quality |= {"ceiling": {}, "real": {}, "weights": weights}
    config = {"method": "latent", "mask": "center", "search": "paper"}
    config |= {"weights": weights} | changes.get("config", {})
    results = {"figures": {"psnr": {"mean": 20.0}}, "config": config, "n": 9}
    for name, found in (
        ("quality", quality | changes.get("quality", {})),
        ("results", results),
    ):
        (tmp_path / f"{name}.json").write_text(json.dumps(found))
    said = subprocess.run(
        [
            *(sys.executable, "-c", UP_TO_THE_METRIC),
            f"--workdir={workdir}",
            f"--output={tmp_path}/noise.safetensors",
            f"--quality={tmp_path}/quality.json",
            f"--results={tmp_path}/results.json",
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=TIME_LIMIT,
    )
    assert message in said.stderr
    assert not (tmp_path / "noise.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output=model.bin"], "suffix"),
        (["--output=m.safetensors", "--workdir=."], "is not the work folder of"),
        (["--output=m.safetensors", "--results=none.json"], "none.json"),
        (["--output=gs://b/m.safetensors"], "cannot write to gs://b: give a folder"),
        (["--output=~nobody-here/m.safetensors"], "~nobody-here"),
        (["--output=m.safetensors", "--workdir=~nobody-here"], "~nobody-here"),
    ],
)
def test_one_line_says_what_is_wrong(program, workdir, tmp_path, arguments, message):
    result = program(
        "export", f"--workdir={workdir}", *arguments, check=False, cwd=tmp_path
    )
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_model_of_faces_says_where_they_are(program, workdir, tmp_path):
    output = tmp_path / "faces.safetensors"
    arguments = (f"--workdir={workdir}", f"--output={output}")
    program("export", *arguments, "--face=0.37,0.43,0.63,0.43,0.5,0.71")
    model = load_model(output)
    places = faces.places_of(model.name, model.metadata)
    np.testing.assert_array_equal(places, [[0.37, 0.43], [0.63, 0.43], [0.5, 0.71]])
    for wrong in ("0.1,0.2", "a,b,c,d,e,f", "1,1,1,1,1,2"):
        said = program("export", *arguments, f"--face={wrong}", check=False)
        assert said.returncode == 2
        assert "give six shares" in said.stderr
