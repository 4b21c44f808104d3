"""Parquet: every type is read as its Python value says, or refused by name; sizes are bounded first."""

from __future__ import annotations

import base64
import contextlib
import datetime
import decimal
import io
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyarrow.parquet import encryption

from skewless.beam_pipelines.init import guess_spec
from skewless.beam_pipelines.init.sample import take_sample
from skewless.beam_pipelines.rows.read_rows import rows_of
from skewless.beam_pipelines.sources import plan, read
from skewless.beam_pipelines.sources.formats.parquet_encryption import (
    _Compact,
    _holds,
    has_encrypted_columns,
)
from skewless.beam_pipelines.sources.formats.parquet_reader import open_parquet
from skewless.schemas.errors import DataError
from skewless.schemas.spec.spec import Spec, parse

DAY = datetime.date(2024, 2, 29)
NOON = datetime.datetime(2024, 2, 29, 12, 30, 0, 250_000)
SCALARS: dict[str, pa.Array] = {
    "text": pa.array(["a", "", None, "é"]),
    "large_text": pa.array(["a", "b", None, "c"], pa.large_string()),
    "view": pa.array(["a", "b", None, "a long enough text"], pa.string_view()),
    "codes": pa.array(["a", "b", None, "a"]).dictionary_encode(),
    "number_codes": pa.array([5, 7, None, 5]).dictionary_encode(),
    "bytes": pa.array([b"a", "é".encode(), None, b""], pa.binary()),
    "fixed_bytes": pa.array([b"ab", b"cd", None, b"ef"], pa.binary(2)),
    "flag": pa.array([True, False, None, True]),
    "tiny": pa.array([-128, 127, None, 0], pa.int8()),
    "large": pa.array([2**53 + 1, -(2**63), None, 2**63 - 1], pa.int64()),
    "unsigned": pa.array([2**53 + 1, 2**64 - 1, None, 0], pa.uint64()),
    "half": pa.array(np.array([0.5, 2.0, 65504.0, -0.25], np.float16)),
    "single": pa.array([0.1, 2.0, None, 1e30], pa.float32()),
    "double": pa.array([0.1, 2.0, None, 1e-300]),
    "price": pa.array([decimal.Decimal("1.50"), decimal.Decimal("-2.00"), None, decimal.Decimal(0)]),
    "day": pa.array([DAY, datetime.date(1, 1, 1), None, datetime.date(9999, 12, 31)]),
    "time": pa.array([NOON.time(), datetime.time(0), None, datetime.time(23, 59, 59)]),
    "moment": pa.array([NOON, datetime.datetime(1969, 12, 31), None, NOON], pa.timestamp("us")),
    "there": pa.array([NOON, NOON, None, NOON], pa.timestamp("us", "Asia/Kolkata")),
    "lasting": pa.array([datetime.timedelta(hours=30), datetime.timedelta(0), None, None]),
    "nothing": pa.nulls(4),
}  # fmt: skip
LISTS: dict[str, pa.Array] = {
    "list": pa.array([["a", "b"], None, [], [None, "c"]]),
    "large_list": pa.array([[1, 2], None, [], [3]], pa.large_list(pa.int64())),
    "pair": pa.array([[1, 2], [7, 8], [3, None], [5, 6]], pa.list_(pa.int32(), 2)),
    "list_of_codes": pa.array([["a"], None, ["b", "a"], []], pa.list_(pa.dictionary(pa.int32(), pa.string()))),
    "list_of_days": pa.array([[DAY], None, [DAY, None], []]),
}  # fmt: skip
NESTED: dict[str, pa.Array] = {
    "object": pa.array([{"a": 1}, None, {"a": 2}, {"a": 3}]),
    "map": pa.array([[("k", 1)], None, [], [("k", 2)]], pa.map_(pa.string(), pa.int32())),
    "lists": pa.array([[[1], [2]], None, [], [[3]]]),
    "objects": pa.array([[{"a": 1}], None, [], []]),
}


