"""Realism against distortion: a picture for each data set of the comparison.

No method can be best in both (Blau and Michaeli, The perception-distortion tradeoff,
CVPR 2018), so a figure of one kind says little without the other.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from PIL import Image

from experiments.flags.names import FROM_MODEL, FROM_TRAINING
from experiments.paper.columns import COLUMNS
from experiments.runtime import program

FOLDER = "figures"
"""Folder of the pictures, beside whatever shows them."""

_Row = Mapping[str, Any]


class _Kind(NamedTuple):
    """How the methods of a kind are drawn: no two differ by their colour alone."""

    title: str
    color: str
    marker: str


# The colours are those of Okabe and Ito, which everybody can tell apart.
_OURS = _Kind("the model: a search, or its guess", "#0072B2", "o")
_NETWORK = _Kind("a network trained to fill holes", "#D55E00", "s")
_TRAINING = _Kind("training images", "#007A5A", "^")
_PICTURE = _Kind("the picture alone", "#555555", "D")
_ELSEWHERE = _Kind("another program", "#AA4499", "P")
_KINDS = (_OURS, _NETWORK, _TRAINING, _PICTURE, _ELSEWHERE)

_DPI = 180  # Twice what pages show.
_COLUMNS = 2
_PANEL = (4.9, 4.0)  # Width and height of a panel in inches.
_FONT = 7.5
_RADIUS = 4.0  # Of a marker, in points.
_COLORS = 64  # In the file.
# From a point to its label, in points.
_DISTANCES = (7.0, 13.0, 20.0, 28.0, 38.0, 50.0)
_DIRECTIONS = (
    *((1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)),
    *((1.0, 0.7), (1.0, -0.7), (-1.0, 0.7), (-1.0, -0.7)),
    *((0.5, 1.0), (0.5, -1.0), (-0.5, 1.0), (-0.5, -1.0)),
)
_NEAR = 9.0  # Points; a label further away gets a line.
_PASSES = 4
_ROUNDING = 1e-6


def file_of(dataset: str) -> str:
    """Path of a data set's picture, relative to the page that shows it."""
    return f"{FOLDER}/realism-{dataset}.png"


