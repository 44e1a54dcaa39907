"""Time from the command line to the first result: imports, compilation, cache."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import timing

_ROOT = Path(__file__).parents[1]


def measure(repetitions: int) -> Iterator[dict[str, Any]]:
    """Rows for imports, and for one step on one picture without and with the cache."""
    with tempfile.TemporaryDirectory() as folder:
        for what, code in (
            ("import jax", "import jax"),
            ("import", "import inpaint_jax"),
        ):
            seconds = [_run([sys.executable, "-c", code]) for _ in range(repetitions)]
            yield {"what": what, "seconds": timing.spread(seconds, 2)}
        program = [
            sys.executable,
            "-m",
            "experiments.inpaint",
            "--limit=1",
            "--steps=1",
        ]
        program.append(f"--output={folder}/output")
        cache = f"--compilation_cache={folder}/cache"
        first = [_run([*program, "--compilation_cache=none"])]
        yield {"what": "first result, no cache", "seconds": timing.spread(first, 2)}
        first = [_run([*program, cache])]
        yield {"what": "first result, empty cache", "seconds": timing.spread(first, 2)}
        later = [_run([*program, cache]) for _ in range(repetitions)]
        yield {"what": "first result, full cache", "seconds": timing.spread(later, 2)}


def _run(command: list[str]) -> float:
    began = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return time.perf_counter() - began
