"""Draw the paper's figures, for your data and models.

    python -m experiments.figures --figure=8
    python -m experiments.figures --comparison=docs/comparison.toml --figure=all

Reads the cells that ``experiments.compare`` left in the work folder, computes what is
not there yet, and writes figure-<N>.png into the output folder.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from experiments.filling import batches, methods
from experiments.flags import comparison as comparison_flags
from experiments.flags import dataset as dataset_flags
from experiments.paper import comparison, manifold, tables
from experiments.paper.cells import Cell, Examples, Stopped
from experiments.paper.columns import COLUMNS, Column
from experiments.paper.comparison import MASKS, Case, read_cases
from experiments.runtime import compilation_cache, program
from inpaint_jax import load_vae, pixels
from inpaint_jax.configs import SearchConfig
from inpaint_jax.data import images, sheets
from inpaint_jax.quality import generators

for _module in (comparison, compilation_cache, dataset_flags):
    flags.adopt_module_key_flags(_module)

_OUTPUT = flags.DEFINE_string("output", "outputs/figures", "Where the PNGs go.")

_COLUMNS = COLUMNS | {
    "without_prior": Column(
        "without prior",
        "latent",
        methods.Search(config=SearchConfig(prior_weight=0.0)),
        blend=True,
    ),
    "pasted": Column("without blending", "latent"),
}


class Plate(NamedTuple):
    """A figure of completed images side by side.

    Attributes:
      masks: Names of masks, each with a group of rows.
      methods: Names in ``_COLUMNS``, each with a column if the data set has the
        network that it needs.
      rows: Number of rows for each mask.
      case: Index of the data set in the file.
      titles: Titles of columns that differ from those in ``_COLUMNS``.
      among: Number of images that rows are chosen from; None takes the first ones.
      choose: A function from the examples of all methods to a score for each image; the
        images with the highest scores are taken.
      errors: Whether each method also gets a column with the amplified error.
    """

    masks: Sequence[str]
    methods: Sequence[str]
    rows: int
    case: int = 0
    titles: Mapping[str, str] = {}
    among: int | None = None
    choose: Callable[[Sequence[Examples]], np.ndarray] | None = None
    errors: bool = False


def _difference(examples: Sequence[Examples]) -> np.ndarray:
    """Mean absolute difference between the last two methods' results, ``[N]``."""
    first, second = (each.completed.astype(float) for each in examples[-2:])
    return np.abs(first - second).mean((1, 2, 3))


def _error(examples: Sequence[Examples]) -> np.ndarray:
    """Negative PSNR in the hole of the last method's results, ``[N]``."""
    last = examples[-1]
    exact = float("inf")  # An exact result has no PSNR in its row.
    return np.array([-(row["psnr_hole"] or exact) for row in last.rows])


def _caption(row: Mapping[str, Any]) -> str:
    return "exact" if row["psnr"] is None else f"{row['psnr']:.1f} dB"


_AGAINST_CE = ("context_encoder", "latent", "autoencoder")
_AMPLIFIED = 2.0
_PLATES = {
    "1": Plate(
        ("center", "pattern"),
        ("tv", "low_rank", "patch_match", "latent", "autoencoder"),
        3,
    ),
    "4": Plate(
        ("center",),
        ("without_prior", "latent"),
        4,
        titles={"latent": "with prior"},
        among=16,
        choose=_difference,
    ),
    "5": Plate(
        ("center",),
        ("pasted", "latent"),
        4,
        titles={"latent": "with blending"},
        among=16,
        choose=_difference,
    ),
    "6": Plate(("random80",), ("tv", "low_rank", "latent", "autoencoder"), 6),
    "7": Plate(("center",), ("nearest", "nearest_blended", "latent", "autoencoder"), 6),
    "8": Plate(("center", "pattern"), _AGAINST_CE, 4),
    "9": Plate(("random80", "half"), _AGAINST_CE, 4),
    "10": Plate(MASKS, _AGAINST_CE, 2, case=1),
    "11": Plate(MASKS, _AGAINST_CE, 2, case=2),
    "12": Plate(("center",), _AGAINST_CE, 4, errors=True),
    "13": Plate(("center", "half"), ("latent",), 4, among=32, choose=_error),
}
_OTHERS = ("2", "3b")
_FILE = "figure-{}.png"
_ALL = sorted([*_PLATES, *_OTHERS], key=lambda name: int(name.rstrip("b")))

