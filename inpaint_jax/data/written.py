"""Notes of the results in a folder, so that no program takes them for input.

The note is a hidden file. Each of its lines names a program and, after a tab, a path
relative to the folder: that of a file, or of a folder that holds nothing but the
program's results. ``pictures.find_pictures`` leaves out noted paths, unless such a path
is itself an input.
"""

import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

NOTE = ".inpaint_jax"
"""File name of the note."""

Folder = str | os.PathLike[str]


def read(folder: Folder) -> set[str]:
    """The paths that a folder's note lists; empty if it has no note."""
    return {path for _, path in _lines(folder)}


def add(folder: Folder, program: str, paths: Iterable[str | Path]) -> None:
    """Notes paths that are about to be written.

    Args:
      folder: Folder that the paths are relative to.
      program: Name of the program that writes them.
      paths: Files, or folders that hold nothing but the program's results.

    Raises:
      OSError: The note cannot be written.
    """
    lines = {(program, Path(path).as_posix()) for path in paths}
    fresh = sorted(lines.difference(_lines(folder)))
    if fresh:
        with (Path(folder) / NOTE).open(
            "a", encoding="utf-8", errors="surrogateescape", newline="\n"
        ) as file:
            file.write(_text(fresh))


def delete_own(folder: Folder, program: str) -> int:
    """Deletes the files that a program noted, and folders that become empty.

    Files that other programs noted, or none did, stay.

    Args:
      folder: Folder of the note.
      program: Name of the program.

    Returns:
      The number of files deleted.

    Raises:
      OSError: A file cannot be deleted.
    """
    root, lines = Path(folder), _lines(folder)
    others = {path for by, path in lines if by != program}
    deleted, emptied, count = set(), set(), 0
    for path in sorted({path for _, path in lines} - others):
        inside = Path(path)
        # An edited note must not reach files outside its folder.
        if inside.is_absolute() or ".." in inside.parts or (root / inside).is_dir():
            continue
        if (root / inside).exists():
            (root / inside).unlink()
            count += 1
            emptied |= set(inside.parents) - {Path()}
        deleted.add(path)
    for inner in sorted(emptied, key=lambda each: len(each.parts), reverse=True):
        with contextlib.suppress(OSError):  # It holds files that are not noted.
            (root / inner).rmdir()
    if deleted:
        unfinished = root / f"{NOTE}.{os.getpid()}"
        kept = [line for line in lines if line[1] not in deleted]
        unfinished.write_text(_text(kept), "utf-8", "surrogateescape", "\n")
        unfinished.replace(root / NOTE)
    return count


def is_noted(path: str, top: str, notes: Callable[[str], set[str]] = read) -> bool:
    """Whether the note of a folder on the way from ``top`` to ``path`` lists it.

    Args:
      path: A file or folder.
      top: The first folder whose note counts.
      notes: Function that reads a note; for many paths, one with a cache.
    """
    path, top = os.path.abspath(path), os.path.abspath(top)
    inner = path
    while inner != top and os.path.dirname(inner) != inner:
        inner = os.path.dirname(inner)
        if listed := notes(inner):
            parts = os.path.relpath(path, inner).split(os.sep)
            if any("/".join(parts[: n + 1]) in listed for n in range(len(parts))):
                return True
    return False


def _lines(folder: Folder) -> list[tuple[str, str]]:
    try:
        text = (Path(folder) / NOTE).read_text("utf-8", "surrogateescape")
    except (OSError, ValueError):
        return []
    cut = [line.partition("\t") for line in text.split("\n")]
    return [(program, path) for program, _, path in cut if path]


def _text(lines: Iterable[tuple[str, str]]) -> str:
    return "".join(f"{program}\t{path}\n" for program, path in lines)
