"""Preparing the paper's data sets and training on them, run as users run it."""

import json
import os
import re
import time

import commands
import layouts
import numpy as np
import pytest
from conftest import ROOT
from files import noise
from launching import TIME_LIMIT

SMALL = (
    "--width=4",
    "--image_size=16",
    "--latent_size=8",
    "--batch_size=8",
    "--evaluate_every=0",
    "--log_every=1",
)


def faces(count):
    return {f"{i:06d}": layouts.jpeg(noise(218, 178, i)) for i in range(1, count + 1)}


def write_cars(folder, layout):
    cars = [layouts.framed_car(noise(64, 64, i), i) for i in range(24)]
    pictures = {f"{i:05d}": layouts.jpeg(car) for i, (car, _) in enumerate(cars)}
    boxes = {f"{i:05d}": box for i, (_, box) in enumerate(cars)}
    for split in ("train", "test"):
        layouts.cars196(folder, pictures, boxes, split, layout)


def write_digits(folder, _):
    for split in ("train", "test"):
        layouts.svhn(folder, [noise(32, 32, i) for i in range(24)], split)


WRITERS = {
    "celeb_a": lambda folder, layout: layouts.celeb_a(folder, faces(24), layout),
    "svhn_cropped": write_digits,
    "cars196": write_cars,
}
CASES = [
    *(("celeb_a", layout) for layout in layouts.FACES),
    ("svhn_cropped", "owner"),
    *(("cars196", layout) for layout in layouts.CARS),
]


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "data"
    path.mkdir()
    return path


@pytest.mark.parametrize(("name", "layout"), CASES)
@pytest.mark.slow
def test_a_training_on_each_layout(program, folder, tmp_path, name, layout):
    WRITERS[name](folder, layout)
    flags = (f"--dataset={name}", f"--data_dir={folder}", f"--cache_dir={tmp_path}/c")
    first = program("train", *flags, *SMALL, f"--workdir={tmp_path}/run", "--steps=1")
    assert f"24 images of {name}, 0 to judge with" in first.stdout
    assert "has 24 pictures of the split 'train'; " in first.stderr
    (entry,) = (tmp_path / "c").iterdir()
    assert entry.name.startswith(f"{name}-train-")
    times = {path.name: path.stat().st_mtime_ns for path in entry.iterdir()}
    again = program("train", *flags, *SMALL, f"--workdir={tmp_path}/run", "--steps=2")
    assert "going on from step 1" in again.stdout
    assert times == {path.name: path.stat().st_mtime_ns for path in entry.iterdir()}


@pytest.mark.slow
def test_killed_while_it_decodes_a_training_goes_on(program, launch, folder, tmp_path):
    count = 12_000
    few = list(faces(50).values())
    layouts.celeb_a(folder, {f"{i + 1:06d}": few[i % 50] for i in range(count)})
    flags = ["--dataset=celeb_a", f"--data_dir={folder}", f"--cache_dir={tmp_path}/c"]
    flags += [*SMALL, f"--workdir={tmp_path}/run", "--steps=2"]
    noted = 0
    for _ in range(2):
        process = launch.begin("experiments.train", flags)
        deadline = time.monotonic() + TIME_LIMIT
        while True:
            journals = list(tmp_path.glob("c/*.partial/done.jsonl"))
            size = sum(path.stat().st_size for path in journals)
            if size > noted or process.poll() is not None:
                break
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()
        process.communicate()
        noted = size
    said = program("train", *flags)
    assert f"{count} images of celeb_a" in said.stdout
    (entry,) = (tmp_path / "c").iterdir()
    images = np.load(entry / "images.npy", mmap_mode="r")
    assert len(images) == count
    for i in range(50, count, 50):
        np.testing.assert_array_equal(images[i : i + 50], images[:50])


def prepare(program, folder, name, *more, check=True):
    flags = (f"--dataset={name}", f"--data_dir={folder}", "--image_size=16", *more)
    cache = folder.parent / "cache"
    return program("prepare", *flags, f"--cache_dir={cache}", check=check)


def test_what_is_there_is_said_beside_what_was_published(program, folder):
    pictures = faces(5) | {"162771": b"no picture", "162772": faces(1)["000001"]}
    layouts.celeb_a(folder, pictures)
    said = prepare(program, folder, "celeb_a")
    train, validation = said.stdout.splitlines()
    assert train.startswith(
        "train: 5 pictures (published: 162,770), 0 left out, 0.0 MB"
    )
    assert validation.startswith(
        "validation: 1 pictures (published: 19,867), 1 left out"
    )
    assert os.path.isdir(train.rpartition(" in ")[2])
    assert "1 of 2 pictures could not be read" in said.stderr
    assert "162771.jpg: not a picture" in said.stderr
    assert "has no picture of the split 'test'" in said.stderr
    assert all(line.startswith("prepare: ") for line in said.stderr.splitlines())


