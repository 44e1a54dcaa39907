"""Traces of compiled functions, kept beside JAX's compilation cache.

The cache spares a program the compilation, but not the tracing and lowering before it,
in Python, which take longer than a short search. So the lowered function is kept, too,
as ``jax.export`` writes it: no code of Python's, and nothing of the arguments' values.
"""

import functools
import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.export
import jaxlib
from absl import logging

import inpaint_jax
from experiments.runtime import program
from inpaint_jax.types import Losses, Solution

_FOLDER = "traces"
_LIBRARY = Path(inpaint_jax.__file__).parent
_CHECKSUM = hashlib.sha256().digest_size

_compiled: dict[str, Callable[..., Any]] = {}
"""Functions that this process has compiled, by the names of their traces."""

for _record in (Losses, Solution):
    jax.export.register_namedtuple_serialization(
        _record, serialized_name=f"inpaint_jax.{_record.__name__}"
    )


def keep(
    function: Callable[..., Any], about: str, folder: Path | None
) -> Callable[..., Any]:
    """A compiled function whose trace is read from the cache, or written to it.

    A process compiles it once for each kind of arguments, however often it is kept.

    Args:
      function: A pure function of pytrees of arrays, for one device, to arrays in the
        library's records or Python's containers.
      about: What tells the function from others, but for the structure and shapes of
        its arguments, the library's code, and JAX with its settings.
      folder: Where compiled code is kept; None: nothing is.

    Returns:
      The function.
    """

    def call(*arguments: Any) -> Any:
        leaves, tree = jax.tree.flatten(arguments)
        name = _name(about, leaves, tree)
        if name not in _compiled:
            of_leaves = jax.jit(
                lambda leaves: function(*jax.tree.unflatten(tree, leaves))
            )
            if folder is not None:
                path = folder / _FOLDER / name
                of_leaves = _with_trace(of_leaves, leaves, path)
            _compiled[name] = of_leaves
        return _compiled[name](leaves)

    return call


def _name(about: str, leaves: Sequence[Any], tree: Any) -> str:
    """A name for all that a trace depends on."""
    shapes = [str(jax.typeof(leaf)) for leaf in leaves]
    # Functions are printed with their addresses, which another process has not.
    structure = re.sub(" at 0x[0-9a-f]+", "", str(tree))
    text = f"{about} {structure} {shapes} {_settings()} {_code(_LIBRARY)}"
    return hashlib.sha256(text.encode()).hexdigest()


def _settings() -> str:
    """JAX's versions, device and settings but those of its cache."""
    versions = jax.__version__, jaxlib.__version__
    config: Any = jax.config
    values = {k: v for k, v in sorted(config.values.items()) if "cache" not in k}
    return f"{versions} {jax.devices()[0].device_kind} {values}"


@functools.cache
def _code(folder: Path) -> str:
    """A checksum of all code in a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()


def _with_trace(function: Any, leaves: list[Any], path: Path) -> Any:
    """The function from the trace in a file, which is made if it is not there."""
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
