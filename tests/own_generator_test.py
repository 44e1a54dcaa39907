"""What docs/own_generator.md says runs as it stands."""

import re

import pytest
from conftest import ROOT

import inpaint_jax

DOCUMENT = ROOT / "docs" / "own_generator.md"


def blocks():
    """Python blocks of the document, each with its line; those to run and those not."""
    text = DOCUMENT.read_text()
    for found in re.finditer(r"^```python( no-run)?\n(.*?)^```", text, re.M | re.S):
        yield text[: found.start()].count("\n") + 1, bool(found[1]), found[2]


def test_every_block_runs():
    names = {}
    for line, skipped, code in blocks():
        padded = "\n" * line + code  # Tracebacks then name the document's lines.
        compiled = compile(padded, str(DOCUMENT), "exec")
        if not skipped:
            exec(compiled, names)
    assert names["restored"].shape == names["pictures"].shape


@pytest.mark.parametrize("name", ["load_torch_dcgan", "read_torch_dcgan", "save_model"])
def test_what_is_not_run_exists(name):
    assert any(skipped and name in code for _, skipped, code in blocks())
    assert callable(getattr(inpaint_jax, name))
