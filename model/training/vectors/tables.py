"""Embedding tables that begin with word vectors: the rows of the vocabulary's words that have some."""

from __future__ import annotations

import logging

import keras

from skewless.model.network.layer_names import layer_name
from skewless.model.training.records import Records
from skewless.model.training.vectors.files import read_vectors
from skewless.schemas.records.id_contract import first_vocabulary_id
from skewless.schemas.records.layout import ASSETS, TRANSFORM, TRANSFORM_FN
from skewless.schemas.records.vocabulary_file import read_vocabulary
from skewless.schemas.records.vocabulary_names import vocabulary_file
from skewless.schemas.spec.spec import Spec

__all__ = ["begin_with_vectors"]

_LOGGER = logging.getLogger(__name__)


def begin_with_vectors(model: keras.Model, spec: Spec, records: Records) -> None:
    """Puts declared word vectors into a model that is not trained yet, and says how many were found.

    Raises:
      DataError: If a file cannot be used; named with the line and a remedy.
    """
    for name, feature in spec.features.items():
        vectors = feature.own_vectors
        if vectors is None:
            continue
        assets = records.root / TRANSFORM / TRANSFORM_FN / ASSETS
        words = read_vocabulary(str(vocabulary_file(spec, name, assets)))
        table = model.get_layer(layer_name("embed", name))
        rows = keras.ops.convert_to_numpy(table.embeddings).copy()
        known = read_vectors(f"features.{name}.vectors", vectors, words, rows.shape[1])
        first = first_vocabulary_id(feature.unknown_ids)
        for place, word in enumerate(words, start=first):
            if word in known:
                rows[place] = known[word]
        table.embeddings.assign(rows)
        found = sum(word in known for word in words)
        told = _LOGGER.info if found else _LOGGER.warning
        told(
            "features.%s.vectors: %d of %d words of the vocabulary are in %s; the others keep their "
            "initial rows%s",
            name,
            found,
            len(words),
            vectors.file,
            "" if found else "; are words of the file in another case, or of another language?",
        )
