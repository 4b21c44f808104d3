"""A worker process of the local runner: ends with the command, which alone takes signals.

Beam's own would outlive a command that ends at once, go on writing, and answer Ctrl-C on a terminal
with a traceback. Forked off a command's `fork_server`, or run as `python -m` with the process that it
ends with as its argument.
"""

from __future__ import annotations

import gc
import logging
import os
import shlex
import sys
import threading
import time
from collections.abc import Mapping

from skewless.beam_pipelines.running.fork_server import start
from skewless.schemas.spared_imports import has_clouds, load_spared

__all__ = ["command_line", "main", "serve", "share_of_cores"]

_LOOK_SECONDS = 0.2


def share_of_cores(workers: int) -> dict[str, str]:
    """Returns the environment in which one of that many workers runs TensorFlow by its share of threads.

    Workers that each have a thread for every core take the cores from each other: a million of the
    benchmark's rows took 5% longer. What is set already stays.
    """
    cores = os.cpu_count() or 1
    threads = str(max(1, cores // (workers or cores)))
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    return {name: threads for name in names if name not in os.environ}


def command_line(environment: Mapping[str, str]) -> str:
    """Returns the shell's words that start a worker of this process, with more in its environment."""
    # What a shell ignores stays ignored, from the first moment of the process it becomes.
    verbose = " -v" * logging.getLogger().isEnabledFor(logging.INFO)
    clouds = " --clouds" * has_clouds()
    more = "".join(f"{name}={shlex.quote(value)} " for name, value in environment.items())
    words = f"env {more}{shlex.quote(sys.executable)} -m {__name__} {os.getpid()}{verbose}{clouds}"
    return f"trap '' INT; exec {words}"


def main() -> None:
    """Works, in a process of its own, until the runner or its process ends."""
    command = int(sys.argv.pop(1))
    verbose = "-v" in sys.argv
    gc.disable()  # As the command does while modules are being loaded.
    load_spared(("tensorflow", "apache_beam"), clouds="--clouds" in sys.argv)
    gc.freeze()
    gc.enable()
    _work(command, verbose=verbose)
    sys.stdout.flush()
    sys.stderr.flush()
    # TensorFlow's threads may abort a process that ends while they run.
    os._exit(0)


def serve() -> None:
    """Lets this process fork workers, if it can: to be called when modules are loaded and none has run."""
    start(_forked)


def _forked() -> None:
    """Works, in a process that a fork server made, until the runner or that server ends."""
    verbose = logging.getLogger().isEnabledFor(logging.INFO)
    for handler in logging.getLogger().handlers[:]:  # The command's: it is sent what is logged.
        logging.getLogger().removeHandler(handler)
    _work(os.getppid(), verbose=verbose)


def _work(parent: int, *, verbose: bool) -> None:
    """Does what the runner that the environment names asks for.

    Args:
      parent: The process to end with.
      verbose: Whether what libraries say goes to standard error.
    """
    threading.Thread(target=_end_with, args=[parent], name="parent", daemon=True).start()
    if not verbose:
        # What libraries say, and the traceback of each error, which the command tells in a line.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        logging.getLogger("apache_beam.runners.worker").setLevel(logging.CRITICAL)
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main(sys.argv)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
