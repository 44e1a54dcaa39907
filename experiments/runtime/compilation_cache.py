"""JAX's persistent compilation cache, so that a program compiles things only once."""

import contextlib
import hashlib
import os
import platform
import stat
import time
import zlib
from pathlib import Path
from typing import Any

import jax
from absl import flags, logging

from inpaint_jax.data.cache import user_folder

_SLACK = 5.0  # Seconds by which a file server's clock may differ.
_ZSTANDARD = b"\x28\xb5\x2f\xfd"

_CACHE = flags.DEFINE_string(
    "compilation_cache",
    None,
    "Folder for compiled code, or 'none'. Default: $JAX_COMPILATION_CACHE_DIR, or "
    "inpaint_jax in $XDG_CACHE_HOME or ~/.cache.",
)


def use() -> None:
    """Turns the cache on if only the user can write to its folder.

    Programs execute the folder's content, so one that others can write to is not used;
    that of JAX's own variable is left to who set it. Call this before the first
    computation.
    """
    given = _CACHE.value or None
    if given == "none":
        jax.config.update("jax_enable_compilation_cache", False)
        return
    if given is None and os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        _keep_small_functions()
        return  # JAX reads the variable itself.
    try:
        chosen = Path(given).expanduser() if given else user_folder()
        chosen.mkdir(parents=True, mode=0o700, exist_ok=True)
        status = chosen.stat()
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home folder.
        _without(str(error))
        return
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        _without(f"{chosen} can be written by others")
        return
    jax.config.update("jax_compilation_cache_dir", str(of_machine(chosen)))
    _keep_small_functions()


def folder() -> Path | None:
    """The folder in use; None: there is none, or it is not on a disk."""
    config: Any = jax.config
    used = config.jax_compilation_cache_dir
    if not used or not config.jax_enable_compilation_cache:
        return None
    # JAX can keep things in the cloud, too: gs://...
    return None if "://" in used else Path(used)


def _keep_small_functions() -> None:
    """Has JAX keep what compiles in less than a second, too, unless it was told.

    Many small functions together take as long as a large one.
    """
    least = {
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    for name, value in least.items():
        if name.upper() not in os.environ:
            jax.config.update(name, value)


def of_machine(folder: Path) -> Path:
    """The part of a cache for this kind of processor, without damaged files."""
    folder /= _machine()
    _drop_damaged(folder)
    return folder


def _drop_damaged(folder: Path) -> None:
    """Removes incomplete files that a killed run left.

    JAX would neither use nor replace them. Only files written since the last check are
    read: reading a thousand files takes longer than the start of the program.
    """
    stamp, began = folder / ".checked", time.time()
    since = stamp.stat().st_mtime - _SLACK if stamp.exists() else 0.0
    for path in folder.glob("*-cache"):
        try:
            if path.stat().st_mtime < since:
                continue
            with path.open("rb") as file:
                if file.read(4) == _ZSTANDARD:
                    continue  # Compressed by an optional package; not checked.
                file.seek(0)
                stream = zlib.decompressobj()
                stream.decompress(file.read())
            damaged = not stream.eof
        except zlib.error:
            damaged = True
        except OSError:
            continue
        if damaged:
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # There is no folder yet, or no space.
        stamp.touch()
        os.utime(stamp, (began, began))


def _machine() -> str:
    """A name for this kind of processor.

    Compiled code may not run on another kind, and a home folder may be shared between
    machines.
    """
    described = platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = ("flags", "Features")  # On x86 and on ARM.
        described += next(line for line in lines if line.startswith(names))
    except (OSError, StopIteration):
        described += platform.processor()
    return hashlib.sha256(described.encode()).hexdigest()[:12]


def _without(reason: str) -> None:
    # The folder in the environment is not used either, as the user named another one.
    jax.config.update("jax_enable_compilation_cache", False)
    logging.warning("nothing compiled is kept for the next run: %s", reason)
