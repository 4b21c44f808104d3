"""Sequence to sequence: an encoder of the source, and a decoder that is taught by the target itself.

In training the decoder's input is the target shifted right behind the start ID, under
`DECODER_INPUT`; `Generator` feeds it its own output instead. Both go through one network
(`recurrent`, `transformer`): `encoded` makes a memory of the source, `decoded` reads it.
"""

from skewless.model.network.seq2seq.build import build_seq2seq, seq2seq_loss
from skewless.model.network.seq2seq.generate import Generator
from skewless.model.network.seq2seq.inputs import DECODER_INPUT, decoder_input, trimmed
from skewless.model.network.seq2seq.taught import Tokens, tokens_of

__all__ = [
    "DECODER_INPUT",
    "Generator",
    "Tokens",
    "build_seq2seq",
    "decoder_input",
    "seq2seq_loss",
    "tokens_of",
    "trimmed",
]
