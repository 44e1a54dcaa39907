"""How many functions a run compiles: each takes its time even if the cache has it."""

import json
import subprocess
import sys

import pytest
from conftest import ROOT

COUNTED = """
import collections, json, sys
from jax import monitoring

names = collections.Counter()

def note(event, seconds, fun_name="", **_):
    if event == "/jax/core/compile/backend_compile_duration":
        names[fun_name] += 1

monitoring.register_event_duration_secs_listener(note)
from experiments import inpaint
from experiments.runtime import program

try:
    program.run(inpaint.main)
except SystemExit as end:
    assert not end.code, end.code
print(json.dumps(names))
"""

OF_ONE_OPERATION = ("add", "convert_element_type", "gather", "stage", "stack", "tile")


@pytest.mark.slow
def test_a_run_compiles_few_functions(tiny_model_file, tmp_path):
    flags = [f"--model={tiny_model_file}", f"--output={tmp_path}/output"]
    flags += ["--limit=2", "--steps=3", "--mask=center", "--compilation_cache=none"]
    result = subprocess.run(
        [sys.executable, "-c", COUNTED, *flags],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert result.returncode == 0, result.stderr
    names = json.loads(result.stdout.splitlines()[-1])
    found = {name.removeprefix("jit(").removesuffix(")") for name in names}
    assert "advance_searches" in found
    assert not found & set(OF_ONE_OPERATION), names
    assert sum(names.values()) <= 16, names
