"""One file, tried at the levels where it meets our code."""

from __future__ import annotations

import contextlib
import dataclasses
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import tensorflow  # noqa: F401  (imported once, before workers fork)

from skewless.beam_pipelines.init import guess_spec
from skewless.beam_pipelines.rows.read_rows import rows_of
from skewless.beam_pipelines.sources import plan
from skewless.beam_pipelines.sources.files import ENDINGS
from skewless.beam_pipelines.sources.formats import (
    csv_reader,
    jsonl_reader,
    parquet_reader,
    tfrecord_reader,
)
from skewless.schemas.errors import SkewlessError, SpecError
from skewless.schemas.spec.spec import Spec, parse
from tests.nasty.compared import MOST_RECORDS, compare, compare_kind
from tests.nasty.oracles import as_utf8, delimited, json_objects, text_of
from tests.nasty.outcomes import FoundError, Outcome, Read

__all__ = ["attempt", "format_of", "preprocess_alone", "small_batches"]

KINDS: dict[str, dict[str, Any]] = {
    "text": {"type": "categorical"},
    "list": {"type": "categorical", "length": 4, "separator": "|"},
    "int64": {"type": "categorical", "dtype": "int64"},
    "float32": {"type": "numeric"},
}
MOST_COLUMNS = 40
_PIECES = 12


def format_of(path: Path) -> str:
    """Returns the format that the ending says, or `""`."""
    for ending in sorted(ENDINGS, key=len, reverse=True):
        if path.name.lower().endswith(ending):
            return ENDINGS[ending][0]
    return ""


def attempt(path: Path, family: str, kinds: Sequence[str] = tuple(KINDS)) -> Outcome:
    """Tries a file: `init`, then every column read as each of `kinds`, whole and in small pieces."""
    begin = time.monotonic()
    document: dict[str, Any] | None = None
    at_init: FoundError | None = None
    try:
        document = _proposed(path)
    except FoundError as found:
        at_init = found
    try:
        outcome = _rows(path, family, kinds, document)
    except FoundError as found:
        outcome = Outcome(str(path), family, found.kind, found.level, found.detail)
    if at_init is not None:
        detail = f"{at_init.detail}\n{outcome.level or 'read'}: {outcome.kind} {outcome.detail}"
        outcome = dataclasses.replace(outcome, kind=at_init.kind, level="init", detail=detail)
    return dataclasses.replace(outcome, seconds=round(time.monotonic() - begin, 3))


@contextlib.contextmanager
def _level(name: str, path: Path) -> Iterator[None]:
    """Lets our own errors through if they can be understood; all others are found wanting."""
    try:
        yield
    except SkewlessError as error:
        text = str(error)
        lines = text.splitlines()
        # What a spec lacks is said of the spec, not of a file.
        named = isinstance(error, SpecError) or path.name in text
        clear = len(text) < 20_000 and "Traceback" not in text and "\x1b" not in text
        if not lines or not named or not clear:
            raise FoundError("UNCLEAR", name, f"{type(error).__name__}: {text[:2000]}") from error
        raise
    except FoundError:
        raise
    except (MemoryError, pa.ArrowMemoryError) as error:
        raise FoundError("CRASH", name, f"out of memory: {_where(error)}") from error
    except Exception as error:
        raise FoundError("TRACEBACK", name, _where(error)) from error


def _where(error: BaseException) -> str:
    """Returns the exception and our frames on the way to it, the last first."""
    frames = [
        f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
        if "site-packages" not in frame.filename and "tests/nasty" not in frame.filename
    ]
    return f"{type(error).__name__}: {str(error)[:500]} [{' < '.join(reversed(frames[-6:]))}]"


def _proposed(path: Path) -> dict[str, Any] | None:
    """Returns the document that `init` proposes, or None where it refuses the file."""
    try:
        with _level("init", path):
            proposal, _ = guess_spec([str(path)])
            return proposal.document
    except SkewlessError:
        return None


