"""Categories written otherwise than the training rows had them: booleans and whole numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from skewless.beam_pipelines.rows.first_rows import check_spellings
from skewless.beam_pipelines.sources import plan
from skewless.schemas import Spec, parse
from skewless.schemas.errors import DataError
from skewless.schemas.records.vocabulary_file import write_vocabulary
from skewless.schemas.rows.native.spellings import Spellings


def spec() -> Spec:
    features = {"b": {"type": "categorical", "column": "B", "embedding": 2}}
    label = {"column": "y", "type": "binary"}
    return parse({"name": "s", "key": "id", "features": features, "label": label})


@pytest.mark.parametrize(
    ("words", "values", "other"),
    [
        ([b"True", b"False"], pa.array([None, True]), "True"),
        ([b"1.0", b"2.0"], pa.array([2.0, 7.0]), "2.0"),
        ([b"1.0", b"2.0"], pa.array([1]).dictionary_encode(), "1.0"),
        ([b"true"], pa.array([True, False]), None),
        ([b"1", b"1.0"], pa.array([1.0, 2.5, None]), None),
        ([b"1", b"2.0"], pa.array([2]), "2.0"),
        ([b"True"], None, None),
        # Texts, where none of the vocabulary is written so.
        ([b"True"], pa.array(["true"]), "True"),
        ([b"true", b"x"], pa.array(["x", None, "TRUE"]), "true"),
        ([b"FALSE"], pa.array([b"False"]), "FALSE"),
        ([b"1", b"-2"], pa.array(["-2.0"], pa.string_view()), "-2"),
        ([b"1.0"], pa.array(["1"]).dictionary_encode(), "1.0"),
        # Where some is, or the value is another, it may be meant.
        ([b"True", b"false"], pa.array(["true"]), None),
        ([b"1", b"2.0"], pa.array(["2"]), None),
        ([b"1.0"], pa.array(["2", "1.00", "north"]), None),
        ([], pa.array(["true", "1"]), None),
        ([b"1.0"], pa.array([["1"]]), None),
    ],
)
def test_a_value_that_was_spelled_otherwise_is_told(
    words: list[bytes], values: pa.Array | None, other: str | None
) -> None:
    spellings = Spellings(spec(), lambda name: words)
    columns = {} if values is None else {"B": values}
    if other is None:
        spellings.check(columns)
    else:
        with pytest.raises(DataError, match=f"column 'B': .* such as '{other}'"):
            spellings.check(columns)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("a.parquet", "got a number or boolean, whose text 'true'"),
        ("a.jsonl", "got "),
        ("a.csv", "got 'true', which the model"),
    ],
)
def test_the_first_rows_of_files_are_looked_at(tmp_path: Path, file: str, said: str) -> None:
    vocabularies, path = tmp_path / "assets", tmp_path / file
    rows = [{"id": "1", "B": True, "y": 1}, {"id": "2", "B": None, "y": 0}]
    if file == "a.parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
    elif file == "a.jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        path.write_text("id,B,y\n1,true,1\n2,,0\n")
    units = plan([str(path)], spec())
    write_vocabulary(str(vocabularies / "b"), [b"True", b"False"])
    with pytest.raises(
        DataError, match=f"{file}: column 'B': .* such as 'True', as the training rows had, {said}"
    ):
        check_spellings(spec(), units, spec(), vocabularies)
    write_vocabulary(str(vocabularies / "b"), [b"true", b"false"])
    check_spellings(spec(), units, spec(), vocabularies)
