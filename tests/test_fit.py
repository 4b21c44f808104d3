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
