"""BLEU and chrF of generated texts, by sacrebleu (Post 2018), beside those of the source as it is."""

from __future__ import annotations

import importlib.util
import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Translations"]

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Translations:
    """Texts, [rows] bytes each.

    Attributes:
      generated: What the model wrote.
      asked: The label, as its tokens read.
      source: What it was to be made of, likewise; None where its tokens do not follow one another.
      by_character: Whether tokens of BLEU are characters.
    """

    generated: np.ndarray
    asked: np.ndarray
    source: np.ndarray | None
    by_character: bool = False

    def metrics(self, rows: Any = slice(None)) -> dict[str, float]:
        """Returns `bleu` and `chrf` in [0, 100], and the same of a copied source, of some rows.

        Nothing where there are no rows, or no sacrebleu.
        """
        asked = _decoded(self.asked[rows])
        if not asked or not _installed():
            return {}
        found = self._scored("", self.generated[rows], asked)
        if self.source is not None:
            found |= self._scored("copy_", self.source[rows], asked)
        return found

    def _scored(self, prefix: str, texts: np.ndarray, asked: list[str]) -> dict[str, float]:
        from sacrebleu.metrics.bleu import BLEU
        from sacrebleu.metrics.chrf import CHRF

        written = _decoded(texts)
        bleu = BLEU(tokenize="char" if self.by_character else "13a", force=True)
        return {
            f"{prefix}bleu": float(bleu.corpus_score(written, [asked]).score),
            f"{prefix}chrf": float(CHRF().corpus_score(written, [asked]).score),
        }


def _decoded(texts: np.ndarray) -> list[str]:
    return [text.decode("utf-8", "replace") for text in texts.tolist()]


def _installed() -> bool:
    if importlib.util.find_spec("sacrebleu") is not None:
        return True
    _LOGGER.info("bleu and chrf are left out; install sacrebleu: pip install 'skewless[translate]'")
    return False
