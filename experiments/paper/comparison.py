"""What is compared: data sets, masks and methods; a cell is one of each.

A cell is an evaluation in a folder of its own (``evaluation``): what was computed once
is read from there, by the table as by the figures.
"""

import dataclasses
import functools
import json
import math
import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags

import inpaint_jax
from experiments.filling import evaluation, methods, parts, workfolder
from experiments.flags import dataset as dataset_flags
from experiments.flags.names import FROM_TRAINING
from experiments.runtime import program
from inpaint_jax import pixels
from inpaint_jax.baselines import HoleError
from inpaint_jax.data import datasets
from inpaint_jax.types import SEARCHES, Model

_COMPARISON = flags.DEFINE_string(
    "comparison",
    str(Path(__file__).with_suffix(".toml")),
    "TOML file that says which data sets there are. Default: the paper's three, of "
    "tensorflow-datasets.",
)
_WORKDIR = flags.DEFINE_string(
    "workdir", "outputs/compare", "Folder of the comparison, with all its cells."
)

MASKS = ("center", "pattern", "random80", "half")
"""Of the paper's Table 1."""

_REQUIRED = {"title", "train", "test"}
_NETWORKS = {"model", "context_encoder", "vae"}
_METRICS, _REFUSED = "metrics.json", "refused.json"  # Of a cell.
_SEED = 0
_BATCH_SIZE = 64


class Column(NamedTuple):
    """A method as it is compared.

    Attributes:
      title: What tables and figures call it.
      method: Of ``flags.names.METHODS``.
      search: Of the latent search.
      blend: Whether what fills the hole is blended; else it is pasted.
    """

    title: str
    method: str
    search: methods.Search = methods.Search()
    blend: bool = False


_FAST = methods.Search("fast", SEARCHES["fast"])
COLUMNS = {
    "latent": Column("ours", "latent", blend=True),
    "latent_fast": Column("ours, fast search", "latent", _FAST, blend=True),
    "context_encoder": Column("context encoder", "context_encoder"),
    "tv": Column("total variation", "tv"),
    "low_rank": Column("low rank", "low_rank"),
    "patch_match": Column("PatchMatch", "patch_match"),
    "nearest": Column("nearest neighbour", "nearest"),
    "nearest_blended": Column("nearest, blended", "nearest", blend=True),
    "mean": Column("mean image, blended", "mean"),
    "harmonic": Column("harmonic", "harmonic"),
    "biharmonic": Column("biharmonic", "biharmonic"),
    "telea": Column("Telea", "telea"),
    "navier_stokes": Column("Navier-Stokes", "navier_stokes"),
}
"""By name; in the order of the table."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A data set and the networks that were trained on it.

    Attributes:
      name: Its table in the TOML file; names folders.
      title: What tables and figures call the data.
      train: Training images, as ``--dataset`` takes them.
      test: Test images, likewise.
      networks: Which model, context encoder and VAE, where they are not called as the
        table is.
    """

    name: str
    title: str
    train: str
    test: str
    networks: Mapping[str, str]

    def network(self, kind: str) -> str:
        """Name or path of its ``model``, ``context_encoder`` or ``vae``."""
        return self.networks.get(kind, self.name)

    @functools.cached_property
    def model(self) -> Model:
        """The model."""
        return inpaint_jax.load_model(self.network("model"))

    @functools.cached_property
    def training(self) -> methods.Training:
        """The training images."""
        return methods.Training(self._open(self.train, "train"))

    def open_test(self, limit: int | None) -> datasets.Source:
        """The first test images."""
        return self._open(self.test, "test", limit)

    def _open(self, name: str, split: str, limit: int | None = None) -> datasets.Source:
        size, crop = self.model.image_size, self.model.metadata.get("crop")
        return dataset_flags.open_source(name, split, size=size, crop=crop, limit=limit)

    def method(self, column: Column) -> methods.Method:
        """The method of a column, for this data set."""
        return methods.Method(
            column.method,
            self.model,
            column.search,
            blend=column.blend,
            training=self.training if column.method in FROM_TRAINING else None,
            context_encoder=self.network("context_encoder"),
        )


def read_cases() -> dict[str, Case]:
    """The data sets that the file of ``--comparison`` describes, by name.

    Raises:
      program.UsageError: It does not.
    """
    path = Path(_COMPARISON.value).expanduser()
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        cases = {name: _read_case(name, table) for name, table in tables.items()}
        if len({case.title for case in cases.values()}) < len(cases):
            raise ValueError("two data sets have one title")
        return cases
    except (OSError, ValueError) as error:
        raise program.UsageError(f"{path}: {error}") from error


def make_workdir() -> Path:
    """The folder of ``--workdir``."""
    return program.make_folder(Path(_WORKDIR.value))


def _read_case(name: str, table: Any) -> Case:
    """A table of the file; what is wrong is a ``ValueError``."""
    texts = isinstance(table, dict) and all(isinstance(v, str) for v in table.values())
    fields = set(table) if texts else set()
    if not fields >= _REQUIRED or fields - _REQUIRED - _NETWORKS:
        raise ValueError(
            f"[{name}] must have {', '.join(sorted(_REQUIRED))}, and may have "
            f"{', '.join(sorted(_NETWORKS))}, all of them texts"
        )
    if not re.fullmatch(r"[A-Za-z0-9._-]+", name):
        raise ValueError(f"[{name}] must be of letters, digits, dots and dashes")
    networks = {kind: table[kind] for kind in _NETWORKS & fields}
    return Case(name, **{field: table[field] for field in _REQUIRED}, networks=networks)


