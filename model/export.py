"""Export: a trained run becomes one self-contained SavedModel with the transform inside.

The directory is staged, proved against the records (model/verify.py), then moved into place.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import keras
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from skewless.model import arguments
from skewless.model.exported.own_model import check_own_model
from skewless.model.exported.recommender import Recommender
from skewless.model.exported.signatures import ServingFunctions
from skewless.model.exported.transform import Transform
from skewless.model.report.card.markdown import card_of
from skewless.model.tracking.tracking import checked_tracker, track_exported
from skewless.model.training.records import open_records
from skewless.model.training.run_directory import RunDirectory, load_trained, write_json
from skewless.model.verify import Report, check_predictions, verify
from skewless.schemas.ending import run_module
from skewless.schemas.errors import ParityError, UsageError
from skewless.schemas.records.exported_files import write_description
from skewless.schemas.records.layout import (
    ASSETS,
    CARD,
    DESCRIPTION,
    EXTRA,
    MANIFEST,
    METRICS,
    MODEL,
    SAVED_MODEL,
    SPEC,
    STATISTICS,
    TRANSFORM,
    TRANSFORM_FN,
)
from skewless.schemas.records.vocabulary_file import read_vocabulary
from skewless.schemas.rows.saved_graph import load_graph
from skewless.schemas.spec.network import TwoTowerSpec
from skewless.schemas.staged import check_place, put_back, put_in_place, staging_beside
from skewless.schemas.storage.known_as import as_known

__all__ = ["execute", "export", "export_model", "export_own_model", "run"]

_METHODS = {
    "classify": "tensorflow/serving/classify",
    "regress": "tensorflow/serving/regress",
}
# A batch of another size may round float32 sums another way.
_TOLERANCE = 1e-5


def export(
    run_directory: str | Path,
    output: str | Path,
    *,
    records_directory: str | Path | None = None,
    overwrite: bool = False,
    check: bool = True,
    track: str | None = None,
) -> Report | None:
    """Exports a finished run.

    Args:
      run_directory: What `train` left.
      output: The SavedModel's directory.
      records_directory: Instead of where the records were when training started.
      overwrite: Replaces what is at `output`.
      check: Whether to prove parity on the rows kept in the records directory.
      track: `mlflow:URI`, to give the model to MLflow as well; one that cannot be reached is told
        of.

    Returns:
      The proof, or None without `check`.

    Raises:
      UsageError: If the run is not finished, the output is there, or the records are gone; or
        `track` cannot be understood or MLflow is not installed.
      ParityError: If the exported graph does not reproduce the records; nothing is left.
    """
    tracker = checked_tracker(track)
    run = RunDirectory.open(run_directory)
    destination = Path(output)
    _check_output(destination, overwrite=overwrite)
    records = Path(records_directory) if records_directory is not None else run.records_directory
    if check and not (records / MANIFEST).is_file():
        raise UsageError(
            f"{records}: the records to prove parity on are gone; give --records DIR, "
            "or --no-verify to export unproved"
        )
    if check:
        run.check_records(open_records(records))
    model = load_trained(run.path / MODEL)
    proved = records if check else None
    report = export_model(run, model, destination, proved, replace=overwrite)
    if tracker is not None:
        track_exported(tracker, run, destination)
    return report


def export_own_model(
    model: keras.Model,
    records_directory: str | Path,
    output: str | Path,
    *,
    overwrite: bool = False,
    check: bool = True,
) -> Report | None:
    """Exports a Keras model that was not built from the spec, with the records' transform inside.

    Args:
      model: A functional model whose inputs are a dict by record entry.
      records_directory: The records that it was trained on.
      output: The SavedModel's directory.
      overwrite: Replaces what is at `output`.
      check: Whether to prove parity on the rows kept in the records directory.

    Returns:
      The proof, or None without `check`.

    Raises:
      UsageError: If the model's inputs are not entries of the records, its output is not of the label, or
        the output directory is there.
      ParityError: If the exported graph does not reproduce the records; nothing is left.
    """
    destination = Path(output)
    _check_output(destination, overwrite=overwrite)
    records = open_records(records_directory)
    check_own_model(model, records)
    # A records directory holds spec, manifest, transform and statistics where a run does.
    proved = records.directory if check else None
    run = RunDirectory(records.root)
    return export_model(run, model, destination, proved, replace=overwrite)


def export_model(
    run: RunDirectory,
    model: keras.Model,
    destination: Path,
    records: Path | None,
    *,
    replace: bool = True,
) -> Report | None:
    """Exports a model of a run, which may still be training.

    Args:
      run: Gives spec, manifest and transform.
      model: The model as it is now.
      destination: The SavedModel's directory, which appears whole.
      records: Where to prove parity, with raw rows beside them; None not to.
      replace: Whether a model that is there by then may go.

    Raises:
      UsageError: If one is there that may not go.
      ParityError: If the exported graph does not reproduce the records; nothing is left.
    """
    spec, manifest = run.spec, run.manifest
    recommender = None
    if isinstance(spec.model, TwoTowerSpec):
        recommender = Recommender(model, spec, manifest.features, run.path)
    functions = ServingFunctions(
        spec, manifest, Transform(spec, run.path / TRANSFORM), model, _classes(run), recommender
    )
    with staging_beside(destination) as staging:
        _write(run, functions, staging)
        report = _prove(staging, records, functions) if records is not None else None
        put_in_place(staging, destination, replace=replace)
    return report


def _check_output(destination: Path, *, overwrite: bool) -> None:
    check_place(destination, graph=True)
    put_back(destination)
    if not destination.exists() or (destination.is_dir() and not any(destination.iterdir())):
        return
    if not (destination / EXTRA / DESCRIPTION).is_file():
        raise UsageError(
            f"{destination}: is there already and is not a model that `skewless export` left, "
            "so it is not ours to replace; choose another directory"
        )
    if not overwrite:
        raise UsageError(f"{destination}: is there already; add --overwrite to replace it")


def _write(run: RunDirectory, functions: ServingFunctions, directory: Path) -> None:
    archive = keras.export.ExportArchive()
    # Holds the model, and the transform graph, whose tables and vocabulary files go with it.
    archive.track(functions)
    endpoints = functions.endpoints()
    for name, function in endpoints.items():
        archive.add_endpoint(name, function)
    archive.write_out(str(directory), verbose=False)
    _finish_signatures(directory)
    extra = directory / EXTRA
    extra.mkdir(exist_ok=True)
    for name in (SPEC, MANIFEST, METRICS, STATISTICS):
        if (run.path / name).is_file():
            shutil.copy2(run.path / name, extra / name)
    _keep_examples_at_home(extra / METRICS)
    (extra / CARD).write_text(card_of(run.path), encoding="utf-8")
    description = {
        "spec": run.spec.name,
        "transform_sha256": run.manifest.transform_sha256,
        "signatures": sorted(endpoints),
        "columns": dict(functions.arguments),
        "tensorflow": tf.__version__,
        "needs_tensorflow_text": _needs_text(directory),
    }
    write_description(directory, description)


def _keep_examples_at_home(metrics: Path) -> None:
    """Takes queries and what they met out of metrics: a model goes where its users' rows need not."""
    if not metrics.is_file():
        return
    document = json.loads(metrics.read_text(encoding="utf-8"))
    for curves in document.get("curves", {}).values():
        curves.pop("examples", None)
    write_json(metrics, document)


