"""The parity proof: raw rows through the exported graph against the records, value by value.

Also what else could make serving differ from training: files of the exported model that were
altered, a transform that is not the records', predictions that are not the trained model's.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import tensorflow as tf

from skewless.model import arguments
from skewless.model.metrics.slices import raw_files
from skewless.model.parity.matching import compare, key_digest
from skewless.model.parity.report import Difference, Report
from skewless.model.training.records import Records, open_records
from skewless.schemas.ending import run_module
from skewless.schemas.errors import DataError, DatasetMismatchError, UsageError
from skewless.schemas.records.exported_files import differing_files, load_description
from skewless.schemas.records.layout import DESCRIPTION, EXTRA, MANIFEST, REJECTED, SPEC, TRANSFORM
from skewless.schemas.records.manifest import load_manifest
from skewless.schemas.records.records import KEY, is_feature
from skewless.schemas.records.transform_digest import is_of_transform
from skewless.schemas.rows.row_encoding import examples
from skewless.schemas.rows.saved_graph import load_graph
from skewless.schemas.spec.spec import Spec, load
from skewless.schemas.spec.splits import SPLITS

__all__ = [
    "Difference",
    "RawRows",
    "Report",
    "check_predictions",
    "execute",
    "run",
    "sample_rows",
    "verify",
]

_BATCH = 1024
_PREDICTED = 4096
Predict = Callable[[Mapping[str, tf.Tensor]], Mapping[str, tf.Tensor]]
# Outputs that are compared, by how their names end: of two towers both vectors, too.
_COMPARED = ("predictions", "query_vector", "candidate_vector")


@dataclass(frozen=True)
class RawRows:
    """Raw rows: [rows] string keys and [rows] canonical columns."""

    keys: pa.Array
    columns: pa.RecordBatch


def sample_rows(records_directory: str | Path) -> Iterator[RawRows]:
    """Yields the raw rows that `preprocess` kept: held-out splits and a sample of training."""
    root = Path(records_directory)
    found = False
    for split in SPLITS:
        for path in raw_files(root, split):
            for batch in pa.parquet.ParquetFile(path).iter_batches(batch_size=_BATCH):
                found = True
                yield RawRows(batch.column(KEY), batch)
    if not found:
        raise DatasetMismatchError(f"{root}/raw: no raw rows are kept; preprocess again")


def verify(
    model_directory: str | Path,
    records_directory: str | Path,
    rows: Callable[[], Iterable[RawRows]] | None = None,
    *,
    graph: Any = None,
) -> Report:
    """Replays raw rows through an exported model and compares with the records.

    Args:
      model_directory: What `export` left.
      records_directory: The records.
      rows: Gives the whole input's rows in the job's order, anew at each call; None for the
        sample kept beside the records.
      graph: The model's, if it is loaded already.

    Raises:
      DatasetMismatchError: If the directory is not an exported model, the model came from
        another transform than the records, the records are not as they were written, or their
        rows have no key and were named in another way.
    """
    root = Path(model_directory)
    records = open_records(records_directory)
    description = _description(root)
    _check_transform(root, description["transform_sha256"], records)
    altered = list(differing_files(root, description))
    spec = load(root / EXTRA / SPEC)
    graph = _loaded(root, altered) if graph is None else graph
    transform = graph.signatures["transform_features"]
    names = sorted(filter(is_feature, records.manifest.features))
    source = rows if rows is not None else lambda: sample_rows(records_directory)

    def served() -> Iterator[tuple[Sequence[bytes], dict[str, np.ndarray]]]:
        for raw in source():
            if len(raw.keys):
                outputs = transform(examples=tf.constant(examples(raw.columns, spec), tf.string))
                yield _keys(raw), {name: outputs[name].numpy() for name in names}

    def stored() -> Iterator[tuple[Sequence[bytes], dict[str, np.ndarray]]]:
        for features in _batches(records):
            yield features[KEY].numpy().tolist(), {n: features[n].numpy() for n in names}

    report = compare(
        served,
        stored,
        names,
        unique_keys=spec.key is not None,
        rejected=_rejected_keys(Path(records_directory)) if rows is not None else set(),
        whole=rows is not None,
    )
    before = spec.key is None and records.manifest.identity == "columns"
    if before and rows is not None and report.mismatches:
        raise DatasetMismatchError(
            f"{records_directory}: was written when rows without a key were named by the columns "
            "read, so --input cannot be matched with it; leave --input out, or preprocess again"
        )
    report.altered = altered
    return report


def _check_transform(model: Path, carried: str, records: Records) -> None:
    own = records.manifest.transform_sha256
    if carried != own and not is_of_transform(carried, records.root / TRANSFORM):
        raise DatasetMismatchError(
            f"{model}: carries the transform {carried}, but {records.directory} came from {own}; "
            "export the run of these records"
        )


def check_predictions(
    model_directory: str | Path, records_directory: str | Path, predict: Predict, graph: Any
) -> float:
    """Compares serving raw rows with the trained model on their records.

    Args:
      model_directory: What `export` left.
      records_directory: The records, with the raw rows kept beside them.
      predict: The trained model: features as in the records, to the outputs as served.
      graph: What `export` left, loaded.

    Returns:
      The largest difference over a sample; relative where a prediction is above 1.
    """
    spec = load(Path(model_directory) / EXTRA / SPEC)
    serve = graph.signatures["serving_default"]
    served = _served_predictions(serve, spec, records_directory)
    worst, waiting = 0.0, set(served)
    for features in _batches(open_records(records_directory)):
        keys = features[KEY].numpy().tolist()
        places = [place for place, key in enumerate(keys) if key in served]
        if not places:
            continue
        chosen = {n: tf.gather(v, places) for n, v in features.items() if n != KEY}
        direct = _compared(predict(chosen))
        other = np.stack([served[keys[place]] for place in places])
        difference = np.abs(direct - other) / np.maximum(1, np.abs(direct))
        # NaN on one side must not pass for agreement.
        worst = float(np.maximum(worst, np.nan_to_num(difference, nan=np.inf).max()))
        waiting.difference_update(keys)
        if not waiting:
            break
    return worst


def _served_predictions(
    serve: Any, spec: Spec, records_directory: str | Path
) -> dict[bytes, np.ndarray]:
    """Returns served predictions of kept raw rows, by key; rows without a key share one if equal."""
    served: dict[bytes, np.ndarray] = {}
    for raw in sample_rows(records_directory):
        outputs = serve(examples=tf.constant(examples(raw.columns, spec), tf.string))
        served.update(zip(_keys(raw), _compared(outputs), strict=True))
        if len(served) >= _PREDICTED:
            break
    return served


def _compared(outputs: Mapping[str, tf.Tensor]) -> np.ndarray:
    """Returns [rows, numbers] float64 of all outputs that are compared."""
    parts = [outputs[name].numpy() for name in sorted(outputs) if name.endswith(_COMPARED)]
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1).astype(float)


def _batches(records: Records) -> Iterator[dict[str, tf.Tensor]]:
    for split in SPLITS:
        if records.rows(split):
            for features, *_ in records.in_order(split, batch_size=_BATCH, with_key=True):
                yield features


def _keys(raw: RawRows) -> list[bytes]:
    keys: list[bytes] = raw.keys.cast(pa.binary()).to_pylist()
    return keys


def _description(model: Path) -> dict[str, Any]:
    path = model / EXTRA / DESCRIPTION
    try:
        document = load_description(model)
        document["files"].items()
        carried = document["transform_sha256"]
    except (UsageError, DataError, KeyError) as error:
        raise DatasetMismatchError(
            f"{path}: expected what `skewless export` writes, got {error!r}; export again"
        ) from error
    if load_manifest(model / EXTRA).transform_sha256 != carried:
        raise DatasetMismatchError(
            f"{model}/{EXTRA}: {MANIFEST} is of another transform; export again"
        )
    return document


def _loaded(model: Path, altered: list[str]) -> Any:
    try:
        return load_graph(model)
    except (OSError, ValueError, RuntimeError, tf.errors.OpError) as error:
        if not altered:
            raise
        raise DatasetMismatchError(
            f"{model}: cannot be loaded; {', '.join(altered)} not as exported; export again"
        ) from error


def _rejected_keys(records: Path) -> set[int]:
    """Returns the digests of the rejected rows' keys."""
    found = set()
    for path in sorted((records / REJECTED).glob("*.jsonl")):
        with path.open("rb") as lines:
            for line in lines:
                key = json.loads(line)["key"]
                if key is not None:
                    found.add(key_digest(key.encode()))
    return found


def execute(known: argparse.Namespace, rows: Callable[[], Iterable[RawRows]] | None = None) -> int:
    """Does what parsed arguments ask for; returns the exit code.

    `rows` reads `--input`, which the command line provides: reading files is the Beam side's.
    """
    report = verify(known.model, known.records, rows)
    if known.json:
        print(json.dumps({"passed": report.passed, **asdict(report)}, indent=2))
    else:
        print(report)
    return 0 if report.passed else 1


def run(argv: Sequence[str] | None = None) -> int:
    """Runs the command line on the sample beside the records; returns its exit code.

    `skewless verify` takes `--input` as well.
    """
    return run_module(
        "skewless.model.verify", arguments.verify, _on_sample, argv, description=__doc__
    )


def _on_sample(known: argparse.Namespace) -> int:
    if known.input:
        raise UsageError("--input is read by `skewless verify`, not by this side: leave it out")
    return execute(known)


if __name__ == "__main__":
    raise SystemExit(run())
