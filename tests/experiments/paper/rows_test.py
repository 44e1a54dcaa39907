"""Rows of results that were scored, or sent by others."""

import json

import pytest

from experiments.benchmark import frozen
from experiments.paper import rows, tables

IDS = frozen.read("v1")["cars64"].ids


def result(name="theirs", **changes):
    values = [20.0, None, 26.0, 30.0]
    images = [
        {"id": id, "psnr": psnr} for id, psnr in zip(IDS[:4], values, strict=True)
    ]
    return {
        "benchmark": "v1",
        "set": "cars64",
        "mask": "half",
        "name": name,
        "n": 4,
        "identical": 256,
        "figures": {
            "psnr": {"mean": 25.0, "sem": 0.5},
            "ssim": {"mean": 0.5, "sem": 0.1},
            "psnr_hole": {"mean": 20.0, "sem": 0.5},
            "swd": {"mean": 30.0},
            "kid_vgg": {"value": 4.0, "floor": 0.25},
        },
        "images": images,
        "failed": [],
        "device": "cpu",
    } | changes


def figure(**changes):
    return result(figures=result()["figures"] | changes)


def test_what_the_schema_leaves_open_does_no_harm(tmp_path):
    schemaless = figure(diversity=None, calibration=0.4, of_my_own=3)
    del schemaless["device"]
    rows.keep(tmp_path, schemaless)
    (row,) = rows.of_scored(tmp_path, "v1", 3, {})
    assert row["diversity"] is row["calibration"] is row["device"] is None
    assert "| theirs | **25.00** ± 0.50 |" in tables.to_markdown([row], 3, "v1")


def test_a_row_has_the_figures_of_its_result(tmp_path):
    path = rows.keep(tmp_path, result())
    assert path == tmp_path / "scored" / "cars64-half-theirs.json"
    (row,) = rows.of_scored(tmp_path, "v1", 3, {})
    assert (row["dataset"], row["title"], row["mask"]) == ("cars64", "Cars", "half")
    assert (row["method"], row["label"]) == ("theirs", "theirs")
    assert (row["psnr"], row["kid_vgg"]) == (25.0, 4.0)
    assert row["errors"] == {"psnr": 0.5, "ssim": 0.1, "psnr_hole": 0.5}
    assert row["floors"] == {"kid_vgg": 0.25}
    assert row["lpips"] is row["seconds"] is None
    # The exact one has no PSNR.
    assert row["first"] == {"n": 3, "psnr": pytest.approx(23.0)}


def test_the_same_name_again_replaces_the_row(tmp_path):
    rows.keep(tmp_path, result())
    rows.keep(tmp_path, result(n=3))
    rows.keep(tmp_path, result("another", identical=9))
    found = rows.of_scored(tmp_path, "v1", 3, {"cars64": "My cars"})
    assert [row["label"] for row in found] == ["another (other pixels)", "theirs"]
    assert [row["n"] for row in found] == [4, 3]
    assert {row["title"] for row in found} == {"My cars"}


def test_what_is_no_result_of_this_benchmark_is_left_out(tmp_path, capsys):
    rows.keep(tmp_path, result())
    rows.keep(tmp_path, result("later", benchmark="v2"))
    for name, text in (
        ("a", "{"),
        ("b", "[]"),
        ("c", json.dumps(result(set="boats"))),
        ("d", json.dumps(result(figures={"psnr": 3}))),
        ("e", json.dumps(result(name=["a"]))),
        ("f", json.dumps(result(name="a|b"))),
        ("g", json.dumps(result(n="4"))),
        ("h", json.dumps(result(mask="blob"))),
        ("i", json.dumps(figure(psnr={"mean": "25.0"}))),
        ("j", json.dumps(figure(lpips={"mean": 0.1, "floor": "0.1"}))),
    ):
        (tmp_path / "scored" / f"{name}.json").write_text(text)
    (tmp_path / "scored" / "folder.json").mkdir()
    (row,) = rows.of_scored(tmp_path, "v1", 3, {})
    assert row["method"] == "theirs"
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 11
    assert all("is no result of experiments.score" in line for line in lines)


def test_a_result_does_not_take_the_place_of_a_cell(tmp_path, capsys):
    for name in ("harmonic", "ours, fast search", "theirs"):
        rows.keep(tmp_path, result(name))
    (row,) = rows.of_scored(tmp_path, "v1", 3, {})
    assert row["method"] == "theirs"
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all("is a method of the comparison itself" in line for line in lines)


def test_a_table_says_whose_pictures_it_has_and_what_was_made_elsewhere(tmp_path):
    rows.keep(tmp_path, result())
    found = rows.of_scored(tmp_path, "v1", 3, {})
    text = tables.to_markdown(found, 3, "v1")
    assert "frozen benchmark v1. Made elsewhere and scored here: theirs." in text
    assert "| theirs | **25.00** ± 0.50 |" in text
    assert "| theirs | **4.00** |" in text
    # A figure that no row has, has no table.
    assert "LPIPS" not in text
    assert "Seconds an image" not in text
    assert "seconds are medians" not in text
    timed = tables.to_markdown([found[0] | {"seconds": 0.5, "device": "cpu"}], 3, "v1")
    assert "seconds are medians without compilation, on: cpu. The" in timed
    tables.write_tables(tmp_path, found, 3, "v1")
    assert tables.read_table(tmp_path) == tables.Table(found, 3, "v1")
    assert tables.masks_of_table(tmp_path) == ["half"]
    for broken in ("{", "[]", '{"cells": 3}', '{"cells": [{}]}'):
        (tmp_path / "table.json").write_text(broken)
        assert tables.read_table(tmp_path) == tables.Table([])
