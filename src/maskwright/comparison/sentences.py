"""What the numbers of a comparison allow to be said, for every table and page; ties are called ties."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from maskwright.comparison.entries import Standing, Standings
from maskwright.config.base import MONITORS
from maskwright.errors import counted, listed

_SPLITS = {"train": "training", "val": "validation", "test": "test"}
_NAMED = 4  # so many names are listed; more are counted


def verdict(found: Standings) -> tuple[str, ...]:
    """At most three sentences: who is best, who can be told apart, whom validation chose."""
    return _sentences(found, (_best, _apart, _chosen))


def remarks(found: Standings) -> tuple[str, ...]:
    """What to keep in mind when reading the scores."""
    return (*_sentences(found, (_undefined, _absent)), *found.notes, *_sentences(found, (_trained_once,)))


def in_words(found: Standings) -> tuple[str, ...]:
    """The verdict, what to keep in mind, and how the intervals were made."""
    return (*verdict(found), *remarks(found), *_sentences(found, (_seeds, _method)))


def _sentences(found: Standings, rules: Sequence[Callable[[Standings], str | None]]) -> tuple[str, ...]:
    return tuple(text for rule in rules if (text := rule(found)))


def _best(found: Standings) -> str:
    if not found.rows:
        num = len(found.failures)
        if num == 1:
            return "The only cell could not be scored; the reason is below."
        return f"None of the {num} cells could be scored; the reasons are below." if num else "No model was scored."
    best, others = found.best, _scored_others(found)
    where = f"On {counted(found.num_images, f'{_split(found)} image')}"
    if best is None:
        return f"{where} no model has a score: {found.subject} is undefined there for all of them."
    score = _score(found, best.metrics[found.metric])
    if not others:
        alone = "there is no other model to compare it with" if len(found.rows) == 1 else "no other model has a score"
        return f"{where} {best.name} scores {score} in {found.subject}{_interval(best, found)}; {alone}."
    if any(row.verdict == "worse" for row in others):
        return f"{where} {best.name} has the {found.top} {found.subject}, {score}{_interval(best, found)}."
    these = "these two models" if len(others) == 1 else f"these {len(others) + 1} models"
    last = _score(found, others[-1].metrics[found.metric])
    span = score if last == score else " to ".join((score, last) if found.is_lower_better else (last, score))
    return f"{where} {these} cannot be told apart ({found.subject} {span})."


def _apart(found: Standings) -> str | None:
    """Ties and losers, where not all are ties."""
    others = _scored_others(found)
    worse, ties = ([row for row in others if row.verdict == one] for one in ("worse", "tie"))
    if not worse:
        one = "group" if _is_grouped(found) else "image"
        sentence = f"One {one} tells nothing of how the scores would differ on others."
        return sentence if others and found.num_units == 1 else None
    least = _score(found, min(abs(row.difference) for row in worse))
    if len(worse) > 1:
        lost = f"{_names(worse)} are worse, by {least} or more"
    else:
        ends = sorted(abs(end) for end in worse[0].difference_interval)
        lost = f"{worse[0].name} is worse, by {least} ({' to '.join(_score(found, end) for end in ends)})"
    return f"{_names(ties)} cannot be told apart from it; {lost}." if ties else f"{lost}."


def _chosen(found: Standings) -> str | None:
    """The first on test is not the one to choose, and why."""
    chosen, best = found.chosen, found.best
    if len(found.rows) < 2 or best is None:
        return None
    if found.split != "test":
        own = "the model is chosen on them" if found.split == "val" else "the models were trained on them"
        return f"These are {_split(found)} images, and {own}: the scores flatter. Only test images can judge."
    if chosen is None:
        why = "no validation score was kept" if found.same_val else "the runs were validated on different images"
        return f"Validation chose none, as {why}; to pick the {found.top} on test would flatter it."
    by = f"{MONITORS[found.monitor]} {_plain(chosen.val)} there"
    if chosen is best:
        tied = any(row.verdict == "tie" for row in found.rows)
        here = f"it has the {found.top} score here too" if not tied else "that it comes first here too may be chance"
        return f"Validation chose {chosen.name} ({by}), so that is the one to use; {here}."
    why = f"to pick {best.name} by its test score would flatter it"
    if chosen.verdict == "tie":
        return f"Validation chose {chosen.name} ({by}), so that is the one to use: {why}."
    here = (
        f"is worse here by {_score(found, abs(chosen.difference))}"
        if chosen.verdict == "worse"
        else "has no score here"
    )
    return f"Validation chose {chosen.name} ({by}), which {here}; still, its score is the one to report: {why}."


def _undefined(found: Standings) -> str | None:
    without = [row for row in found.rows if row.verdict == "undefined"]
    if not without or found.best is None:
        return None
    has = "has" if len(without) == 1 else "have"
    return f"{_names(without)} {has} no score here: {found.subject} is undefined for what was predicted."


def _absent(found: Standings) -> str | None:
    """Classes that could not be compared."""
    if not found.absent:
        return None
    are = "is" if len(found.absent) == 1 else "are"
    it = "it" if len(found.absent) == 1 else "them"
    names = listed(found.absent, "and", _NAMED)
    return f"{names} {are} in none of the {_split(found)} images' masks and left out of means, whoever predicts {it}."


def _trained_once(found: Standings) -> str | None:
    """Where the intervals know nothing, or little, of other trainings."""
    nums = _nums_of_seeds(found)
    if not nums or nums[0] > 1 or found.num_units < 2:
        return None
    if nums == [1]:
        each = "Each model" if len(found.rows) > 1 else "The model"
        return f"{each} was trained once: the intervals are about other images, not about another seed."
    return f"A model trained once is taken to vary over seeds as the others do, which have up to {nums[-1]}."


def _seeds(found: Standings) -> str | None:
    """That the intervals tell of other trainings too."""
    nums = _nums_of_seeds(found)
    if not nums or nums[-1] == 1 or found.num_units < 2:
        return None
    num = f"{nums[0]} seeds" if len(nums) == 1 else f"{nums[0]} to {nums[-1]} seeds"
    return f"Scores are means over {num}; the intervals are about other images and other seeds."


def _method(found: Standings) -> str | None:
    """How intervals and verdicts were made."""
    if not found.rows or found.num_units < 2:
        return None
    unit = "groups of images" if _is_grouped(found) else f"{_split(found)} images"
    text = f"Intervals are at 95 %, from {found.resamples:,} bootstrap resamples of the {found.num_units:,} {unit}"
    num_scored = sum(row.verdict != "undefined" for row in found.rows)
    if num_scored < 2:
        return f"{text}."
    pairs = num_scored * (num_scored - 1) // 2
    few = "groups" if _is_grouped(found) else "images"
    text += ". Differences are paired, all models on the same resamples, "
    text += f"their intervals widened by Student's t for few {few}"
    if pairs > 1:
        text += f" and made to hold for all {pairs} pairs of models at once (max-t over the joint resamples)"
    return f"{text}. A tie is an interval that holds 0."


def _scored_others(found: Standings) -> list[Standing]:
    return [row for row in found.rows if row.verdict in ("tie", "worse")]


def _nums_of_seeds(found: Standings) -> list[int]:
    return sorted({row.num_seeds for row in found.rows})


def _names(rows: Sequence[Standing]) -> str:
    return listed([row.name for row in rows], limit=_NAMED)


def _interval(row: Standing, found: Standings) -> str:
    low, high = row.intervals[found.metric]
    return "" if math.isnan(high - low) else f" (95 % interval {_score(found, low)} to {_score(found, high)})"


def _is_grouped(found: Standings) -> bool:
    return found.num_units != found.num_images


def _split(found: Standings) -> str:
    return _SPLITS.get(found.split, found.split)


def _score(found: Standings, value: float) -> str:
    """A score, or a distance with its unit."""
    return f"{value:.1f} px" if found.is_lower_better else _plain(value)


def _plain(value: float) -> str:
    """Three digits, more where a difference would vanish.

    >>> _plain(0.0512), _plain(0.00004)
    ('0.051', '0.00004')
    """
    if value == 0 or abs(value) >= 0.0005:
        return f"{value:.3f}"
    return f"{value:.1g}" if abs(value) >= 1e-4 else f"{value:.5f}"
