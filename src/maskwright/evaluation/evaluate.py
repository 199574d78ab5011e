"""Score a run on one of its splits, image by image, at each image's own size."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from maskwright.data.record import read_split, split_entries
from maskwright.evaluation.intervals import intervals
from maskwright.losses import build_loss
from maskwright.metrics.counts import Counts, count_image
from maskwright.metrics.scores import POLICY, Summary, summary
from maskwright.prediction.predictor import Predictor
from maskwright.prediction.writers import write_labels
from maskwright.runs import Run


@dataclass(frozen=True)
class Evaluation:
    """The scores of one split, and the counts they are read from."""

    run: str
    split: str
    classes: tuple[str, ...]
    summary: Summary
    intervals: dict[str, list[float]]
    loss: float
    counts: Counts = field(repr=False)

    @property
    def metrics(self) -> dict[str, float]:
        """Headline scores: the foreground's when binary, else the mean over classes."""
        return self.summary.metrics

    def to_json(self) -> dict[str, Any]:
        """The document `evaluate --json` prints; undefined scores are null."""
        return _without_nan(
            {
                "run": self.run,
                "split": self.split,
                "images": len(self.counts.images),
                "classes": list(self.classes),
                "policy": POLICY,
                "metrics": self.metrics,
                "per_class": self.summary.per_class,
                "averages": self.summary.averages,
                "intervals": self.intervals,
                "loss": self.loss,
            }
        )

    def __str__(self) -> str:
        scored = self.classes[1] if len(self.classes) == 2 else "mean over classes"
        lines = [f"{self.run} on {self.split} ({len(self.counts.images)} images, {scored})"]
        for name in ("accuracy", "precision", "recall", "f1", "iou", "boundary_iou"):
            low, high = self.intervals[name]
            lines.append(f"  {name:<13}{self.metrics[name]:.4f}   95 % interval {low:.4f} to {high:.4f}")
        return "\n".join(lines)

    __repr__ = __str__


def evaluate(
    run: Run, split: str = "test", data: Path | None = None, threshold: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:  # fmt: skip
    """Predict every image of a split with the run's best weights and score it.

    Writes evaluation/SPLIT.json, SPLIT-counts.npz and a label PNG for each image. `data` says where
    the data set's folder is now, when it has moved; each file must still be what the run began with.
    """
    document = run.data
    entries = split_entries(document, split)
    predictor = Predictor.from_run(run)
    loss = build_loss(run.config.loss)
    num_classes, names = predictor.classes.num_classes, predictor.classes.names
    parts: list[Counts] = []
    losses: list[float] = []
    for index, (name, image, mask) in enumerate(read_split(document, split, data)):
        logits = predictor.logits(image)
        labels = predictor.labels(logits, threshold)
        losses.append(float(loss(logits, torch.from_numpy(mask).to(logits.device).unsqueeze(0))))
        parts.append(count_image(name, mask, labels, num_classes))
        write_labels(run.root / "evaluation" / "predictions" / split / f"{name}.png", labels, num_classes)
        if progress:
            progress(index + 1, len(entries))
    counts = Counts.join(parts)
    scores = summary(counts, names)
    result = Evaluation(run.name, split, names, scores, intervals(counts), sum(losses) / len(losses), counts)
    run.write(f"evaluation/{split}-counts.npz", counts.save)
    run.write_json(f"evaluation/{split}.json", result.to_json())
    return result


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
