"""Traces of compiled functions, kept beside JAX's compilation cache.

The cache spares a program the compilation, but not the tracing and lowering before it,
in Python, which take longer than a short search. So the lowered function is kept, too,
as ``jax.export`` writes it: no code of Python's, and nothing of the arguments' values.
"""

import functools
import hashlib
import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.export
from absl import logging

import inpaint_jax
from experiments.runtime import program
from inpaint_jax.types import Losses, Solution

_FOLDER = "traces"
_SETTINGS = ("enable_x64", "default_matmul_precision", "default_prng_impl")
_CHECKSUM = hashlib.sha256().digest_size

for _record in (Losses, Solution):
    jax.export.register_namedtuple_serialization(
        _record, serialized_name=f"inpaint_jax.{_record.__name__}"
    )


def keep(
    function: Callable[..., Any], about: str, folder: Path | None
) -> Callable[..., Any]:
    """A compiled function whose trace is read from the cache, or written to it.

    Args:
      function: A pure function of pytrees of arrays, for one device, to arrays in the
        library's records or Python's containers.
      about: What tells the function from others, but for the shapes of its arguments,
        this project's code and JAX.
      folder: Where compiled code is kept; None: nothing is.

    Returns:
      The function.
    """
    compiled: dict[Any, Callable[..., Any]] = {}

    def call(*arguments: Any) -> Any:
        leaves, tree = jax.tree.flatten(arguments)
        shapes = tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves)
        if shapes not in compiled:
            of_leaves = jax.jit(
                lambda leaves: function(*jax.tree.unflatten(tree, leaves))
            )
            compiled[shapes] = _read(of_leaves, leaves, f"{about} {shapes}", folder)
        return compiled[shapes](leaves)

    return call


def _read(function: Any, leaves: list[Any], about: str, folder: Path | None) -> Any:
    """The function, from its trace if that can be kept."""
    if folder is None:
        return function
    path = folder / _FOLDER / hashlib.sha256(f"{_code()} {about}".encode()).hexdigest()
    kept = _content(path)
    if kept is not None:
        return jax.jit(jax.export.deserialize(kept).call)
    exported = jax.export.export(function)(leaves)
    content = exported.serialize()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        program.write_bytes(path, hashlib.sha256(content).digest() + content)
    except OSError as error:
        logging.warning("nothing traced is kept for the next run: %s", error)
    # As the next run will have it: results are the same to the last bit.
    return jax.jit(exported.call)


def _content(path: Path) -> bytearray | None:
    """A file's content behind its checksum; None: there is none, or it is damaged.

    JAX's reader would not survive all damage.
    """
    try:
        whole = path.read_bytes()
    except OSError:
        return None
    checksum, content = whole[:_CHECKSUM], whole[_CHECKSUM:]
    return bytearray(content) if checksum == hashlib.sha256(content).digest() else None


@functools.cache
def _code() -> str:
    """A checksum of all that a trace depends on beside the function."""
    settings = (
        *(importlib.metadata.version(name) for name in ("jax", "jaxlib")),
        jax.devices()[0].device_kind,
        *(getattr(jax.config, f"jax_{name}") for name in _SETTINGS),
    )
    digest = hashlib.sha256(repr(settings).encode())
    root = Path(inpaint_jax.__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return digest.hexdigest()
