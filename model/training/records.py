"""Records to batches: batch first, then one parse for the whole batch.

The order of a training epoch is a pure function of the seed and the epoch, so that a resumed run
can skip exactly the batches it had consumed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from skewless.model.network.seq2seq import DECODER_INPUT, decoder_input
from skewless.schemas.errors import DatasetMismatchError
from skewless.schemas.records.id_contract import PADDING_ID
from skewless.schemas.records.layout import MANIFEST, TRANSFORM
from skewless.schemas.records.manifest import Manifest, file_sha256, load_manifest
from skewless.schemas.records.records import (
    KEY,
    LABEL,
    NO_CLASS,
    WEIGHT,
    is_label,
    label_name,
    parse_rows,
)
from skewless.schemas.records.transform_digest import is_of_transform
from skewless.schemas.records.windows import load_pane, windows_directory
from skewless.schemas.storage.ahead.fetching import ShardsAhead

__all__ = ["Records", "Thinning", "open_records"]

# Rows among which a training row's place is drawn.
SHUFFLE_BUFFER = 100_000
# Of the rows that are shuffled together. About three such pools are held at once. Rows that were
# written several to a record lie in them as tensors, others as the bytes of their record.
_POOL_BYTES = 128 << 20
_BLOCK_ROWS = 64


@dataclass(frozen=True)
class Thinning:
    """How training batches lose rows.

    Attributes:
      rows: Left of the training split, each epoch.
      kept: From batches in an epoch's order to the same without those rows, of any sizes.
    """

    rows: int
    kept: Callable[[tf.data.Dataset], tf.data.Dataset]


@dataclass(frozen=True)
class Records:
    """A checked records directory, or a finished pane of a window.

    Attributes:
      directory: Where.
      manifest: What it says it holds.
      grouped: The record entry whose rows of one value lie together in what is trained on, as far as
        they lie in one pool; None where rows lie as it comes.
      prepared: From a batch of records to what a model is trained on; None where that is the same.
      thinning: What training batches leave out; None where that is nothing.
      ahead: Fetches shards as they are read; None where they lie in the directory.
    """

    directory: Path
    manifest: Manifest
    prepared: Callable[..., tuple[Any, ...]] | None = None
    grouped: str | None = None
    thinning: Thinning | None = None
    ahead: ShardsAhead | None = None

    @property
    def root(self) -> Path:
        """Where spec and transform lie: of a pane, the directory of windows."""
        return windows_directory(self.directory) or self.directory

    def rows(self, split: str) -> int:
        """Returns the number of records in a split."""
        entry = self.manifest.splits.get(split)
        return entry.rows if entry is not None else 0

    @property
    def trained_rows(self) -> int:
        """The rows that an epoch trains on."""
        return self.rows("train") if self.thinning is None else self.thinning.rows

    def steps(self, split: str, batch_size: int) -> int:
        """Returns the number of batches in one pass over a split, the last one maybe smaller."""
        rows = self.trained_rows if split == "train" else self.rows(split)
        return -(-rows // batch_size)

    def cached(self, cache: str) -> tf.data.Dataset:
        """Returns the serialized training records, read from the shards once and kept from then on.

        Args:
          cache: `memory`, or a path to which the digest of these very records is added, so that
            a file of other records is never read. Two runs must not fill one file at a time.
        """
        raw = self._serialized(self._shards("train"))
        if cache == "memory":
            return raw.cache()
        digests = "".join(shard.sha256 for shard in self.manifest.splits["train"].shards)
        name = f"{cache}.{hashlib.sha256(digests.encode()).hexdigest()[:16]}"
        if not Path(f"{name}.index").exists():
            # A run that was killed while it filled the file; tf.data would refuse to go on.
            Path(f"{name}_0.lockfile").unlink(missing_ok=True)
        return raw.cache(name)

    def training(
        self,
        *,
        batch_size: int,
        seed: int,
        epoch: int,
        skip: int = 0,
        cached: tf.data.Dataset | None = None,
    ) -> tf.data.Dataset:
        """Returns one epoch of shuffled training batches, and sets TensorFlow's global seed.

        Args:
          batch_size: Rows a batch; the last may hold fewer.
          seed, epoch: The order is a function of these two, and of whether there is a cache.
          skip: Batches to leave out at the beginning; of records of one row, without parsing them.
          cached: From `cached`, the same one for every epoch; shards then keep their order.

        Returns:
          (features, label) or (features, label, weight) batches.
        """
        # tf.data mixes the process's global seed into every shuffle: without this, a resumed
        # process would see another order than the one that was killed. Setting it anew each epoch
        # would make TensorFlow prepare the training step again.
        if tf.compat.v1.random.get_seed(0)[0] != seed:
            tf.random.set_seed(seed)
        # Seeds that tf.data sees are 64-bit; neighbouring epochs must not share an order.
        order = (seed * 1_000_003 + epoch * 7_919 + 17) & 0x7FFFFFFF
        shards = tf.constant(self._shards("train"))
        names = tf.random.experimental.stateless_shuffle(shards, seed=[seed, epoch])
        raw = cached
        if raw is None:
            raw = self._serialized([name.decode() for name in names.numpy()])
        if self.thinning is None:
            batches = self._shuffled(raw, order, batch_size, skip)
        else:
            batches = self.thinning.kept(self._shuffled(raw, order, batch_size, 0))
            batches = batches.rebatch(batch_size).skip(skip)
        return self._ready(batches, self.steps("train", batch_size) - skip)

    def _shuffled(
        self, raw: tf.data.Dataset, order: int, batch_size: int, skip: int
    ) -> tf.data.Dataset:
        """Returns parsed batches of shuffled rows.

        Neighbouring rows (a block, or a record of several) are shuffled together, then pooled, and
        each pool is permuted row by row: half the work of tf.data's own shuffle of single rows, and
        the same whatever a record holds. In a split of no more rows than a pool, every order is as
        likely.
        """
        each = self.manifest.rows_per_record
        pool = self._pool_rows()
        if each == 1:
            blocks = raw.batch(_BLOCK_ROWS)
            buffer = max(1, pool // _BLOCK_ROWS)
            pools = blocks.shuffle(buffer, seed=order, reshuffle_each_iteration=False).rebatch(pool)
            if self.grouped is not None:
                rows = _permuted(pools, order, self._parse, self.grouped)
                return rows.rebatch(batch_size).skip(skip)
            return self._parsed(_permuted(pools, order).rebatch(batch_size).skip(skip))
        records = raw.shuffle(max(1, pool // each), seed=order, reshuffle_each_iteration=False)
        # The last record of a shard may hold fewer rows than the others.
        size = -(-pool // each) + len(self.manifest.splits["train"].shards)
        rows = _permuted(records.batch(size), order, self._parse, self.grouped)
        return rows.rebatch(batch_size).skip(skip)

    def _pool_rows(self) -> int:
        row_bytes = sum(8 * math.prod(entry.shape) for entry in self.manifest.features.values())
        return max(1, min(self.rows("train"), SHUFFLE_BUFFER, _POOL_BYTES // row_bytes))

    def in_order(self, split: str, *, batch_size: int, with_key: bool = False) -> tf.data.Dataset:
        """Returns one pass over a split in the order of its shards; `with_key` adds the keys.

        Raises:
          DatasetMismatchError: If the split is empty.
        """
        if not self.rows(split):
            held = {name: entry.rows for name, entry in self.manifest.splits.items() if entry.rows}
            raise DatasetMismatchError(
                f"{self.directory}: split {split!r} has no rows (there are {held}); "
                "choose another, or give it a share under `split` in the spec"
            )
        raw = self._serialized(self._shards(split))
        each = self.manifest.rows_per_record
        together = batch_size if self.grouped is None else max(batch_size, self._pool_rows())
        batches = self._parsed(raw.batch(-(-together // each)), with_key=with_key)
        if self.grouped is not None:
            batches = batches.map(
                lambda *rows: _by_group(rows, self.grouped, 0),
                num_parallel_calls=1,
                deterministic=True,
            )
        if each > 1 or together > batch_size:
            batches = batches.rebatch(batch_size)
        return self._ready(batches, self.steps(split, batch_size))

    def _ready(self, batches: tf.data.Dataset, steps: int) -> tf.data.Dataset:
        if self.prepared is not None:
            batches = batches.map(self.prepared, num_parallel_calls=2, deterministic=True)
        counted = batches.apply(tf.data.experimental.assert_cardinality(steps))
        return counted.prefetch(tf.data.AUTOTUNE)

    def _shards(self, split: str) -> list[str]:
        return [shard.path for shard in self.manifest.splits[split].shards]

    def _serialized(self, shards: Sequence[str]) -> tf.data.Dataset:
        """Returns the records of shards, one shard after the other."""
        compression = "GZIP" if self.manifest.compression == "gzip" else ""
        ahead = self.ahead
        if ahead is None:
            names = [str(self.directory / shard) for shard in shards]
            return tf.data.TFRecordDataset(names, compression_type=compression)
        paths = tf.data.Dataset.from_generator(
            lambda: ahead.paths(shards), output_signature=tf.TensorSpec((), tf.string)
        )
        return tf.data.TFRecordDataset(paths, compression_type=compression)

    def _parsed(self, batches: tf.data.Dataset, *, with_key: bool = False) -> tf.data.Dataset:
        return batches.map(
            lambda serialized: self._parse(serialized, with_key=with_key),
            num_parallel_calls=2,
            deterministic=True,
        )

    def _parse(self, serialized: tf.Tensor, *, with_key: bool = False) -> tuple[Any, ...]:
        """Returns (features, label, weight), or as many of them as there are.

        A weight without a label stays among the features. Of several labels both are by name: a row
        that lacks one has some value of it, with weight 0.
        """
        entries = self.manifest.features
        features = parse_rows(
            serialized, self.manifest, [name for name in entries if with_key or name != KEY]
        )
        labels = {name: features.pop(name) for name in entries if is_label(name)}
        if not labels:
            return (features,)
        weight = features.pop(WEIGHT, None)
        if LABEL not in labels:
            return (features, *_of_several(labels, weight))
        values = labels[LABEL]
        label = entries[LABEL]
        if _is_target(label.shape, label.dtype):
            assert label.cardinality is not None
            features[DECODER_INPUT] = decoder_input(values, label.cardinality)
            present = tf.cast(tf.not_equal(values, PADDING_ID), tf.float32)
            weight = present if weight is None else present * weight[:, None]
        elif len(values.shape) == 1 and values.dtype == tf.float32:
            values = values[:, None]
        return (features, values) if weight is None else (features, values, weight)


def _of_several(
    labels: Mapping[str, tf.Tensor], weight: tf.Tensor | None
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """Returns each label by name, and what rows weigh for it: nothing where they lack it."""
    truth, weights = {}, {}
    for entry, values in labels.items():
        present = tf.equal(values, values) if values.dtype.is_floating else values > NO_CLASS
        held = tf.cast(present, tf.float32)
        weights[label_name(entry)] = held if weight is None else held * weight
        values = tf.where(present, values, tf.zeros_like(values))
        truth[label_name(entry)] = values[:, None] if values.dtype.is_floating else values
    return truth, weights


def _permuted(
    pools: tf.data.Dataset,
    order: int,
    prepare: Callable[[tf.Tensor], Any] = tf.identity,
    grouped: str | None = None,
) -> tf.data.Dataset:
    """Returns pools of prepared rows, each in an order of its own, rows of one group together.

    The next pool is made in the background while the last one is consumed.
    """

    def permuted(number: tf.Tensor, pool: tf.Tensor) -> Any:
        rows = prepare(pool)
        count = tf.shape(tf.nest.flatten(rows)[0])[0]
        places = tf.random.experimental.stateless_shuffle(
            tf.range(count), seed=tf.stack([tf.constant(order, tf.int64), number])
        )
        rows = tf.nest.map_structure(lambda value: tf.gather(value, places), rows)
        return rows if grouped is None else _by_group(rows, grouped, order)

    return pools.enumerate().map(permuted, num_parallel_calls=1, deterministic=True)


def _by_group(rows: tuple[Any, ...], grouped: str | None, order: int) -> tuple[Any, ...]:
    """Returns rows with those of one value of an entry together, groups in an order of their own."""
    mixed = (rows[0][grouped] + order) * -7046029254386353131
    mixed = tf.bitwise.bitwise_xor(mixed, tf.bitwise.right_shift(mixed, 32)) * -4658895280553007687
    places = tf.argsort(mixed, stable=True)
    return tf.nest.map_structure(lambda value: tf.gather(value, places), rows)


def _is_target(shape: tuple[int, ...], dtype: str) -> bool:
    return dtype == "int64" and len(shape) == 1


def open_records(
    directory: str | Path,
    *,
    verify_checksums: bool = False,
    ahead: ShardsAhead | None = None,
) -> Records:
    """Checks that a directory is a complete data set and belongs to its transform.

    Args:
      directory: A records directory that `preprocess` left, or a pane that `stream` left, whose
        rows are then the training split.
      verify_checksums: Reads every shard and compares its digest, not only its size.
      ahead: Has the shards that are not in the directory.

    Raises:
      DatasetMismatchError: If the manifest is missing, a shard is missing or changed, or the
        transform is not the one the records came from.
    """
    root = Path(directory)
    windows = windows_directory(root)
    manifest = load_manifest(root) if windows is None else load_pane(root).as_records()
    for split in manifest.splits.values():
        for shard in split.shards if ahead is None else ():
            path = root / shard.path
            if not path.is_file():
                raise DatasetMismatchError(
                    f"{path}: is in {MANIFEST} but not on disk; preprocess again"
                )
            if path.stat().st_size != shard.bytes:
                raise DatasetMismatchError(
                    f"{path}: expected {shard.bytes} bytes, got {path.stat().st_size}; preprocess again"
                )
            if verify_checksums and file_sha256(path) != shard.sha256:
                raise DatasetMismatchError(
                    f"{path}: its bytes are not the manifest's; preprocess again"
                )
    records = Records(root, manifest, ahead=ahead)
    transform = records.root / TRANSFORM
    if not is_of_transform(manifest.transform_sha256, transform):
        raise DatasetMismatchError(
            f"{transform}: is not the transform that these records came from ({root}); "
            "preprocess again"
        )
    return records
