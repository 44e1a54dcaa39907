"""The notebooks run, from top to bottom, and carry what came of it."""

import ast
import json

import pytest
from conftest import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def code_of(path):
    cells = json.loads(path.read_text())["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def run(source, names):
    """The value of a cell's last expression, as a notebook would show it, or None."""
    *body, last = ast.parse(source).body
    if not isinstance(last, ast.Expr):
        body, last = [*body, last], None
    exec(compile(ast.Module(body, []), "cell", "exec"), names)
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for cell in code_of(path):
        value = run("".join(cell["source"]), names)
        pictures = [
            output
            for output in cell["outputs"]
            if "image/jpeg" in output.get("data", ())
        ]
        assert len(pictures) == (value is not None)
        if value is not None:
            assert value._repr_jpeg_().startswith(b"\xff\xd8")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_whole_and_small(path):
    assert path.stat().st_size < 200_000
    cells = code_of(path)
    assert [cell["execution_count"] for cell in cells] == [*range(1, len(cells) + 1)]
    kinds = {output["output_type"] for cell in cells for output in cell["outputs"]}
    assert kinds <= {"execute_result", "stream", "display_data"}
    assert not any(
        output.get("name") == "stderr" for cell in cells for output in cell["outputs"]
    )
