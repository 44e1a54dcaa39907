"""Picture files: finding them in folders, zips and patterns, and naming them."""

import collections
import dataclasses
import functools
import glob
import os
import re
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from absl import logging

from inpaint_jax.data import written
from inpaint_jax.data.formats import looks_like_picture, suffix_of, why_not_read
from inpaint_jax.names import readable

Inputs = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""A path or glob pattern (``**`` included), or several."""

Identity = tuple[str, str | None]
"""The identity of a file: its real path and, in a zip, the name inside."""


def printable(text: str) -> str:
    """The text in one line of valid Unicode (``names.readable``)."""
    return readable(re.sub(r"[\r\n]+", " ", text))


class ImageError(ValueError):
    """A fault of a picture, a mask or a path, in one printable line."""

    def __init__(self, line: str):
        super().__init__(printable(line))


class DataError(ValueError):
    """A fault of a data set's name, split or files, in one printable line."""

    def __init__(self, line: str):
        super().__init__(printable(line))


@dataclasses.dataclass(frozen=True)
class Picture:
    """The place of a picture file. Nothing is read until ``read_picture``.

    ``id``, ``stem`` and ``name`` are text that can be printed, hashed and written,
    even if the bytes of the file's name are not valid text; only ``path`` is the name
    itself.

    Attributes:
      id: ``name``, or a longer name if that is not unique among the pictures found
        together.
      stem: ``id`` as a flat file name without extension, unique and safe to write.
      path: The file that holds the picture.
      member: Name inside ``path`` if that is a zip, otherwise None.
      name: Relative path in the folder or zip, without the extension. It does not
        depend on other files, and the picture's random key is derived from it.
      only_alpha: Whether, read as a mask, only its transparency counts, because it is
        the very picture whose mask it is.
    """

    id: str
    stem: str
    path: str
    member: str | None = None
    name: str = ""
    only_alpha: bool = False

    def __str__(self) -> str:
        return _shown(self.path, self.member)


class Skipped(NamedTuple):
    """A file that looks like a picture and cannot be read.

    Attributes:
      file: Path, and name inside a zip, as printable text.
      reason: Why it cannot be read, and what to do about it.
    """

    file: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}"


class Listing(NamedTuple):
    """The result of ``list_pictures``.

    Attributes:
      pictures: Pictures in the order of the inputs; ``id`` and ``stem`` are unique.
      skipped: Files that look like pictures and cannot be read.
    """

    pictures: list[Picture]
    skipped: list[Skipped]


class _Place(NamedTuple):
    path: str
    member: str | None
    depth: int  # Number of the path's last parts that make the short name.


def list_pictures(inputs: Inputs) -> Listing:
    """Lists the pictures in files, folders, zips and patterns of those.

    Folders and zips are searched recursively, in sorted order, for names with a
    picture's suffix. Links to folders are followed; hidden entries, ``__MACOSX`` and
    results of programs (``written``) are left out. A picture reached twice is listed
    once. Nothing is decoded, so thousands of pictures take little time. A file that is
    itself an input is listed whatever its suffix.

    Args:
      inputs: Files, folders, zips or patterns.

    Returns:
      The pictures, and what looks like a picture but cannot be read: camera raw, HEIC
      without its plug-in, folders without permission.

    Raises:
      ImageError: An input does not exist, holds no pictures, or is a broken zip.
    """
    if isinstance(inputs, str | os.PathLike):
        inputs = [inputs]
    places: list[_Place] = []
    skipped: list[Skipped] = []
    for given in inputs:
        places += _search(os.fspath(given), skipped)
    once: dict[Identity, _Place] = {}
    for identity, place in zip(identities(places), places, strict=True):
        once.setdefault(identity, place)
    if not once:
        raise ImageError("no input: give files, folders or zips of pictures")
    choices = [_choose_names(place) for place in once.values()]
    short = [names[0] for names in choices]
    ids = _unique_ids(choices)
    pictures = [
        Picture(id, stem, place.path, place.member, name)
        for id, stem, place, name in zip(
            ids, _unique_stems(ids), once.values(), short, strict=True
        )
    ]
    return Listing(pictures, list(dict.fromkeys(skipped)))