def said(value: Any) -> str | None:
    """Returns what a Python value is as text: whole numbers without a fraction, times by ISO 8601."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, (float, decimal.Decimal, np.floating)):
        whole = value == int(value) and abs(float(value)) < 1e15
        return str(int(value)) if whole else str(value).rstrip("0") if isinstance(value, decimal.Decimal) else str(value)  # fmt: skip
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def spec_of(columns: dict[str, dict[str, Any]], **more: Any) -> Spec:
    features = {f"f_{name}": {**kind, "column": name} for name, kind in columns.items()}
    return parse({"name": "t", "features": features, **more})


def stored(folder: Path, columns: dict[str, pa.Array], **options: Any) -> str:
    path = folder / "x.parquet"
    pq.write_table(pa.table(columns), path, **options)
    return str(path)


def values(path: str, spec: Spec) -> dict[str, list[Any]]:
    (unit,) = plan([path], spec)
    (rows,) = rows_of(unit, spec)
    assert not rows.rejected, rows.rejected
    return rows.columns.to_pydict()


def test_each_scalar_is_its_python_value(tmp_path: Path) -> None:
    path = stored(tmp_path, SCALARS)
    got = values(path, spec_of({name: {"type": "categorical"} for name in SCALARS}))
    for name, array in SCALARS.items():
        narrow = {"half": np.float16, "single": np.float32}.get(name)
        wanted = [v if v is None or narrow is None else narrow(v) for v in array.to_pylist()]
        assert got[name] == [said(value) for value in wanted], name


def test_each_number_is_its_python_value(tmp_path: Path) -> None:
    names = (
        "flag",
        "tiny",
        "large",
        "unsigned",
        "half",
        "single",
        "double",
        "price",
        "number_codes",
    )
    path = stored(tmp_path, {name: SCALARS[name] for name in names})
    got = values(path, spec_of({name: {"type": "numeric"} for name in names}))
    for name in names:
        wanted = [None if v is None else float(np.float32(v)) for v in SCALARS[name].to_pylist()]
        assert got[name] == wanted, name
    whole = ("flag", "tiny", "large", "number_codes")
    got = values(path, spec_of({n: {"type": "categorical", "dtype": "int64"} for n in whole}))
    for name in whole:
        assert got[name] == [None if v is None else int(v) for v in SCALARS[name].to_pylist()]


def test_each_list_is_its_python_values(tmp_path: Path) -> None:
    path = stored(tmp_path, LISTS)
    got = values(path, spec_of({name: {"type": "categorical", "length": 4} for name in LISTS}))
    for name, array in LISTS.items():
        for row, items in zip(got[name], array.to_pylist(), strict=True):
            assert row == (None if items is None else [said(v) for v in items if v is not None]), (
                name
            )


def test_whole_numbers_beyond_64_bits_reject_their_row(tmp_path: Path) -> None:
    path = stored(tmp_path, {"unsigned": SCALARS["unsigned"]})
    spec = spec_of({"unsigned": {"type": "categorical", "dtype": "int64"}})
    (unit,) = plan([path], spec)
    (rows,) = rows_of(unit, spec)
    assert rows.columns.to_pydict()["unsigned"] == [2**53 + 1, None, 0]
    assert [(bad.row, bad.column) for bad in rows.rejected] == [(2, "unsigned")]
    assert str(2**64 - 1) in rows.rejected[0].reason


@pytest.mark.parametrize("name", NESTED)
def test_what_nests_is_refused_by_name_where_it_is_read(name: str, tmp_path: Path) -> None:
    path = stored(tmp_path, {"a": SCALARS["text"], name: NESTED[name]})
    with pytest.raises(
        DataError, match=f"x.parquet: column '{name}' holds .* take it out of the spec"
    ):
        plan([path], spec_of({name: {"type": "categorical", "length": 2}}))
    # Beside what is read it plays no part, but for knowing rows without a key.
    assert values(path, spec_of({"a": {"type": "categorical"}}))["a"] == ["a", "", None, "é"]
    sample = take_sample([path])
    if name == "object":
        assert sample.columns["object.a"].to_pylist() == ["1", None, "2", "3"]
    else:
        assert name in sample.unreadable


def test_init_tells_what_becomes_of_every_type(tmp_path: Path) -> None:
    columns = {
        name: pa.concat_arrays([array] * 15)
        for name, array in (SCALARS | LISTS | NESTED).items()
        if name != "nothing"
    }
    columns["uuid"] = pa.array(
        [uuid.uuid5(uuid.NAMESPACE_DNS, str(n)).bytes for n in range(60)], pa.binary(16)
    )
    columns["beyond"] = pa.array([2**40] * 60, pa.timestamp("s"))
    columns["on_mars"] = pa.array([1] * 60, pa.timestamp("s", "Mars/Base"))
    path = stored(tmp_path, columns)
    proposal, _ = guess_spec([path])
    told = {guess.column: guess.kind for guess in (*proposal.features.values(), *proposal.omitted)}
    assert set(told) == {"object.a" if name == "object" else name for name in columns}
    assert {name for name, kind in told.items() if kind == "unreadable"} == {
        *NESTED.keys() - {"object"}, "uuid", "beyond", "on_mars",
    }  # fmt: skip
    values(path, parse(proposal.document))


def test_a_column_that_arrow_cannot_decode_is_named(tmp_path: Path) -> None:
    gaps = pa.array([[1, 2], None, [3, 4], [5, 6]] * 15, pa.list_(pa.int32(), 2))
    path = stored(tmp_path, {"a": pa.array(list(range(60))), "gaps": gaps})
    (unit,) = plan([path], spec_of({"a": {"type": "numeric"}}, key="a"))
    with pytest.raises(
        DataError, match=r"x\.parquet: .* column 'gaps' cannot .* write plain lists"
    ):
        list(read(unit, spec_of({"gaps": {"type": "categorical", "length": 2}}, key="a")))
    sample = take_sample([path])
    assert list(sample.columns) == ["a"]
    assert "write plain lists" in sample.unreadable["gaps"]


HUGE = 24 << 20


def huge(folder: Path, column: pa.Array) -> str:
    columns = {"id": pa.array(["r1", "r2"]), "small": pa.array([1, 2]), "large": column}
    return stored(folder, columns, compression="zstd", compression_level=1)


@pytest.mark.parametrize("kind", ["text", "map", "list"])
def test_a_column_that_is_not_read_is_not_decoded(kind: str, tmp_path: Path) -> None:
    texts = ["x" * HUGE, "y" * HUGE]
    column = {
        "text": lambda: pa.array(texts),
        "map": lambda: pa.array([[(t, 1)] for t in texts], pa.map_(pa.string(), pa.int32())),
        "list": lambda: pa.array([[t] for t in texts]),
    }[kind]()
    path = huge(tmp_path, column)
    assert Path(path).stat().st_size < 1 << 20
    spec = spec_of({"small": {"type": "numeric"}}, key="id")
    before = pa.default_memory_pool()
    counted = pa.proxy_memory_pool(before)
    pa.set_memory_pool(counted)
    try:
        assert values(path, spec)["small"] == [1.0, 2.0]
        sample = take_sample([path])
        for refused in (
            {"large": {"type": "categorical", "length": 2}},
            {"small": {"type": "numeric"}},
        ):
            with pytest.raises(DataError, match=r"x\.parquet: column 'large'") as error:
                plan([path], spec_of(refused, **({"key": "id"} if "large" in refused else {})))
            assert ("declare a `key`" in str(error.value)) == ("small" in refused)
    finally:
        pa.set_memory_pool(before)
    assert "large" in sample.unreadable
    assert list(sample.columns) == ["id", "small"]
    assert counted.max_memory() < HUGE


def test_batches_of_long_values_have_few_rows(tmp_path: Path) -> None:
    texts = [chr(97 + row % 26) * (1 << 20) for row in range(100)]
    path = stored(tmp_path, {"large": pa.array(texts)}, compression="zstd", use_dictionary=False)
    spec = spec_of({"large": {"type": "text", "length": 2}})
    (unit,) = plan([path], spec)
    sizes = [len(batch.rows) for batch in read(unit, spec)]
    assert sum(sizes) == 100
    assert max(sizes) <= 64


def test_a_footer_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    """As fuzzed files have it: the rows of the whole are not those of its row groups."""
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"a": list(range(24))}), path, compression="none")
    raw = path.read_bytes()
    length = int.from_bytes(raw[-8:-4], "little")
    footer = raw[-8 - length : -8]
    # FileMetaData's num_rows is Thrift's field 3, an i64: its header 0x16, then 24 as a zigzag varint.
    place = footer.index(b"\x16" + bytes([48]))
    damaged = footer[: place + 1] + bytes([46]) + footer[place + 2 :]
    path.write_bytes(raw[: -8 - length] + damaged + raw[-8:])
    with (
        pytest.raises(DataError, match="its footer says 23 rows, its row groups 24"),
        open_parquet(str(path)),
    ):
        pass


def test_row_groups_that_hold_fewer_rows_than_they_say_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(
        pa.table({"a": list(range(24))}), path, compression="none", write_statistics=False
    )
    raw = path.read_bytes()
    length = int.from_bytes(raw[-8:-4], "little")
    footer = raw[-8 - length : -8]
    # ColumnMetaData's num_values, the second 24 of the footer, made none.
    place = footer.index(b"\x16" + bytes([48]), footer.index(b"\x16" + bytes([48])) + 1)
    damaged = footer[: place + 1] + bytes([0]) + footer[place + 2 :]
    path.write_bytes(raw[: -8 - length] + damaged + raw[-8:])
    spec = spec_of({"a": {"type": "numeric"}})
    (unit,) = plan([str(path)], spec)
    with pytest.raises(DataError, match="say that they hold 24 rows, and hold 0"):
        list(read(unit, spec))


class _Keys(encryption.KmsClient):
    """Wraps a key by nothing: what is tested is who has none."""

    def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> bytes:
        return base64.b64encode(key_bytes)

    def unwrap_key(self, wrapped_key: bytes, master_key_identifier: str) -> bytes:
        return base64.b64decode(wrapped_key)


def test_encrypted_columns_behind_a_plain_footer_are_refused(tmp_path: Path) -> None:
    """pyarrow ends the process when it is asked for such a column's size."""
    table = pa.table({"a": list(range(24)), "secret": [f"s{at}" for at in range(24)]})
    config = encryption.EncryptionConfiguration(
        footer_key="footer", column_keys={"column": ["secret"]}, plaintext_footer=True
    )
    factory = encryption.CryptoFactory(lambda _: _Keys())
    keys = factory.file_encryption_properties(encryption.KmsConnectionConfig(), config)
    for properties, groups in ((keys, 24), (keys, 5), (None, 5)):
        path = tmp_path / f"{groups}-{properties is None}.parquet"
        pq.write_table(table, path, encryption_properties=properties, row_group_size=groups)
        if properties is None:
            with open_parquet(str(path)):
                continue
        with pytest.raises(DataError, match="columns of it are encrypted"), open_parquet(str(path)):
            pass


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.sampled_from(["int64", "string", "bool", "list", "map", "struct"]), min_size=1, max_size=6),
    st.integers(0, 20),
)  # fmt: skip
def test_any_plain_footer_is_walked_to_its_end(kinds: list[str], rows: int) -> None:
    values = {
        "int64": 1, "string": "a", "bool": True, "list": [1], "map": [("a", 1)], "struct": {"a": 1},
    }  # fmt: skip
    types = {"map": pa.map_(pa.string(), pa.int64())}
    table = pa.table(
        {
            f"{kind}{at}": pa.array([values[kind]] * rows, types.get(kind))
            for at, kind in enumerate(kinds)
        }
    )
    written = io.BytesIO()
    pq.write_table(table, written, row_group_size=7)
    raw = written.getvalue()
    footer = _Compact(raw[-8 - int.from_bytes(raw[-8:-4], "little") : -8])
    assert not _holds(footer, (4, 1, 8))
    assert footer._at == len(footer._data)


