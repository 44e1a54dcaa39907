"""The comparison and its figures, run as their users run them."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from experiments.paper import tables
from experiments.runtime.program import UsageError
from inpaint_jax.pretrained import save_model
from inpaint_jax.training import encoder

METHODS = "--methods=harmonic,patch_match,mean"
MASKS = "--masks=center,random80"


@pytest.fixture(scope="module")
def comparison(tmp_path_factory, tiny_model_file):
    """A file that describes one data set of noise, twelve pictures of 16x16."""
    folder = tmp_path_factory.mktemp("comparison")
    (folder / "noise").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), np.uint8)
    for i, picture in enumerate(pixels):
        Image.fromarray(picture).save(folder / "noise" / f"{i:02d}.png")
    path = folder / "comparison.toml"
    path.write_text(
        f"""
        [noise]
        title = "Noise"
        train = "images:{folder / "noise"}"
        test = "images:{folder / "noise"}"
        model = "{tiny_model_file}"
        """
    )
    return path


@pytest.fixture(scope="module")
def compare(program, comparison):
    def run(workdir, *arguments, check=True):
        return program(
            "compare",
            f"--comparison={comparison}",
            f"--workdir={workdir}",
            *arguments,
            check=check,
        )

    return run


@pytest.fixture(scope="module")
def compared(compare, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("compared")
    compare(workdir, METHODS, MASKS, "--limit=5", "--slow_limit=3")
    return workdir


def cells(workdir):
    found = json.loads((workdir / "table.json").read_text())["cells"]
    return {(row["method"], row["mask"]): row for row in found}


def test_a_table_of_all_cells(compared):
    found = cells(compared)
    assert len(found) == 6
    for (method, mask), row in found.items():
        if method == "patch_match":
            assert "patch of 7x7" in row["refused"]
            continue
        folder = compared / f"noise-{mask}-{method}"
        metrics = json.loads((folder / "metrics.json").read_text())
        assert row["n"] == metrics["n"] == 5
        assert row["psnr"] == metrics["figures"]["psnr"]["mean"]
        assert row["seconds"] == metrics["figures"]["seconds"]["median"]
    text = (compared / "table.md").read_text()
    assert f"{found['mean', 'center']['psnr']:.2f}" in text
    assert "| PatchMatch | - | - |" in text


def test_what_is_computed_is_not_computed_again(compared, compare, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(compared, workdir)
    folder = workdir / "noise-center-mean"
    before = json.loads((folder / "metrics.json").read_text())["figures"]["psnr"]
    (folder / "metrics.json").unlink()
    lost = sorted((folder / "completed").iterdir())[0]
    lost.unlink()
    arguments = (METHODS, MASKS, "--limit=5", "--slow_limit=3")
    result = compare(workdir, *arguments)
    titles = [line for line in result.stdout.splitlines() if line.startswith("Noise")]
    assert titles == ["Noise, center: mean image, blended"]
    assert lost.exists()
    assert cells(workdir)["mean", "center"]["psnr"] == pytest.approx(before["mean"])
    result = compare(workdir, *arguments)
    assert "Noise, " not in result.stdout


def test_a_run_of_some_cells_keeps_the_others_in_the_table(compared, compare, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(compared, workdir)
    before = cells(workdir)
    arguments = ("--methods=telea", "--masks=center", "--limit=5", "--slow_limit=3")
    compare(workdir, *arguments)
    after = cells(workdir)
    assert set(after) == {*before, ("telea", "center")}
    assert all(after[key] == row for key, row in before.items())


def test_cells_of_another_description_are_not_taken(
    compared, comparison, compare, tmp_path
):
    workdir, other = tmp_path / "run", tmp_path / "other.toml"
    shutil.copytree(compared, workdir)
    fewer = tmp_path / "fewer"
    shutil.copytree(comparison.parent / "noise", fewer)
    (fewer / "00.png").unlink()
    text = comparison.read_text().replace("train = ", f'train = "images:{fewer}" #')
    other.write_text(text)
    arguments = (f"--comparison={other}", "--masks=center", "--limit=5")
    compare(workdir, *arguments, "--methods=harmonic", "--slow_limit=3")
    # Only the mean looks at training images.
    assert ("mean", "center") not in cells(workdir)
    assert ("harmonic", "center") in cells(workdir)
    result = compare(workdir, *arguments, "--methods=mean", check=False)
    assert result.returncode == 2
    assert "belongs to a run with train_dataset = " in result.stderr


def test_more_images_go_on_with_the_first(compared, compare, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(compared, workdir)
    arguments = ("--methods=harmonic", "--masks=center", "--slow_limit=5")
    result = compare(workdir, *arguments, "--limit=12")
    assert "5 of 12 images are done already" in result.stdout
    assert cells(workdir)["harmonic", "center"]["n"] == 12
    result = compare(workdir, *arguments, "--limit=5")
    assert "Noise, " not in result.stdout


def test_the_tables_go_into_a_document(tmp_path):
    (tmp_path / "table.md").write_text("| new |\n")
    document = tmp_path / "results.md"
    document.write_text(
        "# Results\n\n<!-- tables -->\nold\n<!-- end of tables -->\n\nRead.\n"
    )
    for _ in range(2):
        tables.insert_tables(document, tmp_path)
        assert document.read_text() == (
            "# Results\n\n<!-- tables -->\n\n| new |\n\n"
            "<!-- end of tables -->\n\nRead.\n"
        )
    document.write_text("# Results\n")
    with pytest.raises(UsageError, match=r"results\.md must have the lines"):
        tables.insert_tables(document, tmp_path)


def test_slow_methods_get_fewer_images(compare, tmp_path):
    arguments = ("--methods=harmonic", "--masks=center", "--limit=6", "--slow_limit=2")
    compare(tmp_path, *arguments, "--slow_seconds=0")
    row = cells(tmp_path)["harmonic", "center"]
    assert row["n"] == row["first"]["n"] == 2
    assert row["first"]["psnr"] == pytest.approx(row["psnr"])
    text = (tmp_path / "table.md").read_text()
    assert "## Noise, 2 test images" in text
    assert f"| harmonic | **{row['psnr']:.2f}** ± {row['errors']['psnr']:.2f} |" in text


@pytest.fixture(scope="module")
def newer(tiny_parts, tmp_path_factory):
    """A model with an encoder."""
    config = encoder.EncoderConfig(tiny_parts.architecture, passes=1)
    trained = encoder.init_state(config).encoders
    path = tmp_path_factory.mktemp("newer") / "newer.safetensors"
    save_model(path, dataclasses.replace(tiny_parts, encoders=trained))
    return path


@pytest.mark.slow
def test_a_second_model_of_a_data_set_is_searched_beside_the_first(
    compare, comparison, newer, tmp_path
):
    path, text = tmp_path / "two.toml", comparison.read_text()
    other = text.replace("[noise]", "[other]").replace("Noise", "Other")
    path.write_text(f'{text}\n        autoencoder = "{newer}"\n{other}')
    methods = "harmonic,autoencoder_mean,autoencoder_guess"
    workdir = tmp_path / "run"
    arguments = ("--limit=3", "--slow_limit=3", "--masks=center")
    compare(workdir, f"--comparison={path}", f"--methods={methods}", *arguments)
    table = json.loads((workdir / "table.json").read_text())["cells"]
    assert {(row["dataset"], row["method"]) for row in table} == {
        *(("noise", method) for method in methods.split(",")),
        ("other", "harmonic"),
    }
    found = {
        name: json.loads(
            (workdir / f"noise-center-autoencoder_{name}/metrics.json").read_text()
        )
        for name in ("mean", "guess")
    }
    config = found["mean"]["config"]
    assert (config["model"], config["search"]) == ("newer", "fast")
    assert (config["candidates"], config["answer"]) == (8, "mean")
    assert found["mean"]["figures"]["spread"]["mean"] > 0
    assert found["guess"]["config"]["method"] == "guess"
    assert found["guess"]["config"]["model"] == "newer"
    result = compare(
        workdir,
        f"--comparison={path}",
        "--methods=autoencoder_best",
        "--datasets=other",
        *arguments,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr == (
        "compare: --methods=autoencoder_best needs a network that none of the data "
        "sets has: name one as autoencoder in --comparison\n"
    )


@pytest.mark.slow
def test_a_data_set_without_a_dcgan_or_a_context_encoder(
    compare, comparison, newer, tmp_path
):
    path = tmp_path / "comparison.toml"
    text = comparison.read_text()
    given = [line for line in text.splitlines() if "model =" not in line]
    text = "\n".join([*given, 'model = "none"', 'context_encoder = "none"'])
    workdir = tmp_path / "run"
    few = f"--comparison={path}", "--masks=center", "--limit=2", "--slow_limit=2"
    for line in ("", '\nautoencoder = "none"'):
        path.write_text(text + line)
        result = compare(workdir, *few, check=False)
        assert result.returncode == 2
        assert "[noise] has neither a model nor an autoencoder" in result.stderr
    path.write_text(text + f'\nautoencoder = "{newer}"')
    for name, network in (("latent", "model"), ("context_encoder",) * 2):
        result = compare(workdir, *few, f"--methods={name}", check=False)
        assert f"name one as {network} in --comparison" in result.stderr
    compare(workdir, *few, "--methods=autoencoder_guess,mean")
    assert {name for name, _ in cells(workdir)} == {"autoencoder_guess", "mean"}


def test_figures_of_the_first_images(compared):
    folder = compared / "noise-center-harmonic"
    lines = (folder / "parts" / "00000-00000.jsonl").read_text().splitlines()
    rows = sorted((json.loads(line) for line in lines), key=lambda row: row["index"])
    first = cells(compared)["harmonic", "center"]["first"]
    mean = np.mean([row["psnr"] for row in rows[:3]])
    assert first == {"n": 3, "psnr": pytest.approx(mean)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--methods=magic"], "--methods: there is no 'magic'; there are latent,"),
        (["--datasets=faces"], "--datasets: there is no 'faces'; there are noise"),
        (["--masks=donut"], "donut"),
        (["--comparison=/no/such.toml"], "/no/such.toml"),
        # Before anything is computed.
        (
            ["--methods=harmonic,context_encoder"],
            "there is no context_encoder 'noise'",
        ),
    ],
)
def test_one_line_says_what_is_wrong(compare, tmp_path, arguments, message):
    result = compare(tmp_path / "run", *arguments, "--limit=2", check=False)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.startswith("compare: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a", "Expected"),
        ("a = 1", "[a] must have test, title, train"),
        ("[a]\ntitle = 'x'", "[a] must have test, title, train"),
        ("[a]\ntitle = 'x'\ntrain = 'y'\ntest = 'z'\nmdel = 'w'", "may have"),
        (
            "".join(
                f"[{name}]\ntitle = 'x'\ntrain = 'y'\ntest = 'z'\n" for name in "ab"
            ),
            "two data sets have one title",
        ),
        ("['a/b']\ntitle = 'x'\ntrain = 'y'\ntest = 'z'", "[a/b] must be of letters"),
    ],
)
def test_a_bad_description_is_refused(compare, tmp_path, text, message):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    result = compare(tmp_path / "run", f"--comparison={path}", check=False)
    assert result.returncode == 2
    assert message in result.stderr
    assert str(path) in result.stderr
    assert result.stderr.count("\n") == 1


def test_figures_of_the_cells(program, comparison, tmp_path):
    arguments = (
        f"--comparison={comparison}",
        f"--workdir={tmp_path / 'compare'}",
        f"--output={tmp_path / 'figures'}",
    )
    program("figures", *arguments, "--figure=7")
    picture = np.asarray(Image.open(tmp_path / "figures" / "figure-7.png"))
    # Six rows; the original, the input and three methods; 16 pixels twice as large.
    assert picture.shape[1] > 5 * 32
    assert picture.shape[0] > 6 * 32
    again = program("figures", *arguments, "--figure=7")
    assert "Noise, " not in again.stdout
    result = program("figures", *arguments, "--figure=10", check=False)
    assert result.returncode == 2
    assert "which has 1" in result.stderr
    result = program("figures", *arguments, "--figure=14", check=False)
    assert "figure" in result.stderr


def test_the_best_of_a_column_is_bold_and_the_papers_figures_stand_beside():
    def row(method, mask, psnr, seconds, n=8, first=None):
        return {
            "title": "Cars",
            "mask": mask,
            "method": method,
            "label": method,
            "n": n,
            **{"psnr": psnr, "psnr_hole": psnr - 5, "ssim": 0.5, "swd": 9.0},
            **{"seconds": seconds, "device": "cpu"},
            "first": {"n": 4, "psnr": first or psnr},
        }

    rows = [
        row("context_encoder", "center", 15.0, 0.1, first=13.0),
        row("latent", "center", 15.04, 4.0, n=4),
        {
            **dict.fromkeys(("method", "label"), "tv"),
            **{"title": "Cars", "mask": "center", "refused": "no"},
        },
        row("tv", "half", 9.0, 0.2),
    ]
    lines = tables.to_markdown(rows, 4).splitlines()
    # Of the images that both have.
    assert "search, of the first 4 test images**" in lines[0]
    assert "| center | 13.0 / 15.0 | 14.1 / 13.5 |" in lines
    assert "| half |  /  | 12.6 / 11.1 |" in lines
    assert "| *the paper's ours* | 13.5 | 11.1 |" in lines
    assert "| context_encoder | **0.100** |  |" in lines
    assert "## Cars, 8 test images" in lines
    begin = lines.index("**PSNR, dB, of the first 4**")
    of_first, of_all = lines[begin:][:8], lines[begin:][8:]
    # Fewer images are others: theirs is not the best of a column of more.
    assert "| latent | 15.04 (n = 4) |  |" in of_all
    assert "| context_encoder | **15.00** |  |" in of_all
    assert "| tv | - | **9.00** |" in of_all
    assert "| latent | **15.04** |  |" in of_first
    assert "| context_encoder | 13.00 |  |" in of_first

    rows[1] = row("latent", "center", 15.04, 4.0)
    lines = tables.to_markdown(rows, 4).splitlines()
    assert "latent search**;" in lines[0]
    assert "| center | 15.0 / 15.0 | 14.1 / 13.5 |" in lines
    assert "**PSNR, dB, of the first 4**" not in lines
