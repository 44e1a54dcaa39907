"""Finding and reading picture and mask files: the functions that programs use."""

from inpaint_jax.data.decoding import PictureLike, read_picture
from inpaint_jax.data.files import (
    ImageError,
    Listing,
    Picture,
    Skipped,
    find_pictures,
    list_pictures,
)
from inpaint_jax.data.mask_files import find_masks, own_mask, without_masks

__all__ = [
    "ImageError",
    "Listing",
    "Picture",
    "PictureLike",
    "Skipped",
    "find_masks",
    "find_pictures",
    "list_pictures",
    "own_mask",
    "read_picture",
    "without_masks",
]
