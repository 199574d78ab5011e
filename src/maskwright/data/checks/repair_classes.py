"""What the numbers in a repaired copy mean: the repairs' own class numbers, and every other value as the class map has it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from maskwright.config.data import DataConfig, ignored_values
from maskwright.data.checks.findings import Audit, Finding
from maskwright.data.dataset import IGNORE, ClassMap, Listing
from maskwright.data.masks import decide_classes, labels_of, named_classes, named_values, uses_colours
from maskwright.errors import DataError, listed

OF_MEANING = frozenset(
    {"unknown-values", "unclear-classes", "void-after-last", "off-by-one", "smoothed", "lossy-masks", "colour-masks", "one-class"}
)
_GENERIC = re.compile(r"class_\d+")


def can_be_left(finding: Finding) -> bool:
    """Whether masks can be written anew while a finding stays as it is: not while nobody can say what their values mean.

    Nor can what is unreadable be written at all.
    """
    if finding.code == "unreadable":
        return False
    values = finding.proposal is not None and finding.proposal.op == "remap" and finding.code == "unknown-values"
    return finding.severity != "error" or finding.code not in OF_MEANING or values


@dataclass(frozen=True)
class Meaning:
    """names: the classes of the copy, in the order of their numbers; empty where nobody can say.

    table: what values no repair speaks of become; source: what they meant, where that is known.
    """

    names: tuple[str, ...]
    table: dict[int, int]
    source: ClassMap | None


@dataclass(frozen=True)
class Seen:
    """What all masks hold: values no repair speaks of, the class numbers repairs give, and files by value."""

    plain: Counter[int]
    labels: Counter[int]
    files: Mapping[int, Sequence[str]]


def settle_meaning(
    seen: Seen, audit: Audit, config: DataConfig, listing: Listing, told: Sequence[str], leave: Collection[str]
) -> Meaning:
    """Decide what every value becomes. `told` are the names a repair gave; `leave` the findings left as they are."""
    source = _class_map(seen, audit, config, listing)
    table = _known(source, seen.plain)
    strange = sorted(set(seen.plain) - set(table))
    numbers = {*seen.labels, *table.values()} - {IGNORE}
    if not strange:
        return Meaning(_names(max(numbers, default=0) + 1, source, audit, config, told), table, source)
    if not set(leave) & OF_MEANING:
        raise DataError(_unknown(strange, seen, source))
    taken = numbers | (set(range(source.num_classes)) if source else set())
    clash = [value for value in strange if value in taken or value >= IGNORE]
    if clash:
        fix = "Say what they mean with --data.classes, or let them be repaired."
        raise DataError(
            f"values that are left as they are must not look like class numbers in the copy; {listed(clash)} would. {fix}"
        )
    table |= {value: value for value in strange}
    names = _names(max(numbers, default=0) + 1, source, audit, config, told) if source or seen.labels else ()
    return Meaning(names, table, source)


def numbers_of_named(config: DataConfig, listing: Listing) -> dict[int, int]:
    """The class number of each value that has a name, in the order of the names; empty where values have none."""
    if config.foreground_from is not None or uses_colours(config, listing):
        return {}
    return {value: number for number, value in enumerate((named_classes(config, listing) or {}).values())}


def _class_map(seen: Seen, audit: Audit, config: DataConfig, listing: Listing) -> ClassMap | None:
    """What values mean by the configuration, the folder, the audit, or themselves."""
    if config.foreground_from is not None:
        return decide_classes(config, listing, {})
    named = named_classes(config, listing)
    if named is not None:
        colours = uses_colours(config, listing)
        ignored = [*ignored_values(config, colours), *listing.ignore]
        spare = tuple(value for value in ignored if value not in named.values())
        return ClassMap(tuple(named), tuple(named.values()), spare, None, "as named", colours)
    if not seen.plain or (audit.class_map is not None and set(_known(audit.class_map, seen.plain)) == set(seen.plain)):
        return audit.class_map
    others = Counter({value: count for value, count in seen.labels.items() if value != IGNORE})
    for values in (seen.plain, seen.plain + others):
        try:
            return decide_classes(config, listing, {"masks": values})
        except DataError:
            continue
    return None


def _known(source: ClassMap | None, values: Collection[int]) -> dict[int, int]:
    """The class number of each value that has one, and IGNORE for those that mean nothing."""
    if source is None:
        return {}
    if source.foreground_from is None:
        values = [value for value in values if value in source.values or value in source.ignore_values]
    values = list(values)
    return dict(zip(values, labels_of(source, values).tolist(), strict=True))


def _names(number: int, source: ClassMap | None, audit: Audit, config: DataConfig, told: Sequence[str]) -> tuple[str, ...]:
    """Names for the classes, those a person gave first; names made of numbers only for classes that occur."""
    given: list[str] = [*named_values(config.classes)] if config.classes is not None else list(told)
    if not given and source is not None:
        given = list(source.names)
    if not given:
        given = list(audit.classes) if len(audit.classes) == number else ["background", "foreground"] if number <= 2 else []
    while len(given) > max(2, number) and _GENERIC.fullmatch(given[-1]):
        given.pop()
    return (*given, *(f"class_{index}" for index in range(len(given), number)))


def _unknown(strange: Sequence[int], seen: Seen, source: ClassMap | None) -> str:
    write = source.told if source else str
    files = list(dict.fromkeys(name for value in strange for name in seen.files[value]))
    fix = "Say what they mean with --data.classes, or leave them as they are with --leave unknown-values."
    return (
        f"mask values must be known before masks are written anew; no finding and no class explains "
        f"{listed(map(write, strange), 'and', 8)} in {listed(files)}. {fix}"
    )
