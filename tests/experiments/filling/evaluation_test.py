"""An evaluation in its work folder: how many images, and what is measured when."""

import json

import pytest

from experiments.filling import evaluation, methods, realism
from inpaint_jax.data import sources
from inpaint_jax.pretrained import make_model


@pytest.fixture
def measured(monkeypatch):
    """Collects the number of images whose realism is measured."""
    counts, measure = [], realism.measure

    def counted(completed, *others, **options):
        counts.append(len(completed))
        return measure(completed, *others, **options)

    monkeypatch.setattr(realism, "measure", counted)
    return counts


@pytest.fixture
def evaluate(tiny_parts, noise_folder, tmp_path):
    """Fills the pictures of noise; returns the exit status and ``metrics.json``."""
    source = sources.open_source(f"images:{noise_folder}", crop="none", size=16)
    method = methods.Method("harmonic", tiny_parts, make_model(tiny_parts))

    def run(slow):
        status = evaluation.run(
            evaluation.Evaluation(
                workdir=tmp_path / "run",
                source=source,
                mask="center",
                seed=0,
                batch_size=5,
                method=method,
                slow=slow,
            )
        )
        return status, json.loads((tmp_path / "run" / "metrics.json").read_text())

    return run


@pytest.mark.parametrize(("seconds", "count"), [(0.0, 3), (1e9, 12)])
def test_a_slow_method_fills_the_first_images_alone(evaluate, measured, seconds, count):
    status, metrics = evaluate(evaluation.Slow(seconds, limit=3))
    assert (status, metrics["n"]) == (0, count)
    # What takes long is measured once.
    assert measured == [count]


def test_an_evaluation_that_was_slow_goes_on_when_more_is_asked_for(evaluate, measured):
    first = evaluate(evaluation.Slow(0.0, limit=3))[1]["figures"]["psnr"]
    status, metrics = evaluate(None)
    assert (status, metrics["n"]) == (0, 12)
    assert metrics["figures"]["psnr"] != first
    assert measured == [3, 12]