class Examples(NamedTuple):
    """Images of a cell.

    Attributes:
      ids: Of the test images.
      originals: ``[N, S, S, 3]`` uint8.
      masks: ``[N, S, S, 1]``, 1 = known.
      completed: ``[N, S, S, 3]`` uint8.
      rows: Their figures.
    """

    ids: list[str]
    originals: np.ndarray
    masks: np.ndarray
    completed: np.ndarray
    rows: list[dict[str, Any]]

    @property
    def masked(self) -> np.ndarray:
        """``[N, S, S, 3]`` uint8, the hole black."""
        return pixels.with_hole(self.originals, self.masks)

    def select(self, wanted: Collection[str]) -> "Examples":
        """Those of some ids."""
        kept = [i for i, id in enumerate(self.ids) if id in wanted]
        return Examples(
            [self.ids[i] for i in kept],
            self.originals[kept],
            self.masks[kept],
            self.completed[kept],
            [self.rows[i] for i in kept],
        )


class Stopped(Exception):  # noqa: N818 Nothing is wrong.
    """A signal asked to stop."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """A method on a data set under a mask.

    Attributes:
      case: The data set.
      mask: Name of the mask.
      name: Of the method; names the folder.
      column: The method.
      workdir: Of the comparison.
    """

    case: Case
    mask: str
    name: str
    column: Column
    workdir: Path

    @property
    def folder(self) -> Path:
        """Where the evaluation is."""
        return self.workdir / "-".join([self.case.name, self.mask, self.name])

    @functools.cached_property
    def _evaluation_row(self) -> dict[str, Any]:
        """The configuration of the evaluation, as JSON gives it back."""
        row: dict[str, Any] = json.loads(json.dumps(self._evaluation(None).row()))
        return row

    def found(self) -> dict[str, Any] | None:
        """What is known of the cell, if it was computed as it is described now.

        Returns:
          ``metrics.json`` of the evaluation; or, where the method could fill none of
          ``n`` holes, ``{"n": n, "refused": reason}``.
        """
        for name in (_METRICS, _REFUSED):
            try:
                found: dict[str, Any] = json.loads((self.folder / name).read_text())
                if found["config"] == self._evaluation_row:
                    return found
            # Not there, or it takes a network or a library that is not: a ValueError.
            except (OSError, ValueError, LookupError, TypeError):
                continue
        return None

    def compute(self, limit: int) -> dict[str, Any]:
        """Makes sure of the first images.

        Args:
          limit: How many images, at least; where there were more they are kept.

        Returns:
          As ``found``.

        Raises:
          program.UsageError: The folder's evaluation is of another description.
          Stopped: A signal asked to.
        """
        found = self.found()
        evaluation_ = self._evaluation(limit)
        count = len(evaluation_.source)
        done = 0 if found is None else found["n"] + len(found.get("failed", ()))
        if found is None or done < count:
            print(f"{self.case.title}, {self.mask}: {self.column.title}", flush=True)
            try:
                status = evaluation.run(evaluation_)
            except HoleError as error:
                row = self._evaluation_row
                found = {"n": count, "refused": str(error), "config": row}
                program.write_json(self.folder / _REFUSED, found)
                return found
            found = self.found()
            if found is None and status:
                raise program.UsageError(f"{self.folder}: no image could be filled")
            if found is None:
                raise Stopped
        return found

    def first(self, count: int) -> dict[str, Any]:
        """What ``n`` of the first images were filled, and their mean ``psnr``.

        Of an image that was filled exactly there is no PSNR.
        """
        lines = parts.Parts(self.folder / "parts").rows()
        rows = {row["index"]: row for row in lines if "failed" not in row}
        values = [rows[i]["psnr"] for i in range(count) if i in rows]
        numbers = [value for value in values if value is not None]
        mean = math.fsum(numbers) / len(numbers) if numbers else None
        return {"n": len(values), "psnr": mean}

    def check(self) -> None:
        """Looks for what the cell takes: images, networks, libraries.

        Raises:
          DataError: The images cannot be read.
          FillError: A library is not installed.
          ModelError: There is no such network.
        """
        _ = self._evaluation_row

    def _evaluation(self, limit: int | None) -> evaluation.Evaluation:
        return evaluation.Evaluation(
            workdir=self.folder,
            source=self.case.open_test(limit),
            mask=self.mask,
            seed=_SEED,
            batch_size=_BATCH_SIZE,
            method=self.case.method(self.column),
        )

    def examples(self, limit: int) -> Examples:
        """The first images, computed where they were not yet; as ``compute``."""
        self.compute(limit)
        evaluation_ = self._evaluation(limit)
        folder = workfolder.WorkFolder(self.folder, evaluation_.source)
        rows = folder.done()
        originals, completed = folder.pairs(rows)
        ids, masks = [row["id"] for row in rows], evaluation_.masks_of(rows)
        return Examples(ids, originals, masks, completed, rows)
