"""Make the paper's Table 1 with all its competitors: data sets, masks, methods.

    python -m experiments.compare
    python -m experiments.compare --comparison=docs/comparison.toml --limit=256
    python -m experiments.compare --benchmark=v1

The work folder then holds table.md and table.json, in figures/ a plot of realism
against distortion for each data set, and a folder for each cell, which is an evaluation
by ``experiments.evaluate``. A cell is computed once: started again, the program does
only what is missing, down to single images. The table has all cells that are finished,
including those that this run was not asked for.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from experiments.filling import evaluation
from experiments.flags import comparison as comparison_flags
from experiments.flags import dataset as dataset_flags
from experiments.paper import comparison, plots, rows
from experiments.paper.cells import BATCH_SIZE, Cell, Stopped
from experiments.paper.columns import COLUMNS
from experiments.paper.comparison import MASKS, Case, read_cases
from experiments.paper.tables import (
    MARKERS,
    around_tables,
    check_table,
    insert_tables,
    masks_of_table,
    read_table,
    write_tables,
)
from experiments.runtime import compilation_cache, program
from inpaint_jax.masks import mask_function

for _module in (comparison, compilation_cache, dataset_flags):
    flags.adopt_module_key_flags(_module)

_DATASETS = flags.DEFINE_list(
    "datasets", None, "Names of data sets in the file. Default: all."
)
_MASKS = flags.DEFINE_list("masks", list(MASKS), "Names of masks to compare under.")
_METHODS = flags.DEFINE_list(
    "methods",
    list(COLUMNS),
    "Names of methods to compare. Those that need a network are left out for data sets "
    "that have none.",
)
_LIMIT = flags.DEFINE_integer(
    "limit", 256, "Number of test images for each cell, the first ones.", lower_bound=1
)
_SLOW_LIMIT = flags.DEFINE_integer(
    "slow_limit",
    BATCH_SIZE,
    "Number of test images for a method that takes longer than --slow_seconds. Another "
    "table has all methods on these images alone.",
    lower_bound=1,
)
_RESULTS = flags.DEFINE_string(
    "results",
    None,
    f"Markdown file to put the tables into, between its lines {MARKERS[0]} and "
    f"{MARKERS[1]}; the plots go into figures/ beside it.",
)
_SLOW_SECONDS = flags.DEFINE_float(
    "slow_seconds", 2.0, "Seconds per image from which a method counts as slow."
)


def main() -> int:
    workdir = comparison_flags.make_workdir()
    with program.lock(workdir):
        return _compare(workdir)


def _compare(workdir: Path) -> int:
    # --- Flags -----------------------------------------------------------------------
    cases = read_cases()
    chosen = _choose("datasets", _DATASETS.value or list(cases), list(cases))
    methods = _choose("methods", _METHODS.value, list(COLUMNS))
    if flags.FLAGS["methods"].present:
        _refuse_without_network([cases[name] for name in chosen], methods)
    with program.usage_errors():
        for mask in _MASKS.value:
            mask_function(mask)
    for case in cases.values():
        if case.given is not None:
            _choose("masks", _MASKS.value, list(case.given.masks))
    results = Path(_RESULTS.value).expanduser() if _RESULTS.value else None
    if results is not None:
        around_tables(results)  # Refuse a wrong file now rather than in hours.
    version = comparison_flags.BENCHMARK.value
    check_table(workdir, version)

    # --- The table so far, with what earlier runs computed ---------------------------
    masks = dict.fromkeys([*MASKS, *masks_of_table(workdir), *_MASKS.value])
    whole = itertools.product(cases.values(), COLUMNS.items(), masks)
    cells = [
        Cell(case, mask, name, column, workdir)
        for case, (name, column), mask in whole
        if case.offers(column)
    ]
    count = _SLOW_LIMIT.value
    own = [
        rows.of_cell(cell, found, count) if (found := cell.found()) else None
        for cell in cells
    ]
    scored: list[dict[str, Any]] = []
    if version is not None:
        titles = {case.name: case.title for case in cases.values()}
        scored = rows.of_scored(workdir, version, count, titles)
    names = set(itertools.product(chosen, methods, _MASKS.value))
    asked = {
        i: cell
        for i, cell in enumerate(cells)
        if (cell.case.name, cell.name, cell.mask) in names
    }
    for cell in asked.values():
        cell.check()  # Refuse what is missing now rather than in hours.

    slow = evaluation.Slow(_SLOW_SECONDS.value, count)

    # --- Cell by cell; what a data set's cells share is read once ---------------------
    for i, cell in asked.items():
        try:
            own[i] = rows.of_cell(cell, cell.compute(_LIMIT.value, slow), count)
        except Stopped:
            plots.write_plots(workdir, read_table(workdir).cells)
            print("stopped by signal: start again to go on")
            return 0
        table = [row for row in own if row is not None]
        write_tables(workdir, table + scored, count, version)
    plots.write_plots(workdir, read_table(workdir).cells)
    print(f"look at {workdir / 'table.md'}")
    if results is not None:
        insert_tables(results, workdir)
    failed = sum(row["failed"] for i in asked if (row := own[i]) and "failed" in row)
    if failed:
        program.warn(f"{failed} images failed: metrics.json of their cells says why")
    return 1 if failed else 0


def _choose(flag: str, wanted: Sequence[str], known: Sequence[str]) -> list[str]:
    """Checks the names that a flag lists.

    Raises:
      program.UsageError: A name is unknown.
    """
    for name in wanted:
        if name not in known:
            raise program.UsageError(
                f"--{flag}: there is no {name!r}; there are {', '.join(known)}"
            )
    return list(wanted)


def _refuse_without_network(cases: Sequence[Case], methods: Sequence[str]) -> None:
    """Checks that each method has its network in one data set at least.

    Raises:
      program.UsageError: One has not.
    """
    for name in methods:
        if not any(case.offers(COLUMNS[name]) for case in cases):
            raise program.UsageError(
                f"--methods={name} needs a network that none of the data sets has: "
                f"name one as {COLUMNS[name].network} in --comparison"
            )


if __name__ == "__main__":
    program.run(main)
