"""Raw columns: which columns a spec reads, as what, and which of them serving asks for."""

from __future__ import annotations

import pytest

from skewless.schemas import parse
from skewless.schemas.rows.raw_columns import (
    RawColumn,
    RowColumns,
    raw_columns,
    raw_feature_spec,
    raw_schema,
    served_columns,
)

SPEC = parse(
    {
        "name": "n",
        "key": "id",
        "features": {
            "words": {"type": "text", "column": "text", "length": 3},
            "letters": {"type": "text", "column": "text", "length": 3, "required": True},
            "tags": {"type": "categorical", "length": 2},
            "code": {"type": "categorical", "dtype": "int64"},
            "pair": {"type": "numeric", "columns": ["p1", "p2"]},
            "vector": {"type": "numeric", "length": 4},
        },
        "label": {"column": "kinds", "type": "multilabel"},
        "weight": "importance",
        "split": {"by": "owner"},
        "keep": ["country", "id"],
    }
)


def test_columns_kinds_and_roles() -> None:
    assert raw_columns(SPEC) == {
        column.name: column
        for column in (
            RawColumn("text", "string", required=True),
            RawColumn("tags", "string", multivalued=True),
            RawColumn("code", "int64"),
            RawColumn("p1", "float32"),
            RawColumn("p2", "float32"),
            RawColumn("vector", "float32", multivalued=True, width=4),
            RawColumn("kinds", "string", multivalued=True, required=True, role="label"),
            RawColumn("importance", "float32", required=True, role="weight"),
        )
    }


def test_columns_beside_the_graphs_come_once_in_order() -> None:
    beside = [name for name in RowColumns(SPEC).wanted if name not in raw_columns(SPEC)]
    assert beside == ["id", "owner", "country"]


def test_a_weight_that_is_a_feature_too_is_one_column() -> None:
    spec = parse(
        {
            "name": "n",
            "features": {"price": {"type": "numeric"}},
            "label": {"column": "y", "type": "regression"},
            "weight": "price",
        }
    )
    assert {name: column.role for name, column in raw_columns(spec).items()} == {
        "price": "feature",
        "y": "label",
    }
    assert raw_columns(spec)["y"].kind == "float32"


def test_serving_asks_for_features_only() -> None:
    features = {"text", "tags", "code", "p1", "p2", "vector"}
    assert served_columns(SPEC).keys() == raw_feature_spec(served_columns(SPEC)).keys() == features
    assert raw_columns(SPEC).keys() == features | {"kinds", "importance"}


DECLARED = {
    "name": "t",
    "key": "id",
    "features": {"x": {"type": "numeric"}, "shop": {"type": "categorical"}},
    "label": {"column": "y", "type": "binary"},
    "weight": "importance",
    "split": {"by": "shop"},
}


@pytest.mark.parametrize(
    ("keep", "split", "learning", "serving", "lacking"),
    [
        (
            [],
            {"by": "user"},
            ["x", "shop", "y", "importance", "id", "user"],
            ["x", "shop", "id", "user"],
            {"user"},
        ),
        (
            ["y", "user"],
            {"by": "user"},
            ["x", "shop", "y", "importance", "id", "user"],
            ["x", "shop", "id", "user", "y"],
            set(),
        ),
        (
            [],
            {"column": "part"},
            ["x", "shop", "y", "importance", "id", "part"],
            ["x", "shop", "id", "part"],
            {"part"},
        ),
        (
            [],
            {"by": "shop"},
            ["x", "shop", "y", "importance", "id"],
            ["x", "shop", "id"],
            set(),
        ),
    ],
)
def test_what_is_read_of_rows_to_learn_from_and_to_predict_for(
    keep: list[str],
    split: dict[str, str],
    learning: list[str],
    serving: list[str],
    lacking: set[str],
) -> None:
    spec = parse({**DECLARED, "keep": keep, "split": split})
    assert list(RowColumns(spec).wanted) == learning
    assert list(RowColumns(spec, serving=True).wanted) == serving
    assert RowColumns(spec, serving=True).may_lack(None) == lacking
    assert RowColumns(spec).may_lack(None) == set()
    assert RowColumns(spec).may_lack("train") == {"part"} & lacking


def test_the_raw_schema_says_presence_and_count() -> None:
    features = {feature.name: feature for feature in raw_schema(SPEC).feature}
    assert features["text"].presence.min_fraction == 1.0
    assert features["code"].presence.min_fraction == 0.0
    assert features["code"].value_count.max == 1
    assert features["vector"].value_count.max == 4
    assert not features["tags"].HasField("value_count")
