"""A worker process of the local runner: ends with the command, which alone takes signals.

Beam's own would outlive a command that ends at once, go on writing, and answer Ctrl-C on a terminal
with a traceback. Run as `python -m`, with the command's process as its argument.
"""

from __future__ import annotations

import gc
import logging
import os
import shlex
import sys
import threading
import time

from skewless.schemas.spared_imports import has_clouds, load_spared

__all__ = ["command_line", "main"]

_LOOK_SECONDS = 0.2


def command_line() -> str:
    """Returns the shell's words that start a worker of this process."""
    # What a shell ignores stays ignored, from the first moment of the process it becomes.
    verbose = " -v" * logging.getLogger().isEnabledFor(logging.INFO)
    clouds = " --clouds" * has_clouds()
    words = f"{shlex.quote(sys.executable)} -m {__name__} {os.getpid()}{verbose}{clouds}"
    return f"trap '' INT; exec {words}"


def main() -> None:
    """Works until the runner, or its process, ends."""
    command = int(sys.argv.pop(1))
    threading.Thread(target=_end_with, args=[command], name="parent", daemon=True).start()
    if "-v" not in sys.argv:
        # What libraries say, and the traceback of each error, which the command tells in a line.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        logging.getLogger("apache_beam.runners.worker").setLevel(logging.CRITICAL)
    gc.disable()  # As the command does while modules are being loaded.
    load_spared(("tensorflow", "apache_beam"), clouds="--clouds" in sys.argv)
    from apache_beam.runners.worker import sdk_worker_main

    gc.freeze()
    gc.enable()
    sdk_worker_main.main(sys.argv)
    sys.stdout.flush()
    sys.stderr.flush()
    # TensorFlow's threads may abort a process that ends while they run.
    os._exit(0)


def _end_with(command: int) -> None:
    while os.getppid() == command:
        time.sleep(_LOOK_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
