"""The graph that prepares and reduces rows, to be counted."""

from __future__ import annotations

from collections.abc import Mapping

from skewless.beam_pipelines.analysis.counts import Reduction
from skewless.beam_pipelines.analysis.token_counts import KnownPieces
from skewless.beam_pipelines.transform.rows_function import RowsFunction
from skewless.schemas.rows.prepare import prepare_together
from skewless.schemas.spec.spec import Spec

__all__ = ["AnalysisGraph"]


class AnalysisGraph(RowsFunction):
    """Prepares and reduces rows; called on canonical columns it gives what totals add."""

    def __init__(self, spec: Spec, known: Mapping[str, KnownPieces]) -> None:
        reduction = Reduction(spec, known)
        super().__init__(
            spec, lambda inputs: reduction(prepare_together(spec, inputs, reduction.uncut))
        )
