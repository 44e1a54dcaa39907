"""The networks that can be trained: generators, competitors, and encoders."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from experiments.training import curves
from experiments.training.autoencoder import Autoencoder
from experiments.training.trainee import JUDGED, SAMPLES, Judged, Row, to_judge_with
from inpaint_jax import masks
from inpaint_jax.baselines import context_encoder, vae
from inpaint_jax.data import datasets
from inpaint_jax.data.rows import Rows, chunks
from inpaint_jax.networks import inference
from inpaint_jax.networks.variables import Variables
from inpaint_jax.parallel import replicate
from inpaint_jax.pixels import to_float
from inpaint_jax.pretrained import Parts, make_model
from inpaint_jax.quality import generators
from inpaint_jax.search.starts import guesses
from inpaint_jax.training import encoder, gan
from inpaint_jax.training.recipes import AutoencoderConfig, Recipe, TrainConfig
from inpaint_jax.types import Generate, LatentSpace, Model, as_pytree


class Dcgan:
    """The DCGAN; its criterion is the sliced Wasserstein distance of samples."""

    criterion = "swd"
    write_curves = staticmethod(curves.write_curves)

    def __init__(
        self,
        recipe: TrainConfig,
        dataset: datasets.Dataset,
        held_back: datasets.Dataset,
    ):
        del dataset  # Training needs only its images, batch by batch.
        self.recipe = recipe
        self._images = to_judge_with(held_back)
        # A few per cent of the training's own time at the default interval.
        self._work = generators.QualityConfig(
            images=JUDGED, directions=128, pairs=500, reconstructions=64, steps=200
        )
        self._real_ms_ssim: float | None = None

    def init_state(self) -> gan.TrainState:
        return gan.init_state(self.recipe)

    def train_step(
        self, state: gan.TrainState, images: jax.Array, mesh: Mesh | None
    ) -> tuple[gan.TrainState, gan.Metrics]:
        return gan.train_step(state, images, config=self.recipe, mesh=mesh)

    def samples(self, state: gan.TrainState) -> np.ndarray:
        return _generate(state.average, _uniform(self.recipe))

    def judge(self, state: gan.TrainState) -> dict[str, Any]:
        seed = self.recipe.seed
        architecture = self.recipe.architecture
        networks_of = state.average, state.discriminator.variables
        model = make_model(Parts("run", architecture, *networks_of))
        found = generators.measure(model, self._images, config=self._work, seed=seed)
        if self._real_ms_ssim is None:
            self._real_ms_ssim = generators.diversity(
                self._images, self._work.pairs, seed=seed
            )
        return {
            "swd": found.mean_swd,
            **{f"swd_{level}": distance for level, distance in found.swd.items()},
            "ms_ssim": found.ms_ssim,
            "real_ms_ssim": self._real_ms_ssim,
            "ceiling": float(found.ceiling.mean(dtype=np.float64)),
        }

    def say_step(self, row: Row) -> str:
        return f"D {row['discriminator_loss']:.2f}, G {row['generator_loss']:.2f}"

    def say_verdict(self, row: Row) -> str:
        return (
            f"SWD {row['swd']:.1f}, MS-SSIM {row['ms_ssim']:.3f} "
            f"(real: {row['real_ms_ssim']:.3f}), ceiling {row['ceiling']:.2f} dB"
        )


def _mean_color(images: np.ndarray | Rows) -> np.ndarray:
    """The mean of all pixels, ``[3]`` float64; few images are in memory at a time."""
    sums = [chunk.sum((0, 1, 2), dtype=np.float64) for chunk in chunks(images)]
    return np.sum(sums, axis=0) / np.prod(images.shape[:3])


class ContextEncoder:
    """The context encoder; its criterion is the squared error in the holes."""

    criterion = "hole_loss"
    write_curves = staticmethod(curves.write_figures)

    def __init__(
        self,
        recipe: context_encoder.ContextEncoderConfig,
        dataset: datasets.Dataset,
        held_back: datasets.Dataset,
    ):
        self.recipe = recipe
        self._color = to_float(_mean_color(dataset.images))
        self._images = to_judge_with(held_back)
        shown = held_back if len(held_back) else dataset
        self._shown = to_float(shown.images[: SAMPLES // 2])

    def init_state(self) -> context_encoder.ContextEncoderState:
        return context_encoder.init_state(self.recipe, self._color)

    def train_step(
        self,
        state: context_encoder.ContextEncoderState,
        images: jax.Array,
        mesh: Mesh | None,
    ) -> tuple[context_encoder.ContextEncoderState, context_encoder.Metrics]:
        return context_encoder.train_step(state, images, config=self.recipe, mesh=mesh)

    def samples(self, state: context_encoder.ContextEncoderState) -> np.ndarray:
        """Pairs of an image with its hole and the completed image."""
        known = self._masks(len(self._shown))
        masked = np.where(known > 0.5, self._shown, state.color)
        pairs = np.stack([masked, self._fill(state, self._shown, known)], 1)
        return pairs.reshape(-1, *pairs.shape[2:])

    def judge(self, state: context_encoder.ContextEncoderState) -> dict[str, Any]:
        known = self._masks(len(self._images))
        squared = np.square(self._fill(state, self._images, known) - self._images)
        errors = squared.sum((1, 2, 3)) / (3 * (1 - known).sum((1, 2, 3)))
        kinds = list(context_encoder.MASKS)
        of_kind = {kind: errors[i :: len(kinds)] for i, kind in enumerate(kinds)}
        return {
            "hole_loss": float(errors.mean()),
            **{
                f"hole_loss_{kind}": float(found.mean())
                for kind, found in of_kind.items()
                if len(found)
            },
        }

    def say_step(self, row: Row) -> str:
        return f"hole {row['hole_loss']:.4f}, D {row['discriminator_loss']:.2f}"

    def say_verdict(self, row: Row) -> str:
        return f"squared error in the holes {row['hole_loss']:.4f}"

    def _masks(self, count: int) -> np.ndarray:
        """Masks ``[count, S, S, 1]``, the same at each call."""
        side = self.recipe.architecture.image_size
        key = jax.random.key(self.recipe.seed)
        kinds = tuple(context_encoder.MASKS.values())
        drawn = masks.masks_in_turn(kinds, key, count, (side, side))
        return np.asarray(drawn)

    def _fill(
        self,
        state: context_encoder.ContextEncoderState,
        images: np.ndarray,
        known: np.ndarray,
    ) -> np.ndarray:
        fill = context_encoder.context_encoder_fill(state.average, state.color)
        keys = jax.random.split(jax.random.key(0), len(images))  # Not used by the fill.
        return np.asarray(fill(jnp.asarray(images), jnp.asarray(known), keys))


class Vae:
    """The VAE to compare the DCGAN with; its criterion is the loss."""

    criterion = "loss"
    write_curves = staticmethod(curves.write_figures)

    def __init__(
        self,
        recipe: vae.VaeConfig,
        dataset: datasets.Dataset,
        held_back: datasets.Dataset,
    ):
        del dataset
        self.recipe = recipe
        self._images = to_judge_with(held_back)

    def init_state(self) -> vae.VaeState:
        return vae.init_state(self.recipe)

    def train_step(
        self, state: vae.VaeState, images: jax.Array, mesh: Mesh | None
    ) -> tuple[vae.VaeState, vae.Metrics]:
        return vae.train_step(state, images, config=self.recipe, mesh=mesh)

    def samples(self, state: vae.VaeState) -> np.ndarray:
        key = jax.random.key(self.recipe.seed)
        shape = SAMPLES, self.recipe.architecture.latent_size
        return _generate(state.average, jax.random.normal(key, shape, jnp.float32))

    def judge(self, state: vae.VaeState) -> dict[str, Any]:
        found = vae.measure(state, self._images, architecture=self.recipe.architecture)
        return {name: float(value) for name, value in found.items()}

    def say_step(self, row: Row) -> str:
        return f"error {row['squared_error']:.4f}, KL {row['divergence']:.1f}"

    def say_verdict(self, row: Row) -> str:
        return f"error {row['squared_error']:.4f}, KL {row['divergence']:.1f} nats"


class Encoders:
    """Encoders for the search of a model; the last state is used, without evaluation.

    Args:
      recipe: Settings of the training.
      dataset: The images to train on.
      model: The model to search.
      mesh: The devices, the same as for ``train_step``.
    """

    write_curves = staticmethod(curves.write_figures)

    def __init__(
        self,
        recipe: encoder.EncoderConfig,
        dataset: datasets.Dataset,
        model: Model,
        mesh: Mesh | None,
    ):
        self.recipe = recipe
        self._model = model
        generate = as_pytree(model.generate)
        self._generate = generate if mesh is None else replicate(generate, mesh)
        self._shown = to_float(dataset.images[: SAMPLES // 2])

    def init_state(self) -> encoder.EncoderState:
        return encoder.init_state(self.recipe)

    def train_step(
        self, state: encoder.EncoderState, images: jax.Array, mesh: Mesh | None
    ) -> tuple[encoder.EncoderState, encoder.Metrics]:
        return encoder.train_step(
            state,
            images,
            self._generate,
            config=self.recipe,
            latents=self._model.latents,
            mesh=mesh,
        )

    def samples(self, state: encoder.EncoderState) -> np.ndarray:
        """Pairs of an image with its hole and the last encoder's guess."""
        side = self.recipe.architecture.image_size
        key = jax.random.key(self.recipe.seed)
        known = masks.masks_in_turn(encoder.MASKS, key, len(self._shown), (side, side))
        guessed = _guess(
            state.encoders,
            as_pytree(self._model.generate),
            self._shown,
            known,
            space=self._model.latents,
        )
        masked = np.where(known > 0.5, self._shown, -1.0)  # The encoders' input.
        pairs = np.stack([masked, guessed], 1)
        return pairs.reshape(-1, *pairs.shape[2:])

    def say_step(self, row: Row) -> str:
        return f"l1 {row['whole'][-1]:.3f}"


