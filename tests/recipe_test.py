"""What the flags of a recipe mean together."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import dataclasses, json, sys
from absl import flags
from experiments import recipe
flags.FLAGS(sys.argv)
print(json.dumps(dataclasses.asdict(recipe.read_config())))
"""


@pytest.mark.parametrize(
    ("arguments", "rates"),
    [
        ([], (2e-4, 1e-4)),
        (["--recipe=paper"], (2e-4, None)),
        (["--learning_rate=1e-5"], (1e-5, 5e-6)),
        (["--learning_rate=1e-5", "--recipe=paper"], (1e-5, None)),
        (
            ["--learning_rate=1e-5", "--discriminator_learning_rate=3e-5"],
            (1e-5, 3e-5),
        ),
    ],
)
def test_a_changed_rate_changes_both(environment, arguments, rates):
    command = [sys.executable, "-c", PROGRAM, *arguments]
    printed = subprocess.check_output(command, env=environment, text=True)
    config = json.loads(printed)
    found = config["learning_rate"], config["discriminator_learning_rate"]
    assert found == pytest.approx(rates)
