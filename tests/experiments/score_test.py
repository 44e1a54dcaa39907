"""The benchmark's programs, run as their users run them."""

import json
import re
import shlex
import subprocess
import sys

import jsonschema
import layouts
import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from experiments.benchmark import frozen
from inpaint_jax.data import datasets
from inpaint_jax.quality import perceptual

FEW = 8  # Images that are filled where all would take long.
FIGURES = ("psnr", "ssim", "psnr_hole", "swd", "lpips", "lpips_hole", "kid_vgg")
DOCUMENT = ROOT / "docs" / "benchmark.md"


@pytest.fixture(scope="module")
def comparison(real_data, tmp_path_factory):
    """A file that describes real house numbers."""
    path = tmp_path_factory.mktemp("comparison") / "svhn.toml"
    path.write_text(
        f'[svhn]\ntitle = "SVHN"\ntrain = "images:{real_data}/svhn/train.zip"\n'
        f'test = "images:{real_data}/svhn/test.zip"\n'
        f'[other]\ntitle = "Other"\ntrain = "svhn_cropped"\ntest = "svhn_cropped"\n'
    )
    return path


@pytest.fixture(scope="module")
def compare(program, comparison):
    def run(workdir, *arguments, limit=FEW, check=True):
        return program(
            "compare",
            "--benchmark=v1",
            f"--comparison={comparison}",
            f"--workdir={workdir}",
            "--methods=harmonic",
            "--masks=pattern",
            f"--limit={limit}",
            f"--slow_limit={FEW}",
            *arguments,
            check=check,
        )

    return run


