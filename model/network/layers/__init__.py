"""Custom layers: each is registered, validates its arguments and survives saving."""

from skewless.model.network.layers.batch_ensemble import (
    BatchEnsembleDense,
    EnsembleDense,
    MeanOfMembers,
)
from skewless.model.network.layers.cross import Cross
from skewless.model.network.layers.linear_of_ids import LinearOfIds
from skewless.model.network.layers.masks import (
    AnyMask,
    ClearPadding,
    CountMask,
    CutPadding,
    PaddingMask,
)
from skewless.model.network.layers.one_hot import OneHot
from skewless.model.network.layers.periodic import PeriodicEmbedding
from skewless.model.network.layers.piecewise_linear import PiecewiseLinearEmbedding
from skewless.model.network.layers.pooling import (
    AttentionPooling,
    MaskedMax,
    MaskedMean,
    WeightedMean,
    WeightedSum,
)
from skewless.model.network.layers.positions import PositionEmbedding
from skewless.model.network.layers.stacked import (
    Stacked,
    StackedColumns,
    StackedEmbedding,
    StackedLinearOfIds,
    StackedOneHot,
    StackedTables,
)
from skewless.model.network.layers.term_weights import TermWeights
from skewless.model.network.layers.weighted_average import WeightedAverage

__all__ = [
    "AnyMask",
    "AttentionPooling",
    "BatchEnsembleDense",
    "ClearPadding",
    "CountMask",
    "Cross",
    "CutPadding",
    "EnsembleDense",
    "LinearOfIds",
    "MaskedMax",
    "MaskedMean",
    "MeanOfMembers",
    "OneHot",
    "PaddingMask",
    "PeriodicEmbedding",
    "PiecewiseLinearEmbedding",
    "PositionEmbedding",
    "Stacked",
    "StackedColumns",
    "StackedEmbedding",
    "StackedLinearOfIds",
    "StackedOneHot",
    "StackedTables",
    "TermWeights",
    "WeightedAverage",
    "WeightedMean",
    "WeightedSum",
]
