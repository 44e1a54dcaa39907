import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from conftest import RECIPE

from inpaint_jax.training import CheckpointError, gan
from inpaint_jax.training.checkpoints import Checkpoints


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


class Small(NamedTuple):
    """A state that is written in no time."""

    step: jax.Array
    params: dict[str, jax.Array]


def small(step=3):
    return Small(jnp.int32(step), {"w": step * jnp.arange(4.0), "b/c": jnp.ones(2)})


def assert_restores(workdir, step):
    with Checkpoints(workdir, read_only=True) as found:
        restored = found.restore(small())
    jax.tree.map(np.testing.assert_array_equal, restored, small(step))


STRANGE = [
    "faces [v2]",
    "[0-9]",
    "]",
    "st*r",
    "que?",
    "br{a,b}",
    "~nobody",
    "$HOME",
    "%41",
    "ha#sh",
    "?q=1#x",
    "back\\slash",
    "gs:",
    "s3:",
    "a:b",
    "quote's",
    'double"quote',
    "tab\t",
    "new\nline",
    " space ",
    "--flag",
    "\u00fcn\u00ef\u4e2d\U0001f600",
    os.fsdecode(b"\xff\xfe"),
    "x" * 255,
    "5.orbax-checkpoint-tmp",
    "/".join(["y" * 250] * 14),
]


@pytest.mark.parametrize("name", STRANGE, ids=ascii)
def test_no_path_is_misread(name, tmp_path):
    # Neighbours that a pattern would find.
    for neighbour in ("star", "queX", "0", "back/slash"):
        (tmp_path / neighbour).mkdir(parents=True)
    workdir = tmp_path / name
    for steps in ((1, 2), (3,)):
        with Checkpoints(workdir) as found:
            for step in steps:
                found.save(small(step))
    assert_restores(workdir, 3)
    with Checkpoints(workdir) as found:
        assert found.latest_step == 3
        found.forget_after(2)
    assert_restores(workdir, 2)
    assert [path.name for path in (workdir / "checkpoints").iterdir()] == ["2"]
    assert list((tmp_path / "back" / "slash").iterdir()) == []


def test_a_relative_path_and_a_link_are_not_misread(tmp_path, monkeypatch):
    inside = tmp_path / "faces [v2]"
    inside.mkdir()
    (tmp_path / "link").symlink_to(inside)
    monkeypatch.chdir(inside)
    with Checkpoints(Path("run")) as found:
        found.save(small())
    for workdir in (Path("run"), inside / "run", tmp_path / "link" / "run"):
        assert_restores(workdir, 3)


def test_a_path_that_has_no_other_name_is_refused(tmp_path, monkeypatch):
    is_dir = Path.is_dir
    monkeypatch.setattr(
        Path, "is_dir", lambda path: "/proc/" not in str(path) and is_dir(path)
    )
    with pytest.raises(CheckpointError, match=r"\[v2\].*: give a shorter path"):
        Checkpoints(tmp_path / "faces [v2]")
    with Checkpoints(tmp_path / "faces") as found:
        found.save(small())


def written_by_orbax_alone(folder, step):
    """As checkpoints were before their paths were made safe."""
    folder.mkdir(parents=True)
    with ocp.CheckpointManager(folder) as manager:
        arguments = ocp.args.StandardSave(small(step)._asdict())
        manager.save(step, args=arguments)
        manager.wait_until_finished()


@pytest.mark.parametrize("name", ["faces [v2]", "a[1]", "back\\slash", "[x] back\\s"])
def test_what_was_lost_is_found(name, tmp_path):
    folder = tmp_path / name / "checkpoints"
    written_by_orbax_alone(folder, 7)
    assert not (folder / "7" / "default" / "manifest.ocdbt").exists()  # It is lost.
    before = sorted(tmp_path.rglob("*"))
    assert_restores(tmp_path / name, 7)
    assert sorted(tmp_path.rglob("*")) == before
    # And the run goes on.
    with Checkpoints(tmp_path / name) as found:
        found.save(found.restore(small())._replace(step=jnp.int32(8)))
    with Checkpoints(tmp_path / name, read_only=True) as found:
        restored = found.restore(small())
    assert int(restored.step) == 8
    np.testing.assert_array_equal(restored.params["w"], small(7).params["w"])


def test_what_cannot_be_read_is_to_be_moved_not_deleted(tmp_path):
    with Checkpoints(tmp_path) as found:
        found.save(small())
    for path in (tmp_path / "checkpoints").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    with (
        Checkpoints(tmp_path) as found,
        pytest.raises(CheckpointError, match="checkpoints/3 cannot be read; move"),
    ):
        found.restore(small())


def fail(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somewhere")


@pytest.mark.parametrize(("where", "kept"), [("save", 1), ("close", 2)])
def test_a_full_disk_is_one_line_that_names_the_last_good_one(
    where, kept, tmp_path, monkeypatch
):
    def run():
        with Checkpoints(tmp_path) as found:
            found.save(small(1))
            found.wait()
            monkeypatch.setattr(found._manager, where, fail)
            found.save(small(2))

    message = "^a checkpoint cannot be written to .*: No space left on device; the "
    with pytest.raises(CheckpointError, match=f"{message}last good .* of step {kept}$"):
        run()
    assert_restores(tmp_path, kept)


def test_a_second_error_does_not_hide_the_first(tmp_path, monkeypatch):
    def run():
        with Checkpoints(tmp_path) as found:
            found.save(small(1))
            monkeypatch.setattr(found._manager, "wait_until_finished", fail)
            monkeypatch.setattr(found._manager, "close", fail)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run()


PROGRAM = """
import resource, sys
from pathlib import Path
import jax, jax.numpy as jnp
from typing import NamedTuple
from inpaint_jax.training import CheckpointError
from inpaint_jax.training.checkpoints import Checkpoints

class State(NamedTuple):
    step: jax.Array
    params: dict[str, jax.Array]

def state(step):
    random = jax.random.normal(jax.random.key(0), (100_000,))
    return State(jnp.int32(step), {"w": random, "b/c": jnp.ones(2)})

try:
    with Checkpoints(Path(sys.argv[1])) as found:
        found.save(state(1))
        found.wait()
        # In the thread that writes it: no file may be as large from here on.
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        found.save(state(2))
        print("went on")
except CheckpointError as error:
    print(error)
with Checkpoints(Path(sys.argv[1])) as found:
    assert found.latest_step == 1
    assert (found.restore(state(0)).params["w"] == state(0).params["w"]).all()
"""


def test_what_a_thread_cannot_write_is_raised_and_the_last_good_one_stays(
    tmp_path, environment
):
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "run")]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    went_on, message = result.stdout.splitlines()
    assert went_on == "went on"
    assert message == (
        f"a checkpoint cannot be written to {tmp_path}/run/checkpoints: "
        "File too large; the last good one there is of step 1"
    )
