"""What a plain install has, far from the sources; and how its programs are started."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile

import pytest
from commands import programs
from conftest import DEMO, ROOT
from launching import TIME_LIMIT, Launcher

from inpaint_jax.version import __version__

PACKAGES = ("experiments", "inpaint_jax")
NAMES = [
    name.removeprefix("experiments.")
    for name in programs(ROOT)
    if name.startswith("experiments.")
]
TRAP = "raise SystemExit('the own folder was run')\n"


def run(command, environment, cwd):
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        env=environment,
        cwd=cwd,
        timeout=TIME_LIMIT,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built of a copy: building leaves files behind."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in (*PACKAGES, "benchmarks", "tests"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    command = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, source]
    built = run(command, dict(os.environ), folder)
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def site(wheel):
    """The folder that the wheel is installed in."""
    folder = wheel.parent / "site"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install"]
    command = [*pip, "--no-deps", "--no-index", f"--target={folder}", wheel]
    installed = run(command, dict(os.environ), wheel.parent)
    assert installed.returncode == 0, installed.stderr
    return folder


@pytest.fixture(scope="module")
def away(environment, site):
    """The environment of a program that has the install and not the sources."""
    return {**environment, "PYTHONPATH": str(site)}


@pytest.fixture
def trapped(tmp_path):
    """A folder with a package ``experiments`` of the user's own."""
    package = tmp_path / "experiments"
    package.mkdir()
    for name in ("__init__", *NAMES):
        (package / f"{name}.py").write_text(TRAP)
    return tmp_path


@pytest.mark.slow
def test_a_wheel_has_every_file_of_the_packages_and_no_other(wheel):
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {
        str(path.relative_to(ROOT))
        for name in PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert found == expected
    assert "experiments/paper/comparison.toml" in found


@pytest.mark.slow
def test_every_program_of_an_install_starts(away, tmp_path, tiny_model_file):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    with Launcher(away, tmp_path) as launch:
        for name in NAMES:
            said = launch(f"experiments.{name}", ["--help"], folder)
            assert f"python -m experiments.{name}" in said.stdout
            assert said.stderr == ""

        # The comparison that comes along is read where none is given ...
        said = launch("experiments.compare", ["--datasets=nobody"], folder)
        assert said.returncode == 2
        assert "there is no 'nobody'; there are celeba64, svhn, cars64" in said.stderr

        # ... and one of one's own is computed and drawn.
        path = folder / "own.toml"
        path.write_text(
            f'[own]\ntitle = "Own"\nmodel = "{tiny_model_file}"\n'
            f'train = "images:{DEMO}"\ntest = "images:{DEMO}"\n'
        )
        own = [f"--comparison={path}", "--workdir=run"]
        small = ["--methods=harmonic", "--masks=center", "--limit=2"]
        said = launch("experiments.compare", [*own, *small], folder)
        assert said.returncode == 0, said.stderr
        cells = json.loads((folder / "run" / "table.json").read_text())["cells"]
        assert [(row["method"], row["n"]) for row in cells] == [("harmonic", 2)]
        said = launch("experiments.figures", [*own, "--figure=7"], folder)
        assert said.returncode == 0, said.stderr
        assert (folder / "outputs" / "figures" / "figure-7.png").exists()


@pytest.mark.slow
def test_the_script_fills_portraits_beside_an_own_folder(away, site, trapped):
    # The model and the portraits that come along, as the first command of the README.
    command = [sys.executable, site / "bin" / "inpaint-jax", "inpaint", "--limit=1"]
    said = run([*command, "--mask=random80", "--steps=1"], away, trapped)
    assert said.returncode == 0, said.stderr
    assert list((trapped / "outputs" / "inpaint" / "completed").iterdir())


@pytest.mark.parametrize("on_the_path", [False, True])
def test_an_own_folder_does_no_harm(environment, trapped, on_the_path):
    path = environment["PYTHONPATH"]
    if on_the_path:
        path = f"{trapped}{os.pathsep}{path}"
    environment = {**environment, "PYTHONPATH": path}
    python = [sys.executable, "-m"]
    # Here the trap works ...
    said = run([*python, "experiments.inpaint", "--help"], environment, trapped)
    assert "the own folder was run" in said.stderr
    # ... and here the program is run.
    said = run(
        [*python, "inpaint_jax", "inpaint", "--limit=none"], environment, trapped
    )
    assert said.returncode == 2
    assert said.stderr.startswith("inpaint: flag --limit=none")
    assert said.stderr.count("\n") == 1


@pytest.fixture
def inpaint_jax(launch, tmp_path):
    return lambda *arguments: launch("inpaint_jax", list(arguments), tmp_path)


def test_programs_are_listed(inpaint_jax):
    for arguments in ([], ["--help"]):
        said = inpaint_jax(*arguments)
        assert said.returncode == 0
        listed = re.findall(r"^  (\w+) {2,}[A-Z]", said.stdout, re.M)
        assert listed == NAMES


def test_what_is_no_program_is_one_line(inpaint_jax):
    said = inpaint_jax("inpiant", "--help")
    assert said.returncode == 2
    assert "there is no program 'inpiant'; there are compare, " in said.stderr
    assert said.stderr.count("\n") == 1


def test_a_program_gets_its_flags_and_its_status(inpaint_jax):
    said = inpaint_jax("evaluate-generator", "--help")
    assert said.stdout.startswith("Measures the quality of a generator")
    assert "--reconstructions" in said.stdout
    said = inpaint_jax("evaluate", "--dataset=images:none")
    assert said.returncode == 2
    assert said.stderr.startswith("evaluate: ")
    assert said.stderr.count("\n") == 1


def test_the_version_is_said(inpaint_jax):
    assert inpaint_jax("--version").stdout == f"{__version__}\n"
