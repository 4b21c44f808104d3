"""What a job says of labels and splits: values that no row holds, rows that change their split."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skewless.beam_pipelines.preprocess import preprocess, run
from skewless.beam_pipelines.rows.seen_labels import label_problems
from skewless.beam_pipelines.rows.split_changes import tell_split_changes
from skewless.schemas import parse
from skewless.schemas.errors import TooManyRejectedError
from skewless.schemas.records.manifest import load_manifest
from tests.conftest import DataSet


def _spec(label: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "name": "t",
        "features": {"x": {"type": "numeric"}},
        "label": {"column": "y", **label},
        **more,
    }


@pytest.mark.parametrize(
    ("label", "counts", "problems"),
    [
        ({"type": "binary"}, [3, 2], []),
        ({"type": "binary"}, [3], ["no row is positive (1, true, yes)"]),
        ({"type": "binary", "positive": ["05"]}, [3], ["no row is positive ('05')"]),
        ({"type": "binary", "positive": [5]}, [0, 3], ["no row is negative (any other value)"]),
        (
            {"type": "binary", "positive": [5], "negative": [4, 3]},
            [0, 3],
            ["no row is negative (4, 3)"],
        ),
        ({"type": "multiclass"}, [3, 1], []),
        ({"type": "multiclass"}, [3], ["all rows have one class"]),
        (
            {"type": "multiclass", "classes": ["a", "b", "c"]},
            [0, 2],
            ["no row has the class 'a', 'c'"],
        ),
        ({"type": "multilabel", "classes": ["a", "b"]}, [1, 2], []),
        ({"type": "regression"}, [], []),
    ],
)
def test_what_a_model_cannot_learn(
    label: dict[str, Any], counts: list[int], problems: list[str]
) -> None:
    assert list(label_problems(parse(_spec(label)).label, np.array(counts, np.int64))) == problems


def test_a_job_tells_values_no_row_holds_and_splits_that_change(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "rows.csv"
    source.write_text("x,y\n" + "".join(f"{row},{5 + row % 3 % 2}\n" for row in range(90)))
    spec = parse(_spec({"type": "binary", "positive": ["05"]}, split={"train": 1.0}))
    with caplog.at_level(logging.WARNING):
        preprocess(spec, [str(source)], tmp_path / "out")
    assert [
        record.getMessage() for record in caplog.records if "label:" in record.getMessage()
    ] == [
        "label: no row is positive ('05') in the training split; seen: '5' 60 times, '6' 30 times; "
        "name values as rows hold them (docs/labels.md)"
    ]
    assert "fall into other splits" not in caplog.text
    assert load_manifest(tmp_path / "out").identity == "contents"
    caplog.clear()
    refused = parse(_spec({"type": "binary", "positive": ["05"], "negative": ["06"]}))
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(TooManyRejectedError, match="Label values seen: '5' 60 times, '6' 30 times"),
    ):
        preprocess(refused, [str(source)], tmp_path / "out", overwrite=True)
    assert "which is overwritten: split was {train: 1.0" in caplog.text
    (tmp_path / "spec.yaml").write_text(refused.to_yaml())
    arguments = [str(tmp_path / "spec.yaml"), "--input", str(source), "--output", "none"]
    assert run([*arguments, "--dry-run"]) == 0
    assert (
        "label values of the first 90 rows: '5' 60 times, '6' 30 times" in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, None),
        ({"features": {"x": {"type": "numeric", "scale": "z_score"}}}, None),
        ({"key": None}, "key was id, is none"),
        ({"key": "user"}, "key was id, is user"),
        ({"split": {"by": "user"}}, "split was {train: 0.7"),
        ({"split": {"train": 0.7, "eval": 0.2, "test": 0.1}}, None),
    ],
)
def test_a_changed_key_or_split_is_said(
    changed: dict[str, Any], said: str | None, shop: DataSet, caplog: pytest.LogCaptureFixture
) -> None:
    spec = parse({**shop.spec.model_dump(), **changed})
    with caplog.at_level(logging.WARNING):
        tell_split_changes(spec, shop.directory, "--grow-from DIR")
    if said is None:
        assert not caplog.text
    else:
        assert said in caplog.text
        assert "--grow-from DIR" in caplog.text


@pytest.mark.slow
def test_records_split_by_the_columns_read_are_known_as_such(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, shop: DataSet
) -> None:
    spec = parse({**shop.spec.model_dump(), "key": None})
    manifest = load_manifest(shop.directory).model_dump(mode="json", exclude={"identity"})
    (tmp_path / "spec.yaml").write_text(spec.to_yaml())
    (tmp_path / "manifest.json").write_text(
        type(load_manifest(shop.directory))(**manifest).model_dump_json(exclude={"identity"})
    )
    with caplog.at_level(logging.WARNING):
        tell_split_changes(spec, tmp_path, "DIR")
    assert "rows without a key were split by the columns read" in caplog.text


def test_init_says_that_there_is_no_key(tmp_path: Path) -> None:
    source = tmp_path / "rows.csv"
    source.write_text("a,b,label\n" + "".join(f"{r % 7},{r % 5},{r % 2}\n" for r in range(300)))
    from skewless.beam_pipelines.init import guess_spec

    proposal, text = guess_spec([str(source)], "label")
    assert "key" not in proposal.document
    assert any(warning.startswith("there is no key") for warning in proposal.warnings)
    assert "# there is no key" in text
