"""Times: texts and numbers to microseconds and parts, as Python's datetime has them."""

from __future__ import annotations

import json
import re
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from skewless.beam_pipelines.init.features import guess_feature
from skewless.beam_pipelines.init.profile import profile
from skewless.beam_pipelines.inspect_records import meaning
from skewless.beam_pipelines.transform.numeric import NumericConstants
from skewless.model.exported.transform import Transform
from skewless.schemas import parse
from skewless.schemas.errors import SpecError
from skewless.schemas.rows.canonical import canonical
from skewless.schemas.rows.json_rows import canonical_rows
from skewless.schemas.rows.raw_columns import raw_columns, served_columns
from skewless.schemas.rows.row_encoding import sparse_tensors
from skewless.schemas.rows.times.calendar import part_of
from skewless.schemas.rows.times.entries import time_numbers
from skewless.schemas.rows.times.parsing import NO_TIME, parse_times
from skewless.schemas.rows.times.words import part_word
from skewless.schemas.spec.kinds.timestamp import PART_SIZES, TimestampFeature
from tests.transform_rows import transform_rows

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
ZONES = st.one_of(
    st.none(),
    st.integers(-86_399, 86_399).map(lambda seconds: timezone(timedelta(seconds=seconds))),
    st.integers(-23, 23).map(lambda hours: timezone(timedelta(hours=hours))),
)
MOMENTS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999_999))


def micros(moment: datetime) -> int:
    """Returns microseconds since 1970, a moment without a zone being UTC."""
    moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return (moment - EPOCH) // timedelta(microseconds=1)


LOWEST, HIGHEST = micros(datetime(1, 1, 1)), micros(datetime(9999, 12, 31, 23, 59, 59, 999_999))


def parsed(*texts: str, unit: str = "auto") -> list[int]:
    """Returns what texts are read as."""
    return parse_times(tf.constant(list(texts)), unit).numpy().tolist()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(MOMENTS, ZONES), min_size=1, max_size=50), st.sampled_from("T t"))
@example([(datetime(1, 1, 1), timezone(timedelta(hours=14)))], "T")
def test_iso_texts_are_read_as_datetime_reads_them(moments: list, parting: str) -> None:
    moments = [moment.replace(tzinfo=zone) for moment, zone in moments]
    wanted = [micros(moment) for moment in moments]
    wanted = [value if LOWEST <= value <= HIGHEST else NO_TIME for value in wanted]
    assert parsed(*(moment.isoformat(sep=parting) for moment in moments)) == wanted


@settings(max_examples=40, deadline=None)
@given(st.lists(MOMENTS, min_size=1, max_size=50))
def test_parts_are_those_of_datetime(moments: list[datetime]) -> None:
    times = tf.constant([micros(moment) for moment in moments], tf.int64)
    wanted = {
        "second": lambda at: at.second,
        "minute": lambda at: at.minute,
        "hour": lambda at: at.hour,
        "weekday": lambda at: at.weekday(),
        "day": lambda at: at.day - 1,
        "week": lambda at: at.isocalendar().week - 1,
        "yearday": lambda at: at.timetuple().tm_yday - 1,
        "month": lambda at: at.month - 1,
        "quarter": lambda at: (at.month - 1) // 3,
    }
    for part, size in PART_SIZES.items():
        found = part_of(part, times).numpy().tolist()
        assert found == [wanted[part](moment) for moment in moments], part
        assert all(0 <= value < size and part_word(part, value) for value in found)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(LOWEST, HIGHEST), min_size=1, max_size=50))
