"""Beam's in-process runner, with worker processes of our own."""

from __future__ import annotations

import logging
from typing import Any

from apache_beam.options.pipeline_options import DirectOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from skewless.beam_pipelines.running.beam_internals import (
    fork_workers,
    lost_workers_told,
    print_no_tracebacks,
    start_workers_by,
)
from skewless.beam_pipelines.running.fork_server import fork_server
from skewless.beam_pipelines.running.local_worker import command_line, share_of_cores

__all__ = ["LocalRunner"]


class LocalRunner(FnApiRunner):
    """Forks the worker processes of a job, or starts them by `running.local_worker`."""

    def run_via_runner_api(self, pipeline_proto: Any, options: Any) -> Any:
        """Runs the job."""
        quietly = not logging.getLogger().isEnabledFor(logging.INFO)
        if quietly:
            print_no_tracebacks()
        share = share_of_cores(options.view_as(DirectOptions).direct_num_workers)
        server = fork_server()
        if server is not None:
            fork_workers(lambda environment: server.fork({**environment, **share}))
        start_workers_by(pipeline_proto, command_line(share))
        with lost_workers_told(quietly=quietly):
            return super().run_via_runner_api(pipeline_proto, options)
