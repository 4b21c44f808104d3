"""What is used of Beam beyond its public interface. Read this before another version is pinned.

Each is named with what it is for, and the version it was read in.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import select
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import apache_beam as beam
import grpc
from apache_beam import pipeline as beam_pipeline
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import common_urns, python_urns
from apache_beam.runners.portability.fn_api_runner import worker_handlers
from apache_beam.runners.worker import sdk_worker
from apache_beam.utils import interactive_utils
from google.protobuf import json_format, text_format

from skewless.schemas.errors import WorkerLostError

__all__ = [
    "Stable",
    "fork_workers",
    "job_pipeline",
    "keep_every_element",
    "known_options",
    "lost_workers_told",
    "print_no_tracebacks",
    "start_workers_by",
]


class Stable(beam.ParDo):
    """A ParDo that is given an element only once a checkpoint holds it.

    Beam's model has this (`requires_stable_input`) and the Flink runner honours it for every
    language; Beam's Python SDK has no way to ask for it (2.77).
    """

    def to_runner_api_parameter(self, context: Any, **arguments: Any) -> tuple[str, Any]:
        """Asks for stable input."""
        urn, payload = super().to_runner_api_parameter(context, **arguments)
        payload.requires_stable_input = True
        context.add_requirement(common_urns.requirements.REQUIRES_STABLE_INPUT.urn)
        return urn, payload


@contextlib.contextmanager
def job_pipeline(options: PipelineOptions) -> Iterator[beam.Pipeline]:
    """Gives the pipeline of a job, which runs as the context ends: in a notebook as anywhere.

    In a notebook Beam (2.77) loads its interactive half for each transform, to name it by its cell:
    a second and more, an error where pandas is 3 or later, and a temporary directory that stays.
    """
    homes = (interactive_utils, beam_pipeline)
    before = [home.is_in_ipython for home in homes]
    for home in homes:
        home.is_in_ipython = _no_notebook
    try:
        with beam.Pipeline(options=options) as pipeline:
            yield pipeline
    except RuntimeError as error:
        # Beam wraps whatever ends a step in the caller's own thread, Ctrl-C too.
        if str(error).startswith(KeyboardInterrupt.__name__):
            raise KeyboardInterrupt from error
        raise
    finally:
        for home, was in zip(homes, before, strict=True):
            home.is_in_ipython = was


def known_options() -> set[str]:
    """Returns every option that Beam knows, each with its dashes: `PipelineOptions` takes any."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for kind in PipelineOptions.__subclasses__():
        with contextlib.suppress(argparse.ArgumentError):  # Two kinds may share an option.
            kind._add_argparse_args(parser)
    return {option for action in parser._actions for option in action.option_strings}


def keep_every_element() -> None:
    """Turns off the time-based flush of Beam's local data channel, which loses elements.

    In `direct_running_mode` multi_threading and multi_processing a second thread flushes output
    buffers each second: it copies the buffer, sends it, then clears it, without the writer's
    lock, so what is written in between is dropped (Beam 2.77,
    `data_plane.TimeBasedBufferingClosableOutputStream`). 0 means flushing by size alone.
    """
    worker_handlers.DATA_BUFFER_TIME_LIMIT_MS = 0


def print_no_tracebacks() -> None:
    """Stops the local runner from printing the traceback of each worker's error, past any log."""
    sdk_worker.print = _nothing  # type: ignore[attr-defined]


def start_workers_by(pipeline_proto: Any, command: str) -> None:
    """Has the local runner start the worker processes of a pipeline by a line of the shell."""
    for environment in pipeline_proto.components.environments.values():
        if environment.urn == python_urns.SUBPROCESS_SDK:
            environment.payload = command.encode()


def fork_workers(fork: Callable[[Mapping[str, str]], int]) -> None:
    """Has the local runner fork the worker processes of pipelines, where it would start them afresh.

    Args:
      fork: Starts a worker in an environment; returns its process.
    """

    @worker_handlers.WorkerHandler.register_environment(python_urns.SUBPROCESS_SDK, bytes)
    class _Forked(worker_handlers.GrpcWorkerHandler):  # type: ignore[misc]
        def __init__(self, _: bytes, *served_by: Any) -> None:
            super().__init__(*served_by)

        def start_worker(self) -> None:
            options = self.provision_info.provision_info.pipeline_options
            endpoints = {
                "CONTROL_API_SERVICE_DESCRIPTOR": self.control_api_service_descriptor(),
                "LOGGING_API_SERVICE_DESCRIPTOR": self.logging_api_service_descriptor(),
            }
            environment = {
                **os.environ,
                **{name: text_format.MessageToString(one) for name, one in endpoints.items()},
                "PIPELINE_OPTIONS": json_format.MessageToJson(options),
                "WORKER_ID": self.worker_id,
            }
            self._ended = os.pidfd_open(fork(environment))

        def stop_worker(self) -> None:
            select.select([self._ended], [], [])
            os.close(self._ended)


@contextlib.contextmanager
def lost_workers_told(*, quietly: bool) -> Iterator[None]:
    """Makes one error of a worker process that ends in the midst of its work.

    Beam's runner (2.77) says that a channel closed, once in its own error and once from each thread.

    Args:
      quietly: Whether to leave out what its threads say.

    Raises:
      WorkerLostError: If a worker was lost.
    """
    hook, log = threading.excepthook, logging.getLogger(worker_handlers.__name__)
    level = log.level
    if quietly:
        threading.excepthook = _no_lost_call
        log.setLevel(logging.CRITICAL)
    try:
        yield
    except RuntimeError as error:
        if str(error) != "Channel closed prematurely.":
            raise
        raise WorkerLostError(
            "a worker process ended in the midst of its work; it crashed, or was killed, as a system "
            "does that is short of memory: use fewer workers (--direct_num_workers=1) or more memory"
        ) from error
    finally:
        threading.excepthook = hook
        log.setLevel(level)


def _no_lost_call(problem: threading.ExceptHookArgs) -> None:
    """Tells of a thread's error unless it is that of a call whose other side is gone."""
    lost = problem.exc_type is not None and issubclass(problem.exc_type, grpc.RpcError)
    if not lost and "Worker subprocess exited" not in str(problem.exc_value):
        threading.__excepthook__(problem)


def _no_notebook() -> bool:
    return False


def _nothing(*_: Any, **__: Any) -> None:
    """Prints nothing."""
