"""What a report is made of: the plain files of records directories and of runs, on disk."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from skewless.schemas.errors import DatasetMismatchError, UsageError
from skewless.schemas.records.layout import MANIFEST, METRICS, REJECTED, SOURCE, SPEC, STATISTICS
from skewless.schemas.records.manifest import Manifest, load_manifest
from skewless.schemas.records.records import LABEL, label_entry
from skewless.schemas.rows.reasons import kind_as_written
from skewless.schemas.spec.label import RegressionLabel
from skewless.schemas.spec.spec import Spec, load

__all__ = ["Reason", "Records", "Run", "classes_of", "open_directories", "open_records"]

_MOST_REJECTED_LINES = 200_000


@dataclass(frozen=True)
class Reason:
    """Rows rejected for one reason; `example` is the place of the first of them."""

    column: str
    reason: str
    rows: int
    example: str


@dataclass(frozen=True)
class Records:
    """A records directory, or the copy that a run keeps of its description."""

    path: Path
    manifest: Manifest
    spec: Spec
    statistics: dict[str, Any]
    rejected: list[Reason] | None

    @property
    def splits(self) -> dict[str, Any]:
        """Statistics by split, those with rows, in the order train, eval, test."""
        found: dict[str, Any] = self.statistics.get("splits", {})
        order = [name for name in ("train", "eval", "test") if name in found]
        return {name: self._named(found[name]) for name in order if found[name]["rows"]}

    @property
    def label(self) -> str:
        """What to call the label: by its column."""
        return "label" if self.spec.label is None else f"{self.spec.label.column} (label)"

    @property
    def by_label(self) -> list[Records]:
        """These as if each of several labels were the only one; these alone where there are not several."""
        return [self.of_label(name) for name in self.spec.labels] if self.spec.labels else [self]

    def of_label(self, name: str) -> Records:
        """Returns these as if one of several labels were the only one."""
        others = self.spec.targets.keys() - {label_entry(name)}
        splits = {}
        for split, found in self.statistics.get("splits", {}).items():
            features = {
                LABEL if feature == label_entry(name) else feature: entry
                for feature, entry in found["features"].items()
                if feature not in others
            }
            own = found.get("labels", {}).get(name, {})
            splits[split] = {**found, **own, "features": features}
        return replace(self, spec=self.spec.alone(name), statistics={"splits": splits})

    def _named(self, split: dict[str, Any]) -> dict[str, Any]:
        """Returns a split's statistics with labels' entries, if there are any, by their names."""
        names = {
            entry: f"{label.column} (label)" if entry != LABEL else self.label
            for entry, label in self.spec.targets.items()
        }
        features = {names.get(name, name): entry for name, entry in split["features"].items()}
        return {**split, "features": features}


@dataclass(frozen=True)
class Run:
    """A finished run, with the evaluations made of it, by split."""

    path: Path
    spec: Spec
    metrics: dict[str, Any]
    records: Records
    evaluations: dict[str, dict[str, Any]] = field(default_factory=dict)
    label: str = ""

    @property
    def name(self) -> str:
        """What to call it."""
        return self.path.resolve().name + (f", {self.label}" if self.label else "")

    @property
    def by_label(self) -> list[Run]:
        """This as if each of several labels were the only one; this alone where there are not several."""
        return [self._of_label(name) for name in self.spec.labels] if self.spec.labels else [self]

    @property
    def error_unit(self) -> str:
        """The unit of `rmse` and `mae` in `history`; empty unless the label is a number."""
        label = self.spec.label
        if not isinstance(label, RegressionLabel):
            return ""
        # Statistics hold the deviation of the numbers, not that of their logarithms.
        chained = label.standardized and label.logarithmic
        return f"standard deviations of {label.error_unit}" if chained else label.error_unit

    @property
    def history(self) -> list[dict[str, float]]:
        """Figures by epoch. Errors of a z-scored label are in its own unit; the loss is as trained on."""
        label, history = self.spec.label, self.metrics.get("history", [])
        if not (isinstance(label, RegressionLabel) and label.scale == "z_score"):
            return list(history)
        deviation = self.records.splits["train"]["features"][self.records.label][
            "standard_deviation"
        ]
        errors = [f"{held}{error}" for held in ("", "val_") for error in ("rmse", "mae")]
        return [
            {name: value * deviation if name in errors else value for name, value in entry.items()}
            for entry in history
        ]

    def _of_label(self, name: str) -> Run:
        def of_splits(document: dict[str, Any]) -> dict[str, Any]:
            return {split: found["labels"][name] for split, found in document.items()}

        metrics = self.metrics
        figures = of_splits(
            {split: metrics[split] for split in ("eval", "test") if split in metrics}
        )
        own = {
            **metrics,
            **figures,
            "confidence": of_splits(metrics.get("confidence", {})),
            "curves": of_splits(metrics.get("curves", {})),
            "history": [_of_label(entry, name) for entry in metrics.get("history", [])],
        }
        evaluations = of_splits(self.evaluations)
        return Run(
            self.path, self.spec.alone(name), own, self.records.of_label(name), evaluations, name
        )


def _of_label(entry: dict[str, float], name: str) -> dict[str, float]:
    """Returns an epoch's figures of one of several labels, called as a single one's are."""
    found: dict[str, float] = {key: entry[key] for key in ("epoch", "pane", "rows") if key in entry}
    for held in ("", "val_"):
        before = f"{held}{name}_"
        found |= {
            f"{held}{figure.removeprefix(before)}": value
            for figure, value in entry.items()
            if figure.startswith(before)
        }
    return found


def classes_of(records: Records) -> list[str]:
    """Returns what to call the label's classes, in the order of their IDs."""
    summary: dict[str, Any] = next(iter(records.splits.values()), {})
    if "label_values" in summary:
        return list(summary["label_values"])
    if records.spec.label is not None and records.spec.label.is_binary:
        return ["negative", "positive"]
    return [f"class {place}" for place in range(len(summary.get("label_counts", [])))]


