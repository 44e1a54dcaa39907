"""Graceful shutdown on signals."""

import signal
from typing import Any, Self


class StopSignal:
    """Context that notes SIGTERM and SIGINT, so that a run can save its work and end.

    A second signal has its usual effect and ends the process at once.
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
