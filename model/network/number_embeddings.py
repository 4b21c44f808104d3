"""Numbers as vectors: one table from each declared embedding of numbers to its layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from skewless.model.network.layer_names import layer_name
from skewless.model.network.layers import PeriodicEmbedding, PiecewiseLinearEmbedding
from skewless.schemas.errors import DatasetMismatchError
from skewless.schemas.records.manifest import FeatureEntry
from skewless.schemas.spec.kinds.number_embedding import Periodic, PiecewiseLinear

__all__ = ["embed_numbers"]

Tensor = Any


def embed_numbers(
    name: str,
    embedding: PiecewiseLinear | Periodic | None,
    entry: FeatureEntry,
    numbers: Tensor,
) -> Tensor:
    """Returns the vectors of [batch, columns] numbers side by side, or the numbers themselves.

    Raises:
      DatasetMismatchError: If a piecewise-linear embedding has more bins than the records hold
        edges of.
    """
    if embedding is None:
        return numbers
    if isinstance(embedding, Periodic):
        return PeriodicEmbedding(
            embedding.frequencies, embedding.sigma, embedding.width, name=layer_name("wave", name)
        )(numbers)
    edges = [_chosen(name, embedding.bins, column) for column in entry.edges or ((),)]
    return PiecewiseLinearEmbedding(edges, embedding.width, name=layer_name("bend", name))(numbers)


def _chosen(name: str, bins: int, edges: tuple[float, ...]) -> list[float]:
    """Returns the edges of so many bins at most among those that records hold, each once."""
    held = len(edges) - 1
    if bins > held:
        asked = f"features.{name}.embedding: asks for {bins} bins, of which the records hold "
        raise DatasetMismatchError(
            asked
            + (f"{held}; ask for no more" if edges else "no edges")
            + ", or preprocess again with this spec"
        )
    once = np.unique(edges)
    if len(once) > bins + 1:
        once = once[np.round(np.arange(bins + 1) * ((len(once) - 1) / bins)).astype(int)]
    chosen: list[float] = once.tolist()
    # One value has no bin; any one that begins there is as good.
    return chosen if len(chosen) > 1 else [chosen[0], chosen[0] + max(1.0, abs(chosen[0]))]
