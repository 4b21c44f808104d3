"""The transform's digest: the same for what does the same, another for any change that matters."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from skewless.beam_pipelines.transform.constants import Constants
from skewless.beam_pipelines.transform.graph import write_transform_graph
from skewless.beam_pipelines.transform.numeric import constants_of
from skewless.model.training.records import open_records
from skewless.model.training.run_directory import RunDirectory
from skewless.model.verify import verify
from skewless.schemas.errors import DatasetMismatchError
from skewless.schemas.records.constants import load_numbers
from skewless.schemas.records.manifest import load_manifest
from skewless.schemas.records.transform_digest import (
    _sha256_of_bytes,
    is_of_transform,
    transform_sha256,
)
from tests.conftest import DataSet

SAVED_MODEL = Path("transform_fn", "saved_model.pb")
OWNERS = ("text", "user", "tags")


@pytest.fixture
def transform(shop: DataSet, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(shop.directory / "transform", tmp_path / "copy"))


def change(transform: Path, how: Callable[[Any], object]) -> str:
    """Changes the graph; returns the digest then."""
    path = transform / SAVED_MODEL
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    how(saved.meta_graphs[0])
    path.write_bytes(saved.SerializeToString())
    return transform_sha256(transform)


def main_function(graph: Any) -> Any:
    return max(graph.graph_def.library.function, key=lambda function: len(function.node_def))


def first(graph: Any, op: str) -> Any:
    return next(node for node in main_function(graph).node_def if node.op == op)


def test_two_writings_of_one_transform_are_equal(shop: DataSet, tmp_path: Path) -> None:
    """As bytes they are not: the graph was written by another worker, with other counters and paths."""
    one = shop.directory / "transform"
    vocabularies = {name: str(one / "transform_fn" / "assets" / name) for name in OWNERS}
    constants = Constants(vocabularies, constants_of(load_numbers(one)))
    other = tmp_path / "a" / "longer" / "way" / "transform"
    write_transform_graph(shop.spec, constants, str(other))
    assert (one / SAVED_MODEL).read_bytes() != (other / SAVED_MODEL).read_bytes()
    assert transform_sha256(other) == transform_sha256(one)
    assert transform_sha256(one) == load_manifest(shop.directory).transform_sha256


def test_order_versions_and_remarks_do_not_matter(shop: DataSet, transform: Path) -> None:
    def rearrange(graph: Any) -> None:
        shuffle = random.Random(1).shuffle
        for repeated in (
            graph.graph_def.library.function,
            graph.graph_def.node,
            *(function.node_def for function in graph.graph_def.library.function),
        ):
            entries = [type(entry).FromString(entry.SerializeToString()) for entry in repeated]
            shuffle(entries)
            del repeated[:]
            repeated.extend(entries)
        graph.graph_def.versions.producer = 1
        graph.meta_info_def.tensorflow_version = "9.9"
        for function in graph.graph_def.library.function:
            for node in function.node_def:
                node.ClearField("experimental_debug_info")
                node.device = ""
                node.attr.pop("_output_shapes", None)
                if "shared_name" in node.attr:
                    node.attr["shared_name"].s = b"/elsewhere/1"

    (transform / "transform_fn" / "fingerprint.pb").unlink()
    assert change(transform, rearrange) == load_manifest(shop.directory).transform_sha256


def other_constant(graph: Any) -> None:
    # The last element of the first tensor of numbers that the graph computes with.
    for node in main_function(graph).node_def:
        if node.op == "Const" and node.attr["dtype"].type == tf.float32.as_datatype_enum:
            values = tf.make_ndarray(node.attr["value"].tensor).copy()
            if values.size and np.isfinite(values).all():
                values.reshape(-1)[-1] += 1
                node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(values))
                return


def other_default(graph: Any) -> None:
    for node in graph.graph_def.node:
        if node.op == "Const" and node.name == "Const":
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(7, tf.int64))


def swapped_inputs(graph: Any) -> None:
    node = first(graph, "Sub")
    node.input[0], node.input[1] = node.input[1], node.input[0]


def other_branch(graph: Any) -> None:
    node = first(graph, "If")
    attributes = node.attr
    attributes["then_branch"].func.name, attributes["else_branch"].func.name = (
        attributes["else_branch"].func.name, attributes["then_branch"].func.name)  # fmt: skip


def other_line_of_a_vocabulary(graph: Any) -> None:
    """Its table is filled by a function of its own."""
    functions = graph.graph_def.library.function
    node = next(n for f in functions for n in f.node_def if n.op == "InitializeTableFromTextFileV2")
    node.attr["value_index"].i = -2


def other_length(graph: Any) -> None:
    first(graph, "StringSplitV2").attr["maxsplit"].i = 3


CHANGES = [
    other_constant,
    other_default,
    swapped_inputs,
    other_branch,
    other_line_of_a_vocabulary,
    other_length,
    lambda graph: setattr(first(graph, "StringToHashBucketFast").attr["num_buckets"], "i", 9),
    lambda graph: setattr(first(graph, "StaticRegexReplace").attr["rewrite"], "s", b"!"),
    lambda graph: setattr(first(graph, "LessEqual"), "op", "Less"),
]


@pytest.mark.parametrize("how", CHANGES)
def test_a_change_of_the_graph_is_seen(
    how: Callable[[Any], object], shop: DataSet, transform: Path
) -> None:
    assert change(transform, how) != load_manifest(shop.directory).transform_sha256
    assert not is_of_transform(load_manifest(shop.directory).transform_sha256, transform)


def replace_in(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))


def test_a_change_beside_the_graph_is_seen(shop: DataSet, transform: Path) -> None:
    changes: list[Callable[[], object]] = [
        lambda: replace_in(transform / "transform_fn" / "assets" / "tags", b"a", b"z"),
        lambda: replace_in(transform / "constants.json", b"79.0", b"80.0"),
        lambda: (transform / "transformed_metadata" / "schema.pbtxt").write_text(""),
        lambda: (transform / "transform_fn" / "assets" / "user").unlink(),
        lambda: (transform / SAVED_MODEL).write_bytes(b"\xff no graph"),
    ]
    seen = {transform_sha256(transform)}
    for number, make in enumerate(changes, 2):
        make()
        seen.add(transform_sha256(transform))
        assert len(seen) == number


def test_every_node_counts(transform: Path) -> None:
    """A graph of which any operation is another one has another digest."""
    before = {transform_sha256(transform)}
    saved = saved_model_pb2.SavedModel.FromString((transform / SAVED_MODEL).read_bytes())
    count = len(main_function(saved.meta_graphs[0]).node_def)

    def rename(place: int, op: str) -> Callable[[Any], str]:
        def renamed(graph: Any) -> str:
            node = main_function(graph).node_def[place]
            old, node.op = node.op, op
            return str(old)

        return renamed

    for place in random.Random(2).sample(range(count), 25):
        told: list[str] = []
        changed = change(transform, lambda graph: told.append(rename(place, "Other")(graph)))  # noqa: B023
        assert changed not in before, (place, told)
        change(transform, rename(place, told[0]))


def test_records_runs_and_models_of_earlier_versions(
    shop: DataSet, shop_run: Path, shop_model: Path, tmp_path: Path
) -> None:
    """Their manifests hold the digest of all bytes."""
    records = Path(shutil.copytree(shop.directory, tmp_path / "records"))
    manifest = json.loads((records / "manifest.json").read_text())
    manifest["transform_sha256"] = _sha256_of_bytes(records / "transform")
    (records / "manifest.json").write_text(json.dumps(manifest))
    earlier = open_records(records)
    run = RunDirectory.open(shop_run)
    run.check_records(earlier)
    assert verify(shop_model, records).passed
    (records / "transform" / "transform_fn" / "assets" / "tags").write_bytes(b"a\nb\nc\nz\n")
    with pytest.raises(DatasetMismatchError, match="is not the transform that these records"):
        open_records(records)
    with pytest.raises(DatasetMismatchError, match="came from another transform than the run"):
        run.check_records(earlier)
