"""The inpainting program, run as its users run it."""

import dataclasses
import json
import zipfile

import numpy as np
import pytest
from conftest import DEMO
from PIL import Image

from inpaint_jax.configs import SEARCHES

FIGURES = ("context_loss", "prior_loss", "psnr", "ssim", "psnr_hole", "seconds")

# Each size of batch is compiled: the tests below keep to 1, 4 and 12 where it does not
# matter.


@pytest.fixture
def inpaint(program, tiny_model_file, tmp_path):
    """Runs the program with the tiny model; returns the result and its folder."""

    def run(*arguments, check=True, model=tiny_model_file):
        output = tmp_path / "out"
        result = program(
            "inpaint",
            f"--model={model}",
            f"--output={output}",
            "--steps=3",
            *arguments,
            check=check,
            cwd=tmp_path,
        )
        return result, output

    return run


def results(output):
    return json.loads((output / "results.json").read_text())


def read(path):
    return np.asarray(Image.open(path))


def frame_file(output, row):
    """What the model saw of a picture, with its hole."""
    return output / "frames" / "masked" / row["frames"][0]["file"]


def test_the_default_pictures(inpaint):
    _, output = inpaint("--mask=random80")
    stems = sorted(path.stem for path in DEMO.glob("*.png"))
    assert len(stems) == 4
    for folder in ("completed", "frames/masked", "frames/generated"):
        assert sorted(path.stem for path in (output / folder).iterdir()) == stems
    for stem in stems:
        masked = read(output / "frames/masked" / f"{stem}.png")
        completed = read(output / "frames/completed" / f"{stem}.png")
        known = masked.any(axis=-1)
        assert 0.1 < known.mean() < 0.3
        np.testing.assert_array_equal(completed[known], masked[known])
        photograph = read(output / "completed" / f"{stem}.png")
        portrait = read(DEMO / f"{stem}.png")
        assert photograph.shape == portrait.shape
        # Above and below the square that the model sees nothing is changed.
        for rows in (slice(0, 20), slice(198, 218)):
            np.testing.assert_array_equal(photograph[rows], portrait[rows])
    assert read(output / "grid.png").shape[0] > 4 * 16
    found = results(output)
    assert found["config"]["mask"] == "random80"
    assert found["summary"]["n"] == 4
    assert found["failed"] == []
    for row in found["images"]:
        assert np.isfinite([row[name] for name in FIGURES]).all()
        assert 0.7 < row["missing"] < 0.9


@pytest.mark.slow
def test_the_fast_search_is_the_default_and_the_papers_is_there(inpaint, noise_folder):
    arguments = (f"--input={noise_folder}", "--mask=center", "--limit=4")
    configs = {}
    for search in ((), ("--search=paper",)):
        _, output = inpaint(*arguments, *search)
        config = results(output)["config"]
        configs[config["search"]] = config
    assert list(configs) == ["fast", "paper"]
    for name, config in configs.items():
        expected = dataclasses.asdict(SEARCHES[name]) | {"steps": 3}
        assert expected.items() <= config.items()


def test_known_pixels_are_the_pictures_own(inpaint, noise_folder):
    _, output = inpaint(f"--input={noise_folder}", "--mask=left")
    for path in noise_folder.iterdir():
        completed = read(output / "completed" / path.name)
        np.testing.assert_array_equal(completed[:, 8:], read(path)[:, 8:])
        assert (completed[:, :8] != read(path)[:, :8]).any()


def test_batches_do_not_show_in_the_results(inpaint, noise_folder):
    _, output = inpaint(f"--input={noise_folder}", "--mask=random50")
    whole = results(output)["images"]
    pictures = {row["id"]: read(output / "completed" / row["file"]) for row in whole}
    _, output = inpaint(
        f"--input={noise_folder}", "--mask=random50", "--batch_size=4", "--limit=6"
    )
    parts = results(output)["images"]
    assert [row["id"] for row in parts] == [row["id"] for row in whole[:6]]
    for row, other in zip(parts, whole, strict=False):
        assert row["missing"] == other["missing"]
        assert row["context_loss"] == pytest.approx(other["context_loss"], rel=1e-4)
        difference = read(output / "completed" / row["file"]).astype(int)
        difference -= pictures[row["id"]]
        assert np.abs(difference).max() <= 1


def test_the_same_seed_gives_the_same_bytes(inpaint, noise_folder):
    def contents(*arguments):
        _, output = inpaint(f"--input={noise_folder}", "--mask=pattern", *arguments)
        return {path.name: path.read_bytes() for path in output.glob("completed/*")}

    first = contents()
    assert len(first) == 12
    assert contents() == first
    assert contents("--seed=1") != first


