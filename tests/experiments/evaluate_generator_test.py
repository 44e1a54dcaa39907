"""The program that measures generators, run as its users run it."""

import json

import numpy as np
import pytest
from PIL import Image

from inpaint_jax import load_model, pixels
from inpaint_jax.data.datasets import load
from inpaint_jax.quality import generators, linear

SMALL = ("--reconstructions=3", "--steps=20")


@pytest.fixture(scope="module")
def measured(program, tiny_model_file, tmp_path_factory):
    """The output of one run, and the folder of pictures it was judged with."""
    folder = tmp_path_factory.mktemp("pictures")
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), np.uint8)
    for i, picture in enumerate(pixels):
        Image.fromarray(picture).save(folder / f"{i:02d}.png")
    output = tmp_path_factory.mktemp("quality")
    result = program(
        "evaluate_generator",
        f"--model={tiny_model_file}",
        f"--dataset=images:{folder}",
        f"--train_dataset=images:{folder}",
        f"--output={output}",
        *SMALL,
    )
    return folder, output, result.stdout


@pytest.mark.slow
def test_the_file_holds_the_figures_of_the_library(measured, tiny_model_file):
    folder, output, _ = measured
    found = json.loads((output / "quality.json").read_text())
    real = pixels.to_float(load(f"images:{folder}", size=16).images)
    expected = generators.measure(
        load_model(tiny_model_file),
        real,
        config=generators.QualityConfig(reconstructions=3, steps=20),
    )
    assert (found["images"], found["reconstructions"], found["steps"]) == (12, 3, 20)
    np.testing.assert_allclose(found["swd"]["16"], expected.swd[16], rtol=1e-3)
    assert found["swd"]["mean"] == found["swd"]["16"]
    np.testing.assert_allclose(found["ms_ssim"], expected.ms_ssim, rtol=1e-3)
    np.testing.assert_allclose(
        found["ceiling"]["psnr"], expected.ceiling.mean(), rtol=1e-3
    )
    np.testing.assert_allclose(
        found["ceiling"]["sem"], expected.ceiling.std(ddof=1) / 3**0.5, rtol=1e-2
    )
    real_figures = found["real"]
    assert real_figures["ms_ssim"] == generators.diversity(real, 1000)
    assert 0 < real_figures["swd_of_halves"]["mean"] < found["swd"]["mean"]
    assert "fid" not in found
    pytest.importorskip("sklearn", reason="the extra figures is not installed")
    training = load(f"images:{folder}", size=16).images
    expected = linear.principal_ceiling(training, training[:3], 8)
    assert found["principal"]["components"] == 8
    assert found["principal"]["psnr"] == pytest.approx(expected.mean())


def test_refined_reconstructions_are_said_to_be(program, measured, tiny_model_file):
    folder, output, _ = measured
    plain = json.loads((output / "quality.json").read_text())
    program(
        "evaluate_generator",
        f"--model={tiny_model_file}",
        f"--dataset=images:{folder}",
        f"--output={output / 'refined'}",
        *SMALL,
        "--refine=20",
    )
    found = json.loads((output / "refined" / "quality.json").read_text())
    assert plain["refinement"] is None
    assert found["refinement"]["steps"] == 20
    assert found["ceiling"]["psnr"] > plain["ceiling"]["psnr"]


def test_it_says_what_it_found_and_where_to_look(measured):
    _, output, printed = measured
    found = json.loads((output / "quality.json").read_text())
    assert f"ceiling {found['ceiling']['psnr']:.2f} dB" in printed
    if "principal" in found:
        assert f"(8 components: {found['principal']['psnr']:.2f} dB)" in printed
    for name in ("samples.png", "reconstructions.png"):
        assert str(output / name) in printed
        assert np.asarray(Image.open(output / name)).std() > 0


def test_only_the_images_that_are_listed(measured, program, tiny_model_file, tmp_path):
    folder, _, _ = measured
    ids = ["01", "03", "05", "07", "08", "09"]
    (tmp_path / "ids.json").write_text(json.dumps(ids))
    program(
        "evaluate_generator",
        f"--model={tiny_model_file}",
        f"--dataset=images:{folder}",
        f"--ids={tmp_path / 'ids.json'}",
        *SMALL,
        "--limit=4",
        cwd=tmp_path,
    )
    found = tmp_path / "outputs" / "quality" / "tiny" / "quality.json"
    assert json.loads(found.read_text())["images"] == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--dataset"),
        (["--dataset=images:/no/such"], "/no/such"),
        (["--dataset=images:{}", "--model=nobody"], "no model 'nobody'"),
        (["--dataset=images:{}", "--limit=3"], "limit"),
        (["--dataset=images:{}", "--train_dataset=images:/no/such"], "/no/such"),
        (["--dataset=images:{}", "--ids=ids.json"], "lists 2 ids, of which"),
        (["--dataset=images:{}", "--inception_weights={}", *SMALL], "{}"),
    ],
)
def test_one_line_says_what_is_wrong(
    measured, program, tiny_model_file, tmp_path, arguments, message
):
    folder, _, _ = measured
    (tmp_path / "ids.json").write_text('["01", "elsewhere"]')
    result = program(
        "evaluate_generator",
        f"--model={tiny_model_file}",
        f"--output={tmp_path / 'out'}",
        *(each.format(folder) for each in arguments),
        check=False,
        cwd=tmp_path,
    )
    assert result.returncode == 2
    assert message.format("fid") in result.stderr
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.rglob("quality.json"))