@pytest.fixture(scope="module")
def compared(compare, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("benchmark") / "run"
    compare(workdir)
    return workdir


@pytest.fixture(scope="module")
def score(program, real_data):
    def run(*arguments, check=False, dataset=f"images:{real_data}/svhn/test.zip"):
        flags = ("--set=svhn", f"--dataset={dataset}")
        return program("score", *flags, *arguments, check=check)

    return run


def cells(workdir):
    found = json.loads((workdir / "table.json").read_text())
    assert found["benchmark"] == "v1"
    return {row["method"]: row for row in found["cells"]}


def test_a_comparison_has_the_pictures_and_masks_of_the_benchmark(compared):
    folder = compared / "svhn-pattern-harmonic"
    given = frozen.read("v1")["svhn"]
    config = json.loads((folder / "config.json").read_text())
    assert (config["mask"], config["identical"]) == ("v1/pattern", 256)
    names = sorted(path.stem for path in (folder / "completed").iterdir())
    assert names == list(given.ids[:FEW])
    lines = (folder / "parts" / "00000-00000.jsonl").read_text().splitlines()
    missing = {row["id"]: row["missing"] for row in map(json.loads, lines)}
    for id, mask in zip(given.ids, given.masks["pattern"][:FEW], strict=False):
        assert missing[id] == pytest.approx(1 - mask.mean())


@pytest.mark.slow
def test_a_score_of_pngs_is_that_of_the_run_that_made_them(
    compared, compare, score, schema, tmp_path
):
    results = tmp_path / "results.md"
    results.write_text("# Mine\n<!-- tables -->\n<!-- end of tables -->\n")
    folder = compared / "svhn-pattern-harmonic"
    said = score(
        "--mask=pattern",
        f"--completed={folder / 'completed'}",
        "--name=Somebodys",
        f"--workdir={compared}",
        f"--results={results}",
    )
    # The others were not filled.
    assert said.returncode == 1, said.stderr
    assert "... and 245 more" in said.stderr
    assert "8 of 256 images, 248 failed; psnr " in said.stdout
    result = json.loads(
        (compared / "scored" / "svhn-pattern-Somebodys.json").read_text()
    )
    jsonschema.validate(result, schema)
    metrics = json.loads((folder / "metrics.json").read_text())
    for name, figure in result["figures"].items():
        assert figure == metrics["figures"][name]
    assert set(metrics["figures"]) - set(result["figures"]) == {"seconds"}
    assert result["known"]["pictures"] == 0

    def both_are_alike():
        table = cells(compared)
        assert set(table) == {"harmonic", "Somebodys"}
        one, other = table.values()
        for name in FIGURES:
            assert one[name] == other[name]
        assert (one["lpips"] is None) == (not perceptual.is_installed())
        assert one["first"] == other["first"]

    both_are_alike()
    if perceptual.is_installed():
        plot = (compared / "figures" / "realism-svhn.png").read_bytes()
        assert (tmp_path / "figures" / "realism-svhn.png").read_bytes() == plot
        assert "](figures/realism-svhn.png)" in results.read_text()
    assert "| Somebodys | " in results.read_text()
    assert "Made elsewhere and scored here: Somebodys." in results.read_text()
    # What the comparison does then keeps the row.
    compare(compared)
    both_are_alike()


def test_from_its_inputs_pictures_are_completed_to_the_same_bytes(
    compared, score, program, tmp_path
):
    inputs, output = tmp_path / "inputs", tmp_path / "ours"
    score(f"--write_inputs={inputs}", "--mask=pattern", check=True)
    program(
        "inpaint",
        *("--model=svhn", "--method=harmonic", "--frame=whole", f"--limit={FEW}"),
        f"--input={inputs / 'pattern' / 'masked'}",
        f"--mask={inputs / 'pattern' / 'masks'}",
        f"--output={output}",
    )
    paths = sorted((compared / "svhn-pattern-harmonic" / "completed").iterdir())
    assert len(paths) == FEW
    for path in paths:
        assert (output / "completed" / path.name).read_bytes() == path.read_bytes()


def test_the_owners_archive_of_house_numbers_has_the_same_pictures(
    program, real_data, tmp_path
):
    digits = datasets.load(f"images:{real_data}/svhn/test.zip", size=32).images
    layouts.svhn(tmp_path, digits, "test")
    place = (f"--data_dir={tmp_path}", f"--cache_dir={tmp_path / 'cache'}")
    flags = ("--set=svhn", "--mask=half", f"--write_inputs={tmp_path / 'inputs'}")
    said = program("score", *flags, *place)
    assert "to the last bit" not in said.stderr
    assert len(list((tmp_path / "inputs" / "originals").iterdir())) == 256


def test_faces_of_another_resampling_are_recognised(program, real_data, tmp_path):
    given = frozen.read("v1")["celeba64"]
    faces = datasets.load(f"images:{real_data}/celeba64/test.zip", limit=300)
    frames = {
        id: layouts.jpeg(layouts.framed_face(image))
        for id, image in zip(faces.ids, faces.images, strict=True)
    }
    layouts.celeb_a(tmp_path, frames)
    place = (f"--data_dir={tmp_path}", f"--cache_dir={tmp_path / 'cache'}")
    inputs = tmp_path / "inputs"
    flags = ("--set=celeba64", "--mask=half", f"--write_inputs={inputs}")
    said = program("score", *flags, *place)
    assert "only 0 of 256 pictures are the benchmark's to the last bit" in said.stderr
    for id, image in zip(given.ids, faces.images, strict=False):
        written = np.asarray(Image.open(inputs / "originals" / f"{id}.png"), float)
        assert np.abs(written - image).mean() < 8


@pytest.mark.slow
def test_the_document_adds_opencv_to_the_table_as_it_says(
    program, real_data, environment, schema, tmp_path
):
    pytest.importorskip("cv2", reason="the extra competitors is not installed")
    text = DOCUMENT.read_text()
    (script,) = (
        block
        for block in re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
        if "cv2" in block
    )
    assert len([line for line in script.splitlines() if line]) <= 10
    commands = [
        shlex.split(command.replace("\\\n", " "))
        for command in re.findall(
            r"^python -m experiments\.score (.*?[^\\])$", text, re.M | re.S
        )
    ]
    (tmp_path / "svhn").symlink_to(real_data / "svhn")
    said = program("score", *commands[0], cwd=tmp_path)
    assert "look at inputs: 256 pictures, center, pattern" in said.stdout
    subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True
    )
    said = program("score", *commands[1], cwd=tmp_path)
    assert said.stderr == ""
    workdir = tmp_path / "outputs" / "benchmark-v1"
    row = cells(workdir)["OpenCV"]
    assert (row["n"], row["failed"]) == (256, 0)
    assert 20 < row["psnr"] < 35
    result = json.loads((workdir / "scored" / "svhn-center-OpenCV.json").read_text())
    jsonschema.validate(result, schema)
    assert result["identical"] == 256
    text = (workdir / "table.md").read_text()
    assert f"| OpenCV | **{row['psnr']:.2f}** ± {row['errors']['psnr']:.2f} |" in text


def one_line(said, message):
    assert said.returncode == 2
    assert message in said.stderr
    assert said.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set=faces"], "--set: there is no 'faces'; there are celeba64, svhn,"),
        (["--set=svhn"], "give --completed=FOLDER, to score pictures, or --write_"),
        (
            ["--set=svhn", "--completed=noise", "--mask=left"],
            "--mask: there is no 'left'; there are center, pattern",
        ),
        (["--set=svhn", "--completed=noise"], "give --mask, one of center, pattern"),
        (
            ["--set=svhn", "--completed=noise", "--mask=half", "--name=harmonic"],
            "--name=harmonic is a method of the comparison itself",
        ),
        (
            ["--set=svhn", "--completed=noise", "--mask=half", "--name=a|b"],
            "--name=a|b: give at most 60 letters",
        ),
        (
            ["--set=svhn", "--completed=noise", "--mask=half"],
            "noise: no file has the name of one of the 256 pictures of svhn, such as "
            "00016.png; there is 00.png",
        ),
        (
            ["--set=svhn", "--completed=nowhere", "--mask=half"],
            "nowhere: no such file or folder",
        ),
        (
            ["--set=svhn", "--write_inputs=inputs", "--dataset=images:noise"],
            "images:noise: 256 of the benchmark's 256 pictures are not there",
        ),
        (["--set=svhn", "--benchmark=v0"], "there is no benchmark 'v0'; there is v1"),
        (["--set=svhn", "--comparison=a.toml"], "this program has no --comparison"),
    ],
)
def test_one_line_says_what_is_wrong(
    program, noise_folder, tmp_path, arguments, message
):
    one_line(program("score", *arguments, cwd=tmp_path, check=False), message)
    # Nor does it leave an empty folder behind.
    assert list(tmp_path.iterdir()) == [noise_folder]


