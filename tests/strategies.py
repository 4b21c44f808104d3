"""Hypothesis strategies of sound specs, as the plain documents that YAML gives."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

__all__ = ["specs"]

# PyYAML folds a raw U+0085 it wrote itself, so text with control characters does not survive it.
_CHARACTERS = st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"))
_NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,6}", fullmatch=True)
_ENCODERS = st.one_of(
    st.sampled_from(["flatten", "mean", "max", "gru", "lstm", "cnn", "attention", "transformer"]),
    st.builds(
        lambda kind, units: {"type": kind, "units": units},
        st.sampled_from(["gru", "bidirectional_gru", "bidirectional_lstm", "dense"]),
        st.integers(1, 64),
    ),
    st.builds(lambda sizes: {"type": "cnn", "kernel_sizes": sizes}, st.lists(st.integers(1, 5), min_size=1, unique=True)),
)  # fmt: skip
_VOCABULARIES = st.fixed_dictionaries(
    {}, optional={"max_size": st.integers(1, 99), "min_count": st.integers(1, 9)}
)
_TEXTS = st.fixed_dictionaries(
    {"type": st.just("text"), "length": st.integers(1, 64)},
    optional={
        "tokenizer": st.one_of(
            st.sampled_from(["words", "words_or_letters", "whitespace", "characters", "subword"]),
            st.just({"regex": r"\p{L}+"}),
        ),
        "normalize": st.sampled_from(["none", "nfkc", "strip_accents"]),
        "lowercase": st.booleans(),
        "ngrams": st.integers(1, 3),
        "truncate": st.sampled_from(["start", "end"]),
        "pad": st.sampled_from(["start", "end"]),
        "vocabulary": _VOCABULARIES,
        "encoder": _ENCODERS,
        "required": st.booleans(),
    },
)
_CATEGORIES = st.fixed_dictionaries(
    {"type": st.just("categorical")},
    optional={
        "embedding": st.one_of(st.integers(1, 64), st.just("one_hot")),
        "vocabulary": _VOCABULARIES,
        "oov_buckets": st.integers(1, 5),
        "dtype": st.sampled_from(["string", "int64"]),
    },
)
_LISTS = st.fixed_dictionaries(
    {"type": st.just("categorical"), "length": st.integers(1, 9), "encoder": _ENCODERS},
    optional={"separator": st.sampled_from(["|", ",", "::"])},
)
_HASHED = st.fixed_dictionaries(
    {"type": st.just("categorical"), "hash_buckets": st.integers(1, 1000)}
)
_NUMBERS = st.fixed_dictionaries(
    {"type": st.just("numeric")},
    optional={
        "scale": st.sampled_from(
            ["z_score", "min_max", "log1p", "none", "robust_clip", ["log1p", "z_score"]]
        ),
        "missing": st.one_of(st.sampled_from(["mean", "median"]), st.floats(-9, 9)),
        "indicator": st.booleans(),
        "clip": st.just([0, 120]),
        "length": st.integers(1, 9),
        "encoder": st.sampled_from(["dense", "flatten"]),
    },
)
_BUCKETS = st.fixed_dictionaries(
    {"type": st.just("numeric"), "buckets": st.integers(2, 50)},
    optional={"indicator": st.booleans()},
).flatmap(
    lambda document: st.one_of(st.integers(1, 16), st.just("one_hot")).map(
        lambda embedding: {**document, "embedding": embedding}
    )
)
_TIMES = st.fixed_dictionaries(
    {"type": st.just("timestamp"), "trend": st.just(True)},
    optional={
        "parts": st.lists(st.sampled_from(["hour", "week", "month"]), unique=True, min_size=1),
        "age_from": st.sampled_from(["newest", "Owner"]),
        "unit": st.sampled_from(["auto", "s", "ms", "us", "ns"]),
        "indicator": st.booleans(),
        "cyclic": st.booleans(),
    },
)
# The label's column starts with a capital: no feature, whose names are lower case, reads it.
_LABELS = st.one_of(
    st.just({"column": "L", "type": "binary"}),
    st.just({"column": "L", "type": "binary", "positive": [4, 5], "negative": ["no", 1.5, False]}),
    st.just({"column": "L", "type": "multiclass", "classes": ["a", "b"]}),
    st.just({"column": "L", "type": "multilabel", "separator": ","}),
    st.builds(
        lambda scale: {"column": "L", "type": "regression", "scale": scale},
        st.sampled_from(["none", "log1p", "z_score", ["log1p", "z_score"]]),
    ),
)
_SPLITS = st.sampled_from(
    [{"train": 0.8, "eval": 0.2}, {"train": 1.0}, {"column": "Fold"}, {"by": "Owner"}]
)


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    """Documents of towers over one to six features of any kind."""
    kinds = st.one_of(_TEXTS, _CATEGORIES, _LISTS, _HASHED, _NUMBERS, _BUCKETS, _TIMES)
    document: dict[str, Any] = {
        "name": draw(st.text(_CHARACTERS, min_size=1, max_size=9)),
        "features": draw(st.dictionaries(_NAMES, kinds, min_size=1, max_size=5)),
    }
    able = [
        name
        for name, feature in document["features"].items()
        if (feature["type"] == "categorical" and "length" not in feature) or "buckets" in feature
    ]
    if len(able) > 1:
        crosses = st.fixed_dictionaries(
            {
                "type": st.just("cross"),
                "of": st.lists(st.sampled_from(able), min_size=2, max_size=3, unique=True),
                "hash_buckets": st.integers(1, 1000),
            },
            optional={"embedding": st.one_of(st.integers(1, 64), st.just("one_hot"))},
        )
        # Beside names of lower case, among columns that start with a capital.
        document["features"] |= draw(st.dictionaries(st.just("Cross"), crosses))
    document |= draw(
        st.fixed_dictionaries(
            {},
            optional={
                "key": st.just("Id"),
                "label": _LABELS,
                "split": _SPLITS,
                "missing_values": st.lists(st.text(_CHARACTERS, max_size=4), max_size=3),
                "keep": st.lists(st.text(_CHARACTERS, min_size=1, max_size=4), max_size=2),
                "model": st.fixed_dictionaries(
                    {},
                    optional={
                        "merge": st.sampled_from(["concatenate", "add", "attention", "cross"]),
                        "projection": st.integers(1, 64),
                        "hidden": st.lists(st.integers(1, 64), max_size=3),
                        "dropout": st.floats(0, 0.9),
                    },
                ),
            },
        )
    )
    return document