def _finish_signatures(directory: Path) -> None:
    """Adds what TF Serving reads and `tf.saved_model.save` leaves out.

    `classify` and `regress` get the method names it asks for; the inputs of `predict_columns` and
    `recommend` get empty defaults, so that a request may leave columns out.
    """
    path = directory / SAVED_MODEL
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for graph in saved.meta_graphs:
        for name, signature in graph.signature_def.items():
            method = name.split("_")[0]
            signature.method_name = _METHODS.get(method, signature.method_name)
            if name in ("predict_columns", "recommend"):
                for argument, tensor in signature.inputs.items():
                    shape = [0] * len(tensor.tensor_shape.dim)
                    empty = tf.zeros(shape, tf.dtypes.as_dtype(tensor.dtype))
                    signature.defaults[argument].CopyFrom(tf.make_tensor_proto(empty))
    path.write_bytes(saved.SerializeToString())


def _needs_text(directory: Path) -> bool:
    graph = (directory / SAVED_MODEL).read_bytes()
    return b"NormalizeUTF8" in graph or b"WordpieceTokenize" in graph


def _classes(run: RunDirectory) -> dict[str, list[bytes]]:
    assets = run.path / TRANSFORM / TRANSFORM_FN / ASSETS
    paths = {entry: assets / entry for entry in run.spec.targets}
    return {entry: read_vocabulary(str(path)) for entry, path in paths.items() if path.is_file()}


def _prove(directory: Path, records: Path, functions: ServingFunctions) -> Report:
    exported = load_graph(directory)
    report = verify(directory, records, graph=exported)
    if not report.passed:
        raise ParityError(
            "the exported model does not reproduce the records; nothing was left at the output. "
            f"Export the run of these records, or report this:\n{report}"
        )
    report.prediction_difference = check_predictions(
        directory, records, functions.predictions, exported
    )
    if report.prediction_difference > _TOLERANCE:
        raise ParityError(
            f"predictions from raw rows differ from the trained model's on their records by up to "
            f"{report.prediction_difference:g}, more than {_TOLERANCE:g}; the exported graph is not "
            "the trained one. Nothing was left at the output; export again, or report this"
        )
    return report


def execute(known: argparse.Namespace) -> int:
    """Does what parsed arguments ask for; returns the exit code."""
    report = export(
        known.run,
        known.output,
        records_directory=known.records,
        overwrite=known.overwrite,
        check=not known.no_verify,
        track=known.track,
    )
    if known.json:
        proof = None if report is None else {"passed": report.passed, **asdict(report)}
        print(json.dumps({"output": as_known(known.output), "proof": proof}, indent=2))
    else:
        print(report if report is not None else "exported without proof")
    return 0


def run(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    return run_module("skewless.model.export", arguments.export, execute, argv, description=__doc__)


if __name__ == "__main__":
    raise SystemExit(run())
