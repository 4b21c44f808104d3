"""The guessed spec: what each kind of column is taken for, from every format, and that it trains."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
import tensorflow as tf
import zstandard

from skewless.beam_pipelines import init
from skewless.beam_pipelines.init import guess_spec, pieces, proposal
from skewless.beam_pipelines.init.proposal import Proposal
from skewless.beam_pipelines.init.sample import take_sample
from skewless.beam_pipelines.init.training.sides import Sides
from skewless.beam_pipelines.init.training.sizes import model_and_training
from skewless.beam_pipelines.sources.units import WorkUnit
from skewless.cli import main
from skewless.schemas import load, parse
from skewless.schemas.errors import DataError, UsageError
from skewless.schemas.examples import purchases, reviews, visits
from tests.test_cli import run

ROWS = 600


def table(rows: int = ROWS, seed: int = 3) -> pa.Table:
    """Returns one column of each kind."""
    random = np.random.default_rng(seed)
    words = np.array([f"word{number}" for number in range(200)])
    label = random.integers(0, 2, rows)
    amounts = random.lognormal(3, 2, rows)
    cities = random.choice(["Lyon", "Köln", "Lima", "?"], rows)
    texts = [
        " ".join(random.choice(words, size)) + (', "said"\nshe' if size % 7 == 0 else "")
        for size in random.integers(5, 40, rows)
    ]
    return pa.table(
        {
            "id": [f"r{row:05d}" for row in range(rows)],
            "body": texts,
            "user_id": (random.integers(0, 60, rows) + 7_000).astype(str),
            "city": cities,
            "city_again": [city.upper() for city in cities],
            "tags": [
                "|".join(random.choice(["a", "b", "c", "d"], size, replace=False))
                for size in random.integers(0, 4, rows)
            ],
            "age": pa.array(random.integers(18, 80, rows), mask=random.random(rows) < 0.1),
            "amount": amounts,
            "seen_on": [f"2024-0{1 + row % 9}-11" for row in range(rows)],
            "token": [f"{value:032x}" for value in random.integers(0, 2**62, rows)],
            "version": ["v1"] * rows,
            "nothing": pa.array([None] * rows, pa.string()),
            "verdict": [["bad", "good"][value] for value in label],
            "clicked": label,
        }
    )


def write(path: Path, rows: pa.Table) -> Path:
    """Writes rows in the format of the path's ending."""
    name = path.name
    plain = path.with_name(name.removesuffix(".gz").removesuffix(".zst"))
    if plain.suffix == ".parquet":
        pa.parquet.write_table(rows, plain, row_group_size=100)
    elif plain.suffix in (".csv", ".tsv"):
        options = pa.csv.WriteOptions(delimiter="," if plain.suffix == ".csv" else "\t")
        pa.csv.write_csv(rows, plain, options)
    elif plain.suffix == ".jsonl":
        plain.write_text("".join(json.dumps(row) + "\n" for row in rows.to_pylist()))
    else:
        with tf.io.TFRecordWriter(str(plain)) as writer:
            for row in rows.to_pylist():
                writer.write(_example(row))
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(plain.read_bytes()))
    elif name.endswith(".zst"):
        path.write_bytes(zstandard.compress(plain.read_bytes()))
    return path


def _example(row: dict) -> bytes:
    example = tf.train.Example()
    for name, value in row.items():
        if isinstance(value, str):
            example.features.feature[name].bytes_list.value.append(value.encode())
        elif isinstance(value, int):
            example.features.feature[name].int64_list.value.append(value)
        elif value is not None:
            example.features.feature[name].float_list.value.append(value)
    return example.SerializeToString()


def kinds(proposal: Proposal) -> dict[str, str]:
    """Returns what each column was taken for."""
    guesses = [*proposal.features.values(), *proposal.omitted]
    return {guess.column: guess.kind for guess in guesses}


EXPECTED = {
    "id": "key",
    "body": "text",
    "user_id": "identifier",
    "city": "category",
    "city_again": "duplicate",
    "tags": "categories",
    "age": "number",
    "amount": "number",
    "seen_on": "time",
    "token": "near-unique",
    "version": "constant",
    "nothing": "empty",
    "verdict": "leak",
}


