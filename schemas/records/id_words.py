"""IDs in words: what each ID of a feature, or of the label, stands for (schemas/records/id_contract.py)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from skewless.schemas.errors import UsageError
from skewless.schemas.records.id_contract import (
    FIRST_ID,
    MISSING_ID,
    PADDING_ID,
    end_id,
    first_vocabulary_id,
    start_id,
)
from skewless.schemas.records.manifest import FeatureEntry
from skewless.schemas.records.records import LABEL, NO_CLASS, is_label
from skewless.schemas.records.vocabulary_file import read_vocabulary
from skewless.schemas.records.vocabulary_names import vocabulary_file
from skewless.schemas.rows.times.words import id_word
from skewless.schemas.spec.features import TimestampFeature
from skewless.schemas.spec.spec import Spec

__all__ = ["IdKind", "IdWords", "Meaning"]

IdKind = Literal[
    "padding",
    "missing",
    "out of vocabulary",
    "bucket",
    "part",
    "vocabulary",
    "class",
    "number",
    "mark",
]


@dataclass(frozen=True)
class Meaning:
    """What an ID stands for.

    Attributes:
      kind: Which range of the ID contract it lies in; `number` for what no feature declares, and
        `mark` for the start and end of a sequence.
      text: The token, or the kind in parentheses.
    """

    kind: IdKind
    text: str


class IdWords:
    """What IDs mean, with each vocabulary read once."""

    def __init__(self, spec: Spec, entries: Mapping[str, FeatureEntry], assets: str | Path) -> None:
        """Takes what gives IDs their meaning.

        Args:
          spec: The declaration.
          entries: The manifest's features, which give cardinalities.
          assets: The folder of vocabulary files.
        """
        self._spec = spec
        self._entries = entries
        self._assets = Path(assets)
        self._vocabularies: dict[str, list[bytes]] = {}

    def vocabulary_path(self, name: str) -> Path:
        """Returns the file that a feature, or the label, is looked up in."""
        return vocabulary_file(self._spec, name, self._assets)

    def vocabulary(self, name: str) -> list[bytes]:
        """Returns a feature's vocabulary in ID order."""
        if name not in self._vocabularies:
            self._vocabularies[name] = read_vocabulary(str(self.vocabulary_path(name)))
        return self._vocabularies[name]

    def of(self, name: str, value: int) -> Meaning:
        """Returns what an ID of the feature `name`, or a class of the label, means.

        Raises:
          UsageError: If the ID is beyond the feature's range.
        """
        declared: Any = self._spec.declared(name)
        if is_label(name) and self._spec.labels is not None and value == NO_CLASS:
            return Meaning("missing", "(missing)")
        cardinality = self._entries[name].cardinality
        if cardinality is not None and not 0 <= value < cardinality:
            raise UsageError(f"--id {value}: expected an ID of {name} in [0, {cardinality})")
        if is_label(name) and declared.names_classes:
            return Meaning("class", self._entry(name, value))
        if value == PADDING_ID:
            return Meaning("padding", "(padding)")
        if value == MISSING_ID:
            return Meaning("missing", "(missing)")
        if declared is None:
            return Meaning("number", str(value))
        if isinstance(declared, TimestampFeature):
            return Meaning("part", id_word(declared.parts, value - FIRST_ID))
        if declared.fixed_ids is not None:
            kind = "quantile" if declared.is_number else "hash"
            text = f"({kind} bucket {value - FIRST_ID} of {declared.fixed_ids})"
            return Meaning("bucket", text)
        first = first_vocabulary_id(declared.unknown_ids)
        if value < first:
            bucket = f"bucket {value - FIRST_ID} of {declared.unknown_ids}"
            return Meaning("out of vocabulary", f"(out of vocabulary, {bucket})")
        if name == LABEL and declared.is_sequence and cardinality is not None:
            if value == start_id(cardinality):
                return Meaning("mark", "(start)")
            if value == end_id(cardinality):
                return Meaning("mark", "(end)")
        return Meaning("vocabulary", self._entry(name, value - first))

    def _entry(self, name: str, place: int) -> str:
        return self.vocabulary(name)[place].decode("utf-8", "replace")
