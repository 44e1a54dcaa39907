"""A linear judge of two sets: it is right by chance where nothing tells them apart."""

import sys

import numpy as np
import pytest
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from inpaint_jax.quality import separation


def pairs(count, features, shift=0.0, alike=0.8, seed=0):
    """What is seen in made pictures and in real ones, of which a part is the same."""
    random = np.random.default_rng(seed)
    real = random.normal(size=(count, features))
    other = random.normal(size=(count, features))
    made = alike * real + np.sqrt(1 - alike**2) * other
    made[:, 0] += shift
    return made, real


def test_it_is_scikit_learns_cross_validation_of_pairs():
    made, real = pairs(150, 20, shift=1.0)
    rows = np.concatenate([real, made])
    answers = np.repeat([1, 0], 150)
    # A pair is in one fold.
    folds = np.tile(np.random.default_rng(5).permutation(150) % 10, 2)
    machine = make_pipeline(StandardScaler(), LinearSVC(C=0.001, dual=False))
    of_real, of_made = cross_val_predict(
        machine, rows, answers, cv=PredefinedSplit(folds), method="decision_function"
    ).reshape(2, 150)
    found = separation.separate(made, real, seed=5)
    wrong = ((of_real < 0).astype(float) + (of_made > 0)) / 2
    np.testing.assert_array_equal(found.unpaired, wrong)
    np.testing.assert_array_equal(found.paired, of_made > of_real)
    assert 0 < found.paired.mean() < found.unpaired.mean() < 0.45
    other = separation.separate(made, real, seed=6)
    assert (other.unpaired != found.unpaired).any()


@pytest.mark.parametrize("alike", [0, 0.5, 0.99])
def test_with_fewer_pictures_than_features_it_knows_none_by_heart(alike):
    made, real = pairs(100, 512, alike=alike)
    rows, answers = np.concatenate([real, made]), np.repeat([1, 0], 100)
    # As the original program asks: about the pictures that it has learned from.
    assert LinearSVC(dual=False).fit(rows, answers).score(rows, answers) == 1
    found = separation.separate(made, real)
    assert found.unpaired.mean() == pytest.approx(0.5, abs=0.1)
    assert found.paired.mean() == pytest.approx(0.5, abs=0.15)


def test_what_is_made_otherwise_is_told_apart_the_better_the_more_it_is():
    scores = [
        separation.separate(*pairs(128, 64, shift=shift)) for shift in (0, 1, 2, 8)
    ]
    for each in zip(*scores, strict=True):
        means = [judged.mean() for judged in each]
        assert means == sorted(means, reverse=True)
        assert means[-1] == 0


def test_equal_pictures_are_a_draw_and_what_is_always_equal_does_not_count():
    _, real = pairs(64, 10)
    real[:, 3] = 5
    for each in separation.separate(real, real):
        np.testing.assert_array_equal(each, 0.5)


def test_few_pictures_and_a_missing_package_are_told_in_one_line(monkeypatch):
    with pytest.raises(separation.SeparationError, match="it takes 64 images, not 63"):
        separation.separate(*pairs(63, 4))
    monkeypatch.setitem(sys.modules, "sklearn.svm", None)
    with pytest.raises(separation.SeparationError, match=r"pip install .*\[figures\]"):
        separation.separate(*pairs(64, 4))
