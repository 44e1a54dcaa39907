"""Model files: the shipped ones by name, the user's own by path.

A model file is a safetensors file: the weights of generator, discriminator and encoders
in float16 (BatchNorm statistics in float32), the matrices of the generator's principal
directions and, in its metadata, the architecture, the training data, and a checksum of
the weights. Each shipped ``<name>.safetensors`` has a model card, ``<name>.md``.
"""

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax

from inpaint_jax.configs import SEARCHES, Architecture
from inpaint_jax.latents import LatentSpace, Normal, Uniform, from_description
from inpaint_jax.networks import autoencoder_inference, inference
from inpaint_jax.networks.precision import choose
from inpaint_jax.networks.variables import Variables, dense_name
from inpaint_jax.pretrained import files
from inpaint_jax.pretrained.files import ModelError
from inpaint_jax.search import directions
from inpaint_jax.types import Metadata, Metric, Model

if TYPE_CHECKING:
    from inpaint_jax.pretrained.runs import Run

_FOLDER = Path(__file__).parent
KINDS = ("dcgan", "autoencoder")
"""Kinds of networks that can be searched."""


def model_names() -> list[str]:
    """The names of the shipped models."""
    return files.names(_FOLDER)


def load_model(name: str | Path, *, precision: str = "float32") -> Model:
    """Loads a model.

    Args:
      name: A shipped model's name, a ``.safetensors`` file, or the work folder of a
        training run (its best checkpoint, or the newest if none was evaluated; the
        averaged generator). A run has no metric. If the search that suits the model
        needs one it is added (``with_metric``), which takes some seconds;
        ``make_model(read_parts(name))`` does without.
      precision: Number type of the factors of the networks' products: ``float32``,
        ``bfloat16``, or ``auto``, which is the faster one here (``precision.choose``).
        Images, logits and losses are float32 in any case.

    Raises:
      ModelError: There is no such model or precision, or the model's file is damaged or
        of another format.
    """
    try:
        precision = choose(precision)
    except ValueError as error:
        raise ModelError(str(error)) from error
    model = make_model(read_parts(name), precision=precision)
    of_run = files.find(name, _FOLDER).is_dir()
    if of_run and SEARCHES[model.search].needs_metric:
        model = directions.with_metric(model)
    return model


@dataclasses.dataclass(frozen=True)
class Parts:
    """Variables and description of a model, the content of its file.

    Attributes:
      name: Name of the model.
      architecture: Sizes of generator and discriminator.
      generator: Variables of the generator, ``{"params", "batch_stats"}``: of a
        ``dcgan.Generator`` or of an ``autoencoder.Decoder``, which has a ``prior``,
        too: ``mean`` ``[L]`` and ``factor`` ``[L, L]`` of the latents of images.
      discriminator: Variables of the discriminator or critic; empty if there is none.
      encoders: Variables of each encoder; may be empty. The first of an autoencoder is
        an ``autoencoder.Encoder``.
      metric: Metric of the generator, or None.
      latents: The latent space; None: the paper's box.
      metadata: JSON values: data, crop, steps, date, figures; ``search``, a name in
        ``SEARCHES``, if another suits the model than others of its kind.
      kind: Kind of the networks: ``dcgan`` or ``autoencoder``.
    """

    name: str
    architecture: Architecture
    generator: Variables
    discriminator: Variables
    encoders: tuple[Variables, ...] = ()
    metric: Metric | None = None
    latents: LatentSpace | None = None
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    kind: str = "dcgan"


def read_parts(name: str | Path) -> Parts:
    """The variables of a model in float32, by name or path as for ``load_model``.

    Raises:
      ModelError: There is no such model, or its file is damaged or of another format.
    """
    path = files.find(name, _FOLDER)
    if path.is_dir():
        return _parts_of_run(path)
    kind, nested, architecture, metadata = files.read(path, *KINDS)
    encoders = nested.get("encoders", {})
    if metadata.get("search") not in (None, *SEARCHES):
        raise ModelError(f"{path}: there is no search {metadata['search']!r}")
    return Parts(
        path.stem,
        architecture,
        nested["generator"],
        nested.get("discriminator", {}),
        tuple(encoders[str(each)] for each in range(len(encoders))),
        _metric_of(nested),
        _latents_of(path, metadata),
        metadata,
        kind,
    )


def save_model(path: str | Path, parts: Parts) -> None:
    """Writes a model file, under a temporary name first.

    Args:
      path: The file; its stem is the model's name.
      parts: The model; ``parts.name`` is ignored.

    Raises:
      ModelError: A weight is not finite in float16.
    """
    encoders = {str(i): variables for i, variables in enumerate(parts.encoders)}
    variables: dict[str, Any] = {
        "generator": parts.generator,
        "discriminator": parts.discriminator,
        "encoders": encoders,
    }
    if parts.metric is not None and parts.metric.factored:
        variables["metric_factors"] = parts.metric.blocks
    elif parts.metric is not None:
        variables["metric"] = directions.to_triangles(parts.metric.blocks)
    metadata = dict(parts.metadata)
    if parts.latents is not None:
        metadata["latents"] = parts.latents.describe()
    files.write(Path(path), parts.kind, variables, parts.architecture, metadata)


