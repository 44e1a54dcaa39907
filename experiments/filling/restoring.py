"""Photographs put together again, when all of their frames are filled."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from experiments.filling import measures
from experiments.filling.batches import Failed, Filled, Result
from experiments.filling.photographs import OfPhotographs
from inpaint_jax.data.decoding import to_rgb
from inpaint_jax.data.pictures import ImageError, Picture
from inpaint_jax.photographs import frames
from inpaint_jax.photographs.composing import compose, laid_spread

_HINT = "--frame=whole takes the whole picture"


@dataclasses.dataclass(frozen=True)
class Restored:
    """A photograph whose hole was filled.

    Attributes:
      index: Index of the picture in the run.
      filled: Its frames.
      row: Id, file and figures as JSON values.
      warning: What was not filled, or empty.
      notes: What is unexpected, but no fault.
      given: ``[H, W, 3]`` uint8, the picture with its hole black.
      searched: ``[H, W]`` bool, what of the hole lies in the frames.
      spread: ``[H, W]`` float32, how far the candidates are from each other, in levels
        of 8 bits; None: there is one.
      completed: ``[H, W, 3]`` uint8.
      encode: Function from Pillow's name of a format, or an empty text, to the content
        of the photograph's file.
    """

    index: int
    filled: Sequence[Filled]
    row: dict[str, Any]
    warning: str
    notes: Sequence[str]
    given: np.ndarray
    searched: np.ndarray
    spread: np.ndarray | None
    completed: np.ndarray
    encode: Callable[[str], bytes]


class Restorer:
    """Gathers the frames of each photograph, and puts them back when all are there.

    Args:
      problems: The frames.
      outside: How to fill what of a hole lies outside the frames, one of
        ``outside.WAYS``.
      suffix: Suffix of the completed pictures' files; empty: that of their own.
      write: Called with the photographs, and failures, whose frames are all there.
    """

    def __init__(
        self,
        problems: OfPhotographs,
        outside: str,
        suffix: str,
        write: Callable[[list[Restored | Failed]], object],
    ) -> None:
        self._problems, self._outside = problems, outside
        self._suffix, self._write = suffix, write
        self._parts: dict[int, list[Result]] = {}

    def add(self, results: Sequence[Result]) -> None:
        """Takes the results of a batch."""
        whole = []
        for result in results:
            index = self._problems.picture_of(result.index)
            parts = self._parts.setdefault(index, [])
            parts.append(result)
            if len(parts) == self._problems.count(index):
                whole.append(self._restore(index, self._parts.pop(index)))
        self._write(whole)

    def _restore(self, index: int, parts: Sequence[Result]) -> Restored | Failed:
        failed = [each for each in parts if isinstance(each, Failed)]
        if failed:
            return Failed(index, failed[0].reason, failed[0].refused)
        filled = [each for each in parts if isinstance(each, Filled)]
        try:
            restored: Restored = self._problems.of_picture(
                index, lambda: self._compose(index, filled)
            )
        except ImageError as error:
            return Failed(index, str(error))
        return restored

    def _compose(self, index: int, filled: Sequence[Filled]) -> Restored:
        inputs = self._problems.inputs
        picture, read = inputs.pictures[index], self._problems.read_picture(index)
        photograph, missing = read.photograph, read.missing
        placed = [each.problem.place for each in filled]
        there = [place.frame for place in placed if place is not None]
        if missing is None:
            holes = [
                frames.hole_of(each.mask, frame, photograph.shape)
                for each, frame in zip(filled, there, strict=True)
            ]
            missing = np.any(holes, axis=0)
        composed = compose(
            photograph,
            missing,
            there,
            [each.completed for each in filled],
            way=self._outside,
            opaque=inputs.is_own_mask(index),
        )
        completed = to_rgb(composed.image)
        spreads = [each.spread for each in filled if each.spread is not None]
        spread = laid_spread(missing, there, spreads) if spreads else None
        original = inputs.read_original(index, read.rgb)
        row = self._row(index, filled, there, composed.outside, original, completed)
        notes = [self._problems.note(index), photograph.note]
        warning, share = "", f"{100 * composed.outside:.3g} %"
        if composed.outside and self._outside == "leave":
            if composed.outside == 1:
                raise ImageError(f"all of its hole lies outside the frame; {_HINT}")
            warning = f"{share} of its hole lies outside the frame and is left; {_HINT}"
        elif composed.outside:
            notes.append(
                f"{share} of its hole lies outside the frame and was filled by "
                f"--outside={self._outside}"
            )
        return Restored(
            index,
            filled,
            row,
            f"{picture}: {warning}" if warning else "",
            [f"{picture}: {note}" for note in notes if note],
            np.where(missing[..., None], 0, read.rgb).astype(np.uint8),
            frames.within(there, missing),
            spread,
            completed,
            lambda format: photograph.encode(composed.image, format),
        )

    def _row(
        self,
        index: int,
        filled: Sequence[Filled],
        there: Sequence[frames.Frame],
        share: float,
        original: np.ndarray | None,
        completed: np.ndarray,
    ) -> dict[str, Any]:
        """The row of a picture: means of its frames' figures, and its own."""
        picture = self._problems.inputs.pictures[index]
        row = dict(filled[0].row)
        if len(filled) > 1:
            row = {"id": picture.id}
            for name in filled[0].row:
                values = [each.row[name] for each in filled]
                if all(isinstance(value, int | float) for value in values):
                    row[name] = math.fsum(values) / len(values)
                elif name in measures.FIGURES:
                    row[name] = None
        figures: dict[str, Any] = dict.fromkeys(measures.OF_PHOTOGRAPHS)
        if original is not None:
            figures |= measures.measure_photograph(original, completed)
        return {
            **row,
            "file": picture.stem + (self._suffix or _suffix_of(picture)),
            **measures.for_json(figures),
            "outside": share,
            "frames": [
                {**each.row, **dataclasses.asdict(frame)}
                for each, frame in zip(filled, there, strict=True)
            ],
        }


def _suffix_of(picture: Picture) -> str:
    """The suffix of a picture's file where that can be written, otherwise .png."""
    Image.init()
    path = picture.member or picture.path
    suffix = path[path.rfind(".") :] if "." in path else ""
    return suffix if Image.EXTENSION.get(suffix.lower()) in Image.SAVE else ".png"