def find_pictures(inputs: Inputs) -> list[Picture]:
    """The pictures of ``list_pictures``; skipped files are a warning in the log.

    Args:
      inputs: As for ``list_pictures``.

    Returns:
      The pictures, in the order of ``inputs``; ``id`` and ``stem`` are unique.

    Raises:
      ImageError: As for ``list_pictures``.
    """
    pictures, skipped = list_pictures(inputs)
    if skipped:
        logging.warning("skipped %s", _summary(skipped))
    return pictures


def _summary(skipped: Sequence[Skipped]) -> str:
    more = f" (and {len(skipped) - 1} more)" if len(skipped) > 1 else ""
    return f"{skipped[0]}{more}"


def identities(places: Iterable[Picture | _Place]) -> list[Identity]:
    """The identities of files, independent of the links that lead to their folders."""
    real: dict[str, str] = {}
    result = []
    for place in places:
        folder, name = os.path.split(place.path)
        if folder not in real:
            real[folder] = os.path.realpath(folder)
        result.append((os.path.join(real[folder], name), place.member))
    return result


# --- searching ---------------------------------------------------------------


def _search(given: str, skipped: list[Skipped]) -> list[_Place]:
    """All pictures, at least one, at a path or at the matches of a pattern."""
    path, before = os.path.expanduser(given), len(skipped)
    if os.path.exists(path):
        found = list(_expand(path, skipped))
    elif glob.has_magic(path):
        notes, top = functools.cache(written.read), _fixed_part(path)
        matches = [
            match
            for match in sorted(glob.glob(path, recursive=True))
            if not written.is_noted(match, top, notes)
        ]
        if not matches:
            raise ImageError(f"{given}: nothing matches this pattern")
        found = []
        for match in matches:
            if os.path.isdir(match) or suffix_of(match) == ".zip":
                found += _expand(match, skipped)
            elif _wanted(match, match, skipped):
                found.append(_Place(match, None, 1))
    else:
        raise ImageError(f"{given}: no such file or folder")
    if not found:
        if skipped[before:]:
            hint = f" that can be read; {_summary(skipped[before:])}"
        elif written.read(path):
            hint = " but results of earlier runs; to use those, name their folder"
        else:
            pattern = os.path.join(path, "*.zip")
            hint = f"; for its zips give {pattern}" if glob.glob(pattern) else ""
        raise ImageError(f"{given}: no pictures there{hint}")
    return found


def _fixed_part(pattern: str) -> str:
    """The folder that a pattern names before its first wildcard."""
    folder = os.path.dirname(pattern)
    while glob.has_magic(folder):
        folder = os.path.dirname(folder)
    return folder


def _wanted(name: str, shown: str, skipped: list[Skipped]) -> bool:
    """Whether a file's name is a picture's; adds unreadable ones to ``skipped``."""
    if not looks_like_picture(name):
        return False
    reason = why_not_read(name)
    if reason:
        skipped.append(Skipped(shown, reason))
    return not reason


def _expand(path: str, skipped: list[Skipped]) -> Iterator[_Place]:
    """All pictures at an existing path."""
    if os.path.isdir(path):
        for name in sorted(_walk(path, skipped), key=_parts):
            here = os.path.join(path, name)
            if _wanted(name, _shown(here), skipped):
                yield _Place(here, None, len(_parts(name)))
    elif not os.path.isfile(path):
        raise ImageError(f"{path}: neither a file nor a folder")
    elif suffix_of(path) == ".zip":
        for name in sorted(set(open_zip(path).namelist())):
            parts = _parts(name)
            hidden = name.endswith("/") or any(map(_hidden, parts))
            if not hidden and _wanted(name, _shown(path, name), skipped):
                yield _Place(path, name, len(parts))
    else:
        yield _Place(path, None, 1)


