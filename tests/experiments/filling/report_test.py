"""What runs leave behind, where it lies, and that it is never taken for input."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

FRAMES = ("completed", "generated", "masked", "picture")
HARMONIC = ("--method=harmonic", "--mask=center")


@pytest.fixture
def inpaint(program, tiny_model_file, tmp_path):
    """Runs the program in ``tmp_path``; nothing is given but the model."""

    def run(*arguments, check=True, **options):
        model = f"--model={tiny_model_file}"
        return program(
            "inpaint", model, *arguments, check=check, cwd=tmp_path, **options
        )

    return run


@pytest.fixture
def evaluate(program, tiny_model_file, tmp_path):
    def run(*arguments, check=True, **options):
        model = f"--model={tiny_model_file}"
        return program(
            "evaluate", model, *arguments, check=check, cwd=tmp_path, **options
        )

    return run


def read(path):
    return np.asarray(Image.open(path))


def results(folder):
    return json.loads((folder / "results.json").read_text())


def files(folder):
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    )


# --- what a run writes is no input -------------------------------------------------


@pytest.mark.parametrize("pattern", ["noise", "noise/**/*.png", "noise/*"])
@pytest.mark.slow
def test_results_among_the_pictures_are_no_pictures(inpaint, noise_folder, pattern):
    for output in ("noise/out", "noise/out", "noise/other", "noise"):
        inpaint(f"--input={pattern}", f"--output={output}", *HARMONIC, "--seed=1")
    assert len(results(noise_folder)["images"]) == 12
    assert len(list((noise_folder / "out" / "completed").iterdir())) == 12


def test_an_evaluation_among_its_pictures_does_not_change(evaluate, noise_folder):
    metrics = noise_folder / "run" / "metrics.json"
    for seed in (0, 0, 1):
        folder = f"--workdir=noise/run{seed or ''}"
        evaluate("--dataset=images:noise", folder, *HARMONIC, f"--seed={seed}")
        found = json.loads(metrics.read_text())
        assert found["n"] == 12
    again = json.loads((noise_folder / "run1" / "metrics.json").read_text())
    assert again["n"] == 12
    assert again["figures"]["psnr"] == found["figures"]["psnr"]


@pytest.mark.slow
def test_a_training_among_its_pictures_goes_on(program, noise_folder, tmp_path):
    arguments = ("--dataset=images:noise", "--workdir=noise", "--width=4")
    arguments += ("--latent_size=8", "--image_size=16", "--batch_size=8")
    arguments += ("--sample_every=1", "--evaluate_every=0")
    for steps in (1, 2):
        result = program("train", *arguments, f"--steps={steps}", cwd=tmp_path)
        assert "12 images of images:noise" in result.stdout
    assert len(list((noise_folder / "samples").iterdir())) == 2


@pytest.mark.slow
def test_results_can_be_filled_again_if_they_are_asked_for(inpaint, tmp_path):
    inpaint("--output=out", *HARMONIC)
    inpaint("--input=out/completed", "--output=again", "--method=tv", "--mask=left")
    assert len(results(tmp_path / "again")["images"]) == 4


def test_what_would_be_replaced_is_refused_as_input(inpaint, evaluate, noise_folder):
    inpaint("--input=noise", "--output=out", *HARMONIC)
    picture = noise_folder.parent / "out" / "completed" / "03.png"
    before = picture.read_bytes()
    for arguments in (
        ("--input=out/completed", "--output=out", *HARMONIC),
        ("--input=noise/03.png", "--output=out", f"--mask={picture}"),
        (f"--input={picture}", f"--output={picture}", *HARMONIC),
    ):
        result = inpaint(*arguments, check=False)
        assert result.returncode == 2
        assert "is input and would be replaced" in result.stderr
        assert picture.read_bytes() == before
    evaluate("--dataset=images:noise", "--workdir=run", *HARMONIC)
    result = evaluate(
        "--dataset=images:run/completed", "--workdir=run", *HARMONIC, check=False
    )
    assert result.returncode == 2
    assert "is input and would be replaced" in result.stderr


def test_a_folder_that_no_run_made_is_not_written_into(inpaint, noise_folder):
    (noise_folder / "completed").mkdir()
    (noise_folder / "completed" / "mine.png").write_bytes(b"mine")
    result = inpaint("--input=noise/03.png", "--output=noise", *HARMONIC, check=False)
    assert result.returncode == 2
    assert "noise/completed is there already" in result.stderr
    assert files(noise_folder / "completed") == ["mine.png"]


# --- what earlier runs left --------------------------------------------------------


@pytest.mark.slow
def test_a_folder_holds_the_results_of_its_run(inpaint, noise_folder, tmp_path):
    output = tmp_path / "out"
    search = ("--input=noise", "--mask=center", "--output=out", "--steps=2")
    inpaint(*search, "--limit=4", "--candidates=3")
    (output / "completed" / "notes.txt").write_text("mine")
    (output / "candidates" / "00" / "mine.png").write_bytes(b"mine")
    result = inpaint(*search, "--limit=2", "--candidates=2")
    # Of each of four pictures three candidates and six more; and the grid.
    assert "out held 37 pictures of an earlier run: replaced\n" in result.stdout
    expected = ["candidates/00/mine.png", "completed/notes.txt", "grid.png"]
    expected += ["results.json"]
    for name in ("00", "01"):
        expected += [f"candidates/{name}/{rank}.png" for rank in (1, 2)]
        expected += [f"completed/{name}.png", f"uncertainty/{name}.png"]
        expected += [f"frames/{of}/{name}.png" for of in FRAMES]
    assert files(output) == sorted(expected)
    again = inpaint("--input=noise/05.png", "--output=out", *HARMONIC)
    assert "out held 17 pictures of an earlier run: replaced\n" in again.stdout
    assert files(output) == [
        "candidates/00/mine.png",
        "completed/05.png",
        "completed/notes.txt",
        "frames/completed/05.png",
        "frames/masked/05.png",
        "frames/picture/05.png",
        "grid.png",
        "results.json",
    ]


def test_two_runs_do_not_share_a_folder(inpaint, tmp_path):
    from experiments.runtime import program

    (tmp_path / "out").mkdir()
    with program.lock(tmp_path / "out"):
        result = inpaint("--output=out", *HARMONIC, check=False)
    assert result.returncode == 2
    assert "out is in use by another run" in result.stderr


# --- one picture, one file ---------------------------------------------------------


@pytest.mark.parametrize("name", ["new/fixed.png", "fixed.jpg", "fixed.WEBP"])
def test_one_picture_goes_to_a_file(inpaint, noise_folder, tmp_path, name):
    before = files(tmp_path)
    result = inpaint("--input=noise/03.png", f"--output={name}", *HARMONIC)
    assert files(tmp_path) == sorted([*before, name])
    assert f"look at {name}\n" in result.stdout
    inpaint("--input=noise/03.png", "--output=folder", *HARMONIC)
    completed = read(tmp_path / "folder" / "completed" / "03.png")
    if name == "fixed.jpg":
        difference = read(tmp_path / name).astype(int) - completed
        assert np.abs(difference).mean() < 8
    else:
        np.testing.assert_array_equal(read(tmp_path / name), completed)


def test_a_file_that_is_there_stays_when_nothing_is_completed(inpaint, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"bad")
    (tmp_path / "fixed.png").write_bytes(b"before")
    arguments = ("--input=bad.png", "--output=fixed.png", *HARMONIC)
    assert inpaint(*arguments, check=False).returncode == 2
    assert (tmp_path / "fixed.png").read_bytes() == b"before"


# --- holes -------------------------------------------------------------------------


@pytest.fixture
def wide(tmp_path):
    """A picture of 48x16, and a mask that holes are drawn into."""
    pixels = np.random.default_rng(0).integers(0, 256, (16, 48, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "wide.png")

    def mask(*columns):
        holes = np.zeros((16, 48), np.uint8)
        for begin, end in columns:
            holes[4:8, begin:end] = 255
        Image.fromarray(holes).save(tmp_path / "mask.png")

    return mask


WIDE = ("--input=wide.png", "--mask=mask.png", "--method=harmonic", "--output=out")
WIDE += ("--outside=leave",)


def test_a_hole_outside_the_frame_that_is_left_is_a_failure(inpaint, wide, tmp_path):
    wide((2, 10))
    Image.open(tmp_path / "wide.png").save(tmp_path / "other.png")
    result = inpaint(*WIDE, check=False)
    assert result.returncode == 2
    assert "wide.png: all of its hole lies outside" in result.stderr
    assert "--frame=whole" in result.stderr
    assert not (tmp_path / "out" / "results.json").exists()
    inpaint(*WIDE, "--frame=whole")
    # Beside a picture that can be filled it costs itself only.
    folder = tmp_path / "masks"
    folder.mkdir()
    (tmp_path / "mask.png").rename(folder / "wide.png")
    wide((20, 24))
    (tmp_path / "mask.png").rename(folder / "other.png")
    inputs = ("--input=wide.png,other.png", "--mask=masks")
    result = inpaint(*WIDE[2:], *inputs, check=False)
    assert result.returncode == 1
    found = results(tmp_path / "out")
    assert [row["id"] for row in found["images"]] == ["other"]
    assert [row["id"] for row in found["failed"]] == ["wide"]


def test_a_hole_across_the_edge_of_the_frame_is_filled_in_part(inpaint, wide, tmp_path):
    wide((14, 22))
    result = inpaint(*WIDE, check=False)
    assert result.returncode == 1
    assert "wide.png: 25 % of its hole lies outside" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "1 completed (1 in part), 0 failed" in result.stdout
    found = results(tmp_path / "out")
    assert [row["id"] for row in found["images"]] == ["wide"]
    (failure,) = found["failed"]
    assert failure["id"] == "wide"
    assert "25 % of its hole" in failure["reason"]
    assert inpaint(*WIDE, "--frame=whole").stderr == ""


def test_pictures_need_a_mask_unless_they_are_transparent(
    inpaint, noise_folder, tmp_path
):
    result = inpaint("--input=noise", check=False)
    assert result.returncode == 2
    assert "noise/00.png has nothing transparent" in result.stderr
    assert "--mask" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    folder = tmp_path / "erased"
    folder.mkdir()
    hole = np.zeros((16, 16), bool)
    hole[3:9, 5:12] = True
    for name in ("00.png", "01.png"):
        erased = Image.open(noise_folder / name).convert("RGBA")
        erased.putalpha(Image.fromarray(np.where(hole, 0, 255).astype(np.uint8)))
        erased.save(folder / name)
    inpaint("--input=erased", "--method=harmonic", "--output=out")
    found = results(tmp_path / "out")
    assert found["config"]["mask"] == "transparency"
    for row in found["images"]:
        assert row["missing"] == hole.mean()
        assert row["psnr"] is row["ssim"] is row["psnr_hole"] is None
        original = read(noise_folder / row["file"])
        completed = read(tmp_path / "out" / "completed" / row["file"])
        np.testing.assert_array_equal(completed[~hole][:, :3], original[~hole])
        assert (completed[..., 3] == 255).all()
    # One that could be transparent, and is not, costs itself.
    Image.open(noise_folder / "02.png").convert("RGBA").save(folder / "02.png")
    result = inpaint("--input=erased", "--method=harmonic", check=False)
    assert result.returncode == 1
    assert "02.png: a picture is its own mask by its transparency" in result.stderr


@pytest.mark.slow
def test_without_an_original_there_are_no_figures_of_one(
    inpaint, noise_folder, tmp_path
):
    holes = np.zeros((16, 16), np.uint8)
    holes[4:12, 4:12] = 255
    Image.fromarray(holes).save(tmp_path / "mask.png")
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for path in noise_folder.iterdir():
        pixels = np.where(holes[..., None] > 0, 0, read(path)).astype(np.uint8)
        Image.fromarray(pixels).save(damaged / path.name)
    arguments = ("--input=damaged", "--mask=mask.png", "--method=harmonic")
    result = inpaint(*arguments, "--output=out")
    assert result.stdout.startswith("12 completed, 0 failed\n")
    found = results(tmp_path / "out")
    for row in [found["summary"], *found["images"]]:
        assert row["psnr"] is row["ssim"] is row["psnr_hole"] is None
        assert row["missing"] == 0.25
    # With the originals they are those of the same holes in what is not damaged.
    named = ("--input=noise", "--mask=center", "--method=harmonic")
    inpaint(*named, "--output=named")
    for original in ("noise", "noise/*.png", "noise/00.png"):
        result = inpaint(*arguments, f"--original={original}", "--output=out")
        assert "psnr_hole" in result.stdout
        found, expected = results(tmp_path / "out"), results(tmp_path / "named")
        pairs = list(zip(found["images"], expected["images"], strict=True))
        for row, other in pairs[: 1 if original.endswith("00.png") else None]:
            for name in ("psnr", "ssim", "psnr_hole"):
                assert row[name] == other[name]


def test_an_original_that_does_not_fit_costs_its_picture(
    inpaint, noise_folder, tmp_path
):
    folder = tmp_path / "originals"
    folder.mkdir()
    for path in sorted(noise_folder.iterdir())[:3]:
        Image.open(path).save(folder / path.name)
    Image.new("RGB", (20, 16)).save(folder / "01.png")
    arguments = ("--input=noise", "--limit=4", "--original=originals", *HARMONIC)
    result = inpaint(*arguments, "--output=out", check=False)
    assert result.returncode == 1
    found = results(tmp_path / "out")
    assert [row["id"] for row in found["images"]] == ["00", "02"]
    assert [row["id"] for row in found["failed"]] == ["01", "03"]
    assert "20x16" in found["failed"][0]["reason"]


def test_masks_beside_their_pictures_are_not_pictures(inpaint, noise_folder, tmp_path):
    holes = np.zeros((16, 16), np.uint8)
    holes[4:8, 4:8] = 255
    for path in list(noise_folder.iterdir()):
        Image.fromarray(holes).save(noise_folder / f"{path.stem}_mask001.png")
    arguments = ("--input=noise", "--mask=noise", "--method=harmonic", "--limit=5")
    inpaint(*arguments, "--output=out")
    rows = results(tmp_path / "out")["images"]
    assert [row["id"] for row in rows] == [f"{i:02d}" for i in range(5)]
    assert {row["missing"] for row in rows} == {1 / 16}


def test_what_looks_like_a_picture_and_is_not_read_is_named(
    inpaint, noise_folder, tmp_path
):
    (noise_folder / "camera.CR2").write_bytes(b"raw")
    arguments = ("--input=noise", "--limit=2", *HARMONIC)
    result = inpaint(*arguments, "--output=out", check=False)
    assert result.returncode == 1
    assert "camera.CR2: camera raw is not read" in result.stderr
    found = results(tmp_path / "out")
    assert len(found["images"]) == 2
    assert [row["id"] for row in found["failed"]] == ["noise/camera.CR2"]


# --- names -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["inpaint", "evaluate"])
@pytest.mark.slow
def test_a_name_that_is_no_utf_8_is_a_name(
    inpaint, evaluate, noise_folder, tmp_path, name
):
    odd = os.path.join(os.fsencode(noise_folder), b"caf\xe9.png")
    os.rename(noise_folder / "03.png", odd)
    folder = os.fsdecode(os.path.join(os.fsencode(tmp_path), b"p\xe9re"))
    os.rename(noise_folder, folder)
    arguments = ("--mask=center", "--limit=3", "--steps=2", "--batch_size=3")
    if name == "inpaint":
        inputs = f"--input={os.path.join(folder, os.fsdecode(os.path.basename(odd)))}"
        inpaint(f"{inputs},{folder}", f"--output={folder}-out", *arguments)
        found = results(tmp_path / f"{os.path.basename(folder)}-out")
        assert found["config"]["input"][1].endswith(r"p\xe9re")
        rows = found["images"]
    else:
        data = f"--dataset=images:{folder}/[c0][a0]*.png"
        out = tmp_path / f"{os.path.basename(folder)}-run"
        evaluate(data, f"--workdir={out}", *arguments)
        again = evaluate(data, f"--workdir={out}", *arguments)
        assert "2 of 2 images are done already" in again.stdout
        text = (out / "parts" / "00000-00000.jsonl").read_text()
        rows = [json.loads(line) for line in text.splitlines()]
    ids = [row["id"] for row in rows]
    assert r"caf\xe9" in ids
    assert "00" in ids
    json.dumps(rows, ensure_ascii=False).encode()  # No lone surrogate is left.


def test_a_path_that_the_terminal_cannot_show_is_no_failure(
    inpaint, environment, tmp_path
):
    env = {**environment, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    result = inpaint("--output=größe", "--limit=1", *HARMONIC, env=env)
    assert r"look at gr\xf6\xdfe" in result.stdout
    assert (tmp_path / "größe" / "results.json").exists()


# --- data sets that moved -----------------------------------------------------------


def test_a_data_set_that_moved_is_the_same(evaluate, noise_folder, tmp_path):
    run = (*HARMONIC, "--workdir=run")
    evaluate("--dataset=images:noise", "--limit=8", *run)
    again = evaluate("--dataset=images:noise/*.png", *run)
    assert "8 of 12 images are done already" in again.stdout
    moved = noise_folder.rename(tmp_path / "moved")
    again = evaluate("--dataset=images:moved", *run)
    assert "12 of 12 images are done already" in again.stdout
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["dataset"] == f"images:{moved}"
    metrics = (tmp_path / "run" / "metrics.json").read_bytes()
    # One picture is another: it is another data set, and nothing is touched.
    other = tmp_path / "other"
    other.mkdir()
    for path in moved.iterdir():
        Image.open(path).save(other / path.name)
    Image.new("RGB", (16, 16)).save(other / "05.png")
    (tmp_path / "none").mkdir()
    Image.new("RGB", (16, 16)).save(tmp_path / "none" / "x.png")
    for name in ("other", "none"):
        result = evaluate(f"--dataset=images:{name}", *run, check=False)
        assert result.returncode == 2
        assert "belongs to a run with dataset = images:" in result.stderr
        assert (tmp_path / "run" / "metrics.json").read_bytes() == metrics


def test_training_images_that_moved_are_the_same(evaluate, noise_folder, tmp_path):
    run = ("--method=mean", "--dataset=images:noise", "--workdir=run")
    evaluate("--train_dataset=images:noise", "--limit=8", *run)
    moved = tmp_path / "moved"
    shutil.copytree(noise_folder, moved)
    again = evaluate("--train_dataset=images:moved/*", *run)
    assert "8 of 12 images are done already" in again.stdout
    next(moved.iterdir()).unlink()
    result = evaluate("--train_dataset=images:moved", *run, check=False)
    assert result.returncode == 2
    assert "belongs to a run with train_dataset = images:" in result.stderr


def test_which_model_a_name_means_is_said(program, inpaint, tmp_path):
    (tmp_path / "celeba64").mkdir()
    arguments = ("--limit=1", *HARMONIC, "--output=out")
    result = inpaint("--model=celeba64", *arguments)
    assert "--model=celeba64 is the model that comes with the program" in result.stderr
    assert "./celeba64" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    result = inpaint("--model=./celeba64", *arguments, check=False)
    assert result.returncode == 2
