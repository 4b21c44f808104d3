"""Sources: files in, record batches out.

`plan` turns globs into work units (a file, or a piece of one, with its first row number); a batch
job has its workers look where big files may be cut (`cutting`, `batch.cut`).
`read` turns one work unit into raw batches. Only units cross a Beam stage boundary, never rows.
Every record of a unit is either in a batch or among its rejections, and its number does not
depend on how the file was cut.
"""

from skewless.beam_pipelines.sources.contents import row_contents
from skewless.beam_pipelines.sources.files import file_bytes, matched
from skewless.beam_pipelines.sources.plan import (
    as_seen_from_anywhere,
    plan,
    written_as,
)
from skewless.beam_pipelines.sources.read import read
from skewless.beam_pipelines.sources.units import RawBatch, Rejected, WorkUnit

__all__ = [
    "RawBatch",
    "Rejected",
    "WorkUnit",
    "as_seen_from_anywhere",
    "file_bytes",
    "matched",
    "plan",
    "read",
    "row_contents",
    "written_as",
]