@pytest.mark.parametrize("where", ["train", "test"])
def test_a_damaged_archive_is_one_line_and_leaves_nothing(program, folder, where):
    write_cars(folder, "owner")
    path = folder / f"cars_{where}.tgz"
    with layouts.cut(path, path.stat().st_size // 2):
        said = prepare(program, folder, "cars196", f"--splits={where}", check=False)
        assert said.returncode == 2
        assert re.search(
            rf"^prepare: {path}: damaged \(.*download it", said.stderr, re.M
        )
        assert "Traceback" not in said.stderr
        assert not list((folder.parent / "cache").iterdir())
        # A damaged split is no missing one.
        assert prepare(program, folder, "cars196", check=False).returncode == 2
    assert prepare(program, folder, "cars196").stdout.count("24 pictures") == 2


def test_nothing_there_is_one_line(program, folder):
    said = prepare(program, folder, "svhn_cropped", check=False)
    assert said.returncode == 2
    assert said.stderr.startswith(f"prepare: svhn_cropped is not in {folder}: expected")
    assert said.stderr.count("\n") == 1
    write_digits(folder, "owner")
    said = prepare(program, folder, "svhn_cropped", "--splits=extra", check=False)
    assert said.returncode == 2
    assert "no extra_32x32.mat in" in said.stderr
    assert said.stderr.count("\n") == 1


def test_pictures_are_not_prepared(program, noise_folder):
    said = prepare(program, noise_folder, f"images:{noise_folder}", check=False)
    assert said.returncode == 2
    assert "is read as it is: only archives are decoded ahead of time" in said.stderr


@pytest.mark.parametrize("bad", [False, True])
def test_an_evaluation_of_archives(program, folder, tmp_path, tiny_model_file, bad):
    pictures = faces(6) | {"182638": faces(1)["000001"]}
    if bad:
        pictures["000002"] = pictures["000005"] = b"no picture"
    layouts.celeb_a(folder, pictures, "kaggle")
    said = program(
        "evaluate",
        "--dataset=celeb_a",
        f"--data_dir={folder}",
        f"--cache_dir={tmp_path}/cache",
        "--split=train",
        "--limit=3",
        f"--model={tiny_model_file}",
        "--mask=center",
        "--method=harmonic",
        f"--workdir={tmp_path}/run",
        check=False,
    )
    assert said.returncode == bad
    lines = "".join(path.read_text() for path in tmp_path.glob("run/parts/*.jsonl"))
    rows = [json.loads(line) for line in lines.splitlines()]
    ids = sorted(row["id"] for row in rows if "failed" not in row)
    assert ids == (["000001", "000003"] if bad else ["000001", "000002", "000003"])
    reasons = [row["failed"] for row in rows if "failed" in row]
    assert len(reasons) == bad
    assert all("000002.jpg: not a picture" in reason for reason in reasons)


READERS = ("README.md", "BUILD.md", "docs/train.md", "docs/evaluate.md")
SMALLER = {
    "prepare": ("--image_size=16",),
    "train": (*SMALL, "--steps=1"),
    "evaluate_generator": ("--reconstructions=2", "--steps=2"),
    "evaluate": ("--batch_size=4", "--steps=2"),
}


@pytest.mark.slow
def test_commands_of_documents_on_downloads(program, tmp_path):
    found = [
        command
        for name in READERS
        for command in commands.of_markdown((ROOT / name).read_text(), name)
        if "--data_dir=downloads" in command.arguments
    ]
    assert {command.place.partition(":")[0] for command in found} == {*READERS}
    told = dict.fromkeys((command.module, command.arguments) for command in found)
    names = [module.removeprefix("experiments.") for module, _ in told]
    assert {*names} == {*SMALLER}
    one = faces(1)["000001"]
    tested = {f"{i}": one for i in range(182_638, 182_642)}
    layouts.celeb_a(tmp_path / "downloads", faces(24) | tested, "owner")
    # The rows of SMALLER are in the order in which they need each other's results.
    for name, (_, arguments) in sorted(
        zip(names, told, strict=True), key=lambda each: [*SMALLER].index(each[0])
    ):
        smaller = (*SMALLER[name], "--cache_dir=cache")
        program(name, *arguments, *smaller, cwd=tmp_path)
    assert (tmp_path / "runs" / "celeb_a-random80" / "metrics.json").exists()
