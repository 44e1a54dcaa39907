"""Pictures in parquet shards, as Hugging Face stores its data sets."""

import collections
import glob
import os
import re
from collections.abc import Collection, Iterator
from typing import Any

from inpaint_jax.data.archives import Original, Task, digest, mark_of
from inpaint_jax.data.files import DataError, ImageError
from inpaint_jax.data.opening import Encoded

_SUFFIX = ".parquet"
_BATCH = 64  # Pictures that are in memory at once, read from a shard.
_MOST_BYTES = 32 << 20
# As in train-00000-of-00002, or with a checksum behind it.
_SHARD = re.compile(r"(.+)-\d+-of-\d+(?:-[0-9a-f]+)?")


def find_shards(path: str) -> list[str]:
    """The parquet files at a path, in a folder or its subfolders, or of a pattern."""
    path = os.path.expanduser(path)
    if os.path.isdir(path):
        path = os.path.join(glob.escape(path), "**", f"*{_SUFFIX}")
    elif os.path.isfile(path):
        return [path] if path.endswith(_SUFFIX) else []
    matches = glob.glob(path, recursive=True)
    return sorted(match for match in matches if match.endswith(_SUFFIX))


def open_shards(shards: list[str]) -> Original:
    """Opens shards with a column of images; no picture is read.

    The column is ``image``, or the only one that holds bytes, itself or in a field
    ``bytes``. A picture's id is the shard's name and the number of its row.

    Args:
      shards: Parquet files, at least one.

    Returns:
      All pictures of all shards, in their order.

    Raises:
      DataError: The extra ``parquet`` is not installed, a shard is damaged or has no
        such column, two shards have one name, the shards are of several splits, or they
        have no rows.
    """
    splits = {x[1] for x in map(_SHARD.fullmatch, map(_name, shards)) if x}
    folder = os.path.dirname(shards[0]) or "."
    if len(splits) > 1:
        one = "train" if "train" in splits else min(splits)
        raise DataError(
            f"{folder} has shards of {', '.join(sorted(splits))}: give those of one, "
            f"as images:{folder}/{one}-*{_SUFFIX}"
        )
    twice = [x for x, n in collections.Counter(map(_name, shards)).items() if n > 1]
    if twice:
        raise DataError(
            f"there are several shards {twice[0]}{_SUFFIX}: give those of one folder, "
            f"as images:{folder}"
        )
    columns, ids = [], list[str]()
    for shard in shards:
        file = _open(shard)
        columns.append(_column(shard, file.schema_arrow))
        ids += [f"{_name(shard)}-{row:06d}" for row in range(file.metadata.num_rows)]
    if not ids:
        raise DataError(f"{shards[0]}: no pictures there")

    def tasks(done: Collection[int]) -> Iterator[Task]:
        index = 0
        for shard, column in zip(shards, columns, strict=True):
            for data in _pictures(shard, column):
                if index not in done:
                    yield Task(index, _encoded(ids[index], data))
                index += 1

    fingerprint = digest(mark_of(shard) for shard in shards)
    return Original(tuple(ids), fingerprint, tasks, folder)


def _name(shard: str) -> str:
    return os.path.basename(shard).removesuffix(_SUFFIX)


def _open(shard: str) -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(
            f"{shard} needs pyarrow: pip install 'inpaint_jax[parquet]'"
        ) from error
    try:
        return pyarrow.parquet.ParquetFile(shard)
    except Exception as error:
        raise _damaged(shard, error) from error


def _damaged(shard: str, error: Exception) -> DataError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return DataError(f"{shard}: damaged ({reason}): download it again")


def _column(shard: str, schema: Any) -> str:
    """The path of the column of images."""
    import pyarrow as pa

    found = {}
    for field in schema:
        kind = field.type
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            found[field.name] = field.name
        elif pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
            found[field.name] = f"{field.name}.bytes"
    if "image" in found:
        return found["image"]
    if len(found) != 1:
        raise DataError(
            f"{shard}: its columns {', '.join(schema.names)} hold "
            f"{'several kinds of' if found else 'no'} images: call the column image"
        )
    return next(iter(found.values()))


def _pictures(shard: str, column: str) -> Iterator[bytes | None]:
    """The content of each row's picture, a few rows in memory at a time."""
    try:
        with _open(shard) as file:
            for batch in file.iter_batches(_BATCH, columns=[column]):
                values = batch.column(0)
                if column.endswith(".bytes"):
                    values = values.field("bytes")
                for value in values:
                    yield value.as_py()
    except DataError:
        raise
    except Exception as error:
        raise _damaged(shard, error) from error


def _encoded(id: str, data: bytes | None) -> Encoded | ImageError:
    if data is None:
        return ImageError(f"{id}: there is no picture in its row")
    if len(data) > _MOST_BYTES:
        return ImageError(f"{id}: {len(data)} bytes are more than {_MOST_BYTES}")
    return Encoded(id, data)
