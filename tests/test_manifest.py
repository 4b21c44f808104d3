"""The manifest: what makes a directory a data set, and what its digests see."""

from __future__ import annotations

from pathlib import Path

import pytest

from skewless.schemas.errors import DatasetMismatchError
from skewless.schemas.records.layout import MANIFEST
from skewless.schemas.records.manifest import (
    FeatureEntry,
    Manifest,
    Rows,
    Shard,
    SplitEntry,
    file_sha256,
    load_manifest,
)

ENTRY = Manifest(
    spec_sha256="a",
    transform_sha256="b",
    rows=Rows(read=3, written=1, rejected=1, duplicate=1),
    splits={
        "train": SplitEntry(rows=1, bytes=9, shards=(Shard(path="p", rows=1, bytes=9, sha256="c"),))
    },
    features={"title": FeatureEntry(dtype="int64", shape=(4,), cardinality=9, vocabulary_size=6)},
)


def test_a_manifest_round_trips(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(ENTRY.model_dump_json())
    assert load_manifest(tmp_path) == ENTRY


def test_a_directory_without_one_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(DatasetMismatchError, match=r"no manifest\.json.*skewless preprocess"):
        load_manifest(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"version": 1, "surprise": 2}'])
def test_what_is_not_a_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(DatasetMismatchError, match="not a manifest of this version"):
        load_manifest(tmp_path)


def test_a_files_digest_is_sha256_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert file_sha256(tmp_path / "f").startswith("ba7816bf8f01cfea")
