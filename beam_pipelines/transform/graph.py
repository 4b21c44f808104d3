"""The graphs, called on rows: what analyses them, and the fitted transform that makes records."""

from __future__ import annotations

import os

from skewless.beam_pipelines.transform.constants import Constants
from skewless.beam_pipelines.transform.numeric import numbers_of
from skewless.beam_pipelines.transform.preprocessing_fn import make_preprocessing_fn
from skewless.beam_pipelines.transform.rows_function import RowsFunction
from skewless.beam_pipelines.transform.tft_internals import write_without_data
from skewless.schemas.records.constants import write_numbers
from skewless.schemas.records.layout import TRANSFORM_FN
from skewless.schemas.rows.raw_columns import raw_feature_spec
from skewless.schemas.rows.saved_graph import load_graph
from skewless.schemas.spec.spec import Spec

__all__ = ["TransformGraph", "write_transform_graph"]


class TransformGraph(RowsFunction):
    """A fitted graph, loaded once; called on canonical columns it gives [rows, ...] outputs."""

    def __init__(self, spec: Spec, saved_model: str) -> None:
        # A worker of its own, or one given a ready graph, has not built the tokenizers.
        self._loaded = load_graph(saved_model)
        super().__init__(spec, self._loaded.transform_fn)


def write_transform_graph(spec: Spec, constants: Constants, directory: str) -> str:
    """Builds the transform graph and writes it as tf.Transform does; returns its SavedModel.

    Every number in it is known, so tf.Transform needs no data.

    Args:
      spec: The declaration; its own functions (`preprocessing`) must hold no analysers.
      constants: What the analysis found.
      directory: Left with `transform_fn/`, `transformed_metadata/` and `constants.json`.
    """
    write_without_data(make_preprocessing_fn(spec, constants), raw_feature_spec(spec), directory)
    write_numbers(directory, numbers_of(constants.numbers))
    return os.path.join(directory, TRANSFORM_FN)
