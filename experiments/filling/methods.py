"""Ways to fill holes by name, as functions of a batch."""

import dataclasses
import functools
import hashlib
import inspect
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import tree_util
from jax.sharding import Mesh

import inpaint_jax
from experiments.runtime import program
from inpaint_jax import baselines, parallel
from inpaint_jax.data import datasets
from inpaint_jax.pixels import to_float
from inpaint_jax.pretrained.competitors import (
    Competitor,
    context_encoder_of,
    read_competitor,
)
from inpaint_jax.search.directions import with_metric
from inpaint_jax.types import SEARCHES, Model, RefineConfig, SearchConfig

FILLS: dict[str, baselines.Fill] = {
    "harmonic": baselines.harmonic_fill,
    "biharmonic": baselines.biharmonic_fill,
    "telea": baselines.telea_fill,
    "navier_stokes": baselines.navier_stokes_fill,
    "tv": baselines.tv_fill,
    "low_rank": baselines.low_rank_fill,
    "patch_match": baselines.patch_match_fill,
}
"""Those that take nothing but the images."""

FROM_TRAINING = ("mean", "nearest")
"""Those that look at training images."""

METHODS = ("latent", "context_encoder", *FROM_TRAINING, *FILLS)

BLENDED = ("latent", "context_encoder", "nearest")
"""Those that make an image for the hole, which can be pasted or blended."""

Complete = Callable[[np.ndarray, np.ndarray, jax.Array], dict[str, np.ndarray]]
"""Images, masks and keys of this process's part of a batch to fields ``[B, ...]``:
``image``, the completed ones, losses where there are any, and ``refused`` where holes
may be."""


@dataclasses.dataclass(frozen=True)
class Search:
    """How the latent space is searched.

    Attributes:
      name: Which of ``types.SEARCHES`` the configuration began as.
      config: The search itself.
      refinement: What follows, if anything.
      precision: What the model computes in.
    """

    name: str = "paper"
    config: SearchConfig = SEARCHES["paper"]
    refinement: RefineConfig | None = None
    precision: str = "float32"

    def row(self) -> dict[str, Any]:
        """As a configuration of a run has it."""
        refinement = self.refinement and dataclasses.asdict(self.refinement)
        return {
            "search": self.name,
            "precision": self.precision,
            **dataclasses.asdict(self.config),
            "refinement": refinement,
        }


@dataclasses.dataclass(frozen=True)
class Training:
    """Training images, which are read when they are first looked at.

    Attributes:
      source: Where they are.
    """

    source: datasets.Source

    @functools.cached_property
    def images(self) -> np.ndarray:
        """``[N, S, S, 3]`` uint8."""
        return datasets.read(self.source, progress=True).images


