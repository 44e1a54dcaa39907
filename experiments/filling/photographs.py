"""Photographs with holes, framed for the model."""

import collections
import dataclasses
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from experiments.filling.problems import Place, Problem
from experiments.runtime import program
from inpaint_jax.data.files import numbered
from inpaint_jax.data.mask_meaning import read_missing
from inpaint_jax.data.opening import has_transparency
from inpaint_jax.data.pictures import ImageError, Picture, read_picture
from inpaint_jax.photographs import faces, frames
from inpaint_jax.photographs.photograph import Photograph
from inpaint_jax.types import Model

KEPT = 32_000_000  # Pixels that are kept decoded, at 8 bytes each.


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Picture files, with masks that are drawn or read from files.

    Attributes:
      pictures: The files.
      mask: Name of the masks, which are drawn into the frames; None: each picture has
        its own mask file.
      mask_files: The mask of each picture, or the error if it has none.
      mask_known: Colour of known pixels in mask files.
      originals: The undamaged original of each picture, or the error if it has none;
        None: under a mask with a name a picture is its own original, otherwise there
        are no originals.
    """

    pictures: Sequence[Picture]
    mask: str | None = None
    mask_files: Sequence[Picture | ImageError] | None = None
    mask_known: str = "black"
    originals: Sequence[Picture | ImageError] | None = None

    def files(self) -> list[str]:
        """The paths of all files that are read."""
        read = [*self.pictures, *(self.mask_files or ()), *(self.originals or ())]
        return [each.path for each in read if isinstance(each, Picture)]

    def read_missing(self, index: int, shape: tuple[int, int]) -> np.ndarray | None:
        """``[H, W]`` bool of a picture of ``shape``; None: its mask is drawn."""
        if self.mask_files is None:
            return None
        file = _found(self.mask_files[index])
        return read_missing(file, image_size=shape, known=self.mask_known)

    def read_original(self, index: int, rgb: np.ndarray) -> np.ndarray | None:
        """The original ``[H, W, 3]`` uint8 of a picture, or None."""
        if self.originals is None:
            return rgb if self.mask is not None else None
        file = _found(self.originals[index])
        whole = read_picture(file)
        if whole.shape != rgb.shape:
            raise ImageError(
                f"the original {file} is {whole.shape[1]}x{whole.shape[0]} but the "
                f"picture is {rgb.shape[1]}x{rgb.shape[0]}; they must have the same "
                "size"
            )
        return whole

    def is_own_mask(self, index: int) -> bool:
        """Whether a picture's transparent pixels are its hole."""
        if self.mask_files is None:
            return False
        file = self.mask_files[index]
        return isinstance(file, Picture) and file.only_alpha


def first_opaque(pictures: Sequence[Picture]) -> Picture | None:
    """The first readable picture without transparency, or None."""
    for picture in pictures:
        try:
            if not has_transparency(picture):
                return picture
        except ImageError:  # Reported when it is read.
            continue
    return None


def _found(file: Picture | ImageError) -> Picture:
    if isinstance(file, ImageError):
        raise file
    return file


def frame_name(picture: str, number: int) -> str:
    """The name of a frame, from which its random keys are derived.

    Args:
      picture: Name of the picture.
      number: Number of the frame in it, from 0.
    """
    return f"{picture}-{number + 1}" if number else picture


class _Read(NamedTuple):
    photograph: Photograph
    rgb: np.ndarray
    missing: np.ndarray | None


class _Reader:
    """Photographs with their holes; those that were asked for last are kept.

    A picture is wanted to look for faces, for each of its frames, and to put them back.
    """

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._kept: collections.OrderedDict[int, _Read] = collections.OrderedDict()
        self._lock = threading.Lock()

    def read(self, index: int) -> _Read:
        with self._lock:
            if index in self._kept:
                self._kept.move_to_end(index)
                return self._kept[index]
        photograph = Photograph.read(self._inputs.pictures[index])
        missing = self._inputs.read_missing(index, photograph.shape)
        found = _Read(photograph, photograph.rgb(), missing)
        with self._lock:
            self._kept[index] = found
            while sum(each.rgb.size for each in self._kept.values()) > 3 * KEPT:
                self._kept.popitem(last=False)
        return found


