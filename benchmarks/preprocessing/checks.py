"""Whether what a job left is right: rows counted in its files, vocabularies and records recomputed.

The reference is plain Python and shares no code with anything that is measured, except for the
hash of the split.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from benchmarks.preprocessing.peers import job

__all__ = ["Reference", "Vocabularies", "count_records", "read_vocabularies", "train_keys"]

# Letters and digits of any script, apostrophes inside. Combining marks, which Python's \w leaves
# out, do not occur in the generated rows.
_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_TEXT_COLUMNS = ("review_id", *job.CATEGORICALS, *job.TEXTS)

Vocabularies = dict[str, list[bytes]]


def count_records(output: Path) -> int:
    """Returns how many records a job left, by the framing of its files (or Parquet's footers).

    Raises:
      ValueError: If a file ends within a record.
    """
    total = sum(1 for path in _record_files(output) for _ in _records(path))
    for path in sorted((output / "records").rglob("*.parquet")):
        total += pa.parquet.read_metadata(path).num_rows
    return total


def read_vocabularies(output: Path) -> Vocabularies:
    """Returns each feature's vocabulary file as tokens, in ID order."""
    folder = output / "transform" / "transform_fn" / "assets"
    if not folder.is_dir():
        folder = output / "vocabularies"
    return {name: (folder / name).read_bytes().split(b"\n")[:-1] for name in job.VOCABULARIES}


def train_keys(output: Path) -> set[str]:
    """Returns the keys that a job which has a split of its own put into training."""
    found = pa.parquet.read_table(output / "records" / "split=train", columns=["__key__"])
    return set(found["__key__"].to_pylist())


class Reference:
    """What the rows of a file come to.

    Attributes:
      counts: By feature, how often the training split has each token.
    """

    def __init__(self, source: Path, train: set[str] | None = None, keep: bool = False) -> None:
        """Reads the file.

        Args:
          source: A .parquet or .csv file.
          train: Keys of the training split; by default farmhash64 chooses them.
          keep: Keeps the rows as well, for `record_problems`.
        """
        self.counts: dict[str, Counter[bytes]] = {name: Counter() for name in job.VOCABULARIES}
        self._rows: dict[str, _Row] = {}
        ages: list[float] = []
        for columns in _columns(source):
            for values in zip(*columns, strict=True):
                row = _Row(dict(zip(job.COLUMNS, values, strict=True)), train)
                if keep:
                    self._rows[row.key] = row
                if row.split != "train":
                    continue
                for name, tokens in row.tokens.items():
                    self.counts[name].update(tokens)
                if row.age is not None:
                    ages.append(row.age)
        self._mean, self._deviation = float(np.mean(ages)), float(np.std(ages))

    def vocabulary_problems(self, found: Vocabularies) -> list[str]:
        """Returns which vocabularies are not, byte for byte, what the counts ask for.

        Args:
          found: Of a job.
        """
        problems = []
        for name, counts in self.counts.items():
            least = job.MIN_COUNTS.get(name, 1)
            kept = [(token, count) for token, count in counts.items() if count >= least]
            kept.sort(key=lambda entry: (entry[1], entry[0]), reverse=True)
            size = job.TEXT_VOCABULARY if name in job.TEXTS else None
            if [token for token, _ in kept][:size] != found[name]:
                problems.append(f"vocabulary of {name} differs from the counts")
        return problems

    def record_problems(self, output: Path, vocabularies: Vocabularies) -> list[str]:
        """Returns how a job's records differ from what the rows and its vocabularies ask for.

        IDs, keys, labels and splits must be equal and ages to 1e-5; quantile sketches may place a
        price one bucket off.
        """
        ids = {
            name: {token: place + 3 for place, token in enumerate(tokens)}
            for name, tokens in vocabularies.items()
        }
        problems: Counter[str] = Counter()
        seen: Counter[str] = Counter()
        prices: list[float] = []
        buckets: list[int] = []
        for split, record in _decoded(output):
            row = self._rows.get(record["__key__"].item().decode())
            if row is None:
                problems["a key that no row has"] += 1
                continue
            seen[row.key] += 1
            if split != row.split:
                problems["in another split"] += 1
            for name, tokens in row.tokens.items():
                expected = [ids[name].get(token, 2) for token in tokens]
                if name in job.LENGTHS:
                    length = job.LENGTHS[name]
                    expected = (expected + [0] * length)[:length]
                if record[name].tolist() != expected:
                    problems[f"{name} differs"] += 1
            age = self._mean if row.age is None else row.age
            if abs(record["age"].item() - (age - self._mean) / self._deviation) > 1e-5:
                problems["age differs"] += 1
            if record["__label__"].item() != row.label:
                problems["label differs"] += 1
            prices.append(row.price)
            buckets.append(record["price"].item())
        if set(seen) != set(self._rows) or seen.total() != len(self._rows):
            problems["rows lost or repeated"] = abs(len(self._rows) - seen.total()) or 1
        problems["price buckets off by more than one"] = self._off_by_more(prices, buckets)
        return [f"{problem}: {count} records" for problem, count in problems.items() if count]

    def _off_by_more(self, prices: list[float], buckets: list[int]) -> int:
        train = [row.price for row in self._rows.values() if row.split == "train"]
        edges = np.quantile(train, np.arange(1, job.BUCKETS) / job.BUCKETS)
        expected = 2 + np.searchsorted(edges, prices, side="right")
        return int((np.abs(expected - np.array(buckets)) > 1).sum())


class _Row:
    def __init__(self, values: dict[str, str | float | None], train: set[str] | None) -> None:
        self.key = str(values["review_id"])
        if train is None:
            self.split = job.SPLITS[job.split_of(self.key.encode())]
        else:
            self.split = "train" if self.key in train else "held out"
        self.tokens = {name: [str(values[name]).encode()] for name in job.CATEGORICALS}
        for name in job.TEXTS:
            self.tokens[name] = [word.encode() for word in _WORD.findall(str(values[name]).lower())]
        self.age = None if values["age"] is None else float(values["age"])
        self.price = float(values["price"] or 0)
        self.label = float(values["label"] or 0)


def _columns(source: Path) -> Iterator[list[list[str | float | None]]]:
    if source.suffix == ".parquet":
        parquet = pa.parquet.ParquetFile(source)
        for batch in parquet.iter_batches(5_000, columns=list(job.COLUMNS)):
            yield [batch[name].to_pylist() for name in job.COLUMNS]
        return
    kinds = {
        **dict.fromkeys(_TEXT_COLUMNS, pa.string()),
        "age": pa.float32(),
        "price": pa.float32(),
    }
    options = pyarrow.csv.ConvertOptions(column_types=kinds)
    for batch in pyarrow.csv.open_csv(source, convert_options=options):
        yield [batch[name].to_pylist() for name in job.COLUMNS]


def _record_files(output: Path) -> list[Path]:
    return [path for split in job.SPLITS for path in sorted((output / split).glob("*.tfrecord"))]


def _records(path: Path) -> Iterator[bytes]:
    """Yields a TFRecord file's records: length, its CRC (4 bytes), data, its CRC (4 bytes)."""
    left = path.stat().st_size
    with open(path, "rb", buffering=1 << 22) as file:
        while left:
            head = file.read(12)
            size = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else left
            data = file.read(size + 4)
            left -= 12 + size + 4
            if left < 0:
                raise ValueError(f"{path.name} ends within a record")
            yield data[:-4]


def _decoded(output: Path) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    decoder = ExamplesToRecordBatchDecoder()
    for path in _record_files(output):
        records = list(_records(path))
        if not records:
            continue
        batch = decoder.DecodeBatch(records)
        columns = {
            name: batch.column(name).flatten().to_numpy(zero_copy_only=False)
            for name in batch.schema.names
        }
        widths = {name: len(values) // len(records) for name, values in columns.items()}
        for place in range(len(records)):
            yield (
                path.parent.name,
                {
                    name: values[place * widths[name] : (place + 1) * widths[name]]
                    for name, values in columns.items()
                },
            )
    for path in sorted((output / "records").rglob("*.parquet")):
        split = path.parent.name.removeprefix("split=")
        for row in pa.parquet.ParquetFile(path).read().to_pylist():
            row["__key__"] = row["__key__"].encode()
            yield (
                split if split == "train" else "held out",
                {name: np.atleast_1d(np.array(value)) for name, value in row.items()},
            )
