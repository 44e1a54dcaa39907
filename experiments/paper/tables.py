"""Tables of the comparison, as Markdown to read and as JSON to compute with."""

import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.paper import plots
from experiments.runtime import program

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
"""Table 1 of Yeh et al.: PSNR in dB of the context encoder and of their method."""

MARKERS = ("<!-- tables -->", "<!-- end of tables -->")

# Heading, name, digits, which is best; None: more is not better, nor is less.
_FIGURES: tuple[tuple[str, str, int, Callable[..., float] | None], ...] = (
    ("PSNR, dB", "psnr", 2, max),
    ("PSNR in the hole, dB", "psnr_hole", 2, max),
    ("SSIM", "ssim", 3, max),
    (
        "Sliced Wasserstein distance of the completed images to the originals",
        "swd",
        1,
        min,
    ),
    ("LPIPS (AlexNet)", "lpips", 3, min),
    ("LPIPS (AlexNet) around the hole", "lpips_hole", 3, min),
    ("Kernel distance of what VGG16 sees, times 1000", "kid_vgg", 2, min),
    (
        "How far the face is from that of the same person (below 0.6: one person)",
        "identity_distance",
        3,
        min,
    ),
    ("LPIPS around the hole between two answers", "diversity", 3, None),
    (
        "Rank correlation of the answers' spread and the error, over a hole's pixels",
        "calibration",
        2,
        max,
    ),
    ("Seconds an image", "seconds", 3, min),
)

# What is beside a figure; of others it is the distance of two halves of the originals.
_FLOORS = {"identity_distance": "the originals of two people"}

Row = dict[str, Any]


class Table(NamedTuple):
    """What table.json holds.

    Attributes:
      cells: A row for each cell.
      first: Number of images, the first ones, that ``first`` of a row is for.
      benchmark: Version of the benchmark that the cells are on, or None.
    """

    cells: list[Row]
    first: int = 32
    benchmark: str | None = None


def write_tables(
    folder: Path, rows: Sequence[Row], count: int, benchmark: str | None = None
) -> None:
    """Writes table.md and table.json.

    Args:
      folder: The folder to write to.
      rows: One row for each cell: dataset, title, mask, method, label; n and figures,
        or ``refused`` with the reason.
      count: Number of images, the first ones, that ``first`` of a row is for.
      benchmark: Version of the benchmark that the cells are on, or None.
    """
    table = Table(list(rows), count, benchmark)
    program.write_json(folder / "table.json", {"paper": PAPER, **table._asdict()})
    program.write_text(folder / "table.md", to_markdown(rows, count, benchmark))


def read_table(folder: Path) -> Table:
    """Reads table.json; a table without cells if there is no such file."""
    try:
        found = json.loads((folder / "table.json").read_text())
        _in_order(found["cells"], "mask")  # Is it a table at all?
        return Table(**{name: found[name] for name in Table._fields if name in found})
    except (OSError, ValueError, LookupError, TypeError):
        return Table([])


def check_table(folder: Path, benchmark: str | None) -> Table:
    """Reads table.json, which rows of ``benchmark`` are to go into.

    Args:
      folder: The folder of the comparison.
      benchmark: Version of the benchmark, or None.

    Raises:
      program.UsageError: Its rows are of other pictures.
    """
    table = read_table(folder)
    if not table.cells or table.benchmark == benchmark:
        return table
    if benchmark is not None:
        raise program.UsageError(
            f"{folder} holds a comparison that is not on the benchmark {benchmark}: "
            "give another --workdir"
        )
    raise program.UsageError(
        f"{folder} holds a comparison on the benchmark {table.benchmark}: give "
        f"--benchmark={table.benchmark} or another --workdir"
    )


def masks_of_table(folder: Path) -> list[str]:
    """Masks of the cells in table.json."""
    return _in_order(read_table(folder).cells, "mask")


def around_tables(path: Path) -> tuple[str, str]:
    """Returns what stands before and after the tables of a Markdown file.

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
    """Puts table.md of a folder into a Markdown file, between its ``MARKERS``.

    The plots that it shows go into the same place beside that file.
    """
    before, after = around_tables(path)
    table = (folder / "table.md").read_text()
    for plot in sorted((folder / plots.FOLDER).glob("*.png")):
        if f"({plots.FOLDER}/{plot.name})" in table:
            beside = program.make_folder(path.parent / plots.FOLDER)
            program.write_bytes(beside / plot.name, plot.read_bytes())
    begin, end = MARKERS
    program.write_text(path, f"{before}{begin}\n\n{table}\n{end}{after}")


def to_markdown(rows: Sequence[Row], count: int, benchmark: str | None = None) -> str:
    """Returns the tables as Markdown: the paper's, then those of each data set."""
    masks, titles = _in_order(rows, "mask"), _in_order(rows, "title")
    first = [_of_first(row) for row in rows]
    parts = _paper_layout(rows, first, count)
    for title in titles:
        of_title = [row for row in rows if row["title"] == title]
        full = max((row.get("n", 0) for row in of_title), default=0)
        parts.append(f"## {title}, {full} test images")
        for dataset in _in_order(plots.shown(of_title), "dataset"):
            parts.append(f"![PSNR and LPIPS of each method]({plots.file_of(dataset)})")
        if any(row.get("n", full) != full for row in of_title):
            parts.append(f"**PSNR, dB, of the first {count}**")
            short = [row for row in first if row["title"] == title]
            parts.append(_figure_table(short, masks, "psnr", 2, max))
        for heading, figure, digits, best in _FIGURES:
            if all(row.get(figure) is None for row in of_title):
                continue
            parts.append(f"**{heading}**")
            parts.append(_figure_table(of_title, masks, figure, digits, best))
    timed = [row for row in rows if row.get("seconds") is not None]
    devices = ", ".join(_in_order(timed, "device"))
    seconds = f"; seconds are medians without compilation, on: {devices}"
    scored = ", ".join(_in_order([row for row in rows if row.get("scored")], "label"))
    if benchmark is not None:
        elsewhere = f" Made elsewhere and scored here: {scored}." if scored else ""
        parts.append(
            f"Pictures and masks are those of the frozen benchmark {benchmark}."
            + elsewhere
        )
    parts.append(
        "A cell has the first test images, as many as its heading says unless it "
        "gives another number (n). Figures are means over images, with their standard "
        f"error{seconds if timed else ''}. The sliced and the kernel distance compare "
        "all images together; the sliced one falls with their number. Halves of the "
        "originals are half as many, and do not share what is known. Bold is the best "
        "of its column among cells with as many images as the heading says. A dash "
        "means that the method cannot fill the holes; an empty cell was not computed."
    )
    return "\n\n".join(parts) + "\n"


