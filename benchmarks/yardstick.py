r"""Measures how fast searches reach the paper's answer, and a better one.

    python -m benchmarks.yardstick --dataset=images:celeba64/validation.zip
    python -m benchmarks.yardstick --dataset=celeb_a --split=validation --limit=128

The paper's answer is the mean total loss (eq. 2) at the end of its own search of 1500
steps; the speed-up of another search is the ratio of the times in which both reach it.
The loss is that of the model's own search (for a normal latent space with the density
of the latent), without what draws a search to its start. All search the same images in
one batch, in one process, one after the other; compilation is not counted. Writes into
the output folder yardstick.json, with the loss, and PSNR in the hole and LPIPS of the
completed images, against seconds and network passes for every strategy and mask, and
yardstick.png with the curves.

    python -m benchmarks.yardstick --model=faces --reference='paper 0.03' \
      --dataset=images:celeba64/validation.zip --strategies='map,newton 20,newton 60'

is for a model whose latents are not in a box: the paper's rate is not the best for it.
"""

import dataclasses
import importlib.util
import io
import itertools
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from absl import flags
from matplotlib.figure import Figure
from tqdm import tqdm

import inpaint_jax
from benchmarks import contenders, timing
from experiments.flags import dataset as dataset_flags
from experiments.runtime import compilation_cache, program
from inpaint_jax import pixels
from inpaint_jax.completion import fill_holes, image_key
from inpaint_jax.configs import SEARCHES
from inpaint_jax.latents import Uniform
from inpaint_jax.losses import importance_weights
from inpaint_jax.masks import MASK_NAMES, mask_function
from inpaint_jax.metrics import psnr_hole
from inpaint_jax.pretrained import Parts, read_parts
from inpaint_jax.quality import perceptual
from inpaint_jax.search import strategies
from inpaint_jax.search.batches import (
    advance_searches,
    finish_searches,
    start_searches,
)
from inpaint_jax.search.directions import with_metric
from inpaint_jax.search.objectives import paper_objective
from inpaint_jax.types import Model, Seen

_DATASET = dataset_flags.define_dataset()
for _module in (compilation_cache, dataset_flags):
    flags.adopt_module_key_flags(_module)

_MODEL = flags.DEFINE_string("model", "celeba64", "As for experiments.inpaint.")
_SPLIT = flags.DEFINE_string("split", "validation", "Split of the data set.")
_LIMIT = flags.DEFINE_integer("limit", 32, "Images.", lower_bound=1)
_MASKS = flags.DEFINE_list("masks", list(MASK_NAMES[:4]), "Names of masks.")
_STRATEGIES = flags.DEFINE_list(
    "strategies", ["paper", "fast"], f"Any of {', '.join(contenders.CONTENDERS)}."
)
_REFERENCE = flags.DEFINE_enum(
    "reference",
    "paper",
    ["paper", "paper 0.03"],
    "The strategy whose answer is to be reached.",
)
_TORCH = flags.DEFINE_bool(
    "torch",
    False,
    "Time the reference in eager PyTorch, too, from the same starts; for the first "
    "mask only.",
)
_OUTPUT = flags.DEFINE_string("output", "outputs/yardstick", "Folder for results.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of masks and searches.", lower_bound=0)

_LOOKS = (0, 1, 2, 5, 10, 20, 35, 50, 75, 100, 150, 200, 300, 500, 700, 1000, 1500)
"""Numbers of steps after which the clock is stopped and a search is evaluated."""


@dataclasses.dataclass(frozen=True)
class Point:
    """State of a search at one time, as means over the images.

    Attributes:
      steps: Number of steps done.
      seconds: Seconds taken for the whole batch.
      passes: Passes through a network, forward or backward, per image.
      loss: Total loss of the best latent so far.
      loss_sem: Standard error of that mean.
      psnr_hole: PSNR of the completed image in its hole, dB.
      lpips: LPIPS of the completed image; None without the extra ``lpips``.
    """

    steps: int
    seconds: float
    passes: float
    loss: float
    loss_sem: float
    psnr_hole: float
    lpips: float | None


