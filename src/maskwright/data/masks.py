"""From the values in mask files to class numbers: what the values mean, and the look-up that applies it.

The meaning is settled once over all masks (`decide_classes`), kept in the run, and never guessed
anew: a value that has no meaning stops with the files that hold it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from maskwright.config import DataConfig
from maskwright.data.dataset import IGNORE, ClassMap
from maskwright.errors import DataError, listed

_MAX_CLASSES = IGNORE
_UNKNOWN = 65535  # in a look-up table: a value with no meaning


def count_values(raw: np.ndarray) -> dict[int, int]:
    """How many pixels have each raw value."""
    counts = np.bincount(raw.ravel())
    return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}


def decide_classes(config: DataConfig, named: dict[str, int] | None, values: Mapping[str, Mapping[int, int]]) -> ClassMap:
    """What each mask value means: as configured, as the folder says, or as the values themselves show.

    `values` holds, for each mask's name, how many pixels have each value.
    """
    total: Counter[int] = Counter()
    for found in values.values():
        total.update(found)
    ignored = () if config.ignore_index is None else (config.ignore_index,)
    if config.foreground_from is not None:
        return _from_threshold(config, named, config.foreground_from)
    if config.classes is not None:
        named = config.classes if isinstance(config.classes, dict) else {name: v for v, name in enumerate(config.classes)}
        classes = _from_names(named, ignored, "data.classes", total)
    elif named is not None:
        classes = _from_names(named, ignored, "classes.yaml", total)
    else:
        classes = _from_values(total, ignored, values)
    refuse_unknown_values(classes, values)
    return classes


def refuse_unknown_values(classes: ClassMap, values: Mapping[str, Mapping[int, int]]) -> None:
    """Stop with the files whose masks hold a value that means nothing."""
    if classes.foreground_from is not None:
        return
    known = {*classes.values, *classes.ignore_values}
    odd = {name: {v: n for v, n in found.items() if v not in known} for name, found in values.items()}
    odd = {name: found for name, found in odd.items() if found}
    if not odd:
        return
    pixels = sum(sum(found.values()) for found in odd.values())
    told = [f"{name} ({listed(sorted(found), 'and', 4)})" for name, found in odd.items()]
    meaning = ", ".join(f"{value} = {name}" for name, value in zip(classes.names, classes.values, strict=True))
    ignoring = f", {listed(classes.ignore_values)} = ignored" if classes.ignore_values else ""
    raise DataError(
        f"mask values must be known ({meaning}{ignoring}); {len(odd)} masks hold others, {pixels} pixels in all: "
        f"{listed(told, 'and', 4)}. {_fix(classes, odd)}"
    )


def lookup_table(classes: ClassMap, largest: int) -> np.ndarray:
    """Raw value → class number or IGNORE, for values 0 … largest."""
    table = np.full(max(largest, 255) + 1, _UNKNOWN, np.uint16)
    if classes.foreground_from is not None:
        table[: classes.foreground_from] = 0
        table[classes.foreground_from :] = 1
    for value in classes.ignore_values:
        table[value : value + 1] = IGNORE
    for index, value in enumerate(classes.values if classes.foreground_from is None else ()):
        table[value : value + 1] = index
    return table


def apply_classes(raw: np.ndarray, classes: ClassMap) -> np.ndarray:
    """Raw mask values → class numbers as uint8."""
    table = lookup_table(classes, int(raw.max(initial=0)))
    labels = table[raw]
    assert (labels != _UNKNOWN).all(), "refuse_unknown_values must have run before"
    return labels.astype(np.uint8)


def _from_threshold(config: DataConfig, named: dict[str, int] | None, threshold: int) -> ClassMap:
    names = config.classes if config.classes is not None else named
    labels = tuple(names) if names is not None else ("background", "foreground")
    if len(labels) != 2:
        fix = "Leave out --data.foreground_from, or name background and foreground only."
        raise DataError(f"`data.classes` must name two classes when data.foreground_from is set; got {len(labels)}. {fix}")
    return ClassMap(labels, (0, threshold), (), threshold, f"values from {threshold} up are {labels[1]}, as configured")


def _from_names(named: Mapping[str, int], ignored: tuple[int, ...], source: str, total: Counter[int]) -> ClassMap:
    values = list(named.values())
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise DataError(f"`{source}` must give each class its own value; {listed(twice)} stands twice. Renumber them.")
    if not 2 <= len(values) <= _MAX_CLASSES:
        raise DataError(f"`{source}` must name 2 to {_MAX_CLASSES} classes; got {len(values)}. Name background too.")
    if not set(values) & set(total):
        found = listed(sorted(total), "and", 8)
        raise DataError(
            f"`{source}` must fit the masks; none of its values ({listed(values)}) occurs in them ({found}). Mend it."
        )
    return ClassMap(
        tuple(named), tuple(values), tuple(value for value in ignored if value not in values), None, f"as in {source}"
    )


def _from_values(total: Counter[int], ignored: tuple[int, ...], values: Mapping[str, Mapping[int, int]]) -> ClassMap:
    found = set(total)
    if found <= {0, 1} | set(ignored) and 1 in found:
        return ClassMap(("background", "foreground"), (0, 1), tuple(v for v in ignored if v > 1), None, "masks hold 0 and 1")
    if found <= {0, 255} and 255 in found:
        return ClassMap(("background", "foreground"), (0, 255), (), None, "masks hold 0 and 255")
    if _looks_like_a_ramp(total):
        refuse_unknown_values(ClassMap(("background", "foreground"), (0, 255)), values)
    labels = found - set(ignored)
    largest = max(labels, default=0)
    if largest == 0:
        only = listed(sorted(found))
        raise DataError(
            f"masks must hold at least two classes; all {len(values)} of them hold only {only}. Check the folder of masks."
        )
    if largest >= _MAX_CLASSES or largest + 1 > 4 * len(labels) + 4:
        fix = "Say what they mean: --data.classes '{background: 0, name: value}'."
        raise DataError(f"mask values must be class numbers 0, 1, 2, …; got {listed(sorted(labels), 'and', 12)}. {fix}")
    names = tuple(f"class_{value}" for value in range(largest + 1))
    reason = f"masks hold values 0 to {largest}"
    return ClassMap(names, tuple(range(largest + 1)), tuple(v for v in ignored if v > largest), None, reason)


def _looks_like_a_ramp(total: Counter[int]) -> bool:
    """Mostly 0 and 255 with a few greys between: smoothed or JPEG-compressed 0/255 masks."""
    ends = sum(n for value, n in total.items() if value < 16 or value > 239)
    high = any(127 < value < 255 for value in total)  # class numbers beside an ignored 255 have none
    return high and total[255] > 0 and ends > 0.97 * sum(total.values()) and total[0] + total[255] > 0.5 * ends


def _fix(classes: ClassMap, odd: Mapping[str, Mapping[int, int]]) -> str:
    others: Sequence[int] = sorted({value for found in odd.values() for value in found})
    if classes.values == (0, 255) and len(others) > 2:
        return "They look smoothed; to read values from 128 up as foreground add --data.foreground_from 128."
    if len(others) == 1:
        return f"If {others[0]} marks unlabelled pixels add --data.ignore_index {others[0]}, else name it in data.classes."
    return "Name them in data.classes, or mend the masks."
