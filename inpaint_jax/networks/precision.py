"""The number types that networks multiply in, and which of them is faster here."""

import functools
from pathlib import Path

import jax
import jaxlib

PRECISIONS = ("float32", "bfloat16")
"""Number types that the factors of the networks' products can have."""
AUTO = "auto"
"""Stands for the faster of them."""

_UNIT = "amx_bf16"
_SINCE = (0, 12)


def choose(precision: str) -> str:
    """The number type that is meant: one of ``PRECISIONS``.

    ``AUTO`` is bfloat16 on GPUs and TPUs, and on processors with a unit for products of
    bfloat16 matrices (Intel's AMX) if this jaxlib uses it, as it does from 0.12 on. On
    other processors it is float32: with instructions for bfloat16 alone (AVX512-BF16)
    only small batches are faster (docs/notes/2026-11-precision.md). It depends on
    nothing else, so a machine with the same jaxlib always chooses the same.

    Raises:
      ValueError: There is no such precision.
    """
    if precision == AUTO:
        return PRECISIONS[_multiplies_bfloat16()]
    if precision not in PRECISIONS:
        known = ", ".join((AUTO, *PRECISIONS))
        raise ValueError(f"precision must be one of {known}, not {precision}")
    return precision


def _multiplies_bfloat16() -> bool:
    """Whether products of bfloat16 matrices are faster than those of float32 here."""
    if jax.default_backend() != "cpu":
        return True
    version = tuple(int(part) for part in jaxlib.__version__.split(".")[:2])
    return version >= _SINCE and _UNIT in _processor_flags(Path("/proc/cpuinfo"))


@functools.cache
def _processor_flags(file: Path) -> frozenset[str]:
    """What the processor can do; empty where the system has no such file."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return frozenset(value.split())
    return frozenset()
