"""Subword pieces learned from word counts: WordPiece (Schuster and Nakajima 2012), by tensorflow-text."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from skewless.beam_pipelines.analysis.token_counts import Counts
from skewless.schemas.rows.tokenizers import PIECE_SUFFIX, tensorflow_text

__all__ = ["LearnedPieces"]


_DEFAULT_SIZE = 8_000


@dataclass(frozen=True)
class LearnedPieces:
    """Learns at most about `max_size` pieces from word counts.

    `min_count` applies to pieces, counted over the words of the training split.
    """

    max_size: int | None = None
    min_count: int = 1

    def __call__(self, counts: Counts) -> list[bytes]:
        """Returns the pieces by descending count, ties by descending bytes."""
        tensorflow_text("tokenizer: subword")
        from tensorflow_text.tools.wordpiece_vocab import wordpiece_tokenizer_learner_lib as lib

        words = sorted((token.decode("utf-8", "replace"), count) for token, count in counts.items())
        if not words:
            return []
        learned = lib.learn(
            words,
            vocab_size=self.max_size or _DEFAULT_SIZE,
            reserved_tokens=[],
            upper_thresh=10_000_000,
            lower_thresh=2,
            num_iterations=4,
            max_input_tokens=-1,
            max_token_length=50,
            max_unique_chars=1_000,
            slack_ratio=0.05,
            include_joiner_token=True,
            joiner=PIECE_SUFFIX,
        )
        known = set(learned)
        used: Counter[str] = Counter()
        for word, count in words:
            for piece in _greedy(word, known):
                used[piece] += count
        kept = [(used[p], p.encode()) for p in known if used[p] >= max(1, self.min_count)]
        return [piece for _, piece in sorted(kept, reverse=True)[: self.max_size]]


def _greedy(word: str, known: set[str]) -> list[str]:
    """Returns the longest-match-first pieces of a word, none where it cannot be cut."""
    pieces: list[str] = []
    begin = 0
    while begin < len(word):
        for end in range(len(word), begin, -1):
            piece = (PIECE_SUFFIX if begin else "") + word[begin:end]
            if piece in known:
                pieces.append(piece)
                begin = end
                break
        else:
            return []
    return pieces
