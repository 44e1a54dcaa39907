r"""Scores a folder of completed pictures on the frozen benchmark.

    python -m experiments.score --set=celeba64 --write_inputs=inputs
    python -m experiments.score --set=celeba64 --mask=center --completed=mine
    python -m experiments.score --set=cars64 --mask=half --completed=mine \
        --dataset='images:cars/*.zip' --name='My method' --results=docs/results.md

The first writes the benchmark's inputs as PNGs: originals/, and for each kind of mask
masked/ with the hole black and masks/, white where a pixel is missing. Whatever fills
the holes writes ID.png of the same size for each; the second command scores them, puts
the method into the table of the comparison on the benchmark (table.md and table.json in
the work folder), and writes the result into scored/. docs/benchmark.md says more.
"""

import re
from pathlib import Path

from absl import flags

from experiments.benchmark import frozen, scoring
from experiments.benchmark.frozen import PictureSet
from experiments.filling import measures, realism
from experiments.flags import comparison as comparison_flags
from experiments.flags import dataset as dataset_flags
from experiments.paper import plots, rows, tables
from experiments.paper.columns import RESERVED
from experiments.runtime import compilation_cache, program

for _module in (comparison_flags, compilation_cache, dataset_flags):
    flags.adopt_module_key_flags(_module)

_VERSION = "v1"
flags.set_default(comparison_flags.BENCHMARK, _VERSION)

_SET = flags.DEFINE_string(
    "set",
    None,
    "The benchmark's pictures: celeba64, svhn, cars64 or faces128.",
    required=True,
)
_MASK = flags.DEFINE_string(
    "mask",
    None,
    "Kind of the masks: center, pattern, random80 or half. Inputs are written for all "
    "kinds unless one is given.",
)
_COMPLETED = flags.DEFINE_string(
    "completed", None, "Folder of completed pictures, ID.png for each picture."
)
_WRITE_INPUTS = flags.DEFINE_string(
    "write_inputs", None, "Folder to write the benchmark's inputs to."
)
_DATASET = flags.DEFINE_string(
    "dataset",
    None,
    "Where the set's pictures are: images:PATH, with PATH a folder, a zip or a glob of "
    "them. Default: the archives of their owner, from --data_dir.",
)
_NAME = flags.DEFINE_string(
    "name", None, "Name of the method in the table. Default: that of the folder."
)
_RESULTS = flags.DEFINE_string(
    "results",
    None,
    f"Markdown file to put the tables into, between its lines {tables.MARKERS[0]} and "
    f"{tables.MARKERS[1]}.",
)


def main() -> int:
    # --- Flags -----------------------------------------------------------------------
    completed, inputs, mask = _COMPLETED.value, _WRITE_INPUTS.value, _MASK.value
    sets = frozen.read(comparison_flags.BENCHMARK.value or _VERSION)
    given = sets.get(_SET.value)
    if given is None:
        raise program.UsageError(
            f"--set: there is no {_SET.value!r}; there are {', '.join(sets)}"
        )
    kinds = ", ".join(given.masks)
    if mask is not None and mask not in given.masks:
        raise program.UsageError(f"--mask: there is no {mask!r}; there are {kinds}")
    if completed is not None and inputs is None:
        if mask is None:
            raise program.UsageError(f"give --mask, one of {kinds}")
        return _score(given, mask, Path(completed).expanduser())
    if completed is not None or inputs is None:
        raise program.UsageError(
            "give --completed=FOLDER, to score pictures, or --write_inputs=FOLDER"
        )

    # --- Inputs ----------------------------------------------------------------------
    located = given.locate(_DATASET.value)
    folder = program.make_folder(Path(inputs))
    masks = [mask] if mask else list(given.masks)
    scoring.write_inputs(folder, given, located, masks)
    print(f"look at {folder}: {len(given)} pictures, {', '.join(masks)}")
    return 0


def _score(given: PictureSet, mask: str, folder: Path) -> int:
    """Scores a folder and adds the result to the table."""
    # --- Refuse what is wrong before anything is computed ----------------------------
    name = _name(folder)
    results = Path(_RESULTS.value).expanduser() if _RESULTS.value else None
    if results is not None:
        tables.around_tables(results)
    files = scoring.find(folder, given)
    tables.check_table(comparison_flags.workdir(given.version), given.version)
    located = given.locate(_DATASET.value)
    workdir = comparison_flags.make_workdir()
    with program.lock(workdir):
        # Once more, as another run may have written it until now.
        table = tables.check_table(workdir, given.version)
        # --- Score -------------------------------------------------------------------
        result = scoring.score(given, located, mask, files, name)
        if result is None:
            return 2

        # --- The table ---------------------------------------------------------------
        path = rows.keep(workdir, result)
        cells = [row for row in table.cells if not row.get("scored")]
        titles = {row["dataset"]: row["title"] for row in cells}
        cells += rows.of_scored(workdir, given.version, table.first, titles)
        tables.write_tables(workdir, cells, table.first, given.version)
        plots.write_plots(workdir, cells)
        if results is not None:
            tables.insert_tables(results, workdir)
    known, failed = result["known"], len(result["failed"])
    if known["pictures"]:
        program.warn(
            f"{folder}: known pixels differ from the input in {known['pictures']} of "
            f"{result['n']} pictures ({known['share']:.2%} of them, by up to "
            f"{known['largest']} levels); they are scored as they are"
        )
    for reason in realism.explain(result["not_computed"]):
        print(reason)
    count = f"{result['n']} of {len(given)} images"
    print(measures.outcome(count, failed, result["figures"]))
    print(f"look at {workdir / 'table.md'} and {path}")
    return 1 if failed else 0


def _name(folder: Path) -> str:
    """The name of the method in the table.

    Raises:
      program.UsageError: The table cannot have it.
    """
    name: str = _NAME.value or folder.resolve().name
    if not re.fullmatch(r"[\w.()+-][\w .,()+-]{0,59}", name):
        raise program.UsageError(
            f"--name={name}: give at most 60 letters, digits, spaces and .,()+-_"
        )
    if name in RESERVED:
        raise program.UsageError(
            f"--name={name} is a method of the comparison itself: give another"
        )
    return name


if __name__ == "__main__":
    program.run(main)
