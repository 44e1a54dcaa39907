"""Shared parts of all programs: start, messages, work folders and their files."""

import contextlib
import fcntl
import io
import json
import logging as records
import os
import re
import sys
import tempfile
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from pathlib import Path
from typing import Any, NoReturn

from absl import app, flags, logging
from tqdm import tqdm

from experiments.runtime import compilation_cache
from inpaint_jax.baselines import FillError
from inpaint_jax.data import written
from inpaint_jax.data.datasets import DataError
from inpaint_jax.data.pictures import ImageError
from inpaint_jax.names import readable
from inpaint_jax.pretrained import ModelError
from inpaint_jax.training import CheckpointError


class UsageError(ValueError):
    """A fault of the user's input or flags; the message is one line."""


_OF_RUNS = ("config.json", "quality.json", "results.json", "table.json")
"""Files that exist only in a program's folder."""

_THEIRS = (UsageError, CheckpointError, DataError, FillError, ImageError, ModelError)


def run(main: Callable[[], int | None]) -> None:
    """Parses the flags, runs ``main`` and exits with the status it returns.

    A fault that the user can correct (a flag, an input, a model, a folder that cannot
    be written) ends in one line on standard error and exit status 2. A traceback means
    a fault of the program.
    """

    def guarded(_: Sequence[str]) -> int | None:
        if not flags.FLAGS["verbosity"].present:
            # Orbax logs each of its own steps; --verbosity=0 shows them.
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

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A path that the terminal cannot show must not make the program fail.
            stream.reconfigure(errors="backslashreplace")
    app.run(guarded, flags_parser=_parse)


def name() -> str:
    """The name of the running program."""
    return Path(sys.argv[0]).stem


def complaint(error: Exception) -> str | None:
    """The message for an error that the user can correct; None for other errors."""
    if isinstance(error, _THEIRS):
        return str(error)
    if isinstance(error, OSError):  # A full disk, a folder where a file should be, ...
        return f"{error.filename or 'input or output'}: {error.strerror or error}"
    return None


def _hush_threads() -> None:
    """Keeps Orbax's and TensorStore's threads from printing tracebacks.

    Exceptions that matter are raised in the main thread as well.
    """

    def is_news(record: records.LogRecord) -> bool:
        theirs = record.name == "asyncio" or "/orbax/" in record.pathname
        return not (theirs and record.exc_info)

    def hook(unraisable: Any) -> None:
        # The first of many failed writes ends the event loop that waits for them all,
        # and the other writes find it closed.
        if str(unraisable.exc_value) != "Event loop is closed":
            sys.__unraisablehook__(unraisable)

    logging.get_absl_handler().addFilter(is_news)
    sys.unraisablehook = hook


def _parse(arguments: Sequence[str]) -> Sequence[str]:
    try:
        rest = flags.FLAGS(list(arguments))
    except SystemExit:  # --help has printed its text, which is not a failure.
        sys.exit(0)
    except BrokenPipeError:  # The reader of the output of --help has ended.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except flags.Error as error:
        # absl says of a required flag that it "must have a value other than None".
        lacking = re.match(r"flag --(\w+)=None: ", str(error))
        wrong = f"--{lacking[1]} is missing: give it" if lacking else error
        _fail(f"{wrong} (--help lists the flags)")
    if len(rest) > 1:
        _fail(f"what is {rest[1]!r}? Every argument is a flag (--help lists them)")
    own = {flag.name for flag in flags.FLAGS.get_key_flags_for_module(sys.argv[0])}
    for flag in (flags.FLAGS[each] for each in flags.FLAGS):
        # A module that the program imports may define flags that it does not use.
        where = flags.FLAGS.find_module_defining_flag(flag.name) or ""
        foreign = own and flag.name not in own and where.startswith("experiments.")
        if flag.present and foreign:
            _fail(f"this program has no --{flag.name} (--help lists the flags)")
        # An unset variable of the shell, for example; "" would mean the current folder.
        if flag.present and _is_empty(flag.value):
            _fail(f"--{flag.name}= is empty: give it a value or leave it out")
    return rest


def _is_empty(value: Any) -> bool:
    """Whether a flag's text, or one of the texts in its list, is blank."""
    if isinstance(value, list):
        return not value or any(map(_is_empty, value))
    return isinstance(value, str) and not value.strip()


def _fail(message: str) -> NoReturn:
    warn(message)
    sys.exit(2)


def warn(message: str) -> None:
    """Prints one line on standard error, the program's name before it."""
    tqdm.write(f"{name()}: {' '.join(message.split())}", file=sys.stderr)


@contextlib.contextmanager
def usage_errors() -> Iterator[None]:
    """Turns a ``ValueError`` of the library into a ``UsageError``.

    Use it only for the few lines that make configurations from flags: anywhere else a
    ``ValueError`` is a fault of the program.
    """
    try:
        yield
    except ValueError as error:
        raise UsageError(str(error)) from error