def _walk(root: str, skipped: list[Skipped]) -> Iterator[str]:
    """The files below a folder, relative to it; each folder is entered once.

    Links are followed last, so that a file below ``root`` is found under its own path.
    Links to a folder that contains the link or ``root`` are not followed.
    """
    entered: set[str] = set()
    noted: set[str] = set()
    real_root = os.path.realpath(root)
    folders, links = [""], list[str]()
    while folders or links:
        links.sort(key=_parts, reverse=True)
        folder = folders.pop() if folders else links.pop()
        here = os.path.join(root, folder)
        real = os.path.realpath(here)
        around = (real_root, os.path.realpath(os.path.dirname(here)))
        if real in entered or any(_is_above(real, path) for path in around):
            continue
        entered.add(real)
        noted |= {os.path.join(folder, name) for name in written.read(here)}
        try:
            entries = list(os.scandir(here))
        except OSError as error:
            skipped.append(Skipped(_shown(here), error.strerror or str(error)))
            continue
        for entry in entries:
            name = os.path.join(folder, entry.name)
            if _hidden(entry.name) or name in noted:
                continue
            if not _is_folder(entry):
                yield name
            else:
                (links if entry.is_symlink() else folders).append(name)


def _is_above(folder: str, path: str) -> bool:
    return path.startswith(os.path.join(folder, "")) and path != folder


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # A link to itself; the error is raised when it is read.
        return False


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _parts(path: str) -> list[str]:
    # Zips made on Windows may hold backslashes; in others every name begins with ./
    return [part for part in re.split(r"[/\\]", path) if part not in ("", ".")]


def _shown(path: str, member: str | None = None) -> str:
    return printable(path if member is None else f"{path}: {member}")


def open_zip(path: str) -> zipfile.ZipFile:
    """An open zip, the same for all threads.

    Raises:
      ImageError: The file is missing or is not a readable zip.
    """
    try:
        stat = os.stat(path)
        return _cached_zip(os.path.abspath(path), stat.st_mtime_ns, stat.st_size)
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ImageError(f"{path}: not a readable zip ({reason})") from error


@functools.lru_cache(maxsize=32)
def _cached_zip(path: str, mtime: int, size: int) -> zipfile.ZipFile:
    # Opening a zip parses its whole directory, which should happen once and not for
    # each picture. Time and size are part of the key, so that a replaced file is opened
    # anew.
    del mtime, size
    return zipfile.ZipFile(path)


# --- names -------------------------------------------------------------------


def file_name(picture: Picture) -> str:
    """The last part of a picture's path, with its extension, as stored on the disk."""
    return _parts(picture.member or picture.path)[-1]


def _choose_names(place: _Place) -> list[str]:
    """Possible names of a picture, ever longer, the extension before each folder."""
    parts = [printable(x) for x in _parts(place.path) + _parts(place.member or "")]
    names = ["/".join(parts[-n:]) for n in range(place.depth, len(parts) + 1)]
    return [each for name in names for each in (os.path.splitext(name)[0], name)]


def _unique_ids(choices: list[list[str]]) -> list[str]:
    """The first name of each list, or a later one where names clash."""
    choices = [list(names) for names in choices]
    while True:
        counts = collections.Counter(names[0] for names in choices)
        clashing = [x for x in choices if counts[x[0]] > 1 and len(x) > 1]
        if not clashing:  # A zip may still hold both a.png and ./a.png.
            return numbered([names[0] for names in choices], str)
        for names in clashing:
            del names[0]


def _unique_stems(ids: list[str]) -> list[str]:
    stems = []
    for id in ids:
        flat = re.sub(r"[^\w.-]+", "_", unicodedata.normalize("NFC", id)).strip(".")
        try:
            os.fsencode(flat)
        except UnicodeEncodeError:  # The system's encoding lacks some characters.
            flat = re.sub(r"[^A-Za-z0-9_.-]+", "_", flat)
        stems.append(flat.encode()[:180].decode(errors="ignore") or "picture")
    return numbered(stems, str.casefold)  # Some file systems ignore case.


def numbered(names: list[str], key: Callable[[str], str]) -> list[str]:
    """Names with -2, -3 ... added to those whose key an earlier name has."""
    taken: set[str] = set()
    result = []
    for name in names:
        unique, count = name, 1
        while key(unique) in taken:
            count += 1
            unique = f"{name}-{count}"
        taken.add(key(unique))
        result.append(unique)
    return result
