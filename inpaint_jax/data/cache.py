"""Decoded data sets on the disk, so that archives are read only once.

A folder for each split, crop and size holds ``images.npy``, ``[N, S, S, 3]`` uint8,
which is mapped into memory and not read, and ``about.json`` with the ids. Its name has
a checksum of what it was made of, so other files get another folder. It is made under
another name and renamed when it is whole; a run that is killed leaves what it has done
for the next one, and a second process waits for the first.
"""

import contextlib
import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import tqdm
from absl import logging

from inpaint_jax.data.archives import Original, Task, digest
from inpaint_jax.data.decoding import read_picture
from inpaint_jax.data.files import DataError, ImageError
from inpaint_jax.data.images import crop_and_resize
from inpaint_jax.data.opening import Encoded
from inpaint_jax.data.threads import in_threads

_VERSION = 1  # Of the folders; another one makes them anew.
_IMAGES, _KEPT, _ABOUT = "images.npy", "kept.npy", "about.json"
_JOURNAL, _LOCK = "done.jsonl", ".lock"
_PIECE = 64  # Pictures decoded in one go by a thread ...
_PIECE_BYTES = 16 << 20  # ... or fewer, where they are large files in memory.
_PIECES_NOTED = 64  # Pieces that a killed run may lose.


class Cached(NamedTuple):
    """A decoded split.

    Attributes:
      path: Its folder.
      images: ``[N, S, S, 3]`` uint8, mapped from the disk and read-only.
      ids: N ids.
      failed: The reason for each picture that could not be read and was left out, by
        its id, in the data set's order.
    """

    path: Path
    images: np.ndarray
    ids: tuple[str, ...]
    failed: Mapping[str, str]


def user_folder() -> Path:
    """The folder for what this user may lose: $XDG_CACHE_HOME or ~/.cache.

    Raises:
      RuntimeError: There is no home folder.
    """
    given = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says that a relative path is invalid.
    place = Path(given) if os.path.isabs(given) else Path.home() / ".cache"
    return place / "inpaint_jax"


def load(
    original: Original,
    label: str,
    *,
    crop: str | int,
    size: int,
    folder: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Cached:
    """Opens a decoded split, which is decoded first if it is not there.

    Args:
      original: The split in its own files.
      label: What to call it: the data set and the split.
      crop: As for ``crop_and_resize``, or ``box``.
      size: Side of the images.
      folder: Folder of the cache; None: ``data`` in ``user_folder``.
      progress: Whether to show a progress bar if standard error is a terminal.

    Returns:
      The split. Its memory is that of the pages that are looked at.

    Raises:
      DataError: The files are damaged, no picture can be read, or the folder cannot be
        written or was changed by others.
    """
    try:
        base = user_folder() / "data" if folder is None else Path(folder).expanduser()
    except RuntimeError as error:  # There is no home folder.
        raise DataError(f"no folder for decoded data ({error}): name one") from error
    whole = [str(_VERSION), str(crop), str(size), original.fingerprint, *original.ids]
    entry = base / f"{label}-{crop}-{size}-{digest(whole)[:16]}"
    if not entry.exists():
        with _writing(entry):
            if folder is None:
                # Compiled code lies beside it and must be the user's own.
                base.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            base.mkdir(parents=True, exist_ok=True)
        _make(entry, original, crop, size, progress)
    return _open(entry, size)


def _open(entry: Path, size: int) -> Cached:
    try:
        about = json.loads((entry / _ABOUT).read_text())
        ids, failed = tuple(about["ids"]), dict(about["failed"])
        images = np.load(entry / _IMAGES, mmap_mode="r")
        if images.shape != (len(ids), size, size, 3) or images.dtype != np.uint8:
            raise ValueError("its parts do not fit together")
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{entry}: damaged ({error}): delete that folder") from error
    return Cached(entry, images, ids, failed)


def _make(
    entry: Path, original: Original, crop: str | int, size: int, progress: bool
) -> None:
    partial = entry.with_name(f"{entry.name}.partial")
    with _locked(partial):
        if entry.exists():  # Another process has made it meanwhile.
            shutil.rmtree(partial, ignore_errors=True)
            return
        try:
            with _Writer(partial, len(original.ids), size) as writer:
                _decode(original, writer, crop, size, progress)
                writer.finish(original)
        except DataError:  # What comes of other files has another name.
            shutil.rmtree(partial, ignore_errors=True)
            raise
        with _writing(entry):
            partial.rename(entry)


@contextlib.contextmanager
def _locked(partial: Path) -> Iterator[None]:
    """Locks an unfinished folder for this process; a killed process holds no lock."""
    while True:
        with _writing(partial):
            partial.mkdir(exist_ok=True)
            try:
                file = (partial / _LOCK).open("w")
            except FileNotFoundError:  # It was renamed or deleted this very moment.
                continue
        with file:
            _wait_for(file, partial)
            if _is_at(file, partial / _LOCK):
                yield
                return


def _wait_for(file: IO[str], partial: Path) -> None:
    """Locks a file, after another process if need be."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        logging.warning("another process decodes %s: waiting for it", partial.stem)
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        reason = f"{partial.parent}: cannot be locked ({error.strerror})"
        raise DataError(f"{reason}: give a local folder for it") from error


def _is_at(file: IO[str], path: Path) -> bool:
    """Whether a path still leads to a file, which another process may have moved."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turns a failure to write into a ``DataError`` that names the place."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{path}: {error.strerror or error}; decoded data needs another folder or "
            "more room"
        ) from error


