"""Files cut by pieces: each is looked through by itself, and the whole is what one reader sees."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skewless.beam_pipelines.batch import cut as batch_cut
from skewless.beam_pipelines.batch.plan import Opened, opened_input
from skewless.beam_pipelines.rows.read_rows import rows_of
from skewless.beam_pipelines.running.local_runner import pipeline_options
from skewless.beam_pipelines.sources import plan, read
from skewless.beam_pipelines.sources.cutting.cuts import Cut, UnitSize
from skewless.beam_pipelines.sources.cutting.joined import joined
from skewless.beam_pipelines.sources.cutting.pieces import Piece, pieces_of
from skewless.beam_pipelines.sources.cutting.scan import scan
from skewless.beam_pipelines.sources.opened import one_unit_each
from skewless.beam_pipelines.sources.plan import opened_files
from skewless.beam_pipelines.sources.units import WorkUnit
from skewless.schemas.spec.spec import parse
from tests.test_text_blocks import small_limits, walked

__all__ = ["small_limits"]

SPEC = parse({"name": "t", "features": {name: {"type": "categorical"} for name in "ab"}})
MANY = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
PARTS = st.one_of(
    st.text(st.sampled_from('a",\n\r'), max_size=8),
    st.builds('"\n{}"{}'.format, st.integers(34, 44).map("d".__mul__), st.sampled_from("\n,")),
    st.sampled_from(
        ["a" * 30, '"' + "b" * 30, "c\n" * 9, '"', '"\n', 'x,"y', ',"z",', '1,"\n', '"q""\n""r"\n']
        + ['x,"\n"\n', 'a,"b, ""c""\nd",e\n' * 3, '","\n', "\r", "\r\n", "1,2\n" * 6]
    ),
)


def pieces(path: Path, format: str, size: int) -> list[Piece]:
    whole = WorkUnit(str(path), format)  # type: ignore[arg-type]
    between = "," if format == "csv" else ""
    return list(pieces_of(whole, path.stat().st_size, between, UnitSize(size)))


def cuts_of(path: Path, format: str, size: int) -> list[Cut]:
    """Cuts a file of its pieces, the last looked through first."""
    found = pieces(path, format, size)
    scanned = [scan(piece) for piece in reversed(found)][::-1]
    return joined(found, scanned, path.stat().st_size)


@MANY
@given(parts=st.lists(PARTS, min_size=1, max_size=12), size=st.integers(1, 90))
@pytest.mark.usefixtures("small_limits")
def test_records_of_pieces_are_those_of_a_walk_byte_by_byte(
    parts: list[str], size: int, tmp_path: Path
) -> None:
    text = "".join(parts).encode()
    path = tmp_path / "x.csv"
    path.write_bytes(text)
    if len(text) <= size:
        return
    cuts = cuts_of(path, "csv", size)
    ends, unused, count = {0: 0}, [], 0
    for kind, begin, end in walked(text):
        count += kind != "blank"
        ends[end] = count
        if kind in ("long", "stray"):
            unused.append((kind, begin, end - begin))
    assert cuts[0].start == 0 and cuts[-1].end == len(text)
    found_unused, place, rows = [], 0, 0
    for cut in cuts:
        assert (cut.start, cut.first_row) == (place, rows + 1)
        for length, held, problem in cut.stretches:
            if problem:
                kind = "stray" if "quote" in problem else "long"
                found_unused.append((kind, place, length))
            place, rows = place + length, rows + held
            assert ends[place] == rows
        assert cut.end == place
    assert found_unused == unused


FIELDS = st.text(st.sampled_from('ab"\n\r, é'), max_size=9)


@MANY
@given(
    rows=st.lists(st.tuples(FIELDS, FIELDS), min_size=1, max_size=14),
    size=st.integers(1, 70),
    # Python leaves a carriage return unquoted where it is in no line end.
    written=st.sampled_from(
        [("\n", csv.QUOTE_ALL), ("\r\n", csv.QUOTE_ALL), ("\r\n", csv.QUOTE_MINIMAL)]
    ),
    marked=st.booleans(),
)
def test_rows_of_pieces_are_those_of_pythons_csv(
    rows: list[tuple[str, str]], size: int, written: tuple[str, int], marked: bool, tmp_path: Path
) -> None:
    text = io.StringIO(newline="")
    end, quoting = written
    csv.writer(text, lineterminator=end, quoting=quoting).writerows([("a", "b"), *rows])
    path = tmp_path / "x.csv"
    path.write_bytes(codecs.BOM_UTF8 * marked + text.getvalue().encode())
    units = plan([str(path)], SPEC, unit_bytes=size)
    # Any unit can be read by itself, in any order.
    batches = [batch for unit in reversed(units) for batch in read(unit, SPEC)]
    got = {}
    for batch in batches:
        assert not batch.rejected
        values = batch.table.to_pydict()
        for number, a, b in zip(batch.rows.tolist(), values["a"], values["b"], strict=True):
            got[number] = (a.decode(), b.decode())
    assert [got[number] for number in range(1, len(rows) + 1)] == rows
    assert len(got) == len(rows)


@MANY
@given(
    lines=st.lists(st.text("ab \r", max_size=60), min_size=1, max_size=8), size=st.integers(1, 70)
)
@pytest.mark.usefixtures("small_limits")
def test_lines_of_pieces_end_at_line_ends(lines: list[str], size: int, tmp_path: Path) -> None:
    text = "\n".join(lines).encode()
    path = tmp_path / "x.jsonl"
    path.write_bytes(text)
    if len(text) <= size:
        return
    cuts = cuts_of(path, "jsonl", size)
    assert [cut.end for cut in cuts[:-1]] == [cut.start for cut in cuts[1:]]
    assert (cuts[0].start, cuts[-1].end) == (0, len(text))
    for cut in cuts:
        before = text[: cut.start]
        assert not before or before.endswith(b"\n")
        held = [line for line in before.split(b"\n")[:-1] if line.strip(b" \t\r")]
        assert cut.first_row == len(held) + 1


def test_a_piece_is_looked_through_without_those_before_it(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"".join(b'%d,"a, ""b""\nc"\n' % n for n in range(2_000)))
    found = pieces(path, "csv", 4_096)
    assert len(found) > 5
    text = path.read_bytes()
    for piece in found[1:]:
        # What comes before is another text of the same length.
        other = tmp_path / "other.csv"
        other.write_bytes(b"z" * (piece.begin - 1) + text[piece.begin - 1 :])
        [moved] = [p for p in pieces(other, "csv", 4_096) if p.begin == piece.begin]
        here, there = scan(piece), scan(moved)
        assert here == there
        # The two readings meet soon, and are one from there on.
        assert here.quoted is not None
        assert here.quoted.blocks[-1] == here.outside.blocks[-1]


def test_workers_cut_as_the_command_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "xy":
        rows = "".join(f'{n},"{name}\n{"z" * (n % 9)}"\n' for n in range(300))
        (tmp_path / f"{name}.csv").write_text("a,b\n" + rows)
    (tmp_path / "z.csv").write_text("a,b\n1,2\n")
    options = pipeline_options()
    files = opened_files([f"{tmp_path}/*.csv"], SPEC, size=UnitSize(500, 20))
    monkeypatch.setattr(batch_cut, "cut_here", None)
    monkeypatch.setattr(batch_cut, "_by_workers", lambda options, pieces: pieces > 10)
    job = batch_cut.cut(Opened(SPEC, files, options), tmp_path)
    assert job.units == plan([f"{tmp_path}/*.csv"], SPEC, unit_bytes=500, unit_rows=20)
    assert {Path(unit.file).name for unit in job.units} == {"x.csv", "y.csv", "z.csv"}
    numbers = [n for unit in job.units for rows in rows_of(unit, SPEC) for n in rows.numbers]
    assert numbers == [*range(1, 301), *range(1, 301), 1]


def test_the_command_reads_of_big_files_only_their_beginnings(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    line = b"1,2\n"
    path.write_bytes(b"a,b\n" + line * (40 << 18))
    before = _bytes_read()
    opened = opened_input(SPEC, [str(path)], PipelineOptions(["--runner=FlinkRunner"]))
    assert _bytes_read() - before < 10 << 20
    assert len(opened.files[0].pieces) == 2
    with path.open("ab") as file:
        file.truncate(1 << 40)
    before = _bytes_read()
    opened = opened_input(SPEC, [str(path)], PipelineOptions(["--runner=FlinkRunner"]))
    assert _bytes_read() - before < 10 << 20
    assert len(opened.files[0].pieces) == 1 << 15


def _bytes_read() -> int:
    """Returns how many bytes this process has asked for."""
    return int(Path("/proc/self/io").read_text().split()[1])


def test_a_compressed_file_that_holds_most_is_told_of(tmp_path: Path) -> None:
    import gzip

    path = tmp_path / "big.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n"))
    (tmp_path / "small.csv").write_text("a,b\n1,2\n")
    files = opened_files([f"{tmp_path}/*"], SPEC)
    assert one_unit_each(files) == ""
    with path.open("ab") as file:
        file.truncate(50 << 20)
    said = one_unit_each(opened_files([f"{tmp_path}/*"], SPEC))
    assert said.startswith("100% of the input's bytes are in 1 compressed files")
    assert f"the largest, {path}, has 50 MiB" in said
    units = plan([f"{tmp_path}/*"], SPEC)
    assert [len(list(group)) for _, group in itertools.groupby(u.file for u in units)] == [1, 1]
