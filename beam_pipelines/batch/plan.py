"""Planning: what a batch job is to do, checked before any row is read."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from apache_beam.options.pipeline_options import PipelineOptions

from skewless.beam_pipelines.analysis.grow import check_growable
from skewless.beam_pipelines.rows.split_changes import tell_split_changes
from skewless.beam_pipelines.running.dataflow import check_dataflow, is_on_dataflow
from skewless.beam_pipelines.running.local_runner import BeamOptions, completed_options, runner_name
from skewless.beam_pipelines.sources import WorkUnit
from skewless.beam_pipelines.sources.opened import OpenedFile, one_unit_each, unit_count
from skewless.beam_pipelines.sources.plan import as_seen_from_anywhere, opened_files
from skewless.beam_pipelines.transform.fitted_transform import check_fitted
from skewless.beam_pipelines.transform.preprocessing_fn import check_declared
from skewless.schemas.errors import UsageError
from skewless.schemas.spec.spec import Spec
from skewless.schemas.storage.location import is_uri

__all__ = ["OTHER_TRANSFORM", "Fit", "Opened", "Planned", "checked_fit", "opened_input"]

_LOGGER = logging.getLogger(__name__)
# What to do about a transform of another spec.
OTHER_TRANSFORM = "use that one, or leave --transform out"


@dataclass(frozen=True)
class Fit:
    """Where the transform comes from.

    Attributes:
      transform: A fitted transform to apply as it is; None fits one.
      grow_from: A fitted transform whose IDs and constants the new one keeps.
    """

    transform: Path | None = None
    grow_from: Path | None = None


@dataclass(frozen=True)
class Opened:
    """A batch job whose input is known by its headers and footers.

    Attributes:
      spec: The declaration.
      files: The input, in its order.
      options: Beam's.
    """

    spec: Spec
    files: Sequence[OpenedFile]
    options: PipelineOptions


@dataclass(frozen=True)
class Planned:
    """A batch job: what it reads, and how it runs.

    Attributes:
      spec: The declaration.
      units: The work, in the order of the input.
      options: Beam's.
    """

    spec: Spec
    units: Sequence[WorkUnit]
    options: PipelineOptions

    @property
    def runner(self) -> str:
        """The runner's name as people know it."""
        return runner_name(self.options)


def checked_fit(
    spec: Spec,
    *,
    transform: str | Path | None,
    grow_from: str | Path | None,
    overwritten: str | Path | None,
) -> Fit:
    """Returns where the transform comes from; warns of rows that change their split.

    Args:
      spec: The declaration.
      transform: Of `Fit`.
      grow_from: Of `Fit`.
      overwritten: Records that the job's are to replace.

    Raises:
      SpecError: If the spec's own function cannot be used.
      UsageError: If both transforms are given, or no vocabulary can grow.
      DatasetMismatchError: If the transform is none, or of another spec as far as that is known before
        rows are read: the edges of a split by shares of time are not.
    """
    check_declared(spec)
    if grow_from is not None:
        if transform is not None:
            raise UsageError("--grow-from: fits anew, and --transform does not; leave out one")
        check_growable(spec, str(grow_from))
        tell_split_changes(spec, Path(grow_from).parent, f"--grow-from {grow_from}")
    if transform is not None:
        if not spec.split.needs_edges:
            check_fitted(spec, Path(transform), OTHER_TRANSFORM)
        tell_split_changes(spec, Path(transform).parent, f"--transform {transform}")
    if overwritten is not None:
        tell_split_changes(spec, Path(overwritten), f"{overwritten}, which is overwritten")
    return Fit(
        None if transform is None else Path(transform),
        None if grow_from is None else Path(grow_from).absolute(),
    )


def opened_input(
    spec: Spec,
    inputs: Sequence[str],
    options: BeamOptions,
    *,
    serving: bool = False,
) -> Opened:
    """Opens the input; `batch.cut` makes work units of it.

    Args:
      spec: The declaration.
      inputs: Globs.
      options: Beam's; those given as on a command line are completed by what the work deserves.
      serving: Whether rows have no label.

    Raises:
      UsageError: If a glob matches nothing, or the runner cannot do with the options or files.
      DataError: If a file cannot be used.
    """
    check_dataflow(completed_options(options))
    files = opened_files(inputs, spec, serving=serving)
    completed = completed_options(options, units=unit_count(files))
    said = one_unit_each(files)
    if said:
        _LOGGER.warning("%s", said)
    here = next((file.whole.file for file in files if not is_uri(file.whole.file)), None)
    if here is not None and is_on_dataflow(completed):
        raise UsageError(
            f"{here}: Dataflow's workers see no disk of this machine; put it into a bucket, and give --input "
            "as a URI"
        )
    if runner_name(completed) != "DirectRunner":
        files = [file.with_whole(as_seen_from_anywhere(file.whole)) for file in files]
    return Opened(spec, files, completed)
