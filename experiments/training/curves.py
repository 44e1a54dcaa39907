"""Curves of a training run."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.runtime import program

_Rows = Sequence[Mapping[str, Any]]


def write_curves(path: Path, metrics: _Rows, quality: _Rows, best: int | None) -> None:
    """Writes a PNG of four panels: losses, scores, SWD, diversity and ceiling.

    Args:
      path: The file.
      metrics: Rows of metrics.jsonl.
      quality: Rows of quality.jsonl; may be empty.
      best: Step of the best checkpoint, which is marked; None: no mark.
    """
    figure = Figure(figsize=(12, 7), layout="constrained")
    (losses, scores), (swd, rest) = figure.subplots(2, 2)
    _draw(losses, metrics, {"discriminator_loss": "D", "generator_loss": "G"})
    losses.set_title("losses")
    _draw(scores, metrics, {"real_score": "D(x)", "fake_score": "D(G(z))"})
    scores.set(title="scores (0.5: cannot tell)", ylim=(0, 1))
    levels = [name for name in (quality[0] if quality else {}) if "swd_" in name]
    _draw(swd, quality, {"swd": "mean", **{name: name[4:] for name in levels}})
    swd.set_title("sliced Wasserstein distance, by level")
    if quality:
        swd.set_ylim(0, 1.1 * max(row[name] for row in quality for name in levels))
    _draw(rest, quality, {"ceiling": "ceiling, dB (left)"})
    rest.set_title("reconstruction ceiling, and MS-SSIM of pairs")
    other = rest.twinx()
    names = {"ms_ssim": "MS-SSIM of samples (right)", "real_ms_ssim": "of real images"}
    _draw(other, quality, names, "--", colors=("C1", "C2"))
    other.set_ylim(-0.05, 1.05)
    for axes, rows in ((losses, metrics), (scores, metrics), (swd, quality)):
        if rows:
            axes.legend()
    if quality:
        rest.legend(handles=[*rest.get_lines(), *other.get_lines()])
    if best is not None:
        for axes in (swd, rest):
            axes.axvline(best, color="grey", linestyle=":")
            axes.annotate(
                " best",
                (best, 1),
                xycoords=("data", "axes fraction"),
                verticalalignment="top",
            )
    save(figure, path)


def write_figures(path: Path, metrics: _Rows, quality: _Rows, best: int | None) -> None:
    """Writes a PNG with a panel for each figure of a run; see ``write_curves``."""
    panels = [
        (title, rows, name)
        for title, rows in (("training", metrics), ("held back", quality))
        for name in (rows[-1] if rows else {})
        if name not in ("step", "images_per_second")
    ]
    columns = 3
    lines = max(1, -(-len(panels) // columns))
    figure = Figure(figsize=(12, 3.5 * lines), layout="constrained")
    grid = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axes, (title, rows, name) in zip(grid, panels, strict=False):
        _draw(axes, rows, {name: name})
        axes.set_title(f"{name} ({title})")
        if best is not None:
            axes.axvline(best, color="grey", linestyle=":")
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """Writes a figure as a PNG."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=90)
    program.write_bytes(path, picture.getvalue())


def _draw(
    axes: Axes,
    rows: _Rows,
    names: Mapping[str, str],
    style: str = "-",
    colors: Sequence[str] = ("C0", "C1", "C2", "C3", "C4", "C5", "C6"),
) -> None:
    steps = [row["step"] for row in rows]
    # A line needs two points, so few points get markers, and many do not.
    marker = "." if len(rows) < 50 else ""
    for (name, label), color in zip(names.items(), colors, strict=False):
        values = [row[name] for row in rows]
        axes.plot(
            steps, values, style, label=label, color=color, marker=marker, linewidth=1
        )
    axes.set_xlabel("step")
