"""What the tests share: where the real images are, and a model too small to be slow."""

import dataclasses
import gc
import json
import os
import select
import signal
import socket
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
from PIL import Image

from experiments.runtime import compilation_cache
from inpaint_jax.baselines.context_encoder import ContextEncoderConfig
from inpaint_jax.baselines.vae import VaeConfig
from inpaint_jax.configs import Architecture
from inpaint_jax.pretrained import Parts, save_model
from inpaint_jax.training import gan, recipes
from inpaint_jax.training.recipes import AutoencoderConfig
from inpaint_jax.types import Metric

ROOT = Path(__file__).parents[1]

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
    "completion",
    "latents",
    "losses",
    "masks",
    "metrics",
    "search",
}
TIME_LIMIT = 900  # Seconds that a program may take, on a machine with much to do.
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


class Launcher:
    """A process whose forks run modules as ``python -m`` does.

    Args:
      environment: Of the process; says where the modules are.
      folder: For what the modules say.
    """

    def __init__(self, environment, folder):
        self.environment, self.folder, self.process = environment, folder, None
        self.begun = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process is not None:
            for begun in self.begun:
                begun.kill()  # What a test that failed has left.
            self.process.communicate()

    def __call__(self, module, arguments, cwd):
        """What came of a module, run with these arguments in this folder."""
        begun = self.begin(module, arguments, cwd)
        said = begun.communicate()
        return subprocess.CompletedProcess(
            [module, *arguments], begun.returncode, *said
        )

    def begin(self, module, arguments, cwd=ROOT, devices=None):
        """A ``Begun`` module, with so many devices if a number is given."""
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "tests" / "launcher.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=self.environment,
                cwd=self.folder,
                text=True,
                start_new_session=True,
            )
        number = len(self.begun)
        files = [self.folder / f"{number}.{kind}" for kind in ("out", "err")]
        process = self.ask(
            module=module,
            arguments=list(arguments),
            cwd=str(cwd),
            out=str(files[0]),
            err=str(files[1]),
            devices=devices,
        )
        self.begun.append(Begun(self, process, files))
        return self.begun[-1]

    def ask(self, timeout=TIME_LIMIT, **request):
        """The answer to a request."""
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], timeout)
        if not ready:
            os.killpg(self.process.pid, signal.SIGKILL)  # The forks as well.
            self.process.communicate()
            self.process, self.begun = None, []  # The next module gets another.
            raise subprocess.TimeoutExpired(str(request), timeout)
        return json.loads(self.process.stdout.readline())


class Begun:
    """A module that a launcher has begun, as a ``subprocess.Popen``."""

    def __init__(self, launcher, process, files):
        self.launcher, self.process, self.files = launcher, process, files
        self.returncode = None

    def poll(self, wait=False):
        """Its exit status, or None where it goes on."""
        if self.returncode is None:
            self.returncode = self.launcher.ask(process=self.process, wait=wait)
        return self.returncode

    def communicate(self):
        """What it has said on standard output and error when it has ended."""
        self.poll(wait=True)
        return tuple(file.read_text() for file in self.files)

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.process, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


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


class Job:
    """Processes that run one program together, meeting over gloo.

    Args:
      launch: The launcher.
      module: What each runs.
      arguments: Those of each, without what tells them apart.
      processes: How many.
      devices: Of each; or a list, of one after the other.
    """

    def __init__(self, launch, module, arguments, processes, devices=1):
        counts = devices if isinstance(devices, list) else [devices] * processes
        with socket.socket() as free:
            free.bind(("localhost", 0))
            address = f"localhost:{free.getsockname()[1]}"
        self.processes = [
            launch.begin(
                module,
                [
                    *arguments,
                    "--distributed",
                    f"--coordinator_address={address}",
                    f"--num_processes={processes}",
                    f"--process_id={process}",
                    "--heartbeat_timeout=8",
                ],
                devices=counts[process],
            )
            for process in range(processes)
        ]

    def wait(self):
        """Exit statuses, and what each said on standard output and error."""
        said = [process.communicate() for process in self.processes]
        return [process.returncode for process in self.processes], said

    def kill(self):
        for process in self.processes:
            process.kill()
        self.wait()


@pytest.fixture(scope="session")
def schema() -> dict[str, Any]:
    """The JSON schema of the benchmark's results."""
    path = ROOT / "experiments" / "benchmark" / "v1" / "schema.json"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


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
