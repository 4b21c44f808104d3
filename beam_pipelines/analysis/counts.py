"""What a spec asks to be known of the training split: counts of tokens, summaries of numbers.

Inside the graph a batch is reduced to counted values and to numbers (`Reduction`); a worker folds
batches and counts texts beside it (`AnalysisTotals`). What it has counted goes on as tables of values before it is too much to
hold (`skewless.beam_pipelines.analysis.spilled`), and ends as `Constants` (`chosen.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import tensorflow as tf

from skewless.beam_pipelines.analysis.learned_pieces import LearnedPieces
from skewless.beam_pipelines.analysis.spilled.values import counted_table
from skewless.beam_pipelines.analysis.token_counts import (
    Counts,
    KnownPieces,
    MostFrequent,
    TextCounter,
    TokenCounter,
)
from skewless.beam_pipelines.rows.pieces import Pieces, texts_in_pieces
from skewless.beam_pipelines.statistics.numeric_summary import NumericSummary
from skewless.beam_pipelines.statistics.pattern_counts import bins_allowed
from skewless.beam_pipelines.transform.numeric import scaled
from skewless.schemas.records.vocabulary_file import joint_keys, of_joint_key
from skewless.schemas.rows.prepare import Together
from skewless.schemas.rows.times.entries import measured_times
from skewless.schemas.rows.tokenizers import tokenize
from skewless.schemas.spec.features import NumericFeature, TextFeature, TimestampFeature
from skewless.schemas.spec.kinds.alike import alike
from skewless.schemas.spec.kinds.sequences import StepsOfNumbers
from skewless.schemas.spec.label import RegressionLabel
from skewless.schemas.spec.spec import Spec

__all__ = [
    "AnalysisTotals",
    "CountedVocabulary",
    "Numbers",
    "Reduction",
    "counted_in_pieces",
    "counted_vocabularies",
    "counts_lists",
    "measured_numbers",
    "merge_numbers",
]

# [width] summaries, by feature; a label's under its record entry.
Numbers = dict[str, list[NumericSummary]]
_KNOWN, _PIECES, _COUNTS, _VALUES = "known", "pieces", "counts", "values"
_NOT_COUNTED = -1
# What one worker holds of all vocabularies: about 90 MB of short values.
_MOST_VALUES, _MOST_BYTES = 1 << 19, 1 << 26
# Bytes of texts that are cut together: each time, all pieces kept from before are numbered once more.
_CUT_TOGETHER = 1 << 24


class Reduction:
    """Reduces a batch, inside the graph, to what `AnalysisTotals` adds."""

    def __init__(self, spec: Spec, known: Mapping[str, KnownPieces]) -> None:
        self._counted = {
            name: (counted, known.get(name) or KnownPieces(()))
            for name, counted in _counted_together(spec).items()
            if _tokens_of(spec, counted.members) is None
        }
        self._numbers = set(measured_numbers(spec))
        self._spec = spec

    def __call__(self, prepared: Together) -> dict[str, tf.Tensor]:
        """Returns counted pieces, and [batch or steps, width] float32 numbers."""
        batch: dict[str, tf.Tensor] = {}
        for name, (counted, known) in self._counted.items():
            places, pieces, counts = known.count(_pieces(counted, prepared))
            batch |= {
                f"{_KNOWN}/{name}": places,
                f"{_PIECES}/{name}": pieces,
                f"{_COUNTS}/{name}": counts,
            }
        for names, values in prepared.items():
            if names[0] in self._numbers:
                declared = self._spec.declared(names[0])
                if isinstance(declared, TimestampFeature):
                    values = measured_times(declared, values)
                elif isinstance(declared, StepsOfNumbers):
                    values = scaled(declared.measured_after, values.flat_values)
                elif isinstance(declared, NumericFeature | RegressionLabel):
                    values = scaled(declared.measured_after, values)
                batch[f"{_VALUES}/{names[0]}"] = values
        return batch


class AnalysisTotals:
    """Folds one worker's batches."""

    def __init__(
        self,
        spec: Spec,
        known: Mapping[str, KnownPieces] | None = None,
        pieces: Pieces | None = None,
    ) -> None:
        """Begins to count.

        Args:
          spec: The declaration.
          known: What the graph that reduces the batches counts by place.
          pieces: Those of earlier batches, if there are any.
        """
        self._spec = spec
        self._counted = _counted_together(spec)
        self._counters: dict[str, TokenCounter] = {}
        self._texts: dict[str, TextCounter] = {}
        for name, counted in self._counted.items():
            tokens_of = _tokens_of(spec, counted.members)
            if tokens_of is None:
                self._counters[name] = TokenCounter()
            else:
                self._texts[name] = TextCounter(tokens_of)
        self._pieces = pieces or Pieces()
        # By text, its column.
        self._columns = {
            member: column
            for name in self._texts
            for member in self._counted[name].members
            for column in spec.features[member].columns_read(member)
        }
        self._uncut: dict[str, list[pa.Array]] = {}
        self._uncut_bytes = 0
        self.resume(known or {})
        most = bins_allowed(spec)
        self._numbers = {
            name: [NumericSummary.bounded(most) for _ in range(width)]
            for name, width in measured_numbers(spec).items()
        }
        # In the order of the columns that `Reduction` gives under the first one's name.
        self._together = [
            (names[0], [summary for name in names for summary in self._numbers[name]])
            for names in (*alike(spec.features), *((entry,) for entry in spec.targets))
            if names[0] in self._numbers
        ]

    def add(self, columns: pa.RecordBatch, batch: Mapping[str, np.ndarray]) -> None:
        """Adds [rows] canonical columns, and what `Reduction` gave for them."""
        for name, counter in self._counters.items():
            counter.add(*(batch[f"{part}/{name}"] for part in (_KNOWN, _PIECES, _COUNTS)))
        self._add_texts(columns)
        for name, summaries in self._together:
            for column, summary in enumerate(summaries):
                summary.add(batch[f"{_VALUES}/{name}"][:, column])

    def _add_texts(self, columns: pa.RecordBatch) -> None:
        for member, column in self._columns.items():
            texts = columns.column(column)
            self._uncut.setdefault(member, []).append(texts)
            self._uncut_bytes += texts.nbytes
        # Pieces that are new each time are objects, one each: of as few texts at a time as may be.
        if self._uncut_bytes >= _CUT_TOGETHER or not self._pieces.mostly_kept:
            self._count_texts()

    def _count_texts(self) -> None:
        if not self._uncut:
            return
        texts = {member: pa.concat_arrays(batches) for member, batches in self._uncut.items()}
        self._uncut, self._uncut_bytes = {}, 0
        cut = self._pieces.cut(self._spec, texts)
        for name, counter in self._texts.items():
            codes = [cut[member] for member in self._counted[name].members]
            counter.add(np.concatenate(codes), self._pieces)

    def know(self, most: int) -> dict[str, KnownPieces]:
        """Returns the `most` frequent pieces so far, which later batches count by place."""
        return {name: counter.know(most) for name, counter in self._counters.items()}

    def resume(self, known: Mapping[str, KnownPieces]) -> None:
        """Counts what was known before by its place from here on."""
        for name, values in known.items():
            self._counters[name].resume(values)

    @property
    def full(self) -> bool:
        """Whether as much is held as may be: what is counted should be taken."""
        held = [counter.held for counter in self._counters.values()]
        held += [counter.held for counter in self._texts.values()]
        return (
            sum(values for values, _ in held) >= _MOST_VALUES
            or sum(size for _, size in held) >= _MOST_BYTES
        )

    def take(self) -> pa.Table:
        """Returns the values counted since the last time (`spilled.values.COUNTED`), and forgets them."""
        self._count_texts()
        taken = {name: counter.take() for name, counter in self._counters.items()}
        taken |= {name: counter.take(self._pieces) for name, counter in self._texts.items()}
        return counted_table(
            owned
            for name, counted in self._counted.items()
            for owned in counted.by_owner(taken[name]).items()
        )

    @property
    def numbers(self) -> Numbers:
        """The summaries of all that was added."""
        return self._numbers


