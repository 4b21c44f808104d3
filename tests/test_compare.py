"""Arms over seeds at one budget: the runs are train's own, and the verdicts those of the test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from skewless import cli
from skewless.model.compare import compare
from skewless.model.comparison.arms import arms_of, read_values, with_values
from skewless.model.comparison.result import ArmResult, Comparison, differences_of
from skewless.model.train import train
from skewless.model.training.run_directory import RunDirectory
from skewless.schemas import Spec, load, parse
from skewless.schemas.errors import SpecError, UsageError
from tests.conftest import SHOP, DataSet

EXAMPLES = sorted((Path(__file__).parent.parent / "schemas/examples").glob("*.yaml"))
VARIED = {"model.merge": ["concatenate", "multiply"]}


@pytest.fixture(scope="module")
def compared(shop: DataSet, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Comparison]:
    """Two merges of the shop's towers over two seeds."""
    output = tmp_path_factory.mktemp("compared") / "out"
    fixed = {"model.projection": 8}
    result = compare(shop.directory, output, VARIED, seeds=2, fixed=fixed, epochs=3)
    return output, result


@pytest.mark.slow
def test_every_arm_has_the_same_budget_and_seeds(compared: tuple[Path, Comparison]) -> None:
    output, result = compared
    assert [arm.name for arm in result.arms] == ["concatenate", "multiply"]
    assert result.seeds == (1, 2)
    assert (result.split, result.metric, result.higher_is_better) == ("test", "auc", True)
    for arm in result.arms:
        for seed, path in zip(result.seeds, arm.runs, strict=True):
            run = RunDirectory.open(path)
            metrics = json.loads((run.path / "metrics.json").read_text())
            assert len(metrics["history"]) == 3
            assert run.spec.training.seed == seed
            assert run.spec.training.early_stopping is None
            assert run.spec.model.merge == arm.values["model.merge"]
    assert result.arms[0].parameters != result.arms[1].parameters
    assert json.loads((output / "comparison.json").read_text()) == json.loads(
        json.dumps(result.as_json())
    )


@pytest.mark.slow
def test_a_run_gives_what_train_gives_alone(
    compared: tuple[Path, Comparison], shop: DataSet, tmp_path: Path
) -> None:
    _, result = compared
    last = result.arms[1]
    metrics = train(shop.directory, tmp_path / "run", spec=RunDirectory.open(last.runs[1]).spec)
    assert metrics["test"]["auc"] == last.scores[1]
    losses = [entry["val_loss"] for entry in metrics["history"]]
    assert last.best_epochs[1] == 1 + losses.index(min(losses))


