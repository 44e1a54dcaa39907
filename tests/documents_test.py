"""Every command in a document or a docstring has flags that exist."""

import textwrap

import commands
import pytest
from conftest import ROOT

from experiments.paper import cells

NOT_OURS = {"build", "dist", "outputs", "runs"}  # As .gitignore has them.
DOCUMENTS = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(
        part in NOT_OURS or part.startswith(".")
        for part in path.relative_to(ROOT).parts[:-1]
    )
)
SOURCES = sorted(
    path
    for room in ("benchmarks", "experiments", "inpaint_jax")
    for path in (ROOT / room).rglob("*.py")
)


def test_every_command_has_flags_that_exist(environment):
    found = []
    for path in DOCUMENTS:
        found += commands.of_markdown(path.read_text(), str(path.relative_to(ROOT)))
    in_documents = len(found)
    for path in SOURCES:
        found += commands.of_python(path.read_text(), str(path.relative_to(ROOT)))
    # Both kinds are found at all.
    assert in_documents > 10
    assert len(found) > in_documents + 10
    assert not commands.complaints(found, ROOT, environment)


def test_prose_names_flags_that_exist(environment):
    known = commands.flags_of_programs(ROOT, environment)
    assert "workdir" in known
    # Notes are dated: they may tell of what is gone.
    texts = {
        str(path.relative_to(ROOT)): path.read_text()
        for path in DOCUMENTS
        if path.parent.name != "notes"
    }
    texts["planted"] = "First.\n\nThen `--no_such_flag=3`, `--workdir` and ``--x``."
    unknown = [
        (place, flag)
        for name, text in texts.items()
        for place, flag in commands.mentions_of_flags(text, name)
        if flag not in known
    ]
    assert unknown == [("planted:3", "no_such_flag"), ("planted:3", "x")]


PLANTED = {
    "a flag": "```bash\npython -m experiments.inpaint --no_such_flag=1\n```",
    "behind a line that goes on": """
        ```bash
        pip install -e . && python -m experiments.evaluate --dataset=celeb_a \\
          --mask=center --no_such_flag
        ```""",
    "in a loop": """
        ```bash
        for method in latent no_such_flag; do
          python -m experiments.evaluate --dataset=celeb_a --method=$method
        done
        ```""",
    "a variable": """
        ```
        MASK=no_such_flag:half
        python -m experiments.evaluate --dataset=a --limit=${MASK}
        ```""",
    "for another machine": """
        ```bash
        ssh tpu --command='cd x &&
          python -m experiments.evaluate --no_such_flag --dataset=celeb_a'
        ```""",
    "behind a prefix": "```\nJAX_NUM_CPU_DEVICES=2 srun --kill python3 -m "
    "experiments.train --dataset=a --workdir=b --no_such_flag > log\n```",
    "in prose": "Run `python -m experiments.evaluate\n--no_such_flag` for that.",
    "what is no flag": "```\npython -m experiments.inpaint no_such_flag\n```",
    "a module": "```\npython -m experiments.no_such_flag\n```",
    "what is required": "```\npython -m experiments.train --width=1  # --workdir\n```",
    "in yaml": """
        ```yaml
              args:
              - |
                python -m experiments.evaluate --dataset=celeb_a \\
                  --no_such_flag --process_id=$JOB_COMPLETION_INDEX &
                wait $!
        ```""",
    "of the other name": "```\ninpaint-jax inpaint --no_such_flag\n```",
}
"""Each has one thing that is wrong."""


@pytest.fixture(scope="module")
def planted(environment):
    """The complaints about each planted document, and its text."""
    texts = {
        kind: "# Title\n\n" + textwrap.dedent(text) for kind, text in PLANTED.items()
    }
    found = []
    for number, text in enumerate(texts.values()):
        found += commands.of_markdown(text, f"{number}.md")
    said = commands.complaints(found, ROOT, environment)
    return {
        kind: (text, [each for each in said if each.startswith(f"{number}.md:")])
        for number, (kind, text) in enumerate(texts.items())
    }


@pytest.mark.parametrize("kind", PLANTED)
def test_a_wrong_command_is_found_wherever_it_is(kind, planted):
    text, wrong = planted[kind]
    assert len(wrong) == 1
    place, _, said = wrong[0].partition(": ")
    assert ("workdir" if kind == "what is required" else "no_such_flag") in said
    (line,) = (
        number
        for number, row in enumerate(text.splitlines(), 1)
        if "-m " in row or "inpaint-jax" in row
    )
    assert place.endswith(f".md:{line}")


def test_a_wrong_command_of_a_docstring_is_found(environment):
    source = '''
def run():
    """Runs.

        python -m experiments.compare --no_such_flag=3
        python -m experiments.compare --limit=3 \\\\
            --methods=harmonic

    As ``python -m benchmarks.scaling --width=x`` does.
    """
'''
    found = list(commands.of_python(source, "planted.py"))
    assert [command.arguments[-1] for command in found] == [
        "--no_such_flag=3",
        "--methods=harmonic",
        "--width=x",
    ]
    first, second = commands.complaints(found, ROOT, environment)
    assert first.startswith("planted.py:5: experiments.compare")
    assert second.startswith("planted.py:9: benchmarks.scaling")


def test_right_commands_are_let_through(environment):
    text = """
```bash
for mask in center half; do
  for limit in 1 2; do  # It is 'right'.
    python -m experiments.evaluate --dataset='images:a b/*.zip' \\
      --mask=$mask --limit=$limit --workdir="$HOME/runs/$mask" 2>&1 | tee log &
  done
done; wait
python -m pytest --no_such_flag
python -m benchmarks --only=search --only=train
```
`python -m experiments.PROGRAM`, `inpaint-jax PROGRAM --limit=3`,
`python -m experiments.train --width=3` and `--no_such_flag` and `python`.
"""
    found = list(commands.of_markdown(text, "right.md"))
    assert len(found) == 4 + 1 + 1
    assert {command.arguments[3] for command in found[:4]} == {
        "--workdir=1/runs/center",
        "--workdir=1/runs/half",
    }
    assert commands.complaints(found, ROOT, environment) == []


def test_the_comparison_can_be_made_again_picture_by_picture():
    text = (ROOT / "docs" / "benchmark.md").read_text()
    assert f"--batch_size={cells.BATCH_SIZE} --output=ours" in text