def test_pictures_that_are_not_there_leave_no_empty_folder(
    program, noise_folder, tmp_path
):
    (noise_folder / "00.png").rename(noise_folder / "00016.png")
    wanted = "--completed=noise", "--mask=half", "--dataset=images:noise"
    said = program("score", "--set=svhn", *wanted, cwd=tmp_path, check=False)
    assert said.returncode == 2
    assert "of the benchmark's 256 pictures are not there" in said.stderr
    assert list(tmp_path.iterdir()) == [noise_folder]


def test_tables_of_different_pictures_are_not_mixed(program, noise_folder, tmp_path):
    (noise_folder / "00.png").rename(noise_folder / "00016.png")
    (tmp_path / "table.json").write_text('{"cells": [{"mask": "half"}]}')
    said = program(
        "score",
        "--set=svhn",
        "--mask=half",
        f"--completed={noise_folder}",
        f"--workdir={tmp_path}",
        check=False,
    )
    assert said.returncode == 2
    assert "holds a comparison that is not on the benchmark v1" in said.stderr


@pytest.mark.parametrize("name", ["compare", "figures"])
@pytest.mark.parametrize("version", ["v1", None])
def test_cells_of_different_pictures_are_not_mixed(program, tmp_path, name, version):
    workdir, other = tmp_path / "run", "v1" if version is None else None
    workdir.mkdir()
    table = json.dumps({"cells": [{"mask": "half"}], "benchmark": other})
    (workdir / "table.json").write_text(table)
    flags = [f"--workdir={workdir}"]
    flags += ["--figure=6"] if name == "figures" else []
    flags += [f"--benchmark={version}"] if version else []
    said = program(name, *flags, check=False, cwd=tmp_path)
    if version is None:
        one_line(said, "holds a comparison on the benchmark v1: give --benchmark=v1 or")
    else:
        one_line(said, "holds a comparison that is not on the benchmark v1")
    assert (workdir / "table.json").read_text() == table


def test_a_comparison_on_the_benchmark_says_what_is_wrong(
    program, noise_folder, tiny_model_file, tmp_path
):
    def compare(name, *arguments):
        path = tmp_path / f"{name}.toml"
        place = f"images:{noise_folder}"
        path.write_text(
            f'[{name}]\ntitle = "Noise"\ntrain = "{place}"\ntest = "{place}"\n'
            f'model = "{tiny_model_file}"\n'
        )
        return program(
            "compare",
            f"--comparison={path}",
            f"--workdir={tmp_path / 'run'}",
            "--methods=harmonic",
            *arguments,
            check=False,
        )

    one_line(
        compare("noise", "--benchmark=v1"),
        "none of its data sets is in the benchmark v1, which has celeba64, svhn,",
    )
    one_line(
        compare("svhn", "--benchmark=v1"),
        "the benchmark's pictures are of 64x64 pixels, and",
    )
    one_line(
        compare("svhn", "--benchmark=v1", "--masks=left"),
        "--masks: there is no 'left'; there are center, pattern, random80, half",
    )
    one_line(compare("svhn", "--benchmark=v3"), "there is no benchmark 'v3'")


@pytest.mark.slow
def test_pictures_in_other_pixels_are_said_to_be(score, real_data, tmp_path):
    folder = tmp_path / "again"
    folder.mkdir()
    inputs = tmp_path / "inputs"
    score(f"--write_inputs={inputs}", "--mask=half", check=True)
    assert sorted(path.name for path in inputs.iterdir()) == ["half", "originals"]
    for path in (inputs / "originals").iterdir():
        with Image.open(path) as picture:
            brighter = np.minimum(np.asarray(picture, int) + 2, 255).astype(np.uint8)
        Image.fromarray(brighter).save(folder / path.name)
    for path in sorted((inputs / "half" / "masked").iterdir())[FEW:]:
        path.unlink()
    said = score(
        "--mask=half",
        f"--completed={inputs / 'half' / 'masked'}",
        f"--workdir={tmp_path / 'run'}",
        dataset=f"images:{folder}",
    )
    assert "only 0 of 256 pictures are the benchmark's to the last bit" in said.stderr
    assert "known pixels differ from the input in 8 of 8 pictures" in said.stderr
    assert "by up to 2 levels); they are scored as they are" in said.stderr
    assert cells(tmp_path / "run")["masked"]["label"] == "masked (other pixels)"
