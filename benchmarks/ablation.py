"""What each part of a network, of the numbers and of the rows is worth, on real tables.

    python -m benchmarks.ablation --data DIR --output OUT [--seeds 3] [--only bike,adult] [--parts ema,linear]

DIR is that of `benchmarks.unedited`. Each arm is what `skewless init` proposes but for one part, put in or
left out, trained on the same rows with the same seeds; a part that a table has no use for is passed over. All
arms of a seed come before the next seed. What was measured is kept in OUT/ablation.json and not measured again,
so that the command may be ended and run anew; at its end, or with `--table` at once, it prints the table: means
of the test metric, and the difference from the proposal with its standard error over the seeds they share.
"""

from __future__ import annotations

import copy
import json
import shutil
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.unedited import TABLES, declared, options
from skewless.beam_pipelines.preprocess import preprocess
from skewless.model.train import train
from skewless.schemas import Spec, parse

Document = dict[str, Any]
Found = dict[str, dict[str, dict[str, dict[str, float]]]]
PROPOSAL = "as proposed"
_MOST_CROSSED, _CROSS_BUCKETS, _NUMBER_BUCKETS = 4, 10_000, 20


def _features(document: Document, kind: str) -> dict[str, Document]:
    return {name: each for name, each in document["features"].items() if each["type"] == kind}


def _plain(document: Document) -> None:
    for feature in _features(document, "numeric").values():
        feature.pop("embedding", None)


def _periodic(document: Document) -> None:
    for feature in _features(document, "numeric").values():
        feature["embedding"] = "periodic"


def _scaled(scale: str | list[str]) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        _plain(document)
        for feature in _features(document, "numeric").values():
            feature["scale"] = scale

    return change


def _network(**keys: Any) -> Callable[[Document], None]:
    return lambda document: document["model"].update(keys)


def _training(**keys: Any) -> Callable[[Document], None]:
    return lambda document: document["training"].update(keys)


def _plain_mean(document: Document) -> None:
    for feature in _features(document, "text").values():
        feature.pop("weighting", None)


def _without_times(document: Document) -> None:
    for name in _features(document, "timestamp"):
        del document["features"][name]


def _crossed(document: Document) -> None:
    """Crosses every two of the first few categories and, where these are few, of numbers in buckets."""
    features = document["features"]
    names = list(_features(document, "categorical"))[:_MOST_CROSSED]
    for name in list(_features(document, "numeric"))[: _MOST_CROSSED - len(names)]:
        column = features[name].get("column", name)
        buckets = {"type": "numeric", "column": column, "buckets": _NUMBER_BUCKETS, "embedding": 8}
        features[f"{name}_bucket"] = buckets
        names.append(f"{name}_bucket")
    for pair in combinations(names, 2):
        cross = {"type": "cross", "of": pair, "hash_buckets": _CROSS_BUCKETS, "embedding": 8}
        features["_x_".join(pair)] = cross


# Those of the proposal are left out, or others put in their place; the rest are put in.
PARTS: dict[str, Callable[[Document], None]] = {
    PROPOSAL: lambda document: None,
    "numbers as they are scaled": _plain,
    "periodic numbers": _periodic,
    "scaled by z_score alone": _scaled("z_score"),
    "scaled by log1p then z_score": _scaled(["log1p", "z_score"]),
    "scaled by robust_clip": _scaled("robust_clip"),
    "no tf_idf": _plain_mean,
    "no times": _without_times,
    "crosses": _crossed,
    "normalization: layer": _network(normalization="layer"),
    "residual": _network(residual=True),
    "linear": _network(linear=True),
    "ensemble: 8": _network(ensemble=8),
    "ema: 0.999": _training(ema=0.999),
    "no schedule": lambda document: document["training"].pop("schedule", None),
}


def arms(document: Document) -> dict[str, Document]:
    """Returns what each part makes of a proposal, by part; those that it changes nothing of are left out."""
    found: dict[str, Document] = {}
    for part, change in PARTS.items():
        changed = copy.deepcopy(document)
        change(changed)
        if part == PROPOSAL or changed != document:
            found[part] = changed
    return found


def _measured(name: str, spec: Spec, inputs: list[str], root: Path) -> dict[str, float]:
    """Trains a spec on the records of `root` that its rows became, and removes the run."""
    records = root / f"records-{spec.sha256()[:16]}"
    if not (records / "manifest.json").is_file():
        preprocess(spec, inputs, records, overwrite=True)
    begun = time.monotonic()
    metrics = train(records, root / "run", spec=spec, overwrite=True)
    seconds = time.monotonic() - begun
    shutil.rmtree(root / "run")
    return {"score": metrics["test"][TABLES[name].metric], "seconds": seconds}


def measure(data: Path, output: Path, seeds: range, only: list[str], parts: list[str]) -> None:
    """Measures what `ablation.json` lacks, and adds it there arm by arm."""
    path = output / "ablation.json"
    output.mkdir(parents=True, exist_ok=True)
    proposed = {name: declared(name, data) for name in only}
    for seed in seeds:
        for name, (document, inputs) in proposed.items():
            for part, changed in arms(document).items():
                found: Found = json.loads(path.read_text()) if path.is_file() else {}
                of_part = found.setdefault(name, {}).setdefault(part, {})
                if str(seed) in of_part or (part != PROPOSAL and part not in parts):
                    continue
                changed["training"]["seed"] = seed
                spec = parse(changed, source=name)
                of_part[str(seed)] = _measured(name, spec, inputs, output / name)
                path.write_text(json.dumps(found, indent=1) + "\n")
                print(f"{name} seed {seed} {part}: {of_part[str(seed)]}", flush=True)


def table(found: Found) -> str:
    """Returns what was measured as Markdown: part by part, table by table."""
    names = [name for name in TABLES if name in found]
    titles = [f"{name}, {TABLES[name].metric}" for name in names]
    lines = [f"| part | {' | '.join(titles)} |", "|---" * (len(names) + 1) + "|"]
    for part in PARTS:
        cells = [_cell(found[name], part) for name in names]
        if any(cells):
            lines.append(f"| {part} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(arms_of_table: dict[str, dict[str, dict[str, float]]], part: str) -> str:
    proposal = arms_of_table.get(PROPOSAL, {})
    scores = {seed: entry["score"] for seed, entry in arms_of_table.get(part, {}).items()}
    if not scores:
        return ""
    mean = f"{np.mean(list(scores.values())):.5g}"
    if part == PROPOSAL:
        return f"{mean} ({len(scores)} seed{'s' * (len(scores) > 1)})"
    pairs = [score - proposal[seed]["score"] for seed, score in scores.items() if seed in proposal]
    if not pairs:
        return mean
    error = f" ± {np.std(pairs, ddof=1) / np.sqrt(len(pairs)):.2g}" if len(pairs) > 1 else ""
    return f"{mean} ({np.mean(pairs):+.2g}{error})"


def main() -> None:
    """Measures, and prints the table."""
    parser = options("ablation", __doc__)
    parser.add_argument("--parts", default=",".join(PARTS), help="some of the parts, by comma")
    parser.add_argument("--table", action="store_true", help="measure nothing more")
    known = parser.parse_args()
    if not known.table:
        only, parts = known.only.split(","), known.parts.split(",")
        measure(known.data, known.output, range(1, known.seeds + 1), only, parts)
    print(table(json.loads((known.output / "ablation.json").read_text())))


if __name__ == "__main__":
    main()
