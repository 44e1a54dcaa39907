"""Programs under test: alone or several together, as forks of ``launcher.py``."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TIME_LIMIT = 900  # Seconds that a program may take, on a machine with much to do.


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
