"""What `preprocess` prints: a job's result, and what a dry run finds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from skewless.beam_pipelines.rows.read_rows import rows_of
from skewless.beam_pipelines.rows.seen_labels import count_labels, most_seen
from skewless.beam_pipelines.sources import WorkUnit
from skewless.beam_pipelines.sources.opened import one_unit_each, unit_count
from skewless.beam_pipelines.sources.plan import opened_files
from skewless.schemas.records.manifest import Manifest
from skewless.schemas.rows.raw_columns import RowColumns
from skewless.schemas.spec.spec import Spec

__all__ = ["result", "summary", "tell_dry_run"]


def tell_dry_run(spec: Spec, inputs: Sequence[str], *, as_json: bool = False) -> None:
    """Prints what would be done, in words or as one JSON document.

    Raises:
      UsageError: If a glob matches nothing.
      DataError: If a file cannot be used.
    """
    opened = opened_files(inputs, spec)
    files = sorted({file.whole.file for file in opened})
    units, about = unit_count(opened), any(file.pieces for file in opened)
    said = one_unit_each(opened)
    rows = RowColumns(spec)
    columns, built = rows.wanted, rows.built
    read, labels = _first_labels(spec, opened[0].beginning) if spec.targets else (0, Counter())
    if as_json:
        document = {
            "spec": spec.name,
            "features": len(spec.features),
            "files": files,
            "work_units": units,
            "one_unit_each": said or None,
            "columns": {
                name: {"kind": column.kind, "multivalued": column.multivalued}
                for name, column in columns.items()
                if name not in built
            },
            "first_labels": {"rows": read, "values": dict(labels.most_common())},
            "written": False,
        }
        print(json.dumps(document, indent=2, ensure_ascii=False))
        return
    print(f"spec {spec.name}: {len(spec.features)} features, sound")
    print(
        f"input: {len(files)} files in {'about ' * about}{units} work units; every column the spec "
        "names is there"
    )
    if said:
        print(said)
    for name, column in columns.items():
        several = ", several a row" if column.multivalued else ""
        print(f"  {name:<24} {column.kind}{several}{', built from the rows' * (name in built)}")
    if labels:
        print(f"label values of the first {read:,} rows: {most_seen(labels)}")
    print("dry run: nothing was written")


def _first_labels(spec: Spec, unit: WorkUnit) -> tuple[int, Counter[str]]:
    """Returns how many rows were looked at first, and their label values, whatever the split."""
    seen: Counter[str] = Counter()
    rows = next(rows_of(unit, spec), None)
    if rows is None:
        return 0, seen
    count_labels(spec, seen, rows.columns, rows.rejected)
    return rows.read, seen


def result(manifest: Manifest, output: str) -> str:
    """Returns what came of the rows, as JSON."""
    seconds = manifest.seconds["total"]
    document = {
        "output": output,
        "rows": manifest.rows.model_dump(),
        "splits": {name: entry.rows for name, entry in manifest.splits.items()},
        "seconds": seconds,
        "rows_per_second": round(manifest.rows.read / seconds, 1),
        "transform_sha256": manifest.transform_sha256,
    }
    return json.dumps(document, indent=2)


def summary(manifest: Manifest, output: str) -> str:
    """Returns what came of the rows, in words."""
    rows, seconds = manifest.rows, manifest.seconds["total"]
    splits = ", ".join(f"{name} {entry.rows:,}" for name, entry in manifest.splits.items())
    return (
        f"{output}: {rows.written:,} records ({splits}); {rows.read:,} rows read, "
        f"{rows.rejected:,} rejected, {rows.duplicate:,} duplicate; "
        f"{seconds:.1f} s, {rows.read / seconds:,.0f} rows/s"
    )
