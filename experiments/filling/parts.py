"""Results of an evaluation so far: append-only lines of JSON, a file for each process.

``parts/<attempt>-<process>.jsonl`` holds a line for each image that the process filled,
or failed to fill, in that attempt. Invalid lines, which a killed process left behind,
are ignored, and their images filled again. No file is written by two processes or in
two attempts.
"""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from experiments.runtime import program

_NAME = re.compile(r"(\d+)(-\d+)?\.jsonl")


class Parts:
    """The lines of a work folder.

    Args:
      folder: ``workdir/parts``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def next_attempt(self) -> int:
        """The number of the first attempt that has not written any line."""
        return 1 + max((attempt for attempt, _ in self._files()), default=-1)

    def rows(self, attempt: int | None = None) -> Iterator[dict[str, Any]]:
        """All valid lines, older ones first; only those of ``attempt`` if given."""
        for number, path in self._files():
            if attempt is None or number == attempt:
                yield from _valid(path.read_text(errors="replace").splitlines())

    def append(
        self, attempt: int, process: int, rows: Iterable[dict[str, Any]]
    ) -> None:
        """Appends lines; an unfinished line of a killed process does no harm."""
        path = self._folder / f"{attempt:05d}-{process:05d}.jsonl"
        program.append_lines(path, rows)

    def _files(self) -> list[tuple[int, Path]]:
        found = []
        for path in sorted(self._folder.iterdir()):
            match = _NAME.fullmatch(path.name)
            if match:
                found.append((int(match[1]), path))
        return found


def _valid(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            yield row