def open_directories(paths: Sequence[str | Path]) -> tuple[list[Records], list[Run]]:
    """Opens what is given; the records of a run count as given, and each only once.

    Raises:
      UsageError: If a directory is neither finished records nor a finished run.
      DatasetMismatchError: If one of its files is damaged.
    """
    records: list[Records] = []
    runs: list[Run] = []
    for path in map(Path, paths):
        if (path / METRICS).is_file():
            runs.append(_run(path))
        elif (path / MANIFEST).is_file() and not (path / SOURCE).is_file():
            records.append(open_records(path))
        else:
            raise UsageError(
                f"{path}: is neither records (it has no {MANIFEST}) nor a finished run (it has no "
                f"{METRICS}) nor an index; give what `skewless preprocess`, `train` or `index` has left"
            )
    known = {entry.manifest.transform_sha256 for entry in records}
    for run in runs:
        if run.records.manifest.transform_sha256 not in known:
            known.add(run.records.manifest.transform_sha256)
            records.append(run.records)
    return records, runs


def _run(path: Path) -> Run:
    evaluations = {}
    for file in sorted(path.glob("evaluation-*.json")):
        document = _json(file)
        evaluations[document["split"]] = document
    own = open_records(path, own=False)
    origin = Path(_json(path / SOURCE)["directory"]) if (path / SOURCE).is_file() else path
    if (origin / MANIFEST).is_file():
        there = load_manifest(origin)
        if there.transform_sha256 == own.manifest.transform_sha256:
            own = open_records(origin)
    return Run(path, load(path / SPEC), _json(path / METRICS), own, evaluations)


def open_records(path: str | Path, own: bool = True) -> Records:
    """Opens a records directory; or, not its `own`, the copy of a description that a run keeps.

    Raises:
      DatasetMismatchError: If one of its files is damaged.
    """
    path = Path(path)
    statistics = path / STATISTICS
    return Records(
        path,
        load_manifest(path),
        load(path / SPEC),
        _json(statistics) if statistics.is_file() else {},
        _reasons(path) if own else None,
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetMismatchError(f"{path}: cannot be read: {error}; make it again") from error
    return document


def _reasons(path: Path) -> list[Reason]:
    """Counts rejected rows by column and reason, the values in the reasons left out."""
    counts: Counter[tuple[str, str]] = Counter()
    examples: dict[tuple[str, str], str] = {}
    for row in _rejected(path / REJECTED):
        kind = re.sub(r" (at byte|from row) \d+", "", kind_as_written(row["reason"]))
        entry = (row["column"] or "(the row)", kind)
        counts[entry] += 1
        examples.setdefault(entry, f"{row['file']}, row {row['row']}: {row['reason']}")
    return [Reason(*entry, rows, examples[entry]) for entry, rows in counts.most_common()]


def _rejected(folder: Path) -> Iterator[dict[str, Any]]:
    left = _MOST_REJECTED_LINES
    for part in sorted(folder.glob("*.jsonl")):
        with part.open(encoding="utf-8") as lines:
            for line in lines:
                if not left:
                    return
                left -= 1
                yield json.loads(line)
