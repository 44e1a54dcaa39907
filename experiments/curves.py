"""Draws how a training run went."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import program

_Rows = Sequence[Mapping[str, Any]]


def write_curves(path: Path, metrics: _Rows, quality: _Rows, best: int | None) -> None:
    """Writes a PNG of four panels: losses, scores, SWD, diversity and ceiling.

    Args:
      path: The file.
      metrics: Rows of metrics.jsonl.
      quality: Rows of quality.jsonl; may be empty.
      best: Step of the best checkpoint, to be marked.
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
    swd.set_ylim(bottom=0)
    _draw(rest, quality, {"ceiling": "ceiling, dB"})
    rest.set_title("reconstruction ceiling and MS-SSIM of pairs")
    other = rest.twinx()
    _draw(other, quality, {"ms_ssim": "samples", "real_ms_ssim": "real"}, "--")
    other.set_ylim(0, 1)
    rest.legend(loc="lower left")
    other.legend(loc="lower right", title="MS-SSIM")
    if best is not None:
        for axes in (swd, rest):
            axes.axvline(best, color="grey", linestyle=":")
            axes.annotate("best", (best, 0.02), xycoords=("data", "axes fraction"))
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=90)
    program.write_bytes(path, picture.getvalue())


def _draw(axes: Axes, rows: _Rows, names: Mapping[str, str], style: str = "-") -> None:
    steps = [row["step"] for row in rows]
    for name, label in names.items():
        values = [row[name] for row in rows]
        axes.plot(steps, values, style, label=label, linewidth=1)
    axes.set_xlabel("step")
    if rows:
        axes.legend()
