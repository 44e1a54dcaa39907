"""What the page does with photographs, as ``experiments.inpaint`` would do it."""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from PIL import Image
from tqdm import tqdm

import inpaint_jax
from experiments.filling import batches, doubt, film, from_flags
from experiments.filling.methods import Method
from experiments.filling.photographs import frame_name
from inpaint_jax import pixels, pretrained
from inpaint_jax.data import decoding, opening
from inpaint_jax.data.files import ImageError
from inpaint_jax.data.mask_meaning import read_missing
from inpaint_jax.photographs.frames import within
from inpaint_jax.photographs.photograph import Photograph
from inpaint_jax.search.directions import with_metric
from inpaint_jax.types import Model

ANSWERS = (1, 2, 4)
"""Numbers of answers that can be asked for; the searches of each are compiled once."""

_SHOWN = 1024  # Most pixels of the longer side of what a browser is shown.
_PAINTED = 640  # Least pixels of the longer side of what is painted on.
_OF_PNG = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
_EVERY = 10  # Steps of a search from one report to the next.


class Given(NamedTuple):
    """A photograph that was handed in.

    Attributes:
      name: Name of its file without the extension.
      photograph: The photograph.
    """

    name: str
    photograph: Photograph


class Answers(NamedTuple):
    """What is handed back.

    Attributes:
      pictures: The filled hole with what is around it, the best answer first, to be
        looked at; of several also their mean, and a map of where they differ.
      captions: What each is.
      film: How the best came about, an animated WebP: of the first frame.
      files: Name and content of the file of each answer, and of their mean, at full
        size and without loss.
      notes: What is unexpected, but no fault.
    """

    pictures: list[Image.Image]
    captions: list[str]
    film: bytes
    files: list[tuple[str, bytes]]
    notes: list[str]


