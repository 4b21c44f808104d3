"""Growing a transform: vocabularies that only append, constants that stay.

What was learned from an earlier transform stays true under the grown one: every old ID keeps its
token, new tokens come after the old ones, out-of-vocabulary buckets stay where they were, and
numbers are scaled and cut into buckets by the old constants. Two vocabularies stay as they are:
subword pieces, since a new piece would cut old words otherwise, and the label's, since a softmax
over more classes changes every prediction and a sequence's start and end come after its tokens.
"""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from skewless.beam_pipelines.analysis.counts import counted_vocabularies
from skewless.beam_pipelines.analysis.spilled.ranked import Ranked, Wanted, best_first
from skewless.beam_pipelines.analysis.token_counts import MostFrequent
from skewless.beam_pipelines.transform.constants import Constants
from skewless.beam_pipelines.transform.numeric import constants_of
from skewless.beam_pipelines.transform.record_entries import vocabulary_of
from skewless.schemas.errors import DataError, DatasetMismatchError, UsageError
from skewless.schemas.records.constants import load_numbers
from skewless.schemas.records.id_meaning import meaning_differences
from skewless.schemas.records.layout import SPEC, TRANSFORM_FN
from skewless.schemas.records.records import is_label
from skewless.schemas.records.vocabulary_file import read_vocabulary, write_vocabulary
from skewless.schemas.records.vocabulary_names import vocabulary_asset
from skewless.schemas.spec.models.labels import label_path
from skewless.schemas.spec.spec import Spec, load

__all__ = ["check_growable", "grown_constants", "tell_growth", "wanted_to_grow"]

_LOGGER = logging.getLogger(__name__)


def check_growable(spec: Spec, transform: str) -> None:
    """Refuses, before any data is read, what cannot be grown from.

    Args:
      spec: The declaration to fit.
      transform: The earlier `transform/` folder, with its spec.yaml beside it.

    Raises:
      DatasetMismatchError: If there is no transform, or IDs meant other things in its spec, or a
        declared vocabulary file does not begin with what it held then.
      UsageError: If the spec has a function of its own, whose analysers are not ours to grow.
      DataError: If a vocabulary is larger than it may now be, or none has room.
    """
    root = Path(transform)
    beside = root.parent / SPEC
    if not (root / TRANSFORM_FN).is_dir() or not beside.is_file():
        raise DatasetMismatchError(
            f"--grow-from {transform}: expected the transform/ folder of a records or run directory, "
            f"with {SPEC} beside it"
        )
    if spec.preprocessing is not None:
        raise UsageError(
            f"preprocessing: {spec.preprocessing} may hold analysers of its own, which cannot be "
            "grown; leave --grow-from out, or apply the earlier transform with --transform"
        )
    differences = meaning_differences(load(beside), spec)
    if differences:
        raise DatasetMismatchError(
            f"--grow-from {transform}: IDs would mean other things than in {beside}: "
            f"{'; '.join(differences[:5])}; only sizes of vocabularies, model and training may "
            "differ. Change the spec back, or leave --grow-from out and train anew"
        )
    load_numbers(root)
    longer = list(_longer_files(spec, transform))
    _check_room(spec, transform, may_be_full=bool(longer))


def _longer_files(spec: Spec, transform: str) -> Iterator[str]:
    """Yields the owners whose vocabulary file has new lines at its end."""
    for name, declared in (*spec.features.items(), *spec.targets.items()):
        vocabulary = declared.own_vocabulary
        if vocabulary is None or vocabulary.file is None:
            continue
        file = vocabulary.file
        earlier, now = vocabulary_of(spec, name, transform), read_vocabulary(file)
        where = label_path(name) if is_label(name) else f"features.{name}"
        may_grow = not is_label(name) and not declared.learns_pieces
        if now[: len(earlier)] != earlier or (len(now) > len(earlier) and not may_grow):
            raise DatasetMismatchError(
                f"{where}.vocabulary.file: {file} must {'begin with' if may_grow else 'keep'} the "
                f"{len(earlier)} entries it had, in their order; put new ones after them"
                + ("" if may_grow else ", and train anew: this vocabulary cannot grow")
            )
        if len(now) > len(earlier):
            yield name


