"""The flags that name a data set, for every program that takes one."""

from absl import flags

from inpaint_jax import data

DATASET = flags.DEFINE_string(
    "dataset",
    None,
    "celeb_a, svhn_cropped or cars196 (through tensorflow-datasets), or images:PATH "
    "with PATH a folder, a zip or a glob of them.",
    required=True,
)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Where tensorflow-datasets keeps it.")


def load(
    name: str, split: str, *, size: int, crop: str | None, limit: int | None = None
) -> data.Dataset:
    """``data.load`` from ``--data_dir``, with a progress bar.

    Bounding boxes come with a data set; of pictures, each is its own box.
    """
    if crop == "box" and name.startswith("images:"):
        crop = "none"
    return data.load(
        name,
        split=split,
        data_dir=_DATA_DIR.value,
        crop=crop,
        size=size,
        limit=limit,
        progress=True,
    )
