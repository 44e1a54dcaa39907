"""What is done ahead of time and afterwards: in order, bounded, no error lost."""

import threading
import time

import pytest

from experiments.runtime.overlap import Behind, ahead


def test_ahead_gives_what_map_gives():
    assert list(ahead(lambda x: x * x, range(10), depth=3)) == [
        x * x for x in range(10)
    ]
    assert list(ahead(str, [], depth=2)) == []


def test_ahead_works_while_the_consumer_does_and_no_further_than_told():
    begun = []
    results = ahead(lambda x: begun.append(x) or x, range(100), depth=2)
    assert next(results) == 0
    time.sleep(0.2)
    assert begun == [0, 1, 2]
    assert next(results) == 1
    time.sleep(0.2)
    assert begun == [0, 1, 2, 3]
    results.close()
    time.sleep(0.2)
    assert len(begun) <= 4


def test_ahead_raises_where_the_result_would_be():
    results = ahead(lambda x: 1 // x, [2, 1, 0, 3])
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_behind_calls_in_order_and_waits_on_leaving():
    done, release = [], threading.Event()

    def first():
        release.wait(10)
        done.append(1)

    with Behind() as behind:
        behind.call(first)
        assert done == []  # The caller goes on.
        release.set()
        behind.call(done.append, 2)
    assert done == [1, 2]


def test_behind_raises_what_a_call_raised():
    with Behind() as behind:
        behind.call(lambda: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            behind.call(print)
        behind.call(lambda: None)
    with pytest.raises(ZeroDivisionError), Behind() as behind:
        behind.call(lambda: 1 // 0)
