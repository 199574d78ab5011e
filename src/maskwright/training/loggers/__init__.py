"""Loggers: what takes a run's epochs, panels and scores to TensorBoard, Weights & Biases and MLflow.

`history.csv` is always written, by the training itself, and is what every logger is filled from. A
package is imported by the logger that needs it, when a configuration names it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from maskwright.config import Config
from maskwright.runs import Run
from maskwright.training.loggers.base import Logger
from maskwright.training.loggers.mlflow import open_mlflow
from maskwright.training.loggers.tensorboard import open_tensorboard
from maskwright.training.loggers.wandb import open_wandb

# run, configuration, the logger's own options, first epoch to come (None after training) → a logger, None for nothing
# to do
LOGGERS: dict[str, Callable[[Run, Config, Any, int | None], Logger | None]] = {
    "tensorboard": open_tensorboard,
    "wandb": open_wandb,
    "mlflow": open_mlflow,
}
TITLES = {"tensorboard": "TensorBoard", "wandb": "Weights & Biases", "mlflow": "MLflow"}
