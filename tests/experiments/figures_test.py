"""Which images a figure of completed images shows, and what it says of them."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from experiments import figures
from experiments.paper.cells import Examples
from experiments.paper.comparison import Case
from experiments.runtime import program
from inpaint_jax.data import sheets
from inpaint_jax.latents import Normal, Uniform
from inpaint_jax.types import Model

SIZE = 16
COUNT = 16
CASE = Case("noise", "Noise", "train", "test", {})
ORIGINALS = np.random.default_rng(0).integers(0, 256, (COUNT, SIZE, SIZE, 3), np.uint8)


def example(seed, lost=()):
    """What a method that errs by some grey levels, image by image, made of all."""
    rng = np.random.default_rng(seed)
    errors = rng.permutation(np.arange(1, COUNT + 1))[:, None, None, None]
    completed = np.clip(ORIGINALS.astype(int) + errors, 0, 255).astype(np.uint8)
    kept = [i for i in range(COUNT) if i not in lost]
    rows = [
        {"psnr": 40.0 - errors[i].item(), "psnr_hole": 30.0 - errors[i].item()}
        for i in kept
    ]
    masks = np.ones((COUNT, SIZE, SIZE, 1), np.float32)
    masks[:, 4:12] = 0
    ids = [f"{i:02d}" for i in kept]
    return Examples(ids, ORIGINALS[kept], masks[kept], completed[kept], rows)


@pytest.fixture
def sheet(monkeypatch):
    """Draws a figure of known cells; returns what is on it and what was computed."""

    def draw(name, examples, plate=None, case=CASE):
        asked = []

        class FakeCell:
            def __init__(self, case, mask, method, column, workdir):
                self.place = (mask, method)

            def examples(self, limit):
                asked.append((*self.place, limit))
                return examples[self.place[1]]

        drawn = {}
        monkeypatch.setattr(figures, "Cell", FakeCell)
        monkeypatch.setattr(
            sheets, "grid", lambda rows, **labels: drawn.update(rows=rows, **labels)
        )
        plate = plate or figures._PLATES[name]
        figures._draw_plate(name, plate, [case] * 3, None)
        return drawn, asked

    return draw


def shown(drawn):
    """The ids on a sheet."""
    return [label.rpartition(", ")[2] for label in drawn["row_labels"]]


def test_a_data_set_with_an_autoencoder_shows_it_beside_the_papers_model(sheet):
    methods = ("context_encoder", "latent", "autoencoder")
    examples = {name: example(i) for i, name in enumerate(methods)}
    case = dataclasses.replace(CASE, networks={"autoencoder": "newer"})
    drawn, _ = sheet("8", examples, case=case)
    labels = [figures._COLUMNS[name].title for name in methods]
    assert drawn["column_labels"] == ["original", "input", *labels]


def test_a_data_set_without_a_dcgan_has_no_figures_of_the_paper(sheet):
    case = dataclasses.replace(CASE, networks={"autoencoder": "newer", "model": "none"})
    message = "figure 13 shows the model of Noise, for which --comparison says"
    with pytest.raises(program.UsageError, match=message):
        sheet("13", {}, case=case)


def test_the_first_images_with_every_methods_result(sheet):
    examples = {"context_encoder": example(1), "latent": example(2)}
    drawn, asked = sheet("8", examples)
    assert asked == [
        (mask, method, 4)
        for mask in ("center", "pattern")
        for method in ("context_encoder", "latent")
    ]
    assert drawn["column_labels"] == ["original", "input", "context encoder", "ours"]
    assert shown(drawn) == ["00", "01", "02", "03"] * 2
    for i, (row, captions) in enumerate(
        zip(drawn["rows"][:4], drawn["captions"][:4], strict=True)
    ):
        original, masked, *completed = row
        np.testing.assert_array_equal(original, ORIGINALS[i])
        assert (masked[4:12] == 0).all()
        np.testing.assert_array_equal(masked[:4], ORIGINALS[i, :4])
        for each, caption, method in zip(
            completed, captions[2:], examples.values(), strict=True
        ):
            np.testing.assert_array_equal(each, method.completed[i])
            assert caption == f"{method.rows[i]['psnr']:.1f} dB"


def test_an_image_that_one_method_has_not_filled_is_not_shown(sheet):
    examples = {"context_encoder": example(1, lost=[0]), "latent": example(2, lost=[2])}
    drawn, _ = sheet("8", examples)
    assert shown(drawn) == ["01", "03", "04", "05"] * 2
    latent = examples["latent"]
    for row, id in zip(drawn["rows"], shown(drawn), strict=True):
        np.testing.assert_array_equal(row[0], ORIGINALS[int(id)])
        np.testing.assert_array_equal(row[-1], latent.completed[latent.ids.index(id)])


def test_errors_are_amplified(sheet):
    examples = {"context_encoder": example(1), "latent": example(2)}
    drawn, _ = sheet("12", examples)
    assert drawn["column_labels"][-2:] == [
        "error: context encoder",
        "error: ours",
    ]
    original, _, *completed, first, second = drawn["rows"][1]
    for result, error in zip(completed, (first, second), strict=True):
        expected = 2 * np.abs(result.astype(int) - original.astype(int))
        np.testing.assert_array_equal(error, np.minimum(expected, 255))


@pytest.mark.parametrize(
    ("name", "first", "title"),
    [("4", "without_prior", "with prior"), ("5", "pasted", "with blending")],
)
def test_where_two_results_differ_most(sheet, name, first, title):
    examples = {first: example(1), "latent": example(2)}
    drawn, asked = sheet(name, examples)
    assert {limit for *_, limit in asked} == {16}
    assert drawn["column_labels"][-1] == title
    a, b = (each.completed.astype(int) for each in examples.values())
    gaps = {f"{i:02d}": np.abs(a[i] - b[i]).mean() for i in range(COUNT)}
    assert shown(drawn) == sorted(gaps, key=gaps.get, reverse=True)[:4]


def test_the_worst_cases(sheet):
    worst = example(3)
    worst.rows[5]["psnr_hole"] = worst.rows[5]["psnr"] = None  # An exact fill.
    drawn, _ = sheet("13", {"latent": worst})
    values = {
        id: row["psnr_hole"]
        for id, row in zip(worst.ids, worst.rows, strict=True)
        if row["psnr_hole"] is not None
    }
    assert shown(drawn) == sorted(values, key=values.get)[:4] * 2


def test_a_row_of_samples_of_each_generator(monkeypatch):
    def generate(z):
        return jnp.broadcast_to(z, (SIZE, SIZE, 3))

    vae, gan = (Model(generate, space(3), SIZE) for space in (Normal, Uniform))
    monkeypatch.setattr(Case, "model", gan)
    monkeypatch.setattr(figures, "load_vae", lambda name: vae)
    monkeypatch.setattr(sheets, "grid", lambda rows, **labels: (rows, labels))
    (of_vae, of_gan), labels = figures._draw_samples(CASE)
    assert labels["row_labels"] == ["VAE", "DCGAN"]
    assert of_vae.shape == of_gan.shape == (10, SIZE, SIZE, 3)
    # Latents of N(0, 1), and of U[-1, 1].
    assert np.abs(of_vae).max() > 1
    assert np.abs(of_gan).max() <= 1
    assert np.std(of_gan) > 0.3
