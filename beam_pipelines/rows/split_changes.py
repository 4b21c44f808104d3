"""Splits that change: rows that a model was tested on before it learns from them.

A new spec over the same rows may put them into other splits; then figures of the old and the new
model are not of the same rows, and a model that was fitted before has seen some that are now held
out. That is allowed, and said.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from skewless.schemas.errors import SkewlessError
from skewless.schemas.records.layout import MANIFEST, SPEC
from skewless.schemas.records.manifest import load_manifest
from skewless.schemas.spec.spec import Spec, load

__all__ = ["tell_split_changes"]

_LOGGER = logging.getLogger(__name__)


def tell_split_changes(spec: Spec, earlier: Path, what: str) -> None:
    """Warns where rows fall into other splits than they did in a records directory.

    Args:
      spec: The declaration to split by.
      earlier: The directory, with `spec.yaml` and perhaps `manifest.json`; without them nothing
        can be known, and nothing is said.
      what: How messages call it.
    """
    try:
        before = load(earlier / SPEC)
        identity = load_manifest(earlier).identity if (earlier / MANIFEST).is_file() else "contents"
    except (SkewlessError, OSError):
        return
    differences = list(_differences(before, spec, identity))
    if differences:
        _LOGGER.warning(
            "splits: rows may fall into other splits than in %s: %s; so results on held-out rows are "
            "not of the same rows, and a model fitted there may have learned from rows held out here",
            what,
            "; ".join(differences),
        )


def _differences(before: Spec, now: Spec, identity: str) -> Iterator[str]:
    if before.split != now.split:
        yield f"split was {_split(before)}, is {_split(now)}"
    hashed = now.split.is_random
    if hashed and before.key != now.key:
        yield f"key was {before.key or 'none'}, is {now.key or 'none'}"
    elif hashed and now.key is None and identity == "columns":
        yield "rows without a key were split by the columns read, and are by all they hold"


def _split(spec: Spec) -> str:
    declared = spec.split.model_dump(exclude_none=True)
    return "{" + ", ".join(f"{name}: {value}" for name, value in declared.items()) + "}"
