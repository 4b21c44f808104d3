"""The analysis stage: the training split's rows become the constants of the transform graph."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import tensorflow as tf
from apache_beam.pvalue import AsIter
from apache_beam.utils.shared import Shared
from apache_beam.utils.windowed_value import WindowedValue

from skewless.beam_pipelines.analysis.cache import AnalysisCache, UnitCounts
from skewless.beam_pipelines.analysis.chosen import chosen_constants, offered
from skewless.beam_pipelines.analysis.counts import (
    AnalysisTotals,
    Numbers,
    counts_lists,
    merge_numbers,
)
from skewless.beam_pipelines.analysis.graph import AnalysisGraph
from skewless.beam_pipelines.analysis.spilled.ranked import Ranked
from skewless.beam_pipelines.analysis.spilled.runs import Run
from skewless.beam_pipelines.analysis.spilled.values import ValueRuns
from skewless.beam_pipelines.analysis.token_counts import KnownPieces
from skewless.beam_pipelines.rows.pieces import Pieces
from skewless.beam_pipelines.rows.read_rows import rows_of
from skewless.beam_pipelines.running.job_progress import Tally, progress_of
from skewless.beam_pipelines.running.tagged import at_the_end, tagged
from skewless.beam_pipelines.sources import WorkUnit
from skewless.beam_pipelines.sources.place import tells_its_place
from skewless.schemas.rows.prepare import RawTensors
from skewless.schemas.rows.raw_columns import raw_columns
from skewless.schemas.rows.row_encoding import list_batch, list_schema
from skewless.schemas.spec.spec import Spec
from skewless.schemas.spec.splits import SPLITS
from skewless.schemas.storage.location import is_uri

__all__ = ["ANALYSING", "COUNTS", "NUMBERS", "Analyse", "AnalyseWithTransform"]

ANALYSING = "analysing"
COUNTS, NUMBERS = "counts", "numbers"
# After so many batches and rows a worker knows its frequent pieces, and counts those by looking them
# up, in a graph that is built anew. Rows must be worth that: those of lists and texts soon are, those
# of one value a column, which spares each less than a microsecond, after many.
_LEARNING_BATCHES = 2
_LEARNING_ROWS, _LEARNING_ROWS_OF_VALUES = 8_192, 1 << 18
_KNOWN_PIECES = 1 << 17


class Analyse(beam.PTransform):
    """[work units] -> (one `Constants`, [(unit order, records read, whether from the cache)]).

    Values go as runs, files below `directory`, to the partition that counts them all. Vocabulary files
    go there too; with `grow_from`, a fitted transform, they begin with its.
    """

    def __init__(
        self,
        spec: Spec,
        directory: str,
        partitions: int,
        duplicates: Any,
        cache: AnalysisCache | None = None,
        grow_from: str | None = None,
        tally: Tally | None = None,
    ) -> None:
        super().__init__()
        self._spec = spec
        self._directory = directory
        self._partitions = partitions
        self._duplicates = duplicates
        self._cache = cache
        self._grow_from = grow_from
        self._tally = tally

    def expand(self, units: beam.PCollection) -> tuple[beam.PCollection, beam.PCollection]:
        spilled = os.path.join(self._directory, "values")
        counted = units | "CountTrainingRows" >> beam.ParDo(
            _CountTrainingRows(self._spec, spilled, self._partitions, self._cache, self._tally),
            self._duplicates,
        ).with_outputs(COUNTS, NUMBERS, main="runs")
        offers = (
            counted.runs
            | "GroupByPartition" >> beam.GroupByKey()
            | "MergeValues" >> beam.FlatMap(_offered, self._spec, spilled, self._grow_from)
        )
        constants = (
            counted[NUMBERS]
            | "MergeNumbers" >> beam.CombineGlobally(_MergeNumbers())
            | "ChooseConstants"
            >> beam.Map(
                chosen_constants, AsIter(offers), self._spec, self._directory, self._grow_from
            )
        )
        return constants, counted[COUNTS]


def _offered(
    partition: tuple[int, Iterable[Run]], spec: Spec, directory: str, grow_from: str | None
) -> Iterator[Ranked]:
    yield from offered(partition[1], spec, directory, grow_from)


class AnalyseWithTransform(beam.PTransform):
    """[work units] -> a transform, for a spec whose own function may hold analysers.

    tf.Transform finds what those need; ours are `constants` already. It is left in `directory`, or where that
    is a URI under a name of its own, which is the one element of the result.
    """

    def __init__(
        self,
        spec: Spec,
        function: Callable[[RawTensors], dict[str, tf.Tensor]],
        directory: str,
        duplicates: Any,
    ) -> None:
        super().__init__()
        self._spec = spec
        self._function = function
        self._directory = directory
        self._duplicates = duplicates

    def expand(self, units: beam.PCollection) -> beam.PCollection:
        # Two seconds that jobs without a function of their own need not pay.
        import tensorflow_transform.beam as tft_beam
        from tensorflow_metadata.proto.v0 import schema_pb2
        from tfx_bsl.tfxio import tensor_adapter

        from skewless.beam_pipelines.transform.own.apart import handed_on, transform_left

        rows = units | "ReadTrainingRows" >> beam.FlatMap(
            _training_rows, self._spec, self._duplicates
        )
        schema = list_schema(raw_columns(self._spec))
        representations = {
            name: schema_pb2.TensorRepresentation(
                varlen_sparse_tensor=schema_pb2.TensorRepresentation.VarLenSparseTensor(
                    column_name=name
                )
            )
            for name in schema.names
        }
        dataset = (rows, tensor_adapter.TensorAdapterConfig(schema, representations))
        analyse = tft_beam.AnalyzeDataset(self._function)
        left: beam.PCollection
        if is_uri(self._directory):
            with handed_on(self._directory):
                transform_fn = dataset | "Analyse" >> analyse
            left = transform_left(transform_fn, self._directory)
        else:
            write = tft_beam.WriteTransformFn(self._directory)
            left = dataset | "Analyse" >> analyse | "WriteTransform" >> write
        return left


class _CountTrainingRows(beam.DoFn):
    """Work units to runs of values by partition, `NUMBERS`, and each unit's records (`COUNTS`)."""

    def __init__(
        self,
        spec: Spec,
        directory: str,
        partitions: int = 1,
        cache: AnalysisCache | None = None,
        tally: Tally | None = None,
    ) -> None:
        self._spec = spec
        self._directory = directory
        self._partitions = partitions
        self._cache = cache
        self._tally = tally
        self._shared = Shared()
        self._graphs: _Graphs | None = None
        self._known: dict[str, KnownPieces] | None = None
        self._pieces = Pieces()
        lists = counts_lists(spec)
        self._learning_rows = _LEARNING_ROWS if lists else _LEARNING_ROWS_OF_VALUES

    def start_bundle(self) -> None:
        """Begins to count this worker's rows."""
        self._graphs = self._shared.acquire(lambda: _Graphs(self._spec))
        self._totals = AnalysisTotals(self._spec, self._known, self._pieces)
        self._runs = ValueRuns(self._directory, self._partitions)
        self._batches = self._counted_rows = 0
        self._progress = progress_of(ANALYSING, self._tally)

    @tells_its_place
    def process(self, unit: WorkUnit, duplicates: dict[int, np.ndarray]) -> Iterator[Any]:
        """Counts one unit."""
        left_out = duplicates.get(unit.order)
        read, kept = 0, False
        if self._cache is None:
            for more in self._counted(unit, left_out):
                read += more
                # Frequent pieces are learned, after that batch, from what is held.
                if self._totals.full and (self._known is not None or self._learning):
                    yield from self._runs.add(self._totals.take())
        else:
            found, kept = self._cache.counts(unit, left_out, lambda: self._alone(unit, left_out))
            read = found.read
            if kept:
                self._progress.advance(read)
            yield from self._runs.add(found.values)
            yield beam.pvalue.TaggedOutput(NUMBERS, found.numbers)
        self._progress.finish(unit, read)
        yield beam.pvalue.TaggedOutput(COUNTS, (unit.order, read, kept))

    def _alone(self, unit: WorkUnit, duplicates: np.ndarray | None) -> UnitCounts:
        self._totals = AnalysisTotals(self._spec, self._known, self._pieces)
        read, values = 0, []
        for more in self._counted(unit, duplicates):
            read += more
            if self._totals.full:
                values.append(self._totals.take())
        values.append(self._totals.take())
        return UnitCounts(pa.concat_tables(values), self._totals.numbers, read)

    def _counted(self, unit: WorkUnit, duplicates: np.ndarray | None) -> Iterator[int]:
        """Adds the unit's training rows to the totals; yields how many records were read."""
        for rows in rows_of(unit, self._spec, duplicates=duplicates):
            self._progress.advance(rows.read)
            train = rows.take(rows.splits == SPLITS.index("train"))
            if not train.columns.num_rows:
                yield rows.read
                continue
            assert self._graphs is not None
            if self._known is None and not self._learning:
                self._known = self._graphs.learned_by(self._totals)
            graph = self._graphs.graph(by_place=self._known is not None)
            self._totals.add(train.columns, graph(train.columns))
            self._batches += 1
            self._counted_rows += train.columns.num_rows
            yield rows.read

    @property
    def _learning(self) -> bool:
        """Whether what this bundle's rows hold is not yet enough to know frequent pieces."""
        return self._batches < _LEARNING_BATCHES or self._counted_rows < self._learning_rows

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Gives what the bundle's units came to."""
        runs = [] if self._cache is not None else list(self._runs.add(self._totals.take()))
        for run in [*runs, *self._runs.flush()]:
            yield at_the_end(run)
        if self._cache is None:
            yield tagged(NUMBERS, self._totals.numbers)


