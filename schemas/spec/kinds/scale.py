"""How numbers are scaled: one step, or several one after the other."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator

__all__ = ["LabelScale", "Scale", "learned_step", "measured_after", "steps_of"]

# Those that need constants of the training split.
_LEARNED = ("z_score", "min_max", "robust_clip")


def _alone_or_chain(scale: str | tuple[str, ...]) -> str | tuple[str, ...]:
    if isinstance(scale, str):
        return scale
    if not scale or len(set(scale)) != len(scale):
        raise ValueError(f"expected steps, each once, got {list(scale)}")
    learned = [step for step in scale if step in _LEARNED]
    if len(learned) > 1:
        raise ValueError(
            f"expected one of {', '.join(_LEARNED)} at the most, got {list(scale)}; leave "
            f"{' or '.join(learned)} out"
        )
    return scale[0] if len(scale) == 1 else scale


def _logarithm_first(scale: str | tuple[str, ...]) -> str | tuple[str, ...]:
    scale = _alone_or_chain(scale)
    if not isinstance(scale, str) and scale != ("log1p", "z_score"):
        raise ValueError(f"expected [log1p, z_score], got {list(scale)}")
    return scale


_Step = Literal["z_score", "min_max", "log1p", "robust_clip"]
Scale = Annotated[
    Literal["z_score", "min_max", "log1p", "robust_clip", "none"] | tuple[_Step, ...],
    AfterValidator(_alone_or_chain),
]
LabelScale = Annotated[
    Literal["none", "log1p", "z_score"] | tuple[Literal["log1p", "z_score"], ...],
    AfterValidator(_logarithm_first),
]


def steps_of(scale: str | tuple[str, ...]) -> tuple[str, ...]:
    """Returns the steps in their order; none where numbers stay as they are."""
    if isinstance(scale, str):
        return () if scale == "none" else (scale,)
    return scale


def learned_step(scale: str | tuple[str, ...]) -> str | None:
    """Returns the step that needs constants of the training split, if there is one."""
    return next((step for step in steps_of(scale) if step in _LEARNED), None)


def measured_after(scale: str | tuple[str, ...]) -> tuple[str, ...]:
    """Returns the steps after which the constants of the learned one are measured."""
    learned, steps = learned_step(scale), steps_of(scale)
    return () if learned is None else steps[: steps.index(learned)]