def _of_first(row: Row) -> Row:
    """Replaces a row's PSNR of all images by that of the first ones."""
    return row if "refused" in row else row | {"errors": {}} | row["first"]


def _paper_layout(rows: Sequence[Row], first: Sequence[Row], count: int) -> list[str]:
    """Table 1 in the paper's layout: masks down, data sets across, CE / ours.

    Where the two methods have different numbers of images, only the first ones count.
    Data sets that nothing can be compared with are left out.
    """
    pair = ("context_encoder", "latent")

    def by_place(rows: Sequence[Row]) -> dict[tuple[str, str, str], Row]:
        return {(row["title"], row["mask"], row["method"]): row for row in rows}

    masks, titles = _in_order(rows, "mask"), _in_order(rows, "title")
    cells = by_place(rows)

    def counts(title: str, mask: str) -> set[int]:
        found = [cells.get((title, mask, method), {}) for method in pair]
        return {row["n"] for row in found if "n" in row}

    places = itertools.product(titles, masks)
    alike = all(len(counts(title, mask)) < 2 for title, mask in places)
    if not alike:
        cells = by_place(first)

    def measured(title: str, mask: str) -> str:
        values = [cells.get((title, mask, method), {}).get("psnr") for method in pair]
        return " / ".join("" if value is None else f"{value:.1f}" for value in values)

    def published(title: str, mask: str) -> str:
        values = PAPER.get(title, {}).get(mask)
        return "" if values is None else f"{values[0]:.1f} / {values[1]:.1f}"

    titles = [title for title in titles if any(counts(title, m) for m in masks)]
    if not titles:
        return []
    header = ["mask"]
    for title in titles:
        header += [title, f"{title}, paper"]
    body = []
    for mask in masks:
        line = [mask]
        for title in titles:
            line += [measured(title, mask), published(title, mask)]
        body.append(line)
    images = "" if alike else f", of the first {count} test images"
    caption = (
        "**Table 1 of the paper: PSNR in dB of the context encoder / of the latent "
        f"search{images}**; beside each what the paper has, of its own images"
    )
    return [caption, _markdown(header, body)]


def _figure_table(
    rows: Sequence[Row],
    masks: Sequence[str],
    figure: str,
    digits: int,
    best: Callable[..., float] | None,
) -> str:
    """Table of a figure: methods down, masks across; PSNR with the paper's rows.

    The best, if one can be called so, is bold.
    """
    cells = {(row["method"], row["mask"]): row for row in rows}
    labels = {row["method"]: row["label"] for row in rows}
    full = max((row["n"] for row in rows if "n" in row), default=0)
    # Of the same pictures: neither fewer, nor with other pixels.
    alike = [row for row in rows if row.get("n") == full and not row.get("differs")]
    winners = {}
    for mask in masks:
        values = [
            row[figure]
            for row in alike
            if row["mask"] == mask and row.get(figure) is not None
        ]
        if values and best is not None:
            winners[mask] = f"{best(values):.{digits}f}"

    def text(method: str, mask: str) -> str:
        row = cells.get((method, mask))
        if row is None:
            return ""
        if "refused" in row:
            return "-"
        if row.get(figure) is None:
            return ""
        value = f"{row[figure]:.{digits}f}"
        error = row.get("errors", {}).get(figure)
        sem = "" if error is None else f" ± {error:.{digits}f}"
        if row["n"] != full:
            return f"{value}{sem} (n = {row['n']})"
        return f"**{value}**{sem}" if value == winners.get(mask) else f"{value}{sem}"

    body = [[labels[m], *(text(m, mask) for mask in masks)] for m in labels]
    floors = [row["floors"][figure] for row in alike if figure in row.get("floors", {})]
    if floors:  # The same for all, as their originals are.
        floor = f"{floors[0]:.{digits}f}"
        what = _FLOORS.get(figure, "one half of the originals to the other")
        body.append([f"*{what}*", *[floor] * len(masks)])
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
    """Values of a field without repetitions, in the order of their first rows."""
    return list(dict.fromkeys(row[name] for row in rows))
