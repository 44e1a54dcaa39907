"""Pictures with holes at the model's size, and those of a data set."""

import dataclasses
import re
from typing import NamedTuple, Protocol

import numpy as np

from inpaint_jax.data import sources
from inpaint_jax.names import checksum
from inpaint_jax.photographs.frames import Frame


class Place(NamedTuple):
    """A frame of a picture.

    Attributes:
      picture: Index of the picture in the run.
      number: Number of the frame among those of its picture.
      frame: The frame.
    """

    picture: int
    number: int
    frame: Frame


class Problem(NamedTuple):
    """One picture with a hole.

    Attributes:
      id: Unique id of the picture in the run.
      name: Name from which its random keys are derived.
      file: File name of its completed picture.
      image: ``[S, S, 3]`` uint8, the picture at the model's size.
      mask: ``[S, S, 1]`` float32, 1 = known, 0 = missing; None: all is known but for
        what is drawn.
      original: ``[S, S, 3]`` uint8, to compare the result with; None: unknown.
      place: Where in which picture of the run it lies; None: it is all of it.
    """

    id: str
    name: str
    file: str
    image: np.ndarray
    mask: np.ndarray | None
    original: np.ndarray | None
    place: Place | None = None


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


@dataclasses.dataclass(frozen=True, eq=False)
class OfDataset:
    """Images of a data set, each its own original.

    Attributes:
      source: The data set.
      mask: Name of the masks to draw, or None.
      masks: ``[N, S, S, 1]`` float32, 1 = known, the mask of each image; None: they are
        drawn.
    """

    source: sources.Source
    mask: str | None
    masks: np.ndarray | None = None

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
        mask = None if self.masks is None else self.masks[index]
        return Problem(id, name, file, image, mask, image)


def _file_name(id: str) -> str:
    """``id`` as a flat file name; different ids have different names."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", id)[:100]
    return f"{safe}.png" if safe == id else f"{safe}-{checksum(id):08x}.png"
