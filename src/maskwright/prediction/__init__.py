"""From a run and an image to labels and probabilities at the image's own size."""

from maskwright.prediction.predictor import Prediction, Predictor

__all__ = ["Prediction", "Predictor"]
