"""An exported model, opened once and called often: its declaration, vocabularies and signatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from skewless.schemas.records.exported_files import check_exported
from skewless.schemas.records.id_words import IdWords
from skewless.schemas.records.layout import ASSETS, EXTRA, SPEC
from skewless.schemas.records.manifest import Manifest, load_manifest
from skewless.schemas.rows.json_rows import canonical_rows
from skewless.schemas.rows.row_encoding import examples
from skewless.schemas.rows.saved_graph import load_graph
from skewless.schemas.spec.spec import Spec, load

__all__ = ["ServedModel"]


@dataclass(frozen=True)
class ServedModel:
    """What `skewless export` left, in memory; needs nothing but its directory."""

    directory: Path
    spec: Spec
    manifest: Manifest
    words: IdWords
    graph: Any

    @classmethod
    def open(cls, directory: str | Path) -> ServedModel:
        """Checks every file of a model and loads it.

        Raises:
          UsageError: If the directory is not one that `skewless export` left.
          DataError: If a file is missing, or not as exported.
        """
        root = Path(directory)
        check_exported(root)
        spec = load(root / EXTRA / SPEC)
        manifest = load_manifest(root / EXTRA)
        words = IdWords(spec, manifest.features, root / ASSETS)
        return cls(root, spec, manifest, words, load_graph(root))

    def features(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
        """Returns what `transform_features` gives for raw rows, by record entry."""
        return self.call("transform_features", canonical_rows(rows, self.spec))

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
        """Returns what `serving_default` gives for raw rows.

        Raises:
          DataError: If a value is not of its column's kind.
        """
        return self.call("serving_default", canonical_rows(rows, self.spec))

    def call(self, name: str, columns: pa.RecordBatch) -> dict[str, np.ndarray]:
        """Returns what a signature of serialized examples gives for [rows] canonical columns."""
        encoded = examples(columns, self.spec)
        outputs = self.graph.signatures[name](examples=tf.constant(encoded, tf.string))
        return {output: value.numpy() for output, value in outputs.items()}
