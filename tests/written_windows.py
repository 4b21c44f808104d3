"""Windows of records, as a streaming job leaves them, made of what the batch job wrote."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import tensorflow as tf

from skewless.beam_pipelines.rows.read_rows import rows_of
from skewless.beam_pipelines.sources import plan
from skewless.schemas.records.layout import MANIFEST, SPEC, TRANSFORM
from skewless.schemas.records.manifest import Rows, Shard, file_sha256, load_manifest
from skewless.schemas.records.records import KEY
from skewless.schemas.records.windows import WindowManifest, pane_folder
from tests.conftest import DataSet

__all__ = ["WindowWriter"]

FIRST = datetime(2026, 1, 1, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)


class WindowWriter:
    """Deals the training records of a data set out to panes, each with its raw rows."""

    def __init__(self, data: DataSet, root: Path) -> None:
        """Leaves the directory of windows, with no window in it."""
        self.root = root
        self._data = data
        self._manifest = load_manifest(data.directory)
        root.mkdir(parents=True, exist_ok=True)
        shutil.copytree(data.directory / TRANSFORM, root / TRANSFORM)
        shutil.copy2(data.directory / SPEC, root / SPEC)
        self._left = [
            record.numpy()
            for shard in self._manifest.splits["train"].shards
            for record in tf.data.TFRecordDataset(str(data.directory / shard.path))
        ]

    def pane(
        self, hour: int, rows: int, *, pane: int = 0, raw: bool = True, transform: str = ""
    ) -> str:
        """Finishes a pane of the next `rows` records; returns its folder."""
        records, self._left = self._left[:rows], self._left[rows:]
        assert len(records) == rows
        folder = pane_folder(FIRST + hour * HOUR, pane)
        path = self.root / folder
        path.mkdir(parents=True)
        shards = []
        if rows:
            shard = path / "part-00000-of-00001.tfrecord"
            with tf.io.TFRecordWriter(str(shard)) as writer:
                for record in records:
                    writer.write(record)
            digest = file_sha256(shard)
            shards = [Shard(path=shard.name, rows=rows, bytes=shard.stat().st_size, sha256=digest)]
            if raw:
                self._write_raw(path / "raw" / "part-00000-of-00001.parquet", records)
        window = WindowManifest(
            start=FIRST + hour * HOUR,
            end=FIRST + (hour + 1) * HOUR,
            pane=pane,
            spec_sha256=self._manifest.spec_sha256,
            transform_sha256=transform or self._manifest.transform_sha256,
            rows=Rows(read=rows, written=rows, rejected=0, duplicate=0),
            shards=tuple(shards),
            features=self._manifest.features,
        )
        (path / MANIFEST).write_text(window.model_dump_json())
        return folder

    def _write_raw(self, path: Path, records: Sequence[bytes]) -> None:
        wanted = {
            tf.train.Example.FromString(record).features.feature[KEY].bytes_list.value[0].decode()
            for record in records
        }
        path.parent.mkdir()
        tables = []
        for unit in plan([str(self._data.source)], self._data.spec):
            for batch in rows_of(unit, self._data.spec):
                table = pa.Table.from_batches([batch.columns]).append_column(KEY, batch.keys)
                chosen = pa.array([key in wanted for key in batch.keys.to_pylist()])
                tables.append(table.filter(chosen))
        pa.parquet.write_table(pa.concat_tables(tables), path)
