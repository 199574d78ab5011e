"""What a diagnosis rests on: a run's history, settings, files and validation counts as plain arrays and numbers.

Nothing of the test images' scores is read: what to try next must not be chosen by them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from maskwright.config import Config
from maskwright.config.base import higher_is_better
from maskwright.data.description import check_command
from maskwright.errors import as_typed
from maskwright.files import plain
from maskwright.metrics.counts import Counts
from maskwright.metrics.scores import headline_iou
from maskwright.runs import Run
from maskwright.schemas import FailureReason, Stretch
from maskwright.training.diagnose_trend import end_of

COLUMNS = ("train_loss", "val_loss", "train_iou", "val_iou", "val_dice", "val_accuracy", "lr")
PACE = "pace.json"  # what a budget's time was spent on
FAILURE = "failure.json"  # what stopped a training that could not go on
Severity = Literal["fine", "note", "warning"]
LOSSES = {"train": "training", "val": "validation"}
VERY_FEW_IMAGES = 5
_NOTHING = np.zeros(0)


@dataclass(frozen=True)
class Diagnosis:
    """One thing a run's curves and counts show: what, on what evidence, and what to try next."""

    code: str
    severity: Severity
    title: str
    evidence: str
    advice: str
    figures: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def to_json(self) -> dict[str, Any]:
        """As a JSON document; what is undefined is null."""
        return plain(asdict(self))

    def __str__(self) -> str:
        return f"{self.title}. {self.evidence} {self.advice}"


@dataclass(frozen=True)
class Settings:
    """The keys of a configuration that a diagnosis heeds; `augment` is `own` for a list of operations."""

    monitor: str = "val_iou"
    epochs: int | None = None
    budget: str | None = None
    patience: int | None = None
    lr: float | None = None
    weight_decay: float = 0.02
    clip: float | None = 1.0
    augment: str = "standard"
    model: str = "unet"
    width: int | None = None


@dataclass(frozen=True)
class Evidence:
    """Arrays of one value an epoch, and what is known beside them.

    Training scores are of augmented inputs, the first `num_small` epochs at half the size, by the raw weights as they
    changed; validation scores are of whole images by the averaged weights. `counts` are those of evaluation/train and
    evaluation/val, both by the best weights on images as they are. `shared` are contents that lie in two splits,
    `parted` what the opening of the data said of pictures or groups torn apart.
    """

    train_loss: np.ndarray = field(default_factory=lambda: _NOTHING)
    val_loss: np.ndarray = field(default_factory=lambda: _NOTHING)
    train_iou: np.ndarray = field(default_factory=lambda: _NOTHING)
    val_iou: np.ndarray = field(default_factory=lambda: _NOTHING)
    val_dice: np.ndarray = field(default_factory=lambda: _NOTHING)
    val_accuracy: np.ndarray = field(default_factory=lambda: _NOTHING)
    lr: np.ndarray = field(default_factory=lambda: _NOTHING)
    settings: Settings = Settings()
    num_small: int = 0
    num_train: int = 0
    num_val: int = 0
    steps: tuple[int, int] | None = None  # of a budget, and how many training inputs they saw
    is_assigned: bool = True  # by us; else the data set itself names the splits
    classes: tuple[str, ...] = ("background", "foreground")
    class_shares: tuple[float, ...] = ()
    counts: Mapping[str, Counts] = field(default_factory=dict)
    val_interval: tuple[float, float] = (math.nan, math.nan)
    # share of the validation pixels predicted with 0.9 and more that the masks contradict
    sure_and_wrong: float = math.nan
    shared: tuple[str, ...] = ()
    parted: tuple[str, ...] = ()
    is_finished: bool = True
    failure: str | None = None
    check: str = "maskwright check DATA"  # the command that looks at the data as the run read them
    run: str = "RUN"  # its folder as it is typed

    @property
    def num_epochs(self) -> int:
        return len(self.val_loss)

    @property
    def best(self) -> int | None:
        """The epoch the weights are from, counted from 0, as training picks it."""
        return int(np.nanargmax(self.monitored)) if np.isfinite(self.monitored).any() else None

    @property
    def monitored(self) -> np.ndarray:
        """The monitored score, turned so that more is better."""
        scores: np.ndarray = getattr(self, self.settings.monitor)
        return scores if higher_is_better(self.settings.monitor) else -scores

    @property
    def start(self) -> int:
        """The first epoch at the full size, or 0 where too few are: what is compared must be of one size."""
        return self.num_small if self.num_epochs - self.num_small >= 5 else 0

    @property
    def highest_rate(self) -> float:
        """The highest learning rate; NaN where none is known."""
        if self.settings.lr is not None:
            return self.settings.lr
        return float(np.nanmax(self.lr)) if np.isfinite(self.lr).any() else math.nan

    @property
    def are_both_evaluated(self) -> bool:
        """Whether training and validation images were scored by the same weights on images as they are."""
        return {"train", "val"} <= self.counts.keys()

    def evaluated_iou(self, split: str) -> float:
        """The IoU of an evaluated split."""
        return headline_iou(self.counts[split].total())

    def gap(self) -> float:
        """By how much training images score above validation images in IoU, at the end; NaN where it can't be told.

        From evaluations of both where they are there. Else from the history, where augmentation and weights still
        moving lower the training score: a gap seen is a gap, one that isn't seen may be there.
        """
        if self.are_both_evaluated:
            return self.evaluated_iou("train") - self.evaluated_iou("val")
        if self.num_epochs <= self.num_small:
            return math.nan  # every training input was of half the size
        return end_of(self.train_iou[self.num_small :]) - end_of(self.val_iou[self.num_small :])


