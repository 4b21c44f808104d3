"""Rows from Python, as a file of input or one by one; and a module for each library's own frames."""

from skewless.frames.as_input import TableLike, as_globs, reader_of
from skewless.frames.model_columns import model_columns
from skewless.frames.names import refuse_nearly_named
from skewless.frames.row import plain_row

__all__ = [
    "TableLike",
    "as_globs",
    "model_columns",
    "plain_row",
    "reader_of",
    "refuse_nearly_named",
]
