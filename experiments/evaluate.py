r"""Measures a method to fill holes on many images of a data set.

    python -m experiments.evaluate --dataset=celeb_a --split=test --mask=random80 \
        --batch_size=1024
    python -m experiments.evaluate --dataset='images:faces/*.zip' --mask=center \
        --method=harmonic --limit=128 --workdir=runs/harmonic

Writes into the work folder: config.json, parts/ with a line of JSON for each image,
completed/ with its PNG, progress.jsonl, and at the end metrics.json with every figure's
mean, and grid.png. When stopped (by SIGTERM, or Ctrl-C for a single process) it
finishes the current batch; when killed, it loses it. Started again on the same folder
it fills only the images that are missing.

All devices work at once. With --distributed several processes work together, on one
machine or many, and share the work folder: each reads, fills and writes its own images.
"""

import re
from pathlib import Path

from absl import flags

from experiments.filling import evaluation, from_flags
from experiments.filling.methods import Method
from experiments.flags import answers as answer_flags
from experiments.flags import dataset as dataset_flags
from experiments.flags import method as method_flags
from experiments.flags import model as model_flags
from experiments.flags import search as search_flags
from experiments.runtime import compilation_cache, distributed, program
from inpaint_jax import masks

_DATASET = dataset_flags.define_dataset()
_MODEL = model_flags.define_model()
for _module in (
    answer_flags,
    compilation_cache,
    dataset_flags,
    distributed,
    method_flags,
    model_flags,
    search_flags,
):
    flags.adopt_module_key_flags(_module)

_SPLIT = flags.DEFINE_string("split", "test", "Split of the data set.")
_LIMIT = flags.DEFINE_integer(
    "limit", None, "Only the first so many images.", lower_bound=1
)
_MASK = flags.DEFINE_string(
    "mask",
    "center",
    f"Mask: {', '.join(masks.MASK_NAMES)}, or random<NN> for NN per cent missing.",
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size",
    64,
    "Searches, or images, that are filled at once, on all devices of all processes "
    "together.",
    lower_bound=1,
)
_SEED = flags.DEFINE_integer(
    "seed", 0, "Seed of masks and searches.", lower_bound=0, upper_bound=2**31 - 1
)
_WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "Folder of the run. Default: a folder in outputs/evaluate, named after data set, "
    "split, mask, model and method.",
)


def main() -> int:
    with distributed.job():
        return _evaluate()


def _evaluate() -> int:
    with program.usage_errors():
        masks.mask_function(_MASK.value)
    method = from_flags.read_method(
        _MODEL.value,
        candidates=answer_flags.candidates(_BATCH_SIZE.value),
        answer=answer_flags.answer(),
    )
    source = dataset_flags.open_source(
        _DATASET.value,
        _SPLIT.value,
        size=method.model.image_size,
        crop=method.model.metadata.get("crop"),
        limit=_LIMIT.value,
    )
    return evaluation.run(
        evaluation.Evaluation(
            workdir=Path(_WORKDIR.value or _default_workdir(method)),
            source=source,
            mask=_MASK.value,
            seed=_SEED.value,
            batch_size=_BATCH_SIZE.value,
            method=method,
        )
    )


def _default_workdir(method: Method) -> Path:
    """A folder for this data set, mask, model and method.

    Other settings (a seed, steps) want a ``--workdir`` of their own.
    """
    # Names of models as they are given: files in two folders may have one name.
    dataset, model = (
        re.sub(r"[^A-Za-z0-9._-]+", "_", value).strip("_")
        for value in (_DATASET.value, _MODEL.value)
    )
    way = method.search.name if method.name == "latent" else method.name
    return Path(
        "outputs",
        "evaluate",
        "-".join([dataset, _SPLIT.value, _MASK.value, model, way]),
    )


if __name__ == "__main__":
    program.run(main)
