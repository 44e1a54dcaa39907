"""Finding the benchmark's pictures in a data set by what they show.

A picture is recognised by the SHA-256 of its pixels; or, where it was resampled or
compressed in another way, by a fingerprint that such a change hardly touches. Names of
files and their order do not matter.
"""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from inpaint_jax.data import sources
from inpaint_jax.data.files import DataError
from inpaint_jax.data.pictures import ImageError
from inpaint_jax.data.threads import in_threads

# A side of the thumbnail. Of 288 bits no more than 30 changed when faces, house numbers
# and cars were compressed anew (JPEG 85, WebP 80) or resampled; from one of the
# benchmark's faces to another person's, of 10,000, at least 45 differ.
_SIDE = 12
_DIFFERENT = 36
_CHUNK = 64  # Pictures per task.


class Mark(NamedTuple):
    """What a picture is recognised by.

    Attributes:
      sha256: In hexadecimal, of the pixels ``[S, S, 3]`` uint8, row by row.
      fingerprint: In hexadecimal, 288 bits: whether the luminance of a 12x12 thumbnail
        grows from one pixel to the next, to the right and downwards.
    """

    sha256: str
    fingerprint: str


@dataclasses.dataclass(frozen=True, eq=False)
class Located:
    """Pictures that were found in a data set.

    Attributes:
      within: The data set.
      ids: Ids of the pictures in the benchmark.
      images: ``[N, S, S, 3]`` uint8.
      identical: Number of those that are the benchmark's to the last bit.
    """

    within: sources.Source
    ids: tuple[str, ...]
    images: np.ndarray
    identical: int

    def source(self, limit: int | None) -> sources.Source:
        """These pictures, or the first ``limit`` of them, as a data set."""
        ids = self.ids[:limit]

        def read(index: int) -> tuple[str, np.ndarray]:
            return ids[index], self.images[index]

        return dataclasses.replace(
            self.within,
            count=len(ids),
            ids=ids,
            read=read,
            pictures=None,
            cached=None,
        )


def mark(image: np.ndarray) -> Mark:
    """Makes the mark of a picture ``[S, S, 3]`` uint8."""
    luminance = Image.fromarray(image).convert("L")

    def shrunk(width: int, height: int) -> np.ndarray:
        small = luminance.resize((width, height), Image.Resampling.BOX)
        return np.asarray(small, np.int32)

    grows = [
        np.diff(shrunk(_SIDE + 1, _SIDE), axis=1) > 0,
        np.diff(shrunk(_SIDE, _SIDE + 1), axis=0) > 0,
    ]
    bits = np.packbits(np.concatenate([each.ravel() for each in grows]))
    digest = hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()
    return Mark(digest, bits.tobytes().hex())


def locate(
    source: sources.Source, ids: Sequence[str], wanted: Sequence[Mark]
) -> Located:
    """Finds pictures in a data set.

    Args:
      source: The data set; those of its pictures that cannot be read do not count.
      ids: Ids of the pictures wanted, for the message.
      wanted: What they are recognised by.

    Returns:
      The pictures, in the order of ``wanted``.

    Raises:
      DataError: A picture is not there.
    """
    found = _read_marks(source)
    exact = {each.sha256: index for index, each in found.items()}
    indices = [exact.get(each.sha256) for each in wanted]
    identical = sum(index is not None for index in indices)
    if identical < len(wanted):
        candidates = np.array(list(found), int)
        prints = np.stack([_bytes(each.fingerprint) for each in found.values()])
        for place, each in enumerate(wanted):
            if indices[place] is None:
                changed = np.bitwise_count(prints ^ _bytes(each.fingerprint)).sum(1)
                if changed.min() <= _DIFFERENT:
                    indices[place] = int(candidates[changed.argmin()])
    missing = [id for id, index in zip(ids, indices, strict=True) if index is None]
    if missing:
        raise DataError(
            f"{source.name}: {len(missing)} of the benchmark's {len(wanted)} pictures "
            f"are not there, the first is {missing[0]}: give the test images that "
            "docs/benchmark.md names, cropped as it says"
        )
    images = [source.read(index)[1] for index in indices if index is not None]
    return Located(source, tuple(ids), np.stack(images), identical)


def _bytes(fingerprint: str) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(fingerprint), np.uint8)


def _read_marks(source: sources.Source) -> dict[int, Mark]:
    """Marks by index of all pictures of a data set that can be read."""
    found: dict[int, Mark] = {}

    def work(indices: range) -> int:
        for index in indices:
            try:
                found[index] = mark(source.read(index)[1])
            except ImageError:
                continue
        return len(indices)

    total = len(source)
    chunks = [range(i, min(i + _CHUNK, total)) for i in range(0, total, _CHUNK)]
    with tqdm(
        total=total, desc="looking for the benchmark", unit="image", disable=None
    ) as bar:
        for done in in_threads(work, chunks):
            bar.update(done)
    if not found:
        raise DataError(f"{source.name}: no picture can be read")
    return {index: found[index] for index in sorted(found)}
