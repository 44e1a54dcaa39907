"""One pipeline: what inpaint and evaluate make of the same pictures is the same."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from scipy import stats
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from experiments.filling import batches
from experiments.filling.methods import Found, Several
from experiments.filling.problems import Problem
from inpaint_jax.data import images
from inpaint_jax.data.pictures import find_pictures, read_picture

METHODS = {
    "paper": ("--search=paper", "--steps=3"),
    "fast": ("--search=fast", "--steps=3", "--refine=2"),
    "harmonic": ("--method=harmonic",),
}


@pytest.fixture
def fill(program, tiny_model_file, noise_folder, tmp_path):
    """Fills the pictures of noise with either program; returns its folder."""

    def run(name, folder, *arguments, **options):
        path = tmp_path / folder
        places = {
            "inpaint": (f"--input={noise_folder}", f"--output={path}"),
            "evaluate": (f"--dataset=images:{noise_folder}", f"--workdir={path}"),
        }[name]
        arguments = (f"--model={tiny_model_file}", *places, *arguments)
        program(name, *arguments, **options)
        return path

    return run


def read(path):
    return np.asarray(Image.open(path))


def completed(folder, row):
    return (folder / "completed" / row["file"]).read_bytes()


def rows_of(folder):
    """The rows of either program, by id."""
    results = folder / "results.json"
    if results.exists():
        return {row["id"]: row for row in json.loads(results.read_text())["images"]}
    lines = [
        line
        for part in sorted((folder / "parts").iterdir())
        for line in part.read_text().splitlines()
    ]
    return {row["id"]: row for row in map(json.loads, lines)}


@pytest.mark.parametrize("method", METHODS)
def test_both_programs_give_the_same_bytes(fill, method):
    arguments = (*METHODS[method], "--mask=random50", "--seed=3")
    one, other = fill("inpaint", "a", *arguments), fill("evaluate", "b", *arguments)
    rows, others = rows_of(one), rows_of(other)
    assert sorted(rows) == sorted(others)
    assert len(rows) == 12
    for id, row in rows.items():
        files = (
            one / "completed" / row["file"],
            other / "completed" / others[id]["file"],
        )
        assert files[0].read_bytes() == files[1].read_bytes()
        same = set(row) & set(others[id]) - {"seconds", "index"}
        assert {"psnr", "ssim", "psnr_hole", "missing"} <= same
        assert {name: row[name] for name in same} == {
            name: others[id][name] for name in same
        }


def test_pictures_of_one_name_are_the_same_in_both(fill, noise_folder):
    # Told apart by their folders, which is nothing to their masks and searches.
    for folder, file in (("a", "01.png"), ("b", "02.png")):
        (noise_folder / folder).mkdir()
        (noise_folder / file).rename(noise_folder / folder / "x.png")
    arguments = ("--method=harmonic", "--mask=random50")
    inputs = f"--input={noise_folder}/a,{noise_folder}/b"
    one = fill("inpaint", "a", *arguments, inputs)
    folders = f"--dataset=images:{noise_folder}/[ab]"
    other = fill("evaluate", "b", *arguments, folders)
    rows, others = rows_of(one), rows_of(other)
    assert sorted(rows) == sorted(others) == ["a/x", "b/x"]
    for id, row in rows.items():
        assert completed(one, row) == completed(other, others[id])


@pytest.mark.slow
def test_both_programs_take_the_mean_of_candidates(fill):
    given = (*METHODS["paper"], "--mask=center", "--candidates=3", "--answer=mean")
    one, other = fill("inpaint", "a", *given), fill("evaluate", "b", *given)
    rows, others = rows_of(one), rows_of(other)
    for id, row in rows.items():
        assert completed(one, row) == completed(other, others[id])
        assert row["spread"] == others[id]["spread"] > 0
    found = json.loads((other / "metrics.json").read_text())
    assert (found["config"]["candidates"], found["config"]["answer"]) == (3, "mean")
    spreads, errors = zip(
        *((row["spread"], -row["psnr_hole"]) for row in others.values()), strict=True
    )
    expected = stats.spearmanr(spreads, errors).statistic
    figures = found["figures"]
    assert figures["calibration_of_pictures"] == pytest.approx(expected)
    calibrations = [row["calibration"] for row in others.values()]
    assert figures["calibration"]["mean"] == pytest.approx(np.mean(calibrations))


@pytest.mark.parametrize("candidates", [1, 3])
@pytest.mark.slow
def test_several_devices_change_nothing_but_rounding(fill, environment, candidates):
    arguments = ("--limit=3", "--mask=center", "--steps=3", "--search=paper")
    more = f"--candidates={candidates}"
    alone = fill("inpaint", "alone", *arguments, more)
    environment = {**environment, "JAX_NUM_CPU_DEVICES": "2"}
    spread = fill("inpaint", "spread", *arguments, more, env=environment)
    rows, others = rows_of(alone), rows_of(spread)
    assert list(rows) == list(others) == ["00", "01", "02"]
    for id, row in rows.items():
        assert row["context_loss"] == pytest.approx(
            others[id]["context_loss"], rel=1e-4
        )
        assert row.get("candidate_seeds") == others[id].get("candidate_seeds")
        difference = read(alone / "completed" / row["file"]).astype(int)
        difference -= read(spread / "completed" / row["file"])
        assert np.abs(difference).max() <= 1


@pytest.mark.slow
def test_a_killed_run_leaves_what_it_had_finished(
    tiny_model_file, noise_folder, environment, tmp_path
):
    output = tmp_path / "out"
    command = [sys.executable, "-m", "experiments.inpaint", f"--input={noise_folder}"]
    command += [f"--model={tiny_model_file}", f"--output={output}", "--mask=center"]
    command += ["--batch_size=1", "--candidates=1", "--steps=3000"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 300
        while not (output / "results.json").exists():
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    rows = rows_of(output)
    assert 0 < len(rows) < 12
    for row in rows.values():
        for folder in ("completed", "frames/masked", "frames/generated"):
            assert read(output / folder / row["file"]).shape == (16, 16, 3)
    assert read(output / "grid.png").any()


# --- figures ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "model", "crop"),
    [
        ("celeba64", "celeba64", "center"),
        ("svhn", "svhn", "none"),
        ("cars64", "cars64", "none"),
    ],
)
@pytest.mark.slow
def test_figures_are_those_of_scikit_image(
    program, real_data, tmp_path, data, model, crop
):
    zipped = real_data / data / "test.zip"
    if not zipped.exists():
        pytest.skip(f"no real images at {zipped}")
    arguments = (
        f"--model={model}",
        "--limit=5",
        "--mask=random50",
        "--method=harmonic",
    )
    one, other = tmp_path / "inpaint", tmp_path / "evaluate"
    program("inpaint", *arguments, f"--input={zipped}", f"--output={one}")
    program("evaluate", *arguments, f"--dataset=images:{zipped}", f"--workdir={other}")
    originals = {
        picture.id: images.crop_and_resize(read_picture(picture), crop=crop, size=64)
        for picture in find_pictures(zipped)[:5]
    }
    references = {"psnr": [], "ssim": []}
    for folder in (one, other):
        rows = rows_of(folder)
        assert rows.keys() == originals.keys()
        for id, row in rows.items():
            at_size = "frames/completed" if folder == one else "completed"
            pair = originals[id], read(folder / at_size / f"{id}.png")
            found = {
                "psnr": peak_signal_noise_ratio(*pair),
                "ssim": structural_similarity(
                    *pair,
                    gaussian_weights=True,
                    sigma=1.5,
                    use_sample_covariance=False,
                    channel_axis=-1,
                ),
            }
            for name, value in found.items():
                assert row[name] == pytest.approx(value, abs=1e-4)
                references[name].append(value)
    summary = json.loads((one / "results.json").read_text())["summary"]
    figures = json.loads((other / "metrics.json").read_text())["figures"]
    for name, values in references.items():
        assert summary[name] == pytest.approx(np.mean(values[:5]), abs=1e-4)
        assert figures[name]["mean"] == pytest.approx(np.mean(values[5:]), abs=1e-4)


# --- what is not finite ------------------------------------------------------------


def batch_of_one():
    image = np.zeros((16, 16, 3), np.uint8)
    problem = Problem("x", "x", "x.png", image, None, image)
    mask = np.ones((1, 16, 16, 1), np.float32)
    return batches.Batch([7], [problem], image[None], mask, None, [])


def test_what_is_not_finite_is_a_failure_of_the_method():
    found = Found(np.full((1, 16, 16, 3), np.nan, np.float32))
    (result,) = batches.measure(batch_of_one(), found, 0.1, "--method=tv")
    assert result == batches.Failed(7, "x: --method=tv met numbers that are not finite")


def test_a_candidate_that_is_not_finite_is_left_out():
    completed = np.zeros((1, 3, 16, 16, 3), np.float32)
    completed[0, 2] = np.nan
    totals, seeds = np.array([[1.0, 2.0, np.nan]]), np.array([[2, 0, 1]])
    several = Several(completed, totals, seeds)
    found = Found(completed[:, 0], completed[:, 0], several=several)
    (result,) = batches.measure(batch_of_one(), found, 0.1, "--method=latent")
    assert len(result.candidates) == 2
    assert not result.spread.any()
    assert result.row["candidate_losses"] == [1.0, 2.0]
    assert result.row["candidate_seeds"] == [2, 0]
    assert all(type(seed) is int for seed in result.row["candidate_seeds"])
