"""A unit's rows with their histories, which lie in files in the order of rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from skewless.beam_pipelines.analysis.spilled.merged import merged
from skewless.beam_pipelines.analysis.spilled.runs import KEY, Run
from skewless.beam_pipelines.histories.events import place_of
from skewless.beam_pipelines.histories.past import LISTS
from skewless.beam_pipelines.sources import WorkUnit
from skewless.schemas.rows.raw_columns import RowColumns
from skewless.schemas.spec.spec import Spec

__all__ = ["PlacedLists", "UnitHistories"]


class UnitHistories:
    """Reads the histories of one unit along with its rows; holds a few blocks of each run."""

    def __init__(self, unit: WorkUnit, spec: Spec) -> None:
        self._order = unit.order
        self._names = RowColumns(spec, unit.serving).built
        runs: dict[str, list[Run]] = {name: [] for name in self._names}
        for name, path, begin, end in unit.past:
            runs[name].append(Run(path, begin, end))
        self._readers = {name: PlacedLists(found) for name, found in runs.items()}

    def added(self, columns: pa.RecordBatch, numbers: np.ndarray) -> pa.RecordBatch:
        """Returns rows with their histories; a row without a past has an empty list.

        Args:
          columns: [rows] canonical columns.
          numbers: [rows] int64 record numbers, rising, above those of the call before.
        """
        places = place_of(self._order, numbers)
        for name in sorted(self._names):
            at = columns.schema.get_field_index(name)
            field = columns.schema.field(at)
            lists = self._readers[name].of(places, field.type)
            columns = columns.set_column(at, field, lists)
        return columns


class PlacedLists:
    """Lists of rows in the order of their places, read once from end to end."""

    def __init__(self, runs: list[Run]) -> None:
        """Opens runs of lists by place."""
        self._tables: Iterator[pa.Table] = merged(runs) if runs else iter(())
        self._held: pa.Table | None = None

    def of(self, places: np.ndarray, kind: pa.DataType) -> pa.ListArray:
        """Returns [rows] lists of the rows at these places, which rise, above those of the call before."""
        held = self._read_up_to(places)
        if held is None or not len(places):
            nothing = pa.array([], kind.value_type)
            return pa.ListArray.from_arrays(pa.array([0] * (len(places) + 1), pa.int32()), nothing)
        keys = held[KEY].to_numpy()
        at = np.searchsorted(keys, places)
        absent = np.append(keys, 0)[at] != places
        lists = held[LISTS].combine_chunks().take(pa.array(at, mask=absent))
        lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        offsets = np.append(0, np.cumsum(lengths)).astype(np.int32)
        self._held = held.slice(int(np.searchsorted(keys, places[-1], "right")))
        return pa.ListArray.from_arrays(pa.array(offsets), lists.flatten().cast(kind.value_type))

    def _read_up_to(self, places: np.ndarray) -> pa.Table | None:
        while len(places) and (
            self._held is None or not len(self._held) or self._held[KEY][-1].as_py() < places[-1]
        ):
            more = next(self._tables, None)
            if more is None:
                break
            self._held = more if self._held is None else pa.concat_tables([self._held, more])
        return self._held
