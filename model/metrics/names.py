"""What metrics mean, apart from how they are computed. Imports nothing heavy."""

from __future__ import annotations

__all__ = ["LOWER_IS_BETTER"]

LOWER_IS_BETTER = frozenset({"loss", "log_loss", "rmse", "mae", "ece"})
