"""Batch prediction: every row of raw files predicted or rejected, in either format."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import tensorflow as tf

from skewless.beam_pipelines.predict import predict
from skewless.beam_pipelines.predict import run as predict_command
from skewless.beam_pipelines.running.local_runner import pipeline_options
from skewless.model.verify import sample_rows
from skewless.schemas.errors import DataError, TooManyRejectedError, UsageError
from skewless.schemas.rows.row_encoding import examples
from tests.conftest import DataSet


def unlabelled(source: Path, path: Path) -> Path:
    """Copies the shop's rows without rating and country."""
    lines = source.read_text().splitlines()
    path.write_text("\n".join(line.rsplit(",", 2)[0] for line in lines) + "\n")
    return path


def served(shop: DataSet, model: Path) -> dict[str, float]:
    """Returns what the model itself answers for the raw rows kept beside the records."""
    signature = tf.saved_model.load(str(model)).signatures["serving_default"]
    answers: dict[str, float] = {}
    for raw in sample_rows(shop.directory):
        outputs = signature(examples=tf.constant(examples(raw.columns, shop.spec)))
        values = outputs["predictions"].numpy()[:, 0].tolist()
        answers |= dict(zip(raw.keys.to_pylist(), values, strict=True))
    return answers


def read(output: Path, summary: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name in summary["files"]:
        if name.endswith(".parquet"):
            rows += pa.parquet.read_table(output / name).to_pylist()
        else:
            rows += map(json.loads, (output / name).read_text(encoding="utf-8").splitlines())
    return rows


@pytest.mark.parametrize("file_format", ["parquet", "jsonl"])
def test_every_row_with_its_key_and_no_label(
    shop: DataSet, shop_model: Path, tmp_path: Path, file_format: str
) -> None:
    source = unlabelled(shop.source, tmp_path / "new.csv")
    output = tmp_path / "out"
    summary = predict(shop_model, [str(source)], output, format=file_format)
    assert summary["rows"] == {"read": 400, "written": 400, "rejected": 0, "duplicate": 0}
    assert all(name.endswith(f".{file_format}") for name in summary["files"])
    assert json.loads((output / "predictions.json").read_text()) == summary
    rows = read(output, summary)
    assert sorted(row["row"] for row in rows) == list(range(1, 401))
    assert {row["file"] for row in rows} == {str(source)}
    assert all(row["key"] == f"r{row['row'] - 1}" for row in rows)
    predictions = {row["key"]: row["predictions"] for row in rows}
    expected = served(shop, shop_model)
    assert len(expected) > 100
    for key, value in expected.items():
        assert predictions[key] == pytest.approx(value, abs=1e-6)
    assert np.std(list(predictions.values())) > 1e-3


@pytest.mark.parametrize("file_format", ["parquet", "jsonl"])
def test_columns_are_carried_beside_the_predictions(
    shop: DataSet, shop_model: Path, tmp_path: Path, file_format: str
) -> None:
    """The label, which the model never reads; a column it does not know; and two that it reads."""
    lines = shop.source.read_text().splitlines()
    lines = [lines[0] + ",note", *(f'{line},"n, {at}"' for at, line in enumerate(lines[1:]))]
    (tmp_path / "new.csv").write_text("\n".join(lines) + "\n")
    output = tmp_path / "out"
    summary = predict(
        shop_model,
        [str(tmp_path / "new.csv")],
        output,
        format=file_format,
        carry=["rating", "note", "age", "tags"],
    )
    assert summary["rows"]["written"] == 400
    rows = {row["row"]: row for row in read(output, summary)}
    for at, raw in enumerate(csv.DictReader((tmp_path / "new.csv").open()), 1):
        assert rows[at]["rating"] == raw["rating"]
        assert rows[at]["note"] == f"n, {at - 1}" == raw["note"]
        assert rows[at]["age"] == (float(raw["age"]) if raw["age"] else None)
        assert "|".join(rows[at]["tags"] or []) == raw["tags"]
    assert list(rows[1])[:5] == ["key", "file", "row", "rating", "note"]


def test_columns_that_cannot_be_carried(shop: DataSet, shop_model: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column 'contry'; did you mean 'country'"):
        predict(shop_model, [str(shop.source)], tmp_path / "out", carry=["contry"])
    with pytest.raises(UsageError, match="'row' is the name of a column of the predictions"):
        predict(shop_model, [str(shop.source)], tmp_path / "out", carry=["row"])


def test_several_files_and_workers(shop: DataSet, shop_model: Path, tmp_path: Path) -> None:
    lines = unlabelled(shop.source, tmp_path / "all.csv").read_text().splitlines()
    for part in range(5):
        chunk = [lines[0], *lines[1 + part :: 5]]
        (tmp_path / f"part-{part}.csv").write_text("\n".join(chunk) + "\n")
    options = pipeline_options(["--direct_num_workers=2", "--direct_running_mode=multi_threading"])
    summary = predict(shop_model, [str(tmp_path / "part-*.csv")], tmp_path / "out", options=options)
    assert summary["rows"]["written"] == 400
    keys = [row["key"] for row in read(tmp_path / "out", summary)]
    assert len(keys) == len(set(keys)) == 400


def test_repeated_keys_are_all_predicted(shop: DataSet, shop_model: Path, tmp_path: Path) -> None:
    """Leaving out duplicates is for learning; who asks twice gets two answers."""
    source = unlabelled(shop.source, tmp_path / "new.csv")
    lines = source.read_text().splitlines()
    source.write_text("\n".join([*lines, lines[1]]) + "\n")
    summary = predict(shop_model, [str(source)], tmp_path / "out")
    assert summary["rows"] == {"read": 401, "written": 401, "rejected": 0, "duplicate": 0}


def test_unfit_rows_are_rejected_with_their_reason(
    shop: DataSet, shop_model: Path, tmp_path: Path
) -> None:
    source = unlabelled(shop.source, tmp_path / "new.csv")
    lines = source.read_bytes().splitlines()
    lines[7] = b"r6,good,u1,a,forty,1.0,0,0"
    lines[9] = b"r8,caf\xe9,u1,a,40,1.0,0,0"
    source.write_bytes(b"\n".join(lines) + b"\n")
    output = tmp_path / "out"
    summary = predict(shop_model, [str(source)], output)
    assert summary["rows"] == {"read": 400, "written": 398, "rejected": 2, "duplicate": 0}
    rejected = [
        json.loads(line)
        for path in (output / "rejected").glob("*.jsonl")
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    assert [(entry["row"], entry["column"]) for entry in rejected] == [(7, "age"), (9, "text")]
    assert {"r6", "r8"}.isdisjoint(row["key"] for row in read(output, summary))
    with pytest.raises(TooManyRejectedError, match="age: "):
        predict(shop_model, [str(source)], tmp_path / "strict", max_rejected=0)
    assert not (tmp_path / "strict").exists()


def test_a_file_of_which_every_row_is_rejected(
    shop: DataSet, shop_model: Path, tmp_path: Path
) -> None:
    source = tmp_path / "bad.csv"
    source.write_text("id,text,user,tags,age,price,v1,v2\nr1,good,u1,a,forty,1.0,0,0\n")
    summary = predict(shop_model, [str(source)], tmp_path / "out", max_rejected=1)
    assert summary["rows"] == {"read": 1, "written": 0, "rejected": 1, "duplicate": 0}
    assert summary["files"] == []


def test_outputs_are_replaced_only_on_demand(
    shop: DataSet, shop_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = unlabelled(shop.source, tmp_path / "new.csv")
    words = [str(shop_model), "--input", str(source), "--output", str(tmp_path / "out")]
    assert predict_command(words) == 0
    assert json.loads(capsys.readouterr().out)["rows"]["written"] == 400
    assert predict_command(words) == 2
    assert "is finished already; add --overwrite" in capsys.readouterr().err
    assert predict_command([*words, "--overwrite"]) == 0
    assert not list(tmp_path.glob(".*partial*"))


def test_what_is_not_a_model(shop: DataSet, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected a directory that `skewless export` left"):
        predict(tmp_path, [str(shop.source)], tmp_path / "out")