@pytest.mark.parametrize(
    "ending",
    [
        "csv", "csv.gz", "csv.zst", "tsv", "tsv.gz", "jsonl", "jsonl.gz", "jsonl.zst", "parquet",
        "tfrecord",
    ],
)  # fmt: skip
def test_each_kind_is_told_from_every_format(ending: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"rows.{ending}", table())
    proposal, _ = guess_spec([str(path)], "clicked")
    found = kinds(proposal)
    # A tf.Example leaves a missing value out, and a column that never occurs is not known.
    expected = {
        name: kind for name, kind in EXPECTED.items() if name in found or "tf" not in ending
    }
    assert found == expected
    assert proposal.sample.rows == proposal.sample.total == ROWS


def test_declarations_follow_from_the_values(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", table())
    proposal, text = guess_spec([str(path)], "clicked")
    spec_path = tmp_path / "spec.yaml"
    spec_path.write_text(text)
    spec = load(spec_path)
    document = proposal.document
    assert spec.key == "id"
    assert spec.missing_values == ("?",)
    assert document["label"] == {"column": "clicked", "type": "binary"}
    features = document["features"]
    assert features["body"]["length"] == 39
    assert features["tags"]["separator"] == "|"
    assert features["tags"]["length"] == 3
    assert features["city"] == {"type": "categorical", "embedding": "one_hot"}
    assert features["amount"]["scale"] == "log1p"
    assert features["age"] == {
        "type": "numeric", "scale": "z_score", "missing": "mean", "indicator": True,
        "embedding": "piecewise_linear",
    }  # fmt: skip
    assert "# Not features:" in text
    assert "- verdict (leak): alone it tells 100% of labels" in text


def test_rows_that_name_no_class_are_rows_of_none(tmp_path: Path) -> None:
    tags = ["hot|wet", "", "hot", "wet"] * 100
    rows = pa.table({"x": [row % 7 for row in range(400)], "tags": tags})
    proposal, _ = guess_spec([str(write(tmp_path / "rows.csv", rows))], "tags")
    assert proposal.document["label"]["empty"] == "no_classes"


@pytest.mark.parametrize("separator", ["\u3001", "\uff1b", "\uff0c"])
def test_lists_as_chinese_and_japanese_write_them(separator: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    genres = ["剧情", "喜剧", "动作", "爱情", "科幻"]
    held = [random.choice(genres, random.integers(1, 4), replace=False) for _ in range(ROWS)]
    label = random.integers(0, 2, ROWS)
    rows = pa.table({"genres": [separator.join(some) for some in held], "clicked": label})
    proposal, _ = guess_spec([str(write(tmp_path / "rows.csv", rows))], "clicked")
    assert kinds(proposal) == {"genres": "categories"}
    assert proposal.document["features"]["genres"]["separator"] == separator


@pytest.mark.parametrize(
    "letters", ["的一是不了人我在有他这为之大来以个中上们", "กขคงจชซดตทนบปผพมยรลวสหอ"]
)
def test_texts_without_spaces_are_texts(letters: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    lengths = random.integers(10, 40, ROWS)
    texts = ["".join(random.choice(list(letters), length)) for length in lengths]
    cities = ["".join(letters[i : i + 3]) for i in random.integers(0, 9, ROWS)]
    label = [int(letters[0] in text[:9]) for text in texts]
    rows = pa.table({"body": texts, "city": cities, "clicked": label})
    proposal, _ = guess_spec([str(write(tmp_path / "rows.csv", rows))], "clicked")
    assert kinds(proposal) == {"body": "text", "city": "category"}
    feature = proposal.document["features"]["body"]
    assert (feature["tokenizer"], feature["ngrams"]) == ("words_or_letters", 2)
    # A letter each and a pair of each with the next; 95% of texts stay whole.
    cut = 2 * lengths - 1 > feature["length"]
    assert 0 <= cut.mean() <= 0.05


def test_a_large_file_is_read_in_many_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Quoted line ends do not mislead it, in the middle of the file either."""
    monkeypatch.setattr(pieces, "_READ_WHOLE_BYTES", 1_000)
    monkeypatch.setattr(pieces, "_PIECE_BYTES", 8_000)
    rows = table(3_000)
    for ending in ("csv", "jsonl", "tfrecord"):
        path = write(tmp_path / f"rows.{ending}", rows)
        sample = take_sample([str(path)])
        assert sample.rejected == 0
        assert 300 < sample.rows < 2_900
        assert sample.total == pytest.approx(3_000, rel=0.1)
        ids = [int(value[1:]) for value in sample.columns["id"].to_pylist()]
        assert min(ids) < 300
        assert max(ids) > 2_700
        bodies = dict(zip(rows["id"].to_pylist(), rows["body"].to_pylist(), strict=True))
        names, texts = sample.columns["id"].to_pylist(), sample.columns["body"].to_pylist()
        assert all(bodies[name] == text for name, text in zip(names, texts, strict=True))


def test_many_small_files_of_records_are_entered_near_their_ends_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "_READ_WHOLE_BYTES", 0)
    monkeypatch.setattr(pieces, "_PIECE_BYTES", 64)
    files = []
    for at in range(50):
        path = str(tmp_path / f"{at}.tfrecord")
        with tf.io.TFRecordWriter(path) as writer:
            writer.write(b"x" * 24)
        files.append(pieces.Text(WorkUnit(path, "tfrecord"), 40, 40.0))
    spec = parse({"name": "any", "features": {"any": {"type": "categorical"}}})
    found, times = pieces.pieces_of_text(files, spec)
    assert {(unit.start, unit.end) for unit in found} == {(0, 40)}
    assert times == 50 / len(found)


def test_a_large_compressed_file_is_read_at_its_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "_UNPACKED_BYTES", 20_000)
    monkeypatch.setattr("skewless.beam_pipelines.sources.streams.CHUNK_BYTES", 10_000)
    monkeypatch.setattr("skewless.beam_pipelines.sources.streams._COMPRESSED_CHUNK_BYTES", 4_000)
    path = write(tmp_path / "rows.csv.gz", table(3_000))
    sample = take_sample([str(path)])
    assert sample.rows < 1_000
    assert sample.total == pytest.approx(3_000, rel=0.3)


def labelled(tmp_path: Path, label: list, **columns: list) -> Proposal:
    """Returns what is guessed of a label beside a plain number."""
    random = np.random.default_rng(1)
    rows = pa.table({"x": random.normal(size=len(label)), **columns, "label": label})
    path = write(tmp_path / "rows.csv", rows)
    return guess_spec([str(path)])[0]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["yes", "no", "no"], {"type": "binary"}),
        ([" >50K", "<=50K", "<=50K.", ">50K.", "<=50K"],
         {"type": "binary", "positive": [">50K", ">50K."], "negative": ["<=50K", "<=50K."]}),
        ([1, 2, 3, 4, 5], {"type": "multiclass"}),
        (["red", "green", "blue"], {"type": "multiclass"}),
        (["a|b", "b", "a", "c|a"], {"type": "multilabel", "separator": "|"}),
        ([1.5, 2.25, 3.125, 4.5, 6.75, 9.0, 7.5] * 4 + [0.25], {"type": "regression", "scale": "z_score"}),
    ],
)  # fmt: skip
def test_labels(values: list, expected: dict, tmp_path: Path) -> None:
    declared = labelled(tmp_path, values * 40).document["label"]
    for key, value in expected.items():
        got = sorted(declared[key]) if isinstance(value, list) else declared[key]
        assert got == value
    assert set(declared) == {"column", *expected}


def test_a_number_that_orders_as_the_label_is_left_out(tmp_path: Path) -> None:
    label = [float(value) for value in range(400)]
    proposal = labelled(tmp_path, label, copied=[2 * value + 1 for value in label])
    assert kinds(proposal)["copied"] == "leak"
    assert kinds(proposal)["x"] == "number"


def test_a_column_that_counts_the_rows_is_left_out(tmp_path: Path) -> None:
    rows = 200
    proposal = labelled(
        tmp_path,
        [place % 2 for place in range(rows)],
        instant=[place + 17 for place in range(rows)],
        apart=[2 * place for place in range(rows)],
    )
    assert kinds(proposal)["instant"] == "near-unique"
    assert kinds(proposal)["apart"] == "number"


def test_a_nameless_index_of_pandas_is_left_out(tmp_path: Path) -> None:
    # As of a part of a shuffled table: its numbers count no rows of this one.
    first, second, third = (
        np.random.default_rng(seed).permutation(900)[:400].tolist() for seed in (2, 3, 4)
    )
    label = [place % 2 for place in range(400)]
    columns = {"__index_level_0__": first, "Unnamed: 0": second, "amount": third}
    found = kinds(labelled(tmp_path, label, **columns))
    assert found["__index_level_0__"] == found["Unnamed: 0"] == "near-unique"
    assert found["amount"] == "number"


def test_the_network_and_its_training_follow_from_the_rows() -> None:
    numbers, texts = [{"type": "numeric"}], [{"type": "text"}]
    small, large = model_and_training(300, numbers), model_and_training(20_000, numbers)
    assert small[0]["hidden"] == [64]
    assert large[0]["hidden"] == [256, 128]
    assert small[1]["epochs"] == 60
    assert large[1]["epochs"] == 40
    assert model_and_training(10_000_000, numbers)[1]["epochs"] == 5
    assert model_and_training(20_000, texts)[1]["epochs"] == 10
    # Of few rows ten epochs are no training: many a small table has a name in each row.
    assert model_and_training(400, texts)[1]["epochs"] == 60
    assert model_and_training(20_000, texts)[0]["ensemble"] == 8
    assert "ensemble" not in large[0]
    for _, training in (small, large):
        assert training["early_stopping"] < training["epochs"]
    # At least ten steps an epoch, however few rows.
    for rows in (320, 1_000, 5_000, 10_000, 400_000):
        assert rows / model_and_training(rows, numbers)[1]["batch_size"] >= 10


def test_numbered_columns_become_one_feature(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    columns = {f"s{place}": random.normal(size=200).tolist() for place in range(5)}
    proposal = labelled(tmp_path, [0, 1] * 100, **columns)
    assert proposal.document["features"]["s"]["columns"] == [f"s{place}" for place in range(5)]


def test_semicolons_and_odd_names(tmp_path: Path) -> None:
    path = tmp_path / "odd.csv"
    rows = "".join(f"{row % 5},5;{'ab'[row % 2]} x;{row // 2 % 2}\n" for row in range(100))
    path.write_text("größe (m);2nd name;y\n" + rows)
    proposal, text = guess_spec([str(path)])
    assert proposal.document["csv"] == {"delimiter": ";", "decimal": ","}
    features = proposal.document["features"]
    assert {feature.get("column") for feature in features.values()} <= {"größe (m)", "2nd name"}
    assert '"größe (m)"' in text
    assert set(features) == {"grosse_m", "c_2nd_name"}


def test_names_of_other_scripts_and_of_any_length(tmp_path: Path) -> None:
    long = ["How many hours a week " * 12 + end for end in ("?", "!")]
    names = ["类型", "цена", *long]
    path = tmp_path / "odd.csv"
    rows = "".join(
        f"{'ab'[row % 2]},{row % 7},{row % 8},{row % 11},{row % 3}\n" for row in range(99)
    )
    path.write_text(",".join(names) + ",y\n" + rows)
    _, text = guess_spec([str(path)], "y")
    (tmp_path / "spec.yaml").write_text(text)
    spec = load(tmp_path / "spec.yaml")
    assert {feature.column for feature in spec.features.values()} == set(names)
    assert {"LeiXing", "tsena"} < set(spec.features)


@pytest.mark.parametrize(
    ("text", "label", "error", "message"),
    [
        ("a,b\n1,2\n2,3\n", "c", UsageError, "--label c: no such column"),
        ("a,b\n", None, DataError, "expected at least one row to guess from"),
        ("a\n1,2\n2,2\n", None, DataError, r"none that can be read; of 2: expected 1 fields as in the header, got 2; mend"),
        ("a,b\n1,2\n2,2\n", "b", DataError, "expected at least two values, got 1"),
        ("a,b\n" + "".join(f"{x % 3},t{x} u v\n" for x in range(90)), "b", DataError, "too many for classes"),
        ("a,b\n7,1\n7,0\n", "b", DataError, "no column is fit for a feature"),
    ],
)  # fmt: skip
def test_what_cannot_be_guessed_is_refused(
    text: str, label: str | None, error: type[Exception], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(text)
    with pytest.raises(error, match=message) as refused:
        guess_spec([str(path)], label)
    if error is DataError:
        assert str(path) in str(refused.value)


def test_several_labels_are_declared_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "rows.csv", table())
    asked = ["--label", "clicked", "--label", "amount"]
    assert init.run([str(path), *asked]) == 0
    printed = capsys.readouterr()
    (tmp_path / "spec.yaml").write_text(printed.out)
    spec = load(tmp_path / "spec.yaml")
    assert spec.labels is not None
    assert {name: label.type for name, label in spec.labels.items()} == {
        "clicked": "binary",
        "amount": "regression",
    }
    # Neither is a feature, nor what tells the other.
    assert not {"clicked", "amount"} & set(spec.features)
    assert "label: binary" in printed.err
    assert "label: regression" in printed.err
    assert init.run([str(path), *asked, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["label"] is None
    assert set(document["labels"]) == {"clicked", "amount"}


@pytest.mark.parametrize(
    ("labels", "sides", "error", "message"),
    [
        (["clicked", "clicked"], None, UsageError, "--label clicked: is given twice"),
        (["clicked", "tags"], None, DataError, "--label tags: .* several labels do not take"),
        (["clicked", "amount"], Sides(), UsageError, "two towers learn from one label at most"),
    ],
)
def test_labels_that_do_not_go_together_are_refused(
    labels: list[str],
    sides: Sides | None,
    error: type[Exception],
    message: str,
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "rows.csv", table())
    with pytest.raises(error, match=message):
        guess_spec([str(path)], labels, sides)


def test_the_command_writes_a_spec_and_says_why(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", table())
    output = tmp_path / "spec.yaml"
    done = run("init", str(path), "--label", "clicked", "-o", str(output))
    assert done.returncode == 0, done.stderr
    assert "not features:" in done.stdout
    assert load(output).label is not None
    again = run("init", str(path), "--label", "clicked", "-o", str(output))
    assert again.returncode == 2
    assert "add --overwrite" in again.stderr


def test_without_an_output_the_spec_is_all_that_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "rows.csv", table())
    assert init.run([str(path), "--label", "clicked"]) == 0
    printed = capsys.readouterr().out
    (tmp_path / "spec.yaml").write_text(printed)
    assert set(load(tmp_path / "spec.yaml").features) == {
        "body", "user_id", "city", "tags", "age", "amount", "seen_on",
    }  # fmt: skip
    assert init.run([str(path), "--label", "clicked", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["rows"] == {"sampled": ROWS, "total": ROWS, "rejected": 0}
    assert {"column": "verdict", "feature": None}.items() <= next(
        entry for entry in document["columns"] if entry["kind"] == "leak"
    ).items()


@pytest.mark.slow
def test_the_guess_trains_on_generated_reviews_without_an_edit(tmp_path: Path) -> None:
    from skewless.beam_pipelines.preprocess import preprocess
    from skewless.model.train import train

    path = tmp_path / "reviews.csv"
    reviews.write_csv(reviews.generate(3_000).table, path, bad_rows=6)
    proposal, text = guess_spec([str(path)], "rating")
    (tmp_path / "spec.yaml").write_text(text)
    assert set(proposal.features) == {
        "title", "body", "user_id", "product_id", "category", "country", "tags", "age", "price",
    }  # fmt: skip
    manifest = preprocess(load(tmp_path / "spec.yaml"), [str(path)], tmp_path / "records")
    assert manifest.rows.rejected <= 6
    metrics = train(tmp_path / "records", tmp_path / "run", epochs=1)
    assert np.isfinite(metrics["eval"]["loss"])
    assert not metrics["eval"]["constant_predictions"]


def _met(rows: int = 3_000) -> pa.Table:
    """Purchases, with a column that tells of each side, and some of the meeting."""
    random = np.random.default_rng(4)
    table = purchases.generate(rows).table
    prices = {name: round(random.lognormal(3), 2) for name in table["product_id"].to_pylist()}
    ages = {name: int(random.integers(18, 90)) for name in table["user_id"].to_pylist()}
    more = {
        "price": [prices[name] for name in table["product_id"].to_pylist()],
        "userAge": [ages[name] for name in table["user_id"].to_pylist()],
        "amount": random.integers(1, 9, rows),
        "currency": random.choice(["EUR", "USD"], rows, p=[0.97, 0.03]),
        "stars": random.integers(1, 6, rows),
        "bought_at": [
            f"2024-0{1 + day % 9}-1{day % 7}T10:{day % 60:02d}:00" for day in range(rows)
        ],
    }
    for name, values in more.items():
        table = table.append_column(name, pa.array(values))
    return table


def test_two_towers_are_proposed_from_interactions(tmp_path: Path) -> None:
    path = write(tmp_path / "met.parquet", _met())
    proposal, text = guess_spec([str(path)], sides=Sides())
    model = proposal.document["model"]
    assert model["query"] == ["user_id", "country", "userAge", "past"]
    assert model["candidate"] == ["product_id", "category", "price"]
    assert proposal.document["features"]["past"] == {
        "type": "history", "of": "product_id", "by": "user_id", "time": "bought_at", "length": 10,
        "embedding": 32, "encoder": "mean",
    }  # fmt: skip
    assert {*proposal.features} == {*model["query"], *model["candidate"]}
    met = {guess.column for guess in proposal.omitted if guess.kind == "meeting"}
    assert met == {"amount", "currency", "stars", "bought_at"}
    assert proposal.document["split"]["time"] == "bought_at"
    assert "label" not in proposal.document and "Every row counts" in text
    assert "goes with product_id; " in proposal.features["price"].why
    assert not any("by chance" in warning for warning in proposal.warnings)
    (tmp_path / "met.yaml").write_text(text)
    assert load(tmp_path / "met.yaml").model.needs_label is False

    # Of numbers the upper two fifths count; other labels tell no row from another.
    proposal, _ = guess_spec([str(path)], "stars", Sides())
    assert proposal.document["label"] == {"column": "stars", "type": "binary", "positive": [4, 5]}
    proposal, _ = guess_spec([str(path)], "price", Sides("userAge", "category"))
    assert "label" not in proposal.document and "every row counts" in proposal.warnings[-1]
    assert proposal.document["model"]["candidate"][0] == "category"


def test_a_past_is_proposed_where_rows_have_one(tmp_path: Path) -> None:
    table = visits.generate(3_000).table
    proposal, text = guess_spec([str(write(tmp_path / "visits.csv", table))], sides=Sides())
    past = proposal.document["features"]["past"]
    assert (past["of"], past["by"], past["time"]) == ("article_id", "user_id", "created")
    assert past["encoder"] == "gru"
    # An oracle of another making: how many rows each has before it.
    seen: dict[str, int] = {}
    before = []
    for user in table["user_id"].to_pylist():
        before.append(seen.get(user, 0))
        seen[user] = before[-1] + 1
    assert past["length"] == 20 >= np.quantile(before, 0.9) > 10
    assert f"a row has {np.mean(before):.1f} before it" in text.replace("\n  # ", " ")
    # Who comes is new, so no ID tells of them; of one who asks again it does.
    assert proposal.document["model"]["query"] == ["past"]
    assert [guess.column for guess in proposal.omitted if guess.kind == "newcomers"] == ["user_id"]
    known = table.set_column(0, "user_id", pa.array([f"u{row % 200}" for row in range(3_000)]))
    known = known.append_column("past", pa.array([row % 7 for row in range(3_000)]))
    path = str(write(tmp_path / "known.csv", known))
    document = guess_spec([path], sides=Sides())[0].document
    assert document["model"]["query"] == ["user_id", "past_2"]
    # Tastes alone: their order tells nothing, and the more the better.
    liked = write(tmp_path / "liked.csv", visits.generate(3_000, taste=2.5, order=0).table)
    assert guess_spec([str(liked)], sides=Sides())[0].document["features"]["past"] == {
        **past, "length": 20, "encoder": "mean",
    }  # fmt: skip
    # Without times, with a split of its own, or where one meets one thing, there is none.
    split = pa.array([["train", "train", "eval"][row % 3] for row in range(3_000)])
    once = pa.array([f"u{2 * row // 3}" for row in range(3_000)])
    for other in (
        table.drop(["created"]),
        table.append_column("fold", split),
        table.set_column(0, "user_id", once),
    ):
        path = str(write(tmp_path / "other.csv", other))
        assert "history" not in guess_spec([path], sides=Sides())[1]


@pytest.mark.slow
def test_a_proposed_past_trains_without_an_edit(tmp_path: Path) -> None:
    write(tmp_path / "visits.csv", visits.generate(2_000).table)
    spec, records = str(tmp_path / "visits.yaml"), str(tmp_path / "records")
    table = str(tmp_path / "visits.csv")
    assert main(["init", table, "--task", "recommend", "-o", spec]) == 0
    assert main(["preprocess", spec, "--input", table, "--output", records]) == 0
    assert main(["train", records, "--output", str(tmp_path / "run"), "--epochs", "2"]) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text("utf-8"))
    assert metrics["eval"]["ndcg@10"] > 0.05


def test_what_is_met_once_is_met_no_more(tmp_path: Path) -> None:
    pairs = np.random.default_rng(1).permutation(40 * 30)[:900]
    table = pa.table({"userId": pairs // 30 + 100, "movieId": pairs % 30 + 500})
    path = write(tmp_path / "seen.csv", table)
    document = guess_spec([str(path)], sides=Sides())[0].document
    assert document["model"]["repeats"] is False
    again = write(tmp_path / "again.csv", pa.concat_tables([table, table.slice(0, 1)]))
    assert "repeats" not in guess_spec([str(again)], sides=Sides())[0].document["model"]


@pytest.mark.parametrize(
    ("sides", "message"),
    [
        (Sides(), r"--query: expected the column that names the query, .*columns: who, what"),
        (Sides("hwo", "what"), r"--query hwo: no such column; did you mean 'who'"),
        (Sides("who", "who"), r"--candidate: 'who' is the query's column too"),
    ],
)
def test_sides_that_cannot_be_are_refused(tmp_path: Path, sides: Sides, message: str) -> None:
    rows = {
        "who": [f"w{row % 9}" for row in range(90)],
        "what": [f"x{row % 7}" for row in range(90)],
    }
    path = write(tmp_path / "rows.csv", pa.table(rows))
    with pytest.raises(UsageError, match=message):
        guess_spec([str(path)], sides=sides)


@pytest.mark.parametrize(
    ("inputs", "name"),
    [
        (["shop/sales.csv.gz"], "sales"),
        (["shop/*.csv"], "shop"),
        (["shop/train.csv"], "shop"),
        (["shop/test.csv", "shop/train.csv"], "shop"),
        (["shop/may.csv", "shop/june.csv"], "shop"),
        (["train.csv"], "train"),
        (["s3://bucket/new-shop/train/*.parquet"], "new_shop"),
    ],
)
def test_a_spec_is_named_after_its_data(inputs: list[str], name: str) -> None:
    assert proposal._name(inputs) == name


def test_lists_beside_lists(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    lines = []
    for row in range(300):
        count = int(rng.integers(1, 6))
        start = np.datetime64("2026-01-01T00:00:00") + np.timedelta64(int(rng.integers(10**6)), "s")
        steps = rng.integers(1, 10**4, count).cumsum()
        lines.append(
            json.dumps(
                {
                    "viewed": [str(tag) for tag in rng.choice(list("abcdef"), count)],
                    "view_times": [str(start + np.timedelta64(int(step), "s")) for step in steps],
                    "prices": [round(float(price), 2) for price in rng.exponential(9, count)],
                    "view_scores": [round(float(score), 3) for score in rng.random(count)],
                    "pulse": [round(float(beat), 2) for beat in rng.normal(70, 9, row % 7)],
                    "spot": [float(place) + 0.5 for place in rng.normal(size=2)],
                    "y": row % 2,
                }
            )
        )
    (tmp_path / "rows.jsonl").write_text("\n".join(lines) + "\n")
    proposal, _ = guess_spec([str(tmp_path / "rows.jsonl")], "y")
    features = proposal.document["features"]
    assert features["viewed"]["weights"] == "view_scores" and "view_scores" not in features
    assert features["view_times"] == {"type": "time_gaps", "length": 5, "beside": "viewed"}
    prices = {"type": "numeric_sequence", "length": 5, "scale": "z_score", "beside": "viewed"}
    assert features["prices"] == prices
    assert features["pulse"] == {"type": "numeric_sequence", "length": 6, "scale": "z_score"}
    assert features["spot"]["type"] == "numeric"
    parse(proposal.document)
