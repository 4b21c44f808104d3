"""Odd names (tests/test_odd_names.py) from raw rows to a server's answers, in one job."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from skewless.beam_pipelines.inspect_records import records_in_words
from skewless.beam_pipelines.predict import predict
from skewless.beam_pipelines.preprocess import preprocess
from skewless.model.explain import explain
from skewless.model.export import export
from skewless.model.train import train
from skewless.model.verify import verify
from skewless.schemas import Spec, parse
from tests.served_process import serving
from tests.test_odd_names import document_of

ROWS = 60
# Of tests.test_odd_names one of each way in which a name met another that is the pipeline's own.
NAMES = [
    "class",
    "self",
    "merge",
    "predictions",
    "key",
    "Tags",
    "mean_tags",
    "MatMul",
]


def row_of(spec: Spec, row: int) -> dict[str, Any]:
    """Returns a row by column, values different in every feature."""
    found: dict[str, Any] = {}
    for place, (name, feature) in enumerate(spec.features.items()):
        column = getattr(feature, "column", None) or name
        word = f"{name[:9]}{(row + place) % 3}"
        if feature.type == "numeric":
            found[column] = (row * (place + 1)) % 7 + 0.5
        elif getattr(feature, "length", None) and feature.type == "categorical":
            found[column] = [word, f"v{row % 2}"]
        else:
            found[column] = word
    return found


# Thirty features take a minute in each graph that is traced.
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_they_go_the_full_road_in_one_job(tmp_path: Path) -> None:
    spec = parse(document_of(NAMES))
    rows = {f"r{number}": row_of(spec, number) for number in range(ROWS)}
    source = tmp_path / "rows.jsonl"
    with source.open("w", encoding="utf-8") as file:
        for number, (key, row) in enumerate(rows.items()):
            own = {"the key": key, "outcome": number % 2, "the weight": 1.0, "kept": "k"}
            file.write(json.dumps(row | own) + "\n")
    records, model = tmp_path / "records", tmp_path / "model"
    assert preprocess(spec, [str(source)], records).rows.written == ROWS
    train(records, tmp_path / "run")
    export(tmp_path / "run", model)
    report = verify(model, records)
    assert report.passed and not report.mismatches and report.rows == ROWS

    output = tmp_path / "predicted"
    files = predict(model, [str(source)], output)["files"]
    table = pyarrow.parquet.read_table([output / file for file in files]).to_pylist()
    predicted = {row["key"]: row["predictions"] for row in table}
    assert predicted.keys() == rows.keys() and len(set(predicted.values())) > 1

    words = next(iter(records_in_words(records, "train", 1)))
    assert set(spec.features) <= set(words)
    explanation = explain(model, rows["r0"])
    assert [feature.name for feature in explanation.features] == list(spec.features)
    assert explanation.predictions["predictions"] == pytest.approx([predicted["r0"]], abs=1e-5)
    check_server(model, tmp_path, spec, rows, predicted)


def check_server(
    model: Path,
    folder: Path,
    spec: Spec,
    rows: Mapping[str, dict[str, Any]],
    predicted: Mapping[str, float],
) -> None:
    """Asks a real server for the rows by column, as people do who read the model's description."""
    description = json.loads((model / "assets.extra" / "skewless.json").read_text("utf-8"))
    arguments = {column: argument for argument, column in description["columns"].items()}
    columns = {
        argument: [row[column] for row in rows.values()] for column, argument in arguments.items()
    }
    expected = [[predicted[key]] for key in rows]
    with serving(model, folder, "--model-name", "odd") as server:
        asked = {"signature_name": "predict_columns", "inputs": columns}
        reply = server.http.post("/v1/models/odd:predict", json=asked)
        np.testing.assert_allclose(reply.json()["outputs"], expected, atol=1e-5)
        # Or by the columns' own names, but for names that are a column and an argument at once.
        both = description["columns"].keys() & arguments.keys()
        named = {c: a if {c, a} & both else c for c, a in arguments.items()}
        assert named != arguments
        for names in (arguments, named):
            instances = [
                {names[column]: value for column, value in row.items()} for row in rows.values()
            ]
            asked = {"signature_name": "predict_columns", "instances": instances}
            reply = server.http.post("/v1/models/odd:predict", json=asked)
            np.testing.assert_allclose(reply.json()["predictions"], expected, atol=1e-5)
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = "odd", "predict_columns"
        for argument, values in columns.items():
            dtype = tf.float32 if isinstance(values[0], float) else tf.string
            request.inputs[argument].CopyFrom(tf.make_tensor_proto(values, dtype))
        answer = server.predictions().Predict(request, timeout=120)
        outputs = tf.make_ndarray(answer.outputs["predictions"])
        np.testing.assert_allclose(outputs, expected, atol=1e-5)
