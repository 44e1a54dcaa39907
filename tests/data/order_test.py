"""Which images make up a batch, and which are held back."""

import dataclasses

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from inpaint_jax.data import datasets, order
from inpaint_jax.data.datasets import DataError, Dataset

# --- the order of batches ----------------------------------------------------


@hypothesis.settings(max_examples=50, deadline=None, database=None, derandomize=True)
@hypothesis.given(
    st.integers(1, 50), st.integers(1, 70), st.integers(0, 2**40), st.integers(0, 50)
)
def test_every_epoch_is_a_permutation(n, batch_size, seed, start):
    def stream(step):
        return order.batch_indices(n, batch_size, seed=seed, step=step)

    steps = range(start, start + 2 + 2 * n // batch_size)
    drawn = np.concatenate([stream(step) for step in steps])
    assert all(stream(step).shape == (batch_size,) for step in steps[:2])
    skip = -start * batch_size % n  # to the start of the next epoch
    epoch = drawn[skip : skip + n]
    np.testing.assert_array_equal(np.sort(epoch), np.arange(n))
    np.testing.assert_array_equal(drawn[:batch_size], stream(start))


def test_batches_follow_the_definition():
    n, batch_size = 7, 5
    whole = np.concatenate(
        [order.batch_indices(n, n, seed=3, step=epoch) for epoch in range(20)]
    )
    for step in (0, 1, 5, 12):
        batch = order.batch_indices(n, batch_size, seed=3, step=step)
        expected = whole[step * batch_size : (step + 1) * batch_size]
        np.testing.assert_array_equal(batch, expected)


def test_epochs_and_seeds_differ():
    def epoch(seed, step):
        return tuple(order.batch_indices(50, 50, seed=seed, step=step))

    assert len({epoch(seed, step) for seed in range(3) for step in range(3)}) == 9


def test_a_late_step_costs_no_more_than_the_first():
    late = order.batch_indices(1000, 64, seed=0, step=10**15)
    assert late.shape == (64,)
    assert order._permutation.cache_info().currsize <= 4


def test_the_caller_cannot_spoil_the_permutation():
    order.batch_indices(8, 8, seed=0, step=0)[:] = 0
    assert len(set(order.batch_indices(8, 8, seed=0, step=0))) == 8


@pytest.mark.parametrize(
    "wrong", [(0, 1, 0, 0), (1, 0, 0, 0), (1, 1, -1, 0), (1, 1, 0, -1)]
)
def test_impossible_batches(wrong):
    n, batch_size, seed, step = wrong
    with pytest.raises(DataError, match="n and batch_size must be at least 1"):
        order.batch_indices(n, batch_size, seed=seed, step=step)


# --- holding back -----------------------------------------------------------------


def numbered(count):
    pixels = np.arange(count, dtype=np.uint8)[:, None, None, None]
    images = np.broadcast_to(pixels, (count, 2, 2, 3))
    return Dataset("n", "train", images, tuple(f"i{k}" for k in range(count)))


def test_what_is_held_back_is_not_in_the_rest():
    whole = numbered(50)
    rest, held = datasets.hold_back(whole, 12)
    assert (len(rest), len(held)) == (38, 12)
    assert sorted(rest.ids + held.ids) == sorted(whole.ids)
    for part in (rest, held):
        assert [f"i{image[0, 0, 0]}" for image in part.images] == list(part.ids)
        assert sorted(part.ids, key=whole.ids.index) == list(part.ids)


def test_what_is_held_back_goes_by_ids_alone():
    whole = numbered(50)
    order = np.random.default_rng(0).permutation(50)
    shuffled = dataclasses.replace(
        whole, images=whole.images[order], ids=tuple(whole.ids[i] for i in order)
    )
    _, held = datasets.hold_back(whole, 12)
    _, more = datasets.hold_back(whole, 20)
    _, again = datasets.hold_back(shuffled, 12)
    assert set(held.ids) == set(again.ids) < set(more.ids)


@pytest.mark.parametrize("count", [0, 50, 51])
def test_holding_back_nothing_or_all_is_refused(count):
    with pytest.raises(DataError, match=f"cannot hold back {count} of 50"):
        datasets.hold_back(numbered(50), count)
