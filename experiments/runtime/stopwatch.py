"""Wall time of work, without the time that JAX takes to compile it.

Compilation happens once for any number of images, so it does not count as seconds per
image.
"""

import threading
import time
from types import TracebackType

import jax.monitoring

_COMPILING = "/jax/core/compile/"  # Tracing, lowering and compilation.


class Stopwatch:
    """Context that measures the ``seconds`` of its block without compilation.

    Compilation in other threads is not subtracted, because this thread does not wait
    for it.
    """

    seconds = 0.0

    def __enter__(self) -> "Stopwatch":
        self._thread = threading.get_ident()
        self._compiling: list[tuple[float, float]] = []
        jax.monitoring.register_event_time_span_listener(self._listen)
        self._began = time.time()  # The clock that JAX's spans use.
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        whole = time.time() - self._began
        jax.monitoring.unregister_event_time_span_listener(self._listen)
        self.seconds = max(0.0, whole - _covered(self._compiling))

    def _listen(
        self, event: str, start_time: float, end_time: float, **kwargs: str | int
    ) -> None:
        if event.startswith(_COMPILING) and threading.get_ident() == self._thread:
            self._compiling.append((start_time, end_time))


def _covered(spans: list[tuple[float, float]]) -> float:
    """Total length of the union of spans, which overlap if traces are nested."""
    total, reached = 0.0, float("-inf")
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total
