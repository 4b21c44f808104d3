"""The Beam pipelines of `preprocess`: a transform is fitted, and rows are written by it.

    work units -> duplicates -> histories -> analysis -> transform -> rows written -> outcome

Only descriptors of work cross stages; the training split alone is analysed. A pipeline leaves its
outcome as a file beside what it writes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import apache_beam as beam
import tensorflow as tf
from apache_beam.pvalue import AsSingleton

from skewless.beam_pipelines.analysis.cache import AnalysisCache
from skewless.beam_pipelines.analysis.duplicates import COMPARING_KEYS
from skewless.beam_pipelines.analysis.stage import ANALYSING, Analyse, AnalyseWithTransform
from skewless.beam_pipelines.batch.plan import OTHER_TRANSFORM, Fit, Planned
from skewless.beam_pipelines.batch.work import Work
from skewless.beam_pipelines.histories.left import LeftPasts
from skewless.beam_pipelines.histories.stage import GATHERING
from skewless.beam_pipelines.records.outcome import Outcome, leave_outcome, taken_outcome
from skewless.beam_pipelines.records.parts import make_sink_folders
from skewless.beam_pipelines.records.sinks import ShardFormat
from skewless.beam_pipelines.records.write_rows import (
    ACCOUNTS,
    PARTS,
    STATISTICS,
    WRITING,
    WriteRows,
)
from skewless.beam_pipelines.rows.first_rows import check_spellings
from skewless.beam_pipelines.running.beam_internals import job_pipeline
from skewless.beam_pipelines.running.job_progress import Tally, tally_in, watched
from skewless.beam_pipelines.running.local_runner import may_be_apart
from skewless.beam_pipelines.transform.constants import Constants
from skewless.beam_pipelines.transform.fitted_transform import check_fitted
from skewless.beam_pipelines.transform.graph import write_transform_graph
from skewless.beam_pipelines.transform.numeric import numbers_of
from skewless.beam_pipelines.transform.own.function import check_own_assets
from skewless.beam_pipelines.transform.own.sent import SentFunction
from skewless.beam_pipelines.transform.own.sources import leave_sources
from skewless.beam_pipelines.transform.preprocessing_fn import make_preprocessing_fn
from skewless.beam_pipelines.transform.vocabulary_files import declared_files
from skewless.schemas.records.constants import write_numbers
from skewless.schemas.records.layout import ASSETS, TRANSFORM, TRANSFORM_FN
from skewless.schemas.rows.prepare import RawTensors
from skewless.schemas.spec.features import NumericFeature
from skewless.schemas.spec.kinds.history import histories_of
from skewless.schemas.spec.spec import Spec
from skewless.schemas.storage.between.files import (
    folder_at_hand,
    hand_on_folder,
    inside,
    leave_folder,
)
from skewless.schemas.storage.location import is_uri

__all__ = ["TEMPORARY", "StagedJob", "fitted_and_written"]

# Within the staging directory, for what no records directory keeps.
TEMPORARY = "temporary"


@dataclass(frozen=True)
class StagedJob:
    """A planned job with a directory to write into.

    Attributes:
      planned: What it reads.
      fit: Where its transform comes from.
      staging: The directory, which the command sees.
      shared: The path or URI of what workers and command share.
      shards: How records lie in files.
      cache: What earlier analyses found, if it is kept.
      earlier: What an earlier batch left of its users, which histories go on from.
    """

    planned: Planned
    fit: Fit
    staging: Path
    shared: str
    shards: ShardFormat
    cache: AnalysisCache | None = None
    earlier: LeftPasts | None = None

    @property
    def temporary(self) -> str:
        """What workers leave for one another lies here."""
        return inside(self.shared, TEMPORARY)

    @property
    def tally(self) -> Tally | None:
        """Where workers count."""
        return tally_in(inside(self.temporary, "progress"))

    @property
    def work(self) -> Work:
        """Its units, within a pipeline."""
        planned = self.planned
        return Work(
            planned.spec, planned.units, self.temporary, self.cache, self.tally, self.earlier
        )

    @property
    def transform(self) -> Path:
        """The transform that rows are written by, as the command sees it."""
        return self.staging / TRANSFORM


def fitted_and_written(job: StagedJob) -> Outcome:
    """Runs the job's pipelines: rows lie in files that the outcome names.

    Raises:
      DatasetMismatchError: If a fitted transform is of another spec.
      DataError: If rows cannot be used, or have categories written otherwise than the transform's.
    """
    spec = job.planned.spec
    make_sink_folders(job.shared)
    with watched(job.tally, job.planned.units, _stages(job)):
        if job.fit.transform is not None:
            check_fitted(spec, job.fit.transform, OTHER_TRANSFORM)
            assets = job.fit.transform / TRANSFORM_FN / ASSETS
            check_spellings(spec, job.planned.units, spec, assets)
            shutil.copytree(job.fit.transform, job.transform)
            return _apply(job)
        if spec.preprocessing is None:
            return _fit_and_apply(job)
        return _fit_with_transform_and_apply(job)


def _stages(job: StagedJob) -> list[str]:
    """Returns what all units go through, in this order."""
    return [
        *([COMPARING_KEYS] if job.planned.spec.key is not None else []),
        *([GATHERING] if histories_of(job.planned.spec.features) else []),
        *([ANALYSING] if job.fit.transform is None else []),
        WRITING,
    ]


def _apply(job: StagedJob) -> Outcome:
    """Writes rows by the transform that lies in the staging directory."""
    with job_pipeline(job.planned.options) as pipeline:
        work, duplicates = job.work.begun(pipeline)
        fitted = inside(hand_on_folder(job.transform, job.shared), TRANSFORM_FN)
        saved_model = pipeline | "FittedTransform" >> beam.Create([fitted])
        leave_outcome(pipeline, job.shared, **_written(job, work, duplicates, saved_model))
    return taken_outcome(job.shared)


def _fit_and_apply(job: StagedJob) -> Outcome:
    """Analyses the training rows, builds the transform and writes rows by it."""
    with job_pipeline(job.planned.options) as pipeline:
        work, duplicates = job.work.begun(pipeline)
        constants, counted = _analysed(job, work, duplicates)
        declared = declared_files(job.planned.spec, job.shared)
        saved_model = constants | "WriteTransform" >> beam.Map(
            _transform_left, job.planned.spec, declared, job.shared
        )
        written = _written(job, work, duplicates, saved_model)
        leave_outcome(
            pipeline,
            job.shared,
            **written,
            counted=counted,
            constants=constants,
            transform=saved_model,
        )
    outcome = taken_outcome(job.shared)
    _bring_transform(job, outcome)
    return outcome


def _bring_transform(job: StagedJob, outcome: Outcome) -> None:
    """Has the transform that workers left in a bucket lie in the staging directory."""
    if is_uri(outcome.transform):
        shutil.copytree(folder_at_hand(outcome.transform.rpartition("/")[0]), job.transform)


def _transform_left(
    constants: Constants, spec: Spec, declared: Mapping[str, str], shared: str
) -> str:
    """Builds the transform and leaves it for all; returns where its SavedModel lies."""
    constants = replace(constants, vocabularies={**constants.vocabularies, **declared})
    left = leave_folder(
        shared, TRANSFORM, lambda path: write_transform_graph(spec, constants, path)
    )
    return inside(left, TRANSFORM_FN)


def _fit_with_transform_and_apply(job: StagedJob) -> Outcome:
    """The same in three pipelines: tf.Transform wants our constants when it is built.

    In one pipeline with its analysis, Beam's local runner waits for the writing stage's side
    input before it has made it.
    """
    import tensorflow_transform.beam as tft_beam

    spec, options = job.planned.spec, job.planned.options
    with job_pipeline(options) as pipeline:
        work, duplicates = job.work.begun(pipeline)
        constants, counted = _analysed(job, work, duplicates)
        leave_outcome(pipeline, job.shared, constants=constants, counted=counted)
    analysed = taken_outcome(job.shared)
    found = analysed.constants
    assert found is not None
    directory = job.shared if is_uri(job.shared) else str(job.transform)
    here = str(job.staging / TEMPORARY)
    with job_pipeline(options) as pipeline, tft_beam.Context(temp_dir=here):
        work, duplicates = job.work.begun(pipeline)
        past = job.work.with_past(work, duplicates)
        analyse = AnalyseWithTransform(spec, _own_function(job, found), directory, duplicates)
        left = past | "AnalyseWithTransform" >> analyse
        if is_uri(directory):
            leave_outcome(pipeline, directory, transform=left)
    if is_uri(directory):
        _bring_transform(job, taken_outcome(directory))
    check_own_assets(spec, found.vocabularies, str(job.transform))
    # No more than is needed: the file counts in the transform's digest, by which records and runs of
    # earlier versions are known.
    numbers = (f for f in spec.features.values() if isinstance(f, NumericFeature))
    if any(feature.linear_bins for feature in numbers):
        write_numbers(job.transform, numbers_of(found.numbers))
    return replace(_apply(job), counted=analysed.counted)


def _own_function(
    job: StagedJob, constants: Constants
) -> Callable[[RawTensors], dict[str, tf.Tensor]]:
    """Returns the preprocessing function as the job's workers can call it."""
    spec = job.planned.spec
    if not is_uri(job.shared) and not may_be_apart(job.planned.options):
        return make_preprocessing_fn(spec, constants)
    declared = declared_files(spec, job.shared)
    constants = replace(constants, vocabularies={**constants.vocabularies, **declared})
    return SentFunction(spec, constants, leave_sources(spec, job.temporary))


def _analysed(
    job: StagedJob, work: beam.PCollection, duplicates: AsSingleton
) -> tuple[beam.PCollection, beam.PCollection]:
    earlier = job.fit.grow_from
    grow_from = None if earlier is None else hand_on_folder(earlier, job.shared)
    return work | "AnalyseTrainingRows" >> Analyse(
        job.planned.spec,
        job.temporary,
        job.work.partitions,
        duplicates,
        job.cache,
        grow_from,
        job.tally,
    )


def _written(
    job: StagedJob, work: beam.PCollection, duplicates: AsSingleton, saved_model: beam.PCollection
) -> Mapping[str, beam.PCollection]:
    write = WriteRows(job.planned.spec, job.shared, job.shards, job.tally)
    past, left = job.work.with_past_left(work, duplicates, job.shared)
    written = past | "WriteRows" >> beam.ParDo(
        write, AsSingleton(saved_model), duplicates
    ).with_outputs(PARTS, ACCOUNTS, STATISTICS)
    found = {tag: written[tag] for tag in (PARTS, ACCOUNTS, STATISTICS)}
    if left is not None:
        found[PARTS] = (found[PARTS], left) | "AllParts" >> beam.Flatten()
    return found
