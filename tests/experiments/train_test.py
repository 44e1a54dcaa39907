"""The training program, run as its users run it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from conftest import RECIPE
from launching import TIME_LIMIT, Job
from PIL import Image

from inpaint_jax.training import gan, updates
from inpaint_jax.training.checkpoints import Checkpoints

SMALL = (  # RECIPE as flags.
    "--width=4",
    "--image_size=16",
    "--latent_size=8",
    "--batch_size=8",
    "--ema_decay=0.25",
)
OFTEN = (
    "--log_every=2",
    "--checkpoint_every=4",
    "--sample_every=4",
    "--evaluate_every=6",
)


def flags(folder, workdir, steps, *more):
    return (
        f"--dataset=images:{folder}",
        f"--workdir={workdir}",
        f"--steps={steps}",
        *SMALL,
        *OFTEN,
        *more,
    )


def parameters(workdir, name="checkpoints"):
    with Checkpoints(workdir, name) as checkpoints:
        return checkpoints.restore(gan.init_state(RECIPE))


def rows(workdir, name="metrics"):
    lines = (workdir / f"{name}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def unbroken(program, tmp_path_factory):
    """A run of 12 steps and the folder it was trained on."""
    folder = tmp_path_factory.mktemp("pictures")
    pixels = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), np.uint8)
    for i, picture in enumerate(pixels):
        Image.fromarray(picture).save(folder / f"{i:02d}.png")
    workdir = tmp_path_factory.mktemp("unbroken") / "run"
    program("train", *flags(folder, workdir, 12))
    return folder, workdir


def test_leaves_behind_what_it_says(unbroken):
    _, workdir = unbroken
    config = json.loads((workdir / "config.json").read_text())
    assert config["architecture"] == {"image_size": 16, "latent_size": 8, "width": 4}
    assert config["images"] == 18  # Two of the twenty are held back.
    assert config["discriminator_learning_rate"] == 1e-4  # Of the default recipe.
    assert [row["step"] for row in rows(workdir)] == [2, 4, 6, 8, 10, 12]
    for row in rows(workdir):
        assert row["images_per_second"] > 0
        assert np.isfinite(list(row.values())).all()
    samples = sorted(path.name for path in (workdir / "samples").iterdir())
    assert samples == ["0000004.png", "0000008.png", "0000012.png"]
    assert np.asarray(Image.open(workdir / "samples" / samples[0])).std() > 0
    assert int(parameters(workdir).step) == 12
    quality = rows(workdir, "quality")
    assert [row["step"] for row in quality] == [6, 12]
    best = min(quality, key=lambda row: row["swd"])["step"]
    assert int(parameters(workdir, "best").step) == best
    assert np.asarray(Image.open(workdir / "curves.png")).shape[1] > 900
    assert len(json.loads((workdir / "held_back.json").read_text())) == 2


def latest_checkpoint(workdir):
    folders = (workdir / "checkpoints").glob("[0-9]*")
    return max((int(path.name) for path in folders if path.name.isdecimal()), default=0)


@pytest.mark.slow
def test_killed_five_times_it_ends_where_an_unbroken_run_ends(
    unbroken, program, launch, tmp_path
):
    folder, _ = unbroken
    workdir, expected = tmp_path / "run", tmp_path / "unbroken"
    random = np.random.default_rng(0)
    for _ in range(5):
        before = latest_checkpoint(workdir)
        process = launch.begin("experiments.train", flags(folder, workdir, 100_000))
        deadline = time.monotonic() + TIME_LIMIT
        while latest_checkpoint(workdir) <= before:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        # Within a step, a checkpoint, an evaluation, the writing of a file.
        time.sleep(random.uniform(0, 0.5))
        process.kill()
        process.communicate()
    steps = latest_checkpoint(workdir) + 4
    program("train", *flags(folder, workdir, steps))
    program("train", *flags(folder, expected, steps))
    jax.tree.map(
        np.testing.assert_array_equal, parameters(workdir), parameters(expected)
    )
    jax.tree.map(
        np.testing.assert_array_equal,
        parameters(workdir, "best"),
        parameters(expected, "best"),
    )
    logged = [row["step"] for row in rows(workdir)]
    assert logged == list(range(2, steps + 1, 2))
    assert rows(workdir, "quality") == rows(expected, "quality")


@pytest.mark.slow
def test_more_steps_go_on_and_no_more_steps_are_none(unbroken, program, tmp_path):
    folder, _ = unbroken
    workdir = tmp_path / "run"
    program("train", *flags(folder, workdir, 4))
    second = program("train", *flags(folder, workdir, 6))
    assert "going on from step 4" in second.stdout
    assert int(parameters(workdir).step) == 6
    third = program("train", *flags(folder, workdir, 6))
    assert "6 steps already" in third.stdout


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_the_step_it_is_at(unbroken, launch, tmp_path, number):
    folder, _ = unbroken
    workdir = tmp_path / "run"
    arguments = flags(folder, workdir, 100_000, "--checkpoint_every=50000")
    process = launch.begin("experiments.train", arguments)
    deadline = time.monotonic() + TIME_LIMIT
    while not (workdir / "samples").is_dir():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    output, _ = process.communicate()
    assert process.returncode == 0
    assert "start again to go on" in output
    assert int(parameters(workdir).step) == rows(workdir)[-1]["step"] > 0


@pytest.mark.slow
def test_numbers_that_diverge_stop_it_and_the_good_checkpoint_stays(
    unbroken, program, tmp_path
):
    folder, _ = unbroken
    workdir = tmp_path / "run"
    program("train", *flags(folder, workdir, 4))
    # From here on with a step size that no parameter survives.
    config = json.loads((workdir / "config.json").read_text())
    config |= {"learning_rate": 1e18, "discriminator_learning_rate": 5e17}
    (workdir / "config.json").write_text(json.dumps(config))
    arguments = flags(folder, workdir, 400, "--learning_rate=1e18")
    result = program("train", *arguments, check=False)
    assert result.returncode == 2
    assert "training diverged" in result.stderr
    assert "of step 4" in result.stderr
    assert result.stderr.count("\n") == 1
    kept = parameters(workdir)
    assert int(kept.step) == 4
    assert updates.is_finite(kept)


def test_a_run_killed_before_an_evaluation_makes_up_for_it(unbroken, program, tmp_path):
    folder, expected = unbroken
    workdir = tmp_path / "run"
    shutil.copytree(expected, workdir)
    # As it is between the checkpoint and the row.
    first, _ = (workdir / "quality.jsonl").read_text().splitlines()
    (workdir / "quality.jsonl").write_text(first + "\n")
    if int(parameters(workdir, "best").step) == 12:
        shutil.rmtree(workdir / "best")
    program("train", *flags(folder, workdir, 12))
    assert rows(workdir, "quality") == rows(expected, "quality")


@pytest.mark.slow
def test_nothing_is_held_back_where_nothing_is_judged(unbroken, program, tmp_path):
    folder, _ = unbroken
    workdir = tmp_path / "run"
    on_all = ("--evaluate_every=0", "--recipe=paper")
    program("train", *flags(folder, workdir, 2, *on_all))
    assert json.loads((workdir / "config.json").read_text())["images"] == 20
    assert json.loads((workdir / "held_back.json").read_text()) == []
    assert (workdir / "quality.jsonl").read_text() == ""
    assert (workdir / "curves.png").exists()
    # As a run's configuration was before there were recipes.
    config = json.loads((workdir / "config.json").read_text())
    assert config.pop("discriminator_learning_rate") is None
    for name in ("batch_norm_groups", "precision", "validation"):
        del config[name]
    (workdir / "config.json").write_text(json.dumps(config))
    result = program("train", *flags(folder, workdir, 3, *on_all))
    assert "going on from step 2" in result.stdout


@pytest.mark.slow
def test_processes_train_together_and_one_of_other_devices_goes_on(
    unbroken, launch, tmp_path
):
    folder, expected = unbroken
    workdir = tmp_path / "run"
    job = Job(launch, "experiments.train", flags(folder, workdir, 6), 2)
    statuses, said = job.wait()
    assert statuses == [0, 0], said
    assert "6 steps done" in said[0][0]
    assert not any("steps done" in out for out, _ in said[1:])
    assert [row["step"] for row in rows(workdir)] == [2, 4, 6]
    four = launch.begin("experiments.train", flags(folder, workdir, 12), devices=4)
    out, err = four.communicate()
    assert four.returncode == 0, err
    assert "going on from step 6" in out
    # As in gan_test: where a gradient is nothing but rounding, Adam's steps are not.
    ends = [jax.tree.leaves(parameters(each)) for each in (workdir, expected)]
    for a, b in zip(*map(jax.device_get, ends), strict=True):
        assert np.mean(np.abs(a - b) > 1e-4 + 1e-2 * np.abs(b)) < 0.05


def test_a_batch_must_fit_the_devices(unbroken, program, environment, tmp_path):
    folder, _ = unbroken
    four = {**environment, "XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    arguments = flags(folder, tmp_path / "run", 2, "--batch_size=6")
    result = program("train", *arguments, check=False, env=four)
    assert result.returncode == 2
    assert result.stderr == (
        "train: batch_size 6 must be a multiple of the 4 devices\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workdir=x"], "--dataset"),
        (["--dataset=mnist", "--workdir=x"], "unknown data set"),
        (["--dataset=images:/no/such", "--workdir=x"], "/no/such"),
        (["--dataset=images:{}", "--workdir=x", "--steps=0"], "steps"),
        (["--dataset=images:{}", "--workdir=x", "--batch_size=1"], "batch_size"),
        (["--dataset=images:{}", "--workdir=x", "--image_size=48"], "image_size"),
        (["--dataset=images:{}", "--workdir=x", "--recipe=best"], "recipe"),
        (["--dataset=images:{}", "--workdir=x", "--r1_weight=1"], "r1_weight"),
        (["--dataset=images:{}", "--workdir=gs://bucket/x"], "gs://bucket/x: give a"),
        (["--dataset=images:{}", "--workdir=~nobody-here/x"], "~nobody-here"),
        (
            ["--dataset=images:{}", "--workdir=x", "--validation=20"],
            "hold back 20 of 20",
        ),
        (["--dataset=images:{}", "--workdir=x", "--validation=1"], "at least 2"),
        (["--dataset=images:{}", "--workdir=x", "--validation=test"], "has no splits"),
        (["--dataset=images:{}", "--workdir=x", "--validation=images:/no"], "/no"),
        (["--dataset=images:{}", "--workdir=/proc/no"], "/proc/no"),
        (["--dataset=images:{}", "--workdir=x", "--nonsense"], "nonsense"),
    ],
)
def test_one_line_says_what_is_wrong(unbroken, program, tmp_path, arguments, message):
    folder, _ = unbroken
    arguments = [each.format(folder) for each in arguments]
    result = program("train", *arguments, check=False, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith("train: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_damaged_checkpoint_is_named(unbroken, program, tmp_path):
    folder, good = unbroken
    workdir = tmp_path / "run"
    shutil.copytree(good, workdir)
    for path in (workdir / "checkpoints" / "12").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:10])
    result = program("train", *flags(folder, workdir, 14), check=False)
    assert result.returncode == 2
    assert "checkpoints/12 cannot be read; move" in result.stderr.splitlines()[-1]
    shutil.rmtree(workdir / "checkpoints" / "12")
    assert "from step 8" in program("train", *flags(folder, workdir, 10)).stdout


@pytest.mark.slow
def test_two_runs_do_not_share_a_folder(unbroken, program, launch, tmp_path):
    folder, _ = unbroken
    workdir = tmp_path / "run"
    process = launch.begin("experiments.train", flags(folder, workdir, 100_000))
    while not (workdir / "checkpoints").is_dir():
        assert process.poll() is None
        time.sleep(0.05)
    result = program("train", *flags(folder, workdir, 12), check=False)
    process.kill()
    assert result.returncode == 2
    assert "in use by another run" in result.stderr


def test_a_folder_of_another_configuration_is_left_alone(unbroken, program):
    folder, workdir = unbroken
    before = (workdir / "config.json").read_bytes()
    arguments = flags(folder, workdir, 12, "--ema_decay=0.5")
    result = program("train", *arguments, check=False)
    assert result.returncode == 2
    assert "ema_decay = 0.25, not 0.5" in result.stderr
    assert (workdir / "config.json").read_bytes() == before


@pytest.mark.slow
def test_a_work_folder_may_be_called_anything(unbroken, program, tmp_path):
    folder, expected = unbroken
    workdir = tmp_path / "faces [v2] *" / "b\\s" / os.fsdecode(b"caf\xe9")
    program("train", *flags(folder, workdir, 6))
    result = program("train", *flags(folder, workdir, 12))
    assert "going on from step 6" in result.stdout
    assert "faces [v2] *" in result.stdout  # Where to look.
    jax.tree.map(
        np.testing.assert_array_equal, parameters(workdir), parameters(expected)
    )
    model = tmp_path / "model.safetensors"
    program("export", f"--workdir={workdir}", f"--output={model}")
    assert model.stat().st_size > 0


@pytest.mark.parametrize("noted", [True, False])
@pytest.mark.slow
def test_a_run_inside_its_data_does_not_train_on_what_it_wrote(
    unbroken, program, tmp_path, noted
):
    folder, expected = unbroken
    data = tmp_path / "data"
    shutil.copytree(folder, data)
    workdir = data / "runs" / "1"
    program("train", *flags(data, workdir, 6))
    assert len(list((workdir / "samples").iterdir())) == 2
    if not noted:  # As it was left before there were notes.
        (workdir / ".inpaint_jax").unlink()
        config = json.loads((workdir / "config.json").read_text())
        del config["pixels"]
        (workdir / "config.json").write_text(json.dumps(config))
    result = program("train", *flags(data, workdir, 12))
    assert "18 images" in result.stdout
    jax.tree.map(
        np.testing.assert_array_equal, parameters(workdir), parameters(expected)
    )


def test_data_that_moved_or_is_named_otherwise_is_the_same_data(
    unbroken, program, tmp_path
):
    folder, expected = unbroken
    workdir, moved = tmp_path / "run", tmp_path / "elsewhere" / "photos"
    shutil.copytree(expected, workdir)
    shutil.copytree(folder, moved)
    before = (workdir / "config.json").read_bytes()
    for name in (moved, f"{moved}/*.png", f"{moved.parent}/*"):
        result = program("train", *flags(name, workdir, 12))
        assert "12 steps already" in result.stdout
        assert result.stderr == ""
    assert (workdir / "config.json").read_bytes() == before
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(moved / "00.png")
    result = program("train", *flags(moved, workdir, 12), check=False)
    assert result.returncode == 2
    assert f"belongs to a run with dataset = images:{folder}, not" in result.stderr


@pytest.mark.slow
def test_data_that_changed_in_its_place_is_remarked(unbroken, program, tmp_path):
    folder, _ = unbroken
    workdir, data = tmp_path / "run", tmp_path / "data"
    shutil.copytree(folder, data)
    program("train", *flags(data, workdir, 2))
    # As another version of a decoder would change it.
    pixels = np.asarray(Image.open(data / "00.png")) ^ 1
    Image.fromarray(pixels).save(data / "00.png")
    result = program("train", *flags(data, workdir, 3))
    assert "going on from step 2" in result.stdout
    assert "does not hold the very pixels" in result.stderr
    Image.fromarray(pixels).save(data / "20.png")
    result = program("train", *flags(data, workdir, 4), check=False)
    assert result.returncode == 2
    assert "images = 18, not 19" in result.stderr


def test_a_run_of_before_goes_on_unless_it_used_what_is_gone(
    unbroken, program, tmp_path
):
    folder, expected = unbroken
    workdir = tmp_path / "run"
    shutil.copytree(expected, workdir)
    config = json.loads((workdir / "config.json").read_text())
    del config["pixels"]
    gone = {"label_smoothing": 0.0, "instance_noise": 0.0, "r1_weight": 0.0}
    config |= {**gone, "augmentations": []}
    (workdir / "config.json").write_text(json.dumps(config))
    program("train", *flags(folder, workdir, 12))
    there = json.loads((workdir / "config.json").read_text())
    assert there.pop("pixels")
    assert there == config
    for name, value in (("r1_weight", 1.0), ("augmentations", ["color"])):
        (workdir / "config.json").write_text(json.dumps({**config, name: value}))
        result = program("train", *flags(folder, workdir, 14), check=False)
        assert result.returncode == 2
        assert f"was begun with {name} = {value}, which is no" in result.stderr
        assert result.stderr.count("\n") == 1
    # What it made can be used.
    model = tmp_path / "model.safetensors"
    program("export", f"--workdir={workdir}", f"--output={model}")


FULL = """
mount -t tmpfs -o size=400k tmpfs "$1" || exit 77
"${@:3}" > "$2/out" 2> "$2/err"
status=$?
cp -r "$1/run" "$2/run"
exit $status
"""


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_last_good_checkpoint_stays(
    unbroken, environment, program, tmp_path
):
    folder, _ = unbroken
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    for each in (disk, kept):
        each.mkdir()
    train = [sys.executable, "-m", "experiments.train"]
    arguments = flags(folder, disk / "run", 100, "--evaluate_every=0")
    # With a mount that nobody else sees, and that ends with the shell.
    command = ["unshare", "--mount", "--user", "--map-root-user", "bash", "-c", FULL]
    result = subprocess.run(
        [*command, "bash", str(disk), str(kept), *train, *arguments],
        env=environment,
        capture_output=True,
        text=True,
    )
    if result.returncode in (1, 77) and not (kept / "err").exists():
        pytest.skip(f"no file system can be mounted here: {result.stderr}")
    error = (kept / "err").read_text()
    assert result.returncode == 2, error
    assert error.startswith("train: ")
    assert "No space left on device" in error
    assert error.count("\n") == 1
    good = latest_checkpoint(kept / "run")
    assert good > 0
    assert int(parameters(kept / "run").step) == good
    more = flags(folder, kept / "run", good + 2, "--evaluate_every=0")
    assert f"from step {good}" in program("train", *more).stdout


@pytest.mark.parametrize(
    "name", ["config.json", "metrics.jsonl", "samples", "held_back.json"]
)
@pytest.mark.slow
def test_what_cannot_be_written_is_named(unbroken, program, tmp_path, name):
    folder, _ = unbroken
    workdir = tmp_path / "run"
    program("train", *flags(folder, workdir, 2))
    path = workdir / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    path.mkdir() if path.suffix else path.write_text("")
    result = program("train", *flags(folder, workdir, 4), check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("train: ")
    assert name in result.stderr
    assert result.stderr.count("\n") == 1
