"""The digest of a fitted transform: equal for transforms that do the same, whoever wrote them.

The bytes of a SavedModel differ from one writing to the next: counters in names of nodes and
functions, the order of its function library, absolute paths, versions. So its graph is reduced to
what it computes before it is digested:

- A node is its operation, its attributes without hints, and what it takes; a function, which has no
  name either, is what it returns. A value that a function brings along is its tensor, its vocabulary
  file, or the table that is made and filled by functions of their own.
- All other files (vocabularies, constants, metadata) count by their relative path and bytes.

What is equal so is written `graph-1:SHA-256`. A manifest of an earlier version has the digest of all
bytes instead, without a prefix, as has a graph that tf.Transform wrote for TensorFlow 1; a digest is
always compared with one of its own kind.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from skewless.schemas.records.layout import TRANSFORM_FN
from skewless.schemas.records.manifest import file_sha256

__all__ = ["is_of_transform", "same_transform", "transform_sha256"]

_KIND = "graph-1:"
_SAVED_MODEL = f"{TRANSFORM_FN}/saved_model.pb"
_VARIABLES = f"{TRANSFORM_FN}/variables/"
_FINGERPRINT = f"{TRANSFORM_FN}/fingerprint.pb"
_ROOT = "transform_fn"  # The attribute of the loaded graph that is called.
# Names under which resources are shared, with counters and paths in them, and settings of a run.
_UNREAD = {"shared_name", "container", "config_proto", "executor_type", "config"}
Digest = bytes


def transform_sha256(transform_directory: str | Path) -> str:
    """Returns the digest of a `transform/` folder."""
    root = Path(transform_directory)
    path = root / _SAVED_MODEL
    graph = _computed(path.read_bytes()) if path.is_file() else None
    if graph is None:
        return _sha256_of_bytes(root)
    computed, has_variables = graph
    files = [
        (path.relative_to(root).as_posix(), file_sha256(path))
        for path in sorted(root.rglob("*"))
        if path.is_file()
    ]
    unread = (_SAVED_MODEL, _FINGERPRINT, *(() if has_variables else (_VARIABLES,)))
    counted = [entry for entry in files if not entry[0].startswith(unread)]
    return _KIND + _digest("transform", computed, *map(str, counted)).hex()


def is_of_transform(digest: str, transform_directory: str | Path) -> bool:
    """Returns whether a digest, of whatever kind, is that of a `transform/` folder."""
    if digest.startswith(_KIND):
        return transform_sha256(transform_directory) == digest
    return _sha256_of_bytes(Path(transform_directory)) == digest


def same_transform(
    left: str, left_directory: str | Path, right: str, right_directory: str | Path
) -> bool:
    """Returns whether two transforms are the same, by digests that may be of two kinds, or else anew.

    Args:
      left, right: What manifests say.
      left_directory, right_directory: The `transform/` folders that they say it of.
    """
    return left == right or transform_sha256(left_directory) == transform_sha256(right_directory)


def _sha256_of_bytes(root: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


# Windows of a stream are opened one after the other, and have one transform.
@functools.lru_cache(maxsize=4)
def _computed(saved_model: bytes) -> tuple[Digest, bool] | None:
    """Returns the digest of what a SavedModel of TensorFlow 2 computes, and if it has variables.

    None where its bytes are no such thing, or damaged so that its parts name what is not there.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    try:
        saved = saved_model_pb2.SavedModel.FromString(saved_model)
        if len(saved.meta_graphs) != 1 or not _Graph.root_of(saved.meta_graphs[0]):
            return None
        graph = _Graph(saved.meta_graphs[0])
        return graph.digest(), graph.has_variables
    except (DecodeError, KeyError, IndexError, TypeError, ValueError, RecursionError):
        return None