class _Writer:
    """The files of an unfinished folder.

    Not a memory map: writing to one ends in a signal where the disk is full, and counts
    as memory of the process.

    Args:
      folder: The folder; it may hold what an earlier run has done.
      count: Number of pictures.
      size: Side of the images.
    """

    def __init__(self, folder: Path, count: int, size: int):
        self.folder, self.shape = folder, (count, size, size, 3)
        self.done: set[int] = set()
        self.failed: dict[int, str] = {}
        self._noted: list[int] = []
        self._pieces = 0
        with _writing(folder):
            first = self._resume()
            mode = "r+b" if first else "w+b"
            self._file: IO[bytes] = (folder / _IMAGES).open(mode)
            self._first = first or _write_header(self._file, self.shape)

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _resume(self) -> int:
        """Reads what was done; returns where pixels begin, 0 if nothing was done."""
        try:
            with (self.folder / _IMAGES).open("rb") as file:
                np.lib.format.read_magic(file)
                shape, _, _ = np.lib.format.read_array_header_1_0(file)
                first = file.tell()
            lines = (self.folder / _JOURNAL).read_text().splitlines()
        except (OSError, ValueError):
            lines, shape, first = [], (), 0
        if shape != self.shape:  # Another run was about to finish it.
            (self.folder / _JOURNAL).unlink(missing_ok=True)
            return 0
        for line in lines:
            with contextlib.suppress(ValueError, KeyError):  # A line is cut off.
                row = json.loads(line)
                self.failed |= {int(k): str(v) for k, v in row["failed"].items()}
                self.done.update(row["done"])
        return first

    def write(self, result: "_Result") -> None:
        """Writes the images of a piece, and notes from time to time what is done."""
        pixels = int(np.prod(self.shape[1:]))
        with _writing(self.folder):
            for index, image in result.images.items():
                self._file.seek(self._first + index * pixels)
                self._file.write(image.tobytes())
        self.failed |= result.failed
        self._noted += [*result.images, *result.failed]
        self._pieces += 1
        if self._pieces % _PIECES_NOTED == 0:
            self._note()

    def _note(self) -> None:
        failed = {i: self.failed[i] for i in self._noted if i in self.failed}
        line = json.dumps({"done": self._noted, "failed": failed})
        with _writing(self.folder):
            # What is noted must be on the disk before the note is.
            self._file.flush()
            os.fsync(self._file.fileno())
            with (self.folder / _JOURNAL).open("a") as journal:
                journal.write(f"\n{line}\n")  # Behind a line that may be cut off.
        self.done.update(self._noted)
        self._noted = []

    def finish(self, original: Original) -> None:
        """Leaves images and ids of the pictures that could be read, in their order.

        Raises:
          DataError: There is none, or the files cannot be written.
        """
        self._note()
        count = self.shape[0]
        for index in set(range(count)) - self.done:
            lost = original.ids[index]
            self.failed[index] = f"{original.place}: has no picture {lost}"
        failed = {original.ids[i]: self.failed[i] for i in sorted(self.failed)}
        if len(failed) == count:
            counts = f"{count} of {count} pictures could not be read"
            first = next(iter(failed.values()))
            raise DataError(f"{original.place}: {counts}; the first: {first}")
        kept = [i for i in range(count) if i not in self.failed]
        about = {"ids": [original.ids[i] for i in kept], "failed": failed}
        with _writing(self.folder):
            if failed:
                self._drop_holes(kept)
            else:  # A last image that is all that is missing would cut the file off.
                self._file.truncate(self._first + int(np.prod(self.shape)))
            (self.folder / _ABOUT).write_text(json.dumps(about))
            (self.folder / _JOURNAL).unlink()

    def _drop_holes(self, kept: list[int]) -> None:
        """Copies the images that there are, some at a time."""
        pixels = int(np.prod(self.shape[1:]))
        with (self.folder / _KEPT).open("w+b") as file:
            _write_header(file, (len(kept), *self.shape[1:]))
            for index in kept:
                self._file.seek(self._first + index * pixels)
                file.write(self._file.read(pixels))
            file.flush()
            os.fsync(file.fileno())
        (self.folder / _KEPT).replace(self.folder / _IMAGES)


