"""Timing of contenders: in turn, in one process, repeatedly."""

import concurrent.futures
import importlib.metadata
import importlib.util
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from inpaint_jax.networks import precision


def alternate(
    contenders: Mapping[str, Callable[[], object]], repetitions: int
) -> dict[str, list[float]]:
    """Seconds of every call, for all contenders in turn, ``repetitions`` times.

    A call must return only when its work is done. An uncounted first round warms up.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for repetition in range(repetitions + 1):
        for name, call in contenders.items():
            began = time.perf_counter()
            call()
            if repetition:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def spread(values: list[float], digits: int = 3) -> dict[str, float]:
    """Median, least and greatest value."""
    return {
        "median": round(statistics.median(values), digits),
        "min": round(min(values), digits),
        "max": round(max(values), digits),
    }


def matrix_product_peak(size: int = 2048, repetitions: int = 9) -> float:
    """GFLOP/s of the fastest of several float32 products of two square matrices."""
    matrix = jax.random.normal(jax.random.key(0), (size, size))
    product = jax.jit(jnp.matmul)
    runs = alternate(
        {"": lambda: product(matrix, matrix).block_until_ready()}, repetitions
    )
    return 2 * size**3 / min(runs[""]) / 1e9


def memory(compiled: jax.stages.Compiled) -> dict[str, float]:
    """MiB of memory that a compiled function needs beside its results."""
    found = compiled.memory_analysis()
    assert found is not None  # Every back end here has it.
    return {
        "temporary_mib": round(found.temp_size_in_bytes / 2**20, 1),
        "argument_mib": round(found.argument_size_in_bytes / 2**20, 2),
    }


def peak_memory(function: Callable[..., object], *arguments: Any) -> int:
    """MiB of memory of a process that only calls a function, of a module."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_call_and_look, function, *arguments).result()


def _call_and_look(function: Callable[..., object], *arguments: Any) -> int:
    function(*arguments)
    # Not by getrusage, which on Linux includes the parent's memory at the fork.
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1024


def has_torch() -> bool:
    """Whether PyTorch is installed (for some versions of Python there is none)."""
    return importlib.util.find_spec("torch") is not None


def machine() -> dict[str, Any]:
    """Description of the machine and of the software versions."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "device": str(jax.devices()[0].device_kind),
        "python": platform.python_version(),
        "jaxlib": importlib.metadata.version("jaxlib"),
        "torch": importlib.metadata.version("torch") if has_torch() else None,
        "auto_precision": precision.choose(precision.AUTO),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            lines = [line for line in file if line.startswith("model name")]
        return lines[0].split(":")[1].strip()
    except (OSError, IndexError):
        return platform.processor() or platform.machine()
