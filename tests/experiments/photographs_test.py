"""Photographs in files, filled as the documents tell people to."""

import json
import re

import numpy as np
import pytest
from conftest import DEMO, ROOT
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from experiments.flags import model as model_flags
from inpaint_jax import pretrained
from inpaint_jax.photographs import faces

needs_detector = pytest.mark.skipif(
    not faces.is_installed(), reason="the extra faces is not installed"
)
HARMONIC = ("--method=harmonic", "--model=celeba64")


@pytest.fixture
def old(tmp_path):
    """An old photograph that lies on its side, its scratches, and what is known."""
    canvas = Image.new("RGB", (300, 500), (90, 110, 120))
    with Image.open(DEMO / "collins.png") as portrait:
        canvas.paste(portrait.convert("RGB"), (90, 200))
    y, x = np.mgrid[:500, :300]
    scratches = (abs(x - y + 150) < 3) & (y > 220) | (abs(y - 420) < 3)
    damaged = np.where(scratches[..., None], 255, np.asarray(canvas)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Image.fromarray(damaged).transpose(Image.Transpose.ROTATE_90)
    for name in ("old.png", "old.jpg"):
        stored.save(tmp_path / name, exif=exif, quality=95)
    Image.fromarray(scratches).save(tmp_path / "scratches.png")
    canvas.save(tmp_path / "whole.png")
    return damaged, ~scratches


@pytest.fixture
def inpaint(program, tmp_path):
    def run(*arguments, check=True):
        return program("inpaint", *arguments, cwd=tmp_path, check=check)

    return run


def upright(path):
    with Image.open(path) as image:
        assert image.getexif()[0x0112] == 6
        return np.asarray(image.transpose(Image.Transpose.ROTATE_270))


@needs_detector
@pytest.mark.slow
def test_the_command_of_the_documents(inpaint, old, tmp_path):
    texts = [(ROOT / name).read_text() for name in ("README.md", "docs/photographs.md")]
    command = "--input=old.jpg --mask=scratches.png --output=new.png"
    assert all(f"python -m experiments.inpaint {command}\n" in text for text in texts)
    said = inpaint(*command.split(), "--steps=3")
    assert "1 completed, 0 failed" in said.stdout
    assert upright(tmp_path / "new.png").shape == (500, 300, 3)


@pytest.mark.slow
def test_the_lines_of_python_of_the_readme(old, tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    (lines,) = [block for block in blocks if "repair(" in block]
    monkeypatch.chdir(tmp_path)
    exec(lines, {})
    with Image.open(tmp_path / "new.png") as made:
        assert made.size == (300, 500)


@needs_detector
def test_a_photograph_stays_what_it_is(inpaint, old, tmp_path):
    damaged, known = old
    arguments = ("--input=old.png", "--mask=scratches.png", "--original=whole.png")
    inpaint(*arguments, "--output=out", *HARMONIC, "--outside=harmonic")
    made = upright(tmp_path / "out/completed/old.png")
    np.testing.assert_array_equal(made[known], damaged[known])
    (row,) = json.loads((tmp_path / "out/results.json").read_text())["images"]
    with Image.open(tmp_path / "whole.png") as whole:
        pair = np.asarray(whole), made
    expected = structural_similarity(
        *pair,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=-1,
    )
    assert row["ssim_photograph"] == pytest.approx(expected, abs=1e-4)
    psnr = peak_signal_noise_ratio(*pair)
    assert row["psnr_photograph"] == pytest.approx(psnr, abs=1e-4)
    assert 0 < row["outside"] < 1
    # The frame is that of the face, not the middle of the picture.
    (frame,) = row["frames"]
    assert frame["corner"] == pytest.approx((90, 220), abs=12)
    for kind in ("picture", "masked", "completed"):
        with Image.open(tmp_path / "out/frames" / kind / "old.png") as image:
            assert image.size == (64, 64)


def side_by_side(*names):
    """Portraits in one picture, 300 pixels high."""
    canvas = Image.new("RGB", (40 + 220 * len(names), 300), (90, 110, 120))
    for i, name in enumerate(names):
        with Image.open(DEMO / f"{name}.png") as portrait:
            canvas.paste(portrait.convert("RGB"), (20 + 220 * i, 40))
    return canvas


@needs_detector
def test_each_of_several_faces_is_filled(inpaint, tmp_path):
    side_by_side("biden", "collins", "obama_portrait").save(tmp_path / "three.png")
    Image.fromarray(np.indices((300, 700))[0] % 30 < 2).save(tmp_path / "lines.png")
    arguments = ("--input=three.png", "--mask=lines.png", "--batch_size=2", *HARMONIC)
    said = inpaint(*arguments, "--output=out")
    assert "1 completed, 0 failed" in said.stdout
    (row,) = json.loads((tmp_path / "out/results.json").read_text())["images"]
    assert (row["id"], row["file"]) == ("three", "three.png")
    assert len(row["frames"]) == 3
    shares = [frame["missing"] for frame in row["frames"]]
    assert row["missing"] == pytest.approx(np.mean(shares))
    names = sorted(path.name for path in (tmp_path / "out/frames/masked").iterdir())
    assert names == ["three-2.png", "three-3.png", "three.png"]


@needs_detector
def test_no_frame_takes_the_files_of_a_picture(inpaint, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "masks").mkdir()
    for name, who in {"a": ("biden", "collins"), "a-2": ("obama_portrait",)}.items():
        picture = side_by_side(*who)
        picture.save(tmp_path / "in" / f"{name}.png")
        lines = np.indices(picture.size[::-1])[0] % 30 < 2
        Image.fromarray(lines).save(tmp_path / "masks" / f"{name}.png")
    inpaint("--input=in", "--mask=masks", "--output=out", *HARMONIC)
    rows = json.loads((tmp_path / "out/results.json").read_text())["images"]
    names = [[frame["file"] for frame in row["frames"]] for row in rows]
    assert sorted(names) == [["a-2.png"], ["a.png", "a-2-2.png"]]
    made = {path.name for path in (tmp_path / "out/frames/completed").iterdir()}
    assert made == {"a.png", "a-2.png", "a-2-2.png"}


def test_the_format_is_that_of_the_picture_unless_it_is_given(inpaint, old, tmp_path):
    arguments = ("--input=old.jpg", "--mask=scratches.png", "--frame=whole", *HARMONIC)
    inpaint(*arguments, "--output=out")
    assert upright(tmp_path / "out/completed/old.jpg").shape == (500, 300, 3)
    inpaint(*arguments, "--output=out", "--format=png")
    made = upright(tmp_path / "out/completed/old.png")
    damaged, known = upright(tmp_path / "old.jpg"), old[1]
    np.testing.assert_array_equal(made[known], damaged[known])
    assert not (tmp_path / "out/completed/old.jpg").exists()


LINES = {
    "whole.png small.png": "40x30 pixels do not fit the picture's 300x500",
    "film.mp4 scratches.png": "film.mp4: a video",
    "plain.png spot.png --frame=face": "no face was found in it",
    "whole.png spot.png --frame=face": "its hole does not touch the face found in it",
    "whole.png spot.png --frame=face --model=svhn": "svhn is not a model of faces",
    "whole.png spot.png --frame=200,0,200,100": "does not lie within the picture's",
}


@pytest.mark.parametrize("given", LINES)
def test_what_is_wrong_is_one_line(inpaint, old, tmp_path, given):
    if "--frame=face" in given and not faces.is_installed():
        pytest.skip("the extra faces is not installed")
    Image.new("L", (40, 30), 255).save(tmp_path / "small.png")
    Image.new("RGB", (300, 500), (90, 110, 120)).save(tmp_path / "plain.png")
    spot = np.zeros((500, 300), bool)
    spot[5:20, 5:40] = True
    Image.fromarray(spot).save(tmp_path / "spot.png")
    (tmp_path / "film.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(99))
    picture, mask, *more = given.split()
    model = [] if "--model=svhn" in more else ["--model=celeba64"]
    arguments = (f"--input={picture}", f"--mask={mask}", *model, *more)
    said = inpaint(*arguments, "--method=harmonic", check=False)
    assert said.returncode == 2
    assert LINES[given] in said.stderr
    assert len(said.stderr.splitlines()) == 1


def test_the_default_model_is_the_one_whose_faces_can_be_found(monkeypatch):
    choose = model_flags.or_default
    monkeypatch.setattr(faces, "is_installed", lambda: True)
    assert choose("svhn") == "svhn"
    assert choose(None) == choose(None, frame="face") == "faces128"
    for frame in ("center", "whole", "1,2,64,64"):
        assert choose(None, frame=frame) == "faces"
    assert choose(None, method="context_encoder") == "faces"
    monkeypatch.setattr(faces, "is_installed", lambda: False)
    assert choose(None) == choose(None, frame="face") == "faces"
    assert {"faces", "faces128"} <= set(pretrained.model_names())


def test_results_say_which_model_was_meant(inpaint, old, tmp_path):
    given = "--input=old.png", "--mask=scratches.png", "--output=out"
    inpaint(*given, "--method=harmonic", "--frame=center")
    config = json.loads((tmp_path / "out" / "results.json").read_text())["config"]
    assert config["model"] == "faces"
