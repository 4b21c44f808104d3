"""Beam's in-process runner, with worker processes of our own."""

from __future__ import annotations

import logging
from typing import Any

from apache_beam.portability import python_urns
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.worker import sdk_worker

from skewless.beam_pipelines.running.local_worker import command_line

__all__ = ["LocalRunner"]


def _nothing(*_: Any, **__: Any) -> None:
    """Prints nothing."""


class LocalRunner(FnApiRunner):
    """Starts the worker processes of a job by `running.local_worker`."""

    def run_via_runner_api(self, pipeline_proto: Any, options: Any) -> Any:
        """Runs the job."""
        if not logging.getLogger().isEnabledFor(logging.INFO):
            # It prints the traceback of each error that a worker's thread has, past any log.
            sdk_worker.print = _nothing  # type: ignore[attr-defined]
        for environment in pipeline_proto.components.environments.values():
            if environment.urn == python_urns.SUBPROCESS_SDK:
                environment.payload = command_line().encode()
        return super().run_via_runner_api(pipeline_proto, options)