@example([0, -1, 1, LOWEST, HIGHEST])
def test_numbers_are_read_in_each_unit(times: list[int]) -> None:
    def decimal(value: int, digits: int) -> str:
        whole, rest = divmod(abs(value), 10**digits)
        return f"{'-' if value < 0 else ''}{whole}.{rest:0{digits}d}"

    assert parsed(*(decimal(value, 6) for value in times), unit="s") == times
    assert parsed(*(decimal(value, 3) for value in times), unit="ms") == times
    assert parsed(*map(str, times), unit="us") == times
    small = [value for value in times if abs(value) < 9 * 10**14]
    if small:
        assert parsed(*(f"{value}000" for value in small), unit="ns") == small
    # As a JSON or Parquet double prints.
    seconds = [value // 10**6 for value in times]
    doubles = parsed(*(f"{value:.17e}" for value in seconds), unit="s")
    assert doubles == [value * 10**6 for value in seconds]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-01", datetime(2026, 3, 1)),
        ("2024-02-29T23", datetime(2024, 2, 29, 23)),
        ("2026-03-01 12:30", datetime(2026, 3, 1, 12, 30)),
        ("2026-03-01 12:30:15 UTC", datetime(2026, 3, 1, 12, 30, 15)),
        ("2026-03-01 12:30:15 +0200", datetime(2026, 3, 1, 10, 30, 15)),
        ("2026-03-01T12:30:15,123456789Z", datetime(2026, 3, 1, 12, 30, 15, 123_456)),
        ("20260301T123015Z", datetime(2026, 3, 1, 12, 30, 15)),
        ("1772368215", datetime(2026, 3, 1, 12, 30, 15)),
        ("1772368215.25", datetime(2026, 3, 1, 12, 30, 15, 250_000)),
        ("1772368215000", datetime(2026, 3, 1, 12, 30, 15)),
        ("1772368215000000", datetime(2026, 3, 1, 12, 30, 15)),
        ("1772368215000000999", datetime(2026, 3, 1, 12, 30, 15)),
        ("1.772368215e+18", datetime(2026, 3, 1, 12, 30, 15)),
        ("-1", datetime(1969, 12, 31, 23, 59, 59)),
    ],
)
def test_other_ways_of_writing_a_time(text: str, moment: datetime) -> None:
    assert parsed(text) == [micros(moment)]


@pytest.mark.parametrize(
    "text",
    [
        "", "yesterday", "2026-3-1x", "2026-13-01", "2026-00-10", "2026-02-29", "2100-02-29",
        "2026-03-01T24:00", "2026-03-01T10:60", "2026-03-01T10:00:60", "0000-01-01",
        "10000-01-01", "2026-03-01T10:00+24:00", "2026-03-01Z", "12:30", "01/03/2026", "1e400", "nan",
        "-1e20", "٢٠٢٦-٠٣-٠١", "9" * 30, "+", ".", "2026-03-01T10:00\n",
    ],
)  # fmt: skip
def test_what_is_no_time(text: str) -> None:
    assert parsed(text) == [NO_TIME]


# As `strftime` writes them, whose zeros in front may be left out.
DATES = {
    "month_first": ("%m/%d/%Y", "%m-%d-%Y %H:%M", "%m/%d/%y %I:%M:%S %p", "%b %d, %Y", "%B %d %Y"),
    "day_first": ("%d.%m.%Y", "%d/%m/%y", "%d-%m-%Y %H:%M:%S", "%d-%b-%Y", "%d %B %Y, %I:%M %p"),
    "year_first": ("%Y/%m/%d", "%Y%m%d", "%Y.%m.%d %H:%M", "%Y-%m-%d %I:%M:%S %p", "%Y-%m-%dT%H:%M"),
}  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.datetimes(datetime(1969, 1, 1), datetime(2068, 12, 31)), min_size=1, max_size=20),
    st.sampled_from([(order, form) for order, forms in DATES.items() for form in forms]),
    st.booleans(),
)
@example(
    [datetime(2026, 3, 1), datetime(2026, 3, 1, 12, 30)], ("day_first", "%d %B %Y, %I:%M %p"), True
)
def test_dates_are_read_as_strptime_reads_them(
    moments: list[datetime], written: tuple[str, str], zeros: bool
) -> None:
    order, form = written
    texts = [moment.strftime(form) for moment in moments]
    if not zeros and form != "%Y%m%d" and "%y" not in form:
        texts = [re.sub(r"(?<![0-9:])0(?=[0-9])", "", text) for text in texts]
    wanted = [micros(datetime.strptime(text, form)) for text in texts]
    assert parsed(*texts, unit=order) == wanted


