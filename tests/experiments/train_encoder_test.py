"""The training of encoders, run as its users run it."""

import json
import signal
import time

import jax
import numpy as np
import pytest
from launching import Job

from inpaint_jax import load_model
from inpaint_jax.pretrained import read_parts


@pytest.fixture
def arguments(tiny_model_file, noise_folder):
    def of(workdir, *more):
        return (
            f"--model={tiny_model_file}",
            f"--dataset=images:{noise_folder}",
            f"--workdir={workdir}",
            "--width=4",
            "--passes=2",
            "--batch_size=6",
            "--log_every=2",
            "--checkpoint_every=3",
            *more,
        )

    return of


@pytest.mark.slow
def test_a_model_with_encoders_comes_out_whether_stopped_or_not(
    arguments, program, launch, tmp_path, tiny_model_file
):
    program("train_encoder", *arguments(tmp_path / "whole", "--steps=8"))
    stopped = tmp_path / "stopped"
    process = launch.begin(
        "experiments.train_encoder",
        arguments(stopped, "--steps=8", "--checkpoint_every=1"),
    )
    while not (stopped / "checkpoints").is_dir() or not any(
        path.name.isdecimal() for path in (stopped / "checkpoints").iterdir()
    ):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate()
    result = program("train_encoder", *arguments(stopped, "--steps=8"))
    assert "going on from step" in result.stdout
    assert {path.name for path in stopped.iterdir()} == {
        ".inpaint_jax",
        ".lock",
        "checkpoints",
        "config.json",
        "curves.png",
        "metrics.jsonl",
        "samples",
        "tiny.safetensors",
    }

    one, two = (
        read_parts(folder / "tiny.safetensors")
        for folder in (tmp_path / "whole", stopped)
    )
    assert len(one.encoders) == 2
    dense = [parts.encoders[1]["params"]["Dense_0"]["kernel"] for parts in (one, two)]
    np.testing.assert_array_equal(*dense)
    rows = (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [2, 3, 4, 6, 8]
    assert one.metadata["encoder"]["figures"]["step"] == 8
    model = load_model(tmp_path / "whole" / "tiny.safetensors")
    latent = np.zeros(8, np.float32)
    np.testing.assert_array_equal(
        model.generate(latent), load_model(tiny_model_file).generate(latent)
    )


@pytest.mark.slow
def test_all_devices_train_and_a_signal_stops_them(
    arguments, program, launch, tmp_path
):
    workdir, module = tmp_path / "run", "experiments.train_encoder"
    job = Job(launch, module, arguments(workdir, "--steps=6"), 2)
    statuses, said = job.wait()
    assert statuses == [0, 0], said
    assert "tiny.safetensors" in said[0][0]
    assert "tiny.safetensors" not in said[1][0]
    program("train_encoder", *arguments(tmp_path / "alone", "--steps=6"))
    together, alone = (
        read_parts(folder / "tiny.safetensors").encoders
        for folder in (workdir, tmp_path / "alone")
    )
    # As in train_test: where a gradient is nothing but rounding, Adam's steps are not.
    for a, b in zip(*map(jax.tree.leaves, (together, alone)), strict=True):
        assert np.mean(np.abs(a - b) > 1e-3 + 1e-2 * np.abs(b)) < 0.05
    # Two devices of one process, told to stop.
    long = arguments(tmp_path / "long", "--steps=100000")
    process = launch.begin(module, long, devices=2)
    while not (tmp_path / "long" / "checkpoints" / "3").is_dir():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate()
    assert process.returncode == 0
    assert "start again to go on" in output
    assert not (tmp_path / "long" / "tiny.safetensors").exists()


@pytest.mark.slow
def test_a_run_of_before_goes_on(arguments, program, tmp_path):
    workdir = tmp_path / "run"
    program("train_encoder", *arguments(workdir, "--steps=4"))
    config = json.loads((workdir / "config.json").read_text())
    del config["pixels"]
    config |= {"hidden_weight": 1.0, "latent_weight": 3.0, "own_share": 2}
    (workdir / "config.json").write_text(json.dumps(config))
    result = program("train_encoder", *arguments(workdir, "--steps=4"))
    assert "4 steps already" in result.stdout


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("--passes=0", "passes must be at least 1"),
        ("--batch_size=1", "batch_size"),
        ("--model=nobody", "there is no model 'nobody'"),
        ("--model=faces", "--model=faces is an autoencoder, whose own training"),
        ("--dataset=images:/no/such", "/no/such"),
    ],
)
def test_one_line_says_what_is_wrong(arguments, program, tmp_path, wrong, message):
    given = arguments(tmp_path / "run", wrong)
    result = program("train_encoder", *given, check=False)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