def shown(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows that have a point: those with PSNR and LPIPS."""
    return [row for row in rows if None not in (row.get("psnr"), row.get("lpips"))]


def write_plots(folder: Path, rows: Sequence[dict[str, Any]]) -> list[Path]:
    """Writes a picture for each data set that has points.

    Args:
      folder: The folder of the comparison, which gets ``file_of(dataset)``.
      rows: Rows of its table.
    """
    written = []
    for dataset in dict.fromkeys(row["dataset"] for row in shown(rows)):
        path = folder / file_of(dataset)
        program.make_folder(path.parent)
        figure = draw([row for row in shown(rows) if row["dataset"] == dataset])
        program.write_bytes(path, _as_png(figure))
        written.append(path)
    return written


def draw(rows: Sequence[_Row]) -> Figure:
    """Draws a data set's methods: a panel for each mask, a point for each method.

    Up and to the right is better. A method on fewer images than others of its panel has
    a hollow point and their number.

    Args:
      rows: Rows of one data set that are ``shown``.
    """
    masks = list(dict.fromkeys(row["mask"] for row in rows))
    lines = -(-len(masks) // _COLUMNS)
    columns = min(len(masks), _COLUMNS)
    size = (_PANEL[0] * columns, _PANEL[1] * lines + 0.7)
    figure = Figure(figsize=size, dpi=_DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    panels = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axes in panels[len(masks) :]:
        axes.set_axis_off()
    labels = {}
    for axes, mask in zip(panels, masks, strict=False):
        of_mask = [row for row in rows if row["mask"] == mask]
        labels[axes] = _draw_panel(axes, mask, of_mask)
    title = f"{rows[0]['title']}: realism against distortion (up and right is better)"
    figure.suptitle(title, fontsize=11)
    found = {_kind(row) for row in rows}
    kinds = [kind for kind in _KINDS if kind in found]
    figure.legend(
        handles=[
            Line2D([], [], color=k.color, marker=k.marker, linestyle="", label=k.title)
            for k in kinds
        ],
        title="what fills the hole comes from",
        title_fontsize=_FONT + 0.5,
        fontsize=_FONT + 0.5,
        loc="outside lower center",
        ncols=len(kinds) if columns > 1 else 2,
        frameon=False,
    )
    # Labels are placed on the page as it will be.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes, of_panel in labels.items():
        _place(axes, of_panel)
    return figure


def _kind(row: _Row) -> _Kind:
    column = COLUMNS.get(row["method"])
    if row.get("scored") or column is None:
        return _ELSEWHERE
    if column.method in FROM_MODEL:
        return _OURS
    if column.method == "context_encoder":
        return _NETWORK
    return _TRAINING if column.method in FROM_TRAINING else _PICTURE


def _draw_panel(axes: Axes, mask: str, rows: Sequence[_Row]) -> list[Annotation]:
    """Draws the points of a mask; returns their labels, still to be placed."""
    most = max(row["n"] for row in rows)
    labels = []
    for row in rows:
        kind, point = _kind(row), (row["psnr"], row["lpips"])
        fewer = row["n"] < most
        axes.plot(
            *point,
            marker=kind.marker,
            markersize=2 * _RADIUS - 2,
            color=kind.color,
            markerfacecolor="white" if fewer else kind.color,
            zorder=3,
        )
        text = row["label"]
        if kind == _OURS:  # The colour says it.
            text = text.removeprefix("ours, ").removeprefix("autoencoder, ")
        if fewer:
            text += f" (n = {row['n']})"
        label = axes.annotate(
            text,
            point,
            (0, 0),
            textcoords="offset points",
            fontsize=_FONT,
            color=kind.color,
            fontweight="bold" if kind == _OURS else "normal",
            ha="center",
            va="center",
            zorder=4,
        )
        labels.append(label)
    axes.margins(0.16, 0.12)
    axes.invert_yaxis()
    axes.set_title(f"{mask}, {most} images", fontsize=9)
    axes.set_xlabel("PSNR, dB (higher is better)", fontsize=8)
    axes.set_ylabel("LPIPS (lower is better: upwards)", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(color="#E6E6E6", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return labels


def _place(axes: Axes, labels: Sequence[Annotation]) -> None:
    """Moves labels beside their points, apart from each other as far as that goes."""
    figure: Any = axes.get_figure()
    renderer, scale = figure.canvas.get_renderer(), figure.dpi / 72
    points = axes.transData.transform([label.xy for label in labels])
    extents = [label.get_window_extent(renderer) for label in labels]
    halves = np.array([[each.width, each.height] for each in extents]) / 2 + scale
    radius = _RADIUS * scale
    marks = np.concatenate([points - radius, points + radius], -1)
    boxes = [_places(*each, scale) for each in zip(points, halves, strict=True)]
    rings = np.repeat(np.arange(len(_DISTANCES)), len(_DIRECTIONS))
    chosen = np.stack([of_label[0] for of_label in boxes])
    for _ in range(_PASSES):
        for i, of_label in enumerate(boxes):
            area = 4 * halves[i].prod()
            outside = area - _common(of_label, np.array([axes.bbox.extents]))
            covered = _common(of_label, np.delete(chosen, i, 0))
            marked = _common(of_label, np.delete(marks, i, 0)) / radius**2
            crossed = _crossed(of_label, points[i], np.delete(chosen, i, 0))
            own = _gaps(of_label, points[i : i + 1])
            nearest = _gaps(of_label, np.delete(points, i, 0))
            doubtful = nearest < own + scale  # Whose label is it?
            cost = (10 * outside + 4 * covered) / area + 2 * marked
            cost += 5 * (covered > 0) + 5 * (outside > _ROUNDING * area)
            cost += 0.7 * crossed + 0.5 * doubtful + 0.1 * rings
            chosen[i] = of_label[np.argmin(np.round(cost, 6))]
            offset = (chosen[i, :2] + chosen[i, 2:]) / 2 - points[i]
            labels[i].set_position((offset[0] / scale, offset[1] / scale))
    for label, point, box in zip(labels, points, chosen, strict=True):
        if _gaps(box[None], point[None])[0] > _NEAR * scale:
            _lead(axes, label, point, box)


def _places(point: np.ndarray, half: np.ndarray, scale: float) -> np.ndarray:
    """Boxes ``[N, 4]`` where a label may stand: a ring around its point, wider ones."""
    reach = half + np.array(_DISTANCES)[:, None] * scale
    centers = (point + np.array(_DIRECTIONS) * reach[:, None]).reshape(-1, 2)
    return np.concatenate([centers - half, centers + half], -1)


def _gaps(boxes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Distance ``[N]`` of each box ``[N, 4]`` to the nearest of some points ``[P, 2]``.

    It is infinite if there are no points.
    """
    ends = np.clip(points, boxes[:, None, :2], boxes[:, None, 2:])
    gaps: np.ndarray = np.linalg.norm(ends - points, axis=-1).min(-1, initial=np.inf)
    return gaps


def _crossed(boxes: np.ndarray, point: np.ndarray, others: np.ndarray) -> np.ndarray:
    """How many other labels the line from a point to each box ``[N, 4]`` crosses."""
    ends = np.clip(point, boxes[:, :2], boxes[:, 2:])
    shares = np.linspace(0, 1, 17)[:, None]
    line = point + shares * (ends - point)[:, None]  # [N, 17, 2]
    inside = (line[:, None] > others[:, None, :2]) & (
        line[:, None] < others[:, None, 2:]
    )
    count: np.ndarray = inside.all(-1).any(-1).sum(-1)
    return count


def _lead(axes: Axes, label: Annotation, point: np.ndarray, box: np.ndarray) -> None:
    """Draws a thin line from a point to a label that is not right beside it."""
    end = np.clip(point, box[:2], box[2:])
    ends = axes.transData.inverted().transform(np.stack([point, end]))
    axes.plot(
        *ends.T,
        color=label.get_color(),
        linewidth=0.5,
        alpha=0.6,
        scalex=False,
        scaley=False,
        zorder=2,
    )


def _common(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Area ``[N]`` that each of N boxes ``[N, 4]`` has in common with all others."""
    low = np.maximum(boxes[:, None, :2], others[:, :2])
    high = np.minimum(boxes[:, None, 2:], others[:, 2:])
    area: np.ndarray = np.clip(high - low, 0, None).prod(-1).sum(-1)
    return area


def _as_png(figure: Figure) -> bytes:
    """A figure as a small PNG, the same bytes each time."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=_DPI)
    with Image.open(picture) as drawn:
        few = drawn.convert("RGB").quantize(_COLORS, dither=Image.Dither.NONE)
    small = io.BytesIO()
    few.save(small, format="png", optimize=True, dpi=(_DPI, _DPI))
    return small.getvalue()
