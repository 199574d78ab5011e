"""An exported model against its run: probabilities on real tiles, and IoU on val by the real prediction path."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from maskwright.data.record import read_split, split_entries
from maskwright.data.tiles import predict_whole
from maskwright.errors import ModelError, counted
from maskwright.evaluation.intervals import intervals
from maskwright.metrics.counts import Counts, confusion, count_image
from maskwright.metrics.scores import headline_iou, summary
from maskwright.models import Segmenter
from maskwright.prediction.bundle import Bundle
from maskwright.prediction.predictor import Predictor
from maskwright.prediction.threshold import labels_from_probabilities

TILES = 8  # on which probabilities are compared
WORST = 3  # images a card names
Tiles = list[np.ndarray]


class LostTooMuch(ModelError):
    """The exported model scores worse than is allowed: the answer is no."""

    exit_code = 1


@dataclass(frozen=True)
class Verification:
    """How far the exported model is from its run on the val images, and what it scores there."""

    images: int
    tiles: int
    largest_difference: float  # of a probability, against the network in fp32
    other_labels: float  # share of val's pixels with another label than the run gives
    iou_run: float
    iou: float
    max_iou_drop: float

    @property
    def drop(self) -> float:
        """How much IoU was lost; where no class is on val, there is none to lose."""
        return self.iou_run - self.iou if math.isfinite(self.iou_run - self.iou) else 0.0

    def to_json(self) -> dict[str, Any]:
        """As bundle.json keeps it."""
        return {**asdict(self), "iou_drop": self.drop}

    def refuse_worse(self) -> None:
        """Stop where more was lost than is allowed."""
        if self.drop > self.max_iou_drop:
            fix = "Nothing is left of it. Export without --int8, or allow more with --max-iou-drop."
            raise LostTooMuch(
                f"the exported model must lose at most {self.max_iou_drop:g} IoU on val; it lost {self.drop:.4f} "
                f"({self.iou_run:.4f} to {self.iou:.4f}). {fix}"
            )

    def __str__(self) -> str:
        other, apart = 100 * self.other_labels, f"{self.largest_difference:.2g}"
        return (
            f"IoU on val {self.iou:.4f}, the run's {self.iou_run:.4f} ({counted(self.images, 'image')}, another label "
            f"at {other:.3f} % of the pixels); largest difference of a probability {apart} on "
            f"{counted(self.tiles, 'tile')}"
        )


def largest_difference(model: Segmenter, bundle: Bundle, tiles: Tiles) -> float:
    """Of any probability of these tiles, each 1 C h w uint8, from those of the network in fp32."""
    device = model.mean.device
    with torch.inference_mode():
        wanted = [model(torch.from_numpy(tile).to(device)).softmax(dim=1).cpu().numpy() for tile in tiles]
    found = [bundle.forward(tile.transpose(0, 2, 3, 1)) for tile in tiles]
    return float(max(np.abs(one - two).max() for one, two in zip(found, wanted, strict=True)))


def compare_on_val(
    predictor: Predictor,
    bundle: Bundle,
    document: dict[str, Any],
    data: Path | None,
    progress: Callable[[int, int], None] | None,
) -> tuple[Counts, float, float]:
    """Counts of the exported model on val, the run's IoU there, and the share of pixels they label otherwise."""
    num_classes, entries = predictor.classes.num_classes, split_entries(document, "val")
    threshold = predictor.threshold_for(None)
    counts: list[Counts] = []
    total = np.zeros((num_classes, num_classes), np.int64)
    other = pixels = 0
    for done, (name, image, mask) in enumerate(read_split(document, "val", data), start=1):
        labels, own = (
            predict_whole(image, one.view, one.forward, lambda block: labels_from_probabilities(block, threshold))
            for one in (bundle, predictor)
        )
        counts.append(count_image(name, mask, labels, num_classes))
        total += confusion(mask, own, num_classes)
        other, pixels = other + int((labels != own).sum()), pixels + labels.size
        if progress:
            progress(done, len(entries))
    return Counts.join(counts), headline_iou(total), other / pixels


def scores_of(counts: Counts, names: tuple[str, ...], groups: list[str | None]) -> dict[str, Any]:
    """What a card says of the exported model on val: scores with their intervals, and where it fails."""
    found = summary(counts, names)
    by_image = sorted((headline_iou(matrix), name) for name, matrix in zip(counts.images, counts.matrix, strict=True))
    return {
        "images": len(counts.images),
        "metrics": found.metrics,
        "intervals": intervals(counts, groups),
        "per_class": {name: scores["iou"] for name, scores in found.per_class.items()},
        "worst_images": [[name, value] for value, name in by_image if math.isfinite(value)][:WORST],
    }
