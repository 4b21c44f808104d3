"""What a model made of one row: raw value, tokens, IDs, what it saw, and what each feature did."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from skewless.schemas.records.id_words import IdKind

__all__ = ["Explanation", "FeatureExplanation", "Step", "Told", "feature_lines"]

_WIDE = 72


@dataclass(frozen=True)
class Step:
    """One token or value of a feature.

    Attributes:
      token: As the tokenizer gives it; None where there is no value.
      id: The row of the embedding table that the model looked up; None where it was cut off.
      kind: The range of the ID contract; None where it was cut off.
      meaning: What the ID stands for: the token itself, or for example "(missing)".
    """

    token: str | None
    id: int | None
    kind: IdKind | None
    meaning: str


@dataclass(frozen=True)
class FeatureExplanation:
    """One feature of one row.

    Attributes:
      name: The feature.
      type: As declared: `text`, `categorical`, `cross`…
      raw: Each column that it is made of, with the value given; None where absent.
      missing: Whether the row has no value for it.
      steps: Tokens with their IDs, in the row's order; None for plain numbers.
      cut: How many tokens were cut off because they are beyond `length`.
      seen: What the model was given, by record entry: IDs with their padding, or scaled numbers
        and the was-missing indicator.
      mask: True where a step of a sequence is no padding; None for what is no sequence.
      embedding: The width of the looked-up rows, `one_hot`, or what makes numbers vectors; None
        for plain numbers.
      encoder: What reads the steps.
      score_without: The score with this feature missing; None for labels without one score.
      change: `score_without` less the score.
      together_with: Features that are made of the same columns, and were missing as well in that.
    """

    name: str
    type: str
    raw: dict[str, Any]
    missing: bool
    steps: tuple[Step, ...] | None
    cut: int
    seen: dict[str, Any]
    mask: tuple[bool, ...] | None
    embedding: int | str | None
    encoder: str | None
    score_without: float | None
    change: float | None
    together_with: tuple[str, ...]


@dataclass(frozen=True)
class Told:
    """What is told of one row, as JSON or as lines for a terminal."""

    def as_json(self) -> dict[str, Any]:
        """Returns plain dicts, lists, strings and numbers."""
        document: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return document

    def __str__(self) -> str:
        """Returns the lines."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        raise NotImplementedError


@dataclass(frozen=True)
class Explanation(Told):
    """One row through a model.

    Attributes:
      spec: The name of the model's spec.
      features: In the spec's order.
      added: What a preprocessing function of the spec's own added, by record entry.
      not_read: Columns of the row that no feature reads.
      predictions: What `serving_default` gave, by output.
      score: The one number that `change` is measured in; None for sequence labels.
      score_of: What that number is.
    """

    spec: str
    features: tuple[FeatureExplanation, ...]
    added: dict[str, Any]
    not_read: tuple[str, ...]
    predictions: dict[str, Any]
    score: float | None
    score_of: str

    def _lines(self) -> Iterator[str]:
        for feature in self.features:
            yield from feature_lines(feature)
            yield ""
        for name, value in self.added.items():
            yield f"{name}  (added by the preprocessing function)  {_short(value)}"
        if self.not_read:
            yield f"not read by any feature: {', '.join(self.not_read)}"
        for name, value in self.predictions.items():
            yield f"{name}: {_short(value)}"
        if self.score is None:
            return
        yield f"score {self.score:.6g}: {self.score_of}"
        yield ""
        yield f"{'without':<24}{'score':>12}{'change':>12}"
        for feature in sorted(self.features, key=lambda entry: -abs(entry.change or 0)):
            name = " + ".join((feature.name, *feature.together_with))
            if feature.missing:
                name += " (missing)"
            yield f"{name:<24}{feature.score_without:>12.6g}{feature.change:>+12.6g}"


def feature_lines(feature: FeatureExplanation) -> Iterator[str]:
    """Yields a feature's walk as lines for a terminal."""
    shape = ", ".join(
        text
        for text in (
            feature.type,
            f"embedding {feature.embedding}" if feature.embedding else "",
            feature.encoder or "",
        )
        if text
    )
    yield f"{feature.name}  ({shape})"
    for column, value in feature.raw.items():
        given = "(absent)" if value is None else json.dumps(value, ensure_ascii=False)
        yield f"  raw {column}: {_cut(given)}"
    for step in feature.steps or ():
        token = "(no value)" if step.token is None else step.token
        if step.id is None:
            yield f"  {token:<24} {step.meaning}"
        else:
            meaning = "" if step.meaning == step.token else f"  {step.meaning}"
            yield f"  {token:<24} ID {step.id}{meaning}"
    if feature.mask is not None:
        padding = len(feature.mask) - sum(feature.mask)
        yield f"  seen: {sum(feature.mask)} steps, {padding} of padding" + (
            f", {feature.cut} cut off" if feature.cut else ""
        )
    for entry, value in feature.seen.items():
        label = "seen" if entry == feature.name else f"seen {entry}"
        yield f"  {label}: {_short(value)}"


def _short(value: Any) -> str:
    if isinstance(value, list):
        text = "[" + " ".join(_short(item) for item in value) + "]"
        return _cut(text)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _cut(text: str) -> str:
    return text if len(text) <= _WIDE else f"{text[:_WIDE]}… ({len(text):,} characters)"
