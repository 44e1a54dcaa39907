"""Measures this project and alternatives to it.

    pip install -e '.[bench]'
    python -m benchmarks
    python -m benchmarks --only=search --width=32 --batch_size=64 --repetitions=9

All contenders are timed in turn, in one process, after a check that their results
agree. Prints one JSON object per line: first the machine and the GFLOP/s of its matrix
product, then a row for each contender. Without PyTorch its rows are left out. Run it on
an otherwise idle machine.
"""

import importlib.util
import json
from collections.abc import Iterator
from typing import Any

import jax
from absl import flags

from benchmarks import timing
from experiments.runtime import program
from inpaint_jax.configs import Architecture

_WANTED = {
    "search": (),
    "train": (),
    "blend": ("pyamg", "scipy"),
    "startup": (),
}
"""Measurements by name, with the packages of the extra ``bench`` that each needs."""

_ONLY = flags.DEFINE_multi_enum(
    "only", list(_WANTED), list(_WANTED), "Measurements to run."
)
_WIDTH = flags.DEFINE_integer(
    "width", 64, "Channels of the outermost layer.", lower_bound=1
)
_IMAGE_SIZE = flags.DEFINE_integer(
    "image_size", 64, "Side of the networks' images: a power of two, at least 16."
)
_BATCH_SIZE = flags.DEFINE_multi_integer(
    "batch_size", [1, 8, 64, 256], "Batch sizes of the search.", lower_bound=1
)
_REPETITIONS = flags.DEFINE_integer(
    "repetitions", 5, "Timed calls of each contender.", lower_bound=1
)
_SECONDS = flags.DEFINE_float(
    "seconds", 2.0, "Approximate duration of a timed search.", lower_bound=0.0
)
_BLEND_IMAGES = flags.DEFINE_integer(
    "blend_images", 256, "Images that are blended at once.", lower_bound=1
)
_TUTORIAL_LIMIT = flags.DEFINE_integer(
    "tutorial_limit", 64, "Largest batch for which the tutorials' code is timed."
)


def main() -> int:
    for part in _ONLY.value:
        for package in _WANTED[part]:
            if importlib.util.find_spec(package) is None:
                raise program.UsageError(
                    f"--only={part} needs {package}: pip install -e '.[bench]'"
                )
    with program.usage_errors():
        architecture = Architecture(width=_WIDTH.value, image_size=_IMAGE_SIZE.value)
    # Compilation is timed as well.
    jax.config.update("jax_enable_compilation_cache", False)
    peak = timing.matrix_product_peak()
    print(json.dumps({**timing.machine(), "peak_gflops_per_second": round(peak, 1)}))
    for row in _rows(architecture, peak):
        print(json.dumps(row), flush=True)
    return 0


def _rows(architecture: Architecture, peak: float) -> Iterator[dict[str, Any]]:
    repetitions = _REPETITIONS.value
    # Imported as needed, because each needs other packages.
    if "search" in _ONLY.value:
        from benchmarks import search_step

        yield from search_step.measure(
            architecture,
            _BATCH_SIZE.value,
            search_step.Effort(repetitions, _SECONDS.value, _TUTORIAL_LIMIT.value),
            peak,
        )
    if "train" in _ONLY.value:
        from benchmarks import train_step

        yield from train_step.measure(architecture, 64, repetitions, peak)
    if "blend" in _ONLY.value:
        from benchmarks import blending

        yield from blending.measure(_BLEND_IMAGES.value, repetitions)
    if "startup" in _ONLY.value:
        from benchmarks import startup

        yield from startup.measure(repetitions)


if __name__ == "__main__":
    program.run(main)
