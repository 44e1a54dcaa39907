"""The time that work takes, without what JAX takes to compile it.

What is compiled is compiled once, however many images follow: in the seconds that an
image takes it has no place.
"""

import threading
import time
from types import TracebackType

import jax.monitoring

_COMPILING = "/jax/core/compile/"  # Tracing, lowering, and the compiler itself.


class Stopwatch:
    """A context; afterwards ``seconds`` is what its block took but for compilation.

    What other threads compile meanwhile is not taken off: they do not keep this one.
    """

    seconds = 0.0

    def __enter__(self) -> "Stopwatch":
        self._thread = threading.get_ident()
        self._compiling: list[tuple[float, float]] = []
        jax.monitoring.register_event_time_span_listener(self._listen)
        self._began = time.time()  # The clock of JAX's own spans.
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
    """The length of the spans' union: a function is traced within another's trace."""
    total, reached = 0.0, float("-inf")
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total