def main() -> int:
    # --- Settings ---------------------------------------------------------------------
    reference = _REFERENCE.value
    names = [reference, *(name for name in _STRATEGIES.value if name != reference)]
    for name in names:
        if name not in contenders.CONTENDERS:
            known = ", ".join(contenders.CONTENDERS)
            raise program.UsageError(f"--strategies={name}: give some of {known}")
    with program.usage_errors():
        for mask in _MASKS.value:
            mask_function(mask)
    if _TORCH.value and importlib.util.find_spec("torch") is None:
        raise program.UsageError("--torch needs PyTorch: pip install -e '.[bench]'")
    model = inpaint_jax.load_model(_MODEL.value)
    dataset = dataset_flags.load(
        _DATASET.value,
        _SPLIT.value,
        size=model.image_size,
        crop=model.metadata.get("crop"),
        limit=_LIMIT.value,
    )
    output = program.make_folder(Path(_OUTPUT.value))
    images = jnp.asarray(pixels.to_float(dataset.images))
    keys = [image_key(_SEED.value, each) for each in dataset.ids]
    mask_keys, search_keys = jax.vmap(jax.random.split, out_axes=1)(jnp.stack(keys))

    # --- Measure ----------------------------------------------------------------------
    curves: dict[str, dict[str, list[Point]]] = {}
    torch_rows: list[dict[str, Any]] = []
    size = (model.image_size, model.image_size)
    with tqdm(total=len(_MASKS.value) * len(names), disable=None) as bar:
        for mask in _MASKS.value:
            masks = inpaint_jax.make_masks(mask, mask_keys, size)
            problem = Problem(model, images, masks, search_keys)
            curves[mask] = {}
            for name in names:
                bar.set_description(f"{mask}, {name}")
                curves[mask][name] = problem.measure(contenders.CONTENDERS[name])
                bar.update()
            if _TORCH.value and mask == _MASKS.value[0]:
                rows = problem.measure_in_torch(read_parts(_MODEL.value), reference)
                torch_rows = [{"mask": mask, **row} for row in rows]

    # --- Write ------------------------------------------------------------------------
    summary = {mask: _summary(points, reference) for mask, points in curves.items()}
    result = {
        **timing.machine(),
        "model": _MODEL.value,
        "dataset": _DATASET.value,
        "split": _SPLIT.value,
        "images": len(dataset),
        "seed": _SEED.value,
        "summary": summary,
        "torch": torch_rows,
        "curves": jax.tree.map(
            dataclasses.asdict, curves, is_leaf=lambda x: isinstance(x, Point)
        ),
    }
    program.write_json(output / "yardstick.json", result)
    program.write_bytes(output / "yardstick.png", _draw(curves, reference))
    for mask, of_mask in summary.items():
        for name, row in of_mask.items():
            print(json.dumps({"mask": mask, "strategy": name, **row}))
    for row in torch_rows:
        print(json.dumps(row))
    print(f"look at {output / 'yardstick.png'}")
    return 0


class Problem:
    """A batch of images with one kind of hole, the same for every strategy."""

    def __init__(
        self, model: Model, images: jax.Array, masks: jax.Array, keys: jax.Array
    ) -> None:
        self._model, self._keys = with_metric(model), keys
        weights = jax.jit(jax.vmap(importance_weights))(masks)
        self._seen = Seen(images, masks, weights)
        self._objective = paper_objective(model, SEARCHES[model.search])

    def measure(self, contender: contenders.Contender) -> list[Point]:
        """Runs a search, stopping the clock to evaluate it.

        Returns:
          A point for each of ``_LOOKS`` before the search's end, and one at the end.
        """
        strategy = contender.make(self._model)
        looks = [each for each in _LOOKS if each < contender.steps] + [contender.steps]

        # Compiles the functions before the clock starts.
        self._advance(strategy, self._start(contender), 0, 1, contender.steps)

        began = time.perf_counter()
        states = self._start(contender)
        seconds = time.perf_counter() - began
        points = [self._look(contender, strategy, states, 0, seconds)]
        for before, after in itertools.pairwise(looks):
            began = time.perf_counter()
            states = self._advance(strategy, states, before, after, contender.steps)
            seconds += time.perf_counter() - began
            points.append(self._look(contender, strategy, states, after, seconds))
        return points

    def measure_in_torch(self, parts: Parts, name: str) -> list[dict[str, Any]]:
        """Seconds and final loss of a contender in PyTorch, by kind.

        The starts are the same.
        """
        # Imported here, because nothing else needs PyTorch.
        from benchmarks import peers
        from benchmarks.torch_search import KINDS, TorchSearch

        reference = contenders.CONTENDERS[name]
        weights = SEARCHES[self._model.search]
        config = dataclasses.replace(
            reference.start,
            prior_weight=weights.prior_weight,
            latent_weight=weights.latent_weight,
        )
        starts = self._start(reference).inner.latent
        rows = []
        for kind in KINDS:
            search_all = TorchSearch(
                *peers.networks(parts, critic=config.prior_weight > 0),
                self._seen.image,
                self._seen.weights,
                kind,
                config,
                bounded=isinstance(self._model.latents, Uniform),
            )
            search_all(starts, 3)  # Warms up.
            began = time.perf_counter()
            _, losses = search_all(starts, reference.steps)
            rows.append(
                {
                    "strategy": f"{name}, {kind}",
                    "seconds": round(time.perf_counter() - began, 2),
                    "loss": round(float(losses.min(1).mean(dtype=np.float64)), 2),
                }
            )
        return rows

    def _start(self, contender: contenders.Contender) -> Any:
        return jax.block_until_ready(
            start_searches(
                contender.make(self._model),
                self._model,
                self._objective,
                self._seen,
                self._keys,
                jnp.ones(len(self._keys), bool),
                config=contender.start,
            )
        )

    def _advance(
        self,
        strategy: strategies.Strategy,
        states: Any,
        before: int,
        after: int,
        end: int,
    ) -> Any:
        """Advances searches from some number of steps to another, of ``end`` in all."""
        clock = strategies.Clock(jnp.asarray(before), jnp.asarray(end))
        states, _ = advance_searches(
            strategy,
            self._model,
            self._objective,
            self._seen,
            states,
            after - before,
            clock,
            capacity=end,
        )
        return jax.block_until_ready(states)

    def _look(
        self,
        contender: contenders.Contender,
        strategy: strategies.Strategy,
        states: Any,
        steps: int,
        seconds: float,
    ) -> Point:
        """The point of the searches after a number of steps and seconds."""
        images, masks = self._seen.image, self._seen.mask
        found, generated = finish_searches(
            strategy, self._model, self._objective, self._seen, states
        )
        completed, _ = fill_holes(images, generated, masks)
        holes = jax.vmap(psnr_hole)(completed, images, masks)
        # Not the strategy's own, which may draw it to its start.
        losses = _losses(self._objective, found.latent, generated, self._seen)
        total = np.asarray(losses.total, np.float64)
        lpips = None
        if perceptual.is_installed() and images.shape[1] >= perceptual.LEAST:
            pair = pixels.to_uint8(completed), pixels.to_uint8(images)
            lpips = float(perceptual.distances(*pair).mean(dtype=np.float64))
        return Point(
            steps=steps,
            seconds=seconds,
            passes=contender.first_passes(self._model) + steps * contender.step_passes,
            loss=total.mean(),
            loss_sem=total.std(ddof=1) / len(total) ** 0.5 if len(total) > 1 else 0.0,
            psnr_hole=float(np.asarray(holes, np.float64).mean()),
            lpips=lpips,
        )