@dataclass(frozen=True)
class _CountedTogether:
    """Features whose pieces one counter counts.

    Attributes:
      members: Their names: those of one vocabulary, or many alike, each with its vocabulary.
      owners: The vocabularies, by their places in `counted_vocabularies`: one, or each member's;
        `_NOT_COUNTED` of a member whose vocabulary is given.
    """

    members: tuple[str, ...]
    owners: tuple[int, ...]

    def by_owner(self, counts: Counts) -> dict[int, Counts]:
        """Returns what was counted, by the vocabulary's place."""
        if len(self.owners) == 1:
            return {self.owners[0]: counts}
        found: dict[int, Counts] = {owner: {} for owner in self.owners}
        for key, count in counts.items():
            owner, value = of_joint_key(key)
            found[owner][value] = count
        found.pop(_NOT_COUNTED, None)
        for own in found.values():
            own.pop(b"", None)  # It stands for no value.
        return found


def _counted_together(spec: Spec) -> dict[str, _CountedTogether]:
    """Returns what counters there are, by names of their own."""
    vocabularies = counted_vocabularies(spec)
    places = {name: place for place, name in enumerate(vocabularies)}
    owner_of = {
        member: places[owner]
        for owner, vocabulary in vocabularies.items()
        for member in vocabulary.members
    }
    found = {}
    for names in alike(spec.features):
        owners = tuple(owner_of.get(name, _NOT_COUNTED) for name in names)
        if len(names) > 1 and set(owners) != {_NOT_COUNTED}:
            found[f"{names[0]}+"] = _CountedTogether(names, owners)
    joint = {name for counted in found.values() for name in counted.members}
    for owner, vocabulary in vocabularies.items():
        alone = tuple(member for member in vocabulary.members if member not in joint)
        if alone:
            found[owner] = _CountedTogether(alone, (places[owner],))
    return found


