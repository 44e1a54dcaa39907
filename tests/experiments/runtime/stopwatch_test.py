"""Time without compilation."""

import threading
import time

import jax
import pytest

from experiments.runtime.stopwatch import Stopwatch, _covered


@jax.jit
def slow_to_trace(x):
    time.sleep(0.3)

    @jax.jit
    def inner(x):
        time.sleep(0.3)
        return x + 1

    return inner(x)


def test_compilation_does_not_count():
    with Stopwatch() as watch:
        slow_to_trace(1.0)
        time.sleep(0.1)
    assert 0.1 <= watch.seconds < 0.6


def test_what_another_thread_compiles_does_not_matter():
    def compile_():
        jax.jit(lambda x: [time.sleep(0.2), x][1])(1.0)

    with Stopwatch() as watch:
        thread = threading.Thread(target=compile_)
        thread.start()
        thread.join()
    assert watch.seconds >= 0.2


def test_it_hears_nothing_once_it_has_stopped():
    with Stopwatch() as watch:
        pass
    jax.jit(lambda x: x * 3)(1.0)
    assert watch._compiling == []
    assert watch.seconds < 0.05
    with pytest.raises(ZeroDivisionError), Stopwatch() as watch:
        _ = 1 / 0
    assert watch.seconds < 0.05


@pytest.mark.parametrize(
    ("spans", "length"),
    [
        ([], 0),
        ([(1, 3)], 2),
        ([(1, 3), (5, 6)], 3),
        ([(2, 3), (1, 4)], 3),
        ([(1, 3), (2, 5)], 4),
    ],
)
def test_spans_that_overlap_count_once(spans, length):
    assert _covered(spans) == length
