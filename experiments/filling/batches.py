"""One batch: reading of pictures and masks, and measuring of the completed ones."""

import concurrent.futures
import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

import inpaint_jax
from experiments.filling import measures
from experiments.filling.methods import Found
from experiments.filling.problems import Problem, Problems
from inpaint_jax import answers, pixels
from inpaint_jax.data.pictures import ImageError
from inpaint_jax.names import checksum

_Read = TypeVar("_Read")

# Threads help, because Pillow releases the interpreter's lock while it decodes.
_pool = concurrent.futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1))


class Batch(NamedTuple):
    """A batch of images. The first ``len(problems)`` count; copies pad it.

    Attributes:
      indices: Indices in the run of the images that count.
      problems: The problems of the images that count.
      images: ``[B, S, S, 3]`` uint8.
      masks: ``[B, S, S, 1]`` float32, 1 = known, 0 = missing.
      keys: ``[B]`` PRNG keys of the method.
      failed: Index and reason of each picture that could not be read.
    """

    indices: list[int]
    problems: list[Problem]
    images: np.ndarray
    masks: np.ndarray
    keys: jax.Array
    failed: list[tuple[int, str]]


@dataclasses.dataclass(frozen=True)
class Filled:
    """A picture whose hole was filled.

    Attributes:
      index: Index of the picture in the run.
      problem: The picture as it was read.
      mask: ``[S, S, 1]`` float32, 1 = known, 0 = missing.
      row: Id, file and figures as JSON values.
      completed: ``[S, S, 3]`` uint8.
      generated: ``[S, S, 3]`` uint8, the generated image of the best candidate, if the
        method has one.
      candidates: ``[S, S, 3]`` uint8 each, the best first, if there are several.
      spread: ``[S, S, 1]`` float32, how far they are from each other, in levels of 8
        bits, if there are several.
      film: ``[S, S, 3]`` uint8 each, how the best came about, if that was wanted.
    """

    index: int
    problem: Problem
    mask: np.ndarray
    row: dict[str, Any]
    completed: np.ndarray
    generated: np.ndarray | None
    candidates: Sequence[np.ndarray] = ()
    spread: np.ndarray | None = None
    film: Sequence[np.ndarray] = ()


@dataclasses.dataclass(frozen=True)
class Failed:
    """A picture whose hole was not filled.

    Attributes:
      index: Index of the picture in the run.
      reason: Reason of the failure, with the picture's name.
      refused: Why the method cannot fill such a hole; empty for other failures.
    """

    index: int
    reason: str
    refused: str = ""


Result = Filled | Failed


def read(problems: Problems, indices: Sequence[int], size: int, seed: int) -> Batch:
    """Reads pictures and pads with copies, so that every batch has the same size.

    Args:
      problems: The pictures of the run.
      indices: Indices of the pictures to read, at most ``size``.
      size: Size of the batch, B.
      seed: Seed of the run.
    """
    kept, read, failed = [], [], []
    for index, found in zip(indices, read_all(problems.read, indices), strict=True):
        if isinstance(found, ImageError):
            failed.append((index, str(found)))
        else:
            kept.append(index)
            read.append(found)
    nothing = np.zeros((problems.size, problems.size, 3), np.uint8)
    filled = read + [read[0] if read else Problem("", "", "", nothing, None, None)] * (
        size - len(read)
    )
    names = [problem.name for problem in filled]
    known = np.ones((problems.size, problems.size, 1), np.float32)
    masks = np.stack([known if p.mask is None else p.mask for p in filled])
    if problems.mask is None:
        keys = keys_of(names, seed)
    else:
        drawn, keys = draw_masks(names, problems.mask, seed, nothing.shape[:2])
        masks = masks * drawn
    images = np.stack([problem.image for problem in filled])
    return Batch(kept, read, images, masks, keys, failed)


def read_all(
    read: Callable[[int], _Read], indices: Sequence[int]
) -> list[_Read | ImageError]:
    """The picture, or the error, for each index; read in threads."""

    def attempt(index: int) -> _Read | ImageError:
        try:
            return read(index)
        except ImageError as error:
            return error

    return list(_pool.map(attempt, indices))


def draw_masks(
    names: Sequence[str], mask: str, seed: int, shape: tuple[int, ...]
) -> tuple[np.ndarray, jax.Array]:
    """The masks of images and the keys of the method, from their names and the seed."""
    of_masks, of_method = _keys(names, seed)
    drawn = inpaint_jax.make_masks(mask, of_masks, (shape[0], shape[1]))
    return np.asarray(drawn), of_method


def keys_of(names: Sequence[str], seed: int) -> jax.Array:
    """The keys ``[N]`` of the method, for images of these names under given masks."""
    return _keys(names, seed)[1]


def _keys(names: Sequence[str], seed: int) -> tuple[jax.Array, jax.Array]:
    """``[N]`` keys each: of each image's mask, and of the method."""
    ids = np.array([checksum(name) for name in names], np.uint32)
    return _split_keys(np.uint32(seed), ids)


@jax.jit
def _split_keys(seed: jax.Array, ids: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Two keys each of images (``inpaint_jax.image_key``), by checksums of names."""
    of_image = jax.vmap(functools.partial(jax.random.fold_in, jax.random.key(seed)))
    keys = jax.vmap(jax.random.split)(of_image(ids))
    return keys[:, 0], keys[:, 1]


def measure(batch: Batch, found: Found | None, seconds: float, by: str) -> list[Result]:
    """The results for a batch, in the order of the indices.

    Args:
      batch: The batch.
      found: Output of the method; None: no picture could be read.
      seconds: Seconds per image.
      by: Name of the method.
    """
    results: list[Result] = [Failed(*each) for each in batch.failed]
    if found is not None:
        for i in range(len(batch.problems)):
            results.append(_measure(batch, i, found, seconds, by))
    return sorted(results, key=lambda result: result.index)


def _measure(batch: Batch, i: int, found: Found, seconds: float, by: str) -> Result:
    """The result for image ``i`` of a batch."""
    index, problem, mask = batch.indices[i], batch.problems[i], batch.masks[i]
    refused = found.refused[i] if found.refused is not None else ""
    if refused:
        return Failed(index, f"{problem.id}: {refused}", refused)
    if not np.isfinite(found.images[i]).all():
        reason = f"{problem.id}: {by} met numbers that are not finite"
        return Failed(index, reason)
    completed = pixels.to_uint8(found.images[i])
    generated = None
    if found.generated is not None:
        generated = pixels.to_uint8(np.nan_to_num(found.generated[i]))
    row: dict[str, Any] = {
        "id": problem.id,
        "file": problem.file,
        **{name: of[i] for name, of in found.figures.items()},
        **measures.measure(problem.original, mask, completed),
        "seconds": seconds,
    }
    film: Sequence[np.ndarray] = ()
    if found.film is not None:
        film = [pixels.to_uint8(image) for image in np.nan_to_num(found.film[i])]
    candidates, spread = [], None
    if found.several is not None:
        images, totals, seeds = (of[i] for of in found.several)
        finite = np.isfinite(images).all((1, 2, 3))
        candidates = [pixels.to_uint8(image) for image in images[finite]]
        spread = np.asarray(answers.spread(images[finite])) * np.float32(127.5)
        row["candidate_losses"] = totals[finite]
        row["candidate_seeds"] = seeds[finite]
        row |= measures.measure_several(
            problem.original, mask, completed, candidates, spread
        )
    row = measures.for_json(row)
    return Filled(
        index, problem, mask, row, completed, generated, candidates, spread, film
    )