class _Graphs:
    """The graphs that reduce rows, made once for all threads of a process."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._lock = threading.Lock()
        self._known: dict[str, KnownPieces] | None = None
        self._made: dict[bool, AnalysisGraph] = {}

    def learned_by(self, totals: AnalysisTotals) -> dict[str, KnownPieces]:
        """Returns what is counted by place from here on: what the first that asked had counted."""
        with self._lock:
            if self._known is None:
                self._known = totals.know(_KNOWN_PIECES)
            else:
                totals.resume(self._known)
            return self._known

    def graph(self, *, by_place: bool) -> AnalysisGraph:
        """Returns the graph that counts what was learned by place, or the one before any was."""
        with self._lock:
            if by_place not in self._made:
                known = self._known if by_place else None
                self._made[by_place] = AnalysisGraph(self._spec, known or {})
            return self._made[by_place]


@tells_its_place
def _training_rows(
    unit: WorkUnit, spec: Spec, duplicates: dict[int, np.ndarray]
) -> Iterator[pa.RecordBatch]:
    columns = raw_columns(spec)
    for rows in rows_of(unit, spec, duplicates=duplicates.get(unit.order)):
        train = rows.take(rows.splits == SPLITS.index("train"))
        if train.columns.num_rows:
            yield list_batch(train.columns, columns)


class _MergeNumbers(beam.CombineFn):
    def create_accumulator(self) -> Numbers:
        return {}

    def add_input(self, accumulator: Numbers, numbers: Numbers) -> Numbers:
        merge_numbers(accumulator, numbers)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[Numbers]) -> Numbers:
        total: Numbers = {}
        for accumulator in accumulators:
            merge_numbers(total, accumulator)
        return total

    def extract_output(self, accumulator: Numbers) -> Numbers:
        return accumulator