_FIGURE = flags.DEFINE_enum(
    "figure", None, ["all", *_ALL], "The figure's number in the paper.", required=True
)


def main() -> int:
    cases = list(read_cases().values())
    output = program.make_folder(
        Path(_OUTPUT.value), [_FILE.format(name) for name in _ALL]
    )
    workdir = comparison_flags.make_workdir()
    tables.check_table(workdir, comparison_flags.BENCHMARK.value)
    everything = _FIGURE.value == "all"
    status = 0
    for name in _ALL if everything else [_FIGURE.value]:
        path = output / _FILE.format(name)
        try:
            _draw(name, path, cases, workdir)
        except Stopped:
            print("stopped by signal: start again to go on")
            return 0
        except Exception as error:
            reason = program.complaint(error)
            if reason is None or not everything:
                raise
            program.warn(f"figure {name}: {reason}")
            status = 1
            continue
        print(f"look at {path}")
    return status


def _draw(name: str, path: Path, cases: Sequence[Case], workdir: Path) -> None:
    if name in _PLATES:
        images.write_png(path, _draw_plate(name, _PLATES[name], cases, workdir))
    elif name == "2":
        images.write_png(path, _draw_samples(cases[0]))
    else:
        _draw_way(path, cases[0])


def _draw_plate(
    figure: str, plate: Plate, cases: Sequence[Case], workdir: Path
) -> np.ndarray:
    """Draws a plate: rows of images under masks; original, input and methods."""
    if plate.case >= len(cases):
        raise program.UsageError(
            f"figure {figure} is of the data set number {plate.case + 1} of "
            f"--comparison, which has {len(cases)}"
        )
    case = cases[plate.case]
    _require(figure, case, "model")
    names = [name for name in plate.methods if case.offers(_COLUMNS[name])]
    rows, captions, labels = [], [], []
    for mask in plate.masks:
        examples = [
            Cell(case, mask, name, _COLUMNS[name], workdir).examples(
                plate.among or plate.rows
            )
            for name in names
        ]
        # Only images that every method has filled.
        common = set.intersection(*(set(each.ids) for each in examples))
        examples = [each.select(common) for each in examples]
        chosen = np.arange(min(plate.rows, len(examples[0].ids)))
        if plate.choose is not None:
            ranks = np.argsort(-plate.choose(examples), kind="stable")
            chosen = ranks[: plate.rows]
        for i in chosen:
            original = examples[0].originals[i]
            completed = [each.completed[i] for each in examples]
            row, texts = [original, examples[0].masked[i], *completed], ["", ""]
            texts += [_caption(each.rows[i]) for each in examples]
            if plate.errors:
                errors = [np.abs(each - original.astype(float)) for each in completed]
                row += [
                    np.clip(_AMPLIFIED * e, 0, 255).astype(np.uint8) for e in errors
                ]
                texts += [""] * len(errors)
            rows.append(row)
            captions.append(texts)
            labels.append(f"{mask}, {examples[0].ids[i]}")
    titles = [plate.titles.get(name, _COLUMNS[name].title) for name in names]
    errors_of = [f"error: {title}" for title in titles]
    return sheets.grid(
        rows,
        column_labels=["original", "input", *titles, *(errors_of * plate.errors)],
        row_labels=labels,
        captions=captions,
    )


def _require(figure: str, case: Case, *kinds: str) -> None:
    """Checks that the data set has the networks that a figure is of.

    Raises:
      program.UsageError: It has not.
    """
    for kind in kinds:
        if not case.has(kind):
            raise program.UsageError(
                f"figure {figure} shows the {kind} of {case.title}, for which "
                "--comparison says that there is none"
            )


def _draw_samples(case: Case) -> np.ndarray:
    """A row of a VAE's samples and one of a DCGAN's."""
    _require("2", case, "vae", "model")
    models = load_vae(case.network("vae")), case.model
    rows = [generators.sample(model, 10) for model in models]
    return sheets.grid(rows, row_labels=["VAE", "DCGAN"])


def _draw_way(path: Path, case: Case) -> None:
    """Draws the path of the search for the first test image, its centre missing."""
    _require("3b", case, "model")
    source = case.open_test(1)
    id, original = source.read(0)
    name = source.name_of(0, id)
    masks, keys = batches.draw_masks([name], "center", 0, original.shape)
    way = manifold.follow(case.model, pixels.to_float(original), masks[0], keys[0])
    manifold.draw(path, way, f"{case.title}, {id}")


if __name__ == "__main__":
    program.run(main)
