"""An index of candidates: what is refused, how recall is told, what lies on disk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import usearch.index

from skewless.beam_pipelines.index import index
from skewless.beam_pipelines.nearest import approximate
from skewless.beam_pipelines.nearest.catalogue import VECTORS, Catalogue, vectors_in
from skewless.beam_pipelines.nearest.opened import Index, open_index
from skewless.beam_pipelines.nearest.side import id_column, side_of
from skewless.schemas import parse
from skewless.schemas.errors import DataError, UsageError
from skewless.schemas.records.manifest import file_sha256
from tests.conftest import DataSet


def _unit(rows: int, width: int = 8, seed: int = 1) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _added_in_order(vectors: np.ndarray) -> Any:
    index = usearch.index.Index(ndim=vectors.shape[1], metric="ip", dtype="f32")
    index.add(np.arange(len(vectors), dtype=np.uint64), vectors, threads=1)
    return index


def _part(path: Path, rows: list[tuple[str, str, int]], vectors: np.ndarray) -> Path:
    keys, files, numbers = zip(*rows, strict=True)
    lists = pa.array(vectors.tolist(), pa.list_(pa.float32()))
    table = {"key": keys, "file": files, "row": numbers, "vectors": lists}
    pyarrow.parquet.write_table(pa.table(table), path)
    return path


def test_candidates_are_gathered_in_the_order_of_rows(tmp_path: Path) -> None:
    """Those that repeat an ID and its vector, but for rounding, are one."""
    vectors = _unit(4)
    vectors[3] = vectors[1] + 1e-7
    late = _part(tmp_path / "1", [("c", "b.csv", 1), ("a", "b.csv", 2)], vectors[[2, 3]])
    early = _part(tmp_path / "2", [("a", "a.csv", 2), ("b", "a.csv", 1)], vectors[[1, 0]])
    found = Catalogue.gathered([late, early])
    assert found.ids.to_pylist() == ["b", "a", "c"] and found.repeated == 1
    np.testing.assert_array_equal(found.vectors, vectors[:3])
    np.testing.assert_array_equal(vectors_in([late, early]), vectors)
    found.write(tmp_path)
    again = Catalogue.read(tmp_path)
    assert again.ids == found.ids and again.vectors.tobytes() == found.vectors.tobytes()


def test_candidates_that_cannot_be_are_refused(tmp_path: Path) -> None:
    vectors = _unit(3)
    rows = [("a", "a.csv", 1), ("b", "a.csv", 2), ("a", "a.csv", 7)]
    with pytest.raises(DataError, match=r"a.csv:row 7: 'a' is the ID of a.csv:row 1 too, .* --id"):
        Catalogue.gathered([_part(tmp_path / "1", rows, vectors)])
    vectors[1, 3] = np.nan
    with pytest.raises(DataError, match=r"a.csv:row 2: the vector of 'b' is not finite; .*clip"):
        Catalogue.gathered([_part(tmp_path / "2", rows, vectors)])


def test_recall_is_the_share_of_what_brute_force_finds() -> None:
    """By sorting; of an index that lacks entries, so that there is something to miss."""
    vectors, queries = _unit(300), _unit(40, seed=2)
    # Threads that add at once may leave an entry that no search reaches.
    whole = _added_in_order(vectors)
    found = approximate.measured(whole, vectors, queries, (5, 1_000), 512)
    assert found["recall"] == {"5": 1.0, "1000": 1.0}
    lacking = _added_in_order(vectors)
    lacking.remove(np.arange(0, 300, 3, dtype=np.uint64))
    found = approximate.measured(lacking, vectors, queries, (5, 20))
    for cutoff in (5, 20):
        order = np.argsort(-(queries @ vectors.T), axis=1)[:, :cutoff]
        expected = (order % 3 != 0).mean()
        assert found["recall"][str(cutoff)] == pytest.approx(expected, abs=1e-9)
    assert found["p50_milliseconds"]["index"] > 0
    assert found["search_width"] == 1_024, "no width finds what is not there"


def test_the_least_width_that_finds_enough_is_taken() -> None:
    vectors, queries = _unit(20_000, width=32), _unit(200, width=32, seed=2)
    index = approximate.built(vectors)
    chosen = approximate.measured(index, vectors, queries, (10,))
    assert chosen["recall"]["10"] >= 0.95
    narrower = approximate.measured(index, vectors, queries, (10,), chosen["search_width"] // 2)
    assert narrower["search_width"] >= 64 and narrower["recall"]["10"] < 0.95


def test_an_index_is_opened_asked_and_added_to(tmp_path: Path) -> None:
    vectors = _unit(50)
    catalogue = Catalogue(pa.array([f"c{row}" for row in range(50)]), vectors)
    catalogue.write(tmp_path)
    approximate.built(vectors).save(str(tmp_path / approximate.INDEX))
    files = {name: file_sha256(tmp_path / name) for name in (VECTORS, approximate.INDEX)}
    marker = tmp_path / "index.json"
    marker.write_text(json.dumps({"files": files, "search_width": 32}))
    opened = open_index(tmp_path)
    for exact in (False, True):
        found, cosines = opened.find(vectors[7:9], 3, exact=exact)
        order = np.argsort(-(vectors[7:9] @ vectors.T), axis=1)[:, :3]
        assert found == [[f"c{at}" for at in row] for row in order]
        np.testing.assert_allclose(cosines[:, 0], 1, atol=1e-6)
    assert len(opened.find(vectors[:1], 99)[0][0]) == 50
    new = Catalogue(pa.array(["new"]), _unit(1, seed=9))
    more = opened.with_more(replace(opened, catalogue=new))
    assert more.find(new.vectors, 1)[0] == [["new"]] != opened.find(new.vectors, 1)[0]
    assert more.find(vectors[:1], 99)[1].shape == (1, 51)
    with pytest.raises(DataError, match=r"'c0' is in .* too; index each candidate once"):
        opened.with_more(opened)
    with pytest.raises(UsageError, match=r"vectors: expected \[queries, 8\], got \[2, 3\]"):
        opened.find(np.ones((2, 3), np.float32))

    (tmp_path / approximate.INDEX).write_bytes(b"usearch")
    with pytest.raises(DataError, match=r"vectors.usearch: is missing, or not as it was left"):
        open_index(tmp_path)
    with pytest.raises(DataError, match=r"vectors.usearch: .* run `skewless index` again"):
        approximate.restored(tmp_path / approximate.INDEX, 64)
    marker.write_text("{}")
    with pytest.raises(DataError, match=r"index.json: cannot be read"):
        open_index(tmp_path)
    marker.unlink()
    with pytest.raises(UsageError, match="expected what `skewless index` left"):
        open_index(tmp_path)


def test_as_many_are_found_as_are_asked_for_where_many_are_alike(tmp_path: Path) -> None:
    """From where the graph is entered it leads to some of them only."""
    vectors = _unit(3)[np.random.default_rng(1).integers(0, 3, 2000)]
    graph = _added_in_order(vectors)
    ids = pa.array([f"c{row}" for row in range(2000)])
    opened = Index(tmp_path, {}, Catalogue(ids, vectors), graph)
    query = vectors[:1]
    assert len(graph.search(query[0], 1500).keys) < 1500
    [found], cosines = opened.find(query, 1500)
    assert len(set(found)) == 1500 and cosines.shape == (1, 1500)
    np.testing.assert_allclose(cosines[0], -np.sort(-(vectors @ query[0]))[:1500], atol=1e-6)
    for count in (0, -1):
        with pytest.raises(UsageError, match="count: expected at least 1, got"):
            opened.find(query, count)


def _towers(**candidate: object) -> dict[str, object]:
    return {
        "name": "n",
        "key": "row",
        "features": {
            "user": {"type": "categorical"},
            "price": {"type": "numeric", "buckets": 3, "embedding": 2},
            "brand": {"type": "categorical", "hash_buckets": 9},
            "both": {"type": "cross", "of": ["brand", "price"], "hash_buckets": 9},
            "item": {"type": "categorical", "column": "product"},
        },
        "model": {"type": "two_tower", "query": ["user"], **candidate},
    }


def test_a_side_reads_its_own_columns_and_what_it_combines() -> None:
    spec = parse(_towers(candidate=["both", "item"]))
    assert id_column(spec, None) == "product" and id_column(spec, "sku") == "sku"
    side = side_of(spec, "candidate", "product")
    assert list(side.features) == ["price", "brand", "both", "item"] and side.key == "product"
    assert list(side_of(spec, "query").features) == ["user"]
    with pytest.raises(UsageError, match="--id: 'price' is read as numeric by feature 'price'"):
        side_of(spec, "candidate", "price")
    with pytest.raises(UsageError, match=r"--id: expected the column .* no feature of model.cand"):
        id_column(parse(_towers(candidate=["price", "brand"])), None)


def test_a_model_without_towers_is_refused(
    shop: DataSet, shop_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"expected a model of two towers .*, got towers"):
        index(shop_model, [str(shop.source)], tmp_path / "out")
    monkeypatch.setitem(__import__("sys").modules, "usearch.index", None)
    with pytest.raises(UsageError, match=r"pip install 'skewless\[index\]'"):
        index(shop_model, [str(shop.source)], tmp_path / "out")
    assert not (tmp_path / "out").exists()
