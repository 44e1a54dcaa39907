"""The data sets of the comparison, with their networks, as a TOML file lists them."""

import dataclasses
import functools
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from absl import flags

from experiments.benchmark import frozen, recognition
from experiments.filling import methods
from experiments.flags import comparison as comparison_flags
from experiments.flags import dataset as dataset_flags
from experiments.flags.names import FROM_TRAINING
from experiments.paper.columns import Column
from experiments.runtime import program
from inpaint_jax import pretrained
from inpaint_jax.configs import SEARCHES
from inpaint_jax.data import sources
from inpaint_jax.types import Model

_COMPARISON = flags.DEFINE_string(
    "comparison",
    str(Path(__file__).with_suffix(".toml")),
    "TOML file that lists data sets and their networks. Default: the paper's three, "
    "from --data_dir.",
)
flags.adopt_module_key_flags(comparison_flags)
MASKS = ("center", "pattern", "random80", "half")
"""The masks of the paper's Table 1."""

_REQUIRED = {"title", "train", "test"}
_NETWORKS = {"model", "autoencoder", "context_encoder", "vae"}
_NONE = "none"
"""Stands for a network that a data set has not got."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A data set and the networks that were trained on it.

    Attributes:
      name: Name of its table in the TOML file, and of its folders.
      title: Its title in tables and figures.
      train: Training images, as ``--dataset`` takes them.
      test: Test images, as ``--dataset`` takes them.
      networks: Names or paths of model, context encoder and VAE that differ from
        ``name``, or ``none``; and of an autoencoder, if there is one.
      given: The benchmark's pictures, to be found among the test images, and their
        masks; None: the first test images count, and masks are drawn.
    """

    name: str
    title: str
    train: str
    test: str
    networks: Mapping[str, str]
    given: frozen.PictureSet | None = None

    def network(self, kind: str) -> str:
        """Name or path of one of ``_NETWORKS``."""
        return self.networks.get(kind, self.name)

    def has(self, kind: str) -> bool:
        """Whether the data set has one of ``_NETWORKS``."""
        default = _NONE if kind == "autoencoder" else self.name
        return self.networks.get(kind, default) != _NONE

    @functools.cached_property
    def parts(self) -> pretrained.Parts:
        """The model to be searched, as its file has it.

        Its images have the size of all others. Where there is none, the autoencoder.
        """
        return pretrained.read_parts(self._searched)

    @property
    def _searched(self) -> str:
        """Name or path of the model of ``parts``."""
        return self.network("model" if self.has("model") else "autoencoder")

    @functools.cached_property
    def model(self) -> Model:
        """The model of ``parts``."""
        return pretrained.make_model(self.parts)

    @functools.cached_property
    def autoencoder(self) -> tuple[pretrained.Parts, Model]:
        """The model of the second generation, as its file has it and to be searched.

        Raises:
          program.UsageError: Its images have another size than the model's.
        """
        parts = pretrained.read_parts(self.network("autoencoder"))
        size, wanted = parts.architecture.image_size, self.model.image_size
        if size != wanted:
            raise program.UsageError(
                f"{self.name}: {self.network('autoencoder')} makes images of "
                f"{size}x{size} and {self.network('model')} of {wanted}x{wanted}"
            )
        return parts, pretrained.make_model(parts)

    def offers(self, column: Column) -> bool:
        """Whether the data set has the network that a column needs."""
        return column.network is None or self.has(column.network)

    @functools.cached_property
    def training(self) -> methods.Training:
        """The training images."""
        return methods.Training(self._open(self.train, "train"))

    def open_test(self, limit: int | None) -> sources.Source:
        """Opens the test images, or the first ``limit`` of them."""
        if self.given is None:
            return self._open(self.test, "test", limit)
        return self.located.source(limit)

    @functools.cached_property
    def located(self) -> recognition.Located:
        """The benchmark's pictures."""
        assert self.given is not None
        size = self.model.image_size
        if size != self.given.image_size:
            raise program.UsageError(
                f"{self.name}: the benchmark's pictures are of "
                f"{self.given.image_size}x{self.given.image_size} pixels, and "
                f"{self._searched} makes images of {size}x{size}"
            )
        return self.given.locate(self.test)

    def _open(self, name: str, split: str, limit: int | None = None) -> sources.Source:
        size, crop = self.model.image_size, self.model.metadata.get("crop")
        return dataset_flags.open_source(name, split, size=size, crop=crop, limit=limit)

    def method(self, column: Column) -> methods.Method:
        """Prepares the method of a column for this data set."""
        parts, model = self.parts, self.model
        if column.model == "autoencoder":
            parts, model = self.autoencoder
        suits = methods.Search(model.search, SEARCHES[model.search])
        return methods.Method(
            column.method,
            parts,
            model,
            column.search or suits,
            blend=column.blend,
            training=self.training if column.method in FROM_TRAINING else None,
            context_encoder=self.network("context_encoder"),
            candidates=column.candidates,
            answer=column.answer,
        )


def read_cases() -> dict[str, Case]:
    """Reads the data sets that the file of ``--comparison`` describes, by name.

    Raises:
      program.UsageError: The file cannot be read, or says something else.
    """
    path = Path(_COMPARISON.value).expanduser()
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        cases = {name: _read_case(name, table) for name, table in tables.items()}
        if comparison_flags.BENCHMARK.value is not None:
            cases = _of_benchmark(cases, comparison_flags.BENCHMARK.value)
        if len({case.title for case in cases.values()}) < len(cases):
            raise ValueError("two data sets have one title")
        return cases
    except (OSError, ValueError) as error:
        raise program.UsageError(f"{path}: {error}") from error


def _of_benchmark(cases: Mapping[str, Case], version: str) -> dict[str, Case]:
    """The data sets that the benchmark has, with its pictures.

    Raises:
      ValueError: It has none of them.
    """
    sets = frozen.read(version)
    found = {
        name: dataclasses.replace(case, given=sets[name])
        for name, case in cases.items()
        if name in sets
    }
    if not found:
        raise ValueError(
            f"none of its data sets is in the benchmark {version}, which has "
            f"{', '.join(sets)}"
        )
    return found


def _read_case(name: str, table: Any) -> Case:
    """Reads a table of the file; raises ``ValueError`` where it is wrong."""
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
    case = Case(name, **{field: table[field] for field in _REQUIRED}, networks=networks)
    if not case.has("model") and not case.has("autoencoder"):
        raise ValueError(f"[{name}] has neither a model nor an autoencoder")
    return case
