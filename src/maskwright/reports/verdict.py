"""The verdict: plain sentences from a run's numbers, and the remarks an honest reader would add."""

from __future__ import annotations

import math

import numpy as np

from maskwright.errors import listed
from maskwright.reports.facts import Facts
from maskwright.reports.wording import PERCENT, SPLIT_WORDS, brief, counted, share

FEW_IMAGES = 10  # below this, resampling images tends to give an interval that is too narrow
WIDE = 0.1  # an interval wider than this can't tell most models apart
APART = 0.05  # an IoU difference a reader would call different
LOSS_RISE = 1.2  # validation loss at the end over its lowest
RISING_IOU, RISING_LOSS = 0.005, 0.01  # the IoU and the share of the loss still gained over the last tenth of the epochs


def verdict(facts: Facts) -> tuple[str, ...]:
    """Two or three sentences: the score, the best epoch, the weakest image."""
    return tuple(text for rule in (_score, _best_epoch, _weakest) if (text := rule(facts)))


def remarks(facts: Facts) -> tuple[str, ...]:
    """What to keep in mind when reading the score; only what these numbers call for."""
    return tuple(text for rule in _REMARKS if (text := rule(facts)))


def subject(facts: Facts) -> str:
    """What the headline IoU is of.

    The foreground's when there are two classes, else the mean over the classes that have a score.
    """
    if facts.is_binary:
        return f"{facts.classes[1]} IoU"
    num_scored = sum(row["iou"] is not None for row in facts.evaluation["per_class"].values())
    return f"mean IoU over {num_scored} {'class' if num_scored == 1 else 'classes'}"


def _score(facts: Facts) -> str:
    iou, (low, high) = facts.metric("iou"), facts.interval("iou")
    where = f"On {counted(facts.num_images, f'{SPLIT_WORDS[facts.split]} image')} the {subject(facts)}"
    if math.isnan(iou):
        return f"{where} is undefined: no scored class is in truth or prediction."
    if facts.num_images == 1:
        return f"{where} is {brief(iou)}; a single image allows no interval."
    if math.isnan(high - low):
        return f"{where} is {brief(iou)}."
    return f"{where} is {brief(iou)} (95{PERCENT} interval {brief(low)} to {brief(high)})."


def _best_epoch(facts: Facts) -> str | None:
    num_epochs = len(facts.history)
    if num_epochs == 0:
        return "No epoch was recorded."
    if num_epochs == 1:
        return "It was trained for a single epoch."
    by = "validation IoU" if facts.monitor == "val_iou" else "validation loss"
    return None if facts.best is None else f"The best epoch was {facts.best + 1} of {num_epochs}, by {by}."


def _weakest(facts: Facts) -> str | None:
    rows = facts.scored_images()
    if len(rows) < 2:
        return None
    return f"The weakest image is {rows[0].name} ({brief(rows[0].iou)}), the strongest {rows[-1].name} ({brief(rows[-1].iou)})."


def _seen_before(facts: Facts) -> str | None:
    """Scores of images that had a hand in the training flatter."""
    stands_in = f"The run has no {SPLIT_WORDS[facts.asked]} images, so its {SPLIT_WORDS[facts.split]} images are scored here. "
    head = stands_in if facts.asked != facts.split else ""
    if facts.split == "val":
        return f"{head}The best epoch was picked by the validation images, so their scores are somewhat too good."
    if facts.split == "train":
        return "The network learned from these very images: the scores say how well it fits, not what it does on new images."
    return None


def _few_images(facts: Facts) -> str | None:
    low, high = facts.interval("iou")
    num, kind = facts.num_images, SPLIT_WORDS[facts.split]
    if num == 1:
        return "One image says little about the next."
    if math.isnan(high - low):
        return None
    width = f"the interval is {brief(high - low)} wide"
    if num < FEW_IMAGES:
        return f"{num} {kind} images are few: {width}, and from so few images it tends to come out too narrow."
    if high - low > WIDE:
        return f"{width.capitalize()}; more {kind} images would narrow it."
    return None


