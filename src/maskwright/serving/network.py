"""What is served: the network of a run, or of a bundle, which needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskwright.prediction.bundle import is_bundle, load_bundle
from maskwright.prediction.combine import Network


@dataclass(frozen=True)
class Served:
    """A run's or a bundle's network, its name and its threshold (None: its own)."""

    name: str
    network: Network
    threshold: float | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Their names."""
        return self.network.classes.names

    def labels_of(self, probabilities: np.ndarray) -> np.ndarray:
        """K h w float32 → h w uint8"""
        return self.network.labels_of(probabilities, self.threshold)


def open_served(path: str | Path, threshold: str | float | None = None, name: str | None = None) -> Served:
    """Open a run's or a bundle's folder; `threshold` as `maskwright predict --mask-threshold` takes it."""
    name = name or Path(path).resolve().name
    if is_bundle(path):
        bundle = load_bundle(path)
        return Served(name, bundle, bundle.threshold_for(threshold))

    from maskwright.prediction.predictor import Predictor  # late: it imports torch
    from maskwright.runs import Run

    predictor = Predictor.from_run(Run.open(path))
    return Served(name, predictor, predictor.threshold_for(threshold))
