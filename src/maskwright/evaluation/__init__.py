"""Scores of a run on a split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maskwright.evaluation.scoring import Evaluation, evaluate

__all__ = ["Evaluation", "evaluate"]


def __getattr__(name: str) -> Any:
    """Imported when it is first used: intervals of counts that were kept need no torch."""
    if name in __all__:
        from maskwright.evaluation import scoring

        return getattr(scoring, name)
    raise AttributeError(f"module 'maskwright.evaluation' has no attribute {name!r}")