@pytest.mark.parametrize(
    ("order", "text"),
    [
        ("month_first", "13/1/2026"), ("day_first", "1/13/2026"), ("day_first", "29/2/2025"),
        ("month_first", "2026/1/31"), ("year_first", "1/31/2026"), ("month_first", "1/2"),
        ("month_first", "1/31/2026 13:00 PM"), ("month_first", "1/31/2026 0:10 AM"), ("year_first", "2026"),
        ("month_first", "1772368215"), ("day_first", "31 Mai 2026"), ("month_first", "1/31/2026 24:00"),
    ],
)  # fmt: skip
def test_what_is_no_date_of_an_order(order: str, text: str) -> None:
    assert parsed(text, unit=order) == [NO_TIME]
    # ISO 8601 is a date of any.
    assert parsed("2026-03-01T00:00+01:00", unit=order) == [micros(datetime(2026, 2, 28, 23))]


def test_a_value_does_not_depend_on_those_beside_it() -> None:
    texts = ["2026-03-01", "", "1e400", "1772368215", "x" * 1_000, "-5.5", "0001-01-01T00:00+01:00"]
    assert parsed(*texts) == [parsed(text)[0] for text in texts]
    assert np.array(parsed(*texts))[[1, 2, 4, 6]].tolist() == [NO_TIME] * 4


def read_as_times(values: pa.Array, **declared: object) -> tuple[pa.Array, dict[int, str]]:
    """Returns canonical values and faults of a column that a timestamp reads."""
    spec = parse({"name": "t", "features": {"at": {"type": "timestamp"}}, **declared})
    return canonical(values, raw_columns(spec)["at"], spec)


@pytest.mark.parametrize(
    ("values", "kind", "moment"),
    [
        ([date(1899, 12, 31)], pa.date32(), datetime(1899, 12, 31)),
        ([date(2026, 3, 1)], pa.date64(), datetime(2026, 3, 1)),
        ([datetime(2026, 3, 1, 12, 30, 15)], pa.timestamp("s"), datetime(2026, 3, 1, 12, 30, 15)),
        ([-1], pa.timestamp("ns"), datetime(1969, 12, 31, 23, 59, 59, 999_999)),
        ([0], pa.timestamp("ns", "Europe/Paris"), datetime(1970, 1, 1)),
        ([1_772_368_215], pa.int64(), datetime(2026, 3, 1, 12, 30, 15)),
        ([1_772_368_215.25], pa.float64(), datetime(2026, 3, 1, 12, 30, 15, 250_000)),
        ([1_772_368_215_000_000_000.0], pa.float64(), datetime(2026, 3, 1, 12, 30, 15)),
        ([Decimal("1772368215.25")], pa.decimal128(12, 2), datetime(2026, 3, 1, 12, 30, 15, 250_000)),
    ],
)  # fmt: skip
def test_arrow_values_are_read_natively(values: list, kind: pa.DataType, moment: datetime) -> None:
    texts, faults = read_as_times(pa.array([*values, None], kind))
    assert not faults and texts[1].as_py() is None
    assert parsed(texts[0].as_py()) == [micros(moment)]


def test_a_bad_time_is_a_fault_with_its_remedy_and_a_missing_one_is_none() -> None:
    values = pa.array(["2026-02-29", " 2026-03-01 ", "-", "", None, "noon"])
    _, faults = read_as_times(values, missing_values=["-"])
    assert sorted(faults) == [0, 5]
    assert "got '2026-02-29'; write it so, or name it in missing_values" in faults[0]
    assert "ISO 8601" in faults[5]
    _, faults = read_as_times(pa.array([time(12, 30)]))
    assert "got '12:30:00'" in faults[0]


def test_a_trend_ends_where_the_training_rows_do() -> None:
    feature = TimestampFeature(parts=(), trend=True)
    of_days = (np.array([value], np.float32) for value in (15.0, 2.0, 10.0, 20.0, 15.0))
    spread = NumericConstants(*of_days, np.zeros((1, 0), np.float32))
    day = 86_400_000_000
    # Counted from 2000 on.
    times = tf.constant([[(10_957 + at) * day] for at in (0, 10, 17, 20, 99)], tf.int64)
    found = time_numbers(feature, times, spread)[:, 0]
    np.testing.assert_allclose(found, [-2.5, -2.5, 1.0, 2.5, 2.5])


