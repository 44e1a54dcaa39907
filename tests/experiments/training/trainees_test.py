"""What can be trained: every kind takes steps, is judged and shows samples."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from conftest import CONTEXT_ENCODER, RECIPE, TINY, VAE, random_weights
from PIL import Image

from experiments.training import trainees
from experiments.training.trainee import Judged
from inpaint_jax import pixels, pretrained
from inpaint_jax.baselines import context_encoder
from inpaint_jax.data.datasets import Dataset
from inpaint_jax.masks import masks_in_turn
from inpaint_jax.networks.dcgan import Encoder
from inpaint_jax.quality import generators
from inpaint_jax.training import encoder

RECIPES = {
    "dcgan": RECIPE,
    "context_encoder": CONTEXT_ENCODER,
    "vae": VAE,
}
FIGURES = {
    "dcgan": {"swd", "swd_16", "ms_ssim", "real_ms_ssim", "ceiling"},
    "context_encoder": {
        "hole_loss",
        "hole_loss_center",
        "hole_loss_pattern",
        "hole_loss_random80",
        "hole_loss_half",
    },
    "vae": {"loss", "squared_error", "divergence"},
}
SAMPLES = {"dcgan": 64, "context_encoder": 2 * 12, "vae": 64}


def dataset(count, seed):
    pixels = np.random.default_rng(seed).integers(0, 200, (count, 16, 16, 3), np.uint8)
    return Dataset("noise", "train", pixels, tuple(map(str, range(count))))


TRAINING, HELD_BACK = dataset(12, 0), dataset(12, 1)


@pytest.fixture(scope="module", params=RECIPES)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def trainee(kind):
    return trainees.make(RECIPES[kind], TRAINING, HELD_BACK)


@pytest.fixture(scope="module")
def trained(trainee):
    """The state after three steps, and the last one's figures."""
    state = trainee.init_state()
    batch = pixels.to_float(TRAINING.images[:8])
    for _ in range(3):
        state, metrics = trainee.train_step(state, batch, None)
    return state, metrics


@pytest.fixture
def verdict(trainee, trained, monkeypatch):
    measure = generators.measure

    def quickly(*arguments, config, **options):
        config = replace(config, directions=4, pairs=4, reconstructions=2, steps=2)
        return measure(*arguments, config=config, **options)

    monkeypatch.setattr(generators, "measure", quickly)
    return trainee.judge(trained[0])


def test_it_takes_steps(trainee, trained):
    state, metrics = trained
    assert int(state.step) == 3
    row = {name: float(value) for name, value in metrics._asdict().items()}
    assert np.isfinite(list(row.values())).all()
    assert trainee.say_step(row)


def test_its_figures_are_finite(kind, trainee, verdict, tmp_path):
    assert verdict.keys() == FIGURES[kind]
    assert trainee.criterion in verdict
    for figure in verdict.values():
        assert type(figure) is float
        assert np.isfinite(figure)
    assert trainee.say_verdict(verdict)


def test_its_samples_are_images(kind, trainee, trained):
    samples = trainee.samples(trained[0])
    assert samples.shape == (SAMPLES[kind], 16, 16, 3)
    assert np.abs(samples).max() <= 1
    np.testing.assert_array_equal(trainee.samples(trained[0]), samples)
    assert samples.std(axis=0).min() > 0


def test_its_curves_are_a_picture(trainee, trained, verdict, tmp_path):
    metrics = {name: float(x) for name, x in trained[1]._asdict().items()}
    steps = [{"step": step, **metrics, "images_per_second": 9.0} for step in (1, 2, 3)]
    path = tmp_path / "curves.png"
    trainee.write_curves(path, steps, [{"step": 3, **verdict}], 3)
    with Image.open(path) as picture:
        assert picture.width > 300


def test_a_context_encoder_is_judged_by_its_errors_in_the_holes():
    trainee = trainees.make(CONTEXT_ENCODER, TRAINING, HELD_BACK)
    state = trainee.init_state()
    # Half trained weights, of a network that does not forget what it sees on the way.
    lively = jax.tree.map(lambda x: 2 * x, random_weights(state.average))
    state = state._replace(average=lively)
    mean = TRAINING.images.mean((0, 1, 2)) / 127.5 - 1
    np.testing.assert_allclose(state.color, mean, atol=1e-6)
    kinds = tuple(context_encoder.MASKS.values())
    known = masks_in_turn(kinds, jax.random.key(0), 12, (16, 16))
    fill = context_encoder.context_encoder_fill(state.average, mean)
    y = pixels.to_float(HELD_BACK.images)
    completed = np.asarray(fill(y, known, None), float)
    errors = np.array(
        [
            ((a - b) ** 2)[np.asarray(mask[..., 0]) == 0].mean()
            for a, b, mask in zip(completed, y, known, strict=True)
        ]
    )
    found = trainee.judge(state)
    assert found["hole_loss"] == pytest.approx(errors.mean(), rel=1e-4)
    for i, name in enumerate(("center", "pattern", "random80", "half")):
        of_kind = errors[i::4].mean()
        assert found[f"hole_loss_{name}"] == pytest.approx(of_kind, rel=1e-4)
    masked, filled = trainee.samples(state).reshape(12, 2, 16, 16, 3).swapaxes(0, 1)
    np.testing.assert_allclose(filled, completed, atol=1e-5)
    painted = np.where(known == 1, y, mean.astype(np.float32))
    np.testing.assert_allclose(masked, painted, atol=1e-6)


def test_with_nothing_held_back_a_context_encoder_shows_training_images():
    trainee = trainees.make(CONTEXT_ENCODER, TRAINING, dataset(0, 0))
    samples = trainee.samples(trainee.init_state())
    assert samples.shape == (2 * 12, 16, 16, 3)


@pytest.fixture(scope="module")
def encoders(tiny_parts):
    config = encoder.EncoderConfig(TINY, passes=2, batch_size=8)
    model = pretrained.make_model(tiny_parts)
    return trainees.Encoders(config, TRAINING, model, None), model


@pytest.mark.slow
def test_encoders_take_steps_and_show_what_they_guess(encoders, tmp_path):
    trainee, model = encoders
    assert not isinstance(trainee, Judged)
    state, metrics = trainee.train_step(
        trainee.init_state(), pixels.to_float(TRAINING.images[:8]), None
    )
    row = {name: np.asarray(x).tolist() for name, x in metrics._asdict().items()}
    assert [len(values) for values in row.values()] == [2, 2]
    assert trainee.say_step(row) == f"l1 {row['whole'][1]:.3f}"
    trainee.write_curves(tmp_path / "curves.png", [{"step": 1, **row}], [], None)
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width > 300
    # By hand: what the networks themselves say of each picture.
    masked, guessed = trainee.samples(state).reshape(12, 2, 16, 16, 3).swapaxes(0, 1)
    known = np.asarray(masks_in_turn(encoder.MASKS, jax.random.key(0), 12, (16, 16)))
    images = np.where(known == 1, pixels.to_float(TRAINING.images), -1)
    np.testing.assert_array_equal(masked, images)
    guess, u = np.zeros_like(images), 0
    for variables in state.encoders:
        seen = np.concatenate([images, known, guess], -1)
        u = u + Encoder(TINY).apply(variables, seen, train=False)
        guess = np.asarray(jax.vmap(model.generate)(np.tanh(u)))
    np.testing.assert_allclose(guessed, guess, atol=1e-4)
