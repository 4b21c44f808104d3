"""`inspect`: records in words, what an ID means, and damage found."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from skewless.beam_pipelines.inspect_records import check_shards, meaning, records_in_words, run
from skewless.cli import main
from skewless.schemas.errors import UsageError
from skewless.schemas.records.manifest import load_manifest
from skewless.schemas.records.records import KEY
from tests.conftest import DataSet
from tests.written_windows import WindowWriter


def vocabulary(shop: DataSet, name: str) -> list[str]:
    path = shop.directory / "transform" / "transform_fn" / "assets" / name
    return path.read_text(encoding="utf-8").splitlines()


def test_every_id_of_a_feature_means_what_the_contract_says(shop: DataSet) -> None:
    users = vocabulary(shop, "user")
    cardinality = load_manifest(shop.directory).features["user"].cardinality
    assert cardinality is not None
    assert [meaning(shop.directory, "user", value) for value in range(cardinality)] == [
        "(padding)",
        "(missing)",
        "(out of vocabulary, bucket 0 of 2)",
        "(out of vocabulary, bucket 1 of 2)",
        *users,
    ]
    assert meaning(shop.directory, "price", 3) == "(quantile bucket 1 of 5)"


@pytest.mark.parametrize(
    ("feature", "value", "message"),
    [
        ("usr", 3, r"expected a feature with IDs \(.*user\); did you mean 'user'"),
        ("age", 3, "expected a feature with IDs"),
        ("user", -1, r"expected an ID of user in \[0, "),
    ],
)
def test_what_has_no_meaning_is_refused(
    shop: DataSet, feature: str, value: int, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        meaning(shop.directory, feature, value)


def test_records_say_what_their_row_said(shop: DataSet) -> None:
    rows = {line.split(",")[0]: line for line in shop.source.read_text("utf-8").splitlines()[1:]}
    users = set(vocabulary(shop, "user"))
    shown = list(records_in_words(shop.directory, "eval", 1000))
    assert len(shown) == load_manifest(shop.directory).splits["eval"].rows
    for record in shown:
        row = rows[record[KEY]]
        user = row.split('",')[1].split(",")[0]
        if user in users:
            assert record["user"] == user
        else:
            unknown = "(missing)" if user == "?" else "(out of vocabulary, bucket"
            assert record["user"].startswith(unknown)
        assert "(padding)" not in record["text"]
        assert record["text"][:2] == [word.lower() for word in row.split('"')[1].split()[:2]]


def test_the_command_prints_counts_and_records(
    shop: DataSet, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([str(shop.directory), "--split", "test", "-n", "2"]) == 0
    shown = capsys.readouterr().out
    assert "400 read = 400 written + 0 rejected + 0 duplicate" in shown
    assert "all shards are as the manifest says" in shown
    assert shown.count("test record ") == 2
    assert run([str(shop.directory), "-n", "1", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert sum(document["splits"].values()) == document["rows"]["written"] == 400
    assert (len(document["records"]), document["problems"]) == (1, [])
    assert run([str(shop.directory), "--feature", "user", "--id", "0", "--json"]) == 0
    answer = {"feature": "user", "id": 0, "meaning": "(padding)"}
    assert json.loads(capsys.readouterr().out) == answer
    assert run([str(shop.directory), "--feature", "user"]) == 2
    assert "--feature and --id go together" in capsys.readouterr().err


def test_one_changed_byte_or_a_lost_shard_is_found(
    shop: DataSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "records"
    shutil.copytree(shop.directory, copy)
    entry = load_manifest(copy).splits
    train, test = copy / entry["train"].shards[0].path, copy / entry["test"].shards[0].path
    data = bytearray(train.read_bytes())
    data[-1] ^= 1
    train.write_bytes(data)
    test.unlink()
    assert check_shards(copy) == [
        f"{train.relative_to(copy)}: its bytes are not those the manifest names",
        f"{test.relative_to(copy)}: is missing",
    ]
    assert run([str(copy), "-n", "0"]) == 1
    assert "2 shards are damaged; preprocess again" in capsys.readouterr().err


def test_a_window_is_looked_at_as_records_are(
    shop: DataSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = WindowWriter(shop, tmp_path / "windows")
    window = tmp_path / "windows" / writer.pane(0, 3)
    late = tmp_path / "windows" / writer.pane(0, 2, pane=1)
    whole = list(records_in_words(shop.directory, "train", 5))
    found = [*records_in_words(window, "train", 9), *records_in_words(late, "train", 9)]
    assert found == whole
    assert meaning(late, "user", 3) == meaning(shop.directory, "user", 3)
    assert main(["inspect", str(window), "-n", "1"]) == 0
    assert "rows: 3 read = 3 written" in capsys.readouterr().out
    assert main(["inspect", str(window), "--split", "eval"]) == 2
    assert "--split eval: a window has no splits" in capsys.readouterr().err
    [shard] = late.glob("*.tfrecord")
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    assert len(check_shards(late)) == 1 and not check_shards(window)