def make(
    recipe: Recipe, dataset: datasets.Dataset, held_back: datasets.Dataset
) -> Judged:
    """The trainee of a recipe."""
    kinds: dict[type, Any] = {
        TrainConfig: Dcgan,
        AutoencoderConfig: Autoencoder,
        context_encoder.ContextEncoderConfig: ContextEncoder,
        vae.VaeConfig: Vae,
    }
    return kinds[type(recipe)](recipe, dataset, held_back)


def _uniform(recipe: TrainConfig) -> jax.Array:
    size = recipe.architecture.latent_size
    return gan.sample_latents(jax.random.key(recipe.seed), SAMPLES, size)


def _generate(variables: Variables, latents: jax.Array) -> np.ndarray:
    return np.asarray(_sample(variables, latents))


@jax.jit
def _sample(variables: Variables, latents: jax.Array) -> jax.Array:
    """Images ``[N, S, S, 3]`` of latents ``[N, L]``."""
    weights = inference.generator_weights(variables)
    return jax.vmap(functools.partial(inference.generate, weights))(latents)


@functools.partial(jax.jit, static_argnames="space")
def _guess(
    encoders: tuple[Variables, ...],
    generate: Generate,
    images: jax.Array,
    known: jax.Array,
    *,
    space: LatentSpace,
) -> jax.Array:
    """The last encoder's guess for images ``[N, S, S, 3]`` with holes."""
    correctors = [
        jax.vmap(
            functools.partial(inference.critic, inference.discriminator_weights(each))
        )
        for each in encoders
    ]
    *_, (_, guessed) = guesses(correctors, jax.vmap(generate), space, images, known)
    return guessed