def test_records_hold_parts_ages_and_the_trend(tmp_path: Path) -> None:
    first = datetime(2026, 3, 1, 12, 30)
    times = [first, first + timedelta(days=40, hours=5), first + timedelta(days=400)]
    features = {
        "at": {"type": "timestamp", "trend": True, "age_from": "seen", "indicator": True},
        "cycle": {"type": "timestamp", "column": "at", "parts": ["hour"], "cyclic": True},
        "age": {"type": "timestamp", "column": "at", "parts": [], "age_from": "newest"},
    }
    rows: list[dict[str, object]] = [
        {"k": str(place), "at": at.isoformat(), "seen": (at + timedelta(days=place)).timestamp()}
        for place, at in enumerate(times)
    ]
    rows += [{"k": "none"}, {"k": "bad", "at": "soon"}]
    rows[1]["at"] = micros(times[1]) // 1000
    rows[1]["seen"] = times[1].replace(tzinfo=timezone.utc).isoformat()
    rows[2]["seen"] = "2027-04-07T12:30:00Z"
    rows[0]["seen"] = "2026-03-01T12:30Z"
    features["us"] = {"type": "timestamp", "dates": "month_first", "parts": ["day"], "embedding": 4}
    rows[0]["us"], rows[1]["us"], rows[2]["us"] = "3/1/2026 1:30 PM", "2026-03-02", "Mar 3, 2026"
    rows += [{"k": "worse", "us": "31/3/2026"}]
    spec = parse({"name": "t", "key": "k", "features": features})
    found, manifest = transform_rows(spec, rows, tmp_path)
    assert manifest.rows.rejected == 2 and set(found) == {"0", "1", "2", "none"}
    assert manifest.features["at"].cardinality == 2 + 24 + 7 + 12
    assert [found[str(place)]["us"].tolist() for place in range(3)] == [[2], [3], [4]]
    for place, at in enumerate(times):
        ids = [2 + at.hour, 26 + at.weekday(), 33 + at.month - 1]
        assert found[str(place)]["at"].tolist() == ids
        angle = 2 * np.pi * at.hour / 24
        assert np.allclose(found[str(place)]["cycle"], [np.sin(angle), np.cos(angle)])
        age = np.log1p((times[2] - at) / timedelta(days=1)) / np.log1p(400)
        assert found[str(place)]["age"] == pytest.approx(age, abs=1e-4)
    days = np.array([(at - times[0]) / timedelta(days=1) for at in times])
    ages = np.log1p([0.0, 0.0, 2.0])
    for numbers, column in ((days, 0), (ages, 1)):
        scaled = (numbers - numbers.mean()) / numbers.std()
        in_records = [found[str(place)]["__numbers__at"][column] for place in range(3)]
        assert np.allclose(in_records, scaled, atol=1e-3)
    nothing = found["none"]
    assert nothing["at"].tolist() == [1, 1, 1] and nothing["cycle"].tolist() == [0, 0]
    assert nothing["__missing__at"] == 1 and nothing["__numbers__at"].tolist() == [0, 0]
    entry = json.loads((tmp_path / "out" / "statistics.json").read_text())["splits"]["train"]
    assert (entry["features"]["at"]["earliest"], entry["features"]["at"]["latest"]) == (
        "2026-03-01", "2027-04-05",
    )  # fmt: skip
    assert entry["features"]["at"]["missing"] == 1
    assert meaning(tmp_path / "out", "at", 2 + 24 + 6) == "weekday Sunday"
    # What a server makes of the raw values, by the graph alone.
    served = Transform(spec, tmp_path / "out" / "transform")
    raw = sparse_tensors(canonical_rows(rows[:4], spec), served_columns(spec))
    for name, values in served.of_sparse(raw, tf.constant(4, tf.int64)).items():
        for row, value in zip(rows[:4], values.numpy(), strict=True):
            assert np.array_equal(found[str(row["k"])][name], value), name


