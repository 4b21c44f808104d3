"""Inspecting a records directory, or a window of a stream: records in words, checksums, and what an ID means."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from skewless.beam_pipelines import arguments
from skewless.schemas.ending import run_module
from skewless.schemas.errors import DatasetMismatchError, UsageError, nearest
from skewless.schemas.records.id_contract import PADDING_ID
from skewless.schemas.records.id_words import IdWords
from skewless.schemas.records.layout import ASSETS, SPEC, TRANSFORM, TRANSFORM_FN
from skewless.schemas.records.manifest import Manifest, file_sha256, load_manifest
from skewless.schemas.records.records import KEY, parse_rows
from skewless.schemas.records.windows import load_pane, windows_directory
from skewless.schemas.spec.models.labels import label_path
from skewless.schemas.spec.spec import Spec, load
from skewless.schemas.storage.tables import is_table

__all__ = ["check_shards", "execute", "meaning", "records_in_words", "run"]


class _Words:
    """A records directory's spec and manifest, and what its IDs mean."""

    def __init__(self, directory: Path) -> None:
        # Of a window, spec and transform lie with all windows.
        root = windows_directory(directory) or directory
        self.spec: Spec = load(root / SPEC)
        self.manifest: Manifest = _manifest(directory)
        assets = root / TRANSFORM / TRANSFORM_FN / ASSETS
        self._words = IdWords(self.spec, self.manifest.features, assets)

    def of(self, name: str, value: int) -> str:
        """Returns what an ID of the feature `name`, or a class of the label, means."""
        return self._words.of(name, value).text


def _manifest(directory: str | Path) -> Manifest:
    if windows_directory(directory) is None:
        return load_manifest(directory)
    return load_pane(directory).as_records()


def meaning(directory: str | Path, feature: str, value: int) -> str:
    """Returns what an ID of a feature means.

    Raises:
      UsageError: If there is no such feature, it has no IDs, or the ID is beyond its range.
    """
    words = _Words(Path(directory))
    labels = {label_path(entry): entry for entry in words.spec.targets}
    feature = labels.get(feature, feature)
    entry = words.manifest.features.get(feature)
    if entry is None or (entry.dtype != "int64" and entry.cardinality is None):
        with_ids = [
            name for name, e in words.manifest.features.items() if e.cardinality is not None
        ]
        raise UsageError(
            f"--feature {feature}: expected a feature with IDs ({', '.join(sorted(with_ids))})"
            f"{nearest(feature, with_ids)}"
        )
    return words.of(feature, value)


def records_in_words(directory: str | Path, split: str, count: int) -> Iterator[dict[str, Any]]:
    """Yields the first `count` records of a split, IDs as words and padding left out.

    Raises:
      UsageError: If it is a window and the split is not `train`.
    """
    root = Path(directory)
    words = _Words(root)
    compression = "GZIP" if words.manifest.compression == "gzip" else ""
    if split not in words.manifest.splits:
        raise UsageError(
            f"--split {split}: a window has no splits, all of its rows train; leave it out"
        )
    files = [str(root / shard.path) for shard in words.manifest.splits[split].shards]
    if not files:
        return
    names = sorted(words.manifest.features, key=lambda entry: (entry != KEY, entry))
    rows = (
        tf.data.TFRecordDataset(files, compression)
        .batch(1)
        .map(lambda serialized: parse_rows(serialized, words.manifest, names))
        .unbatch()
    )
    for row in rows.take(count).as_numpy_iterator():
        yield {name: _in_words(words, name, row[name]) for name in names}


def _in_words(words: _Words, name: str, value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    label = words.spec.targets.get(name)
    if label is not None and label.names_classes and label.multivalued:
        return [words.of(name, int(place)) for place in np.flatnonzero(value)]
    if value.dtype.kind == "i":
        if value.ndim == 0:
            return words.of(name, int(value))
        return [words.of(name, int(item)) for item in value if item != PADDING_ID]
    if label is not None and np.isnan(value).all():
        return None  # One of several labels, which this row lacks.
    return value.tolist()


def check_shards(directory: str | Path) -> list[str]:
    """Returns what is wrong with the shards; nothing when every byte is the manifest's."""
    root = Path(directory)
    problems = []
    for split in _manifest(root).splits.values():
        for shard in split.shards:
            path = root / shard.path
            if not path.is_file():
                problems.append(f"{shard.path}: is missing")
                continue
            if file_sha256(path) != shard.sha256:
                problems.append(f"{shard.path}: its bytes are not those the manifest names")
    return problems


def execute(known: argparse.Namespace) -> int:
    """Does what parsed arguments ask for; returns the exit code."""
    if known.row is not None:
        raise UsageError(
            f"--row: goes with a model that `skewless export` left, and {known.records} has no "
            "saved_model.pb; leave --row out to see records"
        )
    if known.label is not None:
        raise UsageError("--label: goes with --row, of a model; leave it out to see records")
    if (known.feature is None) != (known.id is None):
        raise UsageError("--feature and --id go together; give both or neither")
    if known.feature is not None:
        text = meaning(known.records, known.feature, known.id)
        answer = {"feature": known.feature, "id": known.id, "meaning": text}
        print(json.dumps(answer, ensure_ascii=False) if known.json else text)
        return 0
    manifest = _manifest(known.records)
    problems = check_shards(known.records)
    records = list(records_in_words(known.records, known.split, 5 if known.n is None else known.n))
    if known.json:
        document = {
            "rows": manifest.rows.model_dump(),
            "splits": {name: entry.rows for name, entry in manifest.splits.items()},
            "sources": list(manifest.sources),
            "problems": problems,
            "records": records,
        }
        print(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        _print(manifest, problems, records, known.split)
    if problems:
        raise DatasetMismatchError(
            f"{known.records}: {len(problems)} shards are damaged; preprocess again"
        )
    return 0


def run(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    return run_module(
        "skewless.beam_pipelines.inspect_records",
        arguments.inspect,
        execute,
        argv,
        description=__doc__,
    )


def _print(
    manifest: Manifest, problems: list[str], records: list[dict[str, Any]], split: str
) -> None:
    rows = manifest.rows
    print(
        f"rows: {rows.read:,} read = {rows.written:,} written + {rows.rejected:,} rejected "
        f"+ {rows.duplicate:,} duplicate"
    )
    for name, entry in manifest.splits.items():
        print(
            f"  {name:<6}{entry.rows:>12,} rows {entry.bytes:>16,} bytes in {len(entry.shards)} shards"
        )
    for source in manifest.sources:
        if is_table(source):
            print(f"snapshot: {source}")
    print(
        "checksums: " + ("; ".join(problems) if problems else "all shards are as the manifest says")
    )
    for number, record in enumerate(records):
        print(f"\n{split} record {number}")
        for name, value in record.items():
            text = "(missing)" if value is None else value
            text = " | ".join(map(str, value)) if isinstance(value, list) else text
            print(f"  {name:<20} {text}")


if __name__ == "__main__":
    raise SystemExit(run())
