"""The network and its training by the number of rows, and by whether there are texts.

Chosen by trial on four real tables of 17,000 to 49,000 rows (`python -m benchmarks.unedited`,
docs/real-data.md): a larger network that held-out rows stop, and a learning rate that rises and falls,
and batches of 128, were better there. What is proposed below 2,000 rows was not tried on real ones. Texts are learned by
heart in few epochs, and members (`ensemble`) each in a way of its own: their mean told posts apart better, and
gained nothing on numbers and categories.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["model_and_training"]

# Rows times epochs: on two cores some two minutes of a table of ten numbers.
_ROWS_TRAINED = 800_000
_MOST_EPOCHS, _LEAST_EPOCHS = 60, 5
# Of 17,000 posts ten epochs were enough; of a few hundred rows with a name in each they teach nothing yet.
_ROWS_TRAINED_OF_TEXTS, _LEAST_EPOCHS_OF_TEXTS, _MEMBERS_OF_TEXTS = 170_000, 10, 8
_BATCHES = ((1_000, 32), (5_000, 64), (50_000, 128), (400_000, 256))
_LARGEST_BATCH = 512
_SMALL_TABLE = 2_000


def model_and_training(
    rows: int, features: Iterable[Mapping[str, Any]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the sections `model` and `training`.

    Args:
      rows: About how many rows there are.
      features: The features' declarations.
    """
    texts = any(feature["type"] == "text" for feature in features)
    epochs = _epochs(rows, _ROWS_TRAINED, _LEAST_EPOCHS)
    if texts:
        epochs = min(epochs, _epochs(rows, _ROWS_TRAINED_OF_TEXTS, _LEAST_EPOCHS_OF_TEXTS))
    model: dict[str, Any] = {"hidden": [64] if rows < _SMALL_TABLE else [256, 128], "dropout": 0.1}
    if texts:
        model["ensemble"] = _MEMBERS_OF_TEXTS
    training = {
        "batch_size": next((size for most, size in _BATCHES if rows < most), _LARGEST_BATCH),
        "epochs": epochs,
        "learning_rate": 0.002,
        "schedule": "cosine",
        "weight_decay": 0.0003,
        "early_stopping": max(2, epochs // 5),
    }
    return model, training


def _epochs(rows: int, trained: int, least: int) -> int:
    """Returns as many epochs as train so many rows, within bounds."""
    return min(_MOST_EPOCHS, max(least, round(trained / max(1, rows))))
