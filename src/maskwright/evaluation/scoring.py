"""Score a run on one of its splits, image by image, at each image's own size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskwright.config.log import LogEntry
from maskwright.data.record import read_split, split_entries
from maskwright.errors import DataError, UsageError, as_typed, counted, must
from maskwright.evaluation.calibration import Calibration, Calibrator
from maskwright.evaluation.costs import PeakMemory, PredictionCost, cost_of
from maskwright.evaluation.intervals import intervals, num_units, spread_in_words
from maskwright.evaluation.scan import Scan
from maskwright.evaluation.sizes import Rows, by_size, in_words
from maskwright.evaluation.tuning import Threshold, threshold_used, tuned_on_val
from maskwright.files import plain
from maskwright.losses import build_loss
from maskwright.metrics.boundaries import BOUNDARY_SHARE, BOUNDARY_WIDTH
from maskwright.metrics.counts import Counts
from maskwright.metrics.scores import POLICY, Summary, beaten_unlooked, commonest_class, only_predicted, summary
from maskwright.prediction.predictor import Predictor
from maskwright.prediction.threshold import read_threshold
from maskwright.runs import Run, ShownInNotebook
from maskwright.training.loggers.collection import log_evaluation

# the scores a person is shown first, and their digits
SHOWN = {"iou": 4, "dice": 4, "precision": 4, "recall": 4, "boundary_iou": 4, "boundary_f": 4, "hd95": 1, "accuracy": 4}


@dataclass(frozen=True)
class Evaluation(ShownInNotebook):
    """The scores of one split, and the counts they are from; `root` is the run's folder, `data` that of moved data."""

    run: str
    split: str
    classes: tuple[str, ...]
    summary: Summary
    intervals: dict[str, list[float]]
    loss: float
    counts: Counts = field(repr=False)
    calibration: Calibration | None = field(default=None, repr=False)
    threshold: Threshold | None = None  # of two classes
    objects: Rows = field(default_factory=dict, repr=False)
    cost: PredictionCost | None = None
    groups: tuple[str | None, ...] = field(default=(), repr=False)  # of each image, None for one of its own
    root: Path | None = field(default=None, repr=False)
    data: Path | None = field(default=None, repr=False)

    @property
    def metrics(self) -> dict[str, float]:
        """Headline scores: the foreground's when binary, else the mean over classes."""
        return self.summary.metrics

    def to_json(self) -> dict[str, Any]:
        """The document `evaluate --json` prints; undefined scores are null."""
        return plain(
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
                "units": num_units(self._groups),
                "spread": spread_in_words(self._groups),
                "boundary": {"iou_width": BOUNDARY_SHARE, "f_width": self.counts.boundary_width or None},
                "objects": self.objects,
                "calibration": self.calibration.to_json() if self.calibration else None,
                "threshold": self.threshold.to_json() if self.threshold else None,
                "cost": self.cost.to_json() if self.cost else None,
            }
        )

    @property
    def _groups(self) -> Sequence[str | None]:
        return self.groups or [None] * len(self.counts.images)

    def __str__(self) -> str:
        scored = self.classes[1] if len(self.classes) == 2 else "mean over classes"
        lines = [f"{self.run} on {self.split} ({counted(len(self.counts.images), 'image')}, {scored})"]
        for name, digits in SHOWN.items():
            low, high = (f"{end:.{digits}f}" for end in self.intervals.get(name, (math.nan, math.nan)))
            spread = f"   95 % interval {low} to {high}" if "nan" not in (low, high) else ""
            remark = {"boundary_f": f" (within {self.counts.boundary_width} px)", "accuracy": self._guess()}.get(
                name, ""
            )
            value, unit = self.metrics[name], " px" if name == "hd95" else ""
            lines.append(f"  {name:<13}{f'{value:.{digits}f}{unit}' if math.isfinite(value) else '-'}{spread}{remark}")
        messages = [self._beaten_unlooked(), only_predicted(self.counts.total(), self.classes), self._averaged(),
                in_words(self.objects), spread_in_words(self._groups)]  # fmt: skip
        messages += [str(found) for found in (self.calibration, self.threshold, self.cost) if found]
        return "\n".join(lines + [f"  {line}" for line in messages if line])

    def _guess(self) -> str:
        """What accuracy has to be read beside."""
        commonest, share = commonest_class(self.counts.total())
        return f" (always answering {self.classes[commonest]}: {share:.4f})"

    def _beaten_unlooked(self) -> str:
        found = beaten_unlooked(self.counts.total(), self.classes)
        if found is None:
            return ""
        message = f"only {found.accuracy:.1%} of the pixels are right; always answering {found.answer} would get"
        return f"{message} {found.reached:.1%} right".replace("%", " %")

    def _averaged(self) -> str:
        """IoU in each way of averaging; of two classes only one is averaged, so pooling them makes no difference."""
        ways = {way: row["iou"] for way, row in self.summary.averages.items()}
        if len(self.classes) == 2:
            return f"iou over all pixels {ways['micro']:.4f}, mean of the images' own {ways['imagewise']:.4f}"
        return "iou averaged: " + ", ".join(f"{way.replace('_', ' ')} {score:.4f}" for way, score in ways.items())

    __repr__ = __str__


