"""One batch of an evaluation: read, with its masks drawn; and measured, when filled."""

import concurrent.futures
import re
import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import inpaint_jax
from experiments.filling import report
from inpaint_jax import pixels
from inpaint_jax.data import datasets
from inpaint_jax.data.pictures import ImageError

_pool = concurrent.futures.ThreadPoolExecutor(8)  # Pillow decodes without the lock.


class Batch(NamedTuple):
    """Images of which the first ``len(indices)`` count; the others fill it up.

    Attributes:
      indices: In the data set, of those that count.
      ids: Theirs.
      files: What their completed pictures are to be called.
      originals: ``[B, S, S, 3]`` uint8.
      masks: ``[B, S, S, 1]`` float32, 1 = known, 0 = missing.
      keys: ``[B]`` for all that is drawn beside the masks.
      failed: Rows of those that could not be read.
    """

    indices: list[int]
    ids: list[str]
    files: list[str]
    originals: np.ndarray
    masks: np.ndarray
    keys: jax.Array
    failed: list[dict[str, Any]]


def read(
    source: datasets.Source, indices: Sequence[int], size: int, mask: str, seed: int
) -> Batch:
    """Reads images and fills up with copies, so that every batch is of one size.

    Args:
      source: Where from.
      indices: Which, at most ``size``.
      size: B.
      mask: Name of the mask.
      seed: Of the run.
    """
    kept, ids, originals, failed = [], [], [], []
    for index, found in zip(indices, read_all(source, indices), strict=True):
        if isinstance(found, ImageError):
            failed.append({"index": index, "failed": str(found)})
        else:
            kept.append(index)
            ids.append(found[0])
            originals.append(found[1])
    first = originals[0] if originals else np.zeros((source.size,) * 2 + (3,), np.uint8)
    filling = size - len(kept)
    names = ids + [ids[0] if ids else ""] * filling
    drawn, keys = draw_masks(names, mask, seed, first.shape[:2])
    # What a data set calls its pictures need not tell them apart.
    suffixes = [f"-{i:06d}" if source.ids is None else "" for i in kept]
    return Batch(
        kept,
        ids,
        [_file_name(id + suffix) for id, suffix in zip(ids, suffixes, strict=True)],
        np.stack(originals + [first] * filling),
        drawn,
        keys,
        failed,
    )


def read_all(
    source: datasets.Source, indices: Sequence[int]
) -> list[tuple[str, np.ndarray] | ImageError]:
    """Ids and images ``[S, S, 3]`` uint8, or why one cannot be read; in threads."""

    def attempt(index: int) -> tuple[str, np.ndarray] | ImageError:
        try:
            return source.read(index)
        except ImageError as error:
            return error

    return list(_pool.map(attempt, indices))


def draw_masks(
    ids: Sequence[str], mask: str, seed: int, shape: tuple[int, ...]
) -> tuple[np.ndarray, jax.Array]:
    """The masks of some images, and the keys for all else; functions of their ids."""
    of_image = jnp.stack([inpaint_jax.image_key(seed, id) for id in ids])
    keys = jax.vmap(jax.random.split)(of_image)
    drawn = inpaint_jax.make_masks(mask, keys[:, 0], (shape[0], shape[1]))
    return np.asarray(drawn), keys[:, 1]


def measure(
    batch: Batch,
    found: dict[str, np.ndarray],
    seconds: float,
    keep: Callable[[str, np.ndarray], object],
) -> list[dict[str, Any]]:
    """The rows of a batch that was filled.

    Args:
      batch: What was filled.
      found: Fields ``[B, ...]``: ``image``, in [-1, 1], losses, and ``refused``, why an
        image could not be filled, or nothing.
      seconds: That an image took.
      keep: Called with a file name and the completed picture ``[S, S, 3]`` uint8,
        before the row that names it is there.
    """
    rows = list(batch.failed)
    losses = {
        name: of for name, of in found.items() if name not in ("image", "refused")
    }
    for i, index in enumerate(batch.indices):
        refused = str(found["refused"][i]) if "refused" in found else ""
        if refused:
            reason = f"{batch.ids[i]}: {refused}"
            rows.append({"index": index, "failed": reason, "refused": refused})
            continue
        if not np.isfinite(found["image"][i]).all():
            reason = f"{batch.ids[i]}: the search met numbers that are not finite"
            rows.append({"index": index, "failed": reason})
            continue
        completed = pixels.to_uint8(found["image"][i])
        keep(batch.files[i], completed)
        figures = {
            **{name: of[i] for name, of in losses.items()},
            **report.figures(batch.originals[i], batch.masks[i], completed),
            "seconds": seconds,
        }
        rows.append(
            {
                "id": batch.ids[i],
                "index": index,
                "crc32": fingerprint(batch.originals[i]),
                "file": batch.files[i],
                **report.for_json(figures),
            }
        )
    return rows


def fingerprint(original: np.ndarray) -> int:
    """Tells an image from one that took its place."""
    return zlib.crc32(original.tobytes())


def _file_name(id: str) -> str:
    """``id`` as a flat file name, unique as ids are."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", id)[:100]
    return f"{safe}.png" if safe == id else f"{safe}-{zlib.crc32(id.encode()):08x}.png"