def _beside_validation(facts: Facts) -> str | None:
    """A test score far from the validation score, and whether chance could explain it."""
    if facts.split != "test" or facts.best is None:
        return None
    iou, validation = facts.metric("iou"), facts.history[facts.best]["val_iou"]
    low, high = facts.interval("iou")
    if math.isnan(iou - validation) or abs(iou - validation) <= APART:
        return None
    told = f"The test IoU is {brief(abs(iou - validation))} {'below' if iou < validation else 'above'} the validation IoU"
    told += f" of {brief(validation)}"
    if facts.num_images == 1:
        return f"{told}; one image can't say why."
    if low <= validation <= high:
        return f"{told}. That lies inside the interval, so it may be chance."
    return f"{told}. That lies outside the interval: the test images seem {'harder' if iou < validation else 'easier'}."


def _cut_short(facts: Facts) -> str | None:
    planned, done = facts.config.train.epochs, len(facts.history)
    if not isinstance(planned, int) or not 0 < done < planned:
        return None
    if facts.config.train.early_stop:
        return f"Training stopped early, after {done} of {planned} epochs."
    return f"Only {done} of {planned} planned epochs are recorded."


def _still_improving(facts: Facts) -> str | None:
    """The best epoch is among the last, and the score was still moving."""
    num, best = len(facts.history), facts.best
    if num < 2 or best is None or best < num - max(1, num // 20):
        return None
    window = max(1, num // 10)
    now, before = (facts.history[index][facts.monitor] for index in (best, max(0, best - window)))
    over = f"over its last {window} epochs" if window > 1 else "in its last epoch"
    if facts.monitor == "val_iou" and now - before > RISING_IOU:
        return f"Training ended while the validation IoU was still rising (by {brief(now - before)} {over}): train longer."
    if facts.monitor == "val_loss" and before > 0 and 1 - now / before > RISING_LOSS:
        return f"Training ended while the validation loss was still falling (by {share(1 - now / before)} {over}): train longer."
    return None


def _fits_better(facts: Facts) -> str | None:
    if facts.best is None:
        return None
    row = facts.history[facts.best]
    gap = row["train_iou"] - row["val_iou"]
    if math.isnan(gap) or gap <= APART:
        return None
    num_train = counted(len(facts.document["splits"]["train"]), "training image")
    though = ", though training inputs are augmented" if facts.config.augment not in ("none", []) else ""
    told = f"At the best epoch the training IoU is {brief(gap)} above the validation IoU{though}"
    return f"{told}: the network fits its {num_train} better than new ones."


def _loss_rises(facts: Facts) -> str | None:
    losses = np.array([row["val_loss"] for row in facts.history], float)
    if not np.isfinite(losses).any() or not math.isfinite(losses[-1]):
        return None
    lowest = int(np.nanargmin(losses))
    if losses[lowest] <= 0 or losses[-1] <= LOSS_RISE * losses[lowest]:
        return None
    rise = losses[-1] / losses[lowest] - 1
    return f"The validation loss rose by {share(rise)} after epoch {lowest + 1}, a sign of overfitting."


def _never_predicted(facts: Facts) -> str | None:
    total = facts.counts.total()
    missed = [name for index, name in enumerate(facts.classes) if total[index].sum() and not total[:, index].sum()]
    return f"{listed(missed)} {_is(missed)} in the truth but never predicted." if missed else None


def _not_there(facts: Facts) -> str | None:
    total = facts.counts.total()
    absent = [name for index, name in enumerate(facts.classes) if not total[index].sum() and not total[:, index].sum()]
    if not absent or math.isnan(facts.metric("iou")):
        return None  # the verdict says it
    return f"{listed(absent)} {_is(absent)} in neither truth nor prediction and {'has' if len(absent) == 1 else 'have'} no score."


def _is(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


_REMARKS = (_seen_before, _few_images, _beside_validation, _fits_better, _loss_rises, _still_improving, _cut_short,
            _never_predicted, _not_there)  # fmt: skip
