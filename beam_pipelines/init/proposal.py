"""The proposed spec: every column decided on, then key, label, split and training."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from anyascii import anyascii

from skewless.beam_pipelines.init.features import Guess, guess_feature, left_out
from skewless.beam_pipelines.init.kinds.lists import put_beside
from skewless.beam_pipelines.init.kinds.names import is_identifier
from skewless.beam_pipelines.init.label import LabelGuess, guess_label, likely_label
from skewless.beam_pipelines.init.overlap import duplicates, leaks
from skewless.beam_pipelines.init.profile import Profile, missing_texts, profile
from skewless.beam_pipelines.init.sample import Sample
from skewless.beam_pipelines.init.training.sizes import model_and_training
from skewless.beam_pipelines.init.wide import MOST_CLOSE, Wide, look_at_wide
from skewless.schemas.errors import DataError, UsageError, listed, nearest
from skewless.schemas.rows.csv_format import CsvFormat
from skewless.schemas.spec.splits import SPLITS

__all__ = ["AS_IN_USE", "NO_KEY", "Proposal", "name_of", "propose"]

# Columns that an error names.
_MOST_TOLD = 20
# What files of a split are called: they name no data set.
_SPLITS = ("train", "training", "eval", "valid", "validation", "dev", "test", "data")

_LEAST_IN_A_GROUP = 4
# Well below what a name may have, for numbers behind it and names made of it.
_LONGEST_NAME = 100
# The name of a label that is the only one: no column's, as it holds a character that names do not.
_LABEL = ""
NO_KEY = (
    "there is no key: no column has another value in each row. Rows fall into splits by all that "
    "they hold: equal rows share a split, a row that is altered or gains a column may move to "
    "another, and rows given twice are counted twice. If a column names rows, declare it: `key: NAME`"
)

AS_IN_USE = (
    "{0}: rows have times, and the split is by chance; split: {{time: {0}, train: 0.8, eval: 0.1, "
    "test: 0.1}} would test on the newest rows, as a model in use is"
)


@dataclass(frozen=True)
class Proposal:
    """A guessed spec.

    Attributes:
      document: What the spec file holds, ready for `schemas.parse`.
      features: The guess behind each feature, by the feature's name.
      omitted: The guesses of columns that are not features.
      labels: The guesses behind the labels, by their names; a single one's is `label`.
      warnings: What a person should look at before training.
    """

    document: dict[str, Any]
    features: dict[str, Guess]
    omitted: list[Guess]
    labels: dict[str, LabelGuess]
    sample: Sample
    warnings: tuple[str, ...] = ()

    @property
    def label(self) -> LabelGuess | None:
        """The guess behind the one label, if there is one."""
        return self.labels.get(_LABEL)


def propose(sample: Sample, labels: Sequence[str], inputs: Sequence[str]) -> Proposal:
    """Guesses a spec.

    Args:
      sample: Rows of the data.
      labels: The columns to predict; without any, a column called label, target or the like.
      inputs: The data's paths, which name the spec.

    Raises:
      UsageError: If there is no such label column, or one is given twice.
      DataError: If nothing can be learned of the label, or no column is fit for a feature.
    """
    targets = _label_columns(sample, labels)
    columns = [values for name, values in sample.columns.items() if name not in targets]
    unsaid = {name: _missing_label(sample, name) for name in targets}
    texts = dict.fromkeys([*missing_texts(columns), *itertools.chain(*unsaid.values())])
    missing = tuple(texts)

    def profiled(name: str) -> Profile:
        return profile(name, sample.columns[name], sample.total, unsaid.get(name, missing))

    wide = Wide(close=list(sample.columns))
    if len(sample.columns) > MOST_CLOSE:
        # Of thousands of columns the first label alone says which are looked at closely.
        first = profiled(targets[0]) if targets else None
        rest = {name: sample.columns[name] for name in sample.columns if name not in targets[1:]}
        wide = look_at_wide(rest, missing, first, sample.total, profiled)
    profiles = {name: profiled(name) for name in dict.fromkeys([*wide.close, *targets])}
    decided = _decided([profiles[name] for name in targets])
    key = _key(profiles, targets)
    split = _split_column(profiles, targets)
    special = {name for name in (*targets, key, split) if name is not None}
    omitted = [left_out(name, "unreadable", why) for name, why in sample.unreadable.items()]
    omitted += _special(profiles, key, split)
    others = {name: entry for name, entry in profiles.items() if name not in special}
    guesses, more, warnings = _guesses(others, [profiles[name] for name in targets])
    omitted += [*more, *wide.omitted]
    warnings += wide.warnings
    if not guesses and not wide.features:
        raise DataError(
            "no column is fit for a feature ("
            + ("there is none but the label" if not omitted else "")
            + "; ".join(f"{g.column}: {g.why}" for g in omitted[:_MOST_TOLD])
            + (f"; and {len(omitted) - _MOST_TOLD} more" if len(omitted) > _MOST_TOLD else "")
            + "); give other data, or write the spec by hand (docs/spec.md)"
        )
    features = put_beside(_named([*_grouped(guesses), *wide.features]), profiles)
    warnings += sample.seen
    if key is None and split is None:
        warnings.append(NO_KEY)
    times = [guess.column for guess in guesses if guess.kind == "time"]
    if times and split is None:
        warnings.append(AS_IN_USE.format(times[0]))
    document = _document(features, decided, key, split, missing, sample, inputs)
    return Proposal(document, features, omitted, decided, sample, tuple(warnings))


def _label_columns(sample: Sample, asked: Sequence[str]) -> list[str]:
    for name in asked:
        if name in sample.unreadable:
            raise UsageError(f"--label {name}: {sample.unreadable[name]}; name another column")
        if name not in sample.columns:
            raise UsageError(
                f"--label {name}: no such column{nearest(name, sample.columns)} "
                f"(columns: {listed(sample.columns)})"
            )
        if asked.count(name) > 1:
            raise UsageError(f"--label {name}: is given twice; name each column once")
    if asked:
        return list(asked)
    likely = likely_label(sample.columns)
    return [] if likely is None else [likely]


def _missing_label(sample: Sample, name: str) -> tuple[str, ...]:
    """Returns the texts that stand for no label, of a column of numbers; among words they are classes."""
    texts = missing_texts([sample.columns[name]])
    known = profile(name, sample.columns[name], sample.total, texts)
    return texts if known.share_of_numbers > 0.99 and not known.codes else ()


def _decided(targets: Sequence[Profile]) -> dict[str, LabelGuess]:
    """Returns what is to be predicted of each label, by its name."""
    if len(targets) == 1:
        return {_LABEL: guess_label(targets[0])}
    return _by_names((target.name, guess_label(target, several=True)) for target in targets)


def _key(profiles: Mapping[str, Profile], labels: Sequence[str]) -> str | None:
    """Returns the column that identifies a row: by its name, and unique in the sample."""
    fit = [
        name
        for name, entry in profiles.items()
        if name not in labels
        and is_identifier(name)
        and not entry.multivalued
        and entry.distinct == entry.rows > 1
    ]
    return min(
        fit,
        key=lambda name: (name.lower() not in ("id", "key", "uuid"), fit.index(name)),
        default=None,
    )


def _split_column(profiles: Mapping[str, Profile], labels: Sequence[str]) -> str | None:
    for name, entry in profiles.items():
        if name not in labels and not entry.multivalued and entry.present == entry.rows:
            values = set(entry.counts) if len(entry.counts) <= len(SPLITS) else set()
            if len(values) > 1 and "train" in values <= set(SPLITS):
                return name
    return None


def _special(profiles: Mapping[str, Profile], key: str | None, split: str | None) -> list[Guess]:
    found = []
    if key is not None:
        entry = profiles[key]
        sampled = "" if entry.rows >= entry.total else " sampled"
        why = f"another value in each of the {entry.rows:,}{sampled} rows"
        found.append(left_out(key, "key", why))
    if split is not None:
        found.append(left_out(split, "split", f"holds {', '.join(profiles[split].counts)}"))
    return found


def _guesses(
    profiles: Mapping[str, Profile], labels: Sequence[Profile]
) -> tuple[list[Guess], list[Guess], list[str]]:
    """Returns what becomes features, what is left out, and what to look at."""
    # Of several labels' the surest is told.
    every = [leak for label in labels for leak in leaks(profiles, label)]
    found = {leak.column: leak for leak in sorted(every, key=lambda leak: leak.certain)}
    guesses = {name: guess_feature(entry) for name, entry in profiles.items()}
    certain = {name for name, leak in found.items() if leak.certain}
    fit = {name for name, guess in guesses.items() if guess.feature is not None}
    if fit <= certain:
        # Nothing would be left to learn from: a person is to say whether it may be used.
        certain = set()
    fit -= certain
    twins = duplicates(
        {name: entry for name, entry in profiles.items() if name in fit},
        {name for name in fit if guesses[name].kind == "number"},
    )
    kept: list[Guess] = []
    omitted: list[Guess] = []
    warnings: list[str] = []
    for name, guess in guesses.items():
        if name in certain:
            omitted.append(left_out(name, "leak", found[name].why))
        elif guess.feature is None:
            omitted.append(guess)
        elif name in twins:
            omitted.append(left_out(name, "duplicate", f"says the same as {twins[name]}"))
        else:
            if (leak := found.get(name)) is not None:
                warnings.append(f"{name}: {leak.why}; is it known when a prediction is asked for?")
                guess = dataclasses.replace(guess, why=f"{guess.why}; CHECK: {leak.why}")
            kept.append(guess)
    return kept, omitted, warnings


def _grouped(guesses: Sequence[Guess]) -> list[tuple[str, Guess]]:
    """Joins numbered numeric columns, as s0, s1, …, of one declaration to one feature."""
    series: dict[str, list[Guess]] = {}
    for guess in guesses:
        match = re.fullmatch(r"(.*?[A-Za-z])_?\d+", guess.column)
        if match and guess.kind == "number" and _alike(guess.feature or {}):
            series.setdefault(f"{match.group(1)} {guess.feature}", []).append(guess)
    joined: dict[str, tuple[str, Guess]] = {}
    for members in series.values():
        if len(members) < _LEAST_IN_A_GROUP:
            continue
        first = members[0]
        name = re.sub(r"_?\d+$", "", first.column)
        columns = [member.column for member in members]
        feature = {**(first.feature or {}), "columns": columns}
        group = Guess(
            first.column, "numbers", f"{len(columns)} numbered columns of numbers", feature
        )
        for column in columns:
            joined[column] = (name, group)
    result: list[tuple[str, Guess]] = []
    for guess in guesses:
        entry = joined.get(guess.column, (guess.column, guess))
        if entry not in result:
            result.append(entry)
    return result


def _alike(feature: Mapping[str, Any]) -> bool:
    """Whether a column of numbers is declared by no figures of its own."""
    return set(feature) <= {"type", "scale", "missing", "embedding"}


def _named(guesses: Sequence[tuple[str, Guess]]) -> dict[str, Guess]:
    """Gives each feature a name that a spec allows, and the column where it differs."""
    features: dict[str, Guess] = {}
    for name, guess in _by_names(guesses).items():
        feature = dict(guess.feature or {})
        if name != guess.column and "columns" not in feature:
            feature = {"type": feature.pop("type"), "column": guess.column, **feature}
        features[name] = dataclasses.replace(guess, feature=feature)
    return features


def _by_names(wanted: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Returns values by names that a spec allows, as near as can be to those that are wanted."""
    found: dict[str, Any] = {}
    for column, value in wanted:
        found[name_of(column, found)] = value
    return found


