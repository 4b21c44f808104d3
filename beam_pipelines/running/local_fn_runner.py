"""Beam's in-process runner, with worker processes of our own."""

from __future__ import annotations

import logging
from typing import Any

from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from skewless.beam_pipelines.running.beam_internals import print_no_tracebacks, start_workers_by
from skewless.beam_pipelines.running.local_worker import command_line

__all__ = ["LocalRunner"]


class LocalRunner(FnApiRunner):
    """Starts the worker processes of a job by `running.local_worker`."""

    def run_via_runner_api(self, pipeline_proto: Any, options: Any) -> Any:
        """Runs the job."""
        if not logging.getLogger().isEnabledFor(logging.INFO):
            print_no_tracebacks()
        start_workers_by(pipeline_proto, command_line())
        return super().run_via_runner_api(pipeline_proto, options)
