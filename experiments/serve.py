"""Serves a page on which holes are painted into photographs and filled.

    python -m experiments.serve
    python -m experiments.serve --model=cars64 --port=8080

Open the address that it prints. A photograph is dropped, what is missing painted over,
and the answers come side by side, to be downloaded at full size; they are those of
experiments.inpaint. The page is for this machine alone, unless --host says otherwise;
it asks for nothing from the network, and files are gone after half an hour, or when the
program ends.
"""

import os
import socket
import tempfile
from pathlib import Path

from absl import flags

from experiments.flags import model as model_flags
from experiments.flags import search as search_flags
from experiments.runtime import compilation_cache, program
from experiments.runtime.stopping import StopSignal
from experiments.serving.desk import Desk

_MODEL = model_flags.define_model_for_photographs()
for _module in (compilation_cache, model_flags, search_flags):
    flags.adopt_module_key_flags(_module)

_HOST = flags.DEFINE_string(
    "host",
    "127.0.0.1",
    "Address to listen at. With 0.0.0.0 everybody in the network can use the page, "
    "without a password.",
)
_PORT = flags.DEFINE_integer(
    "port",
    7860,
    "Port to listen at; 0: any free one.",
    lower_bound=0,
    upper_bound=65535,
)
_MAX_MEGABYTES = flags.DEFINE_integer(
    "max_megabytes", 50, "Greatest size of a photograph's file.", lower_bound=1
)
_MAX_MEGAPIXELS = flags.DEFINE_float(
    "max_megapixels", 40.0, "Greatest size of a photograph.", lower_bound=0.0
)
_MAX_WAITING = flags.DEFINE_integer(
    "max_waiting",
    8,
    "Greatest number of jobs that wait while one is worked on; more are told to come "
    "back later.",
    lower_bound=1,
)
_SEED = flags.DEFINE_integer(
    "seed", 0, "Seed of the searches.", lower_bound=0, upper_bound=2**31 - 1
)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="inpaint_jax-") as folder:
        # Gradio reads them when it is imported, and when parts of a page are made.
        os.environ["GRADIO_TEMP_DIR"] = folder
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        try:
            import uvicorn

            from experiments.serving import page
        except ImportError as error:
            raise program.UsageError(
                f"the page wants Gradio ({error}): pip install 'inpaint_jax[web]'"
            ) from error
        listening = _listen(_HOST.value, _PORT.value)
        model = model_flags.or_default(_MODEL.value)
        desk = Desk(model, _SEED.value, _MAX_MEGAPIXELS.value)
        desk.warm_up()
        limits = page.Limits(_MAX_MEGABYTES.value, _MAX_WAITING.value)
        app = page.application(desk, limits, Path(folder))
        # A browser's open connections must not keep the program from ending.
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
        )
        host, port = listening.getsockname()[:2]
        print(f"http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)
        with StopSignal():  # uvicorn passes signals on when it has ended.
            server.run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    """A socket at an address.

    Raises:
      program.UsageError: The address is not to be had.
    """
    try:
        (family, *_, address), *_ = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]  # Python adds the address.
        raise program.UsageError(
            f"cannot listen at --host={host} --port={port}: {reason}"
        ) from error


if __name__ == "__main__":
    program.run(main)
