"""What a spec asks to be known of the training split: counts of tokens, summaries of numbers.

An `Analysis` is folded from batches, merges with others in any order, and ends as the constants
that the transform graph is built from.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from beam_pipelines.analyzers.numeric import NumericConstants, numeric_constants
from beam_pipelines.analyzers.numeric_summary import NumericSummary
from beam_pipelines.analyzers.vocabulary import (
    Counts,
    MostFrequent,
    add_counts,
    unique_tokens,
    write_vocabulary,
)
from beam_pipelines.prepare import Prepared
from beam_pipelines.subword import LearnedPieces
from schemas.features import NumericFeature
from schemas.label import MulticlassLabel, MultilabelLabel, RegressionLabel, SequenceLabel
from schemas.records import LABEL
from schemas.spec import Spec

__all__ = ["Analysis", "Constants", "reduced"]

_TOKENS, _COUNTS, _VALUES = "tokens", "counts", "values"


@dataclass(frozen=True)
class Constants:
    """What the transform graph is built from.

    Attributes:
      vocabularies: The file of each counted vocabulary, by its owner's name.
      numbers: The constants of each numeric feature, or label, that is scaled or bucketed.
    """

    vocabularies: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, NumericConstants] = field(default_factory=dict)


@dataclass(frozen=True)
class _Vocabulary:
    """A vocabulary to count, over all of its `members`."""

    members: tuple[str, ...]
    select: Callable[[Counts], list[bytes]]


@dataclass
class Analysis:
    """Everything counted so far.

    Attributes:
      counts: Tokens and their counts, by the vocabulary's owner.
      numbers: [width] summaries, by feature; the label's under its own name.
    """

    counts: dict[str, Counts] = field(default_factory=dict)
    numbers: dict[str, list[NumericSummary]] = field(default_factory=dict)

    def add(self, batch: Mapping[str, np.ndarray]) -> None:
        """Adds what `reduced` gave for a batch."""
        for entry, values in batch.items():
            kind, name = entry.split("/", 1)
            if kind == _TOKENS:
                counts = batch[f"{_COUNTS}/{name}"]
                add_counts(self.counts.setdefault(name, {}), values.tolist(), counts.tolist())
            elif kind == _VALUES:
                summaries = self.numbers.setdefault(
                    name, [NumericSummary() for _ in range(values.shape[1])]
                )
                for column, summary in enumerate(summaries):
                    summary.add(values[:, column])

    def merge(self, other: Analysis) -> None:
        """Adds what another worker has counted."""
        for name, counts in other.counts.items():
            add_counts(self.counts.setdefault(name, {}), list(counts), list(counts.values()))
        for name, summaries in other.numbers.items():
            own = self.numbers.setdefault(name, [NumericSummary() for _ in summaries])
            for summary, more in zip(own, summaries, strict=True):
                summary.merge(more)

    def constants(self, spec: Spec, directory: str) -> Constants:
        """Chooses vocabularies and writes their files, named for their owners, to `directory`."""
        constants = Constants()
        for name, vocabulary in _vocabularies(spec).items():
            path = os.path.join(directory, name)
            write_vocabulary(path, vocabulary.select(self.counts.get(name, {})))
            constants.vocabularies[name] = path
        for name, width in _numbers(spec).items():
            summaries = self.numbers.get(name) or [NumericSummary() for _ in range(width)]
            buckets = getattr(spec.features.get(name), "buckets", None) or 1
            constants.numbers[name] = numeric_constants(summaries, buckets)
        return constants


def reduced(spec: Spec, prepared: Prepared) -> dict[str, tf.Tensor]:
    """Reduces a batch, inside the graph, to what an `Analysis` adds: unique tokens with counts, and numbers."""
    batch: dict[str, tf.Tensor] = {}
    for name, vocabulary in _vocabularies(spec).items():
        flat = tf.concat([_flat(prepared[member]) for member in vocabulary.members], axis=0)
        tokens, counts = unique_tokens(flat)
        batch |= {f"{_TOKENS}/{name}": tokens, f"{_COUNTS}/{name}": counts}
    for name in _numbers(spec):
        batch[f"{_VALUES}/{name}"] = prepared[name]
    return batch


def _vocabularies(spec: Spec) -> dict[str, _Vocabulary]:
    members: dict[str, list[str]] = {}
    for name, feature in spec.features.items():
        vocabulary = getattr(feature, "vocabulary", None)
        if vocabulary is not None:
            members.setdefault(vocabulary.shared_with or name, []).append(name)
    found = {}
    for owner, names in members.items():
        feature = spec.features[owner]
        vocabulary = getattr(feature, "vocabulary", None)
        if vocabulary is None or vocabulary.file is not None:
            continue
        subword = getattr(feature, "tokenizer", None) == "subword"
        select = LearnedPieces if subword else MostFrequent
        found[owner] = _Vocabulary(tuple(names), select(vocabulary.max_size, vocabulary.min_count))
    label = spec.label
    if isinstance(label, MulticlassLabel | MultilabelLabel) and label.classes is None:
        found[LABEL] = _Vocabulary((LABEL,), MostFrequent())
    elif isinstance(label, SequenceLabel) and label.vocabulary.file is None:
        select_targets = MostFrequent(label.vocabulary.max_size, label.vocabulary.min_count)
        found[LABEL] = _Vocabulary((LABEL,), select_targets)
    return found


def _numbers(spec: Spec) -> dict[str, int]:
    """Returns the width of each numeric feature, or label, of which constants are needed."""
    widths = {
        name: feature.width
        for name, feature in spec.features.items()
        if isinstance(feature, NumericFeature)
        and (
            feature.buckets is not None
            or feature.scale in ("z_score", "min_max")
            or isinstance(feature.missing, str)
        )
    }
    if isinstance(spec.label, RegressionLabel) and spec.label.scale == "z_score":
        widths[LABEL] = 1
    return widths


def _flat(tokens: tf.RaggedTensor | tf.Tensor) -> tf.Tensor:
    return tokens.flat_values if isinstance(tokens, tf.RaggedTensor) else tokens
