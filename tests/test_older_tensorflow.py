"""The comparison of two TensorFlows' answers can fail."""

from __future__ import annotations

import pytest

from tests.older_tensorflow import differences

NAN = float("nan")


def answer(*values: object, dtype: str = "float32") -> dict[str, object]:
    return {"shop 0 regress": {"outputs": [dtype, [len(values)], list(values)]}}


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        (answer(1.0, NAN), answer(1.0, NAN), ""),
        (answer(1.0), answer(1.0 + 1e-6), ""),
        (answer(1.0), answer(1.1), "differs by up to 0.1"),
        (answer(1.0), answer(NAN), "differs by up to 9e"),
        (answer(1.0), answer(1.0, 1.0), "[1]"),
        (answer("a", dtype="string"), answer("b", dtype="string"), "other values"),
        (answer(1, dtype="int64"), answer(1.0), "int64"),
        (answer(1.0), {}, "None"),
    ],
)
def test_answers_that_differ_are_told(
    ours: dict[str, object], theirs: dict[str, object], said: str
) -> None:
    told, _ = differences(ours, theirs)
    assert bool(told) == bool(said)
    assert said in "".join(told)
