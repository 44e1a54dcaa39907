"""Methods to fill holes by name, as functions of a batch."""

import dataclasses
import functools
import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from jax import tree_util
from jax.sharding import Mesh

import inpaint_jax
from experiments.filling import film
from experiments.flags import dataset as dataset_flags
from experiments.flags.names import BLENDED
from experiments.runtime import compilation_cache, program, traces
from inpaint_jax import baselines, completion, parallel, pretrained
from inpaint_jax.configs import SEARCHES, RefineConfig, SearchConfig
from inpaint_jax.data import sources
from inpaint_jax.pixels import to_float
from inpaint_jax.pretrained import files
from inpaint_jax.search.batches import CHUNK
from inpaint_jax.search.directions import with_metric
from inpaint_jax.types import Model

if TYPE_CHECKING:
    from inpaint_jax.pretrained.competitors import Competitor


class Found(NamedTuple):
    """The output of a method for a batch of B images.

    Attributes:
      images: ``[B, S, S, 3]`` in [-1, 1], the completed images; not finite where the
        computation failed.
      generated: ``[B, S, S, 3]`` in [-1, 1], the generated image of the best candidate;
        None: the method makes only completed images.
      figures: ``[B]`` each, figures of the best candidate by name.
      several: All candidates; None: there is only one.
      film: ``[B, F, S, S, 3]``, how the best candidate came about; None: not wanted.
      refused: For each hole why it cannot be filled, or an empty text; None: all can.
    """

    images: np.ndarray
    generated: np.ndarray | None = None
    figures: Mapping[str, np.ndarray] = {}
    several: "Several | None" = None
    film: np.ndarray | None = None
    refused: Sequence[str] | None = None


class Several(NamedTuple):
    """C candidates for each of B images, the best first.

    Attributes:
      images: ``[B, C, S, S, 3]`` in [-1, 1], the completed images.
      totals: ``[B, C]`` total losses.
      seeds: ``[B, C]`` number of each candidate's search.
    """

    images: np.ndarray
    totals: np.ndarray
    seeds: np.ndarray


Fill = Callable[[np.ndarray, np.ndarray, jax.Array], Found]
"""A function from images, masks and keys of this process's part of a batch to results.
"""


class Prepared(NamedTuple):
    """A method, ready for batches.

    Attributes:
      fill: Function that fills the holes of a batch.
      whole: Whether all batches must have the same size, because the function is
        compiled. If not, a short batch is not padded.
    """

    fill: Fill
    whole: bool = True


@dataclasses.dataclass(frozen=True)
class Search:
    """How the latent space is searched.

    Attributes:
      name: Name of the configuration in ``configs.SEARCHES``, before changes by flags.
      config: Configuration of the search.
      refinement: Configuration of the refinement; None: no refinement.
      precision: Number type of the factors of the networks' products.
    """

    name: str = "paper"
    config: SearchConfig = SEARCHES["paper"]
    refinement: RefineConfig | None = None
    precision: str = "float32"

    def row(self) -> dict[str, Any]:
        """The search's part of a run's configuration."""
        refinement = self.refinement and dataclasses.asdict(self.refinement)
        return {
            "search": self.name,
            "precision": self.precision,
            **dataclasses.asdict(self.config),
            "refinement": refinement,
        }


@dataclasses.dataclass(frozen=True)
class Training:
    """Training images, which are read when they are first needed.

    Attributes:
      source: The data set.
    """

    source: sources.Source

    @functools.cached_property
    def images(self) -> np.ndarray:
        """``[N, S, S, 3]`` uint8."""
        return np.asarray(dataset_flags.read(self.source).images)

    @functools.cached_property
    def digest(self) -> str:
        """A checksum of all pixels."""
        return hashlib.sha256(self.images.data).hexdigest()


