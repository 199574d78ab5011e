"""From a run and an image to labels and probabilities at the image's own size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maskwright.prediction.prediction import Prediction
    from maskwright.prediction.predictor import Predictor

__all__ = ["Prediction", "Predictor"]


def __getattr__(name: str) -> Any:
    """Each is imported when it is first used: a `Prediction` of an exported model needs no torch."""
    if name == "Prediction":
        from maskwright.prediction.prediction import Prediction

        return Prediction
    if name == "Predictor":
        from maskwright.prediction.predictor import Predictor

        return Predictor
    raise AttributeError(f"module 'maskwright.prediction' has no attribute {name!r}")
