"""The first rows of an input beside a fitted vocabulary, before a job goes through all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from skewless.beam_pipelines.sources import RawBatch, WorkUnit, read
from skewless.beam_pipelines.sources.place import tells_its_place
from skewless.schemas.records.vocabulary_file import read_vocabulary
from skewless.schemas.records.vocabulary_names import vocabulary_file
from skewless.schemas.rows.native.spellings import Spellings
from skewless.schemas.rows.raw_columns import RawColumn, RowColumns
from skewless.schemas.spec.spec import Spec

__all__ = ["check_spellings"]


def check_spellings(spec: Spec, units: Sequence[WorkUnit], fitted: Spec, assets: Path) -> None:
    """Refuses booleans and whole numbers that training rows had as other texts.

    Args:
      spec: The declaration that rows are read by.
      units: The input. Of each format the first batch of the first unit is read, and of it only
        categories.
      fitted: The declaration of a fitted transform or a model; `spec` may be of one side of it.
      assets: The folder of its vocabulary files.

    Raises:
      DataError: Naming file, column and both texts.
      WorkUnitError: If the rows cannot be read.
    """

    def vocabulary(name: str) -> list[bytes]:
        return read_vocabulary(str(vocabulary_file(fitted, name, assets)))

    spellings = Spellings(fitted, vocabulary)
    for unit in {unit.format: unit for unit in reversed(units)}.values():
        rows = RowColumns(spec, unit.serving)
        wanted = {
            name: rows.wanted[name]
            for name in spellings.columns
            if name in rows.wanted and name not in rows.built
        }
        if not wanted:
            continue
        for batch in _first(unit, spec, wanted):
            columns = dict(zip(batch.table.schema.names, batch.table.columns, strict=True))
            spellings.check(columns, f"{unit.file}: ")


@tells_its_place
def _first(unit: WorkUnit, spec: Spec, columns: Mapping[str, RawColumn]) -> Iterator[RawBatch]:
    """Yields the first batch of a unit, if it has one."""
    for batch in read(unit, spec, columns):
        yield batch
        return
