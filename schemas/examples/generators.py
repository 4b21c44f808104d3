"""Generators of data that fits the example specs, each with a signal that its model can learn.

`EXAMPLES` maps a spec's name to the function that makes its columns. The same arguments give the
same rows.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from skewless.schemas.examples.purchases import purchases
from skewless.schemas.examples.visits import visits

__all__ = ["EXAMPLES", "generate", "spec_path", "write", "write_table"]

Columns = dict[str, object]
Rng = np.random.Generator
_SEPARATOR = "|"
_FILLER = [
    "the",
    "a",
    "of",
    "to",
    "in",
    "on",
    "it",
    "was",
    "for",
    "with",
    "and",
    "but",
    "this",
    "that",
    "then",
    "there",
    "very",
    "some",
    "time",
    "day",
]
_GOOD, _BAD = ("good", "great", "fine", "lovely"), ("bad", "poor", "awful", "nasty")


def spec_path(name: str) -> Path:
    """Returns the example's spec file."""
    return Path(__file__).with_name(f"{name}.yaml")


def generate(name: str, rows: int, seed: int = 1) -> pa.Table:
    """Returns `rows` rows that fit the example `name`.

    Raises:
      KeyError: If there is no such example.
    """
    columns = EXAMPLES[name](np.random.default_rng(seed), rows)
    return pa.table({"id": [f"{seed}-{row}" for row in range(rows)], **columns})


def write(name: str, path: Path, rows: int, seed: int = 1) -> None:
    """Writes an example's rows as .csv, .jsonl or .parquet, by the path's ending.

    In CSV lists are joined by `|`.
    """
    write_table(generate(name, rows, seed), path)


def write_table(table: pa.Table, path: Path) -> None:
    """Writes rows as `write` does."""
    if path.suffix == ".parquet":
        pa.parquet.write_table(table, path)
    elif path.suffix == ".jsonl":
        table.to_pandas().to_json(path, orient="records", lines=True, force_ascii=False)
    else:
        for place, field in enumerate(table.schema):
            if pa.types.is_list(field.type):
                joined = [_SEPARATOR.join(values) for values in table.column(place).to_pylist()]
                table = table.set_column(place, field.name, pa.array(joined))
        pa.csv.write_csv(table, path)


def _coin(rng: Rng, logits: np.ndarray) -> np.ndarray:
    return (rng.random(len(logits)) < 1 / (1 + np.exp(-logits))).astype(np.int64)


def _ids(prefix: str, numbers: np.ndarray) -> list[str]:
    return [f"{prefix}{number}" for number in numbers]


def _user_product(rng: Rng, rows: int) -> Columns:
    """Log-odds: a user's bias plus a product's quality."""
    user, product = rng.integers(60, size=rows), rng.integers(40, size=rows)
    logits = 2.0 * rng.normal(size=60)[user] + 2.0 * rng.normal(size=40)[product]
    return {
        "user_id": _ids("u", user),
        "product_id": _ids("p", product),
        "liked": _coin(rng, logits),
    }


