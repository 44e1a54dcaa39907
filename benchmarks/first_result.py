"""Time from a start to pictures, of the program and of the library.

    python -m benchmarks.first_result --repetitions=5

Each row is a new process: one picture, and the four portraits; *cold*, with an empty
compilation cache, and *warm*, with what the cold one left. The processor's seconds are
reported beside those of the clock, since they depend less on what else is running.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from benchmarks import timing
from experiments.runtime import program

_ROOT = Path(__file__).parents[1]

_MODEL = flags.DEFINE_string("model", "faces", "As for experiments.inpaint.")
_STEPS = flags.DEFINE_integer(
    "steps", None, "Steps of the search. Default: those that suit the model."
)
_REPETITIONS = flags.DEFINE_integer(
    "repetitions", 3, "Warm starts of each kind.", lower_bound=1
)

_LIBRARY = """
import dataclasses, sys, jax, inpaint_jax
from inpaint_jax.data import images, pictures

model = inpaint_jax.load_model(sys.argv[1])
picture = images.crop_and_resize(
    pictures.read_picture("inpaint_jax/demo/collins.png"), size=model.image_size
)
size = (model.image_size,) * 2
mask = inpaint_jax.mask_function("center")(jax.random.key(0), size)
config = inpaint_jax.SEARCHES[model.search]
config = dataclasses.replace(config, steps=int(sys.argv[2]) or config.steps)
found = inpaint_jax.inpaint(
    model, picture[None] / 127.5 - 1, mask, jax.random.key(1), config=config
)
jax.block_until_ready(found)
"""


def main() -> int:
    print(json.dumps(timing.machine()))
    with tempfile.TemporaryDirectory() as folder:
        for row in _rows(Path(folder)):
            print(json.dumps(row), flush=True)
    return 0


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    for pictures in (1, 4):
        yield from _measure("program", pictures, folder / f"program {pictures}")
    yield from _measure("library", 1, folder / "library")


def _measure(what: str, pictures: int, folder: Path) -> Iterator[dict[str, Any]]:
    """The rows of one kind of start: cold, and warm."""
    cache, steps = folder / "cache", _STEPS.value
    if what == "library":
        command = ["-c", _LIBRARY, _MODEL.value, str(steps or 0)]
    else:
        command = ["-m", "experiments.inpaint", f"--model={_MODEL.value}"]
        command += [f"--limit={pictures}", f"--output={folder}/output"]
        command += [f"--compilation_cache={cache}"]
        command += [f"--steps={steps}"] if steps else []
    for kind, count in (("cold", 1), ("warm", _REPETITIONS.value)):
        seconds = [_start(command, cache) for _ in range(count)]
        of_clock, of_processor = zip(*seconds, strict=True)
        yield {
            "what": what,
            "pictures": pictures,
            "cache": kind,
            "seconds": timing.spread(list(of_clock), 2),
            "processor_seconds": timing.spread(list(of_processor), 2),
        }


def _start(command: Sequence[str], cache: Path) -> tuple[float, float]:
    """Seconds of the clock and of all processors that a new Python takes."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(_ROOT),
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    before, began = _of_children(), time.perf_counter()
    subprocess.run(
        [sys.executable, *command],
        check=True,
        capture_output=True,
        env=environment,
        cwd=_ROOT,
    )
    return time.perf_counter() - began, _of_children() - before


def _of_children() -> float:
    """Seconds of processors that all ended children have taken."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    program.run(main)
