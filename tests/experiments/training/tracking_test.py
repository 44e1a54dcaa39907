"""What a run remembers of itself, with figures set by hand."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from conftest import RECIPE
from PIL import Image

from experiments.training import curves, tracking, trainees
from inpaint_jax.data.datasets import Dataset
from inpaint_jax.quality import generators
from inpaint_jax.training.checkpoints import Checkpoints


@pytest.fixture
def trainee():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), np.uint8)
    held_back = Dataset("noise", "validation", pixels, tuple("abcdef"))
    return trainees.make(RECIPE, held_back, held_back)


@pytest.fixture
def score(monkeypatch):
    """Sets the SWD that the next evaluations find."""
    values = []

    def measure(model, images, *, config, seed):
        swd = {32: values[0], 16: values.pop(0) + 2}
        return generators.Quality(swd, 0.25, np.array([20.0, 22.0]), images, images)

    monkeypatch.setattr(generators, "measure", measure)
    return values


def at(state, step):
    return state._replace(step=jnp.asarray(step, jnp.int32))


def test_rows_after_the_start_are_dropped_and_so_is_half_a_row(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"step": 2}\n{"step": 4}\n{"step": 6}\n{"st')
    rows = tracking.Rows(path, 4)
    assert [row["step"] for row in rows.rows] == [2, 4]
    rows.append({"step": 5, "x": 1.5})
    again = [json.loads(line) for line in path.read_text().splitlines()]
    assert again == rows.rows == [{"step": 2}, {"step": 4}, {"step": 5, "x": 1.5}]


def test_an_evaluation_writes_its_figures(tmp_path, tiny_state, trainee, score):
    score += [10.0]
    with tracking.Tracker(tmp_path, trainee, 0) as tracker:
        assert tracker.best_step is None
        assert not tracker.has(3)
        tracker.evaluate(tiny_state)
        assert tracker.has(3)
    row = json.loads((tmp_path / "quality.jsonl").read_text())
    assert row.pop("real_ms_ssim") < 0.5  # Of noise.
    assert row == {
        "step": 3,
        "swd": 11.0,
        "swd_32": 10.0,
        "swd_16": 12.0,
        "ms_ssim": 0.25,
        "ceiling": 21.0,
    }


def test_the_lowest_distance_is_the_best_and_survives_a_restart(
    tmp_path, tiny_state, trainee, score
):
    score += [10.0, 7.0, 8.0]
    with tracking.Tracker(tmp_path, trainee, 0) as tracker:
        best = []
        for step in (5, 10, 15):
            tracker.evaluate(at(tiny_state, step))
            best.append(tracker.best_step)
        assert best == [5, 10, 10]
    score += [7.5, 6.0]
    with tracking.Tracker(tmp_path, trainee, 15) as tracker:
        assert tracker.best_step == 10
        assert [row["step"] for row in tracker.rows] == [5, 10, 15]
        tracker.evaluate(at(tiny_state, 20))
        assert tracker.best_step == 10
        tracker.evaluate(at(tiny_state, 25))
        assert tracker.best_step == 25
    with Checkpoints(tmp_path, "best", read_only=True) as checkpoints:
        assert int(checkpoints.restore(tiny_state).step) == 25


def test_a_best_of_steps_that_were_lost_is_forgotten(
    tmp_path, tiny_state, trainee, score
):
    score += [7.0]
    with tracking.Tracker(tmp_path, trainee, 0) as tracker:
        tracker.evaluate(at(tiny_state, 10))
    score += [9.0]
    with tracking.Tracker(tmp_path, trainee, 4) as tracker:
        assert tracker.best_step is None
        assert tracker.rows == []
        tracker.evaluate(at(tiny_state, 6))
        assert tracker.best_step == 6


@pytest.mark.parametrize("evaluations", [0, 3])
def test_curves_are_a_picture_of_all_rows(tmp_path, evaluations):
    metrics = [
        {
            "step": step,
            "discriminator_loss": 1.0,
            "generator_loss": 2.0,
            "real_score": 0.7,
            "fake_score": 0.2,
        }
        for step in range(5)
    ]
    figures = {"swd": 3.0, "swd_32": 4.0, "swd_16": 2.0}
    figures |= {"ms_ssim": 0.2, "real_ms_ssim": 0.1, "ceiling": 20.0}
    rows = [{"step": 2 * i, **figures} for i in range(evaluations)]
    path = tmp_path / "curves.png"
    curves.write_curves(path, metrics, rows, 2 if rows else None)
    pixels = np.asarray(Image.open(path).convert("RGB"))
    assert pixels.shape[1] > 900
    # More curves, more colours that are not grey.
    colored = (pixels.max(-1) - pixels.min(-1) > 60).sum()
    assert colored > (3000 if evaluations else 800)
    assert [file.name for file in tmp_path.iterdir()] == ["curves.png"]
