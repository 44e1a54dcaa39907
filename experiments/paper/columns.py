"""The methods of the comparison, with their settings."""

from typing import NamedTuple

from experiments.filling import methods
from inpaint_jax.configs import SEARCHES


class Column(NamedTuple):
    """A method with its settings.

    Attributes:
      title: Its title in tables and figures.
      method: Its name in ``flags.names.METHODS``.
      search: How the latent space is searched; None: as suits the model.
      blend: Whether what fills the hole is blended; else it is pasted.
      model: Which of a data set's models is searched: ``model`` or ``autoencoder``.
      candidates: Number of searches for each image.
      answer: Which of their results counts, ``best`` or ``mean``.
    """

    title: str
    method: str
    search: methods.Search | None = methods.Search()
    blend: bool = False
    model: str = "model"
    candidates: int = 1
    answer: str = "best"

    @property
    def network(self) -> str | None:
        """The kind of a data set's network that the method needs, if any."""
        if self.method in ("latent", "guess"):
            return self.model
        return self.method if self.method == "context_encoder" else None


_FAST = methods.Search("fast", SEARCHES["fast"])
_SEVERAL = 8


def _of_autoencoder(title: str, candidates: int = 1, answer: str = "best") -> Column:
    title = f"ours, autoencoder{title}"
    return Column(title, "latent", None, True, "autoencoder", candidates, answer)


COLUMNS = {
    "latent": Column("ours", "latent", blend=True),
    "latent_fast": Column("ours, fast search", "latent", _FAST, blend=True),
    "autoencoder": _of_autoencoder(""),
    "autoencoder_best": _of_autoencoder(f", best of {_SEVERAL}", _SEVERAL),
    "autoencoder_mean": _of_autoencoder(f", mean of {_SEVERAL}", _SEVERAL, "mean"),
    "autoencoder_guess": Column(
        "autoencoder, one pass", "guess", blend=True, model="autoencoder"
    ),
    "context_encoder": Column("context encoder", "context_encoder"),
    "ridge": Column("ridge regression", "ridge"),
    "gaussian": Column("Gaussian sample", "gaussian"),
    "tv": Column("total variation", "tv"),
    "low_rank": Column("low rank", "low_rank"),
    "patch_match": Column("PatchMatch", "patch_match"),
    "nearest": Column("nearest neighbour", "nearest"),
    "nearest_blended": Column("nearest, blended", "nearest", blend=True),
    "mean": Column("mean image, blended", "mean"),
    "harmonic": Column("harmonic", "harmonic"),
    "biharmonic": Column("biharmonic", "biharmonic"),
    "telea": Column("Telea", "telea"),
    "navier_stokes": Column("Navier-Stokes", "navier_stokes"),
}
"""Columns by name, in the order of the table."""

RESERVED = frozenset({*COLUMNS, *(column.title for column in COLUMNS.values())})
"""Names that no method made elsewhere may have in the table."""
