"""Cutting a job's input into work units, by its workers where there is much to look through.

    pieces -> scanned -> gathered by file -> joined -> cuts

A worker looks through one piece; another joins those of a file. What reaches the command is a few
numbers for each work unit, in a file that both read.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions

from skewless.beam_pipelines.batch.plan import Opened, Planned
from skewless.beam_pipelines.running.beam_internals import job_pipeline
from skewless.beam_pipelines.running.left_behind import leave, take
from skewless.beam_pipelines.running.local_runner import runner_name
from skewless.beam_pipelines.sources.cutting.cuts import Cut
from skewless.beam_pipelines.sources.cutting.framed import FramedPiece
from skewless.beam_pipelines.sources.cutting.joined import joined
from skewless.beam_pipelines.sources.cutting.pieces import Piece
from skewless.beam_pipelines.sources.cutting.scan import Scanned, scan
from skewless.beam_pipelines.sources.opened import OpenedFile
from skewless.beam_pipelines.sources.place import tells_its_place
from skewless.beam_pipelines.sources.plan import cut_here, units_of
from skewless.schemas.storage.between.files import inside

__all__ = ["PIECES_WORTH_PROCESSES", "cut"]

_LOGGER = logging.getLogger(__name__)
_FILE = "cuts"
# On one machine threads look through a gigabyte in two seconds; to start and stop worker processes
# takes ten. This is 6 GiB.
PIECES_WORTH_PROCESSES = 200


def cut(opened: Opened, shared: str) -> Planned:
    """Returns the job with its work units.

    Args:
      opened: The job.
      shared: The path or URI of what workers and command share.

    Raises:
      DataError: If a file cannot be read on, or workers do not see what is shared.
    """
    files = opened.files
    if _by_workers(opened.options, sum(len(file.pieces) for file in files)):
        units = units_of(files, _cut_by_workers(files, opened.options, shared))
    else:
        units = units_of(files, cut_here(files))
    _LOGGER.info("planned: %s of %s", _counted(units, "work unit"), _counted(files, "file"))
    return Planned(opened.spec, units, opened.options)


def _counted(things: Sequence[object], name: str) -> str:
    return f"{len(things):,} {name}{'' if len(things) == 1 else 's'}"


def _by_workers(options: PipelineOptions, pieces: int) -> bool:
    if runner_name(options) != "DirectRunner":
        return pieces > 0
    processes = options.view_as(DirectOptions).direct_running_mode == "multi_processing"
    return processes and pieces >= PIECES_WORTH_PROCESSES


def _cut_by_workers(
    files: Sequence[OpenedFile], options: PipelineOptions, shared: str
) -> list[Sequence[Cut]]:
    pieces = [
        (place, number, piece, file.bytes)
        for place, file in enumerate(files)
        for number, piece in enumerate(file.pieces)
    ]
    path = inside(shared, _FILE)
    with job_pipeline(options) as pipeline:
        cuts = (
            pipeline
            | "Pieces" >> beam.Create(pieces)
            | "SpreadPieces" >> beam.Reshuffle()
            | "FindWhereRecordsEnd" >> beam.MapTuple(_scanned)
            | "GatherPiecesOfFile" >> beam.GroupByKey()
            | "JoinPiecesOfFile" >> beam.MapTuple(_joined)
        )
        leave(pipeline, path, _document, cuts=cuts)
    found = _cuts(take(path))
    return [found.get(place, file.cuts) for place, file in enumerate(files)]


_Found = Scanned | FramedPiece
_Numbered = tuple[int, Piece, int, _Found]


def _scanned(place: int, number: int, piece: Piece, held: int) -> tuple[int, _Numbered]:
    @tells_its_place
    def look(_: object) -> Iterator[_Found]:
        yield scan(piece)

    [found] = look(piece.whole)
    return place, (number, piece, held, found)


def _joined(place: int, scanned: Iterable[_Numbered]) -> tuple[int, list[Cut]]:
    numbered = sorted(scanned, key=lambda entry: entry[0])
    pieces, found = [entry[1] for entry in numbered], [entry[3] for entry in numbered]
    return place, joined(pieces, found, numbered[0][2])


def _document(cuts: Sequence[tuple[int, Sequence[Cut]]]) -> list[Any]:
    return list(cuts)


def _cuts(document: Iterable[Any]) -> dict[int, list[Cut]]:
    return {
        place: [
            Cut(start, end, row, tuple((size, count, why) for size, count, why in stretches))
            for start, end, row, stretches in cuts
        ]
        for place, cuts in document
    }