class Desk:
    """Photographs in, answers out.

    Args:
      model: The model that is used when nothing is said, as for ``--model``.
      seed: Seed of the searches.
      megapixels: Greatest size of a photograph.

    Attributes:
      models: Names or files of all models that can be chosen.

    Raises:
      program.UsageError: A flag of the search is out of range.
      ModelError: There is no such model.
    """

    def __init__(self, model: str, seed: int, megapixels: float) -> None:
        self.models = list(dict.fromkeys([model, *pretrained.model_names()]))
        self._seed, self._megapixels = seed, megapixels
        self._load(model)

    def warm_up(self) -> None:
        """Compiles the searches, so that the first answer does not wait for that."""
        _, model = self._load(self.models[0])
        side = model.image_size
        hole = np.zeros((side, side), bool)
        hole[side // 4 : side // 2, side // 4 : side // 2] = True
        given = Given("", Photograph(Image.new("RGB", (side, side))))
        for count in tqdm(ANSWERS, "compiling", disable=None, leave=False):
            # Another number of steps needs no other compilation.
            self.fill(given, hole, self.models[0], count, steps=1)

    def read(self, path: str) -> Given:
        """Reads a photograph.

        Raises:
          ImageError: It is too large, or no picture; the line begins with its name.
        """
        file = Path(path)
        try:
            width, height = opening.size_of(file)
            if width * height > 1e6 * self._megapixels:
                raise ImageError(
                    f"{path}: {width}x{height} pixels are more than the "
                    f"{self._megapixels:g} million that are taken here"
                )
            return Given(file.stem, Photograph.read(file))
        except ImageError as error:
            # Not with the place of the upload on the server.
            raise ImageError(str(error).replace(path, file.name)) from error

    def fill(
        self,
        given: Given,
        missing: np.ndarray,
        model: str,
        count: int,
        progress: Callable[[float], object] = lambda share: None,
        *,
        steps: int | None = None,
    ) -> Answers:
        """Fills the hole of a photograph.

        Args:
          given: The photograph.
          missing: The hole, ``[H, W]`` bool, of the photograph's size or its shape.
          model: One of ``models``.
          count: Number of answers.
          progress: Called with the share of the search that is done.
          steps: Number of steps of the search; None: that of its configuration.

        Raises:
          ImageError: There is no hole.
          ModelError: The model cannot be read.
        """
        method, loaded = self._load(model)
        config, done = method.search.config, 0
        if steps is not None:
            config = dataclasses.replace(config, steps=steps)

        def report(more: int) -> None:
            nonlocal done
            done += more
            progress(done / config.steps)

        def keys(frames: int) -> jax.Array:
            names = [frame_name(given.name, number) for number in range(frames)]
            return batches.keys_of(names, self._seed)

        found = inpaint_jax.repair(
            given.photograph,
            missing,
            model=loaded,
            key=keys,
            candidates=count,
            config=config,
            refinement=method.search.refinement,
            blend=method.blend,
            guided=True,
            keep_path=True,
            progress=report,
            progress_every=_EVERY,
        )
        notes = [found.note, given.photograph.note]
        if found.outside:
            share = f"{100 * found.outside:.3g} %"
            notes.append(
                f"{share} of the hole lies outside of what the model saw, and was "
                "filled from its surroundings"
            )
        losses = np.asarray(found.solution.losses.total).sum(axis=0)
        captions = [f"loss {loss:.1f}" for loss in losses]
        names = [f"-{rank + 1}" if count > 1 else "" for rank in range(count)]
        pictures = list(found.pictures)
        if count > 1:
            captions.append("the mean of all")
            names.append("-mean")
            pictures.append(found.mean)
        near = _around(missing, given.photograph.shape)
        shown = [decoding.to_rgb(each) for each in pictures]
        if count > 1 and found.spread is not None:
            captions.append("where they differ")
            hole = read_missing(missing, image_size=given.photograph.shape)
            searched = within(found.frames, hole)
            shown.append(doubt.picture_of(shown[-1], searched, found.spread))
        return Answers(
            [preview(each[near]) for each in shown],
            captions,
            _film(loaded, found, blend=method.blend),
            [
                _file(given, picture, name)
                for picture, name in zip(pictures, names, strict=True)
            ],
            [note for note in notes if note],
        )

    @functools.cache  # noqa: B019  (There is one desk, as long as the program runs.)
    def _load(self, name: str) -> tuple[Method, Model]:
        method = from_flags.read_method(name)
        model = method.model
        if method.search.config.needs_metric:
            model = with_metric(model)
        return method, model


def preview(rgb: np.ndarray) -> Image.Image:
    """A picture ``[H, W, 3]`` uint8 no larger than what a browser is shown."""
    image = Image.fromarray(rgb)
    scale = _SHOWN / max(image.size)
    if scale >= 1:
        return image
    width, height = (max(1, round(scale * side)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3)


def canvas_of(photograph: Photograph) -> Image.Image:
    """A copy of a photograph to paint on, of the same shape."""
    image = preview(photograph.rgb())
    # A brush would be as large as the eyes of a small picture.
    factor = math.ceil(_PAINTED / max(image.size))
    return image.resize((factor * image.width, factor * image.height))


def _film(model: Model, found: inpaint_jax.Repaired, *, blend: bool) -> bytes:
    """How the best answer came about in the first frame."""
    images, masks = (each[:1] for each in found.seen)
    path = np.asarray(found.solution.path)[:1, 0]
    shown = path[:, film.iterates(path.shape[1] - 1)]
    (course,) = np.asarray(inpaint_jax.replay(model, shown, images, masks, blend=blend))
    masked = pixels.with_hole(pixels.to_uint8(images[0]), masks[0])
    completed = pixels.to_uint8(found.solution.image[0, 0])
    return film.encode(masked, [pixels.to_uint8(each) for each in course], completed)


def _around(missing: np.ndarray, shape: tuple[int, int]) -> tuple[slice, slice]:
    """The rows and columns of a photograph in which its hole can be judged.

    Args:
      missing: The hole, ``[H, W]`` bool, of the photograph's shape.
      shape: The photograph's height and width.
    """
    spans = []
    for axis, side in zip((1, 0), shape, strict=True):
        touched = missing.any(axis=axis)
        (places,), scale = np.nonzero(touched), side / touched.size
        spans.append((scale * places[0], scale * (places[-1] + 1)))
    margin = max(stop - start for start, stop in spans)
    rows, columns = (
        slice(max(0, int(start - margin)), math.ceil(stop + margin))
        for start, stop in spans
    )
    return rows, columns


def painted(layers: Sequence[Image.Image]) -> np.ndarray:
    """Where anything is painted on layers of one size, ``[H, W]`` bool.

    Raises:
      ImageError: Nothing is.
    """
    strokes = [np.asarray(layer.convert("RGBA"))[..., 3] > 0 for layer in layers]
    if not any(stroke.any() for stroke in strokes):
        raise ImageError("nothing is painted: paint over what is missing")
    return np.any(strokes, axis=0)


def _file(given: Given, picture: Image.Image, suffix: str) -> tuple[str, bytes]:
    """Name and content of a file of a format without loss."""
    photograph = given.photograph
    tiff = photograph.own_format == "TIFF" or picture.mode not in _OF_PNG
    if tiff:
        return f"{given.name}{suffix}.tiff", photograph.encode(picture, "TIFF")
    # A fifth of the time, for a fifth more bytes.
    quick = photograph._replace(options={**photograph.options, "compress_level": 1})
    return f"{given.name}{suffix}.png", quick.encode(picture, "PNG")
