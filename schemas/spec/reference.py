"""The reference of every key of the spec, made from the types (`docs/spec-reference.md`).

Names, types, defaults and meanings come from the declared types; `_EXAMPLES` adds a value for each
key, which a test checks against the key's type.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from skewless.schemas.rows.csv_format import CsvFormat
from skewless.schemas.spec import encoders, features, label, network
from skewless.schemas.spec.declared import Declared
from skewless.schemas.spec.kinds import number_embedding
from skewless.schemas.spec.sizes import AtMost
from skewless.schemas.spec.spec import Spec
from skewless.schemas.spec.splits import Split

__all__ = ["PUBLISHED", "SECTIONS", "example_of", "reference"]

PUBLISHED = Path(__file__).resolve().parents[2] / "docs" / "spec-reference.md"

SECTIONS: tuple[tuple[str, tuple[type[Declared], ...]], ...] = (
    ("The whole", (Spec, Split, CsvFormat)),
    (
        "Features",
        (
            features.TextFeature,
            features.CategoricalFeature,
            features.NumericFeature,
            number_embedding.PiecewiseLinear,
            number_embedding.Periodic,
            features.TimestampFeature,
            features.CrossFeature,
            features.HistoryFeature,
            features.NumericSequenceFeature,
            features.TimeGapsFeature,
            features.Vocabulary,
            features.Vectors,
            features.RegexTokenizer,
        ),
    ),
    (
        "Encoders",
        (
            encoders.Flatten,
            encoders.Pooling,
            encoders.Recurrent,
            encoders.Cnn,
            encoders.Attention,
            encoders.Transformer,
            encoders.Dense,
        ),
    ),
    (
        "Labels",
        (
            label.BinaryLabel,
            label.MulticlassLabel,
            label.MultilabelLabel,
            label.RegressionLabel,
            label.SequenceLabel,
        ),
    ),
    (
        "Model and training",
        (
            network.TowersSpec,
            network.Group,
            network.Seq2SeqSpec,
            network.TwoTowerSpec,
            network.TrainingSpec,
            network.CosineSchedule,
        ),
    ),
)

# By key, where a key's example is the same wherever it appears; `Type.key` where it is not.
_EXAMPLES = {
    "normalization": "layer",
    "residual": "true",
    "linear": "true",
    "ensemble": "8",
    "experts": "4",
    "best_by": "loss",
    "class_weights": "balanced",
    "label_smoothing": "0.05",
    "vectors": "{file: vectors.txt, trainable: false}",
    "Vectors.file": "vectors.txt",
    "words": "words.txt",
    "trainable": "false",
    "focal": "2.0",
    "keep_negatives": "0.1",
    "loss": "pairwise",
    "group": "user_id",
    "ema": "0.999",
    "name": "reviews",
    "key": "review_id",
    "Spec.features": "{age: {type: numeric}}",
    "label": "{column: rating, type: regression}",
    "labels": "{clicked: {column: clicked, type: binary}, dwell: {column: seconds, type: regression}}",
    "weight": "0.3",
    "Spec.weight": "importance",
    "split": "{train: 0.9, eval: 0.1}",
    "model": "{hidden: [64]}",
    "training": "{epochs: 10}",
    "preprocessing": "my_module:preprocessing_fn",
    "missing_values": '["?", N/A]',
    "keep": "[country]",
    "csv": '{delimiter: ";", decimal: ","}',
    "delimiter": '";"',
    "header": "[day, shop, turnover]",
    "encoding": "latin-1",
    "decimal": '","',
    "thousands": '"."',
    "signs": "[€, EUR]",
    "train": "0.8",
    "eval": "0.1",
    "test": "0.1",
    "by": "user_id",
    "column": "rating",
    "Split.column": "fold",
    "required": "true",
    "length": "32",
    "tokenizer": "{regex: '[0-9]+'}",
    "SequenceLabel.tokenizer": "whitespace",
    "lowercase": "false",
    "normalize": "nfkc",
    "ngrams": "2",
    "truncate": "start",
    "pad": "start",
    "vocabulary": "{max_size: 10000, min_count: 2}",
    "oov_buckets": "4",
    "embedding": "32",
    "encoder": "{type: gru, units: 64}",
    "dtype": "int64",
    "separator": '"|"',
    "empty": "no_classes",
    "hash_buckets": "1000",
    "dimensions": "3",
    "beside": "viewed",
    "weights": "tag_scores",
    "columns": "[r1, r2, r3]",
    "scale": "z_score",
    "NumericFeature.embedding": "{type: piecewise_linear, bins: 32}",
    "bins": "32",
    "width": "8",
    "frequencies": "16",
    "sigma": "0.3",
    "missing": "mean",
    "indicator": "true",
    "clip": "[0, 100]",
    "buckets": "20",
    "time": "created",
    "eval_from": "2026-01-01",
    "test_from": "2026-02-01",
    "parts": "[hour, weekday, yearday]",
    "cyclic": "true",
    "trend": "true",
    "age_from": "ordered_at",
    "unit": "ms",
    "dates": "month_first",
    "of": "[user_id, category]",
    "HistoryFeature.of": "product_id",
    "NumericFeature.encoder": "{type: dense, units: 32}",
    "max_size": "10000",
    "min_count": "2",
    "file": "words.txt",
    "shared_with": "body",
    "regex": "'\\p{L}+'",
    "units": "64",
    "weighting": "tf_idf",
    "layers": "2",
    "dropout": "0.1",
    "filters": "64",
    "kernel_sizes": "[2, 3]",
    "heads": "2",
    "activation": "tanh",
    "positive": "[4, 5]",
    "negative": "[1, 2]",
    "classes": "[low, high]",
    "features": "[viewed, bought]",
    "merge": "average",
    "projection": "64",
    "groups": "{history: {features: [viewed, bought]}}",
    "hidden": "[128, 64]",
    "cross_layers": "3",
    "cell": "lstm",
    "query": "[user_id, country]",
    "candidate": "[product_id, title]",
    "TwoTowerSpec.width": "64",
    "temperature": "0.1",
    "hard_negatives": "32",
    "cutoffs": "[10]",
    "repeats": "false",
    "attention": "luong",
    "bidirectional": "true",
    "length_penalty": "0.6",
    "sampled_softmax": "1000",
    "beam_width": "3",
    "batch_size": "256",
    "epochs": "10",
    "optimizer": "adamw",
    "learning_rate": "0.01",
    "schedule": "cosine",
    "warmup": "0.1",
    "weight_decay": "0.0003",
    "seed": "7",
    "early_stopping": "null",
    "mixed_precision": "true",
    "clip_norm": "1.0",
}
_NAMES = {str: "text", int: "integer", float: "number", bool: "true or false", NoneType: "null"}


def reference() -> str:
    """Returns the page as Markdown; `python -m skewless.schemas.spec.reference` writes it anew."""
    lines = [
        "# Spec reference",
        "",
        "Every key of the spec, made from the types that read it (`python -m skewless.schemas.spec.reference`). "
        "What they mean together is on [its own page](spec.md). The same descriptions are in "
        "`schemas/spec.schema.json`, which editors complete and check from.",
    ]
    for heading, types in SECTIONS:
        lines += ["", f"## {heading}"]
        for declared in types:
            lines += ["", *_section(declared)]
    return "\n".join(lines) + "\n"


def example_of(declared: type[Declared], key: str) -> str:
    """Returns a value of a key, as YAML.

    Raises:
      KeyError: If the key has no example here.
    """
    if key == "type":
        return str(get_args(declared.model_fields["type"].annotation)[-1])
    own = f"{declared.__name__}.{key}"
    return _EXAMPLES[own] if own in _EXAMPLES else _EXAMPLES[key]


def _section(declared: type[Declared]) -> Iterator[str]:
    """Yields a type's heading, what it is, and a list of its keys."""
    yield f"### {_title(declared)}"
    yield ""
    yield (declared.__doc__ or "").strip().split("\n\n")[0].replace("\n    ", " ")
    yield ""
    yield "| key | meaning | type | default | example |"
    yield "|---|---|---|---|---|"
    for key, field in declared.model_fields.items():
        meaning = "Chooses this." if key == "type" else " ".join((field.description or "").split())
        cells = (
            f"`{key}`",
            meaning,
            _type_in_words(Annotated[(field.annotation, *field.metadata)])
            if field.metadata
            else _type_in_words(field.annotation),
            _default(field),
            f"`{key}: {example_of(declared, key)}`",
        )
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _title(declared: type[Declared]) -> str:
    kind = declared.model_fields.get("type")
    if kind is None:
        return declared.__name__
    return f"{declared.__name__}: " + ", ".join(f"`{name}`" for name in get_args(kind.annotation))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default()
    if isinstance(value, Declared):
        shown = value.model_dump(mode="json", exclude_defaults=True)
        return f"`{json.dumps(shown)}`" if shown else "its defaults"
    return "none" if value is None else f"`{json.dumps(value)}`"


def _type_in_words(annotation: Any) -> str:
    """Returns a type as a reader of the spec would say it, linked where it has keys of its own."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        most = "".join(f" up to {part.most:,}" for part in parts if isinstance(part, AtMost))
        return _type_in_words(parts[0]) + most
    if origin is Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if origin in (Union, UnionType):
        words = dict.fromkeys(_type_in_words(part) for part in parts if part is not NoneType)
        return " or ".join(words)
    if origin is tuple:
        if parts[-1] is not Ellipsis:
            return f"list of {len(parts)} {_type_in_words(parts[0])}s"
        return f"list of {_type_in_words(parts[0])}"
    if origin is dict:
        return f"by name, {_type_in_words(parts[1])}"
    if isinstance(annotation, type) and issubclass(annotation, Declared):
        return f"[{annotation.__name__}](#{_anchor(annotation)})"
    return _NAMES[annotation]


def _anchor(declared: type[Declared]) -> str:
    plain = _title(declared).lower()
    kept = "".join(sign for sign in plain if sign.isalnum() or sign in " -_")
    return "-".join(kept.split())


if __name__ == "__main__":
    PUBLISHED.write_text(reference(), encoding="utf-8")