@dataclasses.dataclass(frozen=True)
class Method:
    """A method to fill holes, with all settings.

    Attributes:
      name: One of ``METHODS``.
      parts: The model as its file has it, by which a run knows its weights.
      model: The model to search or to guess with; for other methods it only says how
        to crop and resize.
      search: Settings of the latent search.
      blend: Whether the result of a method in ``BLENDED`` is blended; otherwise it is
        pasted.
      training: The training images, for methods in ``FROM_TRAINING``.
      context_encoder: Name of a context encoder or its file; None: the one with the
        model's name.
      candidates: Number of searches for each image.
      answer: Which of them is the result: ``best``, by total loss; or their ``mean``.
      filmed: Whether to keep how the best came about.
    """

    name: str
    parts: pretrained.Parts
    model: Model
    search: Search = Search()
    blend: bool = True
    training: Training | None = None
    context_encoder: str | None = None
    candidates: int = 1
    answer: str = "best"
    filmed: bool = False

    def row(self) -> dict[str, Any]:
        """The settings that must be equal for a run to go on with another's results.

        Raises:
          FillError: The library that the method needs is not installed, or the model
            has no encoder to guess with.
          ModelError: There is no such context encoder.
        """
        row: dict[str, Any] = {"method": self.name}
        if self.name == "latent":
            # The model in a training run's folder may change, so its weights are named.
            config = self.search.config
            weights = pretrained.digest(self.parts, encoders=config.guesses)
            row |= {"model": self.model.name, "weights": weights}
            row |= self.search.row()
            row |= {"candidates": self.candidates, "answer": self.answer}
        if self.name == "guess":
            self._baseline()  # Refuse a model without encoders now.
            weights = pretrained.digest(self.parts, encoders=True)
            row |= {"model": self.model.name, "weights": weights}
            row["precision"] = self.search.precision
        if self.name in BLENDED:
            row["blend"] = self.blend
        if self.name in baselines.FILLS:
            row |= _settings(baselines.FILLS[self.name])
        if self.training is not None:
            row["train_dataset"] = program.absolute(self.training.source.name)
            row["train_pixels"] = self.training.digest
        if self.name == "context_encoder":
            row["context_encoder"] = self._network.name
            row["weights"] = files.digest(self._network.variables)
        return row

    def _baseline(self) -> baselines.Fill:
        """The method as a function of a batch; not for the latent search."""
        if self.name in baselines.FILLS:
            return baselines.FILLS[self.name]
        if self.name == "context_encoder":
            from inpaint_jax.pretrained.competitors import context_encoder_of

            return context_encoder_of(
                self._network, image_size=self.model.image_size, blend=self.blend
            )
        if self.name == "guess":
            return baselines.guess_fill(self.model, blend=self.blend)
        assert self.training is not None
        training = self.training.images
        if self.name == "mean":
            return baselines.guided_fill(to_float(training.mean(0, dtype=np.float64)))
        if self.name == "nearest":
            return baselines.nearest_fill(training, blend=self.blend)
        gaussian, sampled = baselines.fit_gaussian(training), self.name == "gaussian"
        return baselines.ridge_fill(gaussian, sampled=sampled, blend=self.blend)

    def prepare(self, progress: Callable[[float], object], mesh: Mesh) -> Prepared:
        """The method as a function that divides each batch over a mesh.

        Args:
          progress: Called with the number of images done since the last call; it may be
            fractional.
          mesh: The devices.

        Raises:
          ModelError: There is no such context encoder, or it is for images of another
            size.
          DataError: The training images cannot be read.
          FillError: They are too few, a library is not installed, or the model has no
            encoder to guess with.
        """
        if self.name == "latent":
            return self._prepare_search(progress, mesh)
        fill = self._baseline()
        if isinstance(fill, baselines.HostFill):
            return Prepared(functools.partial(_attempt, fill, progress), whole=False)
        return Prepared(_compile(fill, mesh))

    def _prepare_search(
        self, progress: Callable[[float], object], mesh: Mesh
    ) -> Prepared:
        model, search = self.model, self.search
        if search.config.needs_metric:
            model = with_metric(model)
        model = parallel.replicate(model, mesh)

        complete = functools.partial(
            inpaint_jax.inpaint,
            config=search.config,
            candidates=self.candidates,
            # Also a duplicate is guided: no result may depend on other images.
            guided=True,
            refinement=search.refinement,
            blend=self.blend,
            keep_path=self.filmed,
        )
        traced = None
        if _is_short(search.config, mesh):
            # The tree of a model names its functions, not the modules they are in.
            about = f"{self.parts.kind} {complete.keywords}"
            traced = traces.keep(complete, about, compilation_cache.folder())

        def fill(images: np.ndarray, masks: np.ndarray, keys: jax.Array) -> Found:
            if traced is not None:
                checked = completion.checked(model, images, masks)
                solution = traced(model, *checked, keys)
            else:
                solution = complete(
                    model,
                    images,
                    masks,
                    keys,
                    progress=lambda n: progress(len(images) * n / search.config.steps),
                    mesh=mesh,
                )
            found = jax.tree.map(np.asarray, solution)
            several = None
            if self.candidates > 1:
                totals, seeds = found.losses.total, found.candidate
                several = Several(found.image, totals, seeds)
            course = None
            if found.path is not None:
                shown = found.path[:, 0, film.iterates(search.config.steps)]
                course = np.asarray(
                    inpaint_jax.replay(
                        self.model, shown, images, masks, blend=self.blend
                    )
                )
            return Found(
                found.mean if self.answer == "mean" else found.image[:, 0],
                found.generated[:, 0],
                {
                    "context_loss": found.losses.context[:, 0],
                    "prior_loss": found.losses.prior[:, 0],
                    "blend_residual": found.residual[:, 0],
                },
                several,
                course,
            )

        return Prepared(fill)

    @functools.cached_property
    def _network(self) -> "Competitor":
        # Here, as it brings Flax and Optax along.
        from inpaint_jax.pretrained.competitors import read_competitor

        name = self.context_encoder or self.model.name
        return read_competitor("context_encoder", name)