class _Graph:
    """What the transform function of a SavedModel computes.

    Attributes:
      has_variables: Whether it reads variables, whose values lie in files of their own.
    """

    def __init__(self, graph: Any) -> None:
        self._objects = graph.object_graph_def
        self._assets = [asset.filename for asset in graph.asset_file_def]
        self._nodes = {node.name: node for node in graph.graph_def.node}
        self._functions = {f.signature.name: f for f in graph.graph_def.library.function}
        self._root = self._objects.nodes[_Graph.root_of(graph)]
        self._known: dict[str, Digest] = {}
        self.has_variables = any(
            node.WhichOneof("kind") == "variable" for node in self._objects.nodes
        )

    @staticmethod
    def root_of(graph: Any) -> int:
        """Returns the place of the transform function among the objects; 0 if there is none."""
        objects = graph.object_graph_def.nodes
        children = objects[0].children if objects else ()
        for child in children:
            kind = objects[child.node_id].WhichOneof("kind")
            if child.local_name == _ROOT and kind in ("bare_concrete_function", "function"):
                return int(child.node_id)
        return 0

    def digest(self) -> Digest:
        """Returns the digest of the function, its arguments and the names of its outputs."""
        kind = self._root.WhichOneof("kind")
        names = (
            [self._root.bare_concrete_function.concrete_function_name]
            if kind == "bare_concrete_function"
            else list(self._root.function.concrete_functions)
        )
        return _digest("function", *(self._concrete(name) for name in names))

    def _concrete(self, name: str, within: int | None = None) -> Digest:
        """Returns the digest of a function and of what it brings along."""
        declared = self._objects.concrete_functions[name]
        brought = [self._object(place, within) for place in declared.bound_inputs]
        signatures = (declared.canonicalized_input_signature, declared.output_signature)
        return _digest(
            "concrete",
            self._function(name),
            *brought,
            *(signature.SerializeToString(deterministic=True) for signature in signatures),
        )

    def _object(self, place: int, within: int | None) -> Digest:
        if place == within:  # A table that is filled by a function which takes the table.
            return _digest("itself")
        found = self._objects.nodes[place]
        kind = found.WhichOneof("kind")
        if kind == "constant":
            return _digest("constant", self._attributes(self._nodes[found.constant.operation]))
        if kind == "asset":
            name = self._assets[found.asset.asset_file_def_index]
            return _digest("asset", Path(name).name)
        if kind == "resource":
            children = {child.local_name: child.node_id for child in found.children}
            makers = [
                self._concrete(name, within=place)
                for role in ("_create_resource", "_initialize")
                if role in children
                for name in self._objects.nodes[children[role]].function.concrete_functions
            ]
            return _digest("resource", *makers)
        if kind == "variable":
            return _digest("variable", found.variable.name, str(found.variable.dtype))
        return _digest("object", found.SerializeToString(deterministic=True))

    def _function(self, name: str) -> Digest:
        if name not in self._known:
            self._known[name] = self._body(self._functions[name])
        return self._known[name]

    def _body(self, function: Any) -> Digest:
        """Returns the digest of a function: of what it returns, and of what it does beside that."""
        nodes = {node.name: node for node in function.node_def}
        known = {
            argument.name: _digest("argument", str(place), str(argument.type))
            for place, argument in enumerate(function.signature.input_arg)
        }
        wanted = [function.ret[output.name] for output in function.signature.output_arg]
        beside = list(function.control_ret.values())
        for name in (_name_of(value) for value in [*wanted, *beside]):
            self._visit(name, nodes, known)
        return _digest(
            "body",
            *(_value(value, known) for value in wanted),
            "beside",
            *sorted(known[name] for name in beside),
        )

    def _visit(self, name: str, nodes: Mapping[str, Any], known: dict[str, Digest]) -> None:
        """Digests a node after all that it takes; a graph may be deeper than Python's stack."""
        waiting, met = [name], set[str]()
        while waiting:
            if waiting[-1] in known:
                waiting.pop()
                continue
            node = nodes[waiting[-1]]
            missing = [n for n in map(_name_of, node.input) if n not in known]
            if missing:
                if node.name in met:
                    raise ValueError(f"{node.name} takes what follows from it")
                met.add(node.name)
                waiting += missing
                continue
            taken = [value for value in node.input if not value.startswith("^")]
            after = [value for value in node.input if value.startswith("^")]
            known[node.name] = _digest(
                node.op,
                self._attributes(node),
                *(_value(value, known) for value in taken),
                "after",
                *sorted(known[_name_of(value)] for value in after),
            )
            waiting.pop()

    def _attributes(self, node: Any) -> Digest:
        read = [name for name in node.attr if not name.startswith("_") and name not in _UNREAD]
        parts: Iterator[str | Digest] = (
            part for name in sorted(read) for part in (name, self._attribute(node.attr[name]))
        )
        return _digest("attributes", *parts)

    def _attribute(self, value: Any) -> Digest:
        kind = value.WhichOneof("value")
        if kind == "func":
            return self._called(value.func)
        if kind == "list" and value.list.func:
            return _digest("functions", *map(self._called, value.list.func))
        if kind == "tensor":
            return _tensor(value.tensor)
        return _digest("value", value.SerializeToString(deterministic=True))

    def _called(self, function: Any) -> Digest:
        return self._function(function.name) if function.name else _digest("no function")


def _tensor(tensor: Any) -> Digest:
    """Returns the digest of a tensor's values, however they are packed."""
    from tensorflow.python.framework import tensor_util

    array = tensor_util.MakeNdarray(tensor)
    values: Iterable[Digest] = (
        [bytes(item) for item in array.reshape(-1).tolist()]
        if array.dtype == object
        else [array.tobytes()]
    )
    return _digest("tensor", str(tensor.dtype), str(array.shape), *values)


def _name_of(value: str) -> str:
    """Returns the node that `^node`, `node:output:0` or `argument` is of."""
    return value.removeprefix("^").partition(":")[0]


def _value(value: str, known: Mapping[str, Digest]) -> Digest:
    name, _, output = value.partition(":")
    return _digest(known[name], output)


def _digest(kind: str | Digest, *parts: str | Digest) -> Digest:
    """Returns the digest of parts, each with its length: no two lists of parts look alike."""
    digest = hashlib.sha256()
    for part in (kind, *parts):
        content = part.encode() if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.digest()