@given(
    st.lists(
        st.one_of(
            st.sampled_from([b"\x1c\x1c", b"\x19\x1c", b"\x4c", b"\x00"]), st.binary(max_size=4)
        ),
        max_size=12,
    )
)
@example([b"\x1c\x1c" * 3_000])
@example([b"\x4c\x19\xfc\xff\xff"])
def test_a_footer_of_any_bytes_is_walked_or_said_to_be_damaged(parts: list[bytes]) -> None:
    footer = b"".join(parts)
    with contextlib.suppress(ValueError):
        has_encrypted_columns(io.BytesIO(footer + len(footer).to_bytes(4, "little") + b"PAR1"))


def test_a_footer_ends_where_pyarrow_says_that_it_does(tmp_path: Path) -> None:
    path = tmp_path / "odd.parquet"
    pq.write_table(pa.table({"a": [1, 2]}), path)
    raw = path.read_bytes()
    length = int.from_bytes(raw[-8:-4], "little")
    # An end with a delta, and what looks like a value that is cut off behind it.
    footer = raw[-8 - length : -9] + b"\x30\x1c\x1c\xf9\xfc\xff"
    path.write_bytes(raw[: -8 - length] + footer + len(footer).to_bytes(4, "little") + b"PAR1")
    with open_parquet(str(path)) as file:
        assert file.read().to_pydict() == {"a": [1, 2]}
