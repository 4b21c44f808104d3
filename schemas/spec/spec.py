"""The spec: one declaration that drives the Beam job, the records, the model and serving.

`load` reads YAML; the same objects can be built in Python. Nothing touches data before the
whole declaration has been found sound.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from skewless.schemas.errors import SpecError, nearest
from skewless.schemas.records.records import FILE, KEY, LABEL, ROW, label_entry
from skewless.schemas.rows.csv_format import CsvFormat
from skewless.schemas.spec.declared import Declared
from skewless.schemas.spec.encoders import Dense, Encoder, Flatten
from skewless.schemas.spec.features import FEATURE_NAME, Feature
from skewless.schemas.spec.kinds.history import bind_histories, history_problems
from skewless.schemas.spec.kinds.lists import list_problems
from skewless.schemas.spec.kinds.timestamp import date_problems
from skewless.schemas.spec.label import Label
from skewless.schemas.spec.models.labels import label_problems
from skewless.schemas.spec.models.training import group_problems, training_problems
from skewless.schemas.spec.network import ModelSpec, TowersSpec, TrainingSpec
from skewless.schemas.spec.refusals import in_words
from skewless.schemas.spec.splits import Split
from skewless.schemas.spec.yaml_document import read_text, read_yaml, write_yaml

__all__ = ["Spec", "load", "parse"]


class Spec(Declared):
    """The whole declaration. `missing_values` are texts that mean "no value" in any column."""

    name: str = Field(min_length=1)
    """Names the model; the server answers under it."""
    key: str | None = None
    """The column that identifies a row: it decides splits and finds duplicates. Without it a hash
    of the row decides its split.
    """
    features: dict[str, Feature] = {}
    """The features, by name: letters, digits and `_`, a letter first."""
    label: Label | None = None
    """What is predicted. Without it records can be written, but only `two_tower` trained."""
    labels: dict[str, Label] | None = None
    """Instead of `label`, several by name: binary, multiclass, regression. The network is shared, each
    label has a head; a row may lack some of them, and teaches those that it has.
    """
    weight: str | None = None
    """A numeric column of sample weights."""
    split: Split = Split()
    """Which rows train, which evaluate."""
    model: ModelSpec = TowersSpec()
    """The network. A document without `type` declares towers."""
    training: TrainingSpec = TrainingSpec()
    """How to train."""
    preprocessing: str | None = None
    """A function `module:function` of plain tf.Transform code, for what the spec cannot say."""
    missing_values: tuple[str, ...] = ()
    """Texts that mean "no value" in any column."""
    keep: tuple[str, ...] = ()
    """Columns kept beside held-out records, to slice evaluations by."""
    csv: CsvFormat = CsvFormat()
    """How `.csv` and `.tsv` files are written."""

    @model_validator(mode="before")
    @classmethod
    def _default_model_kind(cls, data: Any) -> Any:
        if isinstance(data, dict):
            model = data.get("model")
            if isinstance(model, dict) and "type" not in model:
                return {**data, "model": {"type": "towers", **model}}
        return data

    @model_validator(mode="after")
    def _sound(self) -> Spec:
        bind_histories(self.features)
        problems = list(_problems(self))
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def targets(self) -> dict[str, Label]:
        """What is predicted, by the record entry that holds it: `label`, or each of `labels`."""
        if self.label is not None:
            return {LABEL: self.label}
        return {label_entry(name): label for name, label in (self.labels or {}).items()}

    def alone(self, name: str) -> Spec:
        """Returns this as if one of several labels were the only one."""
        return self.model_copy(update={"label": (self.labels or {})[name], "labels": None})

    def declared(self, entry: str) -> Any:
        """Returns the feature of that name, or the label that a record entry holds; else None."""
        return self.targets.get(entry) or self.features.get(entry)

    def to_yaml(self) -> str:
        """Returns the spec as YAML with every default written out."""
        document = self.model_dump(mode="json", exclude_none=True)
        # The one key that means something as null and something else when left out.
        document["training"]["early_stopping"] = self.training.early_stopping
        return write_yaml(document)

    def sha256(self) -> str:
        """Returns the digest of what shapes the records: model and training left out."""
        # Only what differs of `csv`: keys that came later leave the digests of older specs alone.
        untold = set(CsvFormat.model_fields) - set(self.csv.told())
        # Where shares of time come to lie follows from the rows.
        declared = self.model_copy(update={"split": self.split.as_declared})
        shaping = declared.model_dump_json(
            exclude={
                "model": True,
                "training": True,
                "csv": untold,
                "features": {"__all__": {"vectors", "weighting"}},
                "label": {"weight"},
                "labels": self.labels is None or {"__all__": {"weight"}},
            }
        )
        return hashlib.sha256(shaping.encode()).hexdigest()


# By the text of their files: a command reads the copies that records, run and model hold of one spec,
# and YAML of a thousand features takes a second.
_READ: dict[str, Spec] = {}
_MOST_READ = 8


def load(path: str | Path) -> Spec:
    """Reads a spec file; what was read before, under whatever name, is not parsed anew.

    Raises:
      SpecError: If the file cannot be read, is not YAML, or the declaration is refused; each
        problem names the key's path, what was expected and the nearest valid key.
    """
    text = read_text(path)
    spec = _READ.get(text)
    if spec is None:
        spec = parse(read_yaml(text, str(path)), source=str(path))
        if len(_READ) >= _MOST_READ:
            _READ.clear()
        _READ[text] = spec
    return spec


def parse(document: Any, source: str = "spec") -> Spec:
    """Builds a spec from plain dicts and lists.

    Raises:
      SpecError: If the declaration is refused.
    """
    if not isinstance(document, Mapping):
        raise SpecError(f"expected keys and values, got {type(document).__name__}", source=source)
    try:
        return Spec.model_validate(document)
    except ValidationError as error:
        raise SpecError(in_words(error, document), source=source) from None


def _problems(spec: Spec) -> Iterator[str]:
    """Yields what is wrong between the parts, each part being sound by itself."""
    if not spec.features:
        own = " (they name the columns that 'preprocessing' is given)" if spec.preprocessing else ""
        yield f"features: expected at least one feature{own}"
    if spec.preprocessing and not re.fullmatch(r"[\w.]+:\w+", spec.preprocessing):
        yield f"preprocessing: expected module:function, got {spec.preprocessing!r}"
    for name, feature in spec.features.items():
        if not FEATURE_NAME.match(name):
            yield (
                f"features.{_short(name)}: expected a name of 1 to 200 letters (a to z), digits and "
                "_ that starts with a letter; name it so, and the column as it is under `column`"
            )
        yield from _encoder_problems(f"features.{name}", feature)
        yield from _vocabulary_problems(f"features.{name}", feature, spec)
        yield from _combination_problems(f"features.{name}", feature, spec)
    yield from history_problems(spec)
    yield from _column_problems(spec)
    yield from label_problems(spec)
    yield from training_problems(spec.targets, spec.training, learns=spec.model.needs_label)
    if spec.model.needs_label:
        yield from group_problems(spec.training, spec.features, spec.model)
    yield from spec.model.problems(spec)


def _short(text: str) -> str:
    shown = text if text.isprintable() else repr(text)[1:-1]
    return shown if len(text) <= 60 else f"{shown[:60]}… ({len(text)} characters)"


def _encoder_problems(path: str, feature: Any) -> Iterator[str]:
    encoder: Encoder | None = feature.encoder
    if feature.is_number and not isinstance(encoder, Dense | Flatten | None):
        yield f"{path}.encoder: numbers take dense or flatten, got {encoder.type!r}"


def _vocabulary_problems(path: str, feature: Any, spec: Spec) -> Iterator[str]:
    vocabulary = feature.own_vocabulary
    if vocabulary is None or vocabulary.shared_with is None:
        return
    where = f"{path}.vocabulary.shared_with"
    other = spec.features.get(vocabulary.shared_with)
    counted = [
        name
        for name, candidate in spec.features.items()
        if candidate is not feature
        and (declared := candidate.own_vocabulary) is not None
        and declared.shared_with is None
    ]
    if other is None or vocabulary.shared_with not in counted:
        yield (
            f"{where}: expected a feature with a vocabulary of its own "
            f"({', '.join(sorted(counted)) or 'there is none'}), got {vocabulary.shared_with!r}"
            f"{nearest(vocabulary.shared_with, counted)}"
        )
    elif other.unknown_ids != feature.unknown_ids:
        yield f"{where}: both features need the same oov_buckets, so that an ID means one thing"
    elif other.learns_pieces:
        yield f"{where}: {vocabulary.shared_with!r} learns subword pieces, which cannot be shared"


def _combination_problems(path: str, feature: Feature, spec: Spec) -> Iterator[str]:
    for other in feature.combines:
        declared = spec.features.get(other)
        if declared is None:
            able = [name for name, kind in spec.features.items() if kind.combinable]
            yield (
                f"{path}.of: no feature {other!r}{nearest(other, able)}; declare it "
                f"(`{other}: {{type: categorical}}`): a cross is of features, not of columns"
            )
        elif not declared.combinable:
            yield (
                f"{path}.of: {other!r} is no single value to combine; expected a categorical feature "
                "without 'length', or a numeric one with 'buckets'"
            )


def _columns_named(spec: Spec) -> set[str]:
    """Returns every column of the data that a spec names."""
    others = (spec.key, spec.split.by, spec.split.column, spec.split.time)
    return _columns_kept(spec) | {column for column in others if column is not None}


def _columns_kept(spec: Spec) -> set[str]:
    """Returns the columns that are kept as they were, beside the records."""
    read = {
        column for name, feature in spec.features.items() for column in feature.columns_read(name)
    }
    labels = [label.column for label in spec.targets.values()]
    others = (*labels, spec.weight, *spec.keep)
    return read | {column for column in others if column is not None}


def _column_problems(spec: Spec) -> Iterator[str]:
    for column in sorted(_columns_named(spec)):
        if "\0" in column:
            # TensorFlow ends the name there when it parses a tf.Example, and finds nothing.
            yield f"column {column!r}: expected a name without NUL; rename the column in the data"
        elif any("\ud800" <= character <= "\udfff" for character in column):
            # Half of a character, which no file and no tensor can hold as UTF-8.
            yield (
                f"column {column!r}: expected a name of whole characters, got a lone surrogate; "
                "rename it in the data"
            )
        elif column in (KEY, FILE, ROW) and column in _columns_kept(spec):
            yield (
                f"column {column!r}: raw rows are kept with a column of ours that has this name; "
                "rename the column in the data"
            )
    kinds: dict[str, tuple[str, str]] = {}
    for name, feature in spec.features.items():
        for column, kind in feature.kinds_read(name).items():
            other_name, other_kind = kinds.setdefault(column, (name, kind))
            if other_kind != kind:
                yield (
                    f"features.{name}: column {column!r} is read as {kind} here but as {other_kind} "
                    f"by features.{other_name}; give both the same kind"
                )
            if column == spec.split.column:
                yield f"features.{name}: column {column!r} names the split; it cannot be a feature"
    for name, feature in spec.features.items():
        if spec.split.time in feature.columns_read(name) and (
            feature.kind != "string" or feature.multivalued
        ):
            read_as = "lists" if feature.multivalued else feature.kind
            yield (
                f"split.time: features.{name} reads column {spec.split.time!r} as {read_as}, and not as "
                "a time; make a timestamp of that feature"
            )
    yield from list_problems(spec)
    yield from date_problems(spec)
    if spec.weight is not None:
        if not spec.targets and spec.model.needs_label:
            yield "weight: needs a label; remove it"
        elif kinds.get(spec.weight, ("", "float32"))[1] != "float32":
            yield f"weight: expected a numeric column, but {spec.weight!r} is read as text by a feature"