def _is_short(config: SearchConfig, mesh: Mesh) -> bool:
    """Whether a search takes less time than tracing it, so that its trace is kept.

    It then has no progress of its own. That a trace can be read again is known of a
    processor's alone.
    """
    few = config.newton and config.steps <= CHUNK
    one = mesh.size == jax.process_count() == 1
    return few and one and jax.default_backend() == "cpu"


def _settings(fill: baselines.Fill) -> dict[str, Any]:
    """The settings of a fill: its default arguments, or the version of its library.

    Raises:
      FillError: The library is not installed.
    """
    if isinstance(fill, baselines.HostFill):
        return {"library": fill.version()}
    parameters = inspect.signature(fill).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def _compile(fill: baselines.Fill, mesh: Mesh) -> Fill:
    """A baseline as a compiled function that divides each batch over a mesh."""
    # Arrays bound to a fill become arguments of the compiled function.
    bound = fill if isinstance(fill, tree_util.Partial) else tree_util.Partial(fill)
    bound = parallel.replicate(bound, mesh)
    of_part = jax.jit(
        parallel.split(lambda fill, *batch: fill(*batch), (None, 0, 0, 0), mesh)
    )

    def complete(images: np.ndarray, masks: np.ndarray, keys: jax.Array) -> Found:
        batch = parallel.place((images, masks, keys), mesh)
        return Found(parallel.local(of_part(bound, *batch)))

    return complete


def _attempt(
    fill: baselines.HostFill,
    progress: Callable[[float], object],
    images: np.ndarray,
    masks: np.ndarray,
    keys: jax.Array,
) -> Found:
    """The result of a library's fill, which takes one image at a time."""
    completed, refused = [], []
    for i in range(len(images)):
        one = slice(i, i + 1)
        image, reason = fill.attempt(images[one], masks[one], keys[one])
        completed.append(image)
        refused += reason
        progress(1)
    return Found(np.concatenate(completed), refused=refused)
