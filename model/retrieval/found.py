"""What a run's two towers find for the queries of a split, among all candidates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from skewless.model.metrics.listed import by_popularity, recall_by_length
from skewless.model.metrics.ranking import Ranked, rank_all
from skewless.model.network.two_tower import Side, entries_of, tower_of
from skewless.model.retrieval.distinct_rows import DistinctRows, digests_of, distinct_rows
from skewless.model.retrieval.examples import examples_of
from skewless.model.retrieval.fed import candidates_of_run, weights_of
from skewless.model.retrieval.met_before import met_before
from skewless.model.training.records import Records
from skewless.schemas.errors import TrainingError
from skewless.schemas.records.id_words import IdWords
from skewless.schemas.records.layout import ASSETS, TRANSFORM, TRANSFORM_FN
from skewless.schemas.records.records import KEY
from skewless.schemas.spec.network import TwoTowerSpec
from skewless.schemas.spec.spec import Spec

__all__ = ["Found", "find_in_split", "most_popular", "vectors_of"]

Pairs = tuple[np.ndarray, np.ndarray]
_BATCH = 4096


@dataclass(frozen=True)
class Found:
    """What was found for the rows of a split.

    Attributes:
      ranked: Where what they met stands.
      keys: [rows] bytes.
      constant: Whether every query is given the same vector.
      popular: The same of a list of what is in most training rows; None where that is `ranked`.
      examples: Makes a few queries in words.
    """

    ranked: Ranked
    keys: np.ndarray
    constant: bool = False
    popular: Ranked | None = None
    examples: Callable[[], list[dict[str, Any]]] = list

    def metrics(self, spec: Spec, rows: np.ndarray | None = None) -> dict[str, Any]:
        """Returns the metrics of all rows, or of the rows at the places `rows`."""
        return self.ranked.metrics(rows)

    def confidence(self, spec: Spec, rows: np.ndarray | None = None) -> dict[str, list[float]]:
        """Returns 95% intervals of the metrics of all rows, or of those at the places `rows`."""
        return self.ranked.confidence(rows)

    def curves(self, spec: Spec) -> dict[str, Any]:
        """Returns the most popular candidates' figures, what lists hold, and a few queries."""
        if self.popular is None or not len(self.ranked.chosen().queries):
            return {}
        return {
            "popular": {
                "metrics": self.popular.metrics(),
                "confidence": self.popular.confidence(),
            },
            "recall": {
                "model": recall_by_length(self.ranked),
                "popular": recall_by_length(self.popular),
            },
            "popularity": by_popularity(self.ranked),
            "examples": self.examples(),
        }


@dataclass(frozen=True)
class _Split:
    """What is to be found in a split's rows, and among what.

    Attributes:
      queries, candidates: The distinct ones.
      met: Of each row.
      wanted: [pairs] int each: the distinct pairs' queries, ascending, and their candidates.
      pairs: [rows] int, each row's pair.
      left_out: As `wanted`, of training rows, where a query does not meet a candidate again.
      cutoffs: Lengths of lists.
    """

    queries: DistinctRows
    candidates: DistinctRows
    met: _Met
    wanted: Pairs
    pairs: np.ndarray
    left_out: Pairs | None
    cutoffs: tuple[int, ...]

    def ranked(self, queries: np.ndarray, candidates: np.ndarray) -> Ranked:
        """Returns where candidates stand by the products of [n, width] vectors."""
        longest = max(self.cutoffs)
        return self._of(*rank_all(queries, candidates, self.wanted, longest, self.left_out))

    def popular(self) -> Ranked:
        """Returns where candidates stand by how many training rows they are in."""
        counts = self.candidates.counts
        if self.left_out is not None:
            ones = np.ones((len(self.queries), 1), np.float32)
            return self.ranked(ones, counts[:, None].astype(np.float32))
        # One list for all queries.
        ranks = len(counts) - np.searchsorted(np.sort(counts), counts[self.wanted[1]])
        best = np.argsort(-counts, kind="stable")[: max(self.cutoffs)]
        return self._of(ranks, np.broadcast_to(best, (len(self.queries), len(best))))

    def _of(self, ranks: np.ndarray, top: np.ndarray) -> Ranked:
        counts, weights = self.candidates.counts, self.met.weights
        return Ranked(self.pairs, *self.wanted, ranks, top, counts, self.cutoffs, weights)


@dataclass(frozen=True)
class _Met:
    """Which query met which candidate in a split's rows, by their digests."""

    queries: np.ndarray
    candidates: np.ndarray
    weights: np.ndarray | None
    keys: np.ndarray


