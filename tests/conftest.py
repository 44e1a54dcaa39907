"""What the tests share: where the real images are, and a model too small to be slow."""

import dataclasses
import gc
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from absl import logging
from launching import ROOT, TIME_LIMIT, Launcher
from PIL import Image

from experiments.runtime import compilation_cache
from inpaint_jax.baselines.context_encoder import ContextEncoderConfig
from inpaint_jax.baselines.vae import VaeConfig
from inpaint_jax.configs import Architecture
from inpaint_jax.data import datasets
from inpaint_jax.pretrained import Parts, save_model
from inpaint_jax.training import gan, recipes
from inpaint_jax.training.recipes import AutoencoderConfig
from inpaint_jax.types import Metric

# Before anything is computed: some tests look at how work is spread over devices.
jax.config.update("jax_num_cpu_devices", 8)
# Most of the time here goes into compiling what then runs for a moment. What was
# compiled once is kept, for other processes and for the next run: the key of an entry
# is all that the compiler is given, and its version.
jax.config.update("jax_disable_most_optimizations", True)
COMPILED = compilation_cache.of_machine(ROOT / ".cache" / "compiled")
jax.config.update("jax_compilation_cache_dir", str(COMPILED))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)

DEMO = ROOT / "inpaint_jax" / "demo"
CORE = {
    "answers",
    "blend",
    "candidates",
    "completion",
    "latents",
    "losses",
    "masks",
    "metrics",
    "search",
}
TINY = Architecture(latent_size=8, width=4, image_size=16)
# One recipe for all that train: a training step takes seconds to compile. The average
# forgets so fast that a few steps reach its decay.
RECIPE = recipes.TrainConfig(architecture=TINY, batch_size=8, ema_decay=0.25)
# So much adversarial loss that its part shows.
CONTEXT_ENCODER = ContextEncoderConfig(
    architecture=TINY,
    discriminator_width=3,
    batch_size=8,
    adversarial_weight=0.4,
    ema_decay=0.25,
)
AUTOENCODER = AutoencoderConfig(
    architecture=TINY, encoder_width=4, critic_width=3, batch_size=16, ema_decay=0.25
)
VAE = VaeConfig(architecture=TINY, batch_size=8, ema_decay=0.25)


def random_weights(shapes):
    """Variables of these shapes, about as large as a network's that is half trained.

    Not drawn by JAX, whose random numbers take seconds to compile.
    """
    random = np.random.default_rng(0)
    statistics = {"mean": (-0.005, 0.005), "var": (0.01, 0.05)}

    def filled(path, leaf):
        name = path[-1].key
        if name in statistics:
            values = random.uniform(*statistics[name], leaf.shape)
        else:
            values = random.normal(float(name == "scale"), 0.02, leaf.shape)
        return jnp.asarray(values, leaf.dtype)

    return jax.tree.map_with_path(filled, shapes)


@pytest.fixture(scope="module", autouse=True)
def forget_programs():
    """Compiled programs of a file end with it; the cache on disk keeps them.

    Each maps some pages of memory, of which a process may have 65,530. Beyond, to
    compile ends in a segmentation fault.
    """
    yield
    jax.clear_caches()
    gc.collect()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Files with slow tests come first, so that two processes end at the same time."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def strict(request, monkeypatch):
    """The core leaves no dtype and no shape to JAX's promotion.

    Optax does, where it counts steps, and networks do with their biases.
    """
    room = request.path.relative_to(ROOT / "tests").parts[0].removesuffix("_test.py")
    if room not in CORE:
        yield
        return

    def lenient(function):
        return jax.numpy_dtype_promotion("standard")(function)

    def schedule(*arguments):
        return lenient(cosine_decay_schedule(*arguments))

    cosine_decay_schedule = optax.cosine_decay_schedule
    monkeypatch.setattr(optax, "cosine_decay_schedule", schedule)
    correct = lenient(optax.tree.bias_correction)
    monkeypatch.setattr(optax.tree, "bias_correction", correct)
    ranks = "allow" if request.node.get_closest_marker("networks") else "raise"
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion(ranks):
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with the real faces, house numbers and cars."""
    path = ROOT.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"no real images at {path}")
    return path


@pytest.fixture(scope="session")
def tiny_state() -> gan.TrainState:
    """Random networks of ``TINY``, with BatchNorm statistics of their own images."""
    state = gan.init_state(RECIPE)
    images = jax.random.uniform(jax.random.key(1), (8, 16, 16, 3), minval=-1.0)
    for _ in range(3):
        state, _ = gan.train_step(state, images, config=RECIPE)
    return state


@pytest.fixture(scope="session")
def tiny_parts(tiny_state) -> Parts:
    """A model of those networks."""
    return Parts(
        "tiny",
        TINY,
        tiny_state.average,
        tiny_state.discriminator.variables,
        metadata={"crop": "center", "dataset": "noise"},
    )


@pytest.fixture(scope="session")
def tiny_model_file(tiny_parts, tmp_path_factory) -> Path:
    """The file of that model, with a metric: each program would have to find one."""
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    factors = np.random.default_rng(0).normal(size=(8, 8, 8, 8)).astype(np.float32)
    metric = Metric(jnp.asarray(factors @ factors.swapaxes(-1, -2)))
    save_model(path, dataclasses.replace(tiny_parts, metric=metric))
    return path


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """The environment of programs under test."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "JAX_COMPILATION_CACHE_DIR": str(COMPILED),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        # Tests run side by side, a core each: PyTorch's threads would wait for another.
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture(scope="session")
def launch(environment, tmp_path_factory):
    """Runs a module of ``experiments`` in a fork of ``launcher.py``."""
    with Launcher(environment, tmp_path_factory.mktemp("launcher")) as launch:
        yield launch


@pytest.fixture(scope="session")
def program(launch):
    """Runs ``python -m experiments.<name> flags...`` as a user would."""

    def run(name, *arguments, check=True, env=None, cwd=ROOT):
        module = f"experiments.{name}"
        if env is None:
            result = launch(module, arguments, cwd)
        else:
            result = subprocess.run(
                [sys.executable, "-m", module, *arguments],
                capture_output=True,
                text=True,
                env=env,
                cwd=cwd,
                timeout=TIME_LIMIT,
            )
        if check:
            assert result.returncode == 0, result.stderr
        return result

    return run


@pytest.fixture(scope="session")
def schema() -> dict[str, Any]:
    """The JSON schema of the benchmark's results."""
    path = ROOT / "experiments" / "benchmark" / "v1" / "schema.json"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.fixture
def downloads(tmp_path) -> Path:
    """An empty folder, for data sets as their owners publish them."""
    path = tmp_path / "downloads"
    path.mkdir()
    return path


@pytest.fixture
def published(tmp_path, downloads):
    """``datasets.load`` from that folder, with a cache beside it."""

    def load(name, split="train", folder=downloads, **options):
        return datasets.load(
            name, split=split, data_dir=folder, cache_dir=tmp_path / "cache", **options
        )

    return load


@pytest.fixture
def noise_folder(tmp_path) -> Path:
    """Twelve 16x16 pictures of noise."""
    folder = tmp_path / "noise"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), np.uint8)
    for i, picture in enumerate(pixels):
        Image.fromarray(picture).save(folder / f"{i:02d}.png")
    return folder


@pytest.fixture
def warned(monkeypatch):
    """Collects what is logged as a warning."""
    lines = []
    record = lambda text, *args: lines.append(text % args)  # noqa: E731
    monkeypatch.setattr(logging, "warning", record)
    return lines
