"""Reading ahead and writing behind, in threads, while the devices work."""

import collections
import concurrent.futures
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def ahead(
    function: Callable[[_Item], _Result], items: Iterable[_Item], *, depth: int = 2
) -> Iterator[_Result]:
    """``map`` that computes the next ``depth`` results ahead in another thread.

    It computes no more than these ahead, so memory is bounded even for a slow consumer.
    """
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting: collections.deque[concurrent.futures.Future[_Result]]
        waiting = collections.deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > depth:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


class Behind:
    """Context that runs calls one after the other in another thread.

    At most one call is pending. Leaving the context waits for it. An exception in a
    call is raised by the next ``call``, or on leaving.
    """

    def __init__(self) -> None:
        self._pool = concurrent.futures.ThreadPoolExecutor(1)
        self._last: concurrent.futures.Future[Any] | None = None

    def call(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Waits for the previous call, then starts this one in the thread."""
        self.wait()
        self._last = self._pool.submit(function, *arguments)

    def wait(self) -> None:
        """Waits for the last call."""
        if self._last is not None:
            last, self._last = self._last, None
            last.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.wait()
        finally:
            self._pool.shutdown()
