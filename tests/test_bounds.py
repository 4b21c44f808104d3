"""What a spec may hold is bounded: sizes, nesting, aliases, and the names that go the full road."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skewless.model.exported.signatures import _argument_names
from skewless.model.network.layer_names import layer_called, layer_name
from skewless.schemas import SpecError, load, parse
from skewless.schemas.spec.json_schema import PUBLISHED

NUMERIC = {"type": "numeric"}
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)
YAML = [
    ("name: n\nfeatures: " + "[" * 5000 + "]" * 5000, "line 2: is nested more than 50 deep"),
    ("\n".join(" " * n + "a:" for n in range(5000)), "line 50: is nested more than 50 deep"),
    (BOMB, "line 7: stands for more than 1,000,000 values"),
    ("name: n\na: &x [*x]\n", "line 2: an alias stands for what it is in"),
    ("name: n\nkey: 2026-13-45\n", "line 2: '2026-13-45' cannot be read as timestamp"),
    ("name: n\nkey: " + "9" * 5000, "cannot be read as int; put it in quotes"),
    ("name: n\n\tkey: a\n", "line 2, column 1: is not YAML: found character '\\t'"),
    ("name: n\nkey: a\0b\n", "line 2: is not YAML: special characters are not allowed"),
]


@pytest.mark.parametrize(("text", "message"), YAML)
def test_yaml_that_would_end_a_reader_is_refused_by_line(
    text: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load(path)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_spec_that_is_not_utf8_is_refused_by_line(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes(b"name: n\nkey: \xe9\n")
    with pytest.raises(SpecError, match="line 2: expected UTF-8, got byte 0xe9"):
        load(path)


def _integers(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, list):
        for place, part in enumerate(node):
            yield from _integers(part, f"{path}[{place}]")
    elif isinstance(node, dict):
        if node.get("type") == "integer":
            yield path, node
        for key, part in node.items():
            yield from _integers(part, f"{path}.{key}")


def test_every_integer_of_the_spec_is_bounded() -> None:
    found = dict(_integers(json.loads(PUBLISHED.read_text(encoding="utf-8"))))
    # Values of a label are compared, and names of classes taken as texts, not counted.
    values = ("tive.", ".classes.")
    sizes = {path: node for path, node in found.items() if not any(part in path for part in values)}
    assert len(sizes) > 30
    unbounded = [
        path
        for path, node in sizes.items()
        if "maximum" not in node or not {"minimum", "exclusiveMinimum"} & node.keys()
    ]
    assert not unbounded


@pytest.mark.parametrize("value", [2**63 - 1, 10**400])
def test_a_size_beyond_its_bound_says_why(value: int) -> None:
    with pytest.raises(SpecError) as caught:
        parse({"name": "n", "features": {"a": {"type": "text", "length": 3, "oov_buckets": value}}})
    (line,) = caught.value.problems
    assert line.startswith("features.a.oov_buckets: expected at most 100,000,000, got ")
    assert line.endswith("the embedding table has a row for each, held in memory")


def test_a_name_that_files_cannot_have_is_refused_with_the_remedy() -> None:
    parse({"name": "n", "features": {"x" * 200: NUMERIC}})
    for name in ("x" * 201, "a/b", "..", "", "été", "a\n"):
        with pytest.raises(SpecError, match="the column as it is under `column`"):
            parse({"name": "n", "features": {name: NUMERIC}})


@pytest.mark.parametrize(
    ("column", "said"),
    [("b\0c", "expected a name without NUL"), ("\udfaa", "expected a name of whole characters")],
)
def test_a_column_that_no_file_can_name_is_refused(column: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        parse({"name": "n", "features": {"a": {**NUMERIC, "column": column}}})


@pytest.mark.parametrize("column", ["__key__", "__file__", "__row__"])
def test_a_column_called_as_one_beside_the_raw_rows_is_refused(column: str) -> None:
    sound = {"name": "n", "features": {"a": NUMERIC}}
    for document in (
        {**sound, "features": {"a": {**NUMERIC, "column": column}}},
        {**sound, "label": {"column": column, "type": "binary"}},
        {**sound, "keep": [column]},
    ):
        with pytest.raises(SpecError, match=f"column '{column}': .* rename the column in the data"):
            parse(document)
    parse({**sound, "key": column})  # Kept raw rows can be read again by the key they have.


def test_a_spec_with_odd_text_reads_back_the_same(tmp_path: Path) -> None:
    columns = ["new\nline", "\x85", "\u2028", "\ttab", " ", "é", "1", "no"]
    features = {f"c{n}": {**NUMERIC, "column": column} for n, column in enumerate(columns)}
    spec = parse({"name": "odd / name", "features": features})
    (tmp_path / "spec.yaml").write_text(spec.to_yaml(), encoding="utf-8")
    assert load(tmp_path / "spec.yaml") == spec


def test_arguments_of_a_signature_are_apart_whatever_columns_are_called() -> None:
    columns = ["class", "self", "None", "Body", "body", "BODY", "user id", "user_id", "é", "..", ""]
    arguments = _argument_names(columns)
    assert list(arguments.values()) == columns
    assert len({name.lower() for name in arguments}) == len(columns)
    assert not {"class", "self", "None"} & arguments.keys()


def test_no_layer_is_called_as_a_feature_could_be() -> None:
    names = [layer_name("merge"), layer_name("mean", "tags"), layer_name("hidden", 0)]
    assert all("." in name for name in names)


def test_layers_of_a_run_of_before_are_found_by_their_names_then() -> None:
    earlier = {"embed_title": 1, "encoder": 2, "gru_title_0": 3}
    names = [layer_name("embed", "title"), layer_name("encoder"), layer_name("gru", "title", 0)]
    assert [layer_called(name, earlier) for name in names] == [1, 2, 3]
    # Of today's run, the target's table is not that of a feature called `target`.
    today = {"embed.target": 1, "the.embed_target": 2}
    assert layer_called(layer_name("embed", "target"), today) == 1
    assert layer_called(layer_name("embed_target"), today) == 2


def test_odd_names_build_a_network() -> None:
    from skewless.model.network.build import build
    from skewless.schemas.records.manifest import FeatureEntry

    plain = ["class", "self", "merge", "predictions", "hidden_0", "stack", "add", "examples"]
    features: dict[str, Any] = dict.fromkeys(plain, NUMERIC)
    features["tags"] = {
        "type": "categorical",
        "length": 2,
        "embedding": 1,
        "encoder": "transformer",
    }
    features |= {
        name: {"type": "categorical", "embedding": 1}
        for name in ("mean_tags", "embed_tags", "mask_tags", "Tags")
    }
    spec = parse(
        {
            "name": "odd / näme ..",
            "features": features,
            "label": {"column": "y", "type": "binary"},
            "model": {"merge": "attention", "projection": 2, "dropout": 0.1},
        }
    )
    entries = {
        name: FeatureEntry(dtype="float32", shape=())
        if name in plain
        else FeatureEntry(dtype="int64", shape=(2,) if name == "tags" else (), cardinality=5)
        for name in features
    } | {"__label__": FeatureEntry(dtype="float32", shape=())}
    model = build(spec, entries)
    names = [layer.name for layer in model.layers]
    assert len(set(names)) == len(names)
    assert set(features) <= set(names)
