"""What the numbers of a comparison allow to be said, in sentences; ties are called ties."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from maskwright.errors import listed

if TYPE_CHECKING:
    from maskwright.comparison.standings import Standing, Standings

_SPLITS = {"train": "training", "val": "validation", "test": "test"}
_NAMED = 4  # so many names are told; more are counted


def in_words(found: Standings) -> tuple[str, ...]:
    """The verdict, what validation chose, and how the intervals were made."""
    rules = (_verdict, _undefined, _absent, _chosen, _method, _seeds)
    return tuple(text for rule in rules if (text := rule(found)))


def _verdict(found: Standings) -> str:
    if not found.rows:
        return "No model could be scored."
    best, others = found.best, [row for row in found.rows if row.verdict in ("tie", "worse")]
    where = f"On {_counted(found.num_images, f'{_split(found)} image')}"
    if best is None:
        return f"{where} no model has a score: {found.subject} is undefined there for all of them."
    score = best.metrics[found.metric]
    if not others:
        alone = "there is no other model to compare it with" if len(found.rows) == 1 else "no other model has a score"
        return f"{where} {best.name} scores {_score(score)} in {found.subject}{_interval(best, found)}; {alone}."
    ties, worse = [row for row in others if row.verdict == "tie"], [row for row in others if row.verdict == "worse"]
    if not worse:
        these = "these two models" if len(others) == 1 else f"these {len(others) + 1} models"
        lowest = min(row.metrics[found.metric] for row in others)
        span = _score(score) if lowest == score else f"{_score(lowest)} to {_score(score)}"
        one = f" One {'group' if _is_grouped(found) else 'image'} tells nothing of how the scores would differ on others."
        return f"{where} {these} cannot be told apart ({found.subject} {span}).{one if found.num_units == 1 else ''}"
    told = f"{where} {best.name} has the highest {found.subject}, {_score(score)}{_interval(best, found)}"
    if ties:
        told += f"; {_names(ties)} cannot be told apart from it"
    return f"{told}; {_worse(worse)}."


def _worse(worse: Sequence[Standing]) -> str:
    least = min(-row.difference for row in worse)
    if len(worse) > 1:
        return f"{_names(worse)} are worse, by {_score(least)} or more"
    low, high = worse[0].difference_interval
    return f"{worse[0].name} is worse, by {_score(least)} ({_score(-high)} to {_score(-low)})"


def _undefined(found: Standings) -> str | None:
    without = [row for row in found.rows if row.verdict == "undefined"]
    if not without or found.best is None:
        return None
    has = "has" if len(without) == 1 else "have"
    return f"{_names(without)} {has} no score here: {found.subject} is undefined for what was predicted."


def _chosen(found: Standings) -> str | None:
    """The highest on test is not the one to choose, and why."""
    chosen, best = found.chosen, found.best
    if len(found.rows) < 2 or best is None:
        return None
    if found.split != "test":
        own = "the model is chosen on them" if found.split == "val" else "the models were trained on them"
        return f"These are {_split(found)} images, and {own}: the scores flatter. Only test images can judge."
    if chosen is None:
        return "No validation scores were kept, so no model is chosen; to pick the highest on test would not be honest."
    by = f"{'lowest loss' if found.monitor == 'val_loss' else 'highest IoU'} on validation, {_score(chosen.val)}"
    told = f"Chosen on validation: {chosen.name} ({by})"
    if chosen is best:
        return f"{told}; it is the highest on test as well."
    here = {"tie": "cannot be told apart from it", "worse": "is worse there"}.get(chosen.verdict, "has no score there")
    why = "Picking a model by its test score is not honest: that score would flatter it."
    return f"{told}: its test score is the one to report. {best.name} is the highest on test and {chosen.name} {here}. {why}"


def _method(found: Standings) -> str | None:
    """How intervals and verdicts were made."""
    if not found.rows or found.num_units < 2:
        return None
    unit = "groups of images" if _is_grouped(found) else f"{_split(found)} images"
    told = f"Intervals are at 95 %, from {found.resamples:,} bootstrap resamples of the {found.num_units:,} {unit}"
    num_scored = sum(row.verdict != "undefined" for row in found.rows)
    if num_scored < 2:
        return f"{told}."
    pairs = num_scored * (num_scored - 1) // 2
    few = "groups" if _is_grouped(found) else "images"
    told += f". Differences are paired, all models on the same resamples, their intervals widened by Student's t for few {few}"
    if pairs > 1:
        told += f" and made to hold for all {pairs} pairs of models at once (max-t over the joint resamples)"
    return f"{told}. A tie is an interval that holds 0."


def _absent(found: Standings) -> str | None:
    """Classes that could not be compared."""
    if not found.absent:
        return None
    are = "is" if len(found.absent) == 1 else "are"
    it = "it" if len(found.absent) == 1 else "them"
    told = listed(found.absent, "and", _NAMED)
    return f"{told} {are} in none of the {_split(found)} images' masks and left out of means, whoever predicts {it}."


def _seeds(found: Standings) -> str | None:
    """Whether the intervals tell of other trainings too."""
    nums = sorted({row.num_seeds for row in found.rows})
    if not nums or found.num_units < 2:
        return None
    if nums == [1]:
        return "Each model was trained once: the intervals are about other images, not about another seed."
    if nums[0] == 1:
        return (
            f"Scores are means over {nums[0]} to {nums[-1]} seeds; the intervals are about other images and other seeds. "
            "A model trained once is taken to vary over seeds as the others do."
        )
    num = f"{nums[0]} seeds" if len(nums) == 1 else f"{nums[0]} to {nums[-1]} seeds"
    return f"Scores are means over {num}; the intervals are about other images and other seeds."


def _names(rows: Sequence[Standing]) -> str:
    return listed([row.name for row in rows], limit=_NAMED)


def _interval(row: Standing, found: Standings) -> str:
    low, high = row.intervals[found.metric]
    return "" if math.isnan(high - low) else f" (95 % interval {_score(low)} to {_score(high)})"


def _is_grouped(found: Standings) -> bool:
    return found.num_units != found.num_images


def _split(found: Standings) -> str:
    return _SPLITS.get(found.split, found.split)


def _score(value: float) -> str:
    """Three digits, more where a difference would vanish.

    >>> _score(0.0512), _score(0.00004)
    ('0.051', '0.00004')
    """
    return f"{value:.3f}" if value == 0 or abs(value) >= 0.0005 else f"{value:.1g}" if abs(value) >= 1e-4 else f"{value:.5f}"


def _counted(num: int, noun: str) -> str:
    return f"{num:,} {noun}{'' if num == 1 else 's'}"
