"""The flags that name data sets, and reading of these data sets."""

from absl import flags

from experiments.runtime import program
from inpaint_jax.data import datasets, sources

_DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "Folder with the data set's own files (img_align_celeba.zip, train_32x32.mat, "
    "cars_train.tgz, ..., packed or unpacked); or folder or bucket (gs://...) in which "
    "tensorflow-datasets has prepared it. images:PATH needs none. Default: "
    "$TFDS_DATA_DIR, or ~/tensorflow_datasets.",
)
_CACHE_DIR = flags.DEFINE_string(
    "cache_dir",
    None,
    "Folder for what is decoded of archives, which is done once. Default: "
    "inpaint_jax/data in $XDG_CACHE_HOME or ~/.cache.",
)


def define_dataset() -> flags.FlagHolder[str]:
    """The flag ``--dataset`` for a program that requires it."""
    return flags.DEFINE_string(
        "dataset",
        None,
        "celeb_a, svhn_cropped or cars196 (from --data_dir), or images:PATH with PATH "
        "a folder, a zip or a glob of them, or a folder of parquet shards.",
        required=True,
    )


def load(
    name: str, split: str, *, size: int, crop: str | None, limit: int | None = None
) -> datasets.Dataset:
    """Reads a whole data set from ``--data_dir``, with a progress bar."""
    return read(open_source(name, split, size=size, crop=crop, limit=limit))


def read(source: sources.Source) -> datasets.Dataset:
    """Reads a data set with a progress bar; says what cannot be read."""
    dataset = datasets.read(source, progress=True)
    if dataset.failed:
        program.warn(
            f"{source.name}: {len(dataset.failed)} of {len(source)} pictures could not "
            f"be read and are left out; the first: {dataset.failed[0]}"
        )
    return dataset


def open_source(
    name: str, split: str, *, size: int, crop: str | None, limit: int | None = None
) -> sources.Source:
    """Opens a data set from ``--data_dir`` (``sources.open_source``).

    Says what is unusual about its files. Archives are decoded with a progress bar.
    Only a data set has bounding boxes; for picture files the box is the whole frame.
    """
    if crop == "box" and name.startswith("images:"):
        crop = "none"
    source = sources.open_source(
        name,
        split=split,
        data_dir=_DATA_DIR.value,
        crop=crop,
        size=size,
        limit=limit,
        cache_dir=_CACHE_DIR.value,
        progress=True,
    )
    for note in source.notes:
        program.warn(note)
    return source
