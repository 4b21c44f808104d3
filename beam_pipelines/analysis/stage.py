"""The analysis stage: the training split's rows become the constants of the transform graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from skewless.beam_pipelines.analysis.cache import AnalysisCache, UnitCounts
from skewless.beam_pipelines.analysis.counts import Analysis, AnalysisTotals
from skewless.beam_pipelines.analysis.graph import AnalysisGraph
from skewless.beam_pipelines.analysis.grow import grown_constants
from skewless.beam_pipelines.analysis.token_counts import KnownPieces
from skewless.beam_pipelines.rows.read_rows import rows_of
from skewless.beam_pipelines.running.job_progress import Tally, progress_of
from skewless.beam_pipelines.sources import WorkUnit
from skewless.beam_pipelines.sources.place import tells_its_place
from skewless.beam_pipelines.transform.constants import Constants
from skewless.beam_pipelines.transform.preprocessing_fn import make_preprocessing_fn
from skewless.schemas.rows.row_encoding import list_batch, list_schema
from skewless.schemas.spec.spec import Spec
from skewless.schemas.spec.splits import SPLITS

__all__ = ["ANALYSING", "COUNTS", "Analyse", "AnalyseWithTransform"]

ANALYSING = "analysing"
COUNTS = "counts"
# After so many batches a worker knows its frequent pieces, and counts those by looking them up.
_LEARNING_BATCHES = 2
_KNOWN_PIECES = 1 << 17


class Analyse(beam.PTransform):
    """[work units] -> (one `Constants`, [(unit order, records read, whether from the cache)]).

    Vocabulary files go to `directory`; with `grow_from`, a fitted transform, they begin with its.
    """

    def __init__(
        self,
        spec: Spec,
        directory: str,
        duplicates: Any,
        cache: AnalysisCache | None = None,
        grow_from: str | None = None,
        tally: Tally | None = None,
    ) -> None:
        super().__init__()
        self._spec = spec
        self._directory = directory
        self._duplicates = duplicates
        self._cache = cache
        self._grow_from = grow_from
        self._tally = tally

    def expand(self, units: beam.PCollection) -> tuple[beam.PCollection, beam.PCollection]:
        counted = units | "CountTrainingRows" >> beam.ParDo(
            _CountTrainingRows(self._spec, self._cache, self._tally), self._duplicates
        ).with_outputs(COUNTS, main="analyses")
        constants = (
            counted.analyses
            | "MergeAnalyses" >> beam.CombineGlobally(_MergeAnalyses())
            | "ChooseConstants"
            >> beam.Map(_constants, self._spec, self._directory, self._grow_from)
        )
        return constants, counted[COUNTS]


def _constants(analysis: Analysis, spec: Spec, directory: str, grow_from: str | None) -> Constants:
    if grow_from is None:
        return analysis.constants(spec, directory)
    return grown_constants(analysis, spec, directory, grow_from)


class AnalyseWithTransform(beam.PTransform):
    """[work units] -> a transform in `directory`, for a spec whose own function may hold analysers.

    tf.Transform finds what those need; ours are `constants` already.
    """

    def __init__(self, spec: Spec, constants: Constants, directory: str, duplicates: Any) -> None:
        super().__init__()
        self._spec = spec
        self._constants = constants
        self._directory = directory
        self._duplicates = duplicates

    def expand(self, units: beam.PCollection) -> beam.PCollection:
        # Two seconds that jobs without a function of their own need not pay.
        import tensorflow_transform.beam as tft_beam
        from tensorflow_metadata.proto.v0 import schema_pb2
        from tfx_bsl.tfxio import tensor_adapter

        rows = units | "ReadTrainingRows" >> beam.FlatMap(
            _training_rows, self._spec, self._duplicates
        )
        schema = list_schema(self._spec)
        representations = {
            name: schema_pb2.TensorRepresentation(
                varlen_sparse_tensor=schema_pb2.TensorRepresentation.VarLenSparseTensor(
                    column_name=name
                )
            )
            for name in schema.names
        }
        dataset = (rows, tensor_adapter.TensorAdapterConfig(schema, representations))
        transform_fn = dataset | "Analyse" >> tft_beam.AnalyzeDataset(
            make_preprocessing_fn(self._spec, self._constants)
        )
        written: beam.PCollection = transform_fn | "WriteTransform" >> tft_beam.WriteTransformFn(
            self._directory
        )
        return written


class _CountTrainingRows(beam.DoFn):
    """Work units to one `Analysis` a bundle, and each unit's record count (`COUNTS`).

    With a cache, to one `Analysis` a unit.
    """

    def __init__(self, spec: Spec, cache: AnalysisCache | None, tally: Tally | None = None) -> None:
        self._spec = spec
        self._cache = cache
        self._tally = tally
        self._known: dict[str, KnownPieces] | None = None
        self._graph: AnalysisGraph | None = None

    def start_bundle(self) -> None:
        """Begins to count this worker's rows."""
        self._totals = AnalysisTotals(self._spec, self._known)
        self._batches = 0
        self._progress = progress_of(ANALYSING, self._tally)

    @tells_its_place
    def process(self, unit: WorkUnit, duplicates: dict[int, np.ndarray]) -> Iterator[Any]:
        """Counts one unit."""
        left_out = duplicates.get(unit.order)
        if self._cache is None:
            read, kept = self._count(unit, left_out), False
        else:
            found, kept = self._cache.counts(unit, left_out, lambda: self._alone(unit, left_out))
            read = found.read
            if kept:
                self._progress.advance(read)
            yield found.analysis
        self._progress.finish(unit, read)
        yield beam.pvalue.TaggedOutput(COUNTS, (unit.order, read, kept))

    def _alone(self, unit: WorkUnit, duplicates: np.ndarray | None) -> UnitCounts:
        self._totals = AnalysisTotals(self._spec, self._known)
        read = self._count(unit, duplicates)
        return UnitCounts(self._totals.analysis(), read)

    def _count(self, unit: WorkUnit, duplicates: np.ndarray | None) -> int:
        """Adds the unit's training rows to the totals; returns the records it holds."""
        count = 0
        for rows in rows_of(unit, self._spec, duplicates=duplicates):
            count += rows.read
            self._progress.advance(rows.read)
            train = rows.take(rows.splits == SPLITS.index("train"))
            if not train.columns.num_rows:
                continue
            if self._graph is None:
                self._graph = AnalysisGraph(self._spec, {})
            if self._known is None and self._batches == _LEARNING_BATCHES:
                self._known = self._totals.know(_KNOWN_PIECES)
                self._graph = AnalysisGraph(self._spec, self._known)
            self._totals.add(self._graph(train.columns))
            self._batches += 1
        return count

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Gives what the bundle's units came to."""
        if self._cache is not None:
            return
        window = GlobalWindow()
        yield WindowedValue(self._totals.analysis(), window.max_timestamp(), [window])


@tells_its_place
def _training_rows(
    unit: WorkUnit, spec: Spec, duplicates: dict[int, np.ndarray]
) -> Iterator[pa.RecordBatch]:
    for rows in rows_of(unit, spec, duplicates=duplicates.get(unit.order)):
        train = rows.take(rows.splits == SPLITS.index("train"))
        if train.columns.num_rows:
            yield list_batch(train.columns, spec)


class _MergeAnalyses(beam.CombineFn):
    def create_accumulator(self) -> Analysis:
        return Analysis()

    def add_input(self, accumulator: Analysis, analysis: Analysis) -> Analysis:
        accumulator.merge(analysis)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[Analysis]) -> Analysis:
        total = Analysis()
        for accumulator in accumulators:
            total.merge(accumulator)
        return total

    def extract_output(self, accumulator: Analysis) -> Analysis:
        return accumulator