def _sentences(rng: Rng, feeling: np.ndarray, length: int) -> list[str]:
    """Returns filler words with a few good or bad ones among them."""
    texts = []
    for value in feeling:
        words = list(rng.choice(_FILLER, int(rng.integers(length // 2, length))))
        for _ in range(3):
            words[int(rng.integers(len(words)))] = str(rng.choice(_GOOD if value else _BAD))
        texts.append(" ".join(words).capitalize() + ".")
    return texts


def _text_user(rng: Rng, rows: int) -> Columns:
    """Log-odds: +2 or -2 by the text's feeling, plus a user's bias."""
    user, feeling = rng.integers(50, size=rows), rng.integers(2, size=rows)
    logits = 4.0 * feeling - 2.0 + rng.normal(size=50)[user]
    return {
        "text": _sentences(rng, feeling, 16),
        "user_id": _ids("u", user),
        "liked": _coin(rng, logits),
    }


def _three_categories(rng: Rng, rows: int) -> Columns:
    """Log-odds: a category's plus a country's; of 10,000 users most are seen once or never."""
    category, country = rng.integers(100, size=rows), rng.integers(50, size=rows)
    logits = 2.0 * rng.normal(size=100)[category] + 2.0 * rng.normal(size=50)[country]
    return {
        "category": _ids("c", category),
        "country": _ids("k", country),
        "user_id": _ids("u", rng.integers(10_000, size=rows)),
        "clicked": _coin(rng, logits),
    }


def _title_body(rng: Rng, rows: int) -> Columns:
    """Log-odds: +-2 by the title's feeling, +-2 by the body's."""
    title, body = rng.integers(2, size=rows), rng.integers(2, size=rows)
    return {
        "title": _sentences(rng, title, 10),
        "body": _sentences(rng, body, 30),
        "useful": _coin(rng, 4.0 * (title + body) - 4.0),
    }


def _gender_location_age(rng: Rng, rows: int) -> Columns:
    """Three classes; the likeliest follows from the plan, the location and the age."""
    gender, location, plan = (rng.integers(size, size=rows) for size in (2, 30, 3))
    age = np.clip(rng.normal(40, 12, rows), 16, 90).round()
    scores = rng.normal(size=(30, 3))[location] + 1.5 * np.eye(3)[plan]
    scores += np.outer((age - 40) / 12, [1.0, 0.0, -1.0]) + rng.normal(size=(2, 3))[gender]
    chosen = (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)
    return {
        "gender": np.array(["f", "m"])[gender].tolist(),
        "location": _ids("town", location),
        "plan": np.array(["free", "plus", "pro"])[plan].tolist(),
        "age": pa.array(age, mask=rng.random(rows) < 0.05),
        "bought": np.array(["nothing", "book", "lamp"])[chosen].tolist(),
    }


def _seq2seq(rng: Rng, rows: int) -> Columns:
    """The target says the source's digits in French, in reverse order."""
    english = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    french = ["zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf"]
    digits = [rng.integers(10, size=int(rng.integers(2, 5))) for _ in range(rows)]
    return {
        "source": [" ".join(english[digit] for digit in row) for row in digits],
        "target": [" ".join(french[digit] for digit in row[::-1]) for row in digits],
    }


def _sequences(first: str, second: str, longest: int) -> Callable[[Rng, int], Columns]:
    def columns(rng: Rng, rows: int) -> Columns:
        """Log-odds: the sum of the items' values over both lists, whose lengths differ."""
        value = rng.choice([-1.5, 1.5], size=30)
        lists: dict[str, list[list[str]]] = {first: [], second: []}
        logits = np.zeros(rows)
        for row in range(rows):
            for name in lists:
                items = rng.integers(30, size=int(rng.integers(0, longest + 1)))
                lists[name].append(_ids("i", items))
                logits[row] += value[items].sum()
        return {
            **{name: pa.array(items, pa.list_(pa.string())) for name, items in lists.items()},
            "returns": _coin(rng, logits),
        }

    return columns


def _two_vectors_regression(rng: Rng, rows: int) -> Columns:
    """A linear function of both vectors, plus noise a tenth of its spread."""
    left, right = rng.normal(5, 3, (rows, 10)), rng.uniform(0, 100, (rows, 5))
    output = left @ rng.normal(size=10) + right @ rng.normal(size=5) / 10
    output += 0.1 * output.std() * rng.normal(size=rows)
    return {**_vector("s", left), **_vector("t", right), "output": output}


def _vector_category(rng: Rng, rows: int) -> Columns:
    """A linear function of the vector plus an offset for each machine, plus noise."""
    sensors, machine = rng.normal(size=(rows, 10)), rng.integers(20, size=rows)
    output = sensors @ rng.normal(size=10) + 3.0 * rng.normal(size=20)[machine]
    output += 0.3 * rng.normal(size=rows)
    return {**_vector("s", sensors), "machine": _ids("m", machine), "output": output}


def _two_vectors_multiply(rng: Rng, rows: int) -> Columns:
    """Log-odds: three times the product of one direction of each vector."""
    left, right = rng.normal(size=(rows, 10)), rng.normal(size=(rows, 10))
    direction = np.eye(10)[0]
    logits = 4.0 * (left @ direction) * (right @ direction)
    return {**_vector("l", left), **_vector("r", right), "match": _coin(rng, logits)}


def _purchases(rng: Rng, rows: int) -> Columns:
    """By a latent-factor model (schemas/examples/purchases.py)."""
    return dict(purchases(rng, rows).columns)


def _visits(rng: Rng, rows: int) -> Columns:
    """From one article to the next (schemas/examples/visits.py)."""
    return dict(visits(rng, rows).columns)


def _vector(prefix: str, values: np.ndarray) -> Columns:
    return {f"{prefix}{place}": values[:, place].round(4) for place in range(values.shape[1])}


EXAMPLES: dict[str, Callable[[Rng, int], Columns]] = {
    "user_product": _user_product,
    "text_user_average": _text_user,
    "text_user_weighted_average": _text_user,
    "three_categories": _three_categories,
    "title_body": _title_body,
    "gender_location_age": _gender_location_age,
    "seq2seq": _seq2seq,
    "two_sequences": _sequences("viewed", "bought", 4),
    "two_sequences_widths": _sequences("viewed", "bought", 4),
    "two_sequences_lstm": _sequences("interests", "history", 6),
    "two_vectors_regression": _two_vectors_regression,
    "vector_category": _vector_category,
    "two_vectors_multiply": _two_vectors_multiply,
    "purchases": _purchases,
    "visits": _visits,
}
