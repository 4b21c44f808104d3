"""Names and shapes of a preprocessing function's outputs: refused before any data is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from skewless.beam_pipelines.preprocess import preprocess
from skewless.beam_pipelines.transform.own.function import check_own_function
from skewless.schemas import Spec, SpecError, parse


def spec_of(function: str, **more: Any) -> Spec:
    return parse(
        {
            "name": "own",
            "key": "id",
            "features": {
                "word": {"type": "categorical"},
                "size": {"type": "numeric"},
                "list": {"type": "numeric", "length": 2},
            },
            "preprocessing": f"tests.own_outputs:{function}",
            **more,
        }
    )


REFUSED = {
    "named_as_a_feature": ["'size': a feature has this name; return it under another"],
    "named_as_a_group": ["'both': a group has this name; rename one of them"],
    "texts": ["'other': expected float32 or int64, got string; tf.cast numbers"],
    "sparse": ["'other': expected a dense tensor, got SparseTensor; make it dense"],
    "as_many_as_there_are": [r"'other': expected \[batch, …\] of a known shape.*ensure_shape"],
    "of_no_column": [
        "raises KeyError: 'price'; mend it \\(it is given the columns word, size, list"
    ],
    "no_dict": ["raises TypeError: expected a dict of tensors by name, got list"],
    "named_odd": [
        f"gives '{name}': expected a name of 1 to 200 letters"
        for name in ("__missing__size", "embed.word", "a b", "1st", "été")
    ],
}


@pytest.mark.parametrize("function", REFUSED)
def test_what_cannot_be_an_entry_is_refused_before_any_data_is_read(
    function: str, tmp_path: Path
) -> None:
    groups = {"both": {"features": ["size", "list"]}}
    with pytest.raises(SpecError) as caught:
        # No file is looked for, not even that there is one.
        preprocess(
            spec_of(function, model={"groups": groups}), [str(tmp_path / "no.csv")], tmp_path / "o"
        )
    assert len(caught.value.problems) == len(REFUSED[function])
    for message in REFUSED[function]:
        assert caught.match(message)
    assert caught.match(f"preprocessing: tests.own_outputs:{function}")


def test_its_outputs_are_towers_that_dot_counts() -> None:
    one = {"word": {"type": "categorical", "embedding": 4}}
    # Its width is made equal by the projection; only the number of towers is at stake.
    check_own_function(spec_of("sound", features=one, model={"merge": "dot", "projection": 4}))
    with pytest.raises(SpecError, match=r"dot takes exactly two towers, got word, size, list, ot"):
        check_own_function(spec_of("sound", model={"merge": "dot", "projection": 4}))


def test_a_spec_whose_function_is_given_no_column_is_refused() -> None:
    with pytest.raises(SpecError, match=r"at least one feature \(they name the columns that"):
        spec_of("sound", features={})


@pytest.mark.slow
def test_a_vocabulary_file_called_as_a_features_is_refused(tmp_path: Path) -> None:
    rows = "".join(f"r{row},{'ab'[row % 2]},{row % 3},\n" for row in range(40))
    (tmp_path / "rows.csv").write_text("id,word,size,list\n" + rows)
    features = {"word": {"type": "categorical"}, "size": {"type": "numeric"}}
    spec = spec_of("file_of_a_feature", features=features)
    with pytest.raises(SpecError, match="calls a vocabulary file 'word', as that of word is; give"):
        preprocess(spec, [str(tmp_path / "rows.csv")], tmp_path / "out")
    assert not (tmp_path / "out").exists()
