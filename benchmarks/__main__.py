"""Measures this project beside what people would use instead.

    pip install -e '.[bench]'
    python -m benchmarks
    python -m benchmarks --only=search --width=32 --batch_size=64 --repetitions=9

Everything is measured in one process and in turn, after a check that all contenders
compute the same. Prints one JSON object a line: first the machine and the GFLOP/s its
matrix product reaches, then a row a contender. Run it with nothing else going on.
"""

import json

from absl import app, flags

from benchmarks import timing
from inpaint_jax.types import Architecture

_PARTS = ["search", "train", "blend", "startup"]

_ONLY = flags.DEFINE_multi_enum("only", _PARTS, _PARTS, "What to measure.")
_WIDTH = flags.DEFINE_integer("width", 64, "Channels of the outermost layer.")
_BATCH_SIZE = flags.DEFINE_multi_integer(
    "batch_size", [1, 8, 64, 256], "Batch sizes of the search."
)
_REPETITIONS = flags.DEFINE_integer("repetitions", 5, "Timed calls of each contender.")
_TUTORIAL_LIMIT = flags.DEFINE_integer(
    "tutorial_limit", 64, "Largest batch that the tutorials' form is timed with."
)


def main(_: list[str]) -> None:
    peak = timing.matrix_product_peak()
    print(json.dumps({**timing.machine(), "peak_gflops_per_second": round(peak, 1)}))
    for row in _rows(peak):
        print(json.dumps(row), flush=True)


def _rows(peak: float):
    architecture = Architecture(width=_WIDTH.value)
    repetitions = _REPETITIONS.value
    # Imported as they are needed: --only=blend wants no PyTorch.
    if "search" in _ONLY.value:
        from benchmarks import search_step

        yield from search_step.measure(
            architecture, _BATCH_SIZE.value, repetitions, peak, _TUTORIAL_LIMIT.value
        )
    if "train" in _ONLY.value:
        from benchmarks import train_step

        yield from train_step.measure(architecture, 64, repetitions, peak)
    if "blend" in _ONLY.value:
        from benchmarks import blending

        yield from blending.measure(256, repetitions)
    if "startup" in _ONLY.value:
        from benchmarks import startup

        yield from startup.measure(repetitions)


if __name__ == "__main__":
    app.run(main)
