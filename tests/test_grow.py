"""Growing a transform: old IDs and constants stay, new entries come after them."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from skewless.beam_pipelines.analysis.chosen import chosen_constants, offered
from skewless.beam_pipelines.analysis.grow import check_growable, tell_growth
from skewless.beam_pipelines.analysis.spilled.values import ValueRuns, counted_table
from skewless.beam_pipelines.preprocess import preprocess
from skewless.beam_pipelines.transform.constants import Constants
from skewless.beam_pipelines.transform.record_entries import vocabulary_path
from skewless.schemas import Spec, parse
from skewless.schemas.errors import DataError, DatasetMismatchError, UsageError
from skewless.schemas.records.constants import CONSTANTS, load_numbers, write_numbers
from skewless.schemas.records.id_contract import FIRST_ID, first_vocabulary_id
from skewless.schemas.records.manifest import load_manifest
from skewless.schemas.records.records import KEY, record_feature_spec
from skewless.schemas.records.vocabulary_file import read_vocabulary, write_vocabulary
from tests.conftest import SHOP, DataSet, shop_csv
from tests.test_analysis_cache import constants_of
from tests.test_preprocess import records_of


def features_by_key(directory: Path) -> dict[bytes, dict[str, np.ndarray]]:
    """Returns every record of a data set, parsed, by its key."""
    manifest = load_manifest(directory)
    found = {}
    for entry in manifest.splits.values():
        for shard in entry.shards:
            for record in tf.data.TFRecordDataset(str(directory / shard.path)):
                parsed = tf.io.parse_single_example(record, record_feature_spec(manifest))
                values = {name: value.numpy() for name, value in parsed.items()}
                found[values.pop(KEY)] = values
    return found


@pytest.fixture(scope="module")
def sparse(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """The shop data set with vocabularies so small that some of its own tokens are unknown."""
    root = tmp_path_factory.mktemp("sparse")
    user = {**SHOP["features"]["user"], "vocabulary": {"min_count": 18}}
    text = {**SHOP["features"]["text"], "vocabulary": {"max_size": 9}}
    spec = parse({**SHOP, "features": {**SHOP["features"], "user": user, "text": text}})
    source = shop_csv(root / "shop.csv")
    preprocess(spec, [str(source)], root / "records")
    return DataSet(root / "records", spec, source)


@pytest.fixture(scope="module")
def grown(sparse: DataSet, tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """Another day on top, under the spec with larger vocabularies."""
    root = tmp_path_factory.mktemp("grown")
    text = shop_csv(root / "next.csv", rows=200, seed=2).read_text(encoding="utf-8")
    for old, new in (("\nr", "\ns"), ("|c|", "|new|")):
        text = text.replace(old, new)
    (root / "next.csv").write_text(text, encoding="utf-8")
    inputs = [str(sparse.source), str(root / "next.csv")]
    spec = parse(SHOP)
    preprocess(spec, inputs, root / "records", grow_from=sparse.directory / "transform")
    return DataSet(root / "records", spec, root / "next.csv")


def test_vocabularies_begin_with_the_old_ones_and_numbers_keep_their_constants(
    sparse: DataSet, grown: DataSet
) -> None:
    old, new = load_manifest(sparse.directory), load_manifest(grown.directory)
    for name in ("text", "user", "tags"):
        before = read_vocabulary(
            vocabulary_path(sparse.spec, name, str(sparse.directory / "transform"))
        )
        after = read_vocabulary(
            vocabulary_path(grown.spec, name, str(grown.directory / "transform"))
        )
        assert after[: len(before)] == before
        added = new.features[name].cardinality - old.features[name].cardinality
        assert added == len(after) - len(before) > 0
        assert len(set(after)) == len(after)
    assert load_numbers(sparse.directory / "transform") == load_numbers(
        grown.directory / "transform"
    )


def test_every_old_row_keeps_its_ids_but_where_its_token_was_unknown(
    sparse: DataSet, grown: DataSet
) -> None:
    before, after = features_by_key(sparse.directory), features_by_key(grown.directory)
    cardinalities = {
        name: entry.cardinality for name, entry in load_manifest(sparse.directory).features.items()
    }
    found = 0
    assert before.keys() < after.keys()
    for key, row in before.items():
        for name, value in row.items():
            now = after[key][name]
            if value.dtype != np.int64 or name not in ("text", "user", "tags"):
                np.testing.assert_array_equal(value, now)
                continue
            buckets = sparse.spec.features[name].oov_buckets
            unknown = (value >= FIRST_ID) & (value < first_vocabulary_id(buckets))
            moved = unknown & (now >= cardinalities[name])
            np.testing.assert_array_equal(np.where(moved, value, now), value)
            found += moved.sum()
    assert found > 0


@pytest.mark.slow
def test_growing_without_anything_new_leaves_the_same_transform(
    shop: DataSet, tmp_path: Path
) -> None:
    transform = shop.directory / "transform"
    preprocess(shop.spec, [str(shop.source)], tmp_path / "again", grow_from=transform)
    assert constants_of(tmp_path / "again") == constants_of(shop.directory)
    assert records_of(tmp_path / "again") == records_of(shop.directory)


WORDS: dict[str, Any] = {
    "name": "words",
    "features": {
        "word": {"type": "categorical", "vocabulary": {"max_size": 5, "min_count": 2}},
        "size": {"type": "numeric", "scale": "z_score"},
    },
    "label": {"column": "kind", "type": "multiclass"},
}
_TOKENS = st.sampled_from([b"a", b"b", b"c", b"d", b"e", b"f", b"g"])


def earlier(root: Path, spec: Spec, vocabularies: dict[str, list[bytes]]) -> Path:
    """Leaves what growing reads of an earlier transform."""
    transform = root / "transform"
    (transform / "transform_fn").mkdir(parents=True)
    for name, tokens in vocabularies.items():
        write_vocabulary(vocabulary_path(spec, name, str(transform)), tokens)
    one = {name: [0.5] for name in ("mean", "standard_deviation", "low", "high", "median")}
    write_numbers(transform, {"size": {**one, "boundaries": [[]]}})
    (root / "spec.yaml").write_text(spec.to_yaml())
    return transform


@given(
    old=st.lists(_TOKENS, unique=True, max_size=5),
    counts=st.dictionaries(_TOKENS, st.integers(1, 4)),
)
def test_new_tokens_come_after_the_old_by_count_and_bytes(
    tmp_path_factory: pytest.TempPathFactory, old: list[bytes], counts: dict[bytes, int]
) -> None:
    root = tmp_path_factory.mktemp("grow")
    spec = parse(WORDS)
    transform = earlier(root, spec, {"word": old, "__label__": [b"x"]})
    values = ValueRuns(str(root / "values"), partitions=1)
    table = counted_table([(0, counts), (1, {b"y": 9, b"x": 1})])
    runs = [run for _, run in [*values.add(table), *values.flush()]]
    offers = list(offered(runs, spec, str(root / "values"), str(transform)))
    constants = chosen_constants({}, offers, spec, str(root / "out"), str(transform))
    ranked = sorted(((n, t) for t, n in counts.items() if n >= 2 and t not in old), reverse=True)
    new = [token for _, token in ranked]
    assert read_vocabulary(constants.vocabularies["word"]) == [*old, *new][:5]
    room = 5 - len(old)
    assert constants.growth == {"word": (len(new[:room]), len(new[room:]))}
    assert read_vocabulary(constants.vocabularies["__label__"]) == [b"x"]
    assert constants.numbers["size"].mean.tolist() == [0.5]


def test_a_full_vocabulary_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        tell_growth(Constants(growth={"word": (2, 3), "user": (1, 0)}))
    assert [record.getMessage() for record in caplog.records] == [
        "features.word: its vocabulary is full: 3 tokens that are frequent enough were left out; "
        "raise max_size in the spec"
    ]


def changed(**keys: Any) -> Spec:
    return parse({**WORDS, "features": {**WORDS["features"], **keys}})


def word(**keys: Any) -> dict[str, Any]:
    return {**WORDS["features"]["word"], **keys}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (changed(word=word(oov_buckets=3)), "features.word.oov_buckets was 1, is 3"),
        (changed(word={"type": "categorical", "hash_buckets": 9}), "features.word.vocabulary"),
        (changed(size={"type": "numeric", "scale": "min_max"}), "size.scale was 'z_score', is"),
        (changed(more={"type": "numeric"}), "features.more is new"),
        (parse({**WORDS, "missing_values": ["?"]}), "missing_values was"),
        (parse({**WORDS, "label": {"column": "kind", "type": "binary"}}), "label.type was"),
    ],
)
def test_specs_under_which_ids_mean_other_things_are_refused(
    tmp_path: Path, spec: Spec, message: str
) -> None:
    transform = earlier(tmp_path, parse(WORDS), {"word": [b"a"], "__label__": [b"x"]})
    with pytest.raises(DatasetMismatchError, match=f"{message}.*Change the spec back"):
        check_growable(spec, str(transform))


def test_sizes_model_and_training_may_differ(tmp_path: Path) -> None:
    transform = earlier(tmp_path, parse(WORDS), {"word": [b"a"], "__label__": [b"x"]})
    larger = word(vocabulary={"max_size": 9, "min_count": 1}, embedding=3, required=True)
    check_growable(parse({**WORDS, "features": {**WORDS["features"], "word": larger}, "name": "n",
                          "split": {"train": 1.0}, "model": {"hidden": [2]}}), str(transform))  # fmt: skip


def test_what_has_no_room_is_refused_with_the_remedy(tmp_path: Path) -> None:
    transform = earlier(tmp_path, parse(WORDS), {"word": [b"a", b"b", b"c", b"d", b"e"]})
    with pytest.raises(DataError, match=r"no vocabulary can grow \(features.word: 5 of 5\); raise"):
        check_growable(parse(WORDS), str(transform))
    with pytest.raises(DataError, match=r"features.word.vocabulary.max_size: expected at least 5"):
        check_growable(changed(word=word(vocabulary={"max_size": 4})), str(transform))
    check_growable(changed(word=word(vocabulary={"max_size": 6})), str(transform))


def test_a_vocabulary_file_must_begin_with_what_it_held(tmp_path: Path) -> None:
    lines = tmp_path / "words.txt"
    spec = changed(word={"type": "categorical", "vocabulary": {"file": str(lines)}})
    transform = earlier(tmp_path, spec, {"word": [b"a", b"b"], "__label__": [b"x"]})
    lines.write_bytes(b"a\nb\nc\n")
    check_growable(spec, str(transform))
    lines.write_bytes(b"b\na\nc\n")
    with pytest.raises(DatasetMismatchError, match=r"must begin with the 2 entries it had"):
        check_growable(spec, str(transform))
    lines.write_bytes(b"a\nb\n")
    with pytest.raises(DataError, match="no vocabulary can grow"):
        check_growable(spec, str(transform))


def test_what_is_no_earlier_transform_is_refused(tmp_path: Path) -> None:
    spec = parse(WORDS)
    with pytest.raises(DatasetMismatchError, match=r"expected the transform/ folder"):
        check_growable(spec, str(tmp_path / "transform"))
    transform = earlier(tmp_path, spec, {"word": [b"a"]})
    (transform / CONSTANTS).write_text(json.dumps({}))
    with pytest.raises(DatasetMismatchError, match=r"constants.json: expected the constants"):
        check_growable(spec, str(transform))
    own = parse({**WORDS, "preprocessing": "tests.transform_rows:none"})
    with pytest.raises(UsageError, match="may hold analysers of its own"):
        check_growable(own, str(transform))


def test_growing_and_applying_exclude_each_other(shop: DataSet, tmp_path: Path) -> None:
    transform = shop.directory / "transform"
    with pytest.raises(UsageError, match="leave out one"):
        preprocess(
            shop.spec,
            [str(shop.source)],
            tmp_path / "out",
            transform=transform,
            grow_from=transform,
        )
