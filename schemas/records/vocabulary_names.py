"""Names of vocabulary files: which feature owns one, and what it is called among the others."""

from __future__ import annotations

from pathlib import Path

from skewless.schemas.spec.spec import Spec

__all__ = ["vocabulary_asset", "vocabulary_file", "vocabulary_owner"]


def vocabulary_owner(spec: Spec, name: str) -> str:
    """Returns whose vocabulary a feature, or the label, is looked up in: mostly its own."""
    feature = spec.features.get(name)
    vocabulary = None if feature is None else feature.own_vocabulary
    return (None if vocabulary is None else vocabulary.shared_with) or name


def vocabulary_asset(spec: Spec, owner: str) -> str:
    """Returns the name of an owner's file: its own, unless another's differs in case alone.

    A file system may hold `Tags` and `tags` to be one file. `-`, which no feature's name has, and
    the places of the capitals then tell them apart.
    """
    if sum(name.lower() == owner.lower() for name in spec.features) < 2:
        return owner
    capitals = sum(1 << place for place, letter in enumerate(owner) if letter.isupper())
    return f"{owner}-{capitals:x}"


def vocabulary_file(spec: Spec, name: str, assets: str | Path) -> Path:
    """Returns the file in a transform's or a model's `assets` that `name` is looked up in."""
    owner = vocabulary_owner(spec, name)
    path = Path(assets) / vocabulary_asset(spec, owner)
    # Those that were written before files of owners alike were told apart.
    return path if path.is_file() else Path(assets) / owner
