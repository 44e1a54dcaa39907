"""The evaluation program, run as its users run it."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from files import prepare
from PIL import Image

from experiments.filling.workfolder import WorkFolder
from inpaint_jax import metrics, pixels, save_model
from inpaint_jax.data import sources

LATENT = ("--steps=3", "--batch_size=5")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), np.uint8)
    for i, picture in enumerate(pixels):
        Image.fromarray(picture).save(folder / f"{i:02d}.png")
    return folder


@pytest.fixture(scope="module")
def evaluate(program, tiny_model_file, pictures):
    def run(workdir, *arguments, **options):
        return program(
            "evaluate",
            f"--dataset=images:{pictures}",
            f"--model={tiny_model_file}",
            f"--workdir={workdir}",
            *arguments,
            **options,
        )

    return run


@pytest.fixture(scope="module")
def unbroken(evaluate, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("evaluate") / "run"
    evaluate(workdir, *LATENT)
    return workdir


def test_the_fast_search_is_another_run(evaluate, tmp_path):
    arguments = ("--search=fast", "--refine=2", "--steps=2", "--limit=4")
    evaluate(tmp_path / "run", *arguments)
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert found["n"] == 4
    config = found["config"]
    assert (config["search"], config["guesses"], config["steps"]) == ("fast", True, 2)
    assert config["refinement"]["steps"] == 2
    paper = ("--search=paper", *arguments[1:])
    other = evaluate(tmp_path / "run", *paper, check=False)
    assert other.returncode == 2
    assert "search" in other.stderr


def rows(workdir):
    paths = sorted((workdir / "parts").iterdir())
    lines = [line for path in paths for line in path.read_text().splitlines()]
    return [json.loads(line) for line in lines]


def test_every_image_has_a_row_that_its_png_bears_out(unbroken, pictures):
    found = rows(unbroken)
    assert [row["id"] for row in found] == [f"{i:02d}" for i in range(12)]
    for row in found:
        original = np.asarray(Image.open(pictures / f"{row['id']}.png"))
        completed = np.asarray(Image.open(unbroken / "completed" / row["file"]))
        hole = np.zeros((16, 16), bool)
        hole[4:12, 4:12] = True
        np.testing.assert_array_equal(completed[~hole], original[~hole])
        assert row["missing"] == 0.25
        psnr = metrics.psnr(pixels.to_float(completed), pixels.to_float(original))
        np.testing.assert_allclose(row["psnr"], psnr, rtol=1e-5)
        assert row["psnr_hole"] < row["psnr"]
        assert row["context_loss"] > 0 > row["prior_loss"]


def test_the_metrics_are_those_of_the_rows(unbroken):
    found = json.loads((unbroken / "metrics.json").read_text())
    assert found["n"] == 12
    assert found["config"]["steps"] == 3
    assert set(found["versions"]) >= {"jax", "inpaint_jax"}
    for name in ("psnr", "ssim", "psnr_hole", "context_loss", "prior_loss", "seconds"):
        values = [row[name] for row in rows(unbroken)]
        figure = found["figures"][name]
        np.testing.assert_allclose(figure["mean"], np.mean(values))
        np.testing.assert_allclose(figure["std"], np.std(values, ddof=1))
        np.testing.assert_allclose(figure["sem"], np.std(values, ddof=1) / 12**0.5)
    assert found["figures"]["swd"]["mean"] == found["figures"]["swd"]["16"] > 0
    assert np.asarray(Image.open(unbroken / "grid.png")).std() > 0


def test_started_again_it_does_only_what_is_missing(unbroken, evaluate, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(unbroken, workdir)
    (part,) = (workdir / "parts").iterdir()
    lines = part.read_text().splitlines(keepends=True)
    # Killed while it wrote the eighth row; and two images' PNGs are lost.
    part.write_bytes("".join(lines[:7]).encode() + lines[7][:20].encode() + b"\xff")
    (workdir / "completed" / "02.png").unlink()
    (workdir / "completed" / "03.png").write_bytes(b"\x89PNG")
    (workdir / "metrics.json").unlink()
    result = evaluate(workdir, *LATENT)
    assert "5 of 12 images are done already" in result.stdout
    again = (workdir / "parts" / "00001-00000.jsonl").read_text().splitlines()
    ids = [json.loads(line)["id"] for line in again]
    assert ids == ["02", "03", "07", "08", "09", "10", "11"]
    figures = [
        json.loads((folder / "metrics.json").read_text())["figures"]
        for folder in (workdir, unbroken)
    ]
    for figure in figures:
        del figure["seconds"]
    # Batches are put together otherwise, and that is all.
    for name, figure in figures[0].items():
        for what, value in figure.items():
            np.testing.assert_allclose(value, figures[1][name][what], rtol=1e-4)
    before = (workdir / "metrics.json").read_bytes()
    assert "12 of 12 images are done already" in evaluate(workdir, *LATENT).stdout
    assert (workdir / "metrics.json").read_bytes() == before


def test_what_is_not_whole_is_not_there(unbroken, evaluate, pictures, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(unbroken, workdir)
    Image.new("RGB", (10, 10)).save(workdir / "completed" / "04.png")
    (workdir / "completed" / "03.png").unlink()
    (part,) = (workdir / "parts").iterdir()
    with part.open("a") as file:  # Valid JSON that is no row.
        file.write('{"id": "05", "file": "05.png"}\n{"index": 3}\n[]\n{"id": 7}\n')
    # As a run begins; what the one before had merged is out of date then.
    source = sources.open_source(f"images:{pictures}", size=16)
    plan = WorkFolder(workdir, source).plan()
    assert plan == (1, [3, 4, 5])
    assert not (workdir / "metrics.json").exists()
    assert not (workdir / "grid.png").exists()
    assert "9 of 12 images are done already" in evaluate(workdir, *LATENT).stdout
    assert json.loads((workdir / "metrics.json").read_text())["n"] == 12


def test_a_picture_that_changed_is_done_again(unbroken, evaluate, pictures, tmp_path):
    workdir, folder = tmp_path / "run", tmp_path / "pictures"
    shutil.copytree(unbroken, workdir)
    shutil.copytree(pictures, folder)
    # The configuration names the folder: the same one, with another picture in it.
    config = json.loads((workdir / "config.json").read_text())
    config["dataset"] = f"images:{folder}"
    (workdir / "config.json").write_text(json.dumps(config))
    shutil.copy(folder / "05.png", folder / "04.png")
    shutil.copy(folder / "06.png", folder / "12.png")
    result = evaluate(workdir, *LATENT, f"--dataset=images:{folder}")
    assert "11 of 13 images are done already" in result.stdout
    more = evaluate(workdir, *LATENT, f"--dataset=images:{folder}", "--limit=5")
    assert "5 of 5 images are done already" in more.stdout


@pytest.mark.slow
def test_faces_prepared_by_tensorflow_datasets(program, tmp_path):
    prepare(pytest.importorskip("tensorflow_datasets"), "celeb_a", tmp_path / "data")
    result = program(
        "evaluate",
        "--dataset=celeb_a",
        "--split=test",
        "--mask=random80",
        "--batch_size=1024",
        f"--data_dir={tmp_path / 'data'}",
        "--limit=3",
        "--steps=2",
        cwd=tmp_path,
    )
    assert "3 images, 0 failed" in result.stdout
    folder = tmp_path / "outputs" / "evaluate" / "celeb_a-test-random80-faces-map"
    assert [row["id"] for row in rows(folder)] == [f"test-{i:06d}" for i in range(3)]
    assert all((folder / "completed" / row["file"]).exists() for row in rows(folder))


def test_another_model_does_not_go_on_with_its_rows(
    unbroken, program, pictures, tiny_parts, tiny_state, tmp_path
):
    other = tmp_path / "tiny.safetensors"
    save_model(other, replace(tiny_parts, generator=tiny_state.generator.variables))
    result = program(
        "evaluate",
        f"--dataset=images:{pictures}",
        f"--model={other}",
        f"--workdir={unbroken}",
        *LATENT,
        check=False,
    )
    assert result.returncode == 2
    assert "belongs to a run with weights" in result.stderr


def test_a_picture_that_cannot_be_read_is_named(evaluate, pictures, tmp_path):
    folder = tmp_path / "pictures"
    shutil.copytree(pictures, folder)
    (folder / "bad.png").write_bytes(b"no picture")
    arguments = (f"--dataset=images:{folder}", "--method=harmonic")
    result = evaluate(tmp_path / "run", *arguments, check=False)
    assert result.returncode == 1
    assert "12 images, 1 failed" in result.stdout
    (reason,) = json.loads((tmp_path / "run" / "metrics.json").read_text())["failed"]
    assert "bad.png" in reason
    assert "bad.png" in result.stderr


def test_exact_fills_have_no_psnr_and_that_is_no_fault(evaluate, tmp_path):
    folder = tmp_path / "white"
    folder.mkdir()
    for i in range(2):
        Image.new("RGB", (16, 16), "white").save(folder / f"{i}.png")
    arguments = (f"--dataset=images:{folder}", "--method=harmonic")
    evaluate(tmp_path / "run", *arguments)
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())["figures"]
    assert "psnr" not in found
    assert found["ssim"]["mean"] == pytest.approx(1)
    assert found["ssim"]["n"] == 2


def test_the_fills_that_know_nothing(evaluate, pictures, tmp_path):
    evaluate(tmp_path / "harmonic", "--method=harmonic", "--mask=random50")
    mean = ("--method=mean", f"--train_dataset=images:{pictures}")
    evaluate(tmp_path / "mean", *mean, "--mask=random50")
    figures = [
        json.loads((tmp_path / name / "metrics.json").read_text())["figures"]
        for name in ("harmonic", "mean")
    ]
    assert "context_loss" not in figures[0]
    assert figures[0]["missing"] == figures[1]["missing"]
    assert figures[0]["psnr"] != figures[1]["psnr"]


@pytest.mark.slow
def test_each_model_and_method_has_a_folder_of_its_own(
    program, tiny_model_file, pictures, tmp_path
):
    """By default; that of a search is named after the one that suits the model."""
    (tmp_path / "other").mkdir()
    for place in ("", "other/"):
        shutil.copy(tiny_model_file, tmp_path / place / "tiny.safetensors")
        for arguments in (["--steps=2"], ["--method=harmonic"]):
            program(
                "evaluate",
                f"--dataset=images:{pictures}",
                f"--model={place}tiny.safetensors",
                "--limit=2",
                *arguments,
                cwd=tmp_path,
            )
    found = [path.name for path in (tmp_path / "outputs" / "evaluate").iterdir()]
    assert sorted(name.partition("-test-center-")[2] for name in found) == [
        "other_tiny.safetensors-fast",
        "other_tiny.safetensors-harmonic",
        "tiny.safetensors-fast",
        "tiny.safetensors-harmonic",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mask=donut"], "donut"),
        (["--method=mean"], "need --train_dataset"),
        (["--train_dataset=images:x"], "need --train_dataset"),
        (["--dataset=images:/no/such"], "/no/such"),
        (["--steps=0"], "steps"),
        (["--method=harmonic", "--steps=9"], "--steps is for --method=latent"),
        (["--workdir=/proc/no"], "/proc/no"),
    ],
)
def test_one_line_says_what_is_wrong(evaluate, tmp_path, arguments, message):
    result = evaluate(tmp_path / "run", *arguments, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("evaluate: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_folder_of_another_evaluation_is_left_alone(unbroken, evaluate):
    before = (unbroken / "config.json").read_bytes()
    result = evaluate(unbroken, *LATENT, "--mask=left", check=False)
    assert result.returncode == 2
    assert "mask = center, not left" in result.stderr
    assert (unbroken / "config.json").read_bytes() == before
