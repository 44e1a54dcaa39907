"""The flags of a comparison, shared by the programs that read or add to its table."""

import os
from pathlib import Path

from absl import flags

from experiments.runtime import program

BENCHMARK = flags.DEFINE_string(
    "benchmark",
    None,
    "Version of the frozen benchmark (v1): its pictures and masks are used, instead of "
    "the first test images and masks that are drawn. docs/benchmark.md says more.",
)
_WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "Folder of the comparison, with all its cells. Default: outputs/compare, or with "
    "--benchmark=v1 outputs/benchmark-v1.",
)


def workdir(benchmark: str | None) -> Path:
    """The folder of the comparison.

    Args:
      benchmark: Version of the benchmark that it is of, or None.
    """
    default = f"benchmark-{benchmark}" if benchmark else "compare"
    return Path(os.path.expanduser(_WORKDIR.value or Path("outputs", default)))


def make_workdir() -> Path:
    """Makes the folder of the comparison."""
    return program.make_folder(workdir(BENCHMARK.value))
