"""Records from Python: made by `preprocess`, read as tf.data or NumPy batches."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from skewless.environment import keras_as_it_was
from skewless.forked import refuse_forked
from skewless.frames import TableLike, as_globs
from skewless.schemas.errors import UsageError, nearest
from skewless.schemas.records.layout import SPEC
from skewless.schemas.records.manifest import Manifest
from skewless.schemas.records.records import is_feature
from skewless.schemas.spec.spec import Spec, load, parse
from skewless.schemas.storage.fetched import fetched, fetched_file
from skewless.schemas.storage.leaving import leaving
from skewless.schemas.storage.mirrored import mirrored

if TYPE_CHECKING:
    import tensorflow as tf

    from skewless.model.training.records import Records as Opened

__all__ = ["Records", "declared", "directory_of", "open_records", "preprocess"]


def preprocess(
    spec: Spec | dict[str, Any] | str | Path,
    data: TableLike,
    output: str | Path,
    *,
    transform: str | Path | None = None,
    histories_from: str | Path | None = None,
    cache: str | Path | None = None,
    max_rejected: float = 0.01,
    overwrite: bool = False,
    compression: Literal["none", "gzip"] = "none",
    options: Sequence[str] = (),
) -> Records:
    """Turns rows into records, as `skewless preprocess` does.

    Args:
      spec: The declaration: a path, a dict, or a `Spec`.
      data: A path or glob, several of them, or rows: a pandas or polars DataFrame, a pyarrow Table
        or Dataset, an iterable of RecordBatches. Rows leave the same records as the Parquet file
        that holds them.
      output: The directory to leave, a path or a URI (docs/storage.md).
      transform: A fitted transform to apply instead of analysing the training split.
      histories_from: The `pasts/` folder of records that these rows come after: their histories go on
        from those rows.
      cache: A directory that keeps what was found of each work unit for later jobs.
      max_rejected: The largest share of rejected rows that still counts as success.
      overwrite: Replaces records at `output`.
      compression: `none` or `gzip`, of the records.
      options: Beam's options, as on a command line.

    Raises:
      SpecError: If the spec cannot be right.
      UsageError: If the output is there, nothing matches, or `data` is no rows.
      DataError: If the input cannot be used, or too many of its rows.

    Example:
      records = sk.preprocess("reviews.yaml", frame, "records")
    """
    refuse_forked()
    with keras_as_it_was():
        from skewless.beam_pipelines.preprocess import preprocess as job

        with (
            leaving(output, overwrite=overwrite) as path,
            nullcontext() if cache is None else mirrored(cache) as kept,
            as_globs(data, path) as globs,
        ):
            job(
                declared(spec),
                globs,
                path,
                transform=None if transform is None else fetched(transform),
                histories_from=None if histories_from is None else fetched(histories_from),
                cache=kept,
                max_rejected=max_rejected,
                overwrite=overwrite,
                compression=compression,
                options=options,
            )
    return open_records(output)


def declared(spec: Spec | dict[str, Any] | str | Path) -> Spec:
    """Returns a spec given as a path, a dict or itself."""
    if isinstance(spec, Spec):
        return spec
    return parse(spec) if isinstance(spec, dict) else load(fetched_file(spec))


def directory_of(records: Records | str | Path) -> Path:
    """Returns where records given as a directory, a URI or as themselves lie on this machine."""
    return records.path if isinstance(records, Records) else fetched(records)


def open_records(directory: str | Path) -> Records:
    """Opens what `preprocess` left, at a path or a URI.

    Raises:
      DatasetMismatchError: If the manifest or a shard is missing, or the transform is another's.
    """
    from skewless.model.training.records import open_records as opened

    return Records(opened(fetched(directory)))


class Records:
    """A records directory.

    Attributes:
      path: The directory.
      opened: The same as commands have it.
      manifest: What `manifest.json` says: rows, splits, entries with dtype, shape and cardinality.
    """

    def __init__(self, opened: Opened) -> None:
        self.opened = opened
        self.path = opened.directory
        self.manifest: Manifest = opened.manifest

    @property
    def spec(self) -> Spec:
        """The spec as resolved, every default written out."""
        return load(self.opened.root / SPEC)

    def rows(self, split: str = "train") -> int:
        """Returns the number of rows of a split."""
        return self.opened.rows(split)

    def steps(self, split: str = "train", batch_size: int = 512) -> int:
        """Returns the number of batches in one pass over a split."""
        return self.opened.steps(split, batch_size)

    def dataset(
        self,
        split: str = "train",
        *,
        batch_size: int = 512,
        entries: Sequence[str] | None = None,
        shuffle: bool | None = None,
        seed: int = 1,
        epochs: int = 1,
    ) -> tf.data.Dataset:
        """Returns batches for `keras.Model.fit` or a loop of one's own.

        Args:
          split: `train`, `eval` or `test`.
          batch_size: Rows a batch; the last of an epoch may hold fewer.
          entries: The record entries to give, for a model that has not all of them as inputs
            (Keras asks for a dict of just its inputs); by default those of every feature.
          shuffle: Whether rows are shuffled: by default those of `train`, and only they can be.
          seed: The order of epoch k is a function of `seed` and k alone; setting it also sets
            TensorFlow's global seed, which shuffling depends on.
          epochs: How many, one after the other, each in another order. With more than one, give
            `fit` `steps_per_epoch=records.steps(split, batch_size)`.

        Returns:
          (features, label) or (features, label, weight): features is a dict by record entry,
          [batch, …] int64 IDs or float32 numbers; label [batch, 1] float32, [batch] int64 or
          [batch, classes] float32; weight [batch] float32. Of several labels both are dicts by label,
          a weight 0 where a row lacks it.

        Raises:
          UsageError: If another split than `train` is to be shuffled, `epochs` or `batch_size` is below 1, or an
            entry is not there.
          DatasetMismatchError: If the split is empty.

        Example:
          model.fit(records.dataset("train"), validation_data=records.dataset("eval"))
        """
        refuse_forked()
        for name, least in (("epochs", epochs), ("batch_size", batch_size)):
            if least < 1:
                raise UsageError(f"{name}: expected at least 1, got {least}")
        if shuffle is None:
            shuffle = split == "train"
        if shuffle and split != "train":
            raise UsageError(f"shuffle: only the rows of 'train' are shuffled, not {split!r}'s")
        parts = [
            self.opened.training(batch_size=batch_size, seed=seed, epoch=epoch)
            if shuffle
            else self.opened.in_order(split, batch_size=batch_size)
            for epoch in range(epochs)
        ]
        dataset = parts[0]
        for part in parts[1:]:
            dataset = dataset.concatenate(part)
        return dataset if entries is None else dataset.map(self._only(entries))

    def numpy(
        self,
        split: str = "train",
        *,
        batch_size: int = 512,
        entries: Sequence[str] | None = None,
        shuffle: bool | None = None,
        seed: int = 1,
        epochs: int = 1,
    ) -> Iterator[dict[str, Any]]:
        """Yields batches as dicts of arrays, for PyTorch, JAX or scikit-learn.

        Args:
          split, batch_size, entries, shuffle, seed, epochs: As for `dataset`.

        Yields:
          [batch, …] arrays by record entry, and `label` and `weight` where there are any (of several
          labels dicts by label, a weight 0 where a row lacks it); entries
          of features come first, so a feature named `label` is under its own name, and the label
          then under `__label__`, as in the records.

        Example:
          for batch in records.numpy("train", epochs=3):
              loss = step(torch.from_numpy(batch["age"]), torch.from_numpy(batch["label"]))
        """
        batches = self.dataset(
            split,
            batch_size=batch_size,
            entries=entries,
            shuffle=shuffle,
            seed=seed,
            epochs=epochs,
        )
        for features, *rest in batches.as_numpy_iterator():
            batch: dict[str, Any] = dict(features)
            for name, values in zip(("label", "weight"), rest, strict=False):
                batch[name if name not in batch else f"__{name}__"] = values
            yield batch

    def __repr__(self) -> str:
        splits = ", ".join(f"{name} {entry.rows:,}" for name, entry in self._splits())
        return f"Records({str(self.path)!r}: {splits})"

    def _repr_html_(self) -> str:
        """Returns counts and entries as tables, and the report's charts, for notebooks."""
        from skewless.notebook import records_charts

        rows = self.manifest.rows
        splits = "".join(
            f"<tr><td>{name}</td><td>{entry.rows:,}</td><td>{len(entry.shards)}</td></tr>"
            for name, entry in self._splits()
        )
        entries = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{entry.dtype}</td><td>{list(entry.shape)}</td>"
            f"<td>{'' if entry.cardinality is None else f'{entry.cardinality:,}'}</td></tr>"
            for name, entry in self.manifest.features.items()
        )
        return (
            f"<p><b>{html.escape(str(self.path))}</b>: {rows.read:,} rows read = "
            f"{rows.written:,} written + {rows.rejected:,} rejected + {rows.duplicate:,} duplicate"
            "</p><table><tr><th>split</th><th>rows</th><th>shards</th></tr>"
            f"{splits}</table><table><tr><th>entry</th><th>dtype</th><th>shape</th>"
            f"<th>cardinality</th></tr>{entries}</table>{records_charts(self.path)}"
        )

    def _only(self, entries: Sequence[str]) -> Callable[..., tuple[Any, ...]]:
        """Returns what leaves the named entries of a batch's features."""
        known = [name for name in self.manifest.features if is_feature(name)]
        for name in entries:
            if name not in known:
                hint = nearest(name, known) or f"; there are {', '.join(known)}"
                raise UsageError(f"entries: {name!r} is no entry of a feature{hint}")

        def chosen(features: dict[str, Any], *rest: Any) -> tuple[Any, ...]:
            return ({name: features[name] for name in entries}, *rest)

        return chosen

    def _splits(self) -> list[tuple[str, Any]]:
        return [(name, entry) for name, entry in self.manifest.splits.items() if entry.rows]
