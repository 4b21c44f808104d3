"""The runner a job gets when none is named: Beam's in-process one, which needs no network.

`DirectRunner` by name tries Prism first, whose binary it downloads; the FnApiRunner that it
falls back to is taken at once.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeAlias

from apache_beam.options.pipeline_options import (
    DirectOptions,
    PipelineOptions,
    StandardOptions,
)

from skewless.beam_pipelines.running.beam_internals import keep_every_element, known_options
from skewless.beam_pipelines.running.fork_server import fork_server
from skewless.schemas.errors import UsageError, nearest

__all__ = [
    "LOCAL_RUNNER",
    "BeamOptions",
    "completed_options",
    "is_named",
    "may_be_apart",
    "pipeline_options",
    "runner_name",
]

BeamOptions: TypeAlias = PipelineOptions | Sequence[str]

# A unit takes a second or two. A forked process is there at once, makes its graphs in half a second, and
# work ends 1.8 times as early as with one. Where a process must be started afresh that takes seconds;
# threads cost nothing and share one memory, graphs too, but also Python's lock: work ends 1.4 times as early.
_UNITS_WORTH_FORKING = 2
_UNITS_WORTH_THREADS = 3
_UNITS_WORTH_PROCESSES = 20
LOCAL_RUNNER = "skewless.beam_pipelines.running.local_fn_runner.LocalRunner"


def pipeline_options(
    arguments: Sequence[str] | None = None, *, units: int = 0, brief: bool = False
) -> PipelineOptions:
    """Returns Beam's options, with the local runner where none, or DirectRunner, is asked for.

    Args:
      arguments: Options as on a command line.
      units: How many work units there are. Enough of them get a process for each core, or a thread,
        unless the arguments say how many workers.
      brief: Whether a unit is far less work than one usually is.

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
        keep_every_element()
        forks = fork_server() is not None and not brief
        _choose_workers(options.view_as(DirectOptions), arguments, units, forks=forks)
    return options


def completed_options(
    options: BeamOptions, *, units: int = 0, brief: bool = False
) -> PipelineOptions:
    """Returns Beam's options; those given as on a command line are completed.

    Args:
      options: As `pipeline_options` gives them, or takes them.
      units, brief: As `pipeline_options` takes them.

    Raises:
      UsageError: As `pipeline_options` does.
    """
    if isinstance(options, PipelineOptions):
        return options
    return pipeline_options(options, units=units, brief=brief)


def is_named(name: str, options: BeamOptions) -> bool:
    """Whether an option, without its dashes, is given another value than its default."""
    if not isinstance(options, PipelineOptions):
        options = PipelineOptions(list(options))
    return name in options.get_all_options(drop_default=True, retain_unknown_options=True)


def _choose_workers(
    direct: DirectOptions, arguments: list[str], units: int, *, forks: bool
) -> None:
    named = {argument.partition("=")[0] for argument in arguments}
    if "--direct_running_mode" in named:
        return
    if "--direct_num_workers" in named:
        if direct.direct_num_workers != 1:
            direct.direct_running_mode = "multi_processing"
    elif units >= (_UNITS_WORTH_FORKING if forks else _UNITS_WORTH_THREADS):
        direct.direct_num_workers = os.cpu_count() or 1
        processes = forks or units >= _UNITS_WORTH_PROCESSES
        direct.direct_running_mode = "multi_processing" if processes else "multi_threading"


def runner_name(options: PipelineOptions) -> str:
    """Returns the runner's name as people know it."""
    runner = str(options.view_as(StandardOptions).runner)
    return "DirectRunner" if runner == LOCAL_RUNNER else runner


def may_be_apart(options: PipelineOptions) -> bool:
    """Whether a job's workers may be on other machines than the command."""
    return runner_name(options) != "DirectRunner"


def _refuse_unknown(arguments: list[str]) -> None:
    known = known_options()
    for argument in arguments:
        name = argument.partition("=")[0]
        if name.startswith("--") and name not in known:
            valid = [*known, "--input", "--output", "--max-rejected", "--transform", "--overwrite"]
            raise UsageError(
                f"unknown option {name}{nearest(name, valid)}; see --help, or Beam's options"
            )
