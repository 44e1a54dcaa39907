"""The page of ``experiments.serve``, started for a test."""

import signal
import time

from launching import TIME_LIMIT


class Server:
    """The program, started on a free port.

    Args:
      launch: The launcher.
      folder: The folder that it is started in.
      arguments: Of the program.

    Attributes:
      url: Where the page is.
      folder: Where it keeps files, if a test has found out.
    """

    def __init__(self, launch, folder, *arguments):
        self.begun = launch.begin("experiments.serve", ["--port=0", *arguments], folder)
        out, deadline = self.begun.files[0], time.monotonic() + TIME_LIMIT
        while not (out.exists() and out.read_text().endswith("\n")):
            assert self.begun.poll() is None, self.begun.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.1)
        self.url, self.folder = out.read_text().strip(), None

    @property
    def log(self):
        return self.begun.files[1].read_text()

    def stop(self):
        self.begun.send_signal(signal.SIGTERM)
        self.begun.communicate()
        return self.begun.returncode
