"""A photograph and its hole in, the photograph with its hole filled out."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from PIL import Image

from inpaint_jax.completion import check_model, inpaint
from inpaint_jax.data.decoding import PictureLike
from inpaint_jax.data.files import ImageError
from inpaint_jax.data.mask_meaning import read_missing
from inpaint_jax.photographs import faces, frames, outside
from inpaint_jax.photographs.composing import compose, laid_spread
from inpaint_jax.photographs.photograph import Photograph
from inpaint_jax.pixels import to_float, to_uint8
from inpaint_jax.types import Model, Solution


class Repaired(NamedTuple):
    """A photograph whose hole was filled.

    Attributes:
      pictures: The photograph with its hole filled, the best answer first: PIL images,
        or arrays if an array was given.
      solution: What ``inpaint`` found in the F frames: ``[F, ...]``, and with
        ``candidates=K`` ``[F, K, ...]``.
      frames: The F frames in the photograph.
      seen: What the model saw of them: images ``[F, S, S, 3]`` in [-1, 1], and masks
        ``[F, S, S, 1]``, 1 = known.
      outside: The share of the missing pixels that lies outside all frames.
      note: Why the frames are not what one might expect, or empty.
      mean: The photograph filled with the mean of the answers, like ``pictures``; None
        without ``candidates``.
      spread: ``[H, W]`` float32, how far the answers are from each other, in levels of
        8 bits (``answers.spread``); None without ``candidates``.
    """

    pictures: list[Any]
    solution: Solution
    frames: list[frames.Frame]
    seen: tuple[np.ndarray, np.ndarray]
    outside: float
    note: str
    mean: Any = None
    spread: np.ndarray | None = None

    @property
    def picture(self) -> Any:
        """The best answer."""
        return self.pictures[0]

    def __repr__(self) -> str:
        """What there is, without the numbers of the search."""
        note = f", {self.note!r}" if self.note else ""
        return (
            f"Repaired({len(self.pictures)} pictures, {len(self.frames)} frames, "
            f"{self.outside:.1%} of the hole outside of them{note})"
        )


def repair(
    picture: PictureLike | Photograph,
    mask: PictureLike,
    *,
    model: Model,
    key: jax.Array | Callable[[int], jax.Array],
    frame: str = "auto",
    fill_outside: str | None = None,
    candidates: int | None = None,
    **options: Any,
) -> Repaired:
    """Fills the hole of a photograph of any size; all else stays as it is.

    The model sees frames of the photograph: every face that the hole touches, turned
    and scaled as the model wants it, or the centre. What it finds is blended into the
    hole at the photograph's own resolution. Known pixels are those of the photograph,
    bit for bit.

    Args:
      picture: A file, a PIL image of any mode, or an array ``[H, W]`` (uint8 or
        uint16), ``[H, W, 1]``, ``[H, W, 3]`` or ``[H, W, 4]`` (uint8); or one that is
        read already.
      mask: The hole, a file, an image or an array as large as the picture: white, 255
        or True where missing (``data.mask_meaning`` has all the rules).
      model: The model to search.
      key: A ``jax.random.key``, from which frame ``i`` takes ``fold_in(key, i)``; or a
        function that gives the ``[F]`` keys of F frames. Consumed.
      frame: ``auto``, ``face``, ``center``, ``whole`` or ``x,y,w,h``, as
        ``faces.choose`` takes it.
      fill_outside: How to fill what lies outside all frames, ``telea``, ``harmonic``
        or ``leave``; None: Telea's method where OpenCV is installed, otherwise the
        harmonic fill.
      candidates: Number of answers.
      **options: Further arguments of ``inpaint``: ``config``, ``refinement``,
        ``progress`` and so on.

    Returns:
      The photograph, and what was found.

    Raises:
      ImageError: The picture or the mask cannot be read, or do not fit each other;
        or there is no such frame.
      FillError: ``telea`` without OpenCV.
      ValueError: As for ``inpaint``, or ``fill_outside`` is none of these.
      TypeError: The model is a name; ``load_model`` loads it.
    """
    check_model(model)
    way = fill_outside or outside.default()
    if way not in outside.WAYS:
        raise ValueError(f"fill_outside must be one of {outside.WAYS}, not {way!r}")
    photograph = picture
    if not isinstance(photograph, Photograph):
        photograph = Photograph.read(photograph)
    missing = read_missing(mask, image_size=photograph.shape)
    if not missing.any():
        raise ImageError("nothing is missing under the mask")
    rgb = photograph.rgb()
    chosen = faces.choose(rgb, missing, frame=frame, **faces.wanted_by(model))
    cut = [frames.cut(rgb, missing, each, model.image_size) for each in chosen.frames]
    images, masks = (np.stack(each) for each in zip(*cut, strict=True))
    seen = to_float(images), masks
    solution = inpaint(
        model,
        *seen,
        key(len(cut)) if callable(key) else key,
        candidates=candidates,
        **options,
    )
    answers = np.asarray(solution.image)
    if candidates is None:
        answers = answers[:, None]
    given = picture if isinstance(picture, np.ndarray) else None

    def composed(completed: Any) -> tuple[Any, float]:
        squares = list(to_uint8(completed))
        found = compose(photograph, missing, chosen.frames, squares, way=way)
        return _like(given, found.image), found.outside

    pictures, shares = zip(*map(composed, np.moveaxis(answers, 1, 0)), strict=True)
    mean = spread = None
    if solution.mean is not None and solution.spread is not None:
        mean, _ = composed(solution.mean)
        spreads = list(127.5 * np.asarray(solution.spread))
        spread = laid_spread(missing, chosen.frames, spreads)
    return Repaired(
        list(pictures),
        solution,
        chosen.frames,
        seen,
        shares[0],
        chosen.note,
        mean,
        spread,
    )


def _like(given: np.ndarray | None, image: Image.Image) -> Any:
    """An image, or an array if one was given."""
    if given is None:
        return image
    return np.array(image).reshape(given.shape)
