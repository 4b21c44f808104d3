"""The numbers a transform graph was built from, beside it in `transform/constants.json`.

In the graph they are spread over its operations; here a later fit finds them again, and training
tells whether two graphs scale alike.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from skewless.schemas.errors import DatasetMismatchError

__all__ = ["CONSTANTS", "Numbers", "load_numbers", "write_numbers"]

CONSTANTS = "constants.json"
# By feature (the label under its record name), then by constant: nested lists of float32 values.
Numbers = dict[str, dict[str, Any]]


def write_numbers(transform_directory: str | Path, numbers: Numbers) -> None:
    """Writes the numbers beside the graph; float32 values survive as they are."""
    text = json.dumps({"numbers": numbers}, indent=2, sort_keys=True)
    (Path(transform_directory) / CONSTANTS).write_text(text + "\n", encoding="utf-8")


def load_numbers(transform_directory: str | Path) -> Numbers:
    """Reads what `write_numbers` wrote.

    Raises:
      DatasetMismatchError: If there is nothing of the kind.
    """
    path = Path(transform_directory) / CONSTANTS
    try:
        numbers: Numbers = json.loads(path.read_text(encoding="utf-8"))["numbers"]
    except (OSError, ValueError, KeyError) as error:
        raise DatasetMismatchError(
            f"{path}: expected the constants that `skewless preprocess` writes beside a transform, "
            f"got {error!r}; preprocess again with this version"
        ) from error
    return numbers
