"""What an exported pair of towers answers: vectors, and the candidates nearest a query.

query      examples                               -> vectors
candidate  examples                               -> vectors
recommend  one named tensor a column of the query,
           exclude: [batch, m] names              -> candidates and scores, best first

Candidates are those of the training rows; their vectors lie in the model and each query is compared
with all of them, by a matrix product.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from skewless.model.exported.nearest import NAMES, VECTORS, find_nearest
from skewless.model.network.two_tower import Side, tower_of
from skewless.model.retrieval.distinct_rows import DistinctRows
from skewless.model.retrieval.found import vectors_of
from skewless.schemas.records.id_contract import first_vocabulary_id
from skewless.schemas.records.id_words import IdWords
from skewless.schemas.records.layout import ASSETS, CANDIDATES, TRANSFORM, TRANSFORM_FN
from skewless.schemas.records.manifest import FeatureEntry
from skewless.schemas.spec.network import TwoTowerSpec
from skewless.schemas.spec.spec import Spec

__all__ = ["Recommender"]

Outputs = dict[str, tf.Tensor]


class Recommender(tf.Module):
    """The functions of two trained towers, on features as the transform graph gives them."""

    def __init__(
        self, model: keras.Model, spec: Spec, entries: Mapping[str, FeatureEntry], run: Path
    ) -> None:
        """Takes the towers out of `model`, and computes the vectors of the candidates of `run`.

        Args:
          model: As trained.
          spec: The declaration.
          entries: The manifest's features.
          run: The run's directory, with the candidates that it counted and the transform.
        """
        super().__init__(name="recommender")
        assert isinstance(spec.model, TwoTowerSpec)
        self._query = tower_of(model, spec, "query", entries)
        self._candidate = tower_of(model, spec, "candidate", entries)
        self._longest = max(spec.model.cutoffs)
        named = _named(spec, entries, run)
        self.recommends = named is not None
        if named is not None:
            features, names = named
            vectors = vectors_of(self._candidate, features)
            # Variables, which lie beside the graph: a graph holds at most 2 GiB.
            self._vectors = tf.Variable(vectors, trainable=False, name=VECTORS)
            self._names = tf.Variable(names, trainable=False, name=NAMES)

    def pair(self, features: Mapping[str, tf.Tensor]) -> Outputs:
        """Returns both vectors of each row, and their cosine as `predictions`, [batch, 1]."""
        query, candidate = self.vectors("query", features), self.vectors("candidate", features)
        cosine = tf.reduce_sum(query * candidate, axis=1, keepdims=True)
        return {"predictions": cosine, "query_vector": query, "candidate_vector": candidate}

    def vectors(self, side: Side, features: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Returns [batch, width] float32, each of length 1."""
        tower = self._query if side == "query" else self._candidate
        return tower({name: features[name] for name in tower.input}, training=False)

    def recommend(self, features: Mapping[str, tf.Tensor], exclude: tf.Tensor) -> Outputs:
        """Returns the nearest candidates, the nearest first.

        Args:
          features: Of [batch] queries.
          exclude: [batch, m] string, names not to be found; "" excludes nothing.

        Returns:
          `candidates`, [batch, n] string, and `scores`, [batch, n] float32 cosines: as many as the
          longest cutoff, or all candidates. What `exclude` leaves no candidate for is "", of score
          -1.
        """
        queries = self.vectors("query", features)
        found = find_nearest(queries, self._vectors, self._names, exclude, self._longest)
        return {"candidates": found.names, "scores": found.scores}


def _named(
    spec: Spec, entries: Mapping[str, FeatureEntry], run: Path
) -> tuple[dict[str, np.ndarray], list[bytes]] | None:
    """Returns the candidates that have a name, by record entry, and their names.

    The first feature that has one value a row and a vocabulary names them. Of candidates of one name
    the commonest stands for all. None where no feature names them.
    """
    assert isinstance(spec.model, TwoTowerSpec)
    naming = spec.model.naming(spec.features)
    if naming is None:
        return None
    candidates = DistinctRows.load(run / CANDIDATES)
    vocabulary = IdWords(spec, entries, run / TRANSFORM / TRANSFORM_FN / ASSETS).vocabulary(naming)
    first = first_vocabulary_id(spec.features[naming].unknown_ids)
    ids = candidates.features[naming]
    commonest = np.argsort(-candidates.counts, kind="stable")
    commonest = commonest[ids[commonest] >= first]
    _, kept = np.unique(ids[commonest], return_index=True)
    places = commonest[np.sort(kept)]
    features = {name: values[places] for name, values in candidates.features.items()}
    return features, [vocabulary[number - first] for number in ids[places]]
