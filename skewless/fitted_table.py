"""What `skewless run` says of its model: metrics beside baselines, and what the model leans on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["lines_of"]

_NAMED = 3
# What is shown first, of those that a label has: name, and whether less is better.
_HEADLINES = {"auc": False, "accuracy": False, "rmse": True, "mae": True, "token_accuracy": False}


def lines_of(
    split: str,
    metrics: Mapping[str, Any],
    baselines: Mapping[str, Mapping[str, Any]],
    importance: Mapping[str, Any],
) -> list[str]:
    """Returns a model's metrics beside its baselines', and what stands out.

    Args:
      split: What they are on.
      metrics: The model's, by name.
      baselines: The same by baseline.
      importance: As `evaluate` gives it, or empty.

    Of several labels all three hold, under `labels`, what a single one has.
    """
    labels = metrics.get("labels", {})
    lines: list[str] = []
    for label, own in labels.items():
        theirs = {name: found["labels"][label] for name, found in baselines.items()}
        lines += [label, *_of_label(split, own, theirs, importance["labels"][label]), ""]
    return lines[:-1] if labels else _of_label(split, metrics, baselines, importance)


def _of_label(
    split: str,
    metrics: Mapping[str, Any],
    baselines: Mapping[str, Mapping[str, Any]],
    importance: Mapping[str, Any],
) -> list[str]:
    columns = {"model": metrics, **baselines}
    names = [
        name
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    width = max(len(name) for name in (*names, split))
    lines = [f"{split:<{width}}" + "".join(f"{column:>12}" for column in columns)]
    for name in names:
        cells = (_cell(found.get(name)) for found in columns.values())
        lines.append(f"{name:<{width}}" + "".join(f"{cell:>12}" for cell in cells))
    linear = baselines.get("linear", {})
    for name, less in _HEADLINES.items():
        ours, theirs = metrics.get(name), linear.get(name)
        if ours is None or theirs is None:
            continue
        if (theirs < ours) if less else (theirs > ours):
            lines.append(
                f"the linear model's {name} is better: more epochs, other encoders or less of them "
                "(skewless report says what stands out, skewless compare tries values)"
            )
        break
    return [*lines, *_leaning(importance)]


def _leaning(importance: Mapping[str, Any]) -> list[str]:
    """Returns a line on the features that the model leans on most, if any."""
    most = [entry for entry in importance.get("features", ())[:_NAMED] if entry["low"] > 0]
    if not most:
        return []
    told = ", ".join(f"{entry['feature']} ({entry['worse']:.3g})" for entry in most)
    return [f"leans most on {told}: so much worse is {importance['metric']} with it shuffled"]


def _cell(value: Any) -> str:
    from skewless.model.metrics.names import figure

    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    return figure(value)
