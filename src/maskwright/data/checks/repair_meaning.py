"""What the numbers in a repaired copy mean: what its repairs say, and of every other value what the class map says.

    meaning = decide_meaning(audit, config, listing, plan, leave, values)
    meaning.names, meaning.table[255]        # ("background", "foreground"), 1

It is decided once over all masks, before anything is written; a value nobody can explain stops the repair or is left.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from maskwright.config.data import DataConfig, ignored_values
from maskwright.data.checks.findings import Audit
from maskwright.data.checks.repair_plan import OF_MEANING, Plan
from maskwright.data.dataset import IGNORE, ClassMap, Listing
from maskwright.data.masks import decide_classes, labels_of, named_classes, named_values, uses_colours
from maskwright.errors import DataError, listed

_GENERIC = re.compile(r"class_\d+")


@dataclass(frozen=True)
class MaskValues:
    """What all masks hold when they are repaired.

    plain: pixels of each value no repair speaks of; files: the masks that hold it; labels: pixels of each class number
    that repairs give.
    """

    plain: Counter[int] = field(default_factory=Counter)
    files: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    labels: Counter[int] = field(default_factory=Counter)

    def add(self, mask: str, counts: Mapping[int, int], given: Mapping[int, int]) -> None:
        """One more mask: pixels of each of its values, and the class numbers that its repairs give to some of them."""
        for value, count in counts.items():
            if value in given:
                self.labels[given[value]] += count
            else:
                self.plain[value] += count
                self.files[value].append(mask)


@dataclass(frozen=True)
class Meaning:
    """names: the classes of the copy, in the order of their numbers; empty where nobody can say.

    table: what values no repair speaks of become; source: what they meant, where that is known.
    """

    names: tuple[str, ...] = ()
    table: dict[int, int] = field(default_factory=dict)
    source: ClassMap | None = None


def decide_meaning(
    audit: Audit, config: DataConfig, listing: Listing, plan: Plan, leave: Collection[str], values: MaskValues
) -> Meaning:
    """What each value becomes, and the names of the classes; stops at values that neither can be told nor left."""
    source = _class_map(audit, config, listing, values)
    table = _known(source, values.plain)
    strange = sorted(set(values.plain) - set(table))
    numbers = {*values.labels, *table.values()} - {IGNORE}
    names = _names(audit, config, plan, max(numbers, default=0) + 1, source)
    if not strange:
        return Meaning(names, table, source)
    if not set(leave) & OF_MEANING:
        shown = listed(map(source.format_value if source else str, strange), "and", 8)
        holding = listed(dict.fromkeys(name for value in strange for name in values.files[value]))
        raise DataError(
            "mask values must be known before masks are written anew; no finding and no class explains "
            f"{shown} in {holding}. Say what they mean with --data.classes, or leave them as they are with "
            "--leave unknown-values."
        )
    taken = numbers | (set(range(source.num_classes)) if source else set())
    clash = [value for value in strange if value in taken or value >= IGNORE]
    if clash:
        raise DataError(
            f"values that are left as they are must not look like class numbers in the copy; {listed(clash)} "
            "would. Say what they mean with --data.classes, or let them be repaired."
        )
    return Meaning(names if source or values.labels else (), table | {value: value for value in strange}, source)


def numbers_of_named(config: DataConfig, listing: Listing) -> dict[int, int]:
    """The class number of each value that has a name, in the order of the names; empty where values have none."""
    if config.foreground_from is not None or uses_colours(config, listing):
        return {}
    return {value: number for number, value in enumerate((named_classes(config, listing) or {}).values())}


def _class_map(audit: Audit, config: DataConfig, listing: Listing, values: MaskValues) -> ClassMap | None:
    """What values mean by the configuration, the folder, the audit, or themselves."""
    audited, plain = audit.class_map, values.plain
    if config.foreground_from is not None:
        return decide_classes(config, listing, {})
    named = named_classes(config, listing)
    if named is not None:
        colours = uses_colours(config, listing)
        ignored = [*ignored_values(config, colours), *listing.ignore]
        spare = tuple(value for value in ignored if value not in named.values())
        return ClassMap(tuple(named), tuple(named.values()), spare, None, "as named", colours)
    if not plain or (audited is not None and set(_known(audited, plain)) == set(plain)):
        return audited
    others = Counter({value: count for value, count in values.labels.items() if value != IGNORE})
    for found in (plain, plain + others):
        try:
            return decide_classes(config, listing, {"masks": found})
        except DataError:
            continue
    return None


def _names(audit: Audit, config: DataConfig, plan: Plan, number: int, source: ClassMap | None) -> tuple[str, ...]:
    """Names for the classes, those a person gave first; names made of numbers only for classes that occur."""
    proposed = (step.values["names"] for steps in plan.steps.values() for step in steps if step.values.get("names"))
    given = list(named_values(config.classes)) if config.classes is not None else list(next(proposed, ()))
    if not given and source is not None:
        given = list(source.names)
    if not given:
        few = ["background", "foreground"] if number <= 2 else []
        given = list(audit.classes) if len(audit.classes) == number else few
    while len(given) > max(2, number) and _GENERIC.fullmatch(given[-1]):
        given.pop()
    return (*given, *(f"class_{index}" for index in range(len(given), number)))


def _known(source: ClassMap | None, values: Collection[int]) -> dict[int, int]:
    """The class number of each value that has one, and IGNORE for those that mean nothing."""
    if source is None:
        return {}
    known = list(values)
    if source.foreground_from is None:
        known = [value for value in values if value in source.values or value in source.ignore_values]
    return dict(zip(known, labels_of(source, known).tolist(), strict=True))
