"""Where a row's time goes: each step of the job, one after the other on one core.

    python -m benchmarks.preprocessing.profile [--rows N] [--format parquet]

CPU microseconds a row of reading, checking, analysing, transforming, gathering statistics, encoding
and writing, over the same batches that the job makes. Graphs run as they do in the job, so operations
that TensorFlow spreads over cores count with all their threads.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tensorflow as tf

from benchmarks.preprocessing import data
from skewless.beam_pipelines.analysis.chosen import chosen_constants, offered
from skewless.beam_pipelines.analysis.counts import AnalysisTotals
from skewless.beam_pipelines.analysis.graph import AnalysisGraph
from skewless.beam_pipelines.analysis.spilled.values import ValueRuns
from skewless.beam_pipelines.records.encoding import RecordEncoder
from skewless.beam_pipelines.rows.read_rows import rows_of
from skewless.beam_pipelines.sources import plan, read
from skewless.beam_pipelines.statistics.split_statistics import SplitStatistics
from skewless.beam_pipelines.transform.graph import TransformGraph, write_transform_graph
from skewless.schemas.spec.spec import load

__all__ = ["main"]

_SPEC = Path(__file__).with_name("reviews.yaml")
_KNOWN_PIECES = 1 << 17


class _Clock:
    """CPU seconds by step."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        begin = time.process_time()
        yield
        self.seconds[step] += time.process_time() - begin


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=200_000, help="default: %(default)s")
    parser.add_argument("--format", choices=("parquet", "csv"), default="parquet")
    asked = parser.parse_args()
    spec = load(_SPEC)
    clock = _Clock()
    with tempfile.TemporaryDirectory() as folder:
        source = data.write(asked.rows, Path(folder) / f"rows.{asked.format}")
        units = plan([str(source)], spec)
        with clock("read"):
            for unit in units:
                for _ in read(unit, spec):
                    pass
        with clock("read and check"):
            batches = [rows for unit in units for rows in rows_of(unit, spec)]
        totals = AnalysisTotals(spec, None)
        graph = AnalysisGraph(spec, {})
        for rows in batches[:2]:
            totals.add(rows.columns, graph(rows.columns))
        known = totals.know(_KNOWN_PIECES)
        totals, graph = AnalysisTotals(spec, known), AnalysisGraph(spec, known)
        graph(batches[0].columns)
        for rows in batches:
            with clock("analyse: graph"):
                counted = graph(rows.columns)
            with clock("analyse: texts, add up"):
                totals.add(rows.columns, counted)
        with clock("analyse: choose constants"):
            values = ValueRuns(f"{folder}/values", partitions=1)
            runs = [run for _, run in [*values.add(totals.take()), *values.flush()]]
            offers = list(offered(runs, spec, f"{folder}/values"))
            constants = chosen_constants(totals.numbers, offers, spec, folder)
        saved_model = write_transform_graph(spec, constants, f"{folder}/transform")
        transform, encoder, statistics = (
            TransformGraph(spec, saved_model),
            RecordEncoder(),
            SplitStatistics(),
        )
        transform(batches[0].columns)
        with tf.io.TFRecordWriter(f"{folder}/records") as writer:
            write = super(tf.io.TFRecordWriter, writer).write
            for rows in batches:
                with clock("transform"):
                    outputs = transform(rows.columns)
                with clock("statistics"):
                    statistics.add(spec, rows.columns, outputs)
                with clock("encode"):
                    records = encoder.encode(outputs, rows.keys)
                with clock("write"):
                    for record in records:
                        write(record)
    read_rows = np.sum([rows.read for rows in batches])
    for step, seconds in clock.seconds.items():
        print(f"{step:<28}{1e6 * seconds / read_rows:>8.2f} us a row")


if __name__ == "__main__":
    main()
