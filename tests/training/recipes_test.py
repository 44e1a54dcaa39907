"""What every recipe refuses, whichever network it is of."""

import dataclasses
import types
from typing import get_args

import numpy as np
import pytest

from inpaint_jax.baselines.context_encoder import ContextEncoderConfig
from inpaint_jax.baselines.vae import VaeConfig
from inpaint_jax.training.encoder import EncoderConfig
from inpaint_jax.training.recipes import TrainConfig

RECIPES = (TrainConfig, ContextEncoderConfig, VaeConfig, EncoderConfig)
WRONG = {
    int: (2.5, 2.0, "2", None, True, [2], np.float32(2)),
    float: ("0.5", None, True, [0.5], 1j),
    bool: (1, "yes", None, 0.0),
}
CASES = [
    (recipe, field.name, value)
    for recipe in RECIPES
    for field in dataclasses.fields(recipe)
    for kind in (get_args(field.type) or (field.type,))
    for value in WRONG.get(kind, ())
    if value is not None or types.NoneType not in get_args(field.type)
]


@pytest.mark.parametrize(("recipe", "name", "value"), CASES)
def test_a_value_of_the_wrong_type_is_named(recipe, name, value):
    message = f"^{name} must be (a whole number|a number|True or False), not "
    with pytest.raises(ValueError, match=message) as error:
        recipe(**{name: value})
    assert repr(value) in str(error.value)


@pytest.mark.parametrize("recipe", RECIPES)
def test_numbers_of_numpy_and_whole_ones_for_others_will_do(recipe):
    found = recipe(batch_size=np.int64(48), learning_rate=np.float32(0.5))
    assert found == recipe(batch_size=48, learning_rate=0.5)
    assert recipe(learning_rate=1) == recipe(learning_rate=1.0)
