"""Scores of completed pictures: what counts, and what is said of the rest."""

import jsonschema
import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from experiments.benchmark import frozen, recognition, scoring
from experiments.runtime.program import UsageError
from inpaint_jax import masks, pixels
from inpaint_jax.data import sources
from inpaint_jax.data.pictures import ImageError

SIZE, COUNT = 16, 6
IDS = tuple(f"{i:02d}" for i in range(COUNT))


@pytest.fixture(scope="module")
def given():
    """A set like those of the benchmark, of noise."""
    known = np.asarray(masks.center(None, (SIZE, SIZE)))
    return frozen.PictureSet(
        version="v1",
        name="svhn",
        title="SVHN",
        image_size=SIZE,
        crop="none",
        places=None,
        dataset="svhn_cropped",
        ids=IDS,
        marks=tuple(recognition.mark(image) for image in noise()),
        masks={"center": np.stack([known] * COUNT)},
    )


def noise(seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (COUNT, SIZE, SIZE, 3), np.uint8)


@pytest.fixture(scope="module")
def located(given, tmp_path_factory):
    folder = tmp_path_factory.mktemp("originals") / "noise"
    write(folder, noise())
    source = sources.open_source(f"images:{folder}", size=SIZE)
    return recognition.locate(source, given.ids, given.marks)


def write(folder, pictures, ids=IDS):
    folder.mkdir(parents=True)
    for id, picture in zip(ids, pictures, strict=False):
        Image.fromarray(picture).save(folder / f"{id}.png")


def filled():
    """The originals with other noise in the hole."""
    result = noise().copy()
    result[:, 4:12, 4:12] = noise(seed=1)[:, 4:12, 4:12]
    return result


@pytest.fixture
def scored(given, located):
    def score(folder):
        files = scoring.find(folder, given)
        return scoring.score(given, located, "center", files, "mine")

    return score


def reasons(result):
    return {each["id"]: each["reason"] for each in result["failed"]}


def test_figures_are_those_of_the_pngs(scored, tmp_path):
    write(tmp_path / "mine", filled())
    result = scored(tmp_path / "mine")
    assert (result["n"], result["identical"], result["failed"]) == (6, 6, [])
    assert result["known"] == {"pictures": 0, "share": 0.0, "largest": 0}
    for row, original, completed in zip(
        result["images"], noise(), filled(), strict=True
    ):
        inside = slice(4, 12), slice(4, 12)
        for name, one, other in (
            ("psnr", original, completed),
            ("psnr_hole", original[inside], completed[inside]),
        ):
            wanted = peak_signal_noise_ratio(one, other)
            assert row[name] == pytest.approx(wanted, abs=1e-4)
        assert row["missing"] == 0.25
    for name in ("psnr", "ssim", "psnr_hole"):
        mean = np.mean([row[name] for row in result["images"]])
        assert result["figures"][name]["mean"] == pytest.approx(mean)
    assert result["figures"]["swd"]["mean"] > 0


def test_a_result_is_what_the_schema_says(scored, schema, tmp_path):
    write(tmp_path / "mine", filled()[:5])
    result = scored(tmp_path / "mine")
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(result, schema)
    for wrong in (
        result | {"benchmark": "v2"},
        result | {"set": "celeba"},
        result | {"n": 0},
        {name: value for name, value in result.items() if name != "known"},
        result | {"figures": {**result["figures"], "psnr": 20.0}},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


def test_known_pixels_that_differ_are_counted_and_scored_as_they_are(scored, tmp_path):
    pictures = filled()
    write(tmp_path / "right", pictures)
    pictures[2, 0, :5] ^= 3
    pictures[4, 15, 15] ^= 64
    write(tmp_path / "wrong", pictures)
    right, wrong = scored(tmp_path / "right"), scored(tmp_path / "wrong")
    assert wrong["known"] == {
        "pictures": 2,
        "share": pytest.approx(6 / (6 * 192)),
        "largest": 64,
    }
    changed = [row["known_changed"] for row in wrong["images"]]
    assert changed == [0, 0, 5, 0, 1, 0]
    for one, other in zip(right["images"], wrong["images"], strict=True):
        worse = other["known_changed"] > 0
        assert (other["psnr"] < one["psnr"]) == worse
        assert other["psnr_hole"] == one["psnr_hole"]


def test_what_is_missing_or_wrong_is_named(scored, tmp_path, capsys):
    folder = tmp_path / "mine"
    write(folder, filled())
    (folder / "01.png").unlink()
    (folder / "03.png").write_bytes(b"no picture")
    Image.fromarray(filled()[4]).resize((32, 32)).save(folder / "04.png")
    Image.fromarray(filled()[5]).save(folder / "05.bmp")
    Image.fromarray(filled()[0]).save(folder / "cover.png")
    result = scored(folder)
    assert result["n"] == 2
    assert [row["id"] for row in result["images"]] == ["00", "02"]
    said = reasons(result)
    assert said["01"] == f"there is no 01.png in {folder}"
    assert "03.png" in said["03"]
    assert "04.png is 32x32 and must be 16x16, as the input is" in said["04"]
    assert "05.bmp and " in said["05"]
    assert "05.png have the id 05; leave one" in said["05"]
    lines = capsys.readouterr().err.splitlines()
    assert "the name of no picture of svhn do not count: 1" in lines[0]
    assert "such as cover.png" in lines[0]
    assert len([line for line in lines if ": " in line]) == 5
    assert lines[-1].endswith("... and 1 more")


def test_nothing_to_score(scored, tmp_path):
    write(tmp_path / "small", filled()[:, :8])
    assert scored(tmp_path / "small") is None


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        (["a", "b"], UsageError, r"no file has the name .* such as 00\.png; .* a\.png"),
        ([], ImageError, "no pictures there"),
        (None, ImageError, "no such file or folder"),
    ],
)
def test_a_folder_of_something_else_is_refused(given, tmp_path, names, error, message):
    folder = tmp_path / "mine"
    if names is not None:
        write(folder, filled(), names)
    with pytest.raises(error, match=message):
        scoring.find(folder, given)


def test_a_file_is_no_folder(given, tmp_path):
    write(tmp_path / "mine", filled())
    with pytest.raises(UsageError, match="is a file: give a folder with a picture"):
        scoring.find(tmp_path / "mine" / "00.png", given)


def test_inputs_are_the_originals_the_masks_and_what_is_left(given, located, tmp_path):
    scoring.write_inputs(tmp_path, given, located, ["center"])
    for id, original in zip(IDS, noise(), strict=True):

        def read(room, id=id):
            return np.asarray(Image.open(tmp_path / room / f"{id}.png"))

        np.testing.assert_array_equal(read("originals"), original)
        mask = read("center/masks")
        known = np.ones((SIZE, SIZE, 1), np.float32)
        known[4:12, 4:12] = 0
        np.testing.assert_array_equal(mask, np.where(known[..., 0] == 1, 0, 255))
        masked = read("center/masked")
        np.testing.assert_array_equal(masked, pixels.with_hole(original, known))