def _check_room(spec: Spec, transform: str, *, may_be_full: bool) -> None:
    sizes = {
        owner: (len(vocabulary_of(spec, owner, transform)), select.max_size)
        for owner, select in _growing(spec).items()
    }
    for owner, (size, most) in sizes.items():
        if most is not None and most < size:
            raise DataError(
                f"features.{owner}.vocabulary.max_size: expected at least {size}, the entries it "
                f"has already, got {most}; a vocabulary that grows drops none"
            )
    if may_be_full or any(most is None or size < most for size, most in sizes.values()):
        return
    full = ", ".join(f"features.{owner}: {size} of {size}" for owner, (size, _) in sizes.items())
    raise DataError(
        f"--grow-from {transform}: no vocabulary can grow ({full or 'none is counted'}); raise "
        "max_size in the spec, or apply the earlier transform as it is with --transform"
    )


def wanted_to_grow(spec: Spec, transform: str) -> list[Wanted]:
    """Returns what each counted vocabulary, by its place, may take: of new tokens as many as fit.

    Args:
      spec: The declaration.
      transform: The earlier `transform/` folder.
    """
    growing = _growing(spec)
    wanted = []
    for owner in counted_vocabularies(spec):
        if owner not in growing:
            wanted.append(Wanted(most=0))
            continue
        tokens = vocabulary_of(spec, owner, transform)
        select = growing[owner]
        room = None if select.max_size is None else select.max_size - len(tokens)
        wanted.append(Wanted(room, select.min_count, pa.array(tokens, pa.large_binary())))
    return wanted


def grown_constants(
    offers: Mapping[str, Sequence[Ranked]], spec: Spec, directory: str, transform: str
) -> Constants:
    """Returns the earlier constants, with what is new appended to their vocabularies.

    New tokens are those counted at least `min_count` times in this job's training rows, by
    descending count, ties by descending bytes; up to `max_size` old and new ones together.

    Args:
      offers: By owner, what the partitions of the counted values offer (`wanted_to_grow`).
      spec: The declaration.
      directory: Where vocabulary files are written, named for their owners.
      transform: The earlier `transform/` folder.
    """
    growing = _growing(spec)
    constants = Constants(numbers=constants_of(load_numbers(transform)))
    for owner in counted_vocabularies(spec):
        tokens = vocabulary_of(spec, owner, transform)
        if owner in growing:
            most = growing[owner].max_size
            wanted = sum(ranked.wanted for ranked in offers[owner])
            added = wanted if most is None else min(wanted, most - len(tokens))
            constants.growth[owner] = (added, wanted - added)
            tokens += [token for token, _ in itertools.islice(best_first(offers[owner]), added)]
        path = os.path.join(directory, vocabulary_asset(spec, owner))
        write_vocabulary(path, tokens)
        constants.vocabularies[owner] = path
    return constants


def tell_growth(constants: Constants) -> None:
    """Says of each vocabulary what was added, and warns of what found no room."""
    for owner, (added, left_out) in constants.growth.items():
        _LOGGER.info("features.%s: %d entries added to its vocabulary", owner, added)
        if left_out:
            _LOGGER.warning(
                "features.%s: its vocabulary is full: %d tokens that are frequent enough were left "
                "out; raise max_size in the spec",
                owner,
                left_out,
            )


def _growing(spec: Spec) -> dict[str, MostFrequent]:
    return {
        owner: vocabulary.select
        for owner, vocabulary in counted_vocabularies(spec).items()
        if not is_label(owner) and isinstance(vocabulary.select, MostFrequent)
    }
