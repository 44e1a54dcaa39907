"""Plots of realism against distortion."""

import io

import numpy as np
import pytest
from PIL import Image

from experiments.paper import plots, tables
from experiments.paper.columns import COLUMNS

MASKS = ("center", "pattern", "random80", "half")


def row(method, mask="center", psnr=20.0, lpips=0.1, n=8, **more):
    label = COLUMNS[method].title if method in COLUMNS else method
    return {
        **{"dataset": "cars64", "title": "Cars", "mask": mask, "method": method},
        **{"label": label, "n": n, "psnr": psnr, "lpips": lpips, "device": "cpu"},
        "first": {"n": n, "psnr": psnr},
        **more,
    }


def many():
    """A row for each method of the comparison and two others, under each mask."""
    random = np.random.default_rng(0)
    names = [*COLUMNS, "theirs", "a method with a long name"]
    return [
        row(name, mask, *random.normal([20.0, 0.2], [2.0, 0.05]))
        for mask in MASKS
        for name in names
    ]


def labels_of(axes):
    return [text for text in axes.texts if text.get_text()]


def test_a_panel_for_each_mask_and_a_labelled_point_for_each_method():
    rows = many()
    panels = plots.draw(rows).axes
    assert [axes.get_title() for axes in panels] == [f"{m}, 8 images" for m in MASKS]
    for axes, mask in zip(panels, MASKS, strict=True):
        of_mask = [each for each in rows if each["mask"] == mask]
        texts = [text.get_text() for text in labels_of(axes)]
        assert texts == [
            each["label"].removeprefix("ours, ").removeprefix("autoencoder, ")
            for each in of_mask
        ]
        assert {"ours", "fast search", "best of 8", "harmonic", "theirs"} <= set(texts)
        for text, each in zip(labels_of(axes), of_mask, strict=True):
            assert text.xy == (each["psnr"], each["lpips"])
        # Lower is better, and better is upwards.
        assert axes.yaxis_inverted()
        assert not axes.xaxis_inverted()


def test_a_short_label_still_says_that_pixels_are_other_ones():
    label = "ours, fast search (other pixels)"
    (axes,) = plots.draw([row("latent_fast", label=label)]).axes
    (text,) = labels_of(axes)
    assert text.get_text() == "fast search (other pixels)"


def test_labels_do_not_cover_each_other():
    figure = plots.draw(many())
    renderer = figure.canvas.get_renderer()
    for axes in figure.axes:
        boxes = [text.get_window_extent(renderer) for text in labels_of(axes)]
        for i, one in enumerate(boxes):
            assert axes.bbox.x0 <= one.x0 < one.x1 <= axes.bbox.x1
            assert not any(one.overlaps(other) for other in boxes[:i])


def test_methods_of_one_point_are_told_apart():
    figure = plots.draw([row(name) for name in COLUMNS])
    renderer = figure.canvas.get_renderer()
    (axes,) = figure.axes
    boxes = [text.get_window_extent(renderer) for text in labels_of(axes)]
    for i, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[:i])


def test_a_point_of_fewer_images_is_hollow_and_says_so():
    rows = [row("latent", n=4), row("harmonic"), row("theirs", scored=True)]
    figure = plots.draw(rows)
    (axes,) = figure.axes
    texts = [text.get_text() for text in labels_of(axes)]
    assert texts == ["ours (n = 4)", "harmonic", "theirs"]
    points = [line for line in axes.lines if line.get_marker() != "None"]
    assert [line.get_markerfacecolor() == "white" for line in points] == [
        True,
        False,
        False,
    ]
    (legend,) = figure.legends
    kinds = [text.get_text() for text in legend.get_texts()]
    assert kinds == [
        "the model: a search, or its guess",
        "the picture alone",
        "another program",
    ]


@pytest.mark.slow
def test_the_file_is_small_white_and_the_same_each_time(tmp_path):
    rows = [*many(), row("harmonic", lpips=None), {**row("tv"), "psnr": None}]
    (path,) = plots.write_plots(tmp_path, rows)
    assert path == tmp_path / "figures" / "realism-cars64.png"
    data = path.read_bytes()
    assert len(data) < 150_000
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.size[0] > 1600
        drawn = np.asarray(picture.convert("RGB"))
    assert (drawn[0] == 255).all()
    plots.write_plots(tmp_path, rows)
    assert path.read_bytes() == data


def test_a_data_set_without_lpips_has_no_plot(tmp_path):
    rows = [row("harmonic", lpips=None), {**row("tv"), "refused": "no"}]
    del rows[1]["lpips"]
    assert plots.write_plots(tmp_path, rows) == []
    assert list(tmp_path.iterdir()) == []
    assert "![" not in tables.to_markdown([rows[0]], 8)


@pytest.mark.parametrize("name", ["results.md", "docs/results.md"])
def test_the_tables_show_the_plot_wherever_they_are(tmp_path, name):
    rows, workdir = [row("harmonic"), row("latent")], tmp_path / "run"
    workdir.mkdir()
    tables.write_tables(workdir, rows, 8)
    (plot,) = plots.write_plots(workdir, rows)
    link = "![PSNR and LPIPS of each method](figures/realism-cars64.png)"
    assert f"## Cars, 8 test images\n\n{link}\n" in (workdir / "table.md").read_text()
    document = tmp_path / name
    document.parent.mkdir(exist_ok=True)
    document.write_text("<!-- tables -->\n<!-- end of tables -->\n")
    tables.insert_tables(document, workdir)
    assert link in document.read_text()
    copied = document.parent / "figures" / "realism-cars64.png"
    assert copied.read_bytes() == plot.read_bytes()
    assert len(list(copied.parent.iterdir())) == 1