@pytest.mark.parametrize(
    ("declared", "text"),
    [
        ({"parts": []}, "expected 'parts', 'trend' or 'age_from'"),
        ({"parts": ["hour", "hour"]}, "expected each once"),
        ({"cyclic": True, "embedding": 4}, "no effect beside 'cyclic'"),
        ({"parts": [], "trend": True, "cyclic": True}, "'cyclic' needs 'parts'"),
        ({"parts": ["hours"]}, "features.at.parts"),
        ({"dates": "day_first", "unit": "ms"}, "'unit' has no effect beside 'dates'"),
        ({"dates": "mdy"}, "features.at.dates"),
    ],
)
def test_what_a_spec_may_not_say_of_a_time(declared: dict, text: str) -> None:
    with pytest.raises(SpecError, match=re.escape(text)):
        parse({"name": "t", "features": {"at": {"type": "timestamp", **declared}}})


@pytest.mark.parametrize(
    ("name", "values", "parts"),
    [
        ("born", [f"{1950 + place % 50}-0{1 + place % 9}-11" for place in range(90)], ["weekday", "month"]),
        ("opened", [f"2026-03-0{1 + place % 9}T{place % 24:02}:00Z" for place in range(90)], ["hour"]),
        ("opened", [f"2026-03-0{1 + place % 9}" for place in range(90)], []),
        ("created_utc", [str(1_400_000_000 + place * 600_000) for place in range(90)], ["hour", "weekday", "month"]),
        ("price", [str(1_400_000_000 + place * 600_000) for place in range(90)], None),
        ("created_at", [str(place * 600_000) for place in range(90)], None),
        ("day", [f"{1 + place % 12:02}/{1 + place % 11:02}/2026" for place in range(90)], None),
    ],
)  # fmt: skip
def test_init_proposes_times(name: str, values: list[str], parts: list[str] | None) -> None:
    guess = guess_feature(profile(name, pa.array(values), len(values), ()))
    if parts is None:
        assert guess.kind in ("number", "date", "near-unique")
    else:
        assert guess.feature == {"type": "timestamp", "parts": parts, "trend": True}
        parse({"name": "t", "features": {name: guess.feature}})


@pytest.mark.parametrize(
    ("form", "dates"),
    [
        ("%m/%d/%Y", "month_first"), ("%d.%m.%y %H:%M", "day_first"), ("%Y/%m/%d", "year_first"),
        ("%Y%m%d", "year_first"), ("%b %d %Y", "month_first"), ("%m/01/%Y", "month_first"), ("%m/01/2026 %p", None),
    ],
)  # fmt: skip
def test_init_tells_which_of_a_date_is_the_month(form: str, dates: str | None) -> None:
    days = [datetime(2019, 3, 1) + timedelta(days=3 * place) for place in range(300)]
    values = [day.strftime(form) for day in days]
    guess = guess_feature(profile("day", pa.array([*values, None]), len(values) + 1, ()))
    if dates is None:
        assert guess.kind in ("date", "category")
        return
    assert guess.kind == "time" and guess.feature is not None
    if "%b" not in form:
        assert guess.feature["dates"] == dates
    assert guess.feature["parts"][-1] == "month"
    # Numbers of eight digits that are no dates stay numbers.
    numbers = [str(20_190_000 + place * 37) for place in range(300)]
    assert guess_feature(profile("sold", pa.array(numbers), 300, ())).kind == "number"


def test_features_read_dates_of_a_column_in_one_order() -> None:
    def features(one: dict, other: dict) -> dict:
        return {
            "at": {"type": "timestamp", **one},
            "day": {"type": "timestamp", "column": "at", "parts": ["day"], **other},
        }

    parse({"name": "t", "features": features({"dates": "day_first"}, {"dates": "day_first"})})
    parse({"name": "t", "features": features({"unit": "s"}, {})})
    with pytest.raises(
        SpecError, match=r"features.day.dates: column 'at' is read by features.at in"
    ):
        parse({"name": "t", "features": features({"dates": "day_first"}, {})})