@pytest.mark.slow
def test_finished_runs_are_taken_as_they_are(
    compared: tuple[Path, Comparison], shop: DataSet, capsys: pytest.CaptureFixture[str]
) -> None:
    output, result = compared
    made = {path: path.stat().st_mtime_ns for path in output.glob("*/*/model.keras")}
    arguments = ["compare", str(shop.directory), "--merge", "multiply,concatenate", "--seeds", "2"]
    arguments += ["--set", "model.projection=8", "--epochs", "3", "--output", str(output)]
    assert cli.main([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [arm["scores"] for arm in document["arms"]] == [
        list(arm.scores) for arm in reversed(result.arms)
    ]
    assert {path: path.stat().st_mtime_ns for path in output.glob("*/*/model.keras")} == made
    assert cli.main(arguments) == 0
    shown = capsys.readouterr().out
    assert "test auc, 2 seeds, 3 epochs each" in shown
    assert f"{result.arms[0].mean:.5f}" in shown
    assert cli.main([*arguments[:-4], "--epochs", "2", "--output", str(output)]) == 2
    assert "holds a run of another spec" in capsys.readouterr().err


@pytest.mark.slow
def test_a_merge_that_needs_equal_widths_gets_a_projection(shop: DataSet, tmp_path: Path) -> None:
    result = compare(shop.directory, tmp_path / "out", VARIED, seeds=1, epochs=1)
    models = [RunDirectory.open(arm.runs[0]).spec.model for arm in result.arms]
    assert [getattr(model, "projection", None) for model in models] == [None, 16]
    assert "no spread to compare with" in str(result)


def test_what_cannot_be_built_is_refused_before_training(shop: DataSet, tmp_path: Path) -> None:
    group = {"features": ["user", "price"], "merge": "add", "encoder": None}
    varied = {"model.groups": [{}, {"both": group}]}
    with pytest.raises(SpecError, match=r"both: .*model.groups.both.merge: add needs equal widths"):
        compare(shop.directory, tmp_path / "out", varied, seeds=1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("key", "value", "error", "message"),
    [
        ("model.merg", "add", UsageError, "no 'merg' in model; did you mean 'merge'"),
        ("features.txt.length", 3, UsageError, "no 'txt' in features; did you mean 'text'"),
        ("name.first", 3, UsageError, "no 'first' in name"),
        ("model.dropout", 3, SpecError, "model.dropout"),
        (
            "features.text.length",
            9,
            UsageError,
            "needs other records .features.text.length was 6, is 9.*skewless preprocess",
        ),
        ("split.train", 0.6, UsageError, "needs other records|shares"),
    ],
)
def test_what_cannot_be_varied_is_refused(
    key: str, value: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises((UsageError, SpecError), match=message) as raised:
        with_values(parse(SHOP), {key: value})
    assert isinstance(raised.value, error)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_without_values_a_spec_stays_what_it_is(path: Path) -> None:
    spec = load(path)
    assert with_values(spec, {}) == spec
    training = spec.training.model_copy(update={"early_stopping": None})
    patient = spec.model_copy(update={"training": training})
    assert with_values(patient, {}) == patient


def test_early_stopping_can_be_left_out(tmp_path: Path) -> None:
    spec = with_values(parse(SHOP), {"training.early_stopping": None})
    (tmp_path / "spec.yaml").write_text(spec.to_yaml(), encoding="utf-8")
    assert load(tmp_path / "spec.yaml").training.early_stopping is None


def test_arms_are_every_combination(tmp_path: Path) -> None:
    varied = dict(
        [
            read_values("--vary", "features.text.encoder=mean,{type: gru, units: 4}"),
            read_values("--vary", "model.hidden=[8],[8, 4]"),
        ]
    )
    arms = arms_of(parse(SHOP), varied)
    assert [arm.name for arm in arms] == [
        "encoder mean, hidden [8]",
        "encoder mean, hidden [8, 4]",
        "encoder {type: gru, units: 4}, hidden [8]",
        "encoder {type: gru, units: 4}, hidden [8, 4]",
    ]
    assert len({(tmp_path / arm.folder) for arm in arms}) == 4
    assert arms[3].spec.model.hidden == (8, 4)
    with pytest.raises(UsageError, match="given twice"):
        arms_of(parse(SHOP), {"model.merge": ["add", "add"]})


@pytest.mark.parametrize("text", ["model.merge", "=a", "model.merge=", "model.hidden=[8"])
def test_a_variation_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--vary"):
        read_values("--vary", text)


def test_two_arms_are_told_apart_as_the_paired_t_test_does() -> None:
    rng = np.random.default_rng(5)
    for gap in (0.0, 0.01, 0.02, 0.05):
        seeds = rng.normal(0.8, 0.05, 5)
        first, second = seeds + rng.normal(gap, 0.01, 5), seeds + rng.normal(0, 0.01, 5)
        _, found = differences_of({"a": first, "b": second}, higher_is_better=True)
        p = scipy.stats.ttest_rel(first, second).pvalue
        assert bool(found) == (p < 0.05)
        if found:
            assert found[0].p == pytest.approx(p, rel=1e-3)


@pytest.mark.slow
def test_a_family_of_equal_arms_is_rarely_told_apart() -> None:
    rng = np.random.default_rng(6)
    wrong = sum(
        bool(
            differences_of(
                {str(arm): rng.normal(0, 1, 3) + 5 for arm in range(6)}, higher_is_better=True
            )[1]
        )
        for _ in range(200)
    )
    assert wrong <= 22  # 5% of 200 is 10; 22 and more come once in 2,000 times.


def test_the_better_arm_is_the_lower_one_where_lower_is_better() -> None:
    scores = {"low": [1.0, 1.1, 1.2], "high": [2.0, 2.1, 2.21]}
    _, found = differences_of(scores, higher_is_better=False)
    assert [(entry.better, entry.worse) for entry in found] == [("low", "high")]
    assert differences_of({"one": [1.0, 2.0]}, higher_is_better=True) == (None, [])
    assert differences_of({"a": [1.0], "b": [2.0]}, higher_is_better=True) == (None, [])


def test_an_arm_that_cannot_train_is_told_and_left_out() -> None:
    arms = [
        ArmResult("a", {}, 10, (0.7, 0.71), (1.0, 1.0), (2, 2), ("a/1", "a/2")),
        ArmResult("b", {}, 10, (0.5, 0.52), (1.0, 1.0), (2, 2), ("b/1", "b/2")),
        ArmResult("c", {}, 10, (None, 0.6), (1.0,), (2,), ("c/1", "c/2"), None, ("seed-1: the loss",)),
    ]  # fmt: skip
    shown = str(Comparison("records", "test", "auc", True, 3, (1, 2), tuple(arms)))
    assert "c  " in shown
    assert "failed" in shown
    assert "c: seed-1: the loss" in shown
    assert " of 1" in shown


@pytest.mark.slow
def test_a_spec_with_other_encoders_trains_on_the_same_records(
    shop: DataSet, tmp_path: Path
) -> None:
    spec: Spec = with_values(shop.spec, {"features.text.embedding": 3, "training.epochs": 1})
    train(shop.directory, tmp_path / "run", spec=spec)
    assert RunDirectory.open(tmp_path / "run").spec == spec