def name_of(column: str, taken: Container[str]) -> str:
    """Returns a name that a spec allows, as near to the column's as can be, that is not taken."""
    name = re.sub(r"[^A-Za-z0-9]+", "_", anyascii(column)).strip("_") or "feature"
    name = (name if name[0].isalpha() else f"c_{name}")[:_LONGEST_NAME]
    others = (f"{name}_{number}" for number in itertools.count(2))
    return name if name not in taken else next(other for other in others if other not in taken)


def _name(inputs: Sequence[str]) -> str:
    """Returns the file's name; its folder's where there are several, or the name is a split's."""
    path = PurePath(inputs[0])
    several = len(inputs) > 1 or any(sign in path.name for sign in "*?[")
    names = [] if several else [path.name.split(".")[0]]
    names += [path.parent.name, path.parent.parent.name]
    stem = next((name for name in names if name.lower() not in ("", *_SPLITS)), names[0])
    return re.sub(r"\W+", "_", stem).strip("_") or "data"


def _document(
    features: Mapping[str, Guess],
    labels: Mapping[str, LabelGuess],
    key: str | None,
    split: str | None,
    missing: Sequence[str],
    sample: Sample,
    inputs: Sequence[str],
) -> dict[str, Any]:
    document: dict[str, Any] = {"name": _name(inputs)}
    if key is not None:
        document["key"] = key
    written = sample.written.told()
    if written["delimiter"] == CsvFormat().delimiter:
        del written["delimiter"]
    if written:
        document["csv"] = written
    if missing:
        document["missing_values"] = list(missing)
    document["features"] = {name: guess.feature for name, guess in features.items()}
    declared = {name: guess.declared for name, guess in labels.items()}
    if _LABEL in declared:
        document["label"] = declared[_LABEL]
    elif declared:
        document["labels"] = declared
    document["split"] = {"column": split} if split else {"train": 0.8, "eval": 0.1, "test": 0.1}
    document["model"], document["training"] = model_and_training(
        sample.total, document["features"].values()
    )
    return document
