"""What was compared and how: the settings that differ, data, budget, command and machine as terms and descriptions."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from typing import Any

from maskwright.config.files import to_yaml
from maskwright.errors import listed
from maskwright.reports import origin
from maskwright.reports.comparison_facts import ComparisonFacts, of_run
from maskwright.reports.facts import Facts
from maskwright.reports.origin import Terms
from maskwright.reports.wording import DASH, counted, duration

_NOT_SETTINGS = ("train.seed", "log", "data.root", "train.workers", "data.cache")
COMMANDS = 12


@dataclass(frozen=True)
class Settings:
    """The keys that differ, and each contender's values in the same order."""

    keys: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def varied(facts: ComparisonFacts) -> tuple[str, ...]:
    """The matrix's keys, in its order."""
    return tuple(dict.fromkeys(key for one in facts.contenders for key in one.entry.settings))


def differing(facts: ComparisonFacts) -> tuple[str, ...]:
    """The keys of the resolved configuration that differ between entries, or between the seeds of one."""
    trees = [_flat(config.model_dump(mode="json")) for configs in facts.configs for config in configs]
    keys = dict.fromkeys(key for tree in trees for key in tree)
    return tuple(key for key in keys if key not in _NOT_SETTINGS and len({_told(tree.get(key)) for tree in trees}) > 1)


def settings(facts: ComparisonFacts) -> Settings:
    """What differs in the resolved configurations; of seeds that differ, all values."""
    keys = differing(facts)
    rows = []
    for configs in facts.configs:
        trees = [_flat(config.model_dump(mode="json")) for config in configs]
        rows.append(tuple(", ".join(dict.fromkeys(_told(tree.get(key)) for tree in trees)) for key in keys))
    return Settings(keys, tuple(rows))


def compared_terms(facts: ComparisonFacts) -> Terms:
    """Split, budget and seeds."""
    comparison = facts.comparison
    configs = [config for configs in facts.configs for config in configs]
    seeds = sorted({config.train.seed for config in configs})
    epochs = sorted({len(history) for histories in facts.histories for history in histories})
    total = sum(row["seconds"] for histories in facts.histories for history in histories for row in history)
    num_failed = len(comparison.failures)
    failed = f", {num_failed} failed" if num_failed else ""
    terms = [("Models", f"{len(facts.contenders)} from {counted(len(configs), 'run')}{failed}")]
    if varied(facts):
        terms.append(("Varied", listed([*varied(facts), *(["train.seed"] if len(seeds) > 1 else [])], limit=12)))
    if seeds:
        terms.append(("Seed" if len(seeds) == 1 else "Seeds", listed(seeds, limit=12)))
    terms.append(("Scored on", f"{counted(facts.num_images, 'image')} of the {comparison.split} split, the same for all"))
    if epochs:
        terms.append(("Budget", _budget(configs, epochs)))
    if math.isfinite(total):
        terms.append(("Training", f"{duration(total)} in all"))
    return terms


def _budget(configs: list[Any], epochs: list[int]) -> str:
    each = f"{counted(epochs[0], 'epoch')} each" if len(epochs) == 1 else f"{epochs[0]} to {epochs[-1]} epochs"
    budgets = {config.train.budget for config in configs}
    return f"{budgets.pop()} each" if len(budgets) == 1 and None not in budgets else each


def groups_of_terms(facts: ComparisonFacts) -> list[tuple[str, Terms]]:
    """Comparison, data and machine; what a run can't tell is left out."""
    found = [("Comparison", compared_terms(facts))]
    if facts.contenders:
        first = _first_run(facts)
        found += [(title, terms) for title, read in (("Data", origin.data_terms), ("Machine", origin.machine_terms))
                  if first and (terms := read(first))]  # fmt: skip
    return found


def commands(facts: ComparisonFacts) -> list[str]:
    """The command of the comparison, else those of its runs, as they can be typed again."""
    if facts.comparison.root and (facts.comparison.root / "environment.json").is_file() and facts.environment:
        return [shlex.join(facts.environment["command"])]
    runs = [run for one in facts.contenders for run in one.entry.runs]
    found = [shlex.join(environment["command"]) for run in runs if (environment := of_run(lambda run: run.environment, run))]
    return list(dict.fromkeys(found))


def processors(facts: ComparisonFacts) -> list[str]:
    """The machines the runs were trained on."""
    runs = [run for one in facts.contenders for run in one.entry.runs]
    found = [environment["machine"]["processor"] for run in runs if (environment := of_run(lambda run: run.environment, run))]
    return list(dict.fromkeys(found))


def configuration(facts: ComparisonFacts) -> tuple[str, str] | None:
    """The first model's name and its whole configuration."""
    return (facts.contenders[0].name, to_yaml(facts.configs[0][0])) if facts.contenders else None


def _first_run(facts: ComparisonFacts) -> Facts | None:
    """A run that can tell of data and machine."""
    one = facts.contenders[0]
    run, split = one.entry.runs[0], facts.comparison.split
    document = of_run(lambda run: run.data, run)
    if document is None or facts.environment is None:
        return None
    evaluation = {"classes": facts.comparison.classes}
    return Facts(run.name, split, split, facts.configs[0][0], document, facts.environment, facts.histories[0][0],
                 evaluation, one.entry.counts[0])  # fmt: skip


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def _told(value: Any) -> str:
    """A value in a cell."""
    if value is None:
        return DASH
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return " + ".join(_step(item) for item in value) or "none"
    return str(value)


def _step(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)
    weight = item.get("weight", 1)
    return str(item.get("name", item)) if weight in (1, None) else f"{weight:g} × {item.get('name', item)}"
