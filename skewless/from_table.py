"""From a table to an evaluated, exported, proved model and its report, by one command."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skewless.fitted_table import lines_of
from skewless.schemas.errors import DataError, UsageError, listed
from skewless.schemas.options_parser import share_of_rows
from skewless.schemas.records.layout import SPEC
from skewless.schemas.staged import write_whole
from skewless.schemas.storage.known_as import as_known
from skewless.schemas.storage.location import is_uri

if TYPE_CHECKING:
    from skewless.frames import TableLike
    from skewless.records import Records
    from skewless.run import Run
    from skewless.schemas.spec.spec import Spec
    from skewless.served import Model

__all__ = ["Fitted", "execute", "fit", "options"]


@dataclass(frozen=True)
class Fitted:
    """What `fit` leaves.

    Attributes:
      path: The directory: `spec.yaml`, `records/`, `run/`, `served/`, `report.html`, `summary.json`.
      records, run, model: The three, opened.
      metrics: Of the model on the split `split`.
      baselines: The same metrics of `majority` and `linear`, by baseline.
      split: `test`, or `eval` where the spec gives `test` no rows.
      importance: How much worse the model is with each feature's values shuffled among rows of the
        split: {"metric", "rows", "features": [{"feature", "worse", "low", "high"}, …]}, the most
        first; empty of a model that generates sequences. Of several labels these three hold what a
        single one has by `labels`, then name.
    """

    path: Path
    records: Records
    run: Run
    model: Model
    metrics: dict[str, Any]
    baselines: dict[str, dict[str, Any]]
    split: str
    importance: dict[str, Any]

    def __str__(self) -> str:
        return "\n".join(lines_of(self.split, self.metrics, self.baselines, self.importance))


def fit(
    data: TableLike,
    label: str | Sequence[str] | None = None,
    *,
    output: str | Path,
    spec: Spec | dict[str, Any] | str | Path | None = None,
    epochs: int | None = None,
    overwrite: bool = False,
    max_rejected: float = 0.01,
) -> Fitted:
    """Guesses a spec, then preprocesses, trains, evaluates, exports, proves and reports.

    Args:
      data: Paths or globs, or rows as `preprocess` takes them.
      label: The column to predict, or several; not needed with a spec.
      output: The directory to leave. A `spec.yaml` that is in it is used as it is, so a guess can
        be edited and the job run again.
      spec: The declaration, instead of a guess.
      epochs: Instead of `training.epochs`.
      overwrite: Replaces what an earlier job left at `output`, all but `spec.yaml`.
      max_rejected: The largest share of rejected rows, such as those without a label, that still
        counts as success.

    Raises:
      UsageError: If records, a run or a model are at `output` already, if there is no label, or
        what reports need is not installed.
      DataError: If the rows cannot be used, or none is left to measure the model on.
      TooManyRejectedError: If more rows are rejected than `max_rejected`.
      ParityError: If the exported model does not reproduce the records.

    Example:
      fitted = sk.fit(frame, label="rating", output="reviews"); fitted.model.predict(new_frame)
    """
    from skewless.frames import as_globs

    if is_uri(output):
        raise UsageError(f"{output}: expected a path; `skewless run` takes a URI")
    asked = _Asked(label, spec, epochs, overwrite, max_rejected)
    with as_globs(data, Path(output) / "rows") as globs:
        return _fitted(globs, Path(output), asked, lambda *_: None)


@dataclass(frozen=True)
class _Asked:
    """What is asked for of the steps, as `fit` takes it."""

    label: str | Sequence[str] | None
    spec: Spec | dict[str, Any] | str | Path | None
    epochs: int | None
    overwrite: bool
    max_rejected: float


def _fitted(
    globs: list[str], root: Path, asked: _Asked, tell: Callable[[str, str], None]
) -> Fitted:
    from skewless.model.baselines import baseline_metrics
    from skewless.model.report import write_report
    from skewless.records import preprocess
    from skewless.run import train
    from skewless.served import export

    begin = time.monotonic()
    root.mkdir(parents=True, exist_ok=True)
    declaration = _declaration(globs, root, asked, tell)
    if not declaration.targets and declaration.model.needs_label:
        raise UsageError("--label: expected a column to predict; the spec has no label")
    tell("preprocess", "rows to records")
    records = preprocess(
        declaration,
        globs,
        root / "records",
        max_rejected=asked.max_rejected,
        overwrite=asked.overwrite,
    )
    split = _measured_on(records)
    tell("train", f"{records.rows('train'):,} rows")
    run = train(records, root / "run", epochs=asked.epochs, overwrite=asked.overwrite)
    tell("evaluate", f"on {split}, beside the majority and a linear model")
    baselines = baseline_metrics(declaration, records.opened, split, run.path)
    importance = _importance(run, split)
    tell("export", "with the transform inside, proved on raw rows")
    model = export(run, root / "served", overwrite=asked.overwrite)
    write_report([records.path, run.path], root / "report.html")
    if not (root / SPEC).exists():
        write_whole(root / SPEC, declaration.to_yaml())
    fitted = Fitted(root, records, run, model, run.metrics[split], baselines, split, importance)
    summary = {
        "split": split,
        "metrics": fitted.metrics,
        "baselines": baselines,
        "importance": importance,
        "seconds": round(time.monotonic() - begin, 1),
    }
    write_whole(root / "summary.json", json.dumps(summary, indent=2) + "\n")
    return fitted


def _measured_on(records: Records) -> str:
    """Returns the split that the model is measured on.

    Raises:
      DataError: If neither has rows, which is said before a model is trained.
    """
    found = next((split for split in ("test", "eval") if records.rows(split)), None)
    if found is None:
        raise DataError(
            f"{records.path}: all {records.rows('train'):,} rows fell into train, and none is left to measure "
            "the model on; give more rows, or larger shares to eval and test under `split` in the spec"
        )
    return found


def _importance(run: Run, split: str) -> dict[str, Any]:
    """Returns what the model leans on, and leaves it in the run for the report."""
    from skewless.model.evaluate import leave_evaluation
    from skewless.schemas.spec.network import TowersSpec

    if not isinstance(run.spec.model, TowersSpec):
        return {}
    result = run.evaluate(split, importance=True)
    leave_evaluation(run.path, result)
    if "labels" not in result:
        found: dict[str, Any] = result.get("importance", {})
        return found
    return {"labels": {name: own.get("importance", {}) for name, own in result["labels"].items()}}


def _declaration(
    globs: list[str], root: Path, given: _Asked, tell: Callable[[str, str], None]
) -> Spec:
    """Returns the spec: the one given, the one in the directory, or a guess, which is left there."""
    from skewless.records import declared
    from skewless.schemas.spec.spec import load

    path, spec, label = root / SPEC, given.spec, given.label
    if spec is None and path.exists():
        tell("init", f"{path} is there and is used as it is; delete it to have it guessed anew")
        spec = path
    if spec is not None:
        found = declared(spec)
        columns = [target.column for target in found.targets.values()]
        asked = [label] if isinstance(label, str) else [*(label or ())]
        if asked and columns and set(asked) != set(columns):
            raise UsageError(
                f"--label {', '.join(asked)}: the spec's label is {listed(map(repr, columns))}; leave --label "
                f"out, or delete {path} to have it guessed anew"
            )
        return found
    from skewless.first_spec import guessed

    tell("init", f"a first spec for {path}")
    # Half of it would be used as it is by the next job.
    write_whole(path, guessed(globs, label))
    return load(path)


def options(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of `skewless run`."""
    parser.add_argument(
        "data", nargs="+", metavar="DATA", help="files or globs, as preprocess --input takes them"
    )
    parser.add_argument(
        "--label",
        action="append",
        metavar="COLUMN",
        help="the column to predict (default: as init guesses it, or the spec's); again for several",
    )
    parser.add_argument(
        "-o", "--output", required=True, metavar="DIR", help="where to leave everything"
    )
    parser.add_argument("--spec", help="a spec to use instead of a guess")
    parser.add_argument("--epochs", type=int, metavar="N", help="instead of training.epochs")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace what an earlier job left there, all but spec.yaml, which is used",
    )
    parser.add_argument(
        "--max-rejected",
        type=share_of_rows,
        default=0.01,
        metavar="SHARE",
        help="fail when a larger share of rows is rejected, as those without a label are "
        "(default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print metrics and baselines as JSON")


def execute(known: argparse.Namespace) -> int:
    """Does what parsed arguments ask for; returns the exit code."""

    def tell(step: str, what: str) -> None:
        if not (known.quiet or known.json):
            print(f"== {step}: {what}", flush=True)

    from skewless.commands.loading import silent_standard_error

    with silent_standard_error(known.verbose):
        # Both load what talks while it loads.
        import skewless.beam_pipelines.preprocess
        import skewless.model.export  # noqa: F401
    root = Path(known.output)
    asked = _Asked(known.label, known.spec, known.epochs, known.overwrite, known.max_rejected)
    fitted = _fitted(known.data, root, asked, tell)
    if known.json:
        print((root / "summary.json").read_text(encoding="utf-8"), end="")
        return 0
    print(fitted)
    place = as_known(root)
    print(f"\n{place}/: spec.yaml records/ run/ served/ report.html")
    print(f"next: skewless serve {place}/served   or edit {place}/spec.yaml and run this again")
    return 0
