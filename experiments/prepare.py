"""Decodes a data set ahead of time, so that the first training starts at once.

    python -m experiments.prepare --dataset=celeb_a --data_dir=downloads

Reads the data set's own files where they lie, packed or unpacked, and keeps the decoded
pictures in --cache_dir, from where every program takes them that is given the same
--data_dir. Says how many pictures each split has beside how many were published. A run
that was stopped goes on where it was.
"""

import os

from absl import flags

from experiments.flags import dataset as dataset_flags
from experiments.runtime import compilation_cache, program
from inpaint_jax.data import originals, sources

_DATASET = dataset_flags.define_dataset()
for _module in (compilation_cache, dataset_flags):
    flags.adopt_module_key_flags(_module)

_SPLITS = flags.DEFINE_list(
    "splits",
    None,
    "Splits to decode. Default: all that are there.",
)
_CROP = flags.DEFINE_string(
    "crop",
    None,
    "center (the largest square), none (the whole frame), box (the car's) or a number "
    "of pixels (a centre square). Default: the paper's crop for the data set.",
)
_SIZE = flags.DEFINE_integer(
    "image_size", 64, "Side of the images that are kept.", lower_bound=1
)


def main() -> int:
    name = _DATASET.value
    published = originals.PUBLISHED.get(name, {"train": 0})
    missing: list[str] = []
    for split in _SPLITS.value or published:
        try:
            source = dataset_flags.open_source(
                name, split, size=_SIZE.value, crop=_CROP.value
            )
        except originals.MissingError as error:
            missing.append(str(error))
            # What was not asked for may be missing.
            if _SPLITS.value or len(missing) == len(published):
                raise
            continue
        _report(source, published.get(split, 0))
    for reason in missing:
        program.warn(reason)
    return 0


def _report(source: sources.Source, published: int) -> None:
    if source.cached is None:
        raise program.UsageError(
            f"{source.name} is read as it is: only archives are decoded ahead of time"
        )
    dataset = dataset_flags.read(source)
    place = source.cached.path
    size = sum(entry.stat().st_size for entry in os.scandir(place))
    beside = f" (published: {published:,})" if published else ""
    print(
        f"{source.split}: {len(dataset):,} pictures{beside}, "
        f"{len(dataset.failed):,} left out, {size / 1e6:,.1f} MB in {place}"
    )


if __name__ == "__main__":
    program.run(main)
