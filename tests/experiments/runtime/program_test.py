"""What is the same in every program: help, flags that are empty, configurations."""

import ast
import json
import re
import sys

import pytest
from conftest import ROOT

from experiments.runtime import program
from inpaint_jax.data import written

PROGRAMS = sorted(
    path.stem
    for path in (ROOT / "experiments").glob("*.py")
    if "program.run(main)" in path.read_text()
)

REQUIRED = {
    "evaluate": ["--dataset=images:x"],
    "evaluate_generator": ["--dataset=images:x"],
    "export": ["--output=x.safetensors", "--workdir=x"],
    "figures": ["--figure=2"],
    "prepare": ["--dataset=images:x"],
    "score": ["--set=svhn"],
    "train": ["--dataset=images:x", "--workdir=x"],
    "train_encoder": ["--dataset=images:x", "--model=svhn", "--workdir=x"],
}
"""Flags without which a program does not start."""


def test_there_are_programs():
    assert {"inpaint", "evaluate", "train", "compare"} <= set(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_shows_the_docstring_as_it_is_written(launch, tmp_path, name):
    result = launch(f"experiments.{name}", ["--help"], tmp_path)
    assert result.returncode == 0
    source = (ROOT / "experiments" / f"{name}.py").read_text()
    opening, _, rest = source.partition('"""')
    shown = rest.partition('"""')[0].rstrip("\n")
    assert result.stdout.startswith(f"{shown}\n")
    commands = [line for line in shown.splitlines() if "python -m experiments" in line]
    assert commands
    # A line that ends in a backslash goes on in the next, as in a shell.
    assert opening == ("r" if "\\" in shown else "")
    assert ast.get_docstring(ast.parse(source)) is not None


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.slow
def test_an_empty_flag_is_refused_and_nothing_is_written(launch, tmp_path, name):
    shown = launch(f"experiments.{name}", ["--help"], tmp_path).stdout
    flags = set(re.findall(r"^  --(\w+):", shown, re.MULTILINE))
    paths = flags & {"output", "workdir", "dataset", "data_dir", "cache_dir"}
    paths |= flags & {"compilation_cache"}
    lists = flags & {"input", "masks", "methods", "datasets"}
    lists |= flags & {"results"} if name == "export" else set()
    # Of what is read or written, each program has something that can be named.
    assert paths
    for flag in sorted(paths | lists):
        given = [each for each in REQUIRED.get(name, []) if f"--{flag}=" not in each]
        for empty in ("", "  ") if flag in paths else ("", "center,"):
            arguments = [*given, f"--{flag}={empty}"]
            result = launch(f"experiments.{name}", arguments, tmp_path)
            assert result.returncode == 2
            start = f"{name}: --{flag}= is empty"
            assert result.stderr.startswith(start)
            assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", REQUIRED)
def test_a_flag_that_is_missing_is_named(launch, tmp_path, name):
    first, *others = REQUIRED[name]
    result = launch(f"experiments.{name}", others, tmp_path)
    assert result.returncode == 2
    flag = first.partition("=")[0]
    line = f"{name}: {flag} is missing: give it (--help lists the flags)\n"
    assert result.stderr == line


def test_the_note_is_made_with_the_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/train.py"])
    folder = program.make_folder(tmp_path / "run", ["samples", "curves.png"])
    assert written.read(folder) == {"samples", "curves.png"}
    program.make_folder(tmp_path / "run", ["samples", "curves.png"])
    assert len((folder / written.NOTE).read_text().splitlines()) == 2


@pytest.mark.parametrize("sign", [None, "config.json"])
def test_what_no_program_wrote_is_not_taken_for_results(tmp_path, sign):
    (tmp_path / "samples").mkdir()
    if sign:  # Of a run from before there were notes.
        (tmp_path / sign).write_text("{}")
        program.make_folder(tmp_path, ["samples"])
        return
    with pytest.raises(program.UsageError, match="samples is there already"):
        program.make_folder(tmp_path, ["samples"])


def test_input_among_the_results_is_refused(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "out")
    inside = str(tmp_path / "out" / "a.png")
    program.refuse_input(tmp_path / "out", [str(tmp_path / "outer.png")])
    program.refuse_input(tmp_path / "out" / "b.png", [inside])
    for result in (tmp_path / "out", tmp_path / "out" / "a.png", tmp_path / "link"):
        with pytest.raises(program.UsageError, match="is input and would be replaced"):
            program.refuse_input(result, [inside])


def test_json_is_valid_whatever_names_are(tmp_path):
    value = {"caf\udce9": ["\udce9", ("a", 1, None, 2.5)], "x": {"y": "\ud800"}}
    program.write_json(tmp_path / "a.json", value)
    program.append_lines(tmp_path / "b.jsonl", [value])
    for name in ("a.json", "b.jsonl"):
        found = json.loads((tmp_path / name).read_text())
        assert found == {
            r"caf\xe9": [r"\xe9", ["a", 1, None, 2.5]],
            "x": {"y": r"\ud800"},
        }


def test_a_configuration_is_remembered(tmp_path):
    path = tmp_path / "config.json"
    wanted = {"steps": 3, "dataset": "caf\udce9"}
    assert program.remember(path, wanted) == {"steps": 3, "dataset": r"caf\xe9"}
    program.remember(path, wanted)
    assert program.remember(path, wanted | {"steps": 4}, unchecked=["steps"]) == {
        "steps": 3,
        "dataset": r"caf\xe9",
    }
    program.remember(path, wanted | {"blend": True}, {"blend": True})
    for other in ({"steps": 4}, {"blend": False}):
        with pytest.raises(program.UsageError, match="belongs to a run with"):
            program.remember(path, wanted | other, {"blend": True})


@pytest.mark.parametrize(
    ("begun", "remedy"),
    [({"precision": "bfloat16"}, "--precision=bfloat16"), ({}, "the flags it was")],
)
def test_another_precision_names_the_flag_that_goes_on(begun, remedy, tmp_path):
    # It may have been chosen by another machine, without a flag.
    path = tmp_path / "config.json"
    program.remember(path, begun)
    with pytest.raises(program.UsageError, match=f"--workdir or {remedy}"):
        program.remember(path, {"precision": "float32"})
