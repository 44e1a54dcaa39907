"""What an evaluation has done so far: append-only lines of JSON, a file a process.

``parts/<attempt>-<process>.jsonl`` holds a line for each image that its process did,
or could not do, in that attempt. A line is valid JSON or it is not there: what a killed
process was writing is ignored, and its image done again. No file is ever written by
two processes or in two attempts.
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
        """The number of the first attempt that has written nothing."""
        return 1 + max((attempt for attempt, _ in self._files()), default=-1)

    def rows(self, attempt: int | None = None) -> Iterator[dict[str, Any]]:
        """All valid lines, older ones first; of one attempt if that is given."""
        for number, path in self._files():
            if attempt is None or number == attempt:
                yield from _valid(path.read_text(errors="replace").splitlines())

    def append(
        self, attempt: int, process: int, rows: Iterable[dict[str, Any]]
    ) -> None:
        """Writes lines; those of a killed process before them are not disturbed."""
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
