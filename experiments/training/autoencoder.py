"""The autoencoder as a trainee."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

import inpaint_jax
from experiments.runtime import program
from experiments.training import curves
from experiments.training.trainee import SAMPLES, Row, to_judge_with
from inpaint_jax import masks, metrics, pixels
from inpaint_jax.configs import SEARCHES
from inpaint_jax.data import datasets
from inpaint_jax.networks.autoencoder import coarse_side
from inpaint_jax.parallel import replicate
from inpaint_jax.pretrained import make_model, parts_of_run
from inpaint_jax.pretrained.runs import Run
from inpaint_jax.quality import generators, perceptual, sets
from inpaint_jax.search import with_metric
from inpaint_jax.training import autoencoder
from inpaint_jax.training.autoencoder import AutoencoderState, Metrics
from inpaint_jax.training.principal import principal_components
from inpaint_jax.training.recipes import AutoencoderConfig
from inpaint_jax.types import Model

_MASKS = ("center", "half", "random80", "pattern")
_COMPLETED = 128
"""Greatest number of held-back images that are completed under each mask."""
_RECONSTRUCTION = 60
"""Steps of the search for the best reconstruction."""
_DIRECTIONS = 128
"""Projections of the sliced Wasserstein distance for each level."""


class Autoencoder:
    """The autoencoder; its criterion is LPIPS of held-back images, completed."""

    criterion = "lpips"
    write_curves = staticmethod(curves.write_figures)

    def __init__(
        self,
        recipe: AutoencoderConfig,
        dataset: datasets.Dataset,
        held_back: datasets.Dataset,
    ):
        self.recipe = recipe
        with program.usage_errors():
            self._lpips = perceptual.load_lpips()
        self._dataset = dataset
        self._images = to_judge_with(held_back)
        shown = held_back if len(held_back) else dataset
        self._shown = pixels.to_float(shown.images[: SAMPLES // 4])

    def init_state(self) -> AutoencoderState:
        size = self.recipe.architecture
        with program.usage_errors():
            principal = principal_components(
                self._dataset.images,
                size.latent_size,
                coarse_side(size),
                flip=self.recipe.flip,
            )
        return autoencoder.init_state(self.recipe, principal)

    def train_step(
        self, state: AutoencoderState, images: jax.Array, mesh: Mesh | None
    ) -> tuple[AutoencoderState, Metrics]:
        if mesh is not None:  # The same arrays after the first step.
            self._lpips = replicate(self._lpips, mesh)
        return autoencoder.train_step(
            state, images, self._lpips, config=self.recipe, mesh=mesh
        )

    def samples(self, state: AutoencoderState) -> np.ndarray:
        """Samples; then pictures with holes, each before it is completed."""
        model, count = self._model(state), len(self._shown)
        drawn = generators.sample(model, SAMPLES // 2, seed=self.recipe.seed)
        known = self._masks(_MASKS, count)
        found = self._complete(model, self._shown, known)
        pairs = np.stack([np.where(known > 0.5, self._shown, 0.0), found], 1)
        return np.concatenate([drawn, pairs.reshape(-1, *pairs.shape[2:])])

    def judge(self, state: AutoencoderState) -> dict[str, Any]:
        """LPIPS and PSNR of completed images, SWD of samples, and the guess's PSNR."""
        model, images = self._model(state), self._images[:_COMPLETED]
        originals = pixels.to_uint8(images)
        row: dict[str, Any] = {"lpips": 0.0}
        for kind in _MASKS:
            found = self._complete(model, images, self._masks((kind,), len(images)))
            written = pixels.to_uint8(found)
            distances = perceptual.distances(written, originals)
            lpips = float(distances.mean(dtype=np.float64))
            psnr = _psnr(pixels.to_float(written), images)
            row |= {f"lpips_{kind}": lpips, f"psnr_{kind}": psnr}
            row["lpips"] += lpips / len(_MASKS)
        whole = generators.reconstruct(model, images, steps=_RECONSTRUCTION)
        drawn = generators.sample(model, len(self._images), seed=self.recipe.seed)
        levels = sets.sliced_wasserstein(
            drawn, self._images, directions=_DIRECTIONS, seed=self.recipe.seed
        )
        swd = sum(levels.values()) / len(levels)
        return {**row, "reconstruction": _psnr(whole, images), "swd": swd}

    def say_step(self, row: Row) -> str:
        return (
            f"error {row['squared_error']:.4f}, KL {row['divergence']:.0f}, "
            f"LPIPS {row['completion_perceptual']:.3f}, lead {row['lead']:.1f}"
        )

    def say_verdict(self, row: Row) -> str:
        completed = [
            f"{kind} {row[f'psnr_{kind}']:.2f} dB {row[f'lpips_{kind}']:.4f}"
            for kind in _MASKS
        ]
        return (
            f"completed (PSNR, LPIPS): {', '.join(completed)}; reconstruction "
            f"{row['reconstruction']:.2f} dB, SWD {row['swd']:.1f}"
        )

    def _model(self, state: AutoencoderState) -> Model:
        run = Run("autoencoder", {}, self.recipe.architecture, state)
        return with_metric(make_model(parts_of_run(run, "run", {})))

    def _masks(self, kinds: tuple[str, ...], count: int) -> np.ndarray:
        """Masks ``[count, S, S, 1]``, the same at each call."""
        side = self.recipe.architecture.image_size
        key = jax.random.key(self.recipe.seed)
        functions = tuple(masks.mask_function(kind) for kind in kinds)
        return np.asarray(masks.masks_in_turn(functions, key, count, (side, side)))

    def _complete(
        self, model: Model, images: np.ndarray, known: np.ndarray
    ) -> np.ndarray:
        """The completed images ``[N, S, S, 3]`` of the search of such models."""
        key, found = jax.random.key(self.recipe.seed), []
        for start in range(0, len(images), generators.GROUP):
            group = slice(start, start + generators.GROUP)
            solution = inpaint_jax.inpaint(
                model,
                images[group],
                known[group],
                key,
                config=SEARCHES["map"],
                guided=True,
            )
            found.append(solution.image)
        return np.concatenate(found)


def _psnr(a: np.ndarray, b: np.ndarray) -> float:
    each = jax.vmap(metrics.psnr)(jnp.asarray(a), jnp.asarray(b))
    return float(np.asarray(each).mean(dtype=np.float64))
