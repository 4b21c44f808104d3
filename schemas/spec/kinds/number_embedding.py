"""Embeddings of numbers: how one number becomes a vector (Gorishniy et al. 2022).

Written either as a name (`embedding: piecewise_linear`) or with options
(`embedding: {type: piecewise_linear, bins: 32}`); both load as the same frozen type.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveFloat

from skewless.schemas.spec.declared import Declared
from skewless.schemas.spec.sizes import Bins, Width

__all__ = ["NumberEmbedding", "Periodic", "PiecewiseLinear"]


class PiecewiseLinear(Declared):
    """A vector that is linear within each bin of the training split's quantiles (section 3.2)."""

    type: Literal["piecewise_linear"] = "piecewise_linear"
    bins: Bins = 48
    """Bins of equally many training rows; a value with more rows than that has an edge of its own,
    and the other rows share the other bins. Records hold the edges: a run may use fewer, not more.
    """
    width: Width = 16
    """The width of a number's vector."""


class Periodic(Declared):
    """Sines and cosines of learned frequencies, then a dense layer of each number (section 3.3)."""

    type: Literal["periodic"] = "periodic"
    frequencies: Width = 24
    """How many frequencies each number has."""
    sigma: Annotated[PositiveFloat, Field(allow_inf_nan=False)] = 0.1
    """The spread of the frequencies that training begins with; of numbers as `scale` gives them."""
    width: Width = 16
    """The width of a number's vector."""


def _by_name(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


NumberEmbedding = Annotated[
    Annotated[PiecewiseLinear | Periodic, Field(discriminator="type")], BeforeValidator(_by_name)
]