def gather(run: Run) -> Evidence:
    """Read what a run's folder holds; whatever isn't there is left empty."""
    config, rows = run.config, run.history
    document = run.data if (run.root / "data.json").exists() else {}
    splits = document.get("splits", {})
    evaluation = run.evaluation("val") if (run.root / "evaluation" / "val.json").exists() else {}
    failure = run.read_json(FAILURE, FailureReason) if (run.root / FAILURE).exists() else {}
    low, high = (evaluation.get("intervals") or {}).get("iou") or (None, None)
    planned, grow = config.train.epochs, config.train.grow
    pace = run.read_json(PACE, list[Stretch]) if (run.root / PACE).exists() else []
    return Evidence(
        **{name: np.array([row.get(name, math.nan) for row in rows], float) for name in COLUMNS},
        settings=settings_of(config),
        num_small=int(grow * planned) if grow != "auto" and planned != "auto" else 0,
        num_train=len(splits.get("train", ())),
        num_val=len(splits.get("val", ())),
        steps=(pace[-1]["step"], pace[-1]["seen"]) if pace else None,
        is_assigned=(document.get("split") or {}).get("seed") is not None,
        classes=tuple(document.get("classes", {}).get("names", ())),
        class_shares=tuple(document.get("class_shares", ())),
        counts=_counts(run, splits),
        val_interval=(_number(low), _number(high)),
        sure_and_wrong=_sure_and_wrong(evaluation),
        shared=shared_contents(splits),
        parted=_parted(document, run.environment if (run.root / "environment.json").exists() else {}),
        is_finished=run.weights.is_file(),
        failure=failure.get("reason"),
        check=check_command(config.data),
        run=as_typed(run.root),
    )


def _augment_name(config: Config) -> str:
    """The preset; `own` for a list, as which a run keeps what was chosen for it too."""
    if isinstance(config.augment, str):
        return "own" if config.augment == "auto" else config.augment
    return "own" if config.augment else "none"


def settings_of(config: Config) -> Settings:
    """What a diagnosis heeds of a configuration."""
    train, optim = config.train, config.optim
    return Settings(
        monitor=train.monitor,
        epochs=train.epochs if train.epochs != "auto" else None,
        budget=train.budget,
        patience=train.early_stop,
        lr=optim.lr if optim.lr != "auto" else None,
        weight_decay=optim.weight_decay,
        clip=optim.clip,
        augment=_augment_name(config),
        model=config.model.name,
        width=width if isinstance(width := getattr(config.model, "width", None), int) else None,
    )


