"""Files in outputs, staging areas and caches hold data: whatever lies there, reading it runs nothing."""

from __future__ import annotations

import ast
import json
import pickle
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pyarrow as pa
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from skewless.beam_pipelines.analysis import cache as analysis_cache
from skewless.beam_pipelines.records.accounting import UnitAccount
from skewless.beam_pipelines.records.outcome import CountedUnit, Outcome
from skewless.beam_pipelines.records.parts import Part
from skewless.beam_pipelines.running.checked_file import read_checked, write_checked
from skewless.beam_pipelines.running.left_behind import take
from skewless.beam_pipelines.statistics.split_statistics import IdStatistics, SplitStatistics
from skewless.beam_pipelines.streaming import leftovers
from skewless.beam_pipelines.streaming.segment_file import read_records, read_segment
from skewless.beam_pipelines.transform.constants import Constants
from skewless.beam_pipelines.transform.numeric import NumericConstants, numbers_of
from skewless.model.training.run_directory import load_trained
from skewless.schemas.errors import DataError
from skewless.schemas.spec import yaml_document

ROOT = Path(__file__).parent.parent
PACKAGES = ("schemas", "beam_pipelines", "model")
UNPICKLING = {"pickle", "cPickle", "cloudpickle", "dill", "marshal", "shelve", "joblib", "torch"}
# What runs code that a file holds, or can be told to.
CALLS = {"eval", "exec", "compile", "read_pickle", "enable_unsafe_deserialization", "Lambda"}


def test_no_module_reads_code() -> None:
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    files += [*ROOT.glob("*.py"), *(ROOT / "skewless").glob("*.py")]
    assert len(files) > 150
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {said}"
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for said in [_forbidden(node)]
        if said
    ]
    assert not found
    assert issubclass(yaml_document._Bounded, yaml.SafeLoader)


def _forbidden(node: ast.AST) -> str:
    if isinstance(node, ast.Import):
        return " ".join({alias.name.partition(".")[0] for alias in node.names} & UNPICKLING)
    if isinstance(node, ast.ImportFrom):
        return " ".join({(node.module or "").partition(".")[0]} & UNPICKLING)
    if not isinstance(node, ast.Call):
        return ""
    function = ast.unparse(node.func)
    name = function.rpartition(".")[2]
    options = {option.arg: ast.unparse(option.value) for option in node.keywords}
    if name in CALLS and function != "re.compile" and not function.endswith(".compile"):
        return function
    if options.get("allow_pickle", "False") != "False":
        return f"{function}(allow_pickle)"
    if name == "load_model" and options.get("safe_mode") != "True":
        return f"{function} without safe_mode"
    if function in ("yaml.load", "yaml.load_all") and options.get("Loader") not in (
        "yaml.SafeLoader",
        "_Bounded",
    ):
        return function
    return function if function in ("yaml.unsafe_load", "yaml.full_load") else ""


@pytest.mark.parametrize(
    "source",
    ["import pickle", "from joblib import load", "np.load(p, allow_pickle=True)", "eval(text)",
     "keras.saving.load_model(p)", "keras.saving.load_model(p, safe_mode=False)",
     "yaml.load(t, Loader=yaml.Loader)", "keras.layers.Lambda(f)"],
)  # fmt: skip
def test_what_is_forbidden_is_found(source: str) -> None:
    assert any(_forbidden(node) for node in ast.walk(ast.parse(source)))


class Planted:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.write_text, (self.path, "was run")


def test_a_planted_pickle_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark, bad = tmp_path / "mark", tmp_path / "5-planted"
    bad.write_bytes(pickle.dumps(Planted(mark)))
    pickle.loads(bad.read_bytes())
    assert mark.read_text() == "was run"
    mark.unlink()
    places: list[Callable[[], object]] = [
        lambda: take(bad),
        lambda: read_segment(str(bad)),
        lambda: read_records(str(bad)),
        lambda: read_checked(bad, "round", [0]),
    ]
    for read in places:
        with pytest.raises(DataError, match="file of this version of skewless"):
            read()
    assert analysis_cache._read(bad) is None
    # In a stream's pending folder: not a running attempt's, so removed once it is old.
    monkeypatch.setattr(leftovers, "_ABANDONED_SECONDS", -1.0)
    assert leftovers._is_left(bad, {})
    with pytest.raises(DataError, match="expected a model that `skewless train` saved"):
        load_trained(bad)
    assert not mark.exists()


def test_a_model_that_holds_code_is_refused(tmp_path: Path) -> None:
    inputs = keras.Input((1,))
    path = tmp_path / "model.keras"
    keras.Model(inputs, keras.layers.Lambda(lambda x: x)(inputs)).save(path)
    with pytest.raises(DataError, match=r"(?s)model.keras: expected a model.*`Lambda` layer"):
        load_trained(path)


@given(
    sections=st.lists(st.binary(max_size=40), min_size=1, max_size=4),
    cut=st.integers(0, 300),
    flipped=st.integers(0, 300),
)
def test_what_was_cut_or_changed_is_refused(
    sections: list[bytes], cut: int, flipped: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "checked"
    write_checked(path, "test", sections)
    whole, places = path.read_bytes(), list(range(len(sections)))
    assert read_checked(path, "test", places) == sections
    assert read_checked(path, "test", places[-1:]) == sections[-1:]
    with pytest.raises(DataError):
        read_checked(path, "other", places)
    path.write_bytes(whole[: cut % len(whole)])
    with pytest.raises(DataError, match=r"cut off or damaged|of this version"):
        read_checked(path, "test", places)
    changed = bytearray(whole)
    changed[flipped % len(whole)] ^= 255
    path.write_bytes(changed)
    with pytest.raises(DataError, match=r"cut off or damaged|of this version"):
        read_checked(path, "test", places)


def test_an_outcome_is_read_as_it_was_written() -> None:
    statistics = SplitStatistics(rows=3, label_counts={"__label__": np.array([1, 2])})
    statistics.ids["text"] = IdStatistics()
    statistics.ids["text"].add(np.array([[2, 5, 0], [2, 0, 0]]), np.array([4, 1]))
    statistics._add_numbers("age", pa.array([1.5, None, -0.1, 2e-45], pa.float32()))
    statistics._add_numbers("none", pa.array([None], pa.float32()))
    numbers = NumericConstants(
        *(np.float32([0.1, 1e-45]) for _ in range(5)), np.zeros((2, 0), "f4")
    )  # type: ignore[arg-type]
    outcome = Outcome(
        [Part("records", "train", "a/b", 7, 9, "ab")],
        [UnitAccount(1, "f\udcff", 5, 3, 2, 0, Counter({(None, "why"): 1, ("c", "so"): 1}))],
        [CountedUnit(1, 5, True)],
        {"train": statistics},
        Constants({"text": "v"}, {"age": numbers}, {"text": (1, 2)}),
    )
    found = Outcome.of(json.loads(json.dumps(outcome.document())))
    assert (found.parts, found.accounts, found.counted) == (
        outcome.parts, outcome.accounts, outcome.counted)  # fmt: skip
    assert json.dumps(found.statistics["train"].encoded()) == json.dumps(statistics.encoded())
    assert found.constants is not None
    assert numbers_of(found.constants.numbers) == numbers_of({"age": numbers})
    assert found.constants.numbers["age"].boundaries.shape == (2, 0)
    assert (found.constants.vocabularies, found.constants.growth) == (
        {"text": "v"}, {"text": (1, 2)})  # fmt: skip


def test_a_pipeline_that_left_nothing_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="left no outcome; its workers must see the output's directory"
    ):
        take(tmp_path / "outcome")
