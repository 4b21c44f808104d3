"""The graph that prepares and reduces rows, to be counted."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from skewless.beam_pipelines.analysis.counts import Reduction, counted_in_pieces
from skewless.beam_pipelines.analysis.token_counts import KnownPieces
from skewless.beam_pipelines.rows.pieces import read_by_no_other
from skewless.beam_pipelines.transform.rows_function import Outputs, RowsFunction
from skewless.schemas.rows.prepare import prepare_together
from skewless.schemas.spec.spec import Spec

__all__ = ["AnalysisGraph"]


class AnalysisGraph(RowsFunction):
    """Prepares and reduces rows; called on canonical columns it gives what totals add."""

    def __init__(self, spec: Spec, known: Mapping[str, KnownPieces]) -> None:
        reduction = Reduction(spec, known)
        super().__init__(spec, lambda inputs: reduction(prepare_together(spec, inputs)))
        self._left_out = set(read_by_no_other(spec, counted_in_pieces(spec)))

    def __call__(self, columns: pa.RecordBatch) -> Outputs:
        names = [name for name in columns.schema.names if name not in self._left_out]
        return super().__call__(columns.select(names))
