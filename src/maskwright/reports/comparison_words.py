"""The words of a comparison's page: the verdict and remarks as every table has them, and what only the runs' files can tell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from maskwright.errors import listed
from maskwright.reports.comparison_facts import ComparisonFacts, Contender, image_scores
from maskwright.reports.comparison_origin import processors
from maskwright.reports.facts import best_row
from maskwright.reports.wording import PERCENT, SPLIT_WORDS, brief, counted, score

FEW_IMAGES = 10  # below this an interval rests on little
NAMED = 3  # more names in a sentence are counted instead
CHEAPER = 0.5  # of the parameters: worth a remark when the score can't be told apart
STILL = 0.05  # of the epochs: a best epoch among the last ones


def comparison_verdict(facts: ComparisonFacts) -> tuple[str, ...]:
    """What is best, what can't be told apart from it, what validation chose."""
    return tuple(_set(facts, text) for text in facts.standings.verdict)


def comparison_remarks(facts: ComparisonFacts) -> tuple[str, ...]:
    """What to keep in mind when reading the table; only what these numbers call for."""
    if not facts.contenders:
        return ()
    first, after = ([text for rule in rules if (text := rule(facts))] for rules in (_OF_IMAGES, _OF_RUNS))
    return (*first, *(_set(facts, text) for text in facts.standings.remarks), *after)


def _set(facts: ComparisonFacts, text: str) -> str:
    """A sentence as a page sets it: names are broken between their parts alone, a number keeps its sign."""
    for one in sorted(facts.contenders, key=lambda one: -len(one.name)):
        text = text.replace(one.name, one.shown)
    return text.replace(" %", PERCENT)


def _few_images(facts: ComparisonFacts) -> str | None:
    best = facts.best
    if best is None or facts.num_units < 2 or facts.num_units >= FEW_IMAGES:
        return None
    low, high = best.interval
    wide = f": the interval of {best.shown} is {brief(high - low)} wide" if math.isfinite(high - low) else ""
    kind = "images" if facts.num_units == facts.num_images else "groups of images"
    return f"{facts.num_units} {kind} are few{wide}. More {SPLIT_WORDS[facts.comparison.split]} images would tell more apart."


def _groups(facts: ComparisonFacts) -> str | None:
    if facts.num_units == facts.num_images:
        return None
    told = f"The {facts.num_images} images belong to {counted(facts.num_units, 'group')}"
    return f"{told}; whole groups are resampled, as images of one group are no independent witnesses."


def _chance_of_seeds(facts: ComparisonFacts) -> str | None:
    """Whether chance in training could reorder the table."""
    wide = max(facts.contenders, key=_range)
    second = next((one for one in facts.contenders if one.standing.verdict != "best"), None)
    if second and _range(wide) > abs(second.standing.difference):
        told = f"The seeds of {wide.shown} lie {_gap(_range(wide))} apart, further than the first two models"
        return f"{told}: chance in training alone could change their order."
    return None


def _range(contender: Contender) -> float:
    finite = [value for value in contender.seeds if math.isfinite(value)]
    return max(finite) - min(finite) if len(finite) > 1 else 0.0


def _cheaper(facts: ComparisonFacts) -> str | None:
    """A tie at half the size or less."""
    best = facts.best
    ties = [one for one in facts.contenders if one.standing.verdict == "tie"]
    if best is None or not ties:
        return None
    small = min(ties, key=lambda one: one.entry.cost.parameters)
    ours, theirs = small.entry.cost.parameters, best.entry.cost.parameters
    if not 0 < ours <= CHEAPER * theirs:
        return None
    return f"{small.shown} has {_times(theirs / ours)} fewer parameters than {best.shown} and can't be told apart from it."


def _times(factor: float) -> str:
    return f"{factor:.0f} times" if factor >= 3 else f"{factor:.1f} times"


def _machines(facts: ComparisonFacts) -> str | None:
    found = processors(facts)
    return f"The runs were made on {len(found)} kinds of processor: times can't be compared." if len(found) > 1 else None


def _still_improving(facts: ComparisonFacts) -> str | None:
    """Models that were best at the end and are not overfitted: those longer training would only spoil."""
    late = [one for one, configs, histories in zip(facts.contenders, facts.configs, facts.histories, strict=True)
            if one.name not in facts.overfitted and _is_late(histories, configs[0].train.monitor)]  # fmt: skip
    if not late:
        return None
    whose = "All models" if len(late) == len(facts.contenders) > 1 else _named(late)
    whose = f"{len(late)} models" if len(late) > NAMED and whose != "All models" else whose
    were = "was" if len(late) == 1 else "were"
    their = "its" if len(late) == 1 else "their"
    return f"{whose} {were} at {their} best when training ended: longer training may change the order."


def _is_late(histories: Sequence[Sequence[Any]], monitor: str) -> bool:
    """Whether most of a model's runs had their best epoch among the last ones."""
    late = 0
    for history in histories:
        best = best_row(history, monitor) if history else None
        late += best is not None and len(history) > 1 and best >= len(history) - max(1, int(STILL * len(history)))
    return 2 * late > len(histories)


def _failed(facts: ComparisonFacts) -> str | None:
    num = len(facts.comparison.failures)
    told = f"{counted(num, 'cell')} failed and {'is' if num == 1 else 'are'} not in the table; the reason is below."
    return told if num else None


def _unscored_images(facts: ComparisonFacts) -> str | None:
    num = int(sum(not math.isfinite(value) for value in image_scores(facts.contenders[0])))
    return f"{counted(num, 'image')} {'has' if num == 1 else 'have'} no scored class in truth or prediction." if num else None


def _named(some: Sequence[Contender]) -> str:
    """Names, or how many they are."""
    return listed([one.shown for one in some]) if len(some) <= NAMED else f"the {len(some)} others"


def _gap(value: float) -> str:
    """A difference in prose: never 0.00 when it isn't."""
    return brief(value) if value >= 0.01 or value == 0 else score(value, 3) if value >= 0.001 else "less than 0.001"


_OF_IMAGES = (_few_images, _groups)
_OF_RUNS = (_chance_of_seeds, _cheaper, _failed, _machines, _still_improving, _unscored_images)