@dataclasses.dataclass(frozen=True)
class Method:
    """A way to fill holes, with all that it takes beside the images.

    Attributes:
      name: Of ``METHODS``.
      model: What is searched; for other methods it only says how to crop and resize.
      search: Of the latent search.
      blend: Whether a method that is ``BLENDED`` is; else its result is pasted.
      training: The training images, for those ``FROM_TRAINING``.
      context_encoder: Name of a context encoder or its file; None: the one called as
        the model is.
    """

    name: str
    model: Model
    search: Search = Search()
    blend: bool = True
    training: Training | None = None
    context_encoder: str | None = None

    def row(self) -> dict[str, Any]:
        """What two runs must share to go on with each other's images.

        Raises:
          FillError: The library that it takes is not installed.
          ModelError: There is no such context encoder.
        """
        row: dict[str, Any] = {"method": self.name}
        if self.name == "latent":
            model, config = self.model, self.search.config
            encoders = model.correctors if config.guesses else ()
            metric = model.metric if config.principal else None
            looked_at = (model.generate, model.critic, encoders, metric)
            # A training run's folder holds another model tomorrow.
            row |= {"model": model.name, "weights": _digest(looked_at)}
            row |= self.search.row()
        if self.name in BLENDED:
            row["blend"] = self.blend
        if self.name in FILLS:
            row |= _settings(FILLS[self.name])
        if self.training is not None:
            row["train_dataset"] = program.absolute(self.training.source.name)
            row["train_images"] = len(self.training.source)
        if self.name == "context_encoder":
            row["context_encoder"] = self._network.name
            row["weights"] = _digest(self._network.variables)
        return row

    def fill(self) -> baselines.Fill:
        """A baseline, as a function of a batch; not for the latent search.

        Raises:
          ModelError: There is no such context encoder, or for images of another size.
          DataError: The training images cannot be read.
        """
        if self.name in FILLS:
            return FILLS[self.name]
        if self.name == "context_encoder":
            return context_encoder_of(
                self._network, image_size=self.model.image_size, blend=self.blend
            )
        assert self.training is not None
        training = self.training.images
        if self.name == "mean":
            return baselines.guided_fill(to_float(training.mean(0, dtype=np.float64)))
        return baselines.nearest_fill(training, blend=self.blend)

    def prepare(self, progress: Callable[[float], object], mesh: Mesh) -> Complete:
        """The method, each batch divided over a mesh.

        Args:
          progress: Called with the number of images just done, in fractions.
          mesh: Over which devices.

        Raises:
          ModelError: There is no such context encoder, or for images of another size.
          DataError: The training images cannot be read.
        """
        if self.name == "latent":
            return self._prepare_search(progress, mesh)
        return prepare_fill(self.fill(), mesh)

    def _prepare_search(
        self, progress: Callable[[float], object], mesh: Mesh
    ) -> Complete:
        model, search = self.model, self.search
        if search.config.principal:
            model = with_metric(model)
        model = parallel.replicate(model, mesh)

        def complete(
            images: np.ndarray, masks: np.ndarray, keys: jax.Array
        ) -> dict[str, np.ndarray]:
            found = inpaint_jax.inpaint(
                model,
                images,
                masks,
                keys,
                config=search.config,
                refinement=search.refinement,
                blend=self.blend,
                progress=lambda n: progress(len(images) * n / search.config.steps),
                mesh=mesh,
            )
            return {
                "image": np.asarray(found.image),
                "context_loss": np.asarray(found.losses.context),
                "prior_loss": np.asarray(found.losses.prior),
            }

        return complete

    @functools.cached_property
    def _network(self) -> Competitor:
        name = self.context_encoder or self.model.name
        return read_competitor("context_encoder", name)


def _digest(tree: Any) -> str:
    """Names the numbers of a tree of arrays."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()[:16]


def _settings(fill: baselines.Fill) -> dict[str, Any]:
    """What a fill's results depend on beside the images: its defaults, or its library.

    Raises:
      FillError: The library is not installed.
    """
    if isinstance(fill, baselines.HostFill):
        return {"library": fill.version()}
    parameters = inspect.signature(fill).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def prepare_fill(fill: baselines.Fill, mesh: Mesh) -> Complete:
    """A baseline, compiled, each batch divided over a mesh.

    Of a library's (``HostFill``) ``refused`` is among the fields, for each image the
    reason why its hole cannot be filled, or nothing; it raises ``FillError``.
    """
    if isinstance(fill, baselines.HostFill):
        return functools.partial(_attempt, fill)
    # Arrays that a fill is bound to are arguments of what is compiled.
    bound = fill if isinstance(fill, tree_util.Partial) else tree_util.Partial(fill)
    bound = parallel.replicate(bound, mesh)
    of_part = jax.jit(
        parallel.split(lambda fill, *batch: fill(*batch), (None, 0, 0, 0), mesh)
    )

    def complete(
        images: np.ndarray, masks: np.ndarray, keys: jax.Array
    ) -> dict[str, np.ndarray]:
        batch = parallel.place((images, masks, keys), mesh)
        return {"image": parallel.local(of_part(bound, *batch))}

    return complete


def _attempt(
    fill: baselines.HostFill, images: np.ndarray, masks: np.ndarray, keys: jax.Array
) -> dict[str, np.ndarray]:
    completed, refused = fill.attempt(images, masks, keys)
    return {"image": completed, "refused": np.array(refused)}
