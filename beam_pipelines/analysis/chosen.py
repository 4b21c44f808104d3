"""What was counted to what the transform graph is built from: vocabularies, and constants of numbers.

Each partition of the counted values offers its best to each vocabulary (`offered`); vocabulary files
are written as the partitions' offers are merged. Vocabularies are numbered by their places in
`counted_vocabularies`.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

from skewless.beam_pipelines.analysis.counts import (
    Numbers,
    counted_vocabularies,
    measured_numbers,
)
from skewless.beam_pipelines.analysis.grow import grown_constants, wanted_to_grow
from skewless.beam_pipelines.analysis.learned_pieces import LearnedPieces
from skewless.beam_pipelines.analysis.numeric_constants import numeric_constants
from skewless.beam_pipelines.analysis.spilled.ranked import Ranked, Ranking, Wanted, best_first
from skewless.beam_pipelines.analysis.spilled.runs import Run
from skewless.beam_pipelines.analysis.spilled.values import merged_values
from skewless.beam_pipelines.statistics.numeric_summary import NumericSummary
from skewless.beam_pipelines.transform.constants import Constants
from skewless.schemas.records.vocabulary_file import write_vocabulary
from skewless.schemas.records.vocabulary_names import vocabulary_asset
from skewless.schemas.spec.spec import Spec
from skewless.schemas.storage.between.files import folder_at_hand, inside, leave_folder

__all__ = ["chosen_constants", "offered"]


def offered(
    runs: Iterable[Run], spec: Spec, directory: str, grow_from: str | None = None
) -> Iterator[Ranked]:
    """Yields what one partition of the counted values offers to each vocabulary.

    Args:
      runs: All of the partition.
      spec: The declaration.
      directory: Where sorted values are written.
      grow_from: The earlier `transform/` folder, where one grows.
    """
    wanted = _wanted(spec) if grow_from is None else wanted_to_grow(spec, folder_at_hand(grow_from))
    values = merged_values(list(runs))
    for owner, tables in itertools.groupby(values, key=lambda entry: entry[0]):
        ranking = Ranking(wanted[owner], directory)
        for _, table in tables:
            ranking.add(table)
        yield ranking.close(owner)


def chosen_constants(
    numbers: Numbers,
    offers: Iterable[Ranked],
    spec: Spec,
    directory: str,
    grow_from: str | None = None,
) -> Constants:
    """Chooses vocabularies and writes their files, named for their owners.

    Args:
      numbers: What was summarised.
      offers: Of all partitions.
      spec: The declaration.
      directory: A path or URI below which vocabulary files are left.
      grow_from: The earlier `transform/` folder, where one grows.
    """
    by_owner = _by_owner(offers, spec)
    found: list[Constants] = []

    def write(folder: str) -> None:
        if grow_from is None:
            found.append(_fresh(numbers, by_owner, spec, folder))
        else:
            found.append(grown_constants(by_owner, spec, folder, folder_at_hand(grow_from)))

    left = leave_folder(directory, "vocabularies", write)
    [constants] = found
    files = {
        owner: inside(left, os.path.basename(path))
        for owner, path in constants.vocabularies.items()
    }
    return dataclasses.replace(constants, vocabularies=files)


def _fresh(
    numbers: Numbers, offers: Mapping[str, Sequence[Ranked]], spec: Spec, directory: str
) -> Constants:
    constants = Constants()
    for name, vocabulary in counted_vocabularies(spec).items():
        path = os.path.join(directory, vocabulary_asset(spec, name))
        best = best_first(offers[name])
        if isinstance(vocabulary.select, LearnedPieces):
            write_vocabulary(path, vocabulary.select(dict(best)))
        else:
            chosen = itertools.islice(best, vocabulary.select.max_size)
            write_vocabulary(path, (token for token, _ in chosen))
        constants.vocabularies[name] = path
    for name, width in measured_numbers(spec).items():
        summaries = numbers.get(name) or [NumericSummary() for _ in range(width)]
        feature = spec.features.get(name)
        constants.numbers[name] = numeric_constants(
            summaries,
            buckets=1 if feature is None else feature.quantile_buckets,
            bins=0 if feature is None else feature.linear_bins,
        )
    return constants


def _wanted(spec: Spec) -> list[Wanted]:
    """Returns what each counted vocabulary may take; pieces are learned from all words."""
    return [
        Wanted()
        if isinstance(vocabulary.select, LearnedPieces)
        else Wanted(vocabulary.select.max_size, vocabulary.select.min_count)
        for vocabulary in counted_vocabularies(spec).values()
    ]


def _by_owner(offers: Iterable[Ranked], spec: Spec) -> dict[str, Sequence[Ranked]]:
    names = list(counted_vocabularies(spec))
    found: dict[str, list[Ranked]] = {name: [] for name in names}
    for ranked in offers:
        found[names[ranked.owner]].append(ranked)
    return dict(found)
