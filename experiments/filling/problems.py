"""Pictures with holes at the model's size, from a data set or from files."""

import dataclasses
import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from inpaint_jax.data import datasets, images
from inpaint_jax.data.decoding import has_transparency
from inpaint_jax.data.mask_meaning import read_missing
from inpaint_jax.data.pictures import ImageError, Picture, read_picture
from inpaint_jax.names import checksum


class Problem(NamedTuple):
    """One picture with a hole.

    Attributes:
      id: Unique id of the picture in the run.
      name: Name from which its random keys are derived.
      file: File name of its completed picture.
      image: ``[S, S, 3]`` uint8, the picture at the model's size.
      mask: ``[S, S, 1]`` float32, 1 = known, 0 = missing; None: it is drawn.
      original: ``[S, S, 3]`` uint8, to compare the result with; None: unknown.
      warning: A fault that does not keep the hole from being filled, or empty.
    """

    id: str
    name: str
    file: str
    image: np.ndarray
    mask: np.ndarray | None
    original: np.ndarray | None
    warning: str = ""


class Problems(Protocol):
    """Pictures with holes, each read when it is needed."""

    @property
    def mask(self) -> str | None:
        """Name of the masks to draw; None: every picture has its own."""

    @property
    def size(self) -> int:
        """Side of the images."""

    def __len__(self) -> int:
        """The number of pictures."""

    def read(self, index: int) -> Problem:
        """Reads a picture, in any thread, or raises ``ImageError``."""


@dataclasses.dataclass(frozen=True)
class OfDataset:
    """Images of a data set, each its own original.

    Attributes:
      source: The data set.
      mask: Name of the masks.
    """

    source: datasets.Source
    mask: str

    @property
    def size(self) -> int:
        return self.source.size

    def __len__(self) -> int:
        return len(self.source)

    def read(self, index: int) -> Problem:
        id, image = self.source.read(index)
        # The ids of a data set need not be unique.
        suffix = f"-{index:06d}" if self.source.ids is None else ""
        name, file = self.source.name_of(index, id), _file_name(id + suffix)
        return Problem(id, name, file, image, None, image)


@dataclasses.dataclass(frozen=True)
class OfPictures:
    """Picture files, with masks that are drawn or read from files.

    Attributes:
      pictures: The files.
      size: Side of the images.
      crop: Crop of the pictures.
      mask: Name of the masks; None: each picture has its own mask file.
      mask_files: The mask of each picture, or the error if it has none.
      mask_known: Colour of known pixels in mask files.
      originals: The undamaged original of each picture, or the error if it has none;
        None: under a mask with a name a picture is its own original, otherwise there
        are no originals.
    """

    pictures: Sequence[Picture]
    size: int
    crop: str | int
    mask: str | None = None
    mask_files: Sequence[Picture | ImageError] | None = None
    mask_known: str = "black"
    originals: Sequence[Picture | ImageError] | None = None

    def __len__(self) -> int:
        return len(self.pictures)

    def files(self) -> list[str]:
        """The paths of all files that are read."""
        read = [*self.pictures, *(self.mask_files or ()), *(self.originals or ())]
        return [each.path for each in read if isinstance(each, Picture)]

    def read(self, index: int) -> Problem:
        picture = self.pictures[index]
        try:
            return self._read(index, picture)
        except ImageError as error:
            reason = str(error)
            if str(picture) not in reason:
                reason = f"{picture}: {reason}"
            raise ImageError(reason) from error

    def _read(self, index: int, picture: Picture) -> Problem:
        whole = self._read_picture(picture)
        image = images.crop_and_resize(whole, crop=self.crop, size=self.size)
        mask: np.ndarray | None = None
        original: np.ndarray | None = image
        warning = ""
        if self.mask_files is not None:
            missing = read_missing(
                _found(self.mask_files[index]),
                image_size=(whole.shape[0], whole.shape[1]),
                known=self.mask_known,
            )
            warning = self._look_outside(picture, missing)
            mask = images.crop_mask(missing, crop=self.crop, size=self.size)
            original = None
        if self.originals is not None:
            original = self._read_original(index, whole.shape[:2])
        file = f"{picture.stem}.png"
        return Problem(picture.id, picture.name, file, image, mask, original, warning)

    def _read_picture(self, picture: Picture) -> np.ndarray:
        # A crop in pixels refers to the pixels of the file.
        in_full = self.crop not in ("center", "none")
        return read_picture(picture, at_least=None if in_full else 2 * self.size)

    def _look_outside(self, picture: Picture, missing: np.ndarray) -> str:
        """A warning if part of a hole lies outside the crop; otherwise empty.

        Raises:
          ImageError: All of the hole lies outside.
        """
        outside = images.share_outside(missing, crop=self.crop)
        if not outside:
            return ""
        share = "all" if outside == 1 else f"{100 * outside:.3g} %"
        place = f"{share} of its hole lies outside the centre square that is filled"
        hint = "--crop=none takes the whole frame"
        if outside == 1:
            raise ImageError(f"{place}; {hint}")
        return f"{picture}: {place}; {hint}"

    def _read_original(self, index: int, shape: tuple[int, int]) -> np.ndarray:
        """The original ``[S, S, 3]`` uint8 of a picture of ``shape``."""
        assert self.originals is not None
        file = _found(self.originals[index])
        whole = self._read_picture(file)
        if whole.shape[:2] != shape:
            raise ImageError(
                f"the original {file} is {whole.shape[1]}x{whole.shape[0]} but the "
                f"picture is {shape[1]}x{shape[0]}; they must have the same size"
            )
        return images.crop_and_resize(whole, crop=self.crop, size=self.size)


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


def _file_name(id: str) -> str:
    """``id`` as a flat file name; different ids have different names."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", id)[:100]
    return f"{safe}.png" if safe == id else f"{safe}-{checksum(id):08x}.png"
