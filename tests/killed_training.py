"""Training that ends in the middle, in a process that lives on."""

from __future__ import annotations

from typing import Any

import pytest

from skewless.model.training.callbacks import CheckpointWithinEpoch


class KilledError(Exception):
    """Stands for a signal in tests that stay in one process."""


def kill_at(monkeypatch: pytest.MonkeyPatch, epoch: int, step: int) -> None:
    """Ends training after a step of an epoch, or of a pane when following; checkpoints are made."""
    plain = CheckpointWithinEpoch.on_train_batch_end

    def dying(self: Any, batch: int, logs: Any = None) -> None:
        plain(self, batch, logs)
        if self._progress.epoch == epoch and self._begun_at + batch + 1 == step:
            raise KilledError

    monkeypatch.setattr(CheckpointWithinEpoch, "on_train_batch_end", dying)
