"""The method that is chosen by the flags of ``experiments.flags``."""

from experiments.filling.methods import Method, Search, Training
from experiments.flags import dataset as dataset_flags
from experiments.flags import method as method_flags
from experiments.flags import model as model_flags
from experiments.flags import search as search_flags
from experiments.runtime import program
from inpaint_jax.pretrained import make_model


def read_method(
    model_name: str,
    *,
    candidates: int = 1,
    answer: str = "best",
    filmed: bool = False,
) -> Method:
    """The method to fill holes, with its model.

    Args:
      model_name: Value of ``--model``.
      candidates: Number of searches for each image.
      answer: Which of their results is the answer.
      filmed: Whether to keep how results came about.

    Raises:
      program.UsageError: A flag's value is out of range, or flags do not go together.
      ModelError: There is no such model.
      DataError: The training images of ``--train_dataset`` cannot be found.
    """
    method_flags.check()
    parts = model_flags.read(model_name)
    number_type = search_flags.precision_of_networks()
    model = make_model(parts, precision=number_type)
    with program.usage_errors():
        search = Search(
            search_flags.name(model),
            search_flags.config(model),
            search_flags.refinement(),
            number_type,
        )
    training = None
    if method_flags.TRAIN_DATASET.value is not None:
        source = dataset_flags.open_source(
            method_flags.TRAIN_DATASET.value,
            "train",
            size=model.image_size,
            crop=model.metadata.get("crop"),
        )
        training = Training(source)
    return Method(
        method_flags.METHOD.value,
        parts,
        model,
        search,
        blend=method_flags.blend(),
        training=training,
        context_encoder=method_flags.CONTEXT_ENCODER.value,
        candidates=candidates,
        answer=answer,
        filmed=filmed,
    )
