"""One side of two towers as rows of their own: what a catalogue, or a file of queries, has to hold."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from skewless.schemas.errors import UsageError, nearest
from skewless.schemas.records.layout import EXTRA, SPEC
from skewless.schemas.spec.network import TwoTowerSpec
from skewless.schemas.spec.spec import Spec, load

__all__ = ["id_column", "side_of", "towers_in"]


def towers_in(model: str | Path) -> Spec:
    """Returns the declaration that a model was trained with.

    Raises:
      UsageError: If it has no two towers.
    """
    spec = load(Path(model) / EXTRA / SPEC)
    if not isinstance(spec.model, TwoTowerSpec):
        raise UsageError(
            f"{model}: expected a model of two towers (`model: {{type: two_tower, …}}`), whose "
            f"candidates have vectors, got {spec.model.type}; `skewless predict` scores rows"
        )
    return spec


def id_column(spec: Spec, given: str | None) -> str:
    """Returns the column of the candidates' IDs: the one given, or that of the feature that names them.

    Raises:
      UsageError: If none is given and no feature names candidates.
    """
    assert isinstance(spec.model, TwoTowerSpec)
    if given is not None:
        return given
    name = spec.model.naming(spec.features)
    if name is None:
        raise UsageError(
            "--id: expected the column of the candidates' IDs, got none, and no feature of "
            "model.candidate has one value a row and a vocabulary to name them by"
        )
    (column,) = spec.features[name].columns_read(name)
    return column


def side_of(spec: Spec, side: Literal["query", "candidate"], key: str | None = None) -> Spec:
    """Returns a declaration of the features of one side alone, for rows to predict for.

    Args:
      spec: Of two towers.
      side: Whose.
      key: The column that identifies a row.

    Raises:
      UsageError: If the key's column holds several values a row.
    """
    names: tuple[str, ...] = getattr(spec.model, side)
    features = spec.features
    if spec.preprocessing is None:
        parts = {other for name in names for other in features[name].combines}
        features = {name: features[name] for name in features if name in parts.union(names)}
    for name, feature in features.items():
        if key in feature.columns_read(name) and (feature.kind != "string" or feature.multivalued):
            text = [other for other in features if features[other].kind == "string"]
            raise UsageError(
                f"--id: {key!r} is read as {feature.type} by feature {name!r}; expected a column of "
                f"one text a row{nearest(str(key), text)}"
            )
    return spec.model_copy(update={"features": features, "key": key, "keep": ()})
