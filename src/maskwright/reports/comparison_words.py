"""The words of a comparison's page: verdict and remarks as every table has them, and what only the runs' files know."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from maskwright.config.base import best_index
from maskwright.errors import counted, listed
from maskwright.reports.comparison_facts import ComparisonFacts, Contender, of_run
from maskwright.reports.pages import PERCENT, SPLIT_WORDS, brief
from maskwright.reports.plots import finite
from maskwright.terminal import DASH, score

FEW_IMAGES = 10  # below this an interval rests on little
NAMED = 3  # more names in a sentence are counted instead
CHEAPER = 0.5  # of the parameters: worth a remark when the score can't be told apart
STILL = 0.05  # of the epochs: a best epoch among the last ones
_NOT_SETTINGS = ("train.seed", "log", "data.root", "train.workers", "data.cache")


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
    if best is None or not 2 <= facts.num_units < FEW_IMAGES:
        return None
    low, high = best.interval
    wide = f": the interval of {best.shown} is {brief(high - low)} wide" if math.isfinite(high - low) else ""
    kind = "images" if facts.num_units == facts.num_images else "groups of images"
    more = f"More {SPLIT_WORDS[facts.comparison.split]} images would tell more apart."
    return f"{facts.num_units} {kind} are few{wide}. {more}"


def _groups(facts: ComparisonFacts) -> str | None:
    if facts.num_units == facts.num_images:
        return None
    groups = f"The {facts.num_images} images belong to {counted(facts.num_units, 'group')}"
    return f"{groups}; whole groups are resampled, as images of one group are no independent witnesses."


def _chance_of_seeds(facts: ComparisonFacts) -> str | None:
    """Whether chance in training could reorder the table."""
    wide = max(facts.contenders, key=_range)
    second = next((one for one in facts.contenders if one.standing.verdict != "best"), None)
    if second is None or not _range(wide) > abs(second.standing.difference):
        return None
    apart = _range(wide)
    gap = brief(apart) if apart >= 0.01 else score(apart) if apart >= 0.001 else "less than 0.001"
    return (
        f"The seeds of {wide.shown} lie {gap} apart, further than the first two models: "
        "chance in training alone could change their order."
    )


def _range(contender: Contender) -> float:
    known = finite(contender.seeds)
    return max(known) - min(known) if len(known) > 1 else 0.0


def _cheaper(facts: ComparisonFacts) -> str | None:
    """A tie at half the size or less."""
    best, ties = facts.best, [one for one in facts.contenders if one.standing.verdict == "tie"]
    if best is None or not ties:
        return None
    small = min(ties, key=lambda one: one.entry.cost.parameters)
    ours, theirs = small.entry.cost.parameters, best.entry.cost.parameters
    if not 0 < ours <= CHEAPER * theirs:
        return None
    times = f"{theirs / ours:.{0 if theirs >= 3 * ours else 1}f} times"
    return f"{small.shown} has {times} fewer parameters than {best.shown} and can't be told apart from it."


def _failed(facts: ComparisonFacts) -> str | None:
    num = len(facts.comparison.failures)
    text = f"{counted(num, 'cell')} failed and {'is' if num == 1 else 'are'} not in the table; the reason is below."
    return text if num else None


def _machines(facts: ComparisonFacts) -> str | None:
    num = len({environment["machine"]["processor"] for environment in _environments(facts)})
    return f"The runs were made on {num} kinds of processor: times can't be compared." if num > 1 else None


def _environments(facts: ComparisonFacts) -> list[Mapping[str, Any]]:
    return [found for run in facts.runs() if (found := of_run(lambda run: run.environment, run))]


def _still_improving(facts: ComparisonFacts) -> str | None:
    """Models that were best at the end and are not overfitted: those longer training would only spoil."""
    late = [one for one, configs, histories in zip(facts.contenders, facts.configs, facts.histories, strict=True)
            if one.name not in facts.overfitted and _is_late(histories, configs[0].train.monitor)]  # fmt: skip
    if not late:
        return None
    whose = f"{len(late)} models" if len(late) > NAMED else listed([one.shown for one in late])
    whose = "All models" if len(late) == len(facts.contenders) > 1 else whose
    were, their = ("was", "its") if len(late) == 1 else ("were", "their")
    return f"{whose} {were} at {their} best when training ended: longer training may change the order."


def _is_late(histories: Sequence[Sequence[Any]], monitor: str) -> bool:
    """Whether most of a model's runs had their best epoch among the last ones."""
    late = 0
    for history in histories:
        best = best_index([row[monitor] for row in history], monitor)
        late += best is not None and len(history) > 1 and best >= len(history) - max(1, int(STILL * len(history)))
    return 2 * late > len(histories)


def _unscored_images(facts: ComparisonFacts) -> str | None:
    num = sum(math.isnan(value) for value in facts.contenders[0].image_scores())
    return (
        f"{counted(num, 'image')} {'has' if num == 1 else 'have'} no scored class in truth or prediction."
        if num
        else None
    )


_OF_IMAGES = (_few_images, _groups)
_OF_RUNS = (_chance_of_seeds, _cheaper, _failed, _machines, _still_improving, _unscored_images)


def differing(facts: ComparisonFacts) -> dict[str, list[str]]:
    """Keys of the resolved configuration that differ between entries or seeds, each with the entries' values."""
    trees = [[_flat(config.model_dump(mode="json")) for config in configs] for configs in facts.configs]
    found = {}
    for key in dict.fromkeys(key for seeds in trees for tree in seeds for key in tree):
        values = [list(dict.fromkeys(_in_words(tree.get(key)) for tree in seeds)) for seeds in trees]
        if key not in _NOT_SETTINGS and len({value for seeds in values for value in seeds}) > 1:
            found[key] = [", ".join(seeds) for seeds in values]
    return found


def budget(facts: ComparisonFacts) -> str:
    """How long each run was trained: a time if all had the same, else epochs; empty without any."""
    epochs = sorted({len(history) for histories in facts.histories for history in histories})
    budgets = {config.train.budget for configs in facts.configs for config in configs}
    if not epochs:
        return ""
    if len(budgets) == 1 and None not in budgets:
        return f"{budgets.pop()} each"
    return f"{counted(epochs[0], 'epoch')} each" if len(epochs) == 1 else f"{epochs[0]} to {epochs[-1]} epochs"


def commands(facts: ComparisonFacts) -> list[str]:
    """The command of the comparison, else those of its runs, as they can be typed again."""
    if facts.comparison.root and (facts.comparison.root / "environment.json").is_file() and facts.environment:
        return [shlex.join(facts.environment["command"])]
    return list(dict.fromkeys(shlex.join(environment["command"]) for environment in _environments(facts)))


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def _in_words(value: Any) -> str:
    """A value in a cell."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return " + ".join(map(_step, value)) or "none"
    return DASH if value is None else str(value)


def _step(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)
    weight = item.get("weight", 1)
    return str(item.get("name", item)) if weight in (1, None) else f"{weight:g} × {item.get('name', item)}"
