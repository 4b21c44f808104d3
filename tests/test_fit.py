"""One command from a table to a proved model, and the baselines beside its metrics."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss

import skewless as sk
from skewless import cli
from skewless.fitted_table import lines_of
from skewless.model.baselines import baseline_metrics
from skewless.model.training.records import open_records
from skewless.schemas import parse
from tests.conftest import SHOP, DataSet, shop_csv


def test_baselines_are_what_scikit_learn_says_of_the_rows(shop: DataSet) -> None:
    records = open_records(shop.directory)
    found = baseline_metrics(shop.spec, records, "test")
    labels = {
        split: np.concatenate(
            [label.numpy() for _, label in records.in_order(split, batch_size=64)]
        )
        for split in ("train", "test")
    }
    share = labels["train"].mean()
    said = np.full(len(labels["test"]), share)
    assert found["majority"]["log_loss"] == pytest.approx(
        log_loss(labels["test"].ravel(), said, labels=[0, 1])
    )
    assert found["majority"]["auc"] == 0.5
    # The rating follows from one word, which a linear model sees.
    assert found["linear"]["auc"] > 0.99
    assert found["linear"]["rows"] == found["majority"]["rows"] == records.rows("test")


def test_what_stands_out_is_said_below_the_metrics() -> None:
    features = [
        {"feature": "text", "worse": 0.25, "low": 0.2, "high": 0.3},
        {"feature": "age", "worse": 0.01, "low": -0.01, "high": 0.02},
    ]
    importance = {"metric": "auc", "rows": 40, "features": features}
    baselines = {"majority": {"auc": 0.5}, "linear": {"auc": 0.9}}
    head, auc, linear, leaning = lines_of("test", {"auc": 0.8}, baselines, importance)
    assert head.split() == ["test", "model", "majority", "linear"]
    assert auc.split() == ["auc", "0.8000", "0.5000", "0.9000"]
    assert linear.startswith("the linear model's auc is better")
    # A shuffle that did no harm is no news.
    assert leaning == "leans most on text (0.25): so much worse is auc with it shuffled"
    assert len(lines_of("test", {"auc": 0.95}, baselines, {})) == 2


@pytest.mark.parametrize(
    ("label", "metric"),
    [
        ({"column": "rating", "type": "multiclass"}, "accuracy"),
        ({"column": "price", "type": "regression", "scale": "log1p"}, "rmse"),
        ({"column": "tags", "type": "multilabel", "separator": "|"}, "auc"),
    ],
)
@pytest.mark.slow
def test_every_label_with_a_baseline_has_one(
    label: dict[str, str], metric: str, shop: DataSet, tmp_path: Path
) -> None:
    features = {
        name: feature for name, feature in SHOP["features"].items() if name != label["column"]
    }
    spec = parse({**SHOP, "label": label, "features": features})
    records = sk.preprocess(spec, str(shop.source), tmp_path / "records", max_rejected=0.5)
    found = baseline_metrics(spec, open_records(records.path), "eval")
    assert set(found) == {"majority", "linear"}
    assert all(np.isfinite(metrics[metric]) for metrics in found.values())


@pytest.mark.slow
def test_from_a_table_to_a_proved_model_and_again_with_an_edited_spec(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table = shop_csv(tmp_path / "shop.csv")
    command = ["run", str(table), "--label", "rating", "-o", "out", "--epochs", "1"]
    assert cli.main(command) == 0
    printed = capsys.readouterr().out
    assert "majority" in printed
    assert "next: skewless serve out/served" in printed
    summary = json.loads(Path("out/summary.json").read_text(encoding="utf-8"))
    assert set(summary["baselines"]) == {"majority", "linear"}
    importance = summary["importance"]["features"]
    assert {"text", "user", "age"} <= {entry["feature"] for entry in importance}
    report = Path("out/report.html").read_text(encoding="utf-8")
    assert "What the model leans on" in report
    assert "More on test" in report
    assert {path.name for path in Path("out").iterdir()} == {
        *("spec.yaml", "records", "run", "served", "report.html", "summary.json")
    }
    assert cli.main(command) == 2
    assert "add --overwrite" in capsys.readouterr().err

    edited = (
        Path("out/spec.yaml")
        .read_text(encoding="utf-8")
        .replace("type: multiclass", "type: regression")
    )
    Path("out/spec.yaml").write_text(edited, encoding="utf-8")
    fitted = sk.fit(pd.read_csv(table), output="out", epochs=1, overwrite=True)
    assert {"rmse", "mae"} <= set(fitted.metrics) & set(fitted.baselines["linear"])
    assert Path("out/spec.yaml").read_text(encoding="utf-8") == edited
    assert fitted.model.predict(pd.read_csv(table, nrows=2))["predictions"].shape == (2, 1)
    with pytest.raises(sk.SkewlessError, match="the spec's label is 'rating'"):
        sk.fit(pd.read_csv(table), "price", output="out")


def test_what_cannot_be_measured_is_said_before_it_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("skewless.run.train", lambda *_, **__: pytest.fail("was trained"))
    Path("few.csv").write_text("a,b,label\n1,x,0\n2,y,1\n3,x,1\n4,y,\n", encoding="utf-8")
    command = ["run", "few.csv", "--label", "label", "-o", "out"]
    assert cli.main(command) == 1
    assert "1 of 4 rows (25.0%) were rejected" in (said := capsys.readouterr().err)
    assert "raise --max-rejected" in said
    assert cli.main([*command, "--max-rejected", "0.3"]) == 1
    said = capsys.readouterr().err
    assert (
        "out/records: all 3 rows fell into train, and none is left to measure the model on" in said
    )