def find_in_split(
    model: keras.Model, spec: Spec, records: Records, split: str, run_directory: Path
) -> Found:
    """Ranks all candidates, those of the training rows and of the split, for each of its queries.

    Raises:
      DatasetMismatchError: If the split is empty.
      TrainingError: If a vector is not finite.
    """
    entries = records.manifest.features
    asked = _split(spec, records, split, run_directory)
    towers: dict[Side, keras.Model] = {
        side: tower_of(model, spec, side, entries) for side in ("query", "candidate")
    }
    vectors = {
        "query": vectors_of(towers["query"], asked.queries.features),
        "candidate": vectors_of(towers["candidate"], asked.candidates.features),
    }
    for side, values in vectors.items():
        if not np.isfinite(values).all():
            raise TrainingError(
                f"vectors of the {side} tower are not finite; look for extreme numbers, set `clip` "
                "on numeric features or lower training.learning_rate"
            )
    spread = vectors["query"].astype(np.float64).std(axis=0)
    ranked = asked.ranked(vectors["query"], vectors["candidate"])

    def examples() -> list[dict[str, Any]]:
        words = IdWords(spec, entries, run_directory / TRANSFORM / TRANSFORM_FN / ASSETS)
        return examples_of(ranked, asked.queries, asked.candidates, spec, words)

    return Found(
        ranked,
        asked.met.keys,
        constant=len(asked.queries) > 1 and bool((spread < 1e-7).all()),
        popular=asked.popular(),
        examples=examples,
    )


def most_popular(spec: Spec, records: Records, split: str, run_directory: Path) -> Found:
    """Finds for every query of a split what is in most training rows: what a model has to beat."""
    asked = _split(spec, records, split, run_directory)
    return Found(asked.popular(), asked.met.keys)


def vectors_of(tower: keras.Model, features: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns [rows, width] float32 of rows' features, by record entry; others are left alone."""
    features = {name: features[name] for name in tower.input}
    shapes = {
        name: tf.TensorSpec([None, *values.shape[1:]], values.dtype, name=name)
        for name, values in features.items()
    }
    # Traced once for batches of any size.
    call = tf.function(lambda batch: tower(batch, training=False)).get_concrete_function(shapes)
    rows = len(next(iter(features.values())))
    parts = [
        call({name: tf.constant(values[at : at + _BATCH]) for name, values in features.items()})
        for at in range(0, rows, _BATCH)
    ]
    return np.concatenate([part.numpy() for part in parts])


def _all_candidates(spec: Spec, records: Records, split: str, run_directory: Path) -> DistinctRows:
    trained = candidates_of_run(spec, records, run_directory)
    if split == "train":
        return trained
    names = list(entries_of(spec, "candidate", records.manifest.features))
    return trained.with_more(distinct_rows(records, split, names))


def _split(spec: Spec, records: Records, split: str, run_directory: Path) -> _Split:
    assert isinstance(spec.model, TwoTowerSpec)
    entries = records.manifest.features
    candidates = _all_candidates(spec, records, split, run_directory)
    queries = distinct_rows(records, split, list(entries_of(spec, "query", entries)))
    met = _met(spec, records, split)
    wanted, pairs = _pairs(met, queries, candidates)
    # What queries met in the training rows, or by their histories, is in none of their lists, but for what is wanted.
    left_out = None
    if not spec.model.repeats and split != "train":
        trained, _ = _pairs(_met(spec, records, "train"), queries, candidates)
        before = met_before(spec, queries, candidates)
        both = np.unique(np.concatenate([np.stack(trained), np.stack(before)], axis=1), axis=1)
        left_out = both[0], both[1]
    return _Split(queries, candidates, met, wanted, pairs, left_out, spec.model.cutoffs)


def _pairs(met: _Met, queries: DistinctRows, candidates: DistinctRows) -> tuple[Pairs, np.ndarray]:
    """Returns the distinct pairs of known queries and candidates by place, and each such row's pair."""
    asked, wanted = queries.places(met.queries), candidates.places(met.candidates)
    known = (asked >= 0) & (wanted >= 0)
    places = asked[known] * len(candidates) + wanted[known]
    distinct, pairs = np.unique(places, return_inverse=True)
    query, candidate = np.divmod(distinct, len(candidates))
    return (query, candidate), pairs


def _met(spec: Spec, records: Records, split: str) -> _Met:
    """Returns the rows of a split; those of a negative label weigh nothing."""
    entries = records.manifest.features
    query, candidate = (list(entries_of(spec, side, entries)) for side in ("query", "candidate"))

    def kept(features: dict[str, tf.Tensor], *others: tf.Tensor) -> dict[str, tf.Tensor]:
        rows = {
            "queries": digests_of(features, query),
            "candidates": digests_of(features, candidate),
            "keys": features[KEY],
        }
        weights = weights_of(features, *others)
        if weights is not None:
            rows["weights"] = weights
        return rows

    batches = records.in_order(split, batch_size=_BATCH, with_key=True).map(kept)
    parts = list(batches.as_numpy_iterator())
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return _Met(whole["queries"], whole["candidates"], whole.get("weights"), whole["keys"])
