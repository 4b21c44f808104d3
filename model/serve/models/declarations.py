"""What a version asks and answers, beside what another one does."""

from __future__ import annotations

from skewless.model.serve.models.servable import Servable
from skewless.schemas.rows.raw_columns import served_columns
from skewless.schemas.spec.spec import Spec

__all__ = ["another_declaration"]


def another_declaration(last: Servable, new: Spec) -> str:
    """Returns how a version asks or answers something else than the last one, or nothing."""
    told = []
    old = last.model.spec
    if old.name != new.name:
        told.append(
            f"its spec is {new.name!r}, that of version {last.version} before it {old.name!r}"
        )
    before, now = _asked(old), _asked(new)
    for said, columns in (
        ("reads no more", before.keys() - now.keys()),
        ("reads as well", now.keys() - before.keys()),
        ("reads otherwise", {c for c in before.keys() & now.keys() if before[c] != now[c]}),
    ):
        if columns:
            told.append(f"{said} {', '.join(sorted(columns))}")
    if _answer(old) != _answer(new):
        told.append(f"predicts {_answer(new)}, not {_answer(old)}")
    return "; ".join(told)


def _asked(spec: Spec) -> dict[str, tuple[str, bool, int]]:
    return {
        name: (column.kind, column.multivalued, column.width)
        for name, column in served_columns(spec).items()
    }


def _answer(spec: Spec) -> str:
    labels = [f"{label.column} ({label.type})" for label in spec.targets.values()]
    return ", ".join(labels) or "nothing"
