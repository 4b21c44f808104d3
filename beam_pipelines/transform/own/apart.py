"""tf.Transform's analysis by workers that share a bucket alone.

tf.Transform (read in 1.21) has workers leave graphs and vocabulary files for one another in a directory
that all see. Here each is written on the worker's own machine, put into the bucket, and fetched by
whoever reads it; what goes from stage to stage is its URI. Importing this imports tf.Transform.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform.beam import impl
from tensorflow_transform.tf_metadata import metadata_io

from skewless.beam_pipelines.running.checked_file import read_checked, write_checked
from skewless.schemas.errors import SpecError
from skewless.schemas.records.layout import TRANSFORM, TRANSFORM_FN
from skewless.schemas.storage.between.files import (
    brought,
    folder_at_hand,
    hand_on,
    hand_on_folder,
    inside,
    leave_folder,
    made_here,
)

__all__ = ["handed_on", "transform_left"]

_VOCABULARY = "vocabulary"
# Beside a final graph tf.Transform leaves its metadata in a hidden folder; hidden ones are not handed on.
_METADATA, _HIDDEN_METADATA = "metadata", ".tft_metadata"


@contextlib.contextmanager
def handed_on(place: str) -> Iterator[None]:
    """Has the analyses that are built within the block leave what they make at a URI.

    Args:
      place: What workers and command share.
    """
    ours = {
        (impl, "_create_v2_saved_model"): _SavedModelLeft(place),
        (impl, "_RunMetaGraphDoFn"): _RunHandedGraph,
        (impl, "_infer_metadata_from_saved_model"): _metadata_of,
        (beam.io, "WriteToText"): functools.partial(_LeaveVocabulary, place),
        (beam.io, "WriteToTFRecord"): _refuse_compressed,
    }
    theirs = {(home, name): getattr(home, name) for home, name in ours}
    for (home, name), replacement in ours.items():
        setattr(home, name, replacement)
    try:
        yield
    finally:
        for (home, name), replaced in theirs.items():
            setattr(home, name, replaced)


def transform_left(transform_fn: Any, place: str) -> beam.PCollection:
    """Leaves what an analysis found as a `transform/` folder.

    Args:
      transform_fn: What tf.Transform's analysis gives: where the graph lies, and its metadata.
      place: What workers and command share.

    Returns:
      One name: of the SavedModel in the folder.
    """
    saved_model, metadata = transform_fn
    assets = dict(metadata.asset_map)
    return saved_model | "LeaveTransform" >> beam.Map(_transform_left, assets, place)


@dataclass(frozen=True)
class _SavedModelLeft:
    """Called as what writes a graph: (constants found so far, directory, …); returns its URI."""

    place: str

    def __call__(self, found: Mapping[str, tf.Tensor] | None, shared: str, *rest: Any) -> str:
        around = _new_folder(self.place)
        try:
            files = os.path.join(around, "files")
            os.mkdir(files)
            constants = {
                name: self._at_hand(value, shared, files) if value.dtype == tf.string else value
                for name, value in (found or {}).items()
            }
            made = impl._create_v2_saved_model(constants, around, *rest)
            hidden = Path(made, _HIDDEN_METADATA)
            if hidden.exists():
                hidden.rename(Path(made, _METADATA))
            return hand_on_folder(made, self.place)
        finally:
            shutil.rmtree(around, ignore_errors=True)

    def _at_hand(self, value: tf.Tensor, shared: str, folder: str) -> tf.Tensor:
        """Returns the path of a vocabulary file on this machine; any other value as it is."""
        name = "" if value.shape.rank else os.fsdecode(value.numpy())
        if os.path.dirname(name) != shared:
            return value
        path, fetched = Path(folder, os.path.basename(name)), Path(folder, uuid.uuid4().hex)
        brought(_vocabulary_uri(self.place, name), fetched)
        [content] = read_checked(fetched, _VOCABULARY, [0])
        fetched.unlink()
        path.write_bytes(content)
        return tf.constant(str(path))


class _RunHandedGraph(impl._RunMetaGraphDoFn):  # type: ignore[misc]
    """Batches through a graph that lies at a URI."""

    def process(self, batch: Any, saved_model_dir: str) -> Iterator[Any]:
        """Fetches the graph once a process."""
        yield from super().process(batch, _folder(saved_model_dir))


class _LeaveVocabulary(beam.PTransform):
    """Tokens, in order -> a file of lines at the URI that stands for a path."""

    def __init__(self, place: str, path: str, **_: Any) -> None:
        super().__init__()
        self._uri = _vocabulary_uri(place, path)
        self._place = place

    def expand(self, tokens: beam.PCollection) -> beam.PCollection:
        return (
            tokens
            | "Number" >> beam.ParDo(_Numbered())
            | "Gather" >> beam.GroupByKey()
            | "Leave" >> beam.Map(_vocabulary_left, self._uri, self._place)
        )


def _vocabulary_uri(place: str, path: str) -> str:
    """Returns the URI of the vocabulary file that tf.Transform names by a path."""
    return inside(place, _VOCABULARY, os.path.basename(path))


class _Numbered(beam.DoFn):
    """Numbers tokens as they come: no runner promises to gather them in their order."""

    def start_bundle(self) -> None:
        self._number = 0

    def process(self, token: Any) -> Iterator[tuple[None, tuple[int, bytes]]]:
        """Numbers one."""
        self._number += 1
        yield None, (self._number, tf.compat.as_bytes(token))


def _vocabulary_left(
    gathered: tuple[None, Iterable[tuple[int, bytes]]], uri: str, place: str
) -> str:
    lines = [token + b"\n" for _, token in sorted(gathered[1])]
    here = os.path.join(made_here(place), uuid.uuid4().hex)
    write_checked(here, _VOCABULARY, [b"".join(lines)])
    hand_on(here, uri)
    return uri


def _refuse_compressed(*_: Any, **__: Any) -> beam.PTransform:
    raise SpecError(
        "preprocessing: file_format='tfrecord_gzip' of a vocabulary needs a directory that all workers "
        "see; leave it out, or give --output as a path of a file system that they share"
    )


def _metadata_of(saved_model: str, _: bool) -> Any:
    return metadata_io.read_metadata(os.path.join(_folder(saved_model), _METADATA))


def _transform_left(saved_model: str, asset_map: Mapping[str, str], place: str) -> str:
    """Leaves a `transform/` folder; returns where its SavedModel lies."""

    def write(folder: str) -> None:
        target = os.path.join(folder, TRANSFORM_FN)
        shutil.copytree(_folder(saved_model), target)
        described = os.path.join(folder, tft.TFTransformOutput.TRANSFORMED_METADATA_DIR)
        os.rename(os.path.join(target, _METADATA), described)
        if asset_map:
            text = json.dumps(asset_map)
            Path(described, tft.TFTransformOutput.ASSET_MAP).write_text(text, encoding="utf-8")

    return inside(leave_folder(place, TRANSFORM, write), TRANSFORM_FN)


@functools.lru_cache(maxsize=8)
def _folder(uri: str) -> str:
    """Returns the copy of a folder, which is looked for at the store once a process."""
    return folder_at_hand(uri)


def _new_folder(place: str) -> str:
    folder = os.path.join(made_here(place), uuid.uuid4().hex)
    os.mkdir(folder)
    return folder
