"""The paper's Table 1 with all its competitors: data sets x masks x methods.

    python -m experiments.compare
    python -m experiments.compare --comparison=docs/comparison.toml --limit=256

Leaves in the work folder: table.md and table.json, and a folder for each cell, which is
an evaluation as of ``experiments.evaluate``. A cell once computed is not computed
again: started again, it does only what is missing, down to single images. The table has
all cells that are finished, also those that this run was not asked for.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from experiments.filling import measures
from experiments.flags import dataset as dataset_flags
from experiments.paper import comparison
from experiments.paper.comparison import (
    COLUMNS,
    MASKS,
    Cell,
    Stopped,
    make_workdir,
    read_cases,
)
from experiments.paper.tables import (
    MARKERS,
    around_tables,
    insert_tables,
    masks_of_table,
    write_tables,
)
from experiments.runtime import compilation_cache, program
from inpaint_jax.masks import mask_function

for _module in (comparison, compilation_cache, dataset_flags):
    flags.adopt_module_key_flags(_module)

_DATASETS = flags.DEFINE_list(
    "datasets", None, "Some of the file's data sets, by name. Default: all."
)
_MASKS = flags.DEFINE_list("masks", list(MASKS), "As --mask of experiments.evaluate.")
_METHODS = flags.DEFINE_list("methods", list(COLUMNS), "Some of the methods.")
_LIMIT = flags.DEFINE_integer(
    "limit", 256, "The first so many test images for each cell.", lower_bound=1
)
_SLOW_LIMIT = flags.DEFINE_integer(
    "slow_limit",
    32,
    "The first so many for a method that takes longer than --slow_seconds; of as many "
    "there is also a table for all methods.",
    lower_bound=1,
)
_RESULTS = flags.DEFINE_string(
    "results",
    None,
    f"A Markdown file to put the tables into, between its lines {MARKERS[0]} and "
    f"{MARKERS[1]}.",
)
_SLOW_SECONDS = flags.DEFINE_float("slow_seconds", 2.0, "For one image.")

_MEANS = (*measures.SIMILARITIES, "swd")


def main() -> int:
    workdir = make_workdir()
    with program.lock(workdir):
        return _compare(workdir)


def _compare(workdir: Path) -> int:
    # --- What is asked ---------------------------------------------------------------
    cases = read_cases()
    chosen = _choose("datasets", _DATASETS.value or list(cases), list(cases))
    methods = _choose("methods", _METHODS.value, list(COLUMNS))
    with program.usage_errors():
        for mask in _MASKS.value:
            mask_function(mask)
    results = Path(_RESULTS.value).expanduser() if _RESULTS.value else None
    if results is not None:
        around_tables(results)  # A wrong one is better refused now than in hours.

    # --- The table as it stands: what earlier runs computed stays in it --------------
    masks = dict.fromkeys([*MASKS, *masks_of_table(workdir), *_MASKS.value])
    whole = itertools.product(cases.values(), COLUMNS.items(), masks)
    cells = [
        Cell(case, mask, name, column, workdir) for case, (name, column), mask in whole
    ]
    rows = [_row(cell, found) if (found := cell.found()) else None for cell in cells]
    names = set(itertools.product(chosen, methods, _MASKS.value))
    asked = {
        i: cell
        for i, cell in enumerate(cells)
        if (cell.case.name, cell.name, cell.mask) in names
    }
    for cell in asked.values():
        cell.check()  # What is not there is better missed now than in hours.

    # --- Cell by cell; what holds for all of a data set is read once ------------------
    for i, cell in asked.items():
        try:
            rows[i] = _row(cell, _compute(cell))
        except Stopped:
            print("stopped by signal: start again to go on")
            return 0
        table = [row for row in rows if row is not None]
        write_tables(workdir, table, _SLOW_LIMIT.value)
    print(f"look at {workdir / 'table.md'}")
    if results is not None:
        insert_tables(results, workdir)
    failed = sum(row["failed"] for i in asked if (row := rows[i]) and "failed" in row)
    if failed:
        program.warn(f"{failed} images failed: metrics.json of their cells says why")
    return 1 if failed else 0


def _choose(flag: str, wanted: Sequence[str], known: Sequence[str]) -> list[str]:
    """Checks names that a flag lists.

    Raises:
      program.UsageError: One is not known.
    """
    for name in wanted:
        if name not in known:
            raise program.UsageError(
                f"--{flag}: there is no {name!r}; there are {', '.join(known)}"
            )
    return list(wanted)


def _compute(cell: Cell) -> dict[str, Any]:
    """As ``Cell.compute``, of fewer images where the method is slow."""
    found = cell.compute(min(_SLOW_LIMIT.value, _LIMIT.value))
    if "refused" in found:
        return found
    if found["figures"]["seconds"]["median"] > _SLOW_SECONDS.value:
        return found
    return cell.compute(_LIMIT.value)


def _row(cell: Cell, found: dict[str, Any]) -> dict[str, Any]:
    """A cell's figures; for one that cannot be, the reason."""
    row: dict[str, Any] = {
        "dataset": cell.case.name,
        "title": cell.case.title,
        "mask": cell.mask,
        "method": cell.name,
        "label": cell.column.title,
    }
    if "refused" in found:
        return row | {"refused": found["refused"]}
    figures = found["figures"]
    means = {name: figures[name]["mean"] for name in _MEANS if name in figures}
    return row | {
        "n": found["n"],
        "failed": len(found["failed"]),
        **dict.fromkeys(_MEANS),
        **means,
        "psnr_sem": figures.get("psnr", {}).get("sem"),
        "seconds": figures["seconds"]["median"],
        "device": found["device"],
        "first": cell.first(_SLOW_LIMIT.value),
    }


if __name__ == "__main__":
    program.run(main)
