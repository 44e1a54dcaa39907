import jax
import numpy as np
import pytest
from conftest import RECIPE

from inpaint_jax.training import gan
from inpaint_jax.training.checkpoints import CheckpointError, Checkpoints


def test_what_is_saved_comes_back(tiny_state, tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step is None
        checkpoints.save(tiny_state)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step == 3
        restored = checkpoints.restore(gan.init_state(RECIPE))
    assert jax.tree.structure(restored) == jax.tree.structure(tiny_state)
    jax.tree.map(np.testing.assert_array_equal, restored, tiny_state)


def test_shapes_are_enough_to_restore(tiny_state, tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(tiny_state)
        restored = checkpoints.restore(jax.eval_shape(lambda: tiny_state))
    jax.tree.map(np.testing.assert_array_equal, restored, tiny_state)
    assert jax.tree.leaves(restored)[0].devices() == {jax.devices()[0]}


def test_only_the_latest_stay(tiny_state, tmp_path):
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for step in (1, 2, 3, 4):
            checkpoints.save(tiny_state._replace(step=np.int32(step)))
    kept = sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir())
    assert kept == [3, 4]


def test_saving_a_step_twice_is_harmless(tiny_state, tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(tiny_state)
        checkpoints.save(tiny_state)
        assert checkpoints.latest_step == 3


def test_an_empty_folder_says_so(tmp_path):
    with (
        Checkpoints(tmp_path) as checkpoints,
        pytest.raises(CheckpointError, match="no checkpoint yet"),
    ):
        checkpoints.restore(gan.init_state(RECIPE))


def test_reading_makes_nothing(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint yet"):
        Checkpoints(tmp_path, read_only=True)
    assert list(tmp_path.iterdir()) == []
