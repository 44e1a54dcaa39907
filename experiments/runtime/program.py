"""What every program here shares: how it starts, and how it says what is wrong."""

import contextlib
import fcntl
import json
import logging as records
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from absl import app, flags, logging
from tqdm import tqdm

from experiments.runtime import compilation_cache
from inpaint_jax.baselines import FillError
from inpaint_jax.data.datasets import DataError
from inpaint_jax.data.pictures import ImageError
from inpaint_jax.pretrained import ModelError
from inpaint_jax.training import CheckpointError


class UsageError(ValueError):
    """Something the user gave is wrong; the message is one line that says what."""


_THEIRS = (UsageError, CheckpointError, DataError, FillError, ImageError, ModelError)


def run(main: Callable[[], int | None]) -> None:
    """Parses the flags, runs ``main`` and exits with the status it returns.

    Whatever the user can put right (a flag, an input, a model, a folder that cannot
    be written) ends in one line on standard error and exit status 2; a traceback
    means a fault of the program.
    """

    def guarded(_: Sequence[str]) -> int | None:
        if not flags.FLAGS["verbosity"].present:
            # Orbax logs each of its own steps; --verbosity=0 brings that back.
            logging.set_verbosity(logging.WARNING)
            _hush_threads()
        try:
            compilation_cache.use()
            return main()
        except Exception as error:
            message = complaint(error)
            if message is None:
                raise
            _fail(message)
        except KeyboardInterrupt:
            print(file=sys.stderr)
            sys.exit(130)

    app.run(guarded, flags_parser=_parse)


def complaint(error: Exception) -> str | None:
    """What to tell the user of an error that is theirs to put right, else None."""
    if isinstance(error, _THEIRS):
        return str(error)
    if isinstance(error, OSError):  # A full disk, a folder where a file should be, ...
        return f"{error.filename or 'input or output'}: {error.strerror or error}"
    return None


def _hush_threads() -> None:
    """Keeps Orbax's and TensorStore's threads from printing tracebacks.

    What matters of their exceptions is raised in the main thread as well.
    """

    def is_news(record: records.LogRecord) -> bool:
        theirs = record.name == "asyncio" or "/orbax/" in record.pathname
        return not (theirs and record.exc_info)

    def hook(unraisable: Any) -> None:
        # The first of many failed writes ends the event loop that waits for them all;
        # the others find it closed.
        if str(unraisable.exc_value) != "Event loop is closed":
            sys.__unraisablehook__(unraisable)

    logging.get_absl_handler().addFilter(is_news)
    sys.unraisablehook = hook


def _parse(arguments: Sequence[str]) -> Sequence[str]:
    try:
        rest = flags.FLAGS(list(arguments))
    except flags.Error as error:
        _fail(f"{error} (--help lists the flags)")
    if len(rest) > 1:
        _fail(f"what is {rest[1]!r}? Every argument is a flag (--help lists them)")
    return rest


def _fail(message: str) -> NoReturn:
    warn(message)
    sys.exit(2)


def warn(message: str) -> None:
    """Prints one line on standard error, the program's name before it."""
    name = Path(sys.argv[0]).stem
    tqdm.write(f"{name}: {' '.join(message.split())}", file=sys.stderr)


@contextlib.contextmanager
def usage_errors() -> Iterator[None]:
    """Turns a ``ValueError`` of the library into a complaint to the user.

    To be put round the few lines that make configurations of flags, and nothing
    else: anywhere else a ``ValueError`` is a fault of the program.
    """
    try:
        yield
    except ValueError as error:
        raise UsageError(str(error)) from error


def make_folder(path: Path) -> Path:
    """Makes ``path`` (``~`` expanded) and shows that files can be written there.

    Returns:
      The folder.

    Raises:
      UsageError: It cannot be made or written, or is not on a file system.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(path)):  # A path has lost a slash.
        url = str(path).replace(":/", "://", 1)
        raise UsageError(f"cannot write to {url}: give a folder of a file system")
    try:
        path = path.expanduser()
    except RuntimeError as error:  # A user that is not known.
        raise UsageError(f"cannot write to {path}: {error}") from error
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(f"cannot write to {path}: {error.strerror}") from error
    return path


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Keeps ``folder`` to this process; a killed process holds no lock.

    Raises:
      UsageError: Another process has it.
    """
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(f"{folder} is in use by another run") from error
        yield


def remember(
    path: Path, wanted: Mapping[str, Any], older: Mapping[str, Any] | None = None
) -> None:
    """Writes a run's configuration, or checks it against the one that is there.

    Args:
      path: The file.
      wanted: The configuration, as JSON gives it back.
      older: What a file that does not name a field meant by that.

    Raises:
      UsageError: The folder belongs to a run of another configuration.
    """
    if not path.exists():
        write_json(path, wanted)
        return
    try:
        there = {**(older or {}), **json.loads(path.read_text())}
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path} is no configuration of a run: {error}") from error
    for name, value in wanted.items():
        if there.get(name) != value:
            raise UsageError(
                f"{path.parent} belongs to a run with {name} = {there.get(name)}, "
                f"not {value}: give another --workdir or the flags it was begun with"
            )


def absolute(dataset: str) -> str:
    """``images:PATH`` as it reads from any folder; other names as they are."""
    kind, colon, path = dataset.partition(":")
    if not colon or kind != "images":
        return dataset
    return f"images:{os.path.abspath(os.path.expanduser(path))}"


def append_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Adds a line of JSON for each row, all of them in one go."""
    text = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
    with path.open("a") as file:
        file.write(text)


def write_json(path: Path, value: Any) -> None:
    """Writes JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file under a temporary name, then renames."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)
