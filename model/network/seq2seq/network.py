"""The network of each kind of cell."""

from __future__ import annotations

from collections.abc import Callable

from skewless.model.network.seq2seq.parts import Network, Parts
from skewless.model.network.seq2seq.recurrent import RecurrentNetwork
from skewless.model.network.seq2seq.transformer import TransformerNetwork
from skewless.schemas.spec.network import Seq2SeqSpec
from skewless.schemas.spec.spec import Spec

__all__ = ["network_of"]

_NETWORKS: dict[str, Callable[[Spec, Seq2SeqSpec, Parts], Network]] = {
    "gru": RecurrentNetwork,
    "lstm": RecurrentNetwork,
    "transformer": TransformerNetwork,
}


def network_of(spec: Spec, parts: Parts) -> Network:
    """Returns the network that a spec declares."""
    assert isinstance(spec.model, Seq2SeqSpec)
    return _NETWORKS[spec.model.cell](spec, spec.model, parts)
