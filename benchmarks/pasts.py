"""What the history that `skewless init --task recommend` proposes finds, beside other ones and none.

`python -m benchmarks.pasts` trains what is proposed for generated visits and purchases, then with the ID of who
asks alone, with the other encoder, and with the ID beside the past or without it. Each row of the test split is
asked for by itself, whatever a model knows of it, so the figures of all are comparable; the generators know the
best that any model can reach.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from skewless.beam_pipelines.init import guess_spec
from skewless.beam_pipelines.init.training.sides import Sides
from skewless.beam_pipelines.preprocess import preprocess
from skewless.model.metrics.gains import discounted
from skewless.model.retrieval.found import find_in_split, most_popular
from skewless.model.train import train
from skewless.model.training.records import open_records
from skewless.model.training.run_directory import load_trained
from skewless.schemas.examples import purchases, visits
from skewless.schemas.examples.generators import write_table
from skewless.schemas.records.layout import MODEL
from skewless.schemas.spec.spec import parse

__all__ = ["run"]

Document = dict[str, Any]
# How much taste and the article before tell.
_VISITS = {"order": (0.5, 3.0), "both": (1.5, 2.0), "weak order": (1.5, 1.0), "taste": (2.5, 0.0)}
_CUTOFF = 10


def _purchases(rows: int) -> tuple[pa.Table, np.ndarray, np.ndarray]:
    """Returns purchases of users who are known, at random times, with the probability of each product."""
    made = purchases.generate(rows)
    seconds = np.sort(1_767_225_600 + np.random.default_rng(5).integers(0, 90 * 86_400, rows))
    times = np.datetime_as_string(seconds.astype("datetime64[s]"))
    table = made.table.append_column("created", pa.array(times))
    return table, made.products, made.probability[made.users]


def _arms(proposed: Document, who: str) -> Iterator[tuple[str, Document]]:
    past = dict(proposed["features"]["past"])
    other = {**past, "encoder": "mean" if past["encoder"] == "gru" else "gru"}
    query = [name for name in proposed["model"]["query"] if name not in (who, "past")]
    features = {who: {"type": "categorical", "embedding": 32, "vocabulary": {"min_count": 2}}}
    features |= {name: value for name, value in proposed["features"].items() if name != "past"}

    def arm(asked: list[str], **more: Document) -> Document:
        model = {**proposed["model"], "query": asked}
        return {**proposed, "features": {**features, **more}, "model": model}

    yield "as proposed", proposed
    yield "the ID alone", arm([who, *query])
    yield "the past alone", arm([*query, "past"], past=past)
    yield "both", arm([who, *query, "past"], past=past)
    yield f"the past alone, {other['encoder']}", arm([*query, "past"], past=other)


def _compared(table: pa.Table, met: np.ndarray, probability: np.ndarray, seeds: int) -> Document:
    found: Document = {}
    table = table.append_column("id", pa.array([f"r{row}" for row in range(len(table))]))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_table(table, root / "rows.csv")
        proposal, _ = guess_spec([str(root / "rows.csv")], sides=Sides())
        for place, (name, document) in enumerate(_arms(proposal.document, "user_id")):
            records = root / f"records{place}"
            preprocess(parse(document), [str(root / "rows.csv")], records)
            for seed in range(1, seeds + 1):
                spec = parse({**document, "training": {**document["training"], "seed": seed}})
                one = root / f"run{place}-{seed}"
                train(records, one, spec=spec)
                data, model = open_records(records), load_trained(one / MODEL)
                ranked = find_in_split(model, spec, data, "test", one)
                found.setdefault(name, []).append(_each_row(ranked.ranked))
            if place == 0:
                rows = np.array([int(key[1:]) for key in ranked.keys])
                found["most popular"] = _each_row(most_popular(spec, data, "test", one).ranked)
                found["best"] = round(visits.ndcg(probability[rows], met[rows], _CUTOFF), 4)
                found["proposed"] = document["features"]["past"], document["model"]["query"]
    return found


def _each_row(ranked: Any) -> float:
    """Returns the NDCG of the rows' lists, each of which has one thing to be found."""
    return round(float(discounted(ranked.ranks[ranked.pairs], _CUTOFF).mean()), 4)


def run(argv: Sequence[str] | None = None) -> None:
    """Prints a line of JSON for each table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pasts", description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000, help="(default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=2, help="(default: %(default)s)")
    parser.add_argument("--only", choices=(*_VISITS, "purchases"), help="one of the tables")
    known = parser.parse_args(argv)
    for name in (*_VISITS, "purchases") if known.only is None else (known.only,):
        if name == "purchases":
            made = _purchases(known.rows)
        else:
            taste, order = _VISITS[name]
            drawn = visits.generate(known.rows, taste=taste, order=order)
            made = drawn.table, drawn.articles, drawn.probability
        print(json.dumps({"rows": known.rows, name: _compared(*made, known.seeds)}), flush=True)


if __name__ == "__main__":
    run()
