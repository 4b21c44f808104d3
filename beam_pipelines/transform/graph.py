"""The graphs, called on rows: what analyses them, and the fitted transform that makes records."""

from __future__ import annotations

import os
import threading

import tensorflow as tf

from skewless.beam_pipelines.transform.constants import Constants
from skewless.beam_pipelines.transform.numeric import numbers_of
from skewless.beam_pipelines.transform.preprocessing_fn import make_preprocessing_fn
from skewless.beam_pipelines.transform.rows_function import RowsFunction
from skewless.schemas.records.constants import write_numbers
from skewless.schemas.records.layout import SAVED_MODEL, TRANSFORM_FN
from skewless.schemas.rows.raw_columns import raw_columns, raw_feature_spec
from skewless.schemas.rows.saved_graph import load_graph, write_graph
from skewless.schemas.spec.spec import Spec

__all__ = ["TransformGraph", "opened_graph", "write_transform_graph"]

_LOCK = threading.Lock()
# The graph opened last, by its file as it was then and its spec.
_OPENED: dict[tuple[str, int, int, str], TransformGraph] = {}


class TransformGraph(RowsFunction):
    """A fitted graph, loaded once; called on canonical columns it gives [rows, ...] outputs."""

    def __init__(self, spec: Spec, saved_model: str) -> None:
        # A worker of its own, or one given a ready graph, has not built the tokenizers.
        self._loaded = load_graph(saved_model)
        super().__init__(spec, self._loaded.transform_fn)


def opened_graph(spec: Spec, saved_model: str, *, last_use: bool = False) -> TransformGraph:
    """Returns a fitted graph, the one that this process opened last if it is the same.

    Opening takes as long as writing did, and a worker's threads, then the job's end, want one.

    Args:
      spec: The declaration.
      saved_model: The `transform_fn/` folder.
      last_use: Whether to keep no graph from here on.
    """
    try:
        file = tf.io.gfile.stat(os.path.join(saved_model, SAVED_MODEL))
    except tf.errors.OpError:
        return TransformGraph(spec, saved_model)  # Which says what is wrong with it.
    place = (saved_model, file.length, file.mtime_nsec, spec.sha256())
    with _LOCK:
        graph = _OPENED.get(place) or TransformGraph(spec, saved_model)
        _OPENED.clear()
        if not last_use:
            _OPENED[place] = graph
        return graph


def write_transform_graph(spec: Spec, constants: Constants, directory: str) -> str:
    """Builds the transform graph and writes it where tf.Transform would; returns its SavedModel.

    Args:
      spec: The declaration; its own functions (`preprocessing`) must hold no analysers.
      constants: What the analysis found.
      directory: Left with `transform_fn/`, `transformed_metadata/` and `constants.json`.
    """
    write_graph(
        make_preprocessing_fn(spec, constants), raw_feature_spec(raw_columns(spec)), directory
    )
    write_numbers(directory, numbers_of(constants.numbers))
    return os.path.join(directory, TRANSFORM_FN)
