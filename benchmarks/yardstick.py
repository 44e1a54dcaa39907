"""How fast each way to search gets to the paper's answer, and beyond it.

    python -m benchmarks.yardstick --dataset=images:celeba64/validation.zip
    python -m benchmarks.yardstick --dataset=celeb_a --split=validation --limit=128

The paper's answer is the mean total loss (eq. 2) where its own search of 1500 steps
ends; the speed-up of another is the ratio of the times in which both get there. All
search the same images in one batch, in one process, one after the other; compilation
is not counted. Leaves in the output folder yardstick.json, with the loss and the PSNR
in the hole against seconds and network passes for every strategy and mask, and
yardstick.png, which draws them.
"""

import dataclasses
import functools
import io
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from matplotlib.figure import Figure
from tqdm import tqdm

import inpaint_jax
from benchmarks import contenders, timing
from experiments import dataset_flags, program
from inpaint_jax import curvature, search
from inpaint_jax.completion import fill_holes, image_key
from inpaint_jax.images import to_float
from inpaint_jax.losses import importance_weights
from inpaint_jax.masks import MASK_NAMES
from inpaint_jax.metrics import psnr_hole
from inpaint_jax.types import Losses, Model

flags.adopt_module_key_flags(dataset_flags)

_MODEL = flags.DEFINE_string("model", "celeba64", "As for experiments.inpaint.")
_SPLIT = flags.DEFINE_string("split", "validation", "Split of the data set.")
_LIMIT = flags.DEFINE_integer("limit", 32, "Images.", lower_bound=1)
_MASKS = flags.DEFINE_list("masks", list(MASK_NAMES[:4]), "Names of masks.")
_STRATEGIES = flags.DEFINE_list(
    "strategies", ["paper", "fast"], f"Some of {', '.join(contenders.CONTENDERS)}."
)
_OUTPUT = flags.DEFINE_string("output", "outputs/yardstick", "Where results go.")
_SEED = flags.DEFINE_integer("seed", 0, "Of masks and searches.", lower_bound=0)

_LOOKS = (0, 1, 2, 5, 10, 20, 35, 50, 75, 100, 150, 200, 300, 500, 700, 1000, 1500)
"""Steps after which the clock is stopped and a search is looked at."""


@dataclasses.dataclass(frozen=True)
class Point:
    """Where a search was at one look; means over the images.

    Attributes:
      steps: Done.
      seconds: Taken, for the whole batch.
      passes: Through a network, forward or backward, an image.
      loss: Total loss of the best latent so far.
      loss_sem: Standard error of that mean.
      psnr_hole: PSNR of the completed image in its hole, dB.
    """

    steps: int
    seconds: float
    passes: float
    loss: float
    loss_sem: float
    psnr_hole: float


def main() -> int:
    # --- What is asked ----------------------------------------------------------------
    names = ["paper", *(name for name in _STRATEGIES.value if name != "paper")]
    for name in names:
        if name not in contenders.CONTENDERS:
            known = ", ".join(contenders.CONTENDERS)
            raise program.UsageError(f"--strategies={name}: give some of {known}")
    model = inpaint_jax.load_model(_MODEL.value)
    dataset = dataset_flags.load(
        dataset_flags.DATASET.value,
        _SPLIT.value,
        size=model.image_size,
        crop=model.metadata.get("crop"),
        limit=_LIMIT.value,
    )
    if model.metric is None:
        metric = curvature.regional_metric(
            model.generate, jax.random.key(0), latent_size=model.latent_size
        )
        model = dataclasses.replace(model, metric=metric)
    output = program.make_folder(Path(_OUTPUT.value))
    images = jnp.asarray(to_float(dataset.images))
    keys = [image_key(_SEED.value, each) for each in dataset.ids]
    mask_keys, search_keys = jax.vmap(jax.random.split, out_axes=1)(jnp.stack(keys))

    # --- Measure ----------------------------------------------------------------------
    curves: dict[str, dict[str, list[Point]]] = {}
    with tqdm(total=len(_MASKS.value) * len(names), disable=None) as bar:
        for mask in _MASKS.value:
            size = (model.image_size, model.image_size)
            masks = inpaint_jax.make_masks(mask, mask_keys, size)
            problem = Problem(model, images, masks, search_keys)
            curves[mask] = {}
            for name in names:
                bar.set_description(f"{mask}, {name}")
                curves[mask][name] = problem.measure(contenders.CONTENDERS[name])
                bar.update()

    # --- Write ------------------------------------------------------------------------
    summary = {mask: _summary(of_mask) for mask, of_mask in curves.items()}
    result = {
        **timing.machine(),
        "model": _MODEL.value,
        "dataset": dataset_flags.DATASET.value,
        "split": _SPLIT.value,
        "images": len(dataset),
        "seed": _SEED.value,
        "summary": summary,
        "curves": jax.tree.map(
            dataclasses.asdict, curves, is_leaf=lambda x: isinstance(x, Point)
        ),
    }
    program.write_json(output / "yardstick.json", result)
    program.write_bytes(output / "yardstick.png", _draw(curves))
    for mask, rows in summary.items():
        for name, row in rows.items():
            print(json.dumps({"mask": mask, "strategy": name, **row}))
    print(f"look at {output / 'yardstick.png'}")
    return 0


