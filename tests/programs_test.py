"""Every program starts: its help can be read, and a tiny job of it ends well."""

import ast
import importlib.util
import json
import re
import subprocess
import sys
import urllib.request

import layouts
import numpy as np
import pytest
from commands import programs
from conftest import ROOT
from PIL import Image
from served import Server

TINY = ("--width=4", "--image_size=16", "--latent_size=8", "--batch_size=8")
QUICK = ("--log_every=1", "--evaluate_every=0", "--steps=2")
PROGRAMS = programs(ROOT)


def docstring(module):
    path = ROOT.joinpath(*module.split("."))
    path = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("module", PROGRAMS)
def test_its_help_can_be_read(launch, module, tmp_path):
    said = launch(module, ["--help"], tmp_path)
    assert said.stderr == ""
    lines = said.stdout.splitlines()
    about = docstring(module).splitlines()
    assert lines[: len(about)] == about
    assert max(map(len, about)) <= 88
    assert f"python -m {module} " in said.stdout.replace("\n", " ")
    flags = re.findall(r"^  --(?:\[no\])?(\w+):(?: <.*>:)? *(.*)", said.stdout, re.M)
    assert len(flags) > 1
    for name, about in flags:
        assert len(about.strip("; ")) > 5, f"nothing is said of --{name}"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("module", PROGRAMS)
def test_a_flag_that_does_not_exist_is_one_line(launch, module, tmp_path):
    said = launch(module, ["--no_such_flag=1"], tmp_path)
    assert said.returncode == 2
    assert said.stderr.count("\n") == 1
    assert "no_such_flag" in said.stderr


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of four pictures of noise, with a comparison of them."""
    folder = tmp_path_factory.mktemp("programs") / "noise"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)
    for i, picture in enumerate(pixels):
        Image.fromarray(picture).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def trained(launch, pictures):
    """The work folder of a training of two steps."""
    workdir = pictures.parent / "trained"
    arguments = (f"--dataset=images:{pictures}", f"--workdir={workdir}")
    said = launch("experiments.train", [*arguments, *TINY, *QUICK], pictures.parent)
    assert said.returncode == 0, said.stderr
    return workdir


@pytest.fixture
def start(launch, tmp_path):
    def start(module, *arguments):
        """Runs a program in a folder of its own; what it said."""
        said = launch(module, list(arguments), tmp_path)
        assert said.returncode == 0, said.stderr
        return said.stdout

    return start


@pytest.fixture
def comparison(pictures, tiny_model_file, tmp_path):
    path = tmp_path / "comparison.toml"
    path.write_text(
        f'[noise]\ntitle = "Noise"\ntrain = "images:{pictures}"\n'
        f'test = "images:{pictures}"\nmodel = "{tiny_model_file}"\n'
    )
    return path


@pytest.fixture
def tiny(tiny_model_file, pictures):
    return (f"--model={tiny_model_file}", f"--dataset=images:{pictures}")


def started(module):
    """Marks the test that starts a program."""

    def mark(test):
        STARTED.add(module)
        return test

    return mark


STARTED: set[str] = set()


@started("experiments.inpaint")
def test_inpaint(start, tiny_model_file, pictures, tmp_path):
    start(
        "experiments.inpaint",
        f"--model={tiny_model_file}",
        f"--input={pictures}",
        "--mask=center",
        "--steps=2",
        "--output=out",
    )
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert len(results["images"]) == 4
    assert len(list((tmp_path / "out" / "completed").iterdir())) == 4


@started("experiments.serve")
@pytest.mark.skipif(
    importlib.util.find_spec("gradio") is None, reason="the extra web is not installed"
)
def test_serve(launch, tiny_model_file, tmp_path):
    server = Server(launch, tmp_path, f"--model={tiny_model_file}", "--steps=2")
    with urllib.request.urlopen(server.url) as page:
        assert "inpaint_jax" in page.read().decode()
    assert server.stop() == 0


@started("experiments.evaluate")
def test_evaluate(start, tiny, tmp_path):
    start("experiments.evaluate", *tiny, "--steps=2", "--workdir=run")
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["n"] == 4


@started("experiments.evaluate_generator")
def test_evaluate_generator(start, tiny, tmp_path):
    small = ("--reconstructions=2", "--steps=2", "--output=out")
    start("experiments.evaluate_generator", *tiny, *small)
    assert json.loads((tmp_path / "out" / "quality.json").read_text())["images"] == 4


@started("experiments.train")
def test_train(trained):
    rows = (trained / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [1, 2]


@started("experiments.prepare")
def test_prepare(start, tmp_path):
    layouts.svhn(tmp_path, np.zeros((5, 32, 32, 3), np.uint8))
    small = ("--data_dir=.", "--cache_dir=cache", "--image_size=16")
    said = start("experiments.prepare", "--dataset=svhn_cropped", *small)
    assert said.startswith("train: 5 pictures (published: 73,257), 0 left out, 0.0 MB")


@started("experiments.export")
def test_export(start, trained, tmp_path):
    output = tmp_path / "tiny.safetensors"
    start("experiments.export", f"--workdir={trained}", f"--output={output}")
    assert output.stat().st_size > 1000


@started("experiments.train_encoder")
@pytest.mark.slow
def test_train_encoder(start, tiny, tmp_path):
    small = ("--width=4", "--passes=1", "--batch_size=4", "--log_every=1", "--steps=2")
    start("experiments.train_encoder", *tiny, *small, "--workdir=run")
    assert (tmp_path / "run" / "tiny.safetensors").exists()


@started("experiments.compare")
def test_compare(start, comparison, tmp_path):
    start(
        "experiments.compare",
        f"--comparison={comparison}",
        "--methods=harmonic",
        "--masks=center",
        "--workdir=run",
    )
    cells = json.loads((tmp_path / "run" / "table.json").read_text())["cells"]
    assert [(row["method"], row["n"]) for row in cells] == [("harmonic", 4)]


@started("experiments.score")
def test_score(start, real_data, tmp_path):
    place = f"--dataset=images:{real_data}/svhn/test.zip"
    start("experiments.score", "--set=svhn", place, "--write_inputs=in", "--mask=half")
    assert len(list((tmp_path / "in" / "half" / "masks").iterdir())) == 256


@started("experiments.figures")
@pytest.mark.slow
def test_figures(start, comparison, tmp_path):
    start(
        "experiments.figures",
        f"--comparison={comparison}",
        "--figure=7",
        "--workdir=run",
        "--output=out",
    )
    assert (tmp_path / "out" / "figure-7.png").exists()


def rows_of(said):
    return [json.loads(line) for line in said.splitlines()]


def needs(*packages):
    """Skips where what a benchmark measures beside is not installed."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(
        bool(missing), reason=f"extra 'bench' is not installed: no {missing}"
    )


