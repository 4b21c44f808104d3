"""Which vocabulary file a feature, or the label, is looked up in."""

from __future__ import annotations

import functools
import os
import tempfile

import tensorflow as tf

from skewless.beam_pipelines.transform.constants import Constants
from skewless.schemas.errors import SpecError
from skewless.schemas.records.records import is_label
from skewless.schemas.records.vocabulary_file import read_vocabulary, write_vocabulary
from skewless.schemas.records.vocabulary_names import vocabulary_asset, vocabulary_owner
from skewless.schemas.rows.label_values import label_text
from skewless.schemas.spec.features import Vocabulary
from skewless.schemas.spec.models.labels import label_path
from skewless.schemas.spec.spec import Spec
from skewless.schemas.storage.between.files import file_at_hand, hand_on_folder, inside
from skewless.schemas.storage.location import is_uri

__all__ = ["VocabularyFiles", "declared_files"]


class VocabularyFiles:
    """The vocabulary files of one transform graph, each named as its asset shall be."""

    def __init__(self, spec: Spec, constants: Constants) -> None:
        self._spec = spec
        self._paths = dict(constants.vocabularies)

    def check(self) -> dict[str, str]:
        """Reads every declared file; returns a copy of each, by its owner.

        Raises:
          SpecError: If one cannot be read, or holds an empty or repeated entry.
        """
        found = {}
        for name in (*self._spec.features, *self._spec.targets):
            vocabulary = self._vocabulary(name)
            if vocabulary is not None and vocabulary.file is not None:
                found[vocabulary_owner(self._spec, name)] = self.path(name)
        return found

    def path(self, name: str) -> str:
        """Returns the file that a feature's tokens, or the label's values, are looked up in.

        Raises:
          SpecError: If a declared file cannot be used.
        """
        owner = vocabulary_owner(self._spec, name)
        if owner not in self._paths:
            self._paths[owner] = _copied(vocabulary_asset(self._spec, owner), self._declared(owner))
        return file_at_hand(self._paths[owner])

    def _vocabulary(self, name: str) -> Vocabulary | None:
        vocabulary: Vocabulary | None = self._spec.declared(name).own_vocabulary
        return vocabulary

    def _declared(self, owner: str) -> list[bytes]:
        label = self._spec.targets.get(owner)
        if label is not None and label.names_classes:
            return [label_text(entry).encode() for entry in label.declared_classes or ()]
        vocabulary = self._vocabulary(owner)
        assert vocabulary is not None and vocabulary.file is not None
        where = label_path(owner) if is_label(owner) else f"features.{owner}"
        return _entries(f"{where}.vocabulary.file", vocabulary.file)


def declared_files(spec: Spec, place: str) -> dict[str, str]:
    """Leaves the spec's own vocabulary files for workers that do not see them.

    Args:
      spec: The declaration.
      place: The path or URI of what workers and command share; nothing is left at a path.

    Returns:
      The file of each vocabulary that has one declared, by its owner.
    """
    if not is_uri(place):
        return {}
    return {
        owner: inside(hand_on_folder(os.path.dirname(path), place), os.path.basename(path))
        for owner, path in VocabularyFiles(spec, Constants()).check().items()
    }


def _entries(where: str, path: str) -> list[bytes]:
    try:
        tokens = read_vocabulary(path)
    except tf.errors.OpError as error:
        raise SpecError(
            f"{where}: cannot read {path!r}: {error.message}; check the path"
        ) from error
    seen: dict[bytes, int] = {}
    for line, token in enumerate(tokens, start=1):
        if not token:
            raise SpecError(f"{where}: {path}:{line} is empty; expected one entry a line")
        if token in seen:
            raise SpecError(
                f"{where}: {path}:{line} repeats line {seen[token]} ({token.decode('utf-8', 'replace')!r}); "
                "remove one of them"
            )
        seen[token] = line
    if not tokens:
        raise SpecError(f"{where}: {path} has no entries; add them, one a line")
    return tokens


def _copied(name: str, tokens: list[bytes]) -> str:
    path = os.path.join(tempfile.mkdtemp(dir=_copies(tempfile.gettempdir()).name), name)
    write_vocabulary(path, tokens)
    return path


@functools.cache
def _copies(within: str) -> tempfile.TemporaryDirectory[str]:
    """The folder of copies that graphs need until they are saved; gone at the process's end.

    Args:
      within: Where temporary files lie now: a command takes its own away at its end.
    """
    return tempfile.TemporaryDirectory(
        prefix="skewless-vocabularies-", dir=within, ignore_cleanup_errors=True
    )
