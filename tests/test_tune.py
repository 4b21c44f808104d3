"""Tuning: what is varied leaves records alone, and a stopped search gives what an unbroken one gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from skewless import cli
from skewless.model.comparison.arms import with_values
from skewless.model.train import train
from skewless.model.training.records import open_records
from skewless.model.tuning.knobs import Choice, Knob, Range, choice
from skewless.model.tuning.space import space_of
from skewless.model.tuning.study import Study
from skewless.model.tuning.trial import OutOfTime, Trials
from skewless.schemas import load, parse
from skewless.schemas.errors import SpecError, UsageError
from skewless.schemas.storage.alone import alone
from tests.conftest import SHOP, DataSet

EXAMPLES = sorted((Path(__file__).parent.parent / "schemas/examples").glob("*.yaml"))
KNOBS: list[Knob] = [
    Range("training.learning_rate", 0.01, 0.001, 0.1, log=True),
    choice("model.hidden", [16], ([8], [4])),
]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_setting_fits_the_spec_and_its_records(path: Path) -> None:
    spec = load(path)
    knobs = space_of(spec)
    names = {knob.name for knob in knobs}
    assert "training.learning_rate" in names
    # Two towers learn by the batch: losses of batches of other sizes do not compare.
    assert ("training.batch_size" in names) is (spec.model.type != "two_tower")
    for knob in knobs:
        assert with_values(spec, knob.values(knob.declared)) == spec
        settings = knob.settings if isinstance(knob, Choice) else (knob.low, knob.high)
        assert len(settings) > 1
        # Refuses values that do not fit, and what would change the records.
        changed = [with_values(spec, knob.values(setting)) for setting in settings]
        assert len({other.model_dump_json() for other in changed}) == len(changed)


def test_many_features_share_a_knob() -> None:
    ids = {f"f{n}": {"type": "categorical", "embedding": 8 + n} for n in range(9)}
    spec = parse({**SHOP, "features": ids, "keep": []})
    widths = next(knob for knob in space_of(spec) if knob.name == "widths of embeddings")
    assert widths.values("x0.5")["features.f8.embedding"] == 8
    assert not [knob for knob in space_of(spec) if knob.name.startswith("features.")]


@pytest.mark.parametrize(
    ("varied", "kept", "error", "message"),
    [
        ({"model.hiden": [[4]]}, (), UsageError, "did you mean 'hidden'"),
        ({"features.text.length": [3]}, (), UsageError, "needs other records"),
        ({"model.dropout": [0.1, 3]}, (), SpecError, "model.dropout"),
        ({"training.seed": [1]}, (), UsageError, "all trials begin alike"),
        (
            {},
            ("model.hiden",),
            UsageError,
            "--keep model.hiden: is not varied.*mean 'model.hidden'",
        ),
    ],
)
def test_what_cannot_be_varied_is_refused(
    varied: dict[str, Any], kept: tuple[str, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        space_of(parse(SHOP), varied, kept)


def test_what_is_given_replaces_what_would_be_tried() -> None:
    knobs = {knob.name: knob for knob in space_of(parse(SHOP), {"model.hidden": [[3]]})}
    assert isinstance(knobs["model.hidden"], Choice)
    assert list(knobs["model.hidden"].settings) == ["[16]", "[3]"]
    kept = [name for name in knobs if name != "model.hidden"]
    with pytest.raises(UsageError, match="nothing is varied"):
        space_of(parse(SHOP), {}, [*kept, "model.hidden"])


def _opened(path: Path, subject: str = "shop") -> Study:
    return Study(path, KNOBS, subject, maximize=False, epochs=3, seed=1)


def _tried(path: Path, stops: tuple[int, ...]) -> list[Any]:
    """Twelve trials of a function with its least value at a rate of 0.02, stopped within some."""
    study = _opened(path)
    while len(study.ended()) < 12:
        trial, settings = study.next()
        if trial.number in stops:
            stops = tuple(stop for stop in stops if stop != trial.number)
            study = _opened(path)
            continue
        distance = abs(settings["training.learning_rate"] - 0.02) + len(settings["model.hidden"])
        if trial.number == 5:
            study.give_up(trial, "the loss is nan", 1.0)
        else:
            study.complete(trial, distance, 1.0)
    return study.ended()


def test_a_stopped_study_proposes_what_an_unbroken_one_does(tmp_path: Path) -> None:
    whole = _tried(tmp_path / "whole", ())
    assert _tried(tmp_path / "stopped", (0, 4, 9, 10)) == whole
    assert whole[0].settings == {"training.learning_rate": 0.01, "model.hidden": "[16]"}
    assert (whole[5].score, whole[5].reason) == (None, "the loss is nan")
    assert len({json.dumps(trial.settings) for trial in whole}) == 12
    best = _opened(tmp_path / "whole").best()
    assert best is not None
    assert best.score == min(trial.score for trial in whole if trial.score is not None)
    with pytest.raises(UsageError, match="holds trials of another spec"):
        _opened(tmp_path / "whole", "another")


@pytest.mark.slow
def test_a_trial_left_and_gone_on_with_scores_as_train_does(shop: DataSet, tmp_path: Path) -> None:
    spec = with_values(shop.spec, {"training.early_stopping": None})
    trial, _ = _opened(tmp_path).next()
    records = open_records(shop.directory)
    left = Trials(records, tmp_path / "trials", "auc", 1.0, None, time_is_over=lambda: True)
    with pytest.raises(OutOfTime):
        left.score(trial, spec)
    gone_on = Trials(records, tmp_path / "trials", "auc", 1.0, None, time_is_over=lambda: False)
    score = gone_on.score(_opened(tmp_path).next()[0], spec)
    history = train(shop.directory, tmp_path / "run", spec=spec)["history"]
    assert score == min(history, key=lambda entry: entry["val_loss"])["val_auc"]
    assert not list((tmp_path / "trials").iterdir())


@pytest.mark.slow
def test_a_trial_is_fed_what_the_model_learns_from(shop: DataSet, tmp_path: Path) -> None:
    """A ranking loss takes rows of a group together, each with its group."""
    values = {"training.loss": "listwise", "training.group": "user", "training.epochs": 1}
    spec = with_values(shop.spec, values)
    records = open_records(shop.directory)
    trials = Trials(records, tmp_path / "trials", "loss", 1.0, None, time_is_over=lambda: False)
    score = trials.score(_opened(tmp_path).next()[0], spec)
    (entry,) = train(shop.directory, tmp_path / "run", spec=spec)["history"]
    assert score == entry["val_loss"]


@pytest.mark.slow
def test_the_best_spec_is_written_and_compared(
    shop: DataSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "tuning"
    arguments = ["tune", str(shop.directory), "--output", str(output), "--epochs", "1", "--seeds"]
    kept = [knob.name for knob in space_of(shop.spec) if knob.name != "training.learning_rate"]
    arguments += ["1", *(word for name in kept for word in ("--keep", name))]
    assert cli.main([*arguments, "--dry-run"]) == 0
    assert "training.learning_rate  0.01, of 0.001 to 0.1 (log)" in capsys.readouterr().out
    assert not output.exists()
    assert cli.main([*arguments, "--trials", "1"]) == 0
    assert "no trial was better than the spec as it is declared" in capsys.readouterr().out
    with alone(output / "tune.lock", "the test's"):
        assert cli.main([*arguments, "--trials", "3", "--json"]) == 2
    assert "another process of this machine is making it" in capsys.readouterr().err
    assert cli.main([*arguments, "--trials", "3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((output / "tuning.json").read_text())
    scores = [trial["score"] for trial in told["trials"]]
    best = max(range(3), key=lambda number: scores[number])
    assert told["best"] == best
    if best:
        rate = told["changed"]["training.learning_rate"]
        assert load(output / "spec.yaml").training.learning_rate == rate
        arms = {arm["name"]: arm for arm in told["comparison"]["arms"]}
        assert list(arms) == ["untuned", f"tuned, trial {best}"]
        assert all(len(arm["scores"]) == 1 for arm in arms.values())
    assert cli.main([*arguments[:-2], "--output", str(output)]) == 2