def make_folder(path: Path, results: Sequence[str] = ()) -> Path:
    """Makes the folder ``path`` (``~`` expanded) and checks that it can be written.

    Args:
      path: The folder.
      results: Names of pictures, and of folders of pictures, that the program writes
        there. They are noted, so that no program takes them for input.

    Returns:
      The folder.

    Raises:
      UsageError: The folder cannot be made or written, is not on a file system, or
        already holds a file of a result's name that no program wrote.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(path)):  # Path drops a slash of ://.
        url = str(path).replace(":/", "://", 1)
        raise UsageError(f"cannot write to {url}: give a folder of a file system")
    try:
        path = path.expanduser()
    except RuntimeError as error:  # ~user of an unknown user.
        raise UsageError(f"cannot write to {path}: {error}") from error
    if not any((path / each).exists() for each in (written.NOTE, *_OF_RUNS)):
        for each in results:
            if (path / each).exists():
                raise UsageError(
                    f"{path / each} is there already, and nothing says that a run "
                    "wrote it: give another folder for results"
                )
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):  # Is there room, and permission?
            pass
        written.add(path, name(), results)
    except OSError as error:
        raise UsageError(f"cannot write to {path}: {error.strerror}") from error
    return path


def refuse_input(result: Path, inputs: Iterable[str]) -> None:
    """Checks that no input is among the files that the program is going to write.

    Args:
      result: A file or a folder that the program writes.
      inputs: Paths that it reads.

    Raises:
      UsageError: An input is.
    """
    own = os.path.realpath(result)
    for given in inputs:
        if os.path.commonpath([own, os.path.realpath(given)]) == own:
            raise UsageError(
                f"{given} is input and would be replaced by results: give another "
                "place for them"
            )


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Locks ``folder`` for this process; a killed process holds no lock.

    Raises:
      UsageError: Another process holds the lock.
    """
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(f"{folder} is in use by another run") from error
        yield


def remember(
    path: Path,
    wanted: Mapping[str, Any],
    older: Mapping[str, Any] | None = None,
    unchecked: Collection[str] = (),
) -> dict[str, Any]:
    """Writes a run's configuration, or checks it against the one that is there.

    Args:
      path: The file.
      wanted: The configuration, as JSON values.
      older: Values of fields that older files lack.
      unchecked: Fields that may differ.

    Returns:
      The configuration that is in the file now.

    Raises:
      UsageError: The folder belongs to a run of another configuration.
    """
    plain: dict[str, Any] = json.loads(_to_json(wanted))
    if not path.exists():
        write_json(path, wanted)
        return plain
    try:
        there: dict[str, Any] = {**(older or {}), **json.loads(path.read_text())}
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path} is no configuration of a run: {error}") from error
    for field, value in plain.items():
        if field not in unchecked and there.get(field) != value:
            raise another_run(path.parent, field, there.get(field), value)
    return there


def another_run(folder: Path, field: str, there: Any, wanted: Any) -> UsageError:
    """The error for a folder whose run has another configuration."""
    remedy = "the flags it was begun with"
    if field == "precision" and there:
        # It may have been begun without the flag, on a machine that chooses otherwise.
        remedy = f"--precision={there}"
    return UsageError(
        f"{folder} belongs to a run with {field} = {there}, not {wanted}: give another "
        f"--workdir or {remedy}"
    )


def absolute(dataset: str) -> str:
    """``images:PATH`` with an absolute path; other names are returned as they are."""
    kind, colon, path = dataset.partition(":")
    if not colon or kind != "images":
        return dataset
    return f"images:{os.path.abspath(os.path.expanduser(path))}"


def without_folder(dataset: str) -> str:
    """``images:PATH`` with the last part of its path, for files that are passed on."""
    kind, colon, path = dataset.partition(":")
    return f"images:{Path(path).name}" if colon and kind == "images" else dataset


def append_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Appends a line of JSON for each row, all in one write."""
    text = "".join(_to_json(row) + "\n" for row in rows)
    with _named(path), path.open("a") as file:
        file.write(text)


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file atomically."""
    write_text(path, _to_json(value, indent=2) + "\n")


def _to_json(value: Any, indent: int | None = None) -> str:
    """JSON in ASCII; invalid Unicode (in file names) is made readable."""

    def valid(value: Any) -> Any:
        if isinstance(value, str):
            return readable(value)
        if isinstance(value, Mapping):
            return {valid(key): valid(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [valid(each) for each in value]
        return value

    return json.dumps(valid(value), indent=indent, allow_nan=False)


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file under a temporary name, then renames."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with _named(path):
        try:
            temporary.write_bytes(content)
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Adds the file's name to an ``OSError``, as that of a full disk has none."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
