"""A first spec, guessed from rows, from Python."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from skewless.environment import keras_as_it_was
from skewless.schemas.errors import UsageError
from skewless.schemas.spec.spec import Spec, parse
from skewless.schemas.spec.yaml_document import read_yaml
from skewless.schemas.staged import write_whole

if TYPE_CHECKING:
    from skewless.frames import TableLike

__all__ = ["guess", "guessed"]


def guess(
    data: TableLike,
    label: str | Sequence[str] | None = None,
    *,
    task: Literal["predict", "recommend"] = "predict",
    query: str | None = None,
    candidate: str | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
) -> Spec:
    """Guesses a first spec from a sample of rows, as `skewless init` does.

    Args:
      data: Paths or globs, or rows as `preprocess` takes them.
      label: The column to predict, or several; guessed too without it.
      task: `recommend` proposes two towers, which find candidates for queries.
      query: The column that names who asks; guessed too without it.
      candidate: The column that names what is to be found; guessed too without it.
      output: Where to leave the spec as YAML, whose comments say what each choice rests on.
      overwrite: Replaces a file at `output`.

    Returns:
      The spec: to be given to `preprocess` as it is, or altered first with `model_copy`.

    Raises:
      UsageError: If nothing matches, there is no such label, or a file is at `output`.
      DataError: If a file cannot be read, or nothing can be learned from the rows.

    Example:
      spec = sk.guess(frame, label="rating", output="reviews.yaml")
    """
    from skewless.frames import as_globs

    taken = output is not None and (Path(output).is_file() or Path(output).is_dir())
    if taken and not overwrite:
        raise UsageError(f"{output}: is there already; set overwrite, or choose another name")
    with tempfile.TemporaryDirectory() as beside, as_globs(data, f"{beside}/rows") as globs:
        sides = (query, candidate) if task == "recommend" else None
        text = guessed(globs, label, sides)
    if output is not None:
        write_whole(Path(output), text)
    return parse(read_yaml(text, "guess"), source="guess")


def guessed(
    globs: Sequence[str],
    label: str | Sequence[str] | None,
    sides: tuple[str | None, str | None] | None = None,
) -> str:
    """Returns the guess for files of rows as commented YAML; given `sides`, of two towers.

    Raises:
      UsageError: If nothing matches, or there is no such label.
      DataError: If a file cannot be read, or nothing can be learned from the rows.
    """
    with keras_as_it_was():
        from skewless.beam_pipelines.init import guess_spec
        from skewless.beam_pipelines.init.training.sides import Sides

        return guess_spec(globs, label, None if sides is None else Sides(*sides))[1]
