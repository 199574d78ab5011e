"""The verdict of a comparison in three sentences, and the remarks an honest reader would add."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from maskwright.errors import listed
from maskwright.reports.comparison_facts import ComparisonFacts, Contender, image_scores
from maskwright.reports.comparison_origin import differing, processors, varied
from maskwright.reports.facts import best_row
from maskwright.reports.wording import PERCENT, SPLIT_WORDS, brief, counted, score

FEW_IMAGES = 10  # below this an interval rests on little
NAMED = 3  # more names in a sentence are counted instead
CHEAPER = 0.5  # of the parameters: worth a remark when the score can't be told apart
STILL = 0.05  # of the epochs: a best epoch among the last ones


def comparison_verdict(facts: ComparisonFacts) -> tuple[str, ...]:
    """What is best, what can't be told apart from it, what validation chose."""
    if not facts.contenders:
        return (f"None of the {counted(len(facts.comparison.failures), 'setting')} could be scored; the reasons are below.",)
    return tuple(text for rule in (_best, _apart, _chosen) if (text := rule(facts)))


def comparison_remarks(facts: ComparisonFacts) -> tuple[str, ...]:
    """What to keep in mind when reading the table; only what these numbers call for."""
    return tuple(text for rule in _REMARKS if (text := rule(facts))) if facts.contenders else ()


def _best(facts: ComparisonFacts) -> str:
    best = facts.best
    where = f"On {counted(facts.num_images, f'{SPLIT_WORDS[facts.comparison.split]} image')}"
    if best is None or math.isnan(best.score):
        return f"{where} no model has a score: no scored class is in truth or prediction."
    told = (
        f"{where} {best.shown} has the {'highest' if len(facts.contenders) > 1 else 'only'} {facts.subject}, {brief(best.score)}"
    )
    low, high = best.interval
    parts = [] if math.isnan(high - low) else [f"95{PERCENT} interval {brief(low)} to {brief(high)}"]
    parts += [f"mean of {best.entry.num_seeds} seeds"] if best.entry.num_seeds > 1 else []
    return f"{told} ({', '.join(parts)})." if parts else f"{told}."


def _apart(facts: ComparisonFacts) -> str | None:
    """Ties and losers."""
    best, others = facts.best, [one for one in facts.contenders if one.standing.verdict != "best"]
    if best is None or not others or math.isnan(best.score):
        return None
    if facts.num_units == 1:
        return "A single image allows no interval, so nothing can be told apart."
    others = [one for one in others if one.standing.verdict != "undefined"]
    if not others:
        return "None of the others has a score."
    ties, worse = ([one for one in others if one.standing.verdict == verdict] for verdict in ("tie", "worse"))
    few = "With so few images, " if facts.num_units < FEW_IMAGES else ""
    if not ties:
        gap = _gap(min(-one.standing.difference for one in worse))
        least = f"by {gap}" if len(worse) == 1 else f"by {gap} or more"
        return _sentence(f"{_named(worse)} {_is(worse)} worse, {least}.")
    if not worse:
        if len(ties) > NAMED:
            return _sentence(f"{few}none of the {len(ties)} others can be told apart from it.")
        return _sentence(f"{few}{_named(ties)} can't be told apart from it.")
    if len(ties) > NAMED or len(worse) > NAMED:
        num_worse = f"{len(worse)} {_is(worse)} worse"
        return _sentence(f"{few}{len(ties)} of the {len(others)} others can't be told apart from it; {num_worse}.")
    return _sentence(f"{few}{_named(ties)} can't be told apart from it; {_named(worse)} {_is(worse)} worse.")


def _chosen(facts: ComparisonFacts) -> str | None:
    chosen, best = facts.chosen, facts.best
    if best is None or len(facts.contenders) < 2:
        return None
    if facts.comparison.split != "test":
        kind = SPLIT_WORDS[facts.comparison.split]
        return f"These are {kind} images, which had a hand in the training: only test images can judge."
    if chosen is None:
        return "Validation chose none, as no validation score was kept."
    if chosen is best:
        return f"Validation chose {chosen.shown} too, so it is the one to use."
    why = "to pick the highest by the test images would flatter it"
    if chosen.standing.verdict == "worse":
        return f"Validation chose {chosen.shown}, which is worse here by {_gap(-chosen.standing.difference)}; still, {why}."
    return f"Validation chose {chosen.shown}, so that is the one to use: {why}."


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


def _seeds(facts: ComparisonFacts) -> str | None:
    """Whether chance in training could reorder the table."""
    nums = {one.entry.num_seeds for one in facts.contenders}
    if nums == {1}:
        return "Each model was trained once, so how far another seed would move its score isn't known: compare several seeds."
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


def _unlike(facts: ComparisonFacts) -> str | None:
    """Settings beyond the matrix that differ, the budget above all."""
    beyond = [key for key in differing(facts) if key in _BUDGET and key not in varied(facts)]
    told = f"The runs were not trained alike: {listed(beyond)} differ{'s' if len(beyond) == 1 else ''} (see the settings below)."
    return told if beyond else None


def _machines(facts: ComparisonFacts) -> str | None:
    found = processors(facts)
    return f"The runs were made on {len(found)} kinds of processor: times can't be compared." if len(found) > 1 else None


def _still_improving(facts: ComparisonFacts) -> str | None:
    late = [one for one, configs, histories in zip(facts.contenders, facts.configs, facts.histories, strict=True)
            if _is_late(histories, configs[0].train.monitor)]  # fmt: skip
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


def _undefined(facts: ComparisonFacts) -> str | None:
    without = [one for one in facts.contenders if one.standing.verdict == "undefined"]
    if without and facts.best:
        has = "has" if len(without) == 1 else "have"
        return f"{listed([one.shown for one in without])} {has} no score: it is undefined for what was predicted."
    return None


def _unscored_images(facts: ComparisonFacts) -> str | None:
    num = int(sum(not math.isfinite(value) for value in image_scores(facts.contenders[0])))
    return f"{counted(num, 'image')} {'has' if num == 1 else 'have'} no scored class in truth or prediction." if num else None


def _named(some: Sequence[Contender]) -> str:
    """Names, or how many they are."""
    return listed([one.shown for one in some]) if len(some) <= NAMED else f"the {len(some)} others"


def _sentence(text: str) -> str:
    """A capital where a sentence of ours begins; a model's name stays as it is."""
    return text[0].upper() + text[1:] if text.startswith(("with ", "the ", "none ")) else text


def _is(some: Sequence[Contender]) -> str:
    return "is" if len(some) == 1 else "are"


def _gap(value: float) -> str:
    """A difference in prose: never 0.00 when it isn't."""
    return brief(value) if value >= 0.01 or value == 0 else score(value, 3) if value >= 0.001 else "less than 0.001"


_BUDGET = ("train.epochs", "train.minutes", "train.repeats", "data.size", "train.early_stop")
_REMARKS = (_few_images, _groups, _seeds, _cheaper, _failed, _unlike, _machines, _still_improving, _undefined, _unscored_images)