_losses = jax.jit(lambda objective, *batch: jax.vmap(objective)(*batch))


def _summary(
    curves: Mapping[str, Sequence[Point]], reference: str
) -> dict[str, dict[str, Any]]:
    """Every strategy's result, and its speed-up in reaching the paper's answer."""
    paper = curves[reference][-1]
    rows = {}
    for name, points in curves.items():
        last = points[-1]
        reached = [point for point in points if point.loss <= paper.loss]
        in_time = {
            f"loss_at_a_{share}th_over_the_papers": [
                point for point in points if point.seconds <= paper.seconds / share
            ]
            for share in (30, 50)
        }
        rows[name] = {
            "seconds": round(last.seconds, 2),
            "loss": round(last.loss, 2),
            "psnr_hole": round(last.psnr_hole, 2),
            "lpips": last.lpips and round(last.lpips, 4),
            "speed_up": round(paper.seconds / reached[0].seconds, 1)
            if reached
            else None,
            **{
                name: round(within[-1].loss / paper.loss - 1, 4) if within else None
                for name, within in in_time.items()
            },
        }
    return rows


def _draw(curves: Mapping[str, Mapping[str, Sequence[Point]]], reference: str) -> bytes:
    figure = Figure(figsize=(4.2 * len(curves), 9), layout="constrained")
    panels = figure.subplots(3, len(curves), squeeze=False)
    for column, (mask, of_mask) in zip(panels.T, curves.items(), strict=True):
        for axes in column:
            axes.set_prop_cycle(color=matplotlib.colormaps["tab20"](range(20)))
        for name, points in of_mask.items():
            seconds = [point.seconds for point in points]
            passes = [point.passes for point in points]
            losses = [point.loss for point in points]
            column[0].plot(seconds, losses, ".-", label=name)
            column[1].plot(passes, losses, ".-", label=name)
            column[2].plot(seconds, [p.psnr_hole for p in points], ".-", label=name)
        answer = of_mask[reference][-1].loss
        column[0].set(title=mask, xlabel="seconds", ylabel="total loss")
        column[1].set(xlabel="network passes an image", ylabel="total loss")
        column[2].set(xlabel="seconds", ylabel="PSNR in the hole, dB")
        for axes in column[:2]:
            axes.axhline(answer, color="grey", linestyle=":")
            axes.set_ylim(0.9 * answer, 3 * answer)
        for axes in column:
            axes.set_xscale("log")
    names = panels[0, 0].get_legend_handles_labels()
    figure.legend(*names, loc="outside lower center", ncols=4)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=90)
    return picture.getvalue()


if __name__ == "__main__":
    program.run(main)
