"""The runner a job gets when none is named: Beam's in-process one, which needs no network.

`DirectRunner` by name tries Prism first, whose binary it downloads; the FnApiRunner that it
falls back to is taken at once.
"""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Sequence

from apache_beam.options.pipeline_options import (
    DirectOptions,
    PipelineOptions,
    StandardOptions,
)
from apache_beam.runners.portability.fn_api_runner import worker_handlers

from skewless.schemas.errors import UsageError, nearest

__all__ = ["LOCAL_RUNNER", "pipeline_options", "runner_name"]

# Threads cost nothing to start and share one process' memory, but also its interpreter lock: work
# ends 1.4 times as early. A process takes ten seconds to start and stop; work ends 1.7 times as
# early. A unit takes two seconds.
_UNITS_WORTH_THREADS = 3
_UNITS_WORTH_PROCESSES = 20
LOCAL_RUNNER = "skewless.beam_pipelines.running.local_fn_runner.LocalRunner"


def pipeline_options(arguments: Sequence[str] | None = None, *, units: int = 0) -> PipelineOptions:
    """Returns Beam's options, with the local runner where none, or DirectRunner, is asked for.

    Args:
      arguments: Options as on a command line.
      units: How many work units there are. Enough of them get a thread for each core, or many a
        process, unless the arguments say how many workers.

    Raises:
      UsageError: If the local runner is given an option that Beam does not know. Other runners
        have options of their own, which only they can judge.
    """
    arguments = list(arguments or ())
    options = PipelineOptions(arguments)
    standard = options.view_as(StandardOptions)
    if standard.runner in (None, "DirectRunner"):
        _refuse_unknown(arguments)
        standard.runner = LOCAL_RUNNER
        _keep_every_element()
        _choose_workers(options.view_as(DirectOptions), arguments, units)
    return options


def _choose_workers(direct: DirectOptions, arguments: list[str], units: int) -> None:
    named = {argument.partition("=")[0] for argument in arguments}
    if "--direct_running_mode" in named:
        return
    if "--direct_num_workers" in named:
        if direct.direct_num_workers != 1:
            direct.direct_running_mode = "multi_processing"
    elif units >= _UNITS_WORTH_THREADS:
        direct.direct_num_workers = os.cpu_count() or 1
        many = units >= _UNITS_WORTH_PROCESSES
        direct.direct_running_mode = "multi_processing" if many else "multi_threading"


def runner_name(options: PipelineOptions) -> str:
    """Returns the runner's name as people know it."""
    runner = str(options.view_as(StandardOptions).runner)
    return "DirectRunner" if runner == LOCAL_RUNNER else runner


def _refuse_unknown(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for kind in PipelineOptions.__subclasses__():
        with contextlib.suppress(argparse.ArgumentError):  # Two kinds may share an option.
            kind._add_argparse_args(parser)
    known = {option for action in parser._actions for option in action.option_strings}
    for argument in arguments:
        name = argument.partition("=")[0]
        if name.startswith("--") and name not in known:
            valid = [*known, "--input", "--output", "--max-rejected", "--transform", "--overwrite"]
            raise UsageError(
                f"unknown option {name}{nearest(name, valid)}; see --help, or Beam's options"
            )


def _keep_every_element() -> None:
    """Turns off the time-based flush of Beam's local data channel, which loses elements.

    In `direct_running_mode` multi_threading and multi_processing a second thread flushes output
    buffers each second: it copies the buffer, sends it, then clears it, without the writer's
    lock, so what is written in between is dropped (Beam 2.77,
    `data_plane.TimeBasedBufferingClosableOutputStream`). 0 means flushing by size alone.
    """
    worker_handlers.DATA_BUFFER_TIME_LIMIT_MS = 0
