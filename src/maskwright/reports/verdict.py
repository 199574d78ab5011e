"""The verdict: plain sentences from a run's numbers, and the remarks an honest reader would add."""

from __future__ import annotations

import math

from maskwright.config.base import MONITORS
from maskwright.errors import counted, listed
from maskwright.metrics.scores import beaten_unlooked, only_predicted
from maskwright.reports.facts import Facts
from maskwright.reports.pages import PERCENT, SPLIT_WORDS, brief, number, share

FEW_UNITS = 10  # images or groups: fewer tell little of the next
WIDE = 0.1  # an interval wider than this can't tell most models apart
APART = 0.05  # an IoU difference a reader would call different


def verdict(facts: Facts) -> tuple[str, ...]:
    """Two or three sentences: the score, the training, where it is weakest."""
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
    if facts.num_units == 1:
        return f"{where} is {brief(iou)}; {single_unit(facts)}."
    if math.isnan(high - low):
        return f"{where} is {brief(iou)}."
    over = "" if facts.num_units == facts.num_images else f" over {facts.units}"
    return f"{where} is {brief(iou)} (95{PERCENT} interval {brief(low)} to {brief(high)}{over})."


def single_unit(facts: Facts) -> str:
    """Why there is no interval."""
    return f"{'a single image allows' if facts.num_images == 1 else 'images of a single group allow'} no interval"


def _best_epoch(facts: Facts) -> str | None:
    num_epochs = len(facts.history)
    if num_epochs == 0:
        return "No epoch was recorded."
    if num_epochs == 1:
        return "It was trained for a single epoch."
    if facts.best is None:
        return None
    title = next((one.title for one in facts.diagnosis if one.severity == "warning"), "")
    diagnosis = f"; the diagnosis: {title[0].lower()}{title[1:].rstrip('.')}" if title else ""
    by = f"validation {MONITORS[facts.config.train.monitor]}"
    return f"The best epoch was {facts.best + 1} of {num_epochs}, by {by}{diagnosis}."


def _weakest(facts: Facts) -> str | None:
    """The weakest and the strongest image and, of more than two, class."""
    rows = [row for row in facts.images() if not math.isnan(row.iou)]
    if len(rows) < 2:
        return None
    worst, best = (f"{facts.short(row.name)} ({brief(row.iou)})" for row in (rows[0], rows[-1]))
    image = f"weakest image is {worst}, the strongest {best}"
    classes = facts.evaluation["per_class"]
    scored = [(number(row["iou"]), name) for name, row in classes.items() if row["iou"] is not None]
    if facts.is_binary or len(scored) < 2:
        return f"The {image}."
    (low, _), (high, strongest) = min(scored), max(scored)
    weakest = [name for score, name in sorted(scored) if brief(score) == brief(low)]
    several = 1 < len(weakest) < len(scored)
    text = f"classes are {listed(weakest)}" if several else f"class is {weakest[0]}"
    return f"The weakest {text} ({brief(low)}), the strongest {strongest} ({brief(high)}); the {image}."


def _beaten_unlooked(facts: Facts) -> str | None:
    """That an answer without looking at the image does better: what must be known before any score is read."""
    found = beaten_unlooked(facts.counts.total(), facts.classes)
    if found is None:
        return None
    text = f"Only {share(found.accuracy)} of the pixels are right; always answering {found.answer} would get"
    return f"{text} {share(found.reached)} right. By that measure the network is worse than none."


def _seen_before(facts: Facts) -> str | None:
    """Scores of images that had a hand in the training flatter."""
    asked, split = SPLIT_WORDS[facts.asked], SPLIT_WORDS[facts.split]
    stands_in = f"The run has no {asked} images, so its {split} images are scored here. "
    head = stands_in if asked != split else ""
    if facts.split == "val":
        return f"{head}The best epoch was picked by the validation images, so their scores are somewhat too good."
    if facts.split == "train":
        return "The network learned from these images: the scores say how well it fits, not what it does on new images."
    return None


def _few_images(facts: Facts) -> str | None:
    low, high = facts.interval("iou")
    num, kind = facts.num_units, SPLIT_WORDS[facts.split]
    units = "image" if num == facts.num_images else "group"
    if num == 1:
        return f"One {units} says little about the next."
    if math.isnan(high - low):
        return None
    width = f"the interval is {brief(high - low)} wide"
    if num < FEW_UNITS:
        text = f"{num} {kind} images" if units == "image" else f"{num} groups of {kind} images"
        return f"{text} are few: {width}, and a difference smaller than that may be chance."
    if high - low > WIDE:
        return f"{width.capitalize()}; more {kind} {units}s would narrow it."
    return None


def _beside_validation(facts: Facts) -> str | None:
    """A test score far from the validation score, and whether chance could explain it."""
    if facts.split != "test" or facts.best is None:
        return None
    iou, validation = facts.metric("iou"), facts.history[facts.best]["val_iou"]
    low, high = facts.interval("iou")
    if math.isnan(iou - validation) or abs(iou - validation) <= APART:
        return None
    side = "below" if iou < validation else "above"
    text = f"The test IoU is {brief(abs(iou - validation))} {side} the validation IoU of {brief(validation)}"
    if facts.num_images == 1:
        return f"{text}; one image can't say why."
    if low <= validation <= high:
        return f"{text}. That lies inside the interval, so it may be chance."
    return f"{text}. That lies outside the interval: the test images seem {'harder' if iou < validation else 'easier'}."


def _cut_short(facts: Facts) -> str | None:
    planned, done = facts.config.train.epochs, len(facts.history)
    if not isinstance(planned, int) or not 0 < done < planned:
        return None
    if facts.config.train.early_stop:
        return f"Training stopped early, after {done} of {planned} epochs."
    return f"Only {done} of {planned} planned epochs are recorded."


def _never_predicted(facts: Facts) -> str | None:
    total = facts.counts.total()
    missed = [name for index, name in enumerate(facts.classes) if total[index].sum() and not total[:, index].sum()]
    return f"{listed(missed)} {_is(missed)} in the truth but never predicted." if missed else None


def _only_predicted(facts: Facts) -> str | None:
    text = only_predicted(facts.counts.total(), facts.classes)
    return f"{text}." if text else None


def _not_there(facts: Facts) -> str | None:
    total = facts.counts.total()
    absent = [name for index, name in enumerate(facts.classes) if not total[index].sum() and not total[:, index].sum()]
    if not absent or math.isnan(facts.metric("iou")):
        return None  # the verdict says it
    have = "has" if len(absent) == 1 else "have"
    return f"{listed(absent)} {_is(absent)} in neither truth nor prediction and {have} no score."


def _is(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


# how training went is the diagnosis's to say
_REMARKS = (_beaten_unlooked, _seen_before, _few_images, _beside_validation, _cut_short, _never_predicted,
            _only_predicted, _not_there)  # fmt: skip