class Problem:
    """A batch of images with one kind of hole, for every strategy alike."""

    def __init__(
        self, model: Model, images: jax.Array, masks: jax.Array, keys: jax.Array
    ) -> None:
        self._model, self._keys = model, keys
        self._objectives = search.Objective(
            model.generate,
            model.critic,
            images,
            masks,
            jax.jit(jax.vmap(importance_weights))(masks),
            model.correctors,
            model.metric,
        )

    def measure(self, contender: contenders.Contender) -> list[Point]:
        """Runs a search, stopping the clock to look at it."""
        strategy = contender.make(self._model)
        objectives = self._objectives
        looks = [each for each in _LOOKS if each < contender.steps] + [contender.steps]
        total = jnp.asarray(contender.steps)

        def run(timed: bool) -> list[Point]:
            points, seconds = [], 0.0
            began = time.perf_counter()
            state = _init(strategy, objectives, self._keys)
            jax.block_until_ready(state)
            for before, after in zip([0, *looks[:-1]], looks, strict=True):
                if after > before:
                    clock = search.Clock(jnp.asarray(before), total)
                    state = _advance(strategy, objectives, state, after - before, clock)
                    jax.block_until_ready(state)
                seconds += time.perf_counter() - began
                if timed or after == looks[-1]:
                    points.append(self._look(strategy, state, after))
                    passes = contender.first_passes + after * contender.step_passes
                    points[-1] = dataclasses.replace(
                        points[-1], seconds=seconds, passes=passes
                    )
                began = time.perf_counter()
                if not timed and after > 0:
                    break
            return points

        run(timed=False)  # Compiles.
        return run(timed=True)

    def _look(self, strategy: search.Strategy, state: Any, steps: int) -> Point:
        images, masks = self._objectives.image, self._objectives.mask
        losses, generated = _result(strategy, self._objectives, state)
        completed, _ = fill_holes(images, generated, masks)
        holes = jax.vmap(psnr_hole)(completed, images, masks)
        total = np.asarray(losses.total, np.float64)
        return Point(
            steps=steps,
            seconds=0.0,
            passes=0.0,
            loss=total.mean(),
            loss_sem=total.std(ddof=1) / len(total) ** 0.5 if len(total) > 1 else 0.0,
            psnr_hole=float(np.asarray(holes, np.float64).mean()),
        )


@functools.partial(jax.jit, static_argnums=0)
def _init(
    strategy: search.Strategy, objectives: search.Objective, keys: jax.Array
) -> Any:
    return jax.vmap(strategy.init, (0, search.BATCH))(keys, objectives)


@functools.partial(jax.jit, static_argnums=0)
def _advance(
    strategy: search.Strategy,
    objectives: search.Objective,
    states: Any,
    steps: int,
    clock: search.Clock,
) -> Any:
    def one(state: Any, objective: search.Objective) -> Any:
        capacity = max(_LOOKS)
        return search.advance(
            strategy, state, objective, steps, clock=clock, capacity=capacity
        )[0]

    return jax.vmap(one, (0, search.BATCH))(states, objectives)


@functools.partial(jax.jit, static_argnums=0)
def _result(
    strategy: search.Strategy, objectives: search.Objective, states: Any
) -> tuple[Losses, jax.Array]:
    def one(state: Any, objective: search.Objective) -> tuple[Losses, jax.Array]:
        latent, losses, _ = strategy.result(state, objective)
        return losses, objective.generate(latent)

    return jax.vmap(one, (0, search.BATCH))(states, objectives)


def _summary(curves: Mapping[str, Sequence[Point]]) -> dict[str, dict[str, Any]]:
    """Of every strategy: where it ended, and how soon it had the paper's answer."""
    paper = curves["paper"][-1]
    rows = {}
    for name, points in curves.items():
        last = points[-1]
        reached = [point for point in points if point.loss <= paper.loss]
        thirtieth = [p for p in points if p.seconds <= paper.seconds / 30]
        rows[name] = {
            "seconds": round(last.seconds, 2),
            "loss": round(last.loss, 2),
            "psnr_hole": round(last.psnr_hole, 2),
            "speed_up": round(paper.seconds / reached[0].seconds, 1)
            if reached
            else None,
            "loss_at_a_30th_over_the_papers": round(
                thirtieth[-1].loss / paper.loss - 1, 4
            )
            if thirtieth
            else None,
        }
    return rows


def _draw(curves: Mapping[str, Mapping[str, Sequence[Point]]]) -> bytes:
    figure = Figure(figsize=(4.2 * len(curves), 9), layout="constrained")
    panels = figure.subplots(3, len(curves), squeeze=False)
    for column, (mask, of_mask) in zip(panels.T, curves.items(), strict=True):
        for name, points in of_mask.items():
            seconds = [point.seconds for point in points]
            passes = [point.passes for point in points]
            losses = [point.loss for point in points]
            column[0].plot(seconds, losses, ".-", label=name)
            column[1].plot(passes, losses, ".-", label=name)
            column[2].plot(seconds, [p.psnr_hole for p in points], ".-", label=name)
        answer = of_mask["paper"][-1].loss
        column[0].set(title=mask, xlabel="seconds", ylabel="total loss")
        column[1].set(xlabel="network passes an image", ylabel="total loss")
        column[2].set(xlabel="seconds", ylabel="PSNR in the hole, dB")
        for axes in column[:2]:
            axes.axhline(answer, color="grey", linestyle=":")
            axes.set_ylim(0.9 * answer, 3 * answer)
        for axes in column:
            axes.set_xscale("log")
    panels[0, 0].legend()
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=90)
    return picture.getvalue()


if __name__ == "__main__":
    program.run(main)
