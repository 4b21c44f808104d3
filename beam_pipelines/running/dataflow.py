"""Dataflow: what the command can find out before Google is asked for anything but credentials.

Beam itself says it by an error of its own after the input was planned, or by a job that fails.
"""

from __future__ import annotations

import re

from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    PipelineOptions,
    StandardOptions,
)

from skewless.schemas.errors import UsageError

__all__ = ["check_dataflow", "is_on_dataflow"]

_OPTION = "--runner=DataflowRunner"
# As Beam has it (2.77).
_PROJECT = re.compile(r"[a-z][-a-z0-9:.]+[a-z0-9]")


def is_on_dataflow(options: PipelineOptions) -> bool:
    """Whether workers are Dataflow's, which see no path of anybody's."""
    return str(options.view_as(StandardOptions).runner) == "DataflowRunner"


def check_dataflow(options: PipelineOptions) -> None:
    """Refuses options that Dataflow cannot do with; looks for credentials.

    Raises:
      UsageError: If an option is missing or cannot be, or there are no credentials.
    """
    if not is_on_dataflow(options):
        return
    google = options.view_as(GoogleCloudOptions)
    for name in ("project", "region", "temp_location"):
        if not getattr(google, name):
            raise UsageError(
                f"{_OPTION}: --{name} is missing; expected --project, --region and "
                "--temp_location=gs://BUCKET/tmp (docs/cluster.md#dataflow)"
            )
    if not _PROJECT.fullmatch(google.project):
        raise UsageError(
            f"{_OPTION}: --project={google.project}: expected a project's ID, such as my-project-1"
        )
    for name in ("temp_location", "staging_location"):
        place = getattr(google, name)
        if place and not place.startswith("gs://"):
            raise UsageError(f"{_OPTION}: --{name}={place}: expected gs://BUCKET/tmp")
    _check_credentials()


def _check_credentials() -> None:
    try:
        import google.auth
        from apache_beam.runners.dataflow import dataflow_runner  # noqa: F401
        from google.auth.exceptions import GoogleAuthError
    except ImportError as error:
        raise UsageError(
            f"{_OPTION}: Beam's part for Google is not installed; run `pip install 'apache-beam[gcp]'`"
        ) from error
    try:
        google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    except GoogleAuthError as error:
        raise UsageError(
            f"{_OPTION}: no credentials were found; set GOOGLE_APPLICATION_CREDENTIALS, or run `gcloud auth "
            "application-default login`"
        ) from error
