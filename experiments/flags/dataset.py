"""The flags that name data sets, and reading of these data sets."""

from absl import flags

from experiments.runtime import program
from inpaint_jax.data import datasets

_DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "Folder or bucket (gs://...) in which tensorflow-datasets has prepared celeb_a, "
    "svhn_cropped or cars196 (tfds build); images:PATH needs none. Default: "
    "~/tensorflow_datasets.",
)


def define_dataset() -> flags.FlagHolder[str]:
    """The flag ``--dataset`` for a program that requires it."""
    return flags.DEFINE_string(
        "dataset",
        None,
        "celeb_a, svhn_cropped or cars196 (through tensorflow-datasets), or "
        "images:PATH with PATH a folder, a zip or a glob of them.",
        required=True,
    )


def load(
    name: str, split: str, *, size: int, crop: str | None, limit: int | None = None
) -> datasets.Dataset:
    """Reads a whole data set from ``--data_dir``, with a progress bar."""
    return read(open_source(name, split, size=size, crop=crop, limit=limit))


def read(source: datasets.Source) -> datasets.Dataset:
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
) -> datasets.Source:
    """Opens a data set from ``--data_dir`` (``datasets.open_source``).

    Only a data set has bounding boxes; for picture files the box is the whole frame.
    """
    if crop == "box" and name.startswith("images:"):
        crop = "none"
    return datasets.open_source(
        name,
        split=split,
        data_dir=_DATA_DIR.value,
        crop=crop,
        size=size,
        limit=limit,
    )
