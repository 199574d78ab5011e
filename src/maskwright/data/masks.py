"""From the values in mask files to class numbers: what each value means.

The meaning is decided once over all masks (`decide_classes`), kept in the run, and never guessed
anew: a value that has no meaning stops with the files that hold it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from maskwright.config.data import DataConfig, MaskValue, ignored_values, is_colour, parse_value
from maskwright.data.dataset import IGNORE, ClassMap, Listing
from maskwright.errors import DataError, as_typed, is_text, listed

Key = TypeVar("Key")
_MAX_CLASSES = IGNORE


def decide_classes(config: DataConfig, listing: Listing, values: Mapping[str, Mapping[int, int]]) -> ClassMap:
    """What each mask value means: as configured, as the folder says, or as the values themselves show.

    `values` holds, for each mask's name, how many pixels have each value.
    """
    total = summed(values.values())
    colours = uses_colours(config, listing)
    configured = ignored_values(config, colours)
    ignored = tuple(dict.fromkeys([*configured, *listing.ignore]))
    if config.foreground_from is not None:
        return _from_threshold(config, listing.classes, config.foreground_from)
    named = named_classes(config, listing)
    if named is not None:
        source = "data.classes" if config.classes is not None else listing.classes_from
        classes = _from_names(named, ignored, source, total, colours)
    elif listing.usual_classes is not None and _fits(listing.usual_classes, total, ignored):
        usual = {name: value for name, value in listing.usual_classes.items() if value in total or name != "background"}
        classes = _from_names(usual, ignored, listing.classes_from, total)
    else:
        classes = _from_values(total, ignored, values, configured)
    validate_mask_values(classes, values)
    if odd := [ascii(name)[1:-1] for name in classes.names if not is_text(name)]:
        raise DataError(f"names of classes must be text that can be written; got {listed(odd)}. Rename them.")
    return classes


def summed(counts: Iterable[Mapping[Key, int]]) -> Counter[Key]:
    """What several masks count, together."""
    total: Counter[Key] = Counter()
    for one in counts:
        total.update(one)
    return total


def _fits(named: Mapping[str, int], total: Counter[int], ignored: tuple[int, ...]) -> bool:
    """Whether masks hold these values and no others; 0 and 1 alone are background and foreground to anybody."""
    found = set(total) - set(ignored)
    return found <= set(named.values()) and not found <= {0, 1}


def uses_colours(config: DataConfig, listing: Listing) -> bool:
    """Whether classes are told apart by colours: as configured, else as the folder says."""
    if config.classes is None:
        return listing.colours
    coloured = {is_colour(value) for value in named_values(config.classes).values()}
    if len(coloured) > 1:
        raise DataError("`data.classes` must give every class a number or every class a colour; got both. Choose one.")
    return coloured == {True}


def named_values(classes: Sequence[str] | Mapping[str, MaskValue]) -> dict[str, MaskValue]:
    """Names alone stand for 0, 1, 2, …"""
    return dict(classes) if isinstance(classes, Mapping) else {name: value for value, name in enumerate(classes)}


def named_classes(config: DataConfig, listing: Listing) -> dict[str, int] | None:
    """Name → value of the classes, where the configuration or the folder tells them."""
    if config.classes is not None:
        return {name: parse_value(value) for name, value in named_values(config.classes).items()}
    return dict(listing.classes) if listing.classes is not None else None


def known_values(config: DataConfig, listing: Listing) -> set[int]:
    """Values of the named classes and those that are ignored."""
    ignored = ignored_values(config, uses_colours(config, listing))
    return {*(named_classes(config, listing) or {}).values(), *ignored, *listing.ignore}


def validate_mask_values(classes: ClassMap, values: Mapping[str, Mapping[int, int]]) -> None:
    """Stop with the files whose masks hold a value that means nothing."""
    if classes.foreground_from is not None:
        return
    known = {*classes.values, *classes.ignore_values}
    odd = {name: {v: n for v, n in found.items() if v not in known} for name, found in values.items()}
    odd = {name: found for name, found in odd.items() if found}
    if not odd:
        return
    pixels = sum(sum(found.values()) for found in odd.values())
    detail = [f"{name} ({listed(map(classes.format_value, sorted(found)), 'and', 4)})" for name, found in odd.items()]
    meaning = ", ".join(
        f"{classes.format_value(value)} = {name}" for name, value in zip(classes.names, classes.values, strict=True)
    )
    ignoring = (
        f", {listed(map(classes.format_value, classes.ignore_values))} = ignored" if classes.ignore_values else ""
    )
    raise DataError(
        f"mask values must be known ({meaning}{ignoring}); {len(odd)} masks hold others, {pixels} pixels in all: "
        f"{listed(detail, 'and', 4)}. {_fix(classes, odd)}"
    )


def labels_of(classes: ClassMap, values: Sequence[int]) -> np.ndarray:
    """The class number each raw value stands for, or IGNORE: for nodata and for values without a meaning. → uint8

    >>> labels_of(ClassMap(("a", "b"), (0, 255)), [0, 255]).tolist()
    [0, 1]
    """
    if classes.foreground_from is not None:
        return np.array([IGNORE if value < 0 else int(value >= classes.foreground_from) for value in values], np.uint8)
    meaning = dict.fromkeys(classes.ignore_values, IGNORE) | {
        value: index for index, value in enumerate(classes.values)
    }
    return np.array([meaning.get(value, IGNORE) for value in values], np.uint8)


def pixels_of_labels(classes: ClassMap, values: Mapping[int, int]) -> dict[int, int]:
    """Pixels of each class number (IGNORE among them), from those of each value."""
    found: dict[int, int] = {}
    for value, label in zip(values, labels_of(classes, list(values)).tolist(), strict=True):
        found[label] = found.get(label, 0) + values[value]
    return found


def _from_threshold(config: DataConfig, named: Mapping[str, int] | None, threshold: int) -> ClassMap:
    names = config.classes if config.classes is not None else named
    labels = tuple(names) if names is not None else ("background", "foreground")
    if len(labels) != 2:
        fix = "Leave out --data.foreground_from, or name background and foreground only."
        raise DataError(
            f"`data.classes` must name two classes when data.foreground_from is set; got {len(labels)}. {fix}"
        )
    return ClassMap(labels, (0, threshold), (), threshold, f"values from {threshold} up are {labels[1]}, as configured")


def _from_names(
    named: Mapping[str, int], ignored: tuple[int, ...], source: str, total: Counter[int], colours: bool = False
) -> ClassMap:
    values = list(named.values())
    detail = ClassMap((), (), colours=colours).format_value
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        twice = [detail(value) for value in twice]
        raise DataError(f"`{source}` must give each class its own value; {listed(twice)} stands twice. Renumber them.")
    if not 2 <= len(values) <= _MAX_CLASSES:
        raise DataError(f"`{source}` must name 2 to {_MAX_CLASSES} classes; got {len(values)}. Name background too.")
    if not set(values) & set(total):
        found = listed(map(detail, sorted(total)), "and", 8)
        raise DataError(
            f"`{source}` must fit the masks; none of its values ({listed(map(detail, values))}) occurs in them "
            f"({found}). Fix it."
        )
    spare = tuple(value for value in ignored if value not in values)
    return ClassMap(tuple(named), tuple(values), spare, None, f"as in {source}", colours)


def _from_values(
    total: Counter[int], ignored: tuple[int, ...], values: Mapping[str, Mapping[int, int]], configured: tuple[int, ...]
) -> ClassMap:
    """Without names. What a person says is ignored always is; a format's void (a raster's nodata 0) may be a class."""
    found = set(total)
    if found <= {0, 1} | set(ignored) and 1 in found and not {0, 1} & set(configured):
        return ClassMap(
            ("background", "foreground"), (0, 1), tuple(v for v in ignored if v > 1), None, "masks hold 0 and 1"
        )
    if found <= {0, 255} and 255 in found and (configured == (IGNORE,) or not {0, 255} & set(configured)):
        return ClassMap(("background", "foreground"), (0, 255), (), None, "masks hold 0 and 255")
    if looks_like_a_ramp(total):
        validate_mask_values(ClassMap(("background", "foreground"), (0, 255)), values)
    ignored = tuple(value for value in ignored if value in configured or value > max(found - set(ignored), default=0))
    labels = found - set(ignored)
    largest = max(labels, default=0)
    if largest == 0:
        only = listed(sorted(labels or found)) or "what is ignored"
        beside = f" beside the ignored {listed(sorted(found - labels))}" if labels and found - labels else ""
        detail = f"all {len(values)} of them hold only {only}{beside}"
        raise DataError(f"masks must hold at least two classes; {detail}. Check the folder of masks.")
    if largest >= _MAX_CLASSES or largest + 1 > 4 * len(labels) + 4:
        fix = "Say which class each of them is with --data.classes."
        raise DataError(f"mask values must be class numbers 0, 1, 2, …; got {listed(sorted(labels), 'and', 12)}. {fix}")
    numbers = tuple(value for value in range(largest + 1) if value not in ignored)
    if len(numbers) < 2:
        raise DataError(
            f"masks must hold at least two classes; they hold only {listed(numbers)} beside the ignored "
            f"{listed(ignored)}. Name another --data.ignore_index, or none."
        )
    names = tuple(f"class_{value}" for value in numbers)
    return ClassMap(names, numbers, ignored, None, f"masks hold values {numbers[0]} to {largest}")


def looks_like_a_ramp(total: Counter[int]) -> bool:
    """Mostly 0 and 255 with a few greys between: smoothed or JPEG-compressed 0/255 masks."""
    ends = sum(n for value, n in total.items() if value < 16 or value > 239)
    high = any(127 < value < 255 for value in total)  # class numbers beside an ignored 255 have none
    return high and total[255] > 0 and ends > 0.97 * sum(total.values()) and total[0] + total[255] > 0.5 * ends


def _fix(classes: ClassMap, odd: Mapping[str, Mapping[int, int]]) -> str:
    others: Sequence[int] = sorted({value for found in odd.values() for value in found})
    if classes.values == (0, 255) and len(others) > 2:
        return "They look smoothed; to read values from 128 up as foreground add --data.foreground_from 128."
    if len(others) == 1:
        value = as_typed(classes.format_value(others[0]))
        return f"If it marks unlabelled pixels add --data.ignore_index {value}, else name it in data.classes."
    return "Name them in data.classes, or fix the masks."