SMALL_NETWORKS = ("--width=4", "--image_size=16", "--repetitions=1")


@started("benchmarks")
@pytest.mark.slow
@needs("torch")
def test_the_search_step_beside_its_peers(start):
    small = ("--batch_size=1", "--seconds=0.01")
    said = start("benchmarks", "--only=search", *SMALL_NETWORKS, *small)
    errors = [row for row in rows_of(said) if "error" in row.get("what", "")]
    assert len(errors) == 6
    timed = [row for row in rows_of(said) if row.get("what") == "search step"]
    assert {row["contender"] for row in timed} == {row["contender"] for row in errors}
    assert all(row["peak_resident_mib"] > 100 for row in timed)


@pytest.mark.slow
@needs("torch")
def test_the_training_step_beside_its_peers(start):
    # It compares the losses of two steps with PyTorch's before it times anything.
    said = start("benchmarks", "--only=train", *SMALL_NETWORKS)
    rows = [row for row in rows_of(said) if row.get("what") == "training step"]
    assert len(rows) == 5
    assert all(row["peak_resident_mib"] > 100 for row in rows)


@pytest.mark.slow
def test_without_pytorch_its_rows_are_left_out(environment, tmp_path):
    code = (
        "import runpy, sys; sys.modules.update(torch=None); "
        "runpy.run_module('benchmarks', run_name='__main__', alter_sys=True)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, "--only=train", *SMALL_NETWORKS],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        check=True,
    ).stdout
    rows = [json.loads(line) for line in said.splitlines()]
    timed = [row["contender"] for row in rows if row.get("what") == "training step"]
    assert timed == ["inpaint_jax", "inpaint_jax bfloat16"]


