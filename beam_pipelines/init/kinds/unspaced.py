"""Texts in scripts that put no spaces between words, where what stands between spaces is a clause."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from skewless.schemas.rows.tokenizers import UNSPACED

__all__ = ["cut_of", "letters"]

_SHARE = 0.25


def letters(values: pa.Array) -> float:
    """Returns how many letters of such scripts a value holds, on average; marks count too.

    Args:
      values: [values] string.
    """
    if not len(values):
        return 0.0
    return float(pc.mean(pc.count_substring_regex(values, f"[{UNSPACED}]")).as_py())


def cut_of(unspaced: float, characters: float) -> dict[str, Any]:
    """Returns the keys of a text feature that cut such texts; none where few letters are of these scripts.

    Pairs of neighbouring letters stand for words, as in retrieval without a dictionary (Nie and Ren 1999,
    "Chinese information retrieval: using characters or words?").

    Args:
      unspaced: Letters of these scripts a value.
      characters: Characters a value.
    """
    if not unspaced or unspaced < _SHARE * characters:
        return {}
    return {"tokenizer": "words_or_letters", "ngrams": 2}