@pytest.mark.slow
def test_candidates_are_ranked(inpaint, noise_folder):
    _, output = inpaint(
        f"--input={noise_folder}", "--candidates=3", "--limit=4", "--mask=center"
    )
    for row in results(output)["images"]:
        stem = row["file"].removesuffix(".png")
        folder = output / "candidates" / stem
        assert sorted(path.name for path in folder.iterdir()) == [
            "1.png",
            "2.png",
            "3.png",
        ]
        assert len({path.read_bytes() for path in folder.iterdir()}) == 3
        best = (output / "completed" / row["file"]).read_bytes()
        assert (folder / "1.png").read_bytes() == best
        # Where they differ is shown in colours, the rest in grey.
        doubt = read(output / "uncertainty" / row["file"])
        inside = np.ptp(doubt, axis=-1) > 0
        assert inside[4:12, 4:12].mean() > 0.9
        inside[4:12, 4:12] = False
        assert not inside.any()
        assert row["spread"] > 0
        assert -1 <= row["calibration"] <= 1
        totals = row["candidate_losses"]
        assert totals == sorted(totals)
        assert totals[0] < totals[2]
        assert sorted(row["candidate_seeds"]) == [0, 1, 2]
        total = row["context_loss"] + row["prior_loss"]
        assert total == pytest.approx(totals[0])
    # One candidate alone is the first start of the three.
    ranked = results(output)["images"]
    _, output = inpaint(f"--input={noise_folder}", "--limit=4", "--mask=center")
    for row, three in zip(results(output)["images"], ranked, strict=True):
        assert "candidate_losses" not in row
        total = row["context_loss"] + row["prior_loss"]
        first = three["candidate_seeds"].index(0)
        assert three["candidate_losses"][first] == pytest.approx(total, rel=1e-4)


@pytest.mark.slow
def test_refinement_is_noted_and_leaves_known_pixels(inpaint, noise_folder):
    _, output = inpaint(
        f"--input={noise_folder}", "--mask=random50", "--limit=3", "--refine=20"
    )
    assert results(output)["config"]["refine"] == 20
    for row in results(output)["images"]:
        masked = read(output / "frames/masked" / row["file"])
        completed = read(output / "completed" / row["file"])
        known = masked.any(axis=-1)
        np.testing.assert_array_equal(completed[known], masked[known])


@pytest.mark.slow
def test_a_mask_file_for_all_and_its_inverse(inpaint, noise_folder, tmp_path):
    holes = np.zeros((16, 16), np.uint8)
    holes[2:9, 5:15] = 255
    Image.fromarray(holes).save(tmp_path / "mask.png")
    Image.fromarray(255 - holes).save(tmp_path / "inverse.png")
    _, output = inpaint(f"--input={noise_folder}", f"--mask={tmp_path}/mask.png")
    for path in noise_folder.iterdir():
        masked = read(output / "frames/masked" / path.name)
        np.testing.assert_array_equal(masked[holes == 0], read(path)[holes == 0])
        assert not masked[holes > 0].any()
    first = results(output)["images"]
    _, output = inpaint(
        f"--input={noise_folder}",
        f"--mask={tmp_path}/inverse.png",
        "--mask_known=white",
    )
    for row, other in zip(first, results(output)["images"], strict=True):
        assert row["missing"] == other["missing"] == 70 / 256
        assert row["context_loss"] == other["context_loss"]


def test_a_folder_of_masks_and_one_that_lacks(inpaint, noise_folder, tmp_path):
    folder = tmp_path / "masks"
    folder.mkdir()
    for i in range(11):  # The twelfth has none.
        holes = np.zeros((16, 16), np.uint8)
        holes[:, i : i + 3] = 255
        Image.fromarray(holes).save(folder / f"{i:02d}.png")
    result, output = inpaint(f"--input={noise_folder}", f"--mask={folder}", check=False)
    assert result.returncode == 1
    found = results(output)
    assert len(found["images"]) == 11
    assert [failure["id"] for failure in found["failed"]] == ["11"]
    masked = read(output / "frames/masked" / "04.png")
    assert not masked[:, 4:7].any()
    assert masked[:, :4].any()