def evaluate(
    run: Run, split: str = "test", data: Path | None = None, threshold: str | float | None = None,
    progress: Callable[[int, int], None] | None = None, boundary_width: int = BOUNDARY_WIDTH,
    log: Sequence[LogEntry] | None = None, device: str | None = None,
) -> Evaluation:  # fmt: skip
    """Predict every image of a split with the run's best weights and score it.

    Writes evaluation/SPLIT.json, SPLIT-counts.npz and a label PNG for each image. `data` says where
    the data set's folder is now, when it has moved; each file must still be what the run began with.
    `threshold` is the foreground's where there are two classes: a number, "fixed" (the run's own), or "tuned" on val.
    What val has a say in is tuned before the first file of the split is opened. `boundary_width` is how many pixels
    two outlines may be apart for boundary F. `log` is where this call's configuration sends the scores; without one
    they go where the run's own does, as far as the environment names it too. `device` is cpu or gpu, chosen where left
    out.
    """
    if not 1 <= boundary_width <= 10_000:
        raise UsageError(
            must("--boundary-width", "1 pixel or more" if boundary_width < 1 else "at most 10000", boundary_width)
        )
    document = run.data
    entries = split_entries(document, split)
    if data is not None and data.is_dir() and not any((data / entry["image"]).exists() for entry in entries):
        moved = f"where the run's data are now; none of the {split} images is in it, such as {entries[0]['image']}"
        weights = ("--weights", run.weights, "--data", data, "--data.reader", "auto")
        fix = f"Score other data with {as_typed('maskwright', 'evaluate', run.root / 'config.yaml', *weights)}"
        raise DataError(f"`--data` must be {moved}. {fix}")
    predictor = Predictor.from_run(run, device)
    names = predictor.classes.names
    wish = read_threshold(threshold, len(names))
    on_val = tuned_on_val(run, predictor, wish == "tuned", data, progress)
    used = threshold_used(wish, on_val, predictor.threshold) if len(names) == 2 else None
    calibrator = Calibrator(on_val.temperature.value, on_val.temperature.reason)
    labels_folder = run.root / "evaluation" / "predictions" / split
    memory = PeakMemory(predictor.device)
    seen = Scan(predictor, build_loss(run.config.loss), calibrator, labels_folder,
                used.value if used and wish else None, boundary_width)  # fmt: skip
    seen.look(read_split(document, split, data), len(entries), progress)
    counts, groups = Counts.join(seen.counts), tuple(entry["group"] for entry in entries)
    assert seen.last is not None, "a split that is evaluated has images"
    cost = cost_of(run, predictor, seen.last, memory.mib)
    result = Evaluation(
        run.name, split, names, summary(counts, names), intervals(counts, groups), seen.mean_loss, counts,
        calibrator.result(), used, by_size(counts, names, groups), cost, groups,
        run.root, data,
    )  # fmt: skip
    run.write(f"evaluation/{split}-counts.npz", counts.save)
    run.write_json(f"evaluation/{split}.json", result.to_json())
    log_evaluation(run, result.to_json(), counts, log=log)
    return result
