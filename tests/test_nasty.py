"""Hundreds of nasty files, made by tests/nasty/corpus: each comes to what its family says."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.nasty.attempt import attempt
from tests.nasty.corpus import ANY, Family, every_family
from tests.nasty.corpus.__main__ import table
from tests.nasty.outcomes import BAD, Outcome

FAMILIES = every_family(damages=1)
# The same contents packed or with tabs, and large ones, take longer and find less.
_LARGE = 1 << 20


def _quick(family: Family) -> bool:
    return not (family.derived or any(len(f.bytes()) >= _LARGE for f in family.files.values()))


def _named(family: Family) -> str:
    return f"{family.format}: {family.about}"


def _check(folder: Path, family: Family, kinds: tuple[str, ...]) -> Counter[str]:
    """Tries each file of a family; returns how many came to what."""
    counts: Counter[str] = Counter()
    for name, file in family.files.items():
        path = folder / f"{name}.{family.format}"
        path.write_bytes(file.bytes())
        outcome = attempt(path, "", kinds)
        path.unlink()
        assert outcome.kind not in BAD, outcome
        counts[outcome.kind] += 1
        if family.outcome == ANY:
            continue
        assert outcome.kind == family.outcome, outcome
        if family.outcome != "refused" and file.read is not None:
            assert (outcome.read, outcome.rejected) == (file.read, file.rejected), outcome
        for reason in _reasons(outcome):
            assert re.search(family.reason, reason), f"{outcome.file}: {reason}"
    return counts


def _reasons(outcome: Outcome) -> list[str]:
    if outcome.kind == "refused":
        return [outcome.detail]
    return [reason for _, reason in outcome.reasons.values()]


@pytest.mark.parametrize("family", list(filter(_quick, FAMILIES)), ids=_named)
def test_each_file_comes_to_what_its_family_says(family: Family, tmp_path: Path) -> None:
    _check(tmp_path, family, ())


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES, ids=_named)
def test_as_every_kind_of_column(family: Family, tmp_path: Path) -> None:
    _check(tmp_path, family, ("text", "list", "int64", "float32"))


@pytest.mark.parametrize("format", ["csv", "tsv"])
def test_numbers_are_those_that_python_reads(format: str, tmp_path: Path) -> None:
    for family in FAMILIES:
        if family.format == format and family.about.startswith("numbers at each limit"):
            assert _check(tmp_path, family, ("int64", "float32")) == {"ok": len(family.files)}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 7))
def test_damage_anywhere_loses_no_row_untold(seed: int, tmp_path: Path) -> None:
    for family in every_family(seed, damages=6):
        if family.about == "damage anywhere":
            _check(tmp_path, family, ())


def test_there_are_hundreds_of_every_sort() -> None:
    files = sum(len(family.files) for family in filter(_quick, FAMILIES))
    assert files >= 300
    formats = Counter(family.format for family in FAMILIES for _ in family.files)
    wanted = "csv tsv jsonl csv.gz csv.zst jsonl.gz jsonl.zst parquet tfrecord tfrecord.gz"
    assert all(formats[format] >= 20 for format in wanted.split()), formats
    assert len({_named(family) for family in FAMILIES}) == len(FAMILIES)


def test_the_page_has_the_table_of_families() -> None:
    page = (Path(__file__).parents[1] / "docs" / "bad-input.md").read_text()
    assert table(every_family()) in page, "put what `python -m tests.nasty.corpus` prints into it"


CELLS = st.text(
    st.one_of(st.sampled_from(",;\t\"\r\n \x00\ufeff\u2028'\\"), st.characters(codec="utf-8")),
    max_size=8,
)
TEXTS = st.one_of(
    CELLS.map(str.encode), st.binary(max_size=6), st.sampled_from([b'"', b'""', b'",', b'"\n', b""])
)


@given(
    rows=st.lists(st.lists(TEXTS, min_size=1, max_size=3), max_size=6),
    ends=st.lists(st.sampled_from([b"\n", b"\r\n", b"\r", b"\n\n"]), min_size=6, max_size=6),
)
def test_any_cells_are_what_pythons_csv_reads(
    rows: list[list[bytes]], ends: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Cells are put between delimiters as they are: quotes open and close where they happen to."""
    lines = b"".join(b",".join(row) + end for row, end in zip(rows, ends, strict=False))
    path = tmp_path_factory.getbasetemp() / "cells.csv"
    path.write_bytes(b"a,b\n" + lines)
    outcome = attempt(path, "", ())
    assert outcome.kind not in BAD, outcome


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
    ),
    max_leaves=5,
)


@given(
    rows=st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from("ab"), VALUES), st.booleans(), st.integers(0, 60)
        ),
        max_size=5,
    )
)
def test_any_values_are_what_pythons_json_reads(
    rows: list[tuple[dict[str, object], bool, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    import json

    lines = []
    for row, ascii_only, cut in rows:
        line = json.dumps(row, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
        # Some lines end early.
        lines.append(line if cut % 4 else line[:cut])
    path = tmp_path_factory.getbasetemp() / "values.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    outcome = attempt(path, "", ())
    assert outcome.kind not in BAD, outcome
