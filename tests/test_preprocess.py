"""The batch job end to end, on the DirectRunner."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
import tensorflow as tf

from skewless.beam_pipelines.inspect_records import check_shards, meaning, records_in_words
from skewless.beam_pipelines.preprocess import preprocess
from skewless.schemas import parse
from skewless.schemas.errors import DatasetMismatchError, TooManyRejectedError, UsageError
from skewless.schemas.records.manifest import load_manifest
from skewless.schemas.records.records import KEY
from tests.conftest import SHOP, DataSet, shop_csv

ROOT = Path(__file__).parent.parent


def records_of(directory: Path) -> dict[str, Counter[bytes]]:
    """Returns the multiset of records of each split, their entries put in order."""
    manifest = load_manifest(directory)
    return {
        split: Counter(
            tf.train.Example.FromString(record.numpy()).SerializeToString(deterministic=True)
            for shard in entry.shards
            for record in tf.data.TFRecordDataset(
                str(directory / shard.path), "GZIP" if manifest.compression == "gzip" else ""
            )
        )
        for split, entry in manifest.splits.items()
    }


def test_leaves_what_the_contract_says(shop: DataSet) -> None:
    found = {path.name for path in shop.directory.iterdir()}
    assert found == {
        "train",
        "eval",
        "test",
        "transform",
        "schema.pbtxt",
        "spec.yaml",
        "statistics.json",
        "rejected",
        "raw",
        "manifest.json",
    }
    assert not list(shop.directory.parent.glob(".*partial*"))
    manifest = load_manifest(shop.directory)
    assert manifest.rows.read == manifest.rows.written == 400
    assert sum(entry.rows for entry in manifest.splits.values()) == 400
    assert (
        manifest.features["user"].cardinality == 2 + 2 + manifest.features["user"].vocabulary_size
    )
    assert manifest.features["price"].cardinality == 2 + 5
    assert manifest.features["text"].shape == (6,)
    assert check_shards(shop.directory) == []


def test_statistics_are_of_the_training_split(shop: DataSet) -> None:
    statistics = json.loads((shop.directory / "statistics.json").read_text())
    manifest = load_manifest(shop.directory)
    train = manifest.splits["train"].rows
    assert statistics["features"]["age"]["rows"] == train
    table = pa.parquet.read_table(shop.directory / "raw" / "eval")
    missing = table.column("age").null_count
    assert statistics["splits"]["eval"]["features"]["age"]["missing"] == missing > 0
    assert sum(statistics["splits"]["train"]["label_counts"]) == train


def test_records_read_in_words(shop: DataSet) -> None:
    record = next(iter(records_in_words(shop.directory, "train", 1)))
    row = int(record[KEY].removeprefix("r"))
    line = shop.source.read_text().splitlines()[1 + row]
    assert record["text"][1] in line
    assert meaning(shop.directory, "text", 0) == "(padding)"
    with pytest.raises(UsageError, match=r"expected an ID of user in \[0,"):
        meaning(shop.directory, "user", 10_000)


def test_same_records_from_any_cut_and_format(shop: DataSet, tmp_path: Path) -> None:
    """Many small files in another format and order leave the same records and vocabularies."""
    table = pa.csv.read_csv(
        shop.source, convert_options=pa.csv.ConvertOptions(strings_can_be_null=False)
    )
    for part in range(4):
        rows = [row for row in range(table.num_rows) if row % 4 == part]
        pa.parquet.write_table(
            table.take(rows), tmp_path / f"{9 - part}.parquet", row_group_size=17
        )
    preprocess(shop.spec, [str(tmp_path / "*.parquet")], tmp_path / "out", compression="gzip")
    assert records_of(tmp_path / "out") == records_of(shop.directory)
    for asset in (shop.directory / "transform/transform_fn/assets").iterdir():
        other = tmp_path / "out/transform/transform_fn/assets" / asset.name
        assert other.read_bytes() == asset.read_bytes()


@pytest.mark.slow
def test_two_workers_leave_the_same_records(shop: DataSet, tmp_path: Path) -> None:
    from skewless.beam_pipelines.running.local_runner import pipeline_options

    lines = shop.source.read_text().splitlines()
    for part in range(6):
        chunk = [lines[0], *lines[1 + part :: 6]]
        (tmp_path / f"{part}.csv").write_text("\n".join(chunk) + "\n")
    options = pipeline_options(["--direct_num_workers=2", "--direct_running_mode=multi_threading"])
    manifest = preprocess(shop.spec, [str(tmp_path / "*.csv")], tmp_path / "out", options=options)
    assert manifest.rows.read == manifest.rows.written == 400
    assert records_of(tmp_path / "out") == records_of(shop.directory)


def test_rejected_rows_are_kept_and_counted(tmp_path: Path) -> None:
    source = shop_csv(tmp_path / "shop.csv", rows=200)
    lines = source.read_text(encoding="utf-8").splitlines()
    lines[5] = (
        lines[5].replace(",5,", ",five,") if ",five," in lines[5] else _with(lines[5], "age", "old")
    )
    lines[6] = _with(lines[6], "rating", "")
    lines[7] += ",surplus"
    lines[8] = lines[9]
    data = "\n".join(lines).encode() + b"\nr999,\xff\xfe,u1,a,1,1,1,1,5,FR\n"
    source.write_bytes(data)
    manifest = preprocess(parse(SHOP), [str(source)], tmp_path / "out", max_rejected=0.05)
    rows = manifest.rows
    assert (rows.read, rows.rejected, rows.duplicate) == (201, 4, 1)
    assert rows.read == rows.written + rows.rejected + rows.duplicate
    entries = [
        json.loads(line)
        for path in (tmp_path / "out/rejected").iterdir()
        for line in path.read_text().splitlines()
    ]
    assert {(entry["row"], entry["column"]) for entry in entries} == {
        (5, "age"),
        (6, "rating"),
        (7, None),
        (201, "text"),
    }
    assert all(
        entry["file"] == str(source) and entry["reason"] and entry["raw"] for entry in entries
    )


def _with(line: str, column: str, value: str) -> str:
    import csv
    import io

    names = ["id", "text", "user", "tags", "age", "price", "v1", "v2", "rating", "country"]
    fields = next(csv.reader([line]))
    fields[names.index(column)] = value
    out = io.StringIO()
    csv.writer(out).writerow(fields)
    return out.getvalue().strip()


def test_too_many_rejected_rows_fail_and_stay_findable(tmp_path: Path) -> None:
    source = shop_csv(tmp_path / "shop.csv", rows=50)
    lines = source.read_text(encoding="utf-8").splitlines()
    lines[1:11] = [_with(line, "price", "cheap") for line in lines[1:11]]
    source.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(TooManyRejectedError, match=r"10 of 50 rows \(20.0%\).*\n +10  price: "):
        preprocess(parse(SHOP), [str(source)], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert len(list((tmp_path / "out.rejected").iterdir())) == 1


def test_a_finished_output_is_not_overwritten(shop: DataSet) -> None:
    before = records_of(shop.directory)
    with pytest.raises(UsageError, match="is finished already; add --overwrite"):
        preprocess(shop.spec, [str(shop.source)], shop.directory)
    assert records_of(shop.directory) == before


def test_a_fitted_transform_is_applied_unchanged(shop: DataSet, tmp_path: Path) -> None:
    other = shop_csv(tmp_path / "other.csv", rows=60, seed=9)
    manifest = preprocess(
        shop.spec, [f"eval={other}"], tmp_path / "out", transform=shop.directory / "transform"
    )
    assert manifest.transform_sha256 == load_manifest(shop.directory).transform_sha256
    assert manifest.splits["eval"].rows == 60


def test_a_transform_of_another_spec_is_refused(shop: DataSet, tmp_path: Path) -> None:
    spec = parse({**SHOP, "features": {"user": SHOP["features"]["user"]}})
    with pytest.raises(DatasetMismatchError, match="was fitted to another spec"):
        preprocess(
            spec, [str(shop.source)], tmp_path / "out", transform=shop.directory / "transform"
        )
