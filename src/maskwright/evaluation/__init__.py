"""Scores of a run on a split."""

from maskwright.evaluation.evaluate import Evaluation, evaluate

__all__ = ["Evaluation", "evaluate"]
