"""Rules on what mask values are: labels, greys, colours, palettes, and values that nobody named."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping

from maskwright.config.typed import as_yaml
from maskwright.data.checks.facts import PairFacts
from maskwright.data.checks.findings import Finding, Repair
from maskwright.data.checks.survey import Survey, mask_files
from maskwright.data.dataset import IGNORE
from maskwright.data.masks import looks_like_a_ramp
from maskwright.errors import counted, listed

_LEAST_COLOUR = 0.0005  # of the pixels; rarer colours are borders that JPEG or anti-aliasing mixed
_SHOWN_COLOURS = 12
_LEAST_GREYS = 4  # between black and white: fewer may be classes
_LOSSY = (".jpg", ".jpeg")
_ENDS = 0.8  # of the pixels are black or white


def colour_masks(survey: Survey) -> list[Finding]:
    """Pictures of colours as masks, and nothing that says which colour is which class."""
    found = survey.coloured
    if not found:
        return []
    total: Counter[int] = Counter()
    for facts in found:
        total.update(facts.values)
    pixels = max(1, sum(total.values()))
    clear = [value for value, count in total.most_common(IGNORE) if count >= _LEAST_COLOUR * pixels]
    rest = len(total) - len(clear)
    shown = ", ".join(f"#{value:06x} {total[value] / pixels:.1%}" for value in clear[:_SHOWN_COLOURS])
    hidden = f" and {len(clear) - _SHOWN_COLOURS} more" if len(clear) > _SHOWN_COLOURS else ""
    mixed = f"; {counted(rest, 'rarer colour')} between them look like smoothed borders" if rest else ""
    evidence = f"{counted(len(found), 'mask holds', 'masks hold')} {counted(len(clear), 'colour')}: {shown}{hidden}{mixed}."
    table = {f"#{value:06x}": label for label, value in enumerate(clear)}
    question = "Which class is each colour?"
    repair = Repair("colours", {"table": table, "names": [f"class_{label}" for label in range(len(table))]}, "", question)
    details = {"colours": {f"#{value:06x}": total[value] for value in clear}, "rarer": rest}
    return [Finding("colour-masks", mask_files(found), evidence, "error", repair, details)]


def smoothed(survey: Survey) -> list[Finding]:
    """Two-valued masks with greys between: saved as JPEG, or drawn or resized with soft borders."""
    tinted = [facts for facts in survey.valued if facts.grey_spread]
    if survey.has_colours or not (tinted or has_ramp(survey)):
        return []
    found = [facts for facts in survey.valued if facts.grey_spread or not set(facts.values) <= {0, 255}]
    odd = sum(count for value, count in survey.totals.items() if value not in (0, 255))
    between = sum(count for value, count in survey.totals.items() if 16 <= value <= 239)
    evidence = (
        f"{len(found)} of {counted(len(survey.valued), 'mask')} hold greys beside 0 and 255: {len(survey.totals)} values in all, "
        f"{survey.share(odd):.1%} of the pixels, {survey.share(between):.2%} plainly between black and white."
    )
    asked = "Are they masks of two classes? If so say --data.foreground_from 128; if not, make them anew as PNG."
    question = "" if has_ramp(survey) else asked  # several classes cut in two would be lost
    told = "values from 128 up become foreground, the others background"
    instead = "" if question else "have them read so, without a copy: --data.foreground_from 128"
    repair = Repair("threshold", {"at": 128}, told, question, instead)
    details = {"values": len(survey.totals), "pixels": odd, "between": between}
    return [Finding("smoothed", mask_files(found), evidence, "error", repair, details)]


def lossy_masks(survey: Survey) -> list[Finding]:
    """JPEG changes values: masks of class numbers kept in it hold numbers that nobody drew."""
    if survey.named is not None or survey.has_colours or survey.config.foreground_from is not None or smoothed(survey):
        return []
    found = [facts for facts in survey.valued if facts.mask_file.lower().endswith(_LOSSY) and len(facts.values) > 2]
    if not found:
        return []
    total: Counter[int] = Counter()
    for facts in found:
        total.update(facts.values)
    common = [value for value, count in total.most_common(4) if count >= _LEAST_COLOUR * sum(total.values())]
    evidence = (
        f"{counted(len(found), 'mask is', 'masks are')} JPEG and hold {len(total)} values in all, most often {listed(common)}: "
        "JPEG changes values, so most of them are no labels."
    )
    question = "Can the masks be made anew as PNG? If they mean two classes say --data.foreground_from VALUE."
    repair = Repair("threshold", {"at": 128}, "", question)
    return [Finding("lossy-masks", mask_files(found), evidence, "error", repair, {"values": len(total)})]


def has_ramp(survey: Survey) -> bool:
    """Mostly 0 and 255 with greys between, where no names or thresholds explain them."""
    binary = survey.named is None or sorted(survey.named.values()) in ([0, 1], [0, 255])
    if not binary or survey.config.foreground_from is not None or not survey.totals:
        return False
    return looks_like_a_ramp(survey.totals) or _small_ramp(survey)


def _small_ramp(survey: Survey) -> bool:
    """The same in small masks, of which borders are a large part: several greys, none of them as much as a class holds."""
    greys = {value: count for value, count in survey.totals.items() if 0 < value < 255}
    ends = survey.totals[0], survey.totals[255]
    return (
        len(greys) >= _LEAST_GREYS
        and any(value > 127 for value in greys)
        and min(ends) > max(greys.values())
        and survey.share(sum(ends)) >= _ENDS
    )


def zero_255(survey: Survey) -> list[Finding]:
    """255 as foreground: fine where all masks have it so, damage where 255 is read as unlabelled."""
    if survey.has_colours or survey.config.foreground_from is not None or not survey.totals[255]:
        return []
    values = set((survey.named or {}).values())
    share = f"{survey.share(survey.totals[255]):.1%} of the pixels"
    files = [facts for facts in survey.valued if facts.values.get(255)]
    if values >= {0, 1} and 255 not in values and set(survey.totals) == {0, 255}:
        lost = listed([name for name, value in (survey.named or {}).items() if value != 0], "and", 4)
        evidence = (
            f"masks hold 0 and 255, but the classes are 0 and 1: {share} are 255 and would be left out as unlabelled, "
            f"and not one pixel would be {lost}."
        )
        repair = Repair("remap", {"table": {255: 1}}, "255 becomes 1", instead=_read_as_they_are(survey))
        return [Finding("zero-255", mask_files(files), evidence, "error", repair, {"pixels": survey.totals[255]})]
    if survey.named is None and survey.classes is not None and survey.classes.values == (0, 255):
        evidence = f"0 is {survey.classes.names[0]} and 255 is {survey.classes.names[1]}, {share}."
        return [Finding("zero-255", (), evidence, "note", None, {"pixels": survey.totals[255]})]
    apart = not any(facts.values.get(1) and facts.values.get(255) for facts in survey.valued)
    if set(survey.totals) == {0, 1, 255} and apart and survey.config.classes is None:
        ones = sum(1 for facts in survey.valued if facts.values.get(1))
        evidence = (
            f"{counted(ones, 'mask holds', 'masks hold')} 0 and 1, {len(files)} hold 0 and 255, none holds both 1 and 255: "
            f"{share} are 255 and are left out as unlabelled."
        )
        question = "Is 255 foreground in these masks, as 1 is in the others, or are these pixels unlabelled?"
        repair = Repair("remap", {"table": {255: 1}}, "255 becomes 1", question)
        return [Finding("zero-255", mask_files(files), evidence, "warning", repair, {"pixels": survey.totals[255]})]
    return []


def _read_as_they_are(survey: Survey) -> str:
    """For two classes, 0 and 1, of which masks hold the second as 255."""
    named = survey.named or {}
    if sorted(named.values()) != [0, 1]:
        return ""
    return f"name the values as they are: {classes_flag({name: 255 if value else 0 for name, value in named.items()})}"


def classes_flag(named: Mapping[str, int]) -> str:
    """
    >>> classes_flag({"bg": 0, "piece": 255})
    "--data.classes '{bg: 0, piece: 255}'"
    """
    return f"--data.classes {shlex.quote(as_yaml(dict(named)))}"


def palette(survey: Survey) -> list[Finding]:
    """Palette masks are read by index; palettes that disagree mean that an index is not one class."""
    found = [] if survey.has_colours else [facts for facts in survey.readable if facts.mask_kind == "palette"]
    if not found:
        return []
    colours: dict[int, set[int]] = {}
    for facts in found:
        for index, colour in facts.palette.items():
            colours.setdefault(index, set()).add(colour)
    details = {"palette": {str(index): [f"#{colour:06x}" for colour in sorted(some)] for index, some in sorted(colours.items())}}
    differing = sorted(index for index, some in colours.items() if len(some) > 1)
    if differing:
        first = differing[0]
        shown = listed([f"#{colour:06x}" for colour in sorted(colours[first])], "and", 3)
        evidence = f"the palettes of the masks disagree: index {first} is {shown} in different files, so it may not be one class."
        question = "Do equal indices mean one class, or equal colours? If colours do, name them in data.classes."
        return [Finding("palette", mask_files(found), f"{evidence} {question}", "warning", None, details)]
    if survey.named is not None:  # somebody has said what the indices are
        return []
    shown = ", ".join(f"{index} #{min(some):06x}" for index, some in sorted(colours.items())[:_SHOWN_COLOURS])
    evidence = f"{counted(len(found), 'mask has', 'masks have')} a palette and are read by index ({shown})."
    return [Finding("palette", (), evidence, "note", None, details)]


def off_by_one(survey: Survey) -> list[Finding]:
    """Labels 1 … n where classes are 0 … n-1."""
    labels = survey.labels if survey.named is None else sorted(set(survey.totals) - survey.ignored)
    if survey.has_colours or survey.config.foreground_from is not None or labels != list(range(1, len(labels) + 1)):
        return []
    table = {label: label - 1 for label in labels}
    details = {"labels": labels}
    files = mask_files(survey.valued)
    if survey.named is None and len(labels) > 1:
        evidence = f"masks hold {survey.told_all(labels)} and never 0, which stands for the first class."
        names = ", ".join(f"name: {label}" for label in labels)
        question = f"Do the labels begin at 1? Name them with --data.classes '{{{names}}}'."
        return [Finding("off-by-one", files, evidence, "error", Repair("remap", {"table": table}, "", question), details)]
    values = sorted((survey.named or {}).values())
    if values == list(range(len(labels))) and len(labels) > 1:
        evidence = (
            f"the {len(values)} classes are 0 to {len(values) - 1}, the masks hold {labels[0]} to {labels[-1]} and never 0."
        )
        repair = Repair("remap", {"table": table}, "every label becomes one less")
        return [Finding("off-by-one", files, evidence, "error", repair, details)]
    return []


def one_class(survey: Survey) -> list[Finding]:
    """Nothing to tell apart: all masks together hold one value."""
    if len(survey.labels) > 1 or not survey.valued or survey.coloured or zero_255_is_wrong(survey):
        return []
    if survey.config.foreground_from is not None:
        at = survey.config.foreground_from
        if any(value < at for value in survey.totals) and any(value >= at for value in survey.totals):
            return []
    only = survey.told_all(survey.labels) if survey.labels else "values that are ignored"
    evidence = f"all {counted(len(survey.valued), 'mask')} hold only {only}: there is nothing to tell apart."
    return [Finding("one-class", mask_files(survey.valued), evidence, "error", None, {"values": survey.labels})]


def zero_255_is_wrong(survey: Survey) -> bool:
    """Whether 255 should have been 1, which explains a lack of classes."""
    return any(finding.severity == "error" for finding in zero_255(survey))


def unknown_values(survey: Survey) -> list[Finding]:
    """Values beside the named classes that nothing else explains."""
    odd = odd_values(survey)
    if not odd or has_ramp(survey) or off_by_one(survey) or odd == [next_value(survey)]:
        return []
    found = [facts for facts in survey.valued if any(value in facts.values for value in odd)]
    pixels = sum(survey.totals[value] for value in odd)
    evidence = (
        f"{survey.told_all(odd)} {'is' if len(odd) == 1 else 'are'} no class and not ignored: "
        f"{counted(pixels, 'pixel')} in {counted(len(found), 'mask')}."
    )
    first = survey.told(odd[0])
    question = (
        f"What does {survey.told_all(odd)} mean? Name it in --data.classes, or leave it out with --data.ignore_index {first}."
    )
    repair = None if survey.has_colours else Repair("remap", {"table": dict.fromkeys(odd, IGNORE)}, "", question)
    details = {"pixels": {survey.told(value): survey.totals[value] for value in odd}}
    return [Finding("unknown-values", mask_files(found), evidence, "error", repair, details)]


def odd_values(survey: Survey) -> list[int]:
    """Values beside the named classes; none where a threshold gives all values a meaning."""
    if survey.named is None or survey.config.foreground_from is not None:
        return []
    return sorted(set(survey.totals) - set(survey.named.values()) - survey.ignored)


def next_value(survey: Survey) -> int:
    """The value right after the last named class, or -1 where classes are not 0 … n-1."""
    values = sorted((survey.named or {}).values())
    return len(values) if values and values == list(range(len(values))) else -1


def unclear_classes(survey: Survey) -> list[Finding]:
    """Whatever else keeps the classes from being settled."""
    trouble = survey.troubles.get("classes", "")
    others = (colour_masks, smoothed, lossy_masks, off_by_one, one_class, unknown_values, zero_255)
    explained = any(finding.severity == "error" for rule in others for finding in rule(survey))
    if not trouble or explained or odd_values(survey) or not survey.valued:
        return []
    repair = None
    if survey.named is None and not survey.has_colours and 1 < len(survey.labels) <= IGNORE:
        names = ", ".join(f"name: {value}" for value in survey.labels[:8]) + (", …" if len(survey.labels) > 8 else "")
        question = f"Which class is each value? Name them with --data.classes '{{{names}}}'."
        repair = Repair("remap", {"table": {value: label for label, value in enumerate(survey.labels)}}, "", question)
    details = {"values": {survey.told(value): survey.totals[value] for value in survey.labels[:256]}}
    return [Finding("unclear-classes", mask_files(survey.valued), trouble, "error", repair, details)]


def pairs_with(survey: Survey, value: int) -> list[PairFacts]:
    """Pairs whose mask holds a value."""
    return [facts for facts in survey.valued if facts.values.get(value)]


RULES = (colour_masks, smoothed, lossy_masks, zero_255, palette, off_by_one, one_class, unknown_values, unclear_classes)
