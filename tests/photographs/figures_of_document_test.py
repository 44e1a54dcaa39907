"""The command that draws the pictures of docs/photographs.md."""

import re
import shlex
import subprocess
import sys

import pytest
from conftest import ROOT
from launching import TIME_LIMIT
from PIL import Image

SCRIPT = ROOT / "docs" / "figures" / "photographs.py"


@pytest.mark.slow
def test_it_draws_all_pictures_of_the_document(environment, tiny_model_file, tmp_path):
    text = (ROOT / "docs" / "photographs.md").read_text()
    (command,) = re.findall(r"^python docs/figures/photographs\.py .*$", text, re.M)
    flags = [word.partition("=")[0] for word in shlex.split(command)[2:]]
    assert flags == ["--model", "--output"]
    result = subprocess.run(
        [
            sys.executable,
            str(SCRIPT),
            f"--model={tiny_model_file}",
            f"--output={tmp_path}",
        ],
        capture_output=True,
        text=True,
        env=environment,
        timeout=TIME_LIMIT,
    )
    assert result.returncode == 0, result.stderr
    shown = set(re.findall(r"photograph-\w+\.jpg", text))
    assert {path.name for path in tmp_path.iterdir()} == shown
    for path in tmp_path.iterdir():
        with Image.open(path) as picture:
            assert picture.width > 900
            assert len(picture.convert("L").getcolors()) > 100  # There is something.