def test_one_bad_picture_costs_that_picture_only(inpaint, noise_folder):
    (noise_folder / "05.png").write_text("no picture at all")
    whole = (noise_folder / "07.png").read_bytes()
    (noise_folder / "07.png").write_bytes(whole[: len(whole) // 2])
    (noise_folder / "09.png").write_bytes(b"")
    result, output = inpaint(
        f"--input={noise_folder}", "--mask=center", "--batch_size=4", check=False
    )
    assert result.returncode == 1
    found = results(output)
    assert [row["id"] for row in found["failed"]] == ["05", "07", "09"]
    assert all(row["reason"] for row in found["failed"])
    assert len(found["images"]) == found["summary"]["n"] == 9
    assert len(list((output / "completed").iterdir())) == 9
    assert len(result.stderr.splitlines()) == 3


def test_a_missing_input_costs_itself_only(inpaint, noise_folder):
    picture = noise_folder / "03.png"
    inputs = f"--input=missing.png,{picture}"
    result, output = inpaint(inputs, "--mask=center", check=False)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    found = results(output)
    assert [row["id"] for row in found["images"]] == ["03"]
    assert [row["id"] for row in found["failed"]] == ["missing.png"]


def test_a_run_without_results_leaves_the_last_ones(inpaint, noise_folder, tmp_path):
    def contents():
        return {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}

    _, output = inpaint(f"--input={noise_folder / '03.png'}", "--mask=center")
    before = contents()
    (tmp_path / "bad.png").touch()
    result, _ = inpaint("--input=bad.png", "--mask=center", check=False)
    assert result.returncode == 2
    assert contents() == before


@pytest.mark.slow
def test_what_lies_beside_a_picture_does_not_change_it(inpaint, noise_folder, tmp_path):
    arguments = ("--mask=random50", "--batch_size=1")
    _, output = inpaint(f"--input={noise_folder}", "--limit=1", *arguments)
    alone = results(output)["images"][0]
    other = tmp_path / "other"
    other.mkdir()
    Image.new("RGB", (16, 16)).save(other / "00.png")
    _, output = inpaint(f"--input={other},{noise_folder}", "--limit=2", *arguments)
    beside = results(output)["images"][1]
    assert beside["id"] == "noise/00"  # Told apart by their folders now,
    for name in ("missing", "context_loss", "psnr"):  # but the same problem.
        assert beside[name] == alone[name]


@pytest.mark.slow
def test_degenerate_masks_warn_in_a_line(inpaint, noise_folder, tmp_path):
    for name, value in (("none", 0), ("all", 255)):
        Image.new("L", (16, 16), value).save(tmp_path / f"{name}.png")
    picture = noise_folder / "03.png"
    result, output = inpaint(f"--input={picture}", f"--mask={tmp_path}/none.png")
    assert "nothing is missing" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    np.testing.assert_array_equal(read(output / "completed/03.png"), read(picture))
    # Against itself as the original: infinite, which JSON cannot say.
    original = f"--original={picture}"
    inpaint(f"--input={picture}", f"--mask={tmp_path}/none.png", original)
    row = results(output)["images"][0]
    assert row["psnr"] is None
    assert row["psnr_hole"] is None
    assert row["ssim"] == 1.0
    result, output = inpaint(f"--input={picture}", f"--mask={tmp_path}/all.png")
    assert "nothing is known" in result.stderr
    np.testing.assert_array_equal(
        read(output / "completed/03.png"), read(output / "frames/generated/03.png")
    )


@pytest.mark.slow
def test_pictures_of_every_kind_in_a_zip(inpaint, tmp_path):
    folder = tmp_path / "kinds"
    folder.mkdir()
    colour = Image.open(DEMO / "collins.png")
    colour.convert("RGBA").save(folder / "rgba.png")
    colour.convert("L").save(folder / "grey.png")
    colour.convert("P").save(folder / "palette.png")
    colour.resize((1600, 900)).save(folder / "wide.jpg")
    deep = (np.asarray(colour.convert("L")).astype(np.uint16)) * 257
    Image.fromarray(deep).save(folder / "deep.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    colour.rotate(90, expand=True).save(folder / "turned.jpg", exif=turned, quality=95)
    with zipfile.ZipFile(tmp_path / "kinds.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, f"inside/{path.name}")
    _, output = inpaint("--input=kinds.zip", "--mask=center", "--batch_size=4")
    found = results(output)
    assert found["summary"]["n"] == 6
    masked = {
        row["id"].split("/")[-1]: read(frame_file(output, row)).astype(int)
        for row in found["images"]
    }
    np.testing.assert_array_equal(masked["deep"], masked["grey"])
    # EXIF's rotation is undone: but for JPEG's losses it is the upright picture.
    assert np.abs(masked["turned"] - masked["rgba"]).mean() < 4


def bad_inputs(folder):
    (folder / "text.png").write_text("this is no picture")
    Image.new("RGB", (64, 64)).save(folder / "good.jpg")
    content = (folder / "good.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(content[: len(content) - 200])
    (folder / "empty.png").write_bytes(b"")
    Image.new("L", (30, 20), 255).save(folder / "mask.png")
    (folder / "model.safetensors").write_bytes(b"\x10" * 100)
    (folder / "file").touch()
    (folder / "fixed.webm.png").mkdir()
    (folder / "old").mkdir()
    (folder / "old" / "grid.png").touch()  # The user's own.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input=missing.png"], "missing.png"),
        (["--input=text.png", "--mask=center"], "text.png"),
        (["--input=text.png"], "text.png"),
        (["--input=cut.jpg", "--mask=center"], "cut.jpg"),
        (["--input=empty.png", "--mask=center"], "empty.png: the file is empty"),
        (["--input="], "--input= is empty"),
        (["--distributed"], "this program has no --distributed"),
        (["--input=good.jpg", "--mask=no.png"], "--mask=no.png: there is no such file"),
        (["--input=good.jpg"], "good.jpg has nothing transparent"),
        (["--input=good.jpg", "--mask="], "--mask= is empty"),
        (["--input=good.jpg", "--mask=center", "--original=no.png"], "no.png"),
        (["--output="], "--output= is empty"),
        (["--output=fixed.png"], "fixed.png is one picture, and the input is 4"),
        (["--output=fixed.png", "--limit=1", "--trace"], "--trace writes a film"),
        (["--output=fixed.webm.png", "--limit=1"], "is a folder"),
        (["--output=old"], "old/grid.png is there already"),
        (["--input=good.jpg", "--mask=mask.png"], "30x20"),
        (["--mask=random180"], "random180"),
        (["--mask=missing_mask.png"], "missing_mask.png"),
        (["--steps=0"], "steps"),
        (["--search=map"], "has no encoder: use --search=fast"),
        (["--learning_rate=-1"], "learning_rate"),
        (["--prior_weight=nan"], "prior_weight"),
        (["--refine=-1"], "refine"),
        (["--search=slow"], "search"),
        (["--frame=round"], "frame 'round': give auto, face"),
        (["--batch_size=0"], "batch_size"),
        (["--candidates=0"], "candidates"),
        (["--candidates=65"], "batch_size"),
        (["--answer=mean", "--candidates=1"], "--answer=mean needs"),
        (["--answer=mean", "--batch_size=1"], "--answer=mean needs"),
        (["--answer=median"], "answer"),
        (["--seed=-1"], "seed"),
        (["--output=file"], "file"),
        (["--output=/proc/none"], "/proc/none"),
        (["--model=unknown"], "celeba64"),
        (["--model=model.safetensors"], "model.safetensors"),
        (["--search=psychic"], "search"),
        (["picture.png"], "picture.png"),
    ],
)
def test_one_line_says_what_is_wrong(inpaint, tmp_path, arguments, message):
    bad_inputs(tmp_path)
    result, output = inpaint(*arguments, check=False)
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith("inpaint: ")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (output / "completed").exists()


@pytest.mark.slow
def test_the_mean_of_candidates_is_nearer_to_what_was_there(inpaint, noise_folder):
    given = (f"--input={noise_folder}", "--limit=4", "--mask=center", "--answer=mean")
    _, output = inpaint(*given, "--candidates=5")
    found = results(output)
    assert (found["config"]["answer"], found["config"]["candidates"]) == ("mean", 5)
    for row in found["images"]:
        folder = output / "candidates" / row["file"].removesuffix(".png")
        several = np.stack([read(path) for path in folder.iterdir()]).astype(float)
        completed = read(output / "completed" / row["file"])
        np.testing.assert_allclose(completed, several.mean(0), atol=1)
    best = [row["psnr_hole"] for row in found["images"]]
    _, output = inpaint(*given[:3], "--candidates=5")
    assert np.mean(best) > results(output)["summary"]["psnr_hole"]
    _, output = inpaint(*given)
    assert results(output)["config"]["candidates"] == 8


@pytest.mark.slow
def test_a_film_shows_how_a_hole_fills(inpaint, noise_folder):
    given = (f"--input={noise_folder}", "--limit=2", "--mask=center", "--trace")
    _, output = inpaint(*given, "--candidates=2")
    for row in results(output)["images"]:
        film = Image.open(output / "film" / row["file"].replace(".png", ".webp"))
        assert film.size == (256, 256)
        # Pictures that are the same are one, and an untrained model hardly moves.
        assert film.n_frames >= 2
        pictures = [np.asarray(film.convert("RGB"))]
        film.seek(film.n_frames - 1)
        pictures.append(np.asarray(film.convert("RGB")))
        hole = slice(72, 184)
        assert pictures[0][hole, hole].mean() < 2
        # Compressed with loss.
        completed = Image.open(output / "completed" / row["file"]).resize((256, 256), 3)
        assert np.abs(pictures[1] - np.asarray(completed, float)).mean() < 12
    result, _ = inpaint(*given, "--method=tv", check=False)
    assert "--trace is for --method=latent" in result.stderr


def test_real_faces(inpaint, real_data):
    zipped = real_data / "celeba64" / "test.zip"
    _, output = inpaint(
        f"--input={zipped}", "--limit=8", "--mask=half", model="celeba64"
    )
    found = results(output)
    assert found["summary"]["n"] == 8
    for row in found["images"]:
        assert np.isfinite([row[name] for name in FIGURES]).all()
        assert row["missing"] == 0.5