@dataclass(frozen=True)
class CountedVocabulary:
    """A vocabulary to count, over all of its `members`, and how its entries are chosen."""

    members: tuple[str, ...]
    select: MostFrequent | LearnedPieces


def counted_vocabularies(spec: Spec) -> dict[str, CountedVocabulary]:
    """Returns the vocabularies that the spec wants counted, by their owners."""
    members: dict[str, list[str]] = {}
    for name, feature in spec.features.items():
        vocabulary = feature.own_vocabulary
        # A history holds values of rows that are counted by themselves.
        if vocabulary is not None and not feature.is_built:
            members.setdefault(vocabulary.shared_with or name, []).append(name)
    found = {}
    for owner, names in members.items():
        feature = spec.features[owner]
        vocabulary = feature.own_vocabulary
        if vocabulary is None or vocabulary.file is not None:
            continue
        select = LearnedPieces if feature.learns_pieces else MostFrequent
        found[owner] = CountedVocabulary(
            tuple(names), select(vocabulary.max_size, vocabulary.min_count)
        )
    for entry, label in spec.targets.items():
        tokens = label.own_vocabulary
        if label.names_classes and label.declared_classes is None:
            found[entry] = CountedVocabulary((entry,), MostFrequent())
        elif tokens is not None and tokens.file is None:
            select = LearnedPieces if label.learns_pieces else MostFrequent
            found[entry] = CountedVocabulary((entry,), select(tokens.max_size, tokens.min_count))
    return found


def counted_in_pieces(spec: Spec) -> set[str]:
    """Returns the texts of which the graph that reduces batches need not be given anything."""
    return set(texts_in_pieces(spec)) - _counted_in_graph(spec)


def counts_lists(spec: Spec) -> bool:
    """Whether the graph that reduces batches counts several values a row of any column."""
    declared = [spec.declared(member) for member in _counted_in_graph(spec)]
    return any(entry.is_sequence or entry.multivalued for entry in declared)


def _counted_in_graph(spec: Spec) -> set[str]:
    return {
        member
        for counted in _counted_together(spec).values()
        if _tokens_of(spec, counted.members) is None
        for member in counted.members
    }


def merge_numbers(total: Numbers, more: Numbers) -> None:
    """Adds what another worker has summarised."""
    for name, summaries in more.items():
        own = total.setdefault(name, [NumericSummary() for _ in summaries])
        for summary, other in zip(own, summaries, strict=True):
            summary.merge(other)


def measured_numbers(spec: Spec) -> dict[str, int]:
    """Returns the width of each numeric feature, or label, of which constants are needed."""
    widths = {
        name: feature.measured for name, feature in spec.features.items() if feature.needs_constants
    }
    return widths | {entry: 1 for entry, label in spec.targets.items() if label.needs_constants}


def _tokens_of(spec: Spec, members: Sequence[str]) -> Callable[[tf.Tensor], tf.RaggedTensor] | None:
    """Returns what cuts pieces into tokens, where that is one thing for all members."""
    in_pieces = texts_in_pieces(spec)
    texts = [in_pieces.get(member) for member in members]
    declared = texts[0]
    if declared is None or any(
        other is None or _cutting(other) != _cutting(declared) for other in texts[1:]
    ):
        return None
    return lambda pieces: tokenize(pieces, declared)


def _cutting(declared: TextFeature) -> tuple[object, ...]:
    return declared.tokenizer, declared.lowercase, declared.normalize, declared.ngrams


def _pieces(counted: _CountedTogether, prepared: Together) -> tf.Tensor:
    """Returns [count] string: values or pieces; joint keys of the owners' where there are several."""
    if len(counted.owners) > 1:
        return tf.reshape(joint_keys(prepared[counted.members], counted.owners), [-1])
    return tf.concat([_flat(prepared[member,]) for member in counted.members], axis=0)


def _flat(tokens: tf.RaggedTensor | tf.Tensor) -> tf.Tensor:
    return tokens.flat_values if isinstance(tokens, tf.RaggedTensor) else tokens
