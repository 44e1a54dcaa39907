"""Rows of the comparison's tables: of its own cells, and of pictures made elsewhere.

The results of ``experiments.score`` lie in the comparison's folder, so that its tables
always have them.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.benchmark import frozen
from experiments.filling import measures
from experiments.paper.cells import Cell
from experiments.paper.columns import RESERVED
from experiments.runtime import program

_FIGURES = (
    *measures.SIMILARITIES,
    *("swd", "lpips", "lpips_hole", "kid_vgg", "identity_distance"),
    *("diversity", "calibration"),
)
_REQUIRED = (*measures.SIMILARITIES, "swd")  # By the benchmark's schema.
_SCORED = "scored"


def of_cell(cell: Cell, found: Mapping[str, Any], count: int) -> dict[str, Any]:
    """Row of a cell: its figures, or why it cannot be computed.

    Args:
      cell: The cell.
      found: Its results (``Cell.found``).
      count: Number of images, the first ones, that are also summarised alone.
    """
    label, given = cell.column.title, cell.case.given
    differs = given is not None and cell.case.located.identical != len(given)
    label = _label(label, differs=differs)
    row: dict[str, Any] = {
        "dataset": cell.case.name,
        "title": cell.case.title,
        "mask": cell.mask,
        "method": cell.name,
        "label": label,
        "differs": differs,
    }
    if "refused" in found:
        return row | {"refused": found["refused"]}
    return row | {
        **_measured(found),
        "seconds": found["figures"]["seconds"]["median"],
        "first": cell.first(count),
    }


def of_scored(
    workdir: Path, version: str, count: int, titles: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Rows of the pictures made elsewhere that were scored into a comparison.

    Args:
      workdir: Folder of the comparison.
      version: Version of the benchmark; results of another one do not count.
      count: As for ``of_cell``.
      titles: Titles by set, where they are not those of the benchmark.
    """
    sets = frozen.read(version)
    rows = []
    for path in sorted((workdir / _SCORED).glob("*.json")):
        try:
            result = json.loads(path.read_text())
            if result["benchmark"] != version:
                continue
            row = _of_result(result, sets[result["set"]], count, titles)
            _check(row, result["figures"], sets[result["set"]])
            taken = row["method"] in RESERVED
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            program.warn(f"{path} is no result of experiments.score and is left out")
            continue
        if taken:
            program.warn(
                f"{path}: {row['method']} is a method of the comparison itself; give "
                "the result another name"
            )
            continue
        rows.append(row)
    return rows


def _of_result(
    result: Mapping[str, Any],
    given: frozen.PictureSet,
    count: int,
    titles: Mapping[str, str],
) -> dict[str, Any]:
    """Row of a result of ``experiments.score``."""
    first = set(given.ids[:count])
    values = [row["psnr"] for row in result["images"] if row["id"] in first]
    numbers = [value for value in values if value is not None]
    mean = math.fsum(numbers) / len(numbers) if numbers else None
    differs = result["identical"] != len(given)
    return {
        "dataset": given.name,
        "title": titles.get(given.name, given.title),
        "mask": result["mask"],
        "method": result["name"],
        "label": _label(result["name"], differs=differs),
        "differs": differs,
        **_measured(result),
        "seconds": None,
        "first": {"n": len(values), "psnr": mean},
        "scored": True,
    }


def _check(
    row: Mapping[str, Any], figures: Mapping[str, Any], given: frozen.PictureSet
) -> None:
    """Checks what the tables take from a file that anybody may have written.

    Raises:
      ValueError: The mask or the name is none, a figure lacks or is no number.
    """
    if row["mask"] not in given.masks or "|" in row["label"]:
        raise ValueError(f"{row['mask']}, {row['label']}")
    if not all(isinstance(figures[name], Mapping) for name in _REQUIRED):
        raise ValueError("a figure lacks")
    beside = *row["errors"].values(), *row["floors"].values()
    numbers = [row["n"], *(row[name] for name in _FIGURES), *beside]
    if not all(each is None or isinstance(each, int | float) for each in numbers):
        raise ValueError(f"a figure is no number: {numbers}")


def keep(workdir: Path, result: Mapping[str, Any]) -> Path:
    """Writes a result of ``experiments.score`` into the folder of a comparison."""
    folder = program.make_folder(workdir / _SCORED)
    names = [result[field] for field in ("set", "mask", "name")]
    path = folder / f"{'-'.join(names)}.json"
    program.write_json(path, result)
    return path


def _label(title: str, *, differs: bool) -> str:
    """The title of a row, and whether its pictures differ from the benchmark's."""
    return f"{title} (other pixels)" if differs else title


def _measured(found: Mapping[str, Any]) -> dict[str, Any]:
    """What rows of both kinds have of their results."""
    figures = found["figures"]
    # A result made elsewhere may have figures of its own by one of these names.
    measured = {
        name: figures[name]
        for name in _FIGURES
        if isinstance(figures.get(name), Mapping)
    }
    means = {
        name: figure.get("mean", figure.get("value"))
        for name, figure in measured.items()
    }
    errors = {name: each["sem"] for name, each in measured.items() if "sem" in each}
    # Of sets two halves of the originals; of faces another person's.
    floors = {
        name: each[key]
        for name, each in measured.items()
        for key in ("floor", "others")
        if key in each
    }
    return {
        "n": found["n"],
        "failed": len(found["failed"]),
        **dict.fromkeys(_FIGURES),
        **means,
        "errors": errors,
        "floors": floors,
        "device": found.get("device"),
    }
