"""Runs programs in forks of one process, which has imported what all of them import.

Reads a request a line. One to begin a program has its module, arguments, folder, files
for standard output and error, and a number of devices or null; the answer is the
number of its process. One about a process says whether to wait for its end; the answer
is its exit status, or null where it goes on. A fork ends as a program of its own would.
"""

import gc
import importlib
import json
import os
import pkgutil
import runpy
import sys

# What takes long to import. JAX has no backend yet: none would survive a fork.
import flax.linen  # noqa: F401
import jax
import matplotlib.figure  # noqa: F401
import orbax.checkpoint  # noqa: F401

import inpaint_jax

for module in pkgutil.walk_packages(inpaint_jax.__path__, "inpaint_jax."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)


def main() -> None:
    # What was imported is no garbage. A fork that looked for some at its end would copy
    # every page of it, which takes longer than most of what the tests ask for.
    gc.freeze()
    for line in iter(sys.stdin.readline, ""):
        request = json.loads(line)
        process = request.get("process")
        if process is not None:
            options = 0 if request["wait"] else os.WNOHANG
            ended, status = os.waitpid(process, options)
            print(os.waitstatus_to_exitcode(status) if ended else "null", flush=True)
            continue
        process = os.fork()
        if process == 0:
            become(**request)
            return
        print(process, flush=True)


def become(
    module: str, arguments: list[str], cwd: str, out: str, err: str, devices: int | None
) -> None:
    """Runs the module as ``python -m`` does; leaves with what it leaves with."""
    os.chdir(cwd)
    nothing = os.open(os.devnull, os.O_RDONLY)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for number, file in (
        (0, nothing),
        (1, os.open(out, flags)),
        (2, os.open(err, flags)),
    ):
        os.dup2(file, number)
    if devices is not None:
        jax.config.update("jax_num_cpu_devices", devices)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