def digest(parts: Parts, *, encoders: bool = False) -> str:
    """A checksum of a model's weights, as a model file holds them.

    It is the same for a training run and for the file that was made of it, and on every
    kind of device. The metric, which follows from the generator, does not count.

    Args:
      parts: The model.
      encoders: Whether the encoders count, beside generator and discriminator.
    """
    counted: dict[str, Any] = {
        "generator": parts.generator,
        "discriminator": parts.discriminator,
    }
    if encoders:
        counted |= {f"encoder {i}": each for i, each in enumerate(parts.encoders)}
    return files.digest(counted)


def make_model(parts: Parts, *, precision: str = "float32") -> Model:
    """A model whose functions are bound to the given variables."""
    weights = _prepare(
        parts.generator,
        parts.discriminator,
        parts.encoders,
        kind=parts.kind,
        precision=precision,
    )
    generate, halves, critic, correctors = _BIND[parts.kind](*weights)
    return Model(
        generate=generate,
        critic=critic,
        latents=parts.latents or Uniform(parts.architecture.latent_size),
        image_size=parts.architecture.image_size,
        correctors=correctors,
        metric=parts.metric,
        halves=halves,
        search=parts.metadata.get("search", _SEARCH[parts.kind]),
        name=parts.name,
        metadata=Metadata(parts.metadata),
    )


@functools.partial(jax.jit, static_argnames=("kind", "precision"))
def _prepare(
    generator: Variables,
    discriminator: Variables,
    encoders: tuple[Variables, ...],
    *,
    kind: str,
    precision: str,
) -> tuple[Any, Any, list[Any]]:
    """The weights of generator, critic (or None) and encoders, arranged for searches.

    One function for all, as each that is compiled takes its time to find in the cache.
    """

    def arranged(variables: Variables) -> inference.Weights:
        return inference.discriminator_weights(variables, precision)

    critic = arranged(discriminator) if discriminator else None
    if kind == "dcgan":
        weights = inference.generator_weights(generator, precision)
        return weights, critic, [arranged(each) for each in encoders]
    form, (first, *others) = autoencoder_inference, encoders
    decoder = form.decoder_weights(generator, precision)
    encoder = form.encoder_weights(first, generator, precision)
    return decoder, critic, [encoder, *(arranged(each) for each in others)]


# Keeps the weights arguments of compiled functions.
_bind = jax.tree_util.Partial


def _bind_dcgan(weights: Any, critic: Any, encoders: Iterable[Any]) -> tuple[Any, ...]:
    """The generator, its halves, the critic and the encoders as functions."""
    form = inference
    halves = _bind(form.features, weights), _bind(form.render, weights)
    judge = None if critic is None else _bind(form.critic, critic)
    correctors = tuple(_bind(form.critic, each) for each in encoders)
    return _bind(form.generate, weights), halves, judge, correctors


def _bind_autoencoder(
    weights: Any, critic: Any, encoders: Sequence[Any]
) -> tuple[Any, ...]:
    form, (first, *others) = autoencoder_inference, encoders
    halves = _bind(form.features, weights), _bind(form.render, weights)
    judge = None if critic is None else _bind(form.judge, critic)
    of_others = (_bind(inference.critic, each) for each in others)
    correctors = _bind(form.correct, first), *of_others
    return _bind(form.generate, weights), halves, judge, correctors


_SEARCH = {"dcgan": "fast", "autoencoder": "map"}
_BIND = {"dcgan": _bind_dcgan, "autoencoder": _bind_autoencoder}


def _without_variance(encoder: Variables, length: int) -> Variables:
    """An autoencoder's encoder with the correction alone, as a search needs it."""
    dense = encoder["params"][dense_name(0)]
    correction = {name: values[..., :length] for name, values in dense.items()}
    params = {**encoder["params"], dense_name(0): correction}
    return {**encoder, "params": params}


def _metric_of(nested: Variables) -> Metric | None:
    """The metric among a file's tensors, or None."""
    if "metric_factors" in nested:
        return Metric(nested["metric_factors"], factored=True)
    if "metric" in nested:
        return Metric(jax.device_put(directions.from_triangles(nested["metric"])))
    return None


def _latents_of(path: Path, metadata: Mapping[str, Any]) -> LatentSpace | None:
    """The latent space named in a file's metadata, or None."""
    if "latents" not in metadata:
        return None
    try:
        return from_description(metadata["latents"])
    except ValueError as error:
        raise ModelError(f"{path}: {error}") from error


def _parts_of_run(workdir: Path) -> Parts:
    """The averaged generator and the discriminator of the best checkpoint."""
    # Here, as it brings Flax, Optax and Orbax along, which a file does not need.
    from inpaint_jax.pretrained.runs import load_run

    run = load_run(workdir, *KINDS)
    metadata = {**run.config, "steps": int(run.state.step)}
    return parts_of_run(run, workdir.name, metadata)


def parts_of_run(run: "Run", name: str, metadata: Mapping[str, Any]) -> Parts:
    """The model of a training run of a generator: its averaged weights."""
    if run.kind == "dcgan":
        networks = run.state.average, run.state.discriminator.variables
        return Parts(name, run.architecture, *networks, metadata=metadata)
    decoder, encoder = run.state.average
    codes = run.state.codes
    prior = {"mean": codes.mean, "factor": codes.factor()}
    return Parts(
        name,
        run.architecture,
        {**decoder, "prior": prior},
        run.state.critic.variables,
        (_without_variance(encoder, run.architecture.latent_size),),
        latents=Normal(run.architecture.latent_size),
        metadata=metadata,
        kind=run.kind,
    )