def _rows(
    path: Path, family: str, kinds: Sequence[str], document: dict[str, Any] | None
) -> Outcome:
    csv = (document or {}).get("csv", {})
    names = _names(path, csv)
    cut: dict[str, int] = {}
    try:
        if document is not None:
            with _level("rows as init proposes", path):
                _read_all(path, parse(document))
        spec = None
        with _level("read", path):
            spec = _spec(names, KINDS["text"], csv)
            whole = _read_all(path, spec)
        columns = [str(feature.column) for feature in spec.features.values()]
        compare(path, format_of(path), columns, csv, whole)
        kind = "rejected" if whole.reasons else "ok"
        outcome = Outcome(
            str(path),
            family,
            kind,
            read=whole.read,
            rejected=len(whole.reasons),
            reasons=whole.reasons,
        )
        cut = {
            "unit_bytes": max(256, path.stat().st_size // _PIECES),
            "unit_rows": max(3, whole.read // _PIECES),
        }
        with _level("cut", path), small_batches(max(2, whole.read // _PIECES)):
            again = _read_all(path, spec, **cut)
        _same(whole, again, "cut")
    except SkewlessError as error:
        return Outcome(str(path), family, "refused", "read", str(error))
    for kind in kinds:
        with contextlib.suppress(SkewlessError), _level(f"rows as {kind}", path):
            spec = _spec(names, KINDS[kind], csv)
            typed = _read_all(path, spec)
            if typed.read != outcome.read:
                raise FoundError(
                    "UNCOUNTED", f"rows as {kind}", f"{typed.read} records, as text {outcome.read}"
                )
            compare_kind(kind, format_of(path), csv, whole, typed)
            with small_batches(max(2, typed.read // _PIECES)):
                again = _read_all(path, spec, **cut)
            _same(typed, again, f"rows as {kind}, cut")
    return outcome


def _names(path: Path, csv: dict[str, Any]) -> list[str]:
    """Returns the columns that a spec can name: each once in the file."""
    names: list[str] = []
    with contextlib.suppress(Exception):
        format = format_of(path)
        if format in ("csv", "tsv"):
            names = list(csv.get("header") or ())
            if not names:
                data, encoding = as_utf8(text_of(path)[0], csv.get("encoding", "utf-8"))
                header = delimited(data[: 4 << 20], _delimiter(format, csv)).header
                names = [name.decode(encoding) for name in header]
        elif format == "jsonl":
            for row in json_objects(text_of(path)[0][: 4 << 20])[:200]:
                names += [name for name in row or () if name not in names and name != "\x00twice"]
        elif format == "parquet":
            names = parquet_reader.pq.read_schema(path).names
        elif format == "tfrecord":
            unit = plan([str(path)], _spec(["x"], KINDS["text"], {}))[0]
            names = tfrecord_reader.names_of_examples(unit)
    once = [name for name in dict.fromkeys(names) if name.strip() and names.count(name) == 1]
    return once[:MOST_COLUMNS] or ["x"]


def _delimiter(format: str, csv: dict[str, Any]) -> str:
    return "\t" if format == "tsv" else str(csv.get("delimiter", ","))


def _spec(names: Sequence[str], feature: dict[str, Any], csv: dict[str, Any]) -> Spec:
    """Returns a spec of one feature a column; a column whose name no spec takes is left out."""
    given = {"csv": csv} if csv else {}

    def made(some: Sequence[str]) -> Spec:
        features = {f"f{at}": {**feature, "column": name} for at, name in enumerate(some)}
        return parse({"name": "nasty", "features": features, **given})

    try:
        return made(names)
    except SpecError:
        fit = []
        for name in names:
            with contextlib.suppress(SpecError):
                made([name])
                fit.append(name)
        return made(fit or ["x"])


def _read_all(path: Path, spec: Spec, **cut: int) -> Read:
    """Reads a file's rows; every record must be among them or the rejections, once."""
    result = Read()
    for unit in plan([str(path)], spec, **cut):
        for rows in rows_of(unit, spec):
            columns = [column.to_pylist() for column in rows.columns.columns]
            result.read += rows.read
            if rows.read != len(rows.numbers) + len({entry.row for entry in rows.rejected}):
                raise FoundError(
                    "UNCOUNTED",
                    "read",
                    f"{rows.read} read, {len(rows.numbers)} kept, {len(rows.rejected)} rejected",
                )
            for number, *values in zip(rows.numbers.tolist(), *columns, strict=True):
                if number in result.values:
                    raise FoundError("UNCOUNTED", "read", f"row {number} twice")
                result.values[number] = tuple(values)
            for entry in rows.rejected:
                result.reasons[entry.row] = (entry.column, entry.reason)
                if not entry.reason.strip():
                    raise FoundError(
                        "UNCLEAR", "read", f"row {entry.row} rejected without a reason"
                    )
            if result.read > MOST_RECORDS:
                return result
    numbers = sorted([*result.values, *result.reasons])
    if numbers != list(range(1, result.read + 1)):
        raise FoundError(
            "UNCOUNTED", "read", f"{result.read} records, numbered {numbers[:5]} … {numbers[-3:]}"
        )
    return result


def _kinds(reasons: dict[int, Any]) -> dict[int, str]:
    """A number of a tf.Example is shown as text where its neighbours are of another kind."""
    return {number: repr(reason).split(", got ")[0] for number, reason in reasons.items()}


def _same(one: Read, other: Read, level: str) -> None:
    # repr(): NaN is NaN.
    for what, first, second in (
        ("row", one.values, other.values),
        ("rejection", _kinds(one.reasons), _kinds(other.reasons)),
    ):
        for number in sorted({*first, *second}):
            if repr(first.get(number)) != repr(second.get(number)):
                raise FoundError(
                    "DIFFERS",
                    level,
                    f"{what} {number}: whole {first.get(number)!r:.300}, in pieces {second.get(number)!r:.300}",
                )


@contextlib.contextmanager
def small_batches(rows: int = 2) -> Iterator[None]:
    """Cuts batches after so many rows: which rows stand together must not matter."""
    limits = [
        (csv_reader, "MAX_BATCH_ROWS", rows),
        (jsonl_reader, "MAX_BATCH_ROWS", rows),
        (parquet_reader, "BATCH_ROWS", rows),
        (tfrecord_reader, "BATCH_ROWS", rows),
    ]
    before = [getattr(module, name) for module, name, _ in limits]
    try:
        for module, name, value in limits:
            setattr(module, name, value)
        yield
    finally:
        for (module, name, _), value in zip(limits, before, strict=True):
            setattr(module, name, value)


def preprocess_alone(path: Path, family: str) -> Outcome:
    """Runs init and the whole of preprocess over one file."""
    import tempfile

    from skewless.beam_pipelines.preprocess import preprocess

    begin = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="nasty-") as folder, _level("preprocess", path):
            proposal, _ = guess_spec([str(path)])
            spec = parse(proposal.document)
            expected = _read_all(path, spec)
            rows = preprocess(spec, [str(path)], Path(folder) / "out", max_rejected=1.0).rows
        counted = (rows.read, rows.rejected)
        if counted != (expected.read, len(expected.reasons)):
            raise FoundError(
                "UNCOUNTED",
                "preprocess",
                f"{counted}, read alone {expected.read, len(expected.reasons)}",
            )
        kind = "rejected" if rows.rejected else "ok"
        outcome = Outcome(
            str(path), family, kind, "preprocess", read=rows.read, rejected=rows.rejected
        )
    except SkewlessError as error:
        outcome = Outcome(str(path), family, "refused", "preprocess", str(error))
    except FoundError as found:
        outcome = Outcome(str(path), family, found.kind, found.level, found.detail)
    return dataclasses.replace(outcome, seconds=round(time.monotonic() - begin, 3))
