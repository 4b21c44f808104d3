"""Tables of thousands of columns: numbers joined, each column accounted for, records of megabytes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skewless.beam_pipelines.init import as_table, guess_spec, pieces, proposal, wide
from skewless.beam_pipelines.init.columns import columns_of
from skewless.beam_pipelines.init.number_blocks import Truth, number_blocks
from skewless.beam_pipelines.init.overlap import leaks
from skewless.beam_pipelines.init.profile import profile
from skewless.beam_pipelines.init.sample import take_sample
from skewless.beam_pipelines.sources.formats.jsonl_reader import parse_lines
from skewless.beam_pipelines.sources.units import WorkUnit
from skewless.schemas.errors import UsageError
from skewless.schemas.rows.canonical import canonical
from skewless.schemas.rows.raw_columns import RawColumn
from skewless.schemas.spec.spec import parse
from skewless.schemas.spec.yaml_document import read_yaml

ROWS = 120
GENES = 1_000
MOST_CLOSE = 100
SPEC = parse({"name": "n", "features": {"any": {"type": "categorical"}}})


def columns() -> dict[str, list]:
    """Returns a table of numbers with other columns strewn in, by name."""
    random = np.random.default_rng(5)
    label = random.integers(0, 2, ROWS)
    levels = random.normal(size=(GENES, ROWS)).round(6)
    table: dict[str, list] = {f"gene {place}": levels[place].tolist() for place in range(GENES)}
    table["gene 17"] = table["gene 3"]
    table["gene 18"] = [4] * ROWS
    table["gene 19"] = [None if row % 4 == 0 else row * 0.5 for row in range(ROWS)]
    table["gene 20"] = np.exp(random.normal(0, 4, ROWS)).tolist()
    table["gene 21"] = [9 - 2 * value for value in label.tolist()]
    table["yes"] = random.normal(size=ROWS).tolist()
    table["half"] = ["n/a" if row == 7 else str(row % 13) for row in range(ROWS)]
    table["patient_id"] = [f"p{row}" for row in range(ROWS)]
    table["tissue"] = [["liver", "lung", "skin"][row % 3] for row in range(ROWS)]
    table["outcome"] = [["ill", "well"][value] for value in label]
    table |= named()
    for place in range(MOST_CLOSE):
        table[f"snp_{place}"] = [["AA", "AG", "GG"][(row * place) % 3] for row in range(ROWS)]
    return table


def named() -> dict[str, list]:
    """Returns columns of whole numbers that name things, rows or moments, by name."""
    random = np.random.default_rng(6)
    return {
        "Unnamed: 0": random.permutation(10 * ROWS)[:ROWS].tolist(),
        "row": list(range(7, 7 + ROWS)),
        "shop": [8_000_000_000_000_000_001 + row % 4 for row in range(ROWS)],
        "ticket": [4_000_000_000 + row % 30 for row in range(ROWS)],
        "area": [f"0{row % 5}139" for row in range(ROWS)],
        "drawn_at": [1_700_000_000 + 40_000 * row**2 for row in range(ROWS)],
    }


def written(folder: Path, ending: str, table: dict[str, list]) -> str:
    path = folder / f"wide.{ending}"
    if ending == "parquet":
        pq.write_table(pa.table(table), path)
    elif ending == "jsonl":
        rows = zip(*table.values(), strict=True)
        path.write_text(
            "".join(json.dumps(dict(zip(table, row, strict=True))) + "\n" for row in rows)
        )
    else:
        lines = [",".join(table)]
        for row in zip(*table.values(), strict=True):
            lines.append(",".join("" if value is None else str(value) for value in row))
        path.write_text("\n".join(lines) + "\n")
    return str(path)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_wide_table_is_joined_and_each_column_accounted_for(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (wide, proposal):
        monkeypatch.setattr(module, "MOST_CLOSE", MOST_CLOSE)
    table = columns()
    found, text = guess_spec([written(tmp_path, ending, table)], "outcome")
    features = found.document["features"]
    joined = {
        column: {key: value for key, value in feature.items() if key != "columns"}
        for feature in features.values()
        for column in feature.get("columns", ())
    }
    plain = {"type": "numeric", "scale": "z_score", "missing": "mean"}
    assert joined["gene 0"] == joined["yes"] == plain
    assert features["gene_19"] == {
        "type": "numeric", "scale": "z_score", "missing": "mean", "indicator": True,
        "column": "gene 19",
    }  # fmt: skip
    assert features["gene_20"]["scale"] == "log1p"
    assert features["tissue"] == {"type": "categorical", "embedding": "one_hot"}
    out = {guess.column: guess.kind for guess in found.omitted}
    assert {name: out[name] for name in ("gene 17", "gene 18", "gene 21", "patient_id")} == {
        "gene 17": "duplicate", "gene 18": "constant", "gene 21": "leak", "patient_id": "key",
    }  # fmt: skip
    used = {feature.get("column", name) for name, feature in features.items()} - {"numbers"}
    assert {*joined, *used, *out, "outcome"} == set(table)
    assert out["Unnamed: 0"] == out["row"] == "near-unique"
    assert {features[name]["type"] for name in ("shop", "ticket", "area")} == {"categorical"}
    assert features["drawn_at"]["type"] == "timestamp"
    assert not ({*joined, *used} & {*out})
    # Of what is no plain number, the first are looked at, and the rest is said.
    assert {name for name, kind in out.items() if kind == "unexamined"} == {
        f"snp_{place}" for place in range(MOST_CLOSE - 10, MOST_CLOSE)
    }
    assert any("10 other columns were not looked at" in warning for warning in found.warnings)
    assert parse(read_yaml(text, "t")) == parse(found.document)
    assert max(map(len, text.splitlines())) < 200
    assert as_table(found).count("\n") < 150


def test_a_label_that_is_not_there_is_refused_in_a_line(tmp_path: Path) -> None:
    path = written(tmp_path, "csv", {f"x{place}": [1, 2] for place in range(3_000)})
    with pytest.raises(UsageError, match=r"and 2,980 more\)") as refused:
        take_sample([path])
        guess_spec([path], "y")
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_records_longer_than_a_piece(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "_PIECE_BYTES", 1_000)
    monkeypatch.setattr(pieces, "_READ_WHOLE_BYTES", 100_000)
    monkeypatch.setattr(pieces, "CHUNK_BYTES", 10_000)
    table = {f"x{place}": [f"{row:03}" * 3 for row in range(300)] for place in range(500)}
    sample = take_sample([written(tmp_path, ending, table)])
    assert 3 <= sample.rows < 300
    assert sample.total == pytest.approx(300, rel=0.3)
    assert len(set(sample.columns["x7"].to_pylist())) == sample.rows
    assert set(sample.columns) == set(table)


def test_blocks_agree_with_one_column_alone() -> None:
    """Counts, quantiles and what tells the label, held against the road of one column."""
    random = np.random.default_rng(8)
    classes = [str(value) for value in random.integers(0, 3, 400)]
    table = {f"n{place}": random.normal(size=400).round(2) for place in range(40)}
    told = np.array(list(map(int, classes)))
    table["told"] = told * 10 + random.integers(0, 3, 400)
    table["nearly"] = np.where(random.random(400) < 0.05, 7.0, told)
    table["order"] = np.arange(400) ** 2
    texts = {
        name: pa.array([repr(float(v) + 0.0) for v in values]) for name, values in table.items()
    }
    texts["gaps"] = pa.array([None if row % 3 else str(row) for row in range(400)])
    alone = {name: profile(name, values, 400, ()) for name, values in texts.items()}
    for label in (classes, [str(row * 3.5) for row in range(400)]):
        target = profile("label", pa.array(label), 400, ())
        expected = {leak.column: leak.certain for leak in leaks(alone, target)}
        found = {entry.name: entry for entry in number_blocks(texts, (), Truth.of(target))}
        assert {n: e.leak.certain for n, e in found.items() if e.leak is not None} == expected
        assert expected
    for name, entry in found.items():
        one = alone[name]
        assert (entry.present, entry.distinct, entry.integral) == (
            one.present, one.distinct, one.integral,
        )  # fmt: skip
        assert (entry.low, entry.high) == (one.numbers.min(), one.numbers.max())


def test_what_is_no_number_is_no_block() -> None:
    columns = {
        "a": ["1", "x"],
        "b": ["1", "nan"],
        "c": ["inf", "2"],
        "d": ["1e3", " 2 "],
        "e": ["?", ""],
    }
    texts = {name: pa.array(values) for name, values in columns.items()}
    assert [entry.name for entry in number_blocks(texts, ("?",), None)] == ["d", "e"]


def test_json_of_very_many_keys_is_read_as_each_key_alone() -> None:
    kinds: list[list[Any]] = [
        [1.5, None, "x"], [True, 2, 3.0], [["a", "b"], "c", None], [None, None, None], [7, 8, 9],
    ]  # fmt: skip
    names = [f"k{place}" for place in range(60)]
    rows = [
        {name: kinds[at % len(kinds)][row] for at, name in enumerate(names)} for row in range(3)
    ]
    lines = [json.dumps(row).encode() for row in rows]
    unit, numbers = WorkUnit("wide.jsonl", "jsonl"), np.arange(3)
    wanted = {name: RawColumn(name, "string", multivalued=True) for name in names}
    together = parse_lines(lines, unit, numbers, wanted).table
    for name in names:
        alone = parse_lines(lines, unit, numbers, {name: wanted[name]}).table
        for read_as in (wanted[name], RawColumn(name, "string")):
            one, other = (
                canonical(table.column(name), read_as, SPEC) for table in (together, alone)
            )
            assert one[0].equals(other[0]) and one[1] == other[1], name


def test_columns_of_several_tables_are_put_together_in_their_order() -> None:
    tables = [
        pa.record_batch({"a": ["1", None], "b": ["2", "3"], "n": [1, 2], "m": [1, 2]}),
        pa.record_batch({"a": ["4"], "n": [3], "m": ["x"]}),
        pa.record_batch({"a": ["5"], "b": ["6"], "n": [4], "m": [5]}),
    ]
    found = columns_of(["a", "b", "n", "m", "none"], tables, SPEC, {})
    assert {name: values.to_pylist() for name, values in found.items()} == {
        "a": ["1", None, "4", "5"],
        "b": ["2", "3", None, "6"],
        "n": ["1", "2", "3", "4"],
        "m": ["1", "2", "x", "5"],
        "none": [None] * 4,
    }


def used_by(command: list[str], folder: Path) -> dict[str, float]:
    """Runs Python; returns what it used of the processor, and of memory at its peak.

    A small process stands between: Linux counts, as the peak of a process, what its parent had when
    it started it.
    """
    found = folder / "used.json"
    measure = (
        "import json, resource, subprocess, sys\n"
        "subprocess.run([sys.executable, *sys.argv[2:]], check=True)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "seconds, megabytes = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024\n"
        "open(sys.argv[1], 'w').write(json.dumps({'seconds': seconds, 'megabytes': megabytes}))\n"
    )
    subprocess.run([sys.executable, "-c", measure, str(found), *command], check=True)
    return json.loads(found.read_text("utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize(("ending", "rows"), [("jsonl", 20), ("csv", 80)])
def test_init_answers_for_a_hundred_thousand_columns(
    ending: str, rows: int, tmp_path: Path
) -> None:
    random, columns, path = np.random.default_rng(1), 100_000, tmp_path / f"genes.{ending}"
    with path.open("w") as file:
        if ending == "csv":
            file.write(",".join([*(f"gene_{at}" for at in range(columns)), "outcome"]) + "\n")
        for row in range(rows):
            values = random.normal(size=columns).round(4).tolist()
            outcome = "ill" if row % 2 else "well"
            if ending == "csv":
                file.write(",".join([*map(str, values), outcome]) + "\n")
            else:
                held = {f"gene_{at}": value for at, value in enumerate(values)}
                file.write(json.dumps({**held, "outcome": outcome}) + "\n")
    assert ending != "csv" or path.stat().st_size > 48 << 20
    spec = tmp_path / "spec.yaml"
    command = ["-m", "skewless", "init", str(path), "--label", "outcome", "-o", str(spec)]
    used = used_by(command, tmp_path)
    # About 30 s of a quiet machine's processor; other work beside it makes it more.
    assert used["seconds"] < 150
    assert used["megabytes"] < 3_000
    assert "100,000 columns of numbers joined" in spec.read_text()