def shared_contents(splits: Mapping[str, Sequence[Mapping[str, Any]]]) -> tuple[str, ...]:
    """Images (by the hash of their content) and groups that lie in more than one split, each described in words.

    >>> shared_contents({"train": [{"id": "a", "image_sha256": "1"}], "val": [{"id": "b", "image_sha256": "1"}]})
    ('a (train) and b (val) are the same image',)
    """
    images: dict[Any, dict[str, str]] = defaultdict(dict)
    groups: dict[str, dict[str, str]] = defaultdict(dict)
    for split, entries in splits.items():
        for entry in entries:
            # windows of one scene have its hash in common
            window = entry.get("window")
            images[entry.get("image_sha256"), tuple(window) if window else None].setdefault(split, entry["id"])
            if entry.get("group") is not None:
                groups[entry["group"]].setdefault(split, entry["id"])
    lines = [
        " and ".join(f"{name} ({split})" for split, name in found.items()) + " are the same image"
        for (content, _), found in images.items()
        if content is not None and len(found) > 1
    ]
    lines += [f"group {name} is in {' and '.join(found)}" for name, found in groups.items() if len(found) > 1]
    return tuple(lines)


def _parted(document: Mapping[str, Any], environment: Mapping[str, Any]) -> tuple[str, ...]:
    """What opening the data, and the errors allowed, said of pictures and groups on both sides of a split."""
    notes = [note for note in document.get("notes", ()) if "in another split" in note or "torn apart" in note]
    found = [*environment.get("allowed", ()), *environment.get("findings", ())]
    leaks = [str(one.get("evidence", one["code"])) for one in found if str(one.get("code", "")).endswith("-leak")]
    return tuple(dict.fromkeys([*leaks, *notes]))


def _counts(run: Run, splits: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Counts]:
    """The counts of training and validation images, where they were evaluated and are of these images."""
    found: dict[str, Counts] = {}
    for split in ("train", "val"):
        path = run.root / "evaluation" / f"{split}-counts.npz"
        if path.is_file():
            counts = Counts.load(path)
            if sorted(counts.images) == sorted(entry["id"] for entry in splits.get(split, ())):
                found[split] = counts
    return found


def _sure_and_wrong(evaluation: Mapping[str, Any]) -> float:
    bins = [
        one
        for one in (evaluation.get("calibration") or {}).get("bins", ())
        if one.get("pixels") and one["low"] >= 0.9 - 1e-9
    ]
    pixels = sum(one["pixels"] for one in bins)
    return sum(one["pixels"] * (1 - one["accuracy"]) for one in bins) / pixels if pixels else math.nan


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


# ------------------------------------------------------------------ figures as they are written


def format_iou(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 0.1 else f"{value:.2f}"


def format_loss(value: float) -> str:
    return f"{value:.3g}"


def format_percent(share: float) -> str:
    if not math.isfinite(share):
        return "without bound"
    percent = 100 * share
    return f"{percent:.1f} %" if percent < 10 and round(percent, 1) != round(percent) else f"{percent:.0f} %"


def train_longer(evidence: Evidence, least: int = 0) -> str:
    """The flag that trains twice as long."""
    budget = evidence.settings.budget
    if budget is not None:
        return f"--budget {2 * float(budget[:-1]):g}{budget[-1]}"
    return f"--epochs {max(least, 2 * evidence.num_epochs)}"


def wrong_though_sure(evidence: Evidence) -> str:
    """A sentence on confident pixels that the masks contradict, where calibration was measured."""
    share = evidence.sure_and_wrong
    message = f" Of the pixels predicted with 90 % confidence or more, {format_percent(share)} contradict the masks."
    return message if math.isfinite(share) else ""
