"""Evaluations in several processes that meet over gloo, and what becomes of them."""

import json
import random
import signal
import time

import numpy as np
import pytest
from conftest import ROOT
from launching import Job
from PIL import Image

pytestmark = pytest.mark.slow

COUNT = 200
PROGRAM = "experiments.evaluate"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    pixels = np.random.default_rng(0).integers(0, 256, (COUNT, 16, 16, 3), np.uint8)
    for i, picture in enumerate(pixels):
        Image.fromarray(picture).save(folder / f"{i:03d}.png")
    return folder


@pytest.fixture(scope="module")
def flags(pictures, tiny_model_file):
    return [
        f"--dataset=images:{pictures}",
        f"--model={tiny_model_file}",
        "--steps=3",
        "--batch_size=12",
    ]


def lines(workdir):
    found = []
    for path in sorted((workdir / "parts").glob("*.jsonl")):
        for line in path.read_text().splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
    return found


def wait_for_lines(workdir, count, job):
    while not (workdir / "parts").is_dir() or len(lines(workdir)) < count:
        assert all(process.poll() is None for process in job.processes)
        time.sleep(0.02)


def metrics(workdir):
    return json.loads((workdir / "metrics.json").read_text())


def assert_same(workdir, unbroken):
    """Every image once, with the figures of the unbroken run."""
    found = {row["id"]: row for row in lines(workdir)}
    expected = {row["id"]: row for row in lines(unbroken)}
    assert len(lines(workdir)) == len(found) == COUNT
    for name in ("psnr", "ssim", "psnr_hole", "context_loss", "prior_loss"):
        np.testing.assert_allclose(
            [found[id][name] for id in sorted(found)],
            [expected[id][name] for id in sorted(expected)],
            rtol=1e-3,
        )
        figure = metrics(workdir)["figures"][name]
        assert figure["n"] == COUNT
        for what, value in metrics(unbroken)["figures"][name].items():
            np.testing.assert_allclose(figure[what], value, rtol=1e-3)


@pytest.fixture(scope="module")
def unbroken(flags, launch, tmp_path_factory):
    """One process with one device."""
    workdir = tmp_path_factory.mktemp("evaluate") / "run"
    said = launch(PROGRAM, [*flags, f"--workdir={workdir}"], ROOT)
    assert said.returncode == 0, said.stderr
    return workdir


@pytest.mark.parametrize(("processes", "devices"), [(1, 8), (2, 1), (3, 2)])
def test_processes_together_are_one(
    unbroken, flags, launch, tmp_path, processes, devices
):
    workdir = tmp_path / "run"
    job = Job(launch, PROGRAM, [*flags, f"--workdir={workdir}"], processes, devices)
    statuses, said = job.wait()
    assert statuses == [0] * processes, said
    assert "200 images, 0 failed" in said[0][0]
    assert not any("images" in out for out, _ in said[1:])
    parts = sorted(path.name for path in (workdir / "parts").iterdir())
    assert parts == [f"00000-{i:05d}.jsonl" for i in range(processes)]
    assert metrics(workdir)["devices"] == processes * devices
    assert_same(workdir, unbroken)


@pytest.mark.parametrize("seed", range(5))
def test_killed_and_started_again_with_more_processes(
    unbroken, flags, launch, tmp_path, seed
):
    workdir, chance = tmp_path / "run", random.Random(seed)
    full = [*flags, f"--workdir={workdir}"]
    job = Job(launch, PROGRAM, full, 2)
    wait_for_lines(workdir, chance.randrange(1, COUNT - 24), job)
    job.processes[chance.randrange(2)].send_signal(signal.SIGKILL)
    time.sleep(chance.random() / 10)
    job.kill()
    before = lines(workdir)
    assert 0 < len(before) < COUNT
    statuses, said = Job(launch, PROGRAM, full, 3).wait()
    assert statuses == [0, 0, 0], said
    assert f"{len(before)} of 200 images are done already" in said[0][0]
    assert_same(workdir, unbroken)


@pytest.mark.parametrize("victim", [0, 1])
def test_the_others_end_when_a_process_dies(flags, launch, tmp_path, victim):
    workdir = tmp_path / "run"
    slow = [*flags, f"--workdir={workdir}", "--steps=2000", "--batch_size=2"]
    job = Job(launch, PROGRAM, slow, 2)
    wait_for_lines(workdir, 1, job)
    job.processes[victim].kill()
    began = time.monotonic()
    statuses, said = job.wait()
    assert time.monotonic() - began < 40
    assert statuses[1 - victim] not in (0, None)
    print(said[1 - victim][1])
    assert "another" in said[1 - victim][1]


def test_told_to_stop_all_finish_their_batch(flags, launch, tmp_path):
    workdir = tmp_path / "run"
    # Some seconds pass until all have agreed where to stop.
    full = [*flags, f"--workdir={workdir}", "--steps=800"]
    job = Job(launch, PROGRAM, full, 2)
    wait_for_lines(workdir, 1, job)
    job.processes[1].send_signal(signal.SIGTERM)
    statuses, said = job.wait()
    assert statuses == [0, 0], said
    done = len(lines(workdir))
    assert 0 < done < COUNT
    assert f"stopped by signal: {done} of 200 images are done" in said[0][0]
    assert not (workdir / "metrics.json").exists()


def test_one_process_told_to_stop_goes_on_when_started_again(
    unbroken, flags, launch, tmp_path
):
    workdir = tmp_path / "run"
    full = [*flags, f"--workdir={workdir}", "--batch_size=1"]
    single = launch.begin(PROGRAM, full)
    while not (workdir / "parts").is_dir() or not lines(workdir):
        assert single.poll() is None
        time.sleep(0.02)
    single.send_signal(signal.SIGTERM)
    out, err = single.communicate()
    assert single.returncode == 0, err
    done = len(lines(workdir))
    assert 0 < done < COUNT
    assert f"stopped by signal: {done} of 200 images are done" in out
    result = launch(PROGRAM, full, ROOT)
    assert result.returncode == 0, result.stderr
    assert_same(workdir, unbroken)


def test_processes_must_have_as_many_devices(flags, launch, tmp_path):
    job = Job(launch, PROGRAM, [*flags, f"--workdir={tmp_path}"], 2, [1, 3])
    statuses, said = job.wait()
    assert statuses == [2, 2], said
    for _, err in said:
        assert "every process must have as many devices as the others, not 1, 3" in err


def test_what_is_wrong_with_a_job_is_said_by_each_process(unbroken, flags, launch):
    other = [*flags, f"--workdir={unbroken}", "--seed=1"]
    statuses, said = Job(launch, PROGRAM, other, 2).wait()
    assert statuses == [2, 2]
    assert all("belongs to a run with seed = 0, not 1" in err for _, err in said)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--process_id=1"], "--process_id is for --distributed"),
        (
            ["--distributed", "--process_id=1"],
            "--process_id goes with --coordinator_address",
        ),
        (["--distributed"], "the processes did not meet"),
        (
            [
                "--distributed",
                "--coordinator_address=localhost",
                "--num_processes=1",
                "--process_id=0",
            ],
            "--coordinator_address=localhost: give host:port",
        ),
    ],
)
def test_one_line_says_what_is_wrong_with_the_flags(
    flags, launch, tmp_path, arguments, message
):
    result = launch(PROGRAM, [*flags, f"--workdir={tmp_path}", *arguments], ROOT)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
