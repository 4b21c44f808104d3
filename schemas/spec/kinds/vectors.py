"""Word vectors learned elsewhere, which rows of an embedding table begin with."""

from __future__ import annotations

from pydantic import model_validator

from skewless.schemas.spec.declared import Declared

__all__ = ["Vectors"]


class Vectors(Declared):
    """Vectors of words from a file, for the vocabulary's entries that are among them.

    Other entries, and padding, missing and unknown values, keep the rows that they are given at first.
    """

    file: str
    """A text of word2vec's or GloVe's kind (`.gz` too), a word and its numbers a line; or a `.npy` file."""
    words: str | None = None
    """Of a `.npy` file: a text with the word of each of its rows, one a line."""
    trainable: bool = True
    """Whether training changes the table; false freezes all of it, rows of other entries too."""

    @model_validator(mode="after")
    def _words_of_arrays(self) -> Vectors:
        if self.file.endswith(".npy") and self.words is None:
            raise ValueError("a .npy file has no words; give 'words', a text with one word a line")
        if self.words is not None and not self.file.endswith(".npy"):
            raise ValueError("'words' goes with a .npy file; the words of a text are in it")
        return self
