"""Exported models under another TensorFlow: `python -m tests.older_tensorflow` (make test-tensorflow-2.20).

Models of several kinds are exported here, loaded by a bare `import tensorflow` of that version, in an
environment of its own that holds nothing else, and asked by every signature; the answers are compared
with this version's. TensorFlow Serving's newest release may be older than the TensorFlow that exports.

The environment, about 2 GB, is made in `--environment`, and used again when it is there.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_ROWS = 64
# Sums of float32 may round otherwise in another version's kernels.
_TOLERANCE = 1e-5


def answers(root: Path) -> dict[str, Any]:
    """Asks every model in `root` what its requests say; runs where only TensorFlow is."""
    import tensorflow as tf

    found: dict[str, Any] = {"version": tf.__version__}
    for folder in sorted(root.iterdir()):
        loaded = tf.saved_model.load(str(folder / "served"))
        requests = json.loads((folder / "requests.json").read_text(encoding="utf-8"))
        for number, (signature, arguments) in enumerate(requests):
            tensors = {name: _tensor(tf, given) for name, given in arguments.items()}
            asked = f"{folder.name} {number} {signature}"
            try:
                outputs = loaded.signatures[signature](**tensors)
            except tf.errors.OpError as error:
                # What one version refuses the other has to refuse: flatten, of no rows.
                found[asked] = {"error": ["error", [], [type(error).__name__]]}
                continue
            found[asked] = {
                name: [str(value.dtype.name), value.shape.as_list(), _values(value.numpy())]
                for name, value in outputs.items()
            }
    return found


def _tensor(tf: Any, given: dict[str, Any]) -> Any:
    values = given["values"]
    if given["dtype"] == "string":
        values = [base64.b64decode(value) for value in values]
    return tf.reshape(tf.constant(values, tf.dtypes.as_dtype(given["dtype"])), given["shape"])


def _values(array: Any) -> list[Any]:
    flat = array.reshape(-1).tolist()
    return [value.decode("latin-1") if isinstance(value, bytes) else value for value in flat]


def _given(array: Any) -> dict[str, Any]:
    flat = array.reshape(-1).tolist()
    if array.dtype == object:
        flat = [base64.b64encode(value).decode() for value in flat]
    dtype = "string" if array.dtype == object else str(array.dtype)
    return {"dtype": dtype, "shape": list(array.shape), "values": flat}


def _specs() -> dict[str, dict[str, Any]]:
    from tests.conftest import SHOP
    from tests.test_signatures import SPECS

    encoders = (
        "flatten", "mean", "max", "gru", "lstm", "bidirectional_gru", "bidirectional_lstm",
        "cnn", "attention", "transformer")  # fmt: skip
    features: Any = SHOP["features"]
    texts = {
        f"text_{encoder}": {**features["text"], "column": "text", "encoder": encoder}
        for encoder in encoders
    }
    merges = {
        f"merge_{merge}": {**SHOP, "model": {"merge": merge, "projection": 8, "hidden": [8]}}
        for merge in ("attention", "cross")
    }
    return {"shop": SHOP, "encoders": {**SHOP, "features": texts}, **merges, **SPECS}


def export_models(root: Path) -> None:
    """Leaves models, untrained, with requests beside them."""
    from skewless.model.export import export
    from tests.conftest import shop_csv
    from tests.test_signatures import table, untrained

    folder = root.with_name("sources")
    folder.mkdir()
    sources = {True: shop_csv(folder / "shop.csv"), False: table(folder / "table.jsonl")}
    for name, document in _specs().items():
        made = untrained(document, sources["key" in document], root.with_name("made") / name)
        export(made / "run", root / name / "served")
        (root / name / "requests.json").write_text(
            json.dumps(list(_requests(made, root / name / "served"))), encoding="utf-8"
        )
        print(f"exported: {name}", flush=True)


def _requests(made: Path, served: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    import numpy as np
    import tensorflow as tf

    from skewless.model.verify import sample_rows
    from skewless.schemas.rows.row_encoding import examples
    from skewless.schemas.spec.spec import load

    rows = next(sample_rows(made / "records")).columns[:_ROWS]
    encoded = examples(rows, load(made / "run" / "spec.yaml"))
    columns = json.loads((served / "assets.extra" / "skewless.json").read_text())["columns"]
    for name, signature in tf.saved_model.load(str(served)).signatures.items():
        specs = signature.structured_input_signature[1]
        if name == "predict_columns":
            yield (
                name,
                {
                    argument: _given(_column(rows.column(columns[argument]).to_pylist(), spec))
                    for argument, spec in specs.items()
                },
            )
            continue
        [argument] = specs
        for batch in (encoded, encoded[:1], [tf.train.Example().SerializeToString()], []):
            yield name, {argument: _given(np.array(batch, object))}


def _column(values: list[Any], spec: Any) -> Any:
    import numpy as np
    import tensorflow as tf

    text = spec.dtype == tf.string
    missing: Any = b"" if text else np.nan if spec.dtype.is_floating else np.iinfo(np.int64).min
    lists = [value if isinstance(value, list) else [value] for value in values]
    width = max(len(value) for value in lists) if spec.shape.rank == 2 else 1
    filled = [
        [missing if item is None else item.encode() if text else item for item in value]
        + [missing] * (width - len(value))
        for value in lists
    ]
    array = np.array(filled, object if text else spec.dtype.as_numpy_dtype)
    return array if spec.shape.rank == 2 else array[:, 0]


def differences(ours: dict[str, Any], theirs: dict[str, Any]) -> tuple[list[str], float]:
    """Returns what differs, and the largest difference of a number."""
    import numpy as np

    told, worst = [], 0.0
    for asked in sorted(ours.keys() | theirs.keys()):
        one, other = ours.get(asked, {}), theirs.get(asked, {})
        for name in sorted(one.keys() | other.keys()):
            if name not in one or name not in other or one[name][:2] != other[name][:2]:
                told.append(f"{asked} {name}: {one.get(name)} and {other.get(name)}"[:200])
            elif one[name][0].startswith("float"):
                here, there = (np.array(side[name][2], float) for side in (one, other))
                apart = np.abs(here - there) / np.maximum(1, np.abs(here))
                # NaN on both sides is agreement, on one side it is none.
                apart = np.where(np.isnan(here) & np.isnan(there), 0, np.nan_to_num(apart, nan=9e9))
                worst = max(worst, float(apart.max(initial=0)))
                if apart.max(initial=0) > _TOLERANCE:
                    told.append(f"{asked} {name}: differs by up to {apart.max():g}")
            elif one[name][2] != other[name][2]:
                told.append(f"{asked} {name}: other values")
    return told, worst


def _environment(folder: Path, version: str) -> Path:
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"makes {folder} with tensorflow=={version}.*", flush=True)
        venv.create(folder, with_pip=True)
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", f"tensorflow=={version}.*"], check=True
        )
    return python


def _ask(python: str | Path, root: Path) -> dict[str, Any]:
    done = subprocess.run(
        [python, "-I", __file__, "--answer", str(root)],
        cwd=root,
        env={"PATH": os.environ["PATH"], "HOME": str(root.parent), "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.split("ANSWERS")[1])
    return found


def main() -> int:
    """Runs the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tensorflow", default="2.20", metavar="VERSION")
    parser.add_argument("--environment", type=Path, help="a folder, made if it is not there")
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    known = parser.parse_args()
    if known.answer is not None:
        print("ANSWERS" + json.dumps(answers(known.answer)))
        return 0
    default = Path(tempfile.gettempdir(), f"skewless-tensorflow-{known.tensorflow}")
    python = _environment(known.environment or default, known.tensorflow)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "models")
        root.mkdir()
        export_models(root)
        ours, theirs = _ask(sys.executable, root), _ask(python, root)
    versions = ours.pop("version"), theirs.pop("version")
    told, worst = differences(ours, theirs)
    refused = [asked for asked in ours if "error" in ours[asked] and "error" in theirs[asked]]
    print("\n".join(told))
    print(
        f"TensorFlow {versions[0]} and {versions[1]}: {len(ours)} requests to "
        f"{len({asked.split()[0] for asked in ours})} models, {len(told)} differences, "
        f"{len(refused)} refused alike; "
        f"the largest difference of a number is {worst:g}"
    )
    return 1 if told else 0


if __name__ == "__main__":
    raise SystemExit(main())