class OfPhotographs:
    """The frames of photographs, as problems.

    Where faces are looked for, all pictures are read for that first.

    Args:
      inputs: The files.
      model: The model that the frames are for.
      frame: How to frame them, as for ``faces.choose``.

    Attributes:
      inputs: The files.
      size: Side of the images.
      mask: Name of the masks to draw, or None.

    Raises:
      ImageError: ``frame`` is unknown.
      program.UsageError: It is ``face``, and the model is not of faces or there is no
        detector.
    """

    def __init__(self, inputs: Inputs, model: Model, frame: str) -> None:
        self.inputs, self.size, self.mask = inputs, model.image_size, inputs.mask
        self._reader = _Reader(inputs)
        self._wanted = faces.wanted_by(model)
        self._frame = frame
        frames.parse(frame)
        of_faces = self._wanted["places"] is not None
        if frame == "face" and not of_faces:
            raise program.UsageError(
                f"--frame=face: {model.name} is not a model of faces; give center, "
                "whole, or x,y,w,h in pixels"
            )
        if frame == "face" and not faces.is_installed():
            raise program.UsageError(f"--frame=face: {faces.INSTALL} looks for faces")
        if frame == "auto" and of_faces and not faces.is_installed():
            self._frame = "center"
            program.warn(
                "faces are not looked for, and the centre squares are filled: "
                f"{faces.INSTALL}, or --frame=center"
            )
        self._chosen: dict[int, faces.Chosen | ImageError] = {}
        every = range(len(inputs.pictures))
        if self._frame == "face" or (self._frame == "auto" and of_faces):
            for index in tqdm(every, "looking for faces", disable=None, leave=False):
                self._chosen[index] = self._attempt(index)
        self._places = [
            (index, number) for index in every for number in range(self.count(index))
        ]
        # A picture's first frame is named like it; no other frame is like a picture.
        ordered = sorted(self._places, key=lambda place: place[1] > 0)
        stems = [
            frame_name(inputs.pictures[index].stem, number) for index, number in ordered
        ]
        unique = numbered(stems, str.casefold)
        self._stems = dict(zip(ordered, unique, strict=True))

    def __len__(self) -> int:
        return len(self._places)

    def count(self, index: int) -> int:
        """The number of frames of a picture, at least 1."""
        chosen = self._chosen.get(index)
        return len(chosen.frames) if isinstance(chosen, faces.Chosen) else 1

    def picture_of(self, problem: int) -> int:
        """The index of the picture that a problem is a frame of."""
        return self._places[problem][0]

    def note(self, index: int) -> str:
        """What is unexpected in the frames of a picture, or empty."""
        chosen = self._chosen.get(index)
        return chosen.note if isinstance(chosen, faces.Chosen) else ""

    def read(self, problem: int) -> Problem:
        """Reads a frame of a picture, in any thread.

        Raises:
          ImageError: The picture, its mask or its original cannot be read.
        """
        index, number = self._places[problem]
        return self.of_picture(index, lambda: self._read_frame(index, number))

    def of_picture(self, index: int, work: Callable[[], Any]) -> Any:
        """What ``work`` returns; its ``ImageError`` names the picture."""
        picture = self.inputs.pictures[index]
        try:
            return work()
        except ImageError as error:
            reason = str(error)
            if str(picture) not in reason:
                reason = f"{picture}: {reason}"
            raise ImageError(reason) from error

    def read_picture(self, index: int) -> _Read:
        """A picture and its hole, not to be changed."""
        return self._reader.read(index)

    def _read_frame(self, index: int, number: int) -> Problem:
        chosen = self._chosen.get(index)
        if isinstance(chosen, ImageError):
            raise chosen
        picture, read = self.inputs.pictures[index], self.read_picture(index)
        if chosen is None:
            chosen = self._choose(read)
        frame = chosen.frames[number]
        nothing = np.zeros(read.photograph.shape, bool)
        missing = nothing if read.missing is None else read.missing
        image, mask = frames.cut(read.rgb, missing, frame, self.size)
        original = self.inputs.read_original(index, read.rgb)
        if original is not None:
            original = frames.cut(original, nothing, frame, self.size)[0]
        return Problem(
            frame_name(picture.id, number),
            frame_name(picture.name, number),
            f"{self._stems[index, number]}.png",
            image,
            mask,
            original,
            Place(index, number, frame),
        )

    def _choose(self, read: _Read) -> faces.Chosen:
        return faces.choose(read.rgb, read.missing, frame=self._frame, **self._wanted)

    def _attempt(self, index: int) -> faces.Chosen | ImageError:
        try:
            chosen = self.of_picture(
                index, lambda: self._choose(self.read_picture(index))
            )
        except ImageError as error:
            return error
        assert isinstance(chosen, faces.Chosen)
        return chosen
