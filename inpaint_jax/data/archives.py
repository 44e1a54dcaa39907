"""Pictures in zips, folders and tars, read where they lie without unpacking.

A data set in its owner's own files is an ``Original``: the ids of its pictures, and a
way to go through them once, in whatever order its files allow.
"""

import contextlib
import functools
import gzip
import hashlib
import os
import re
import tarfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from inpaint_jax.data.decoding import PictureLike
from inpaint_jax.data.files import DataError, ImageError, Picture, open_zip
from inpaint_jax.data.formats import looks_like_picture
from inpaint_jax.data.opening import Encoded

_DEPTH = 4  # As in celeba/CelebA/Img/img_align_celeba.zip.
_ENDS = 1 << 20  # Bytes at each end of a large file that tell it from others.
_GZIP = b"\x1f\x8b"
_CHECKED = (_GZIP, b"MATLAB ")  # Beginnings of files that end in checksums.
# Pictures of a tar wait in memory for their turn, so they must be small; the largest
# published one has 5 MB.
_MOST_BYTES = 32 << 20


class Task(NamedTuple):
    """A picture to be read.

    Attributes:
      number: Its number among the data set's ids.
      picture: Anything that ``read_picture`` takes; or why there is none.
      box: Two opposite corners, ymin, xmin, ymax, xmax, in pixels, if it has a box.
    """

    number: int
    picture: PictureLike | ImageError
    box: Sequence[float] | None = None


class Original(NamedTuple):
    """A split of a data set in its own files.

    Attributes:
      ids: Names of the pictures in the data set's order, each once.
      fingerprint: A text that changes with what the files hold.
      tasks: A function from the numbers of pictures that are not wanted to the tasks
        for the others. A picture that the files turn out not to hold has none. It
        raises ``DataError`` when a file is damaged as a whole.
      place: File or folder of the pictures.
      notes: What is unusual about the files, a line each.
    """

    ids: tuple[str, ...]
    fingerprint: str
    tasks: Callable[[Collection[int]], Iterator[Task]]
    place: str
    notes: tuple[str, ...] = ()


def find(folder: str, names: Collection[str]) -> dict[str, str]:
    """Looks for files and folders by their names, a few levels deep.

    A browser's copy, ``name (1).mat``, counts as ``name.mat``.

    Args:
      folder: Where to look; it need not exist.
      names: The names looked for.

    Returns:
      Paths by name; of several of one name the one with the shortest way to it.
    """
    found: dict[str, str] = {}
    level = [folder]
    for _ in range(_DEPTH):
        deeper = []
        for here in level:
            try:
                entries = sorted(os.scandir(here), key=lambda entry: entry.name)
            except OSError:  # No folder, or none that may be read.
                continue
            for entry in entries:
                name = re.sub(r" \(\d+\)(?=\.\w+$)", "", entry.name)
                if name in names:
                    found.setdefault(name, entry.path)
                elif not name.startswith(".") and entry.is_dir():
                    deeper.append(entry.path)
        level = deeper
    return found


# --- random access: zips and folders -----------------------------------------


class Pictures(NamedTuple):
    """The pictures of a zip or of a folder.

    Attributes:
      path: The zip or the folder.
      names: Names in it by stem: the last part, without its extension.
      zipped: Whether it is a zip.
    """

    path: str
    names: Mapping[str, str]
    zipped: bool

    def picture(self, stem: str) -> Picture:
        """The picture of a stem."""
        name = self.names[stem]
        if self.zipped:
            return Picture(stem, stem, self.path, name, stem)
        return Picture(stem, stem, os.path.join(self.path, name), None, stem)

    def marks(self, stems: Iterable[str]) -> Iterator[str]:
        """What changes with the pictures of these stems: checksums, or times."""
        if self.zipped:
            archive = open_zip(self.path)
            for stem in stems:
                info = archive.getinfo(self.names[stem])
                yield f"{stem} {info.file_size} {info.CRC}"
            return
        for stem in stems:
            try:
                status = os.stat(os.path.join(self.path, self.names[stem]))
            except OSError:  # A link to nothing; it is named when it is read.
                yield stem
            else:
                yield f"{stem} {status.st_size} {status.st_mtime_ns}"


