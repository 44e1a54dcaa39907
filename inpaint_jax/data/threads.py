"""Pictures are decoded in a few threads."""

import concurrent.futures
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_threads(work: Callable[[T], R], pieces: Iterable[T]) -> Iterator[R]:
    """Results in the order of the pieces, of which few are taken in advance."""
    workers = min(8, os.cpu_count() or 1)
    # Pillow releases the interpreter's lock while it decodes.
    pool = concurrent.futures.ThreadPoolExecutor(workers)
    pending: deque[concurrent.futures.Future[Any]] = deque()
    left = iter(pieces)
    try:
        for piece in left:
            pending.append(pool.submit(work, piece))
            if len(pending) > workers + 1:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:  # An interrupt must not wait for the whole data set.
        pool.shutdown(cancel_futures=True)
