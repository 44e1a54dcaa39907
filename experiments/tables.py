"""The comparison's tables: Markdown to read, JSON to compute with."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from experiments import program

PAPER = {
    "CelebA": {
        "center": (21.3, 19.4),
        "pattern": (19.2, 17.4),
        "random80": (20.6, 22.8),
        "half": (15.5, 13.7),
    },
    "SVHN": {
        "center": (22.3, 19.0),
        "pattern": (22.3, 19.8),
        "random80": (24.1, 33.0),
        "half": (19.1, 14.6),
    },
    "Cars": {
        "center": (14.1, 13.5),
        "pattern": (14.0, 14.1),
        "random80": (16.1, 18.9),
        "half": (12.6, 11.1),
    },
}
"""Table 1 of Yeh et al.: PSNR in dB of the context encoder and of theirs."""

MARKERS = ("<!-- tables -->", "<!-- end of tables -->")

_FIGURES = (
    ("PSNR, dB", "psnr", 2, max),
    ("PSNR in the hole, dB", "psnr_hole", 2, max),
    ("SSIM", "ssim", 3, max),
    (
        "Sliced Wasserstein distance of the completed images to the originals",
        "swd",
        1,
        min,
    ),
    ("Seconds an image", "seconds", 3, min),
)

Row = dict[str, Any]


def write_tables(
    folder: Path, rows: Sequence[Row], limit: int, slow_limit: int
) -> None:
    """Writes table.md and table.json.

    Args:
      folder: Where.
      rows: A cell each: dataset, title, mask, method, label; n and figures, or
        ``refused`` with the reason.
      limit: How many images a cell has if it does not say so.
      slow_limit: How many every cell has; ``first`` of a row is their figures.
    """
    program.write_json(folder / "table.json", {"paper": PAPER, "cells": list(rows)})
    program.write_text(folder / "table.md", to_markdown(rows, limit, slow_limit))


def around_tables(path: Path) -> tuple[str, str]:
    """What stands before and after the tables of a Markdown file.

    Args:
      path: The file; its tables stand between the two lines of ``MARKERS``.

    Raises:
      program.UsageError: The file does not have the lines.
    """
    begin, end = MARKERS
    before, found, rest = path.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise program.UsageError(f"{path} must have the lines {begin} and {end}")
    return before, after


def insert_tables(path: Path, folder: Path) -> None:
    """Puts table.md of a folder into a Markdown file, as ``around_tables``."""
    before, after = around_tables(path)
    table = (folder / "table.md").read_text()
    begin, end = MARKERS
    program.write_text(path, f"{before}{begin}\n\n{table}\n{end}{after}")


def to_markdown(rows: Sequence[Row], limit: int, slow_limit: int) -> str:
    """The tables as Markdown: the paper's, then all figures of each data set."""
    masks, titles = _in_order(rows, "mask"), _in_order(rows, "title")
    parts = [_paper_layout(rows, masks, titles)]
    for title in titles:
        of_title = [row for row in rows if row["title"] == title]
        parts.append(f"## {title}")
        if any(row.get("n", limit) != limit for row in of_title):
            parts.append(
                f"**PSNR, dB, of the first {slow_limit}, which all cells have**"
            )
            first = [_of_first(row, slow_limit) for row in of_title]
            parts.append(_figure_table(first, masks, "psnr", 2, max, slow_limit))
        for heading, figure, digits, best in _FIGURES:
            parts.append(f"**{heading}**")
            parts.append(_figure_table(of_title, masks, figure, digits, best, limit))
    devices = ", ".join(_in_order([row for row in rows if "n" in row], "device"))
    parts.append(
        f"A cell is of the first {limit} test images unless it says otherwise (n). "
        "Figures are means over images; seconds are the median, without compilation, "
        f"on: {devices}. The distance is of all images together, and falls with their "
        "number. Bold is the best of its column, of cells of as many images. A dash "
        "is a hole that the method cannot fill, a blank is not computed."
    )
    return "\n\n".join(parts) + "\n"


def _of_first(row: Row, count: int) -> Row:
    """A row with the figures of the first images in the place of all."""
    if "refused" in row:
        return row
    return {**row, "psnr": None, **row["first"], "n": min(count, row["n"])}


def _paper_layout(
    rows: Sequence[Row], masks: Sequence[str], titles: Sequence[str]
) -> str:
    """Table 1 as the paper has it: masks down, data sets across, CE / ours."""
    found = {(row["title"], row["mask"], row["method"]): row for row in rows}

    def pair(title: str, mask: str) -> str:
        values = [
            found.get((title, mask, method), {}).get("psnr")
            for method in ("context_encoder", "latent")
        ]
        return " / ".join("" if value is None else f"{value:.1f}" for value in values)

    def published(title: str, mask: str) -> str:
        values = PAPER.get(title, {}).get(mask)
        return "" if values is None else f"{values[0]:.1f} / {values[1]:.1f}"

    header = ["mask"]
    for title in titles:
        header += [title, f"{title}, paper"]
    body = []
    for mask in masks:
        cells = [mask]
        for title in titles:
            cells += [pair(title, mask), published(title, mask)]
        body.append(cells)
    return (
        "**Table 1 of the paper: PSNR in dB of the context encoder / of the latent "
        "search**, each beside what the paper has\n\n" + _markdown(header, body)
    )


def _figure_table(
    rows: Sequence[Row],
    masks: Sequence[str],
    figure: str,
    digits: int,
    best: Callable[..., float],
    limit: int,
) -> str:
    """Methods down, masks across; PSNR with the paper's own two rows."""
    cells = {(row["method"], row["mask"]): row for row in rows}
    labels = {row["method"]: row["label"] for row in rows}
    winners = {}
    for mask in masks:
        values = [
            row[figure]
            for row in rows
            if row["mask"] == mask and row.get(figure) and row["n"] == limit
        ]
        if values:
            winners[mask] = f"{best(values):.{digits}f}"

    def text(method: str, mask: str) -> str:
        row = cells.get((method, mask))
        if row is None:
            return ""
        if "refused" in row:
            return "-"
        if row[figure] is None:
            return ""
        value = f"{row[figure]:.{digits}f}"
        if row["n"] != limit:
            return f"{value} (n = {row['n']})"
        return f"**{value}**" if value == winners.get(mask) else value

    body = [[labels[m], *(text(m, mask) for mask in masks)] for m in labels]
    published = PAPER.get(rows[0]["title"], {})
    if figure == "psnr" and published:
        for i, who in enumerate(("context encoder", "ours")):
            values = [published.get(mask) for mask in masks]
            texts = [f"{each[i]:.1f}" if each else "" for each in values]
            body.append([f"*the paper's {who}*", *texts])
    return _markdown(["", *masks], body)


def _markdown(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, rule, *body))


def _in_order(rows: Sequence[Row], name: str) -> list[str]:
    """The values of a field, each once, as they first come."""
    return list(dict.fromkeys(row[name] for row in rows))
