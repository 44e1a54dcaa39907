"""What the flags of a recipe mean together."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import dataclasses, json, sys
from absl import flags
from experiments.flags import recipe
rows = []
for arguments in json.loads(sys.argv[1]):
    flags.FLAGS.unparse_flags()
    flags.FLAGS(["program", *arguments])
    try:
        found = recipe.read_recipe()
        rows.append({"type": type(found).__name__, **dataclasses.asdict(found)})
    except ValueError as error:
        rows.append(str(error))
print(json.dumps(rows))
"""
RATES = [
    ([], (2e-4, 1e-4)),
    (["--recipe=paper"], (2e-4, None)),
    (["--learning_rate=1e-5"], (1e-5, 5e-6)),
    (["--learning_rate=1e-5", "--recipe=paper"], (1e-5, None)),
    (["--learning_rate=1e-5", "--discriminator_learning_rate=3e-5"], (1e-5, 3e-5)),
]
MEANT = {
    "--model=dcgan": {"type": "TrainConfig"},
    "--model=vae --width=8 --seed=5": {"type": "VaeConfig", "seed": 5},
    "--model=vae --latent_size=7 --noflip": {"flip": False},
    "--model=context_encoder": {
        "type": "ContextEncoderConfig",
        "learning_rate": 2e-3,
        "discriminator_width": None,
        "architecture": {"latent_size": 4000, "width": 64, "image_size": 64},
    },
    "--model=context_encoder --adversarial_weight=0 --discriminator_width=9 "
    "--latent_size=30 --image_size=32 --learning_rate=1e-3": {
        "adversarial_weight": 0.0,
        "discriminator_width": 9,
        "learning_rate": 1e-3,
        "architecture": {"latent_size": 30, "width": 64, "image_size": 32},
    },
}
REFUSED = {
    "--model=dcgan --adversarial_weight=0.1": "--adversarial_weight is not for "
    "--model=dcgan",
    "--discriminator_width=9": "--discriminator_width is not for --model=dcgan",
    "--model=vae --adversarial_weight=0.1": "--adversarial_weight is not for "
    "--model=vae",
    "--model=vae --batch_norm_groups=1": "--batch_norm_groups is not for --model=vae",
    "--model=vae --recipe=tuned": "--recipe is not for --model=vae",
    "--model=context_encoder --recipe=paper": "--recipe is not for "
    "--model=context_encoder",
    "--model=context_encoder --precision=bfloat16": "--precision is not for "
    "--model=context_encoder",
    "--model=context_encoder --discriminator_learning_rate=1": "--discriminator_"
    "learning_rate is not for --model=context_encoder",
    "--model=context_encoder --adversarial_weight=2": "adversarial_weight must be in "
    "[0, 1], not 2.0",
}


@pytest.fixture(scope="module")
def read(environment):
    """All of them in one process: it takes seconds to start."""
    texts = [*MEANT, *REFUSED]
    lists = [*(arguments for arguments, _ in RATES), *(text.split() for text in texts)]
    command = [sys.executable, "-c", PROGRAM, json.dumps(lists)]
    rows = json.loads(subprocess.check_output(command, env=environment, text=True))
    return {tuple(each): row for each, row in zip(lists, rows, strict=True)}


@pytest.mark.parametrize(("arguments", "rates"), RATES)
def test_a_changed_rate_changes_both(read, arguments, rates):
    config = read[tuple(arguments)]
    found = config["learning_rate"], config["discriminator_learning_rate"]
    assert found == pytest.approx(rates)


@pytest.mark.parametrize("arguments", MEANT)
def test_flags_are_of_the_model_that_is_trained(read, arguments):
    assert read[tuple(arguments.split())].items() >= MEANT[arguments].items()


@pytest.mark.parametrize("arguments", REFUSED)
def test_flags_of_another_model_are_refused(read, arguments):
    assert read[tuple(arguments.split())] == REFUSED[arguments]
