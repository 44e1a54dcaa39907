"""The path of one search on the manifold of generated images (Figure 3b)."""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from experiments.runtime import program
from experiments.training import curves
from inpaint_jax import SearchConfig
from inpaint_jax.losses import importance_weights
from inpaint_jax.pixels import to_uint8
from inpaint_jax.search.batches import search_batch
from inpaint_jax.types import Model, Seen

_SHOWN = 9  # Points whose image is shown below.
_THUMBNAILS = 40
_POINTS = 40  # Points of the path; more of them are early.


class Way(NamedTuple):
    """The path of a search, and random images around it.

    Attributes:
      steps: ``[K]`` number of steps done.
      images: ``[K, S, S, 3]`` in [-1, 1], G(z) after these steps.
      around: ``[N, S, S, 3]`` in [-1, 1], G of random latents.
    """

    steps: np.ndarray
    images: np.ndarray
    around: np.ndarray


def follow(
    model: Model,
    image: np.ndarray,
    mask: np.ndarray,
    key: jax.Array,
    *,
    steps: int = 1500,
    samples: int = 1000,
) -> Way:
    """Runs the paper's search and records the latent along it.

    Args:
      model: The model to search.
      image: ``[S, S, 3]`` in [-1, 1].
      mask: ``[S, S, 1]``, 1 = known, 0 = missing.
      key: PRNG key, consumed.
      steps: Number of steps of the search.
      samples: Number of random images.
    """
    key_search, key_samples = jax.random.split(key)
    config = SearchConfig(steps=steps)
    known = jnp.asarray(mask)[None]
    weights = importance_weights(known[0], config.window)[None]
    seen = Seen(jnp.asarray(image)[None], known, weights)
    found, _ = search_batch(
        model, seen, key_search[None], config=config, keep_path=True
    )
    assert found.path is not None
    spaced = np.geomspace(1, steps, _POINTS).round().astype(int)
    stops = np.unique([0, *spaced])
    generate = jax.jit(jax.vmap(model.generate))
    around = jax.vmap(model.latents.sample)(jax.random.split(key_samples, samples))
    return Way(
        stops,
        np.asarray(generate(found.path[0, stops])),
        np.asarray(generate(around)),
    )


def draw(path: Path, way: Way, title: str) -> None:
    """Writes a PNG: a t-SNE of the path among random images, and images along it.

    Args:
      path: The file.
      way: The result of ``follow``.
      title: Name of the image that was filled.

    Raises:
      program.UsageError: scikit-learn is not installed.
    """
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise program.UsageError(
            "this figure needs scikit-learn: pip install 'inpaint_jax[figures]'"
        ) from error
    together = np.concatenate([way.images, way.around])
    flat = together.reshape(len(together), -1)
    points = TSNE(init="pca", random_state=0).fit_transform(flat)
    passed, around = points[: len(way.images)], points[len(way.images) :]

    figure = Figure(figsize=(10, 8.5), layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(6, 1)).flat
    axes = above.subplots()
    axes.scatter(*around.T, s=6, color="lightgrey", label="G of random latents")
    axes.plot(*passed.T, color="tab:blue", linewidth=1, label="the search")
    axes.scatter(*passed.T, s=8, c=way.steps, cmap="viridis", zorder=3)
    for name, point, color in (
        ("z(0)", passed[0], "tab:red"),
        ("solution", passed[-1], "k"),
    ):
        axes.annotate(name, point, (8, 8), textcoords="offset points", color=color)
    for i in np.linspace(0, len(around) - 1, _THUMBNAILS).astype(int):
        thumbnail = OffsetImage(to_uint8(way.around[i]), zoom=0.45, alpha=0.6)
        axes.add_artist(AnnotationBbox(thumbnail, around[i], frameon=False))
    axes.set_title(f"{title}: the path of z, t-SNE of the generated images")
    axes.legend(loc="upper right")
    axes.set_axis_off()
    shown = np.linspace(0, len(way.steps) - 1, _SHOWN).round().astype(int)
    for cell, i in zip(below.subplots(1, _SHOWN), shown, strict=True):
        cell.imshow(to_uint8(way.images[i]))
        cell.set_title(f"step {way.steps[i]}", fontsize=9)
        cell.set_axis_off()
    curves.save(figure, path)
