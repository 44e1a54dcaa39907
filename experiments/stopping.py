"""Leaving when told to, with everything saved."""

import signal
from typing import Any, Self


class StopSignal:
    """Notes SIGTERM and SIGINT: the run saves the step it is at and leaves.

    A context manager. The second signal is not noted but takes its usual effect, for
    whoever cannot wait.
    """

    def __init__(self) -> None:
        self.received = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, *_: object) -> None:
        self.received = True
        self.__exit__()