@pytest.mark.slow
@needs("pyamg", "scipy")
def test_the_blend_beside_its_peers(start):
    small = ("--blend_images=4", "--repetitions=1")
    said = start("benchmarks", "--only=blend", *small)
    rows = [row for row in rows_of(said) if row.get("what") == "blend"]
    assert len(rows) == 4 * 3


@pytest.mark.slow
def test_the_time_to_a_first_result(start):
    said = start("benchmarks", "--only=startup", "--repetitions=1")
    assert [row["what"] for row in rows_of(said)[1:]] == [
        "import jax",
        "import",
        "first result, no cache",
        "first result, empty cache",
        "first result, full cache",
    ]


@pytest.mark.slow
@started("benchmarks.first_result")
def test_the_time_from_a_start_to_pictures(start, tiny_model_file):
    model = f"--model={tiny_model_file}"
    said = start("benchmarks.first_result", model, "--steps=2", "--repetitions=1")
    assert [
        (row["what"], row["pictures"], row["cache"]) for row in rows_of(said)[1:]
    ] == [
        (what, pictures, cache)
        for what, pictures in (("program", 1), ("program", 4), ("library", 1))
        for cache in ("cold", "warm")
    ]


@pytest.mark.parametrize(
    ("module", "arguments", "package"),
    [
        ("benchmarks", ["--only=blend"], "pyamg"),
        (
            "benchmarks.yardstick",
            ["--dataset=images:none", "--torch"],
            "PyTorch",
        ),
    ],
)
@pytest.mark.slow
def test_a_benchmark_says_which_package_it_lacks(
    environment, tmp_path, module, arguments, package
):
    # As where the extra is not installed: these cannot be found.
    code = (
        "import runpy, sys; sys.modules.update(torch=None, pyamg=None); "
        "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, module, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
    )
    assert said.returncode == 2
    assert f"{package}: pip install -e '.[bench]'" in said.stderr
    assert said.stderr.count("\n") == 1


@started("benchmarks.scaling")
@pytest.mark.slow
def test_what_a_device_has_to_do(start):
    small = ("--width=2", "--batch_size=4", "--devices=1,2")
    found = {
        (row["program"], row["devices"]): row
        for row in rows_of(start("benchmarks.scaling", *small))
    }
    for name in ("search step", "blend"):
        one, two = found[name, 1], found[name, 2]
        assert two["collectives"] == one["collectives"] == 0
        assert two["gflops_a_device"] == pytest.approx(one["gflops_a_device"], rel=0.1)
    assert found["training step", 2]["collectives"] > 0


@pytest.mark.parametrize("devices", ["0", "two", "1,", "-1"])
def test_devices_are_counted_from_one(launch, tmp_path, devices):
    said = launch("benchmarks.scaling", [f"--devices={devices}"], tmp_path)
    assert said.returncode == 2
    assert "--devices" in said.stderr
    assert said.stderr.count("\n") == 1


YARDSTICK = ("--masks=center", "--strategies=fast,l-bfgs", "--output=out")


@started("benchmarks.yardstick")
@pytest.mark.slow
def test_the_yardstick(start, tiny, tmp_path):
    said = start("benchmarks.yardstick", *tiny, *YARDSTICK)
    found = json.loads((tmp_path / "out" / "yardstick.json").read_text())
    summary = found["summary"]["center"]
    assert list(summary) == ["paper", "fast", "l-bfgs"]
    assert summary["paper"]["speed_up"] == 1.0
    losses = [point["loss"] for point in found["curves"]["center"]["paper"]]
    assert losses == sorted(losses, reverse=True)
    assert (tmp_path / "out" / "yardstick.png").exists()
    assert "look at out/yardstick.png" in said


@pytest.mark.slow
@needs("torch")
def test_the_yardstick_beside_pytorch(start, tiny, tmp_path):
    start("benchmarks.yardstick", *tiny, *YARDSTICK, "--limit=1", "--torch")
    found = json.loads((tmp_path / "out" / "yardstick.json").read_text())
    paper = found["summary"]["center"]["paper"]["loss"]
    for row in found["torch"]:
        assert row["loss"] == pytest.approx(paper, rel=0.02)
    assert len(found["torch"]) == 3


def test_every_program_is_started_here():
    assert set(PROGRAMS) == STARTED