def _write_header(file: IO[bytes], shape: tuple[int, ...]) -> int:
    """Writes the header of a .npy file; returns where the pixels begin."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    file.flush()
    return file.tell()


# --- decoding ----------------------------------------------------------------


class _Result(NamedTuple):
    """Images and reasons of failures of a piece, by number."""

    images: dict[int, np.ndarray]
    failed: dict[int, str]


def _decode(
    original: Original, writer: _Writer, crop: str | int, size: int, progress: bool
) -> None:
    """Decodes in a few threads what is not done; little waits in memory at a time."""

    def work(piece: list[Task]) -> _Result:
        result = _Result({}, {})
        for task in piece:
            try:
                result.images[task.number] = _cropped(task, crop, size)
            except ImageError as error:
                result.failed[task.number] = str(error)
        return result

    quiet = not (progress and sys.stderr.isatty())
    pieces = _pieces(original.tasks(frozenset(writer.done)))
    with tqdm.tqdm(
        total=len(original.ids),
        initial=len(writer.done),
        desc="decoding",
        unit="image",
        disable=quiet,
    ) as bar:
        for result in in_threads(work, pieces):
            writer.write(result)
            bar.update(len(result.images) + len(result.failed))


def _cropped(task: Task, crop: str | int, size: int) -> np.ndarray:
    if isinstance(task.picture, ImageError):
        raise task.picture
    image, box = read_picture(task.picture), None
    if crop == "box":
        if task.box is None:
            raise ImageError(f"{task.picture}: has no box")
        height, width = image.shape[:2]
        box = np.divide(task.box, (height, width, height, width)).tolist()
    try:
        crop = "none" if crop == "box" else crop
        return crop_and_resize(image, crop=crop, size=size, box=box)
    except ImageError as error:
        raise ImageError(f"{task.picture}: {error}") from error


def _pieces(tasks: Iterable[Task]) -> Iterator[list[Task]]:
    piece: list[Task] = []
    waiting = 0
    for task in tasks:
        piece.append(task)
        if isinstance(task.picture, Encoded):
            waiting += len(task.picture.data)
        if len(piece) == _PIECE or waiting > _PIECE_BYTES:
            yield piece
            piece, waiting = [], 0
    if piece:
        yield piece
