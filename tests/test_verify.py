"""The parity proof on a real data set and model: it holds, and it can fail."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tensorflow as tf

from skewless.beam_pipelines.preprocess import preprocess
from skewless.beam_pipelines.rows.read_rows import rows_of
from skewless.beam_pipelines.sources import plan
from skewless.model import verify as verify_command
from skewless.model.verify import RawRows, verify
from skewless.schemas import Spec, parse
from skewless.schemas.errors import DatasetMismatchError
from skewless.schemas.records.exported_files import load_description, write_description
from skewless.schemas.records.manifest import file_sha256
from tests.conftest import SHOP, DataSet, shop_csv


def whole(source: Path, spec: Spec) -> Callable[[], Iterator[RawRows]]:
    def rows() -> Iterator[RawRows]:
        for unit in plan([str(source)], spec):
            for batch in rows_of(unit, spec):
                yield RawRows(batch.keys, batch.columns)

    return rows


@pytest.fixture
def records(shop: DataSet, tmp_path: Path) -> Path:
    """A copy of the records that a test may spoil."""
    return Path(shutil.copytree(shop.directory, tmp_path / "records"))


@pytest.fixture
def model(shop_model: Path, tmp_path: Path) -> Path:
    """A copy of the model that a test may spoil."""
    return Path(shutil.copytree(shop_model, tmp_path / "served"))


def rewrite(records: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Changes the first test shard and makes the manifest agree, as careful tampering would."""
    manifest = json.loads((records / "manifest.json").read_text())
    entry = manifest["splits"]["test"]
    shard = entry["shards"][0]
    path = records / shard["path"]
    rows = change([record.numpy() for record in tf.data.TFRecordDataset(str(path))])
    with tf.io.TFRecordWriter(str(path)) as writer:
        for row in rows:
            writer.write(row)
    entry["rows"] += len(rows) - shard["rows"]
    shard |= {
        "rows": len(rows),
        "bytes": path.stat().st_size,
        "sha256": file_sha256(path),
    }
    (records / "manifest.json").write_text(json.dumps(manifest))


def test_holds_on_the_whole_input_and_on_the_sample(shop: DataSet, shop_model: Path) -> None:
    report = verify(shop_model, shop.directory, whole(shop.source, shop.spec))
    assert report.passed
    assert report.rows == report.matched == report.records == 400
    assert report.features == 7
    assert report.values == 400 * (6 + 1 + 3 + 1 + 1 + 1 + 2)
    sample = verify(shop_model, shop.directory)
    assert sample.passed
    assert 100 < sample.rows == sample.matched < 400


@pytest.mark.parametrize(
    ("entry", "list_name", "value"),
    [("user", "int64_list", 1), ("age", "float_list", 1e-3)],
)
def test_one_changed_value_in_one_record(
    shop: DataSet, shop_model: Path, records: Path, entry: str, list_name: str, value: float
) -> None:
    changed = {}

    def change(rows: list[bytes]) -> list[bytes]:
        example = tf.train.Example.FromString(rows[3])
        features = example.features.feature
        getattr(features[entry], list_name).value[0] += value
        changed["key"] = features["__key__"].bytes_list.value[0].decode()
        return [*rows[:3], example.SerializeToString(), *rows[4:]]

    rewrite(records, change)
    for rows in (None, whole(shop.source, shop.spec)):
        report = verify(shop_model, records, rows)
        assert not report.passed
        assert report.mismatches == 1
        (difference,) = report.differences
        assert (difference.key, difference.feature) == (changed["key"], entry)


def test_a_lost_and_a_doubled_record(shop: DataSet, shop_model: Path, records: Path) -> None:
    rewrite(records, lambda rows: rows[1:])
    report = verify(shop_model, records, whole(shop.source, shop.spec))
    assert (report.passed, report.mismatches) == (False, 1)
    assert not verify(shop_model, records).passed
    rewrite(records, lambda rows: [*rows, rows[0]])
    report = verify(shop_model, records, whole(shop.source, shop.spec))
    assert (report.passed, report.mismatches, report.unmatched_records) == (False, 1, 1)


def test_an_altered_vocabulary(
    shop: DataSet, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = model / "assets" / "user"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[1], lines[0], *lines[2:]]))
    code = verify_command.run([str(model), "--records", str(shop.directory)])
    assert code == 1
    told = capsys.readouterr().out
    assert "assets/user: is not the file that was exported" in told
    # The values tell as well, whatever the digests say.
    write_description(model, load_description(model))
    report = verify(model, shop.directory)
    assert (report.passed, report.altered) == (False, [])
    assert {difference.feature for difference in report.differences} == {"user"}


def test_an_altered_weight(shop: DataSet, model: Path) -> None:
    path = model / "variables" / "variables.data-00000-of-00001"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    try:
        report = verify(model, shop.directory)
    except DatasetMismatchError as error:
        assert "variables.data-00000-of-00001 not as exported" in str(error)
    else:
        assert (report.passed, report.altered) == (False, [f"variables/{path.name}"])


def test_a_missing_asset(shop: DataSet, model: Path) -> None:
    (model / "assets" / "tags").unlink()
    with pytest.raises(DatasetMismatchError, match="assets/tags not as exported"):
        verify(model, shop.directory)


def test_a_part_of_the_input_is_not_enough(shop: DataSet, shop_model: Path, tmp_path: Path) -> None:
    part = tmp_path / "part.csv"
    part.write_text("".join(shop.source.read_text().splitlines(keepends=True)[:101]))
    report = verify(shop_model, shop.directory, whole(part, shop.spec))
    assert (report.passed, report.matched, report.unmatched_records) == (False, 100, 300)
    assert "give --input all the files" in str(report)


@pytest.mark.slow
def test_records_of_another_transform(shop_model: Path, tmp_path: Path) -> None:
    source = shop_csv(tmp_path / "other.csv", rows=60, seed=2)
    preprocess(parse(SHOP), [str(source)], tmp_path / "other")
    with pytest.raises(DatasetMismatchError, match="export the run of these records"):
        verify(shop_model, tmp_path / "other")


def test_not_a_model(shop: DataSet, tmp_path: Path) -> None:
    with pytest.raises(DatasetMismatchError, match="expected what `skewless export` writes"):
        verify(tmp_path, shop.directory)


def test_raw_rows_are_gone(shop_model: Path, records: Path) -> None:
    shutil.rmtree(records / "raw")
    with pytest.raises(DatasetMismatchError, match="no raw rows are kept"):
        verify(shop_model, records)


def test_duplicates_and_rejected_rows(shop: DataSet, shop_model: Path, tmp_path: Path) -> None:
    """Rows that the job left out, for a reason it counted, are not taken for lost ones."""
    header, *lines = shop.source.read_text().splitlines()
    start, _, *rest = lines[5].rsplit(",", 6)
    changed = ",".join([start, "33", *rest])  # Another age; the first row of a key wins.
    unfit = lines[6].replace("r6,", "r900,", 1).rsplit(",", 2)[0] + ",,FR"
    source = tmp_path / "shop.csv"
    source.write_text("\n".join([header, *lines, changed, lines[7], unfit]) + "\n")
    manifest = preprocess(
        shop.spec, [str(source)], tmp_path / "records", transform=shop.directory / "transform"
    )
    assert (manifest.rows.duplicate, manifest.rows.rejected) == (2, 1)
    report = verify(shop_model, tmp_path / "records", whole(source, shop.spec))
    assert report.passed, report
    assert (report.rows, report.matched, report.duplicate) == (402, 400, 2)