def list_pictures(path: str) -> Pictures:
    """Lists the pictures of a zip, or of a folder and the folders in it.

    Args:
      path: The zip or the folder.

    Returns:
      The pictures; of several of one stem the first by name.

    Raises:
      DataError: The zip is damaged.
    """
    zipped = not os.path.isdir(path)
    if zipped:
        try:
            listed: Iterable[str] = open_zip(path).namelist()
        except ImageError as error:
            raise DataError(f"{error}: download it again") from error
    else:
        listed = _below(path)
    names: dict[str, str] = {}
    for name in sorted(listed):
        stem = _stem(name)
        if stem is not None:
            names.setdefault(stem, name)
    return Pictures(path, names, zipped)


def _below(folder: str) -> Iterator[str]:
    for here, _, files in os.walk(folder):
        for name in files:
            yield os.path.relpath(os.path.join(here, name), folder)


def _stem(name: str) -> str | None:
    """The stem of a picture; None for what is hidden, a folder or another file."""
    parts = re.split(r"[/\\]", name)
    if any(part.startswith((".", "__MACOSX")) for part in parts if part != "."):
        return None
    return os.path.splitext(parts[-1])[0] if looks_like_picture(parts[-1]) else None


# --- one after the other: tars -----------------------------------------------


def stream_pictures(
    path: str, numbers: Mapping[str, int]
) -> Iterator[tuple[int, Encoded | ImageError]]:
    """Goes through a tar, compressed by gzip or not, once.

    Args:
      path: The tar.
      numbers: Numbers of the pictures wanted, by stem.

    Yields:
      The number of a picture, and its bytes, or why it cannot be read; each picture
      once, in the order of the tar.

    Raises:
      DataError: The tar is damaged or ends too early, which may show after many
        pictures.
    """
    left = dict(numbers)
    for member, read in _members(path):
        stem = _stem(member.name)
        number = left.pop(stem, None) if stem is not None and member.isfile() else None
        if number is None:
            continue
        name = f"{path}: {member.name}"
        if member.size > _MOST_BYTES:
            excess = f"{member.size} bytes are more than the {_MOST_BYTES} accepted"
            yield number, ImageError(f"{name}: {excess}")
        else:
            yield number, Encoded(name, read())


def read_member(path: str, name: str) -> bytes | None:
    """A small file in a tar, by the last part of its name; None if it is not there.

    Raises:
      DataError: The tar is damaged.
    """
    for member, read in _members(path):
        if member.isfile() and os.path.basename(member.name) == name:
            if member.size > _MOST_BYTES:
                raise DataError(f"{path}: {name} is too large to be what it should be")
            return read()
    return None


def _members(path: str) -> Iterator[tuple[tarfile.TarInfo, Callable[[], bytes]]]:
    """Each member of a tar, and a function that reads it before the next one."""
    with _as_damage(path), open(path, "rb") as raw:
        zipped = raw.read(2) == _GZIP
        raw.seek(0)
        plain: Any = gzip.GzipFile(fileobj=raw) if zipped else raw
        with tarfile.open(fileobj=plain, mode="r|") as archive:
            for member in archive:
                yield member, functools.partial(_content, path, archive, member)
        # tarfile takes an archive that is cut off between two files for a whole one;
        # gzip knows better, and compares its checksum.
        while plain.read(1 << 20):
            pass


def _content(path: str, archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    with _as_damage(path):
        file = archive.extractfile(member)
        assert file is not None  # It is a file and no link.
        return file.read()


@contextlib.contextmanager
def _as_damage(path: str) -> Iterator[None]:
    """Turns what is raised for a damaged tar into a ``DataError``."""
    try:
        yield
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DataError(f"{path}: damaged ({reason}): download it again") from error


# --- fingerprints ------------------------------------------------------------


def digest(parts: Iterable[str]) -> str:
    """SHA-256 of some lines, as hexadecimal digits."""
    result = hashlib.sha256()
    for part in parts:
        result.update(part.encode("utf-8", "surrogateescape") + b"\n")
    return result.hexdigest()


def mark_of(path: str) -> str:
    """What changes with a file's content: its size, and a checksum of its two ends.

    Reading all of a gigabyte would take as long as a start may. Compressed tars and
    MATLAB files have a checksum of all that they hold near their end; for other files
    the time of their last change counts as well.

    Raises:
      DataError: The file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            first = file.read(_ENDS)
            ends = hashlib.sha256(first)
            file.seek(max(status.st_size - _ENDS, 0))
            ends.update(file.read())
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    mark = f"{status.st_size} {ends.hexdigest()}"
    return mark if first.startswith(_CHECKED) else f"{mark} {status.st_mtime_ns}"
