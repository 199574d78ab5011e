"""Rules on what mask values are: labels, greys, colours, palettes, and values that nobody named."""

from __future__ import annotations

from maskwright.config.data import ignored_values
from maskwright.data.checks.facts import PairFacts
from maskwright.data.checks.findings import Answer, Finding, Repair
from maskwright.data.checks.rules_smoothing import has_ramp, smoothed
from maskwright.data.checks.smoothing import sort_values
from maskwright.data.checks.survey import Survey, is_lossy, mask_files, name_values
from maskwright.data.dataset import IGNORE
from maskwright.data.masks import summed
from maskwright.errors import counted, listed

_SHOWN_COLOURS = 12


def colour_masks(survey: Survey) -> list[Finding]:
    """Pictures of colours as masks, and nothing that says which colour is which class."""
    found = survey.coloured
    if not found:
        return []
    total, between = summed(facts.values for facts in found), summed(facts.between for facts in found)
    pixels = max(1, sum(total.values()))
    drawn = sort_values(total, between, True, any(map(is_lossy, found)))
    unsaid = set(drawn.classes) - set(ignored_values(survey.config, True))
    clear = sorted(unsaid, key=lambda value: (-drawn.pixels[value], value))[:IGNORE]
    rest = len(drawn.mixed)
    shown = ", ".join(f"#{value:06x} {drawn.pixels[value] / pixels:.1%}" for value in clear[:_SHOWN_COLOURS])
    hidden = f" and {len(clear) - _SHOWN_COLOURS} more" if len(clear) > _SHOWN_COLOURS else ""
    mixed = (
        f"; {counted(rest, 'rarer colour looks', 'rarer colours look')} like smoothed borders between them"
        if rest
        else ""
    )
    evidence = (
        f"{counted(len(found), 'mask holds', 'masks hold')} {counted(len(clear), 'colour')}: {shown}{hidden}{mixed}."
    )
    named = name_values([f"#{value:06x}" for value in clear])
    answers = (Answer("name the colours of classes as they are called", {"classes": named}),)
    table = {colour: label for label, colour in enumerate(named.values())}
    repair = Repair("colours", {"table": table, "names": list(named)}, "", "Which class is each colour?", answers)
    details = {"colours": {f"#{value:06x}": drawn.pixels[value] for value in clear}, "rarer": rest}
    return [Finding("colour-masks", mask_files(found), evidence, "error", repair, details)]


def zero_255(survey: Survey) -> list[Finding]:
    """255 as foreground: fine where all masks have it so, damage where 255 is read as unlabelled."""
    if survey.has_colours or survey.config.foreground_from is not None or not survey.totals[255]:
        return []
    values = set((survey.named or {}).values())
    share = f"{survey.share(survey.totals[255]):.1%} of the pixels"
    files = pairs_with(survey, 255)
    if values >= {0, 1} and 255 not in values and set(survey.totals) == {0, 255}:
        lost = listed([name for name, value in (survey.named or {}).items() if value != 0], "and", 4)
        evidence = (
            f"masks hold 0 and 255, but the classes are 0 and 1: {share} are 255 and would be left out as unlabelled, "
            f"and not one pixel would be {lost}."
        )
        repair = Repair("remap", {"table": {255: 1}}, "255 becomes 1", answers=_read_as_they_are(survey))
        return [Finding("zero-255", mask_files(files), evidence, "error", repair, {"pixels": survey.totals[255]})]
    if survey.named is None and survey.classes is not None and survey.classes.values == (0, 255):
        evidence = f"0 is {survey.classes.names[0]} and 255 is {survey.classes.names[1]}, {share}."
        return [Finding("zero-255", (), evidence, "note", None, {"pixels": survey.totals[255]})]
    apart = not any(facts.values.get(1) and facts.values.get(255) for facts in survey.valued)
    said = {"classes", "ignore_index"} & survey.config.model_fields_set
    if set(survey.totals) == {0, 1, 255} and apart and not said:
        ones = len(pairs_with(survey, 1))
        evidence = (
            f"{counted(ones, 'mask holds', 'masks hold')} 0 and 1, {len(files)} hold 0 and 255, none holds both 1 and "
            f"255: {share} are 255 and are left out as unlabelled."
        )
        question = "Is 255 foreground in these masks, as 1 is in the others, or are these pixels unlabelled?"
        unlabelled = Answer("if 255 is unlabelled", {"ignore_index": 255})
        answers = (Answer("if 255 is foreground, as 1 is", {"foreground_from": 1}), unlabelled)
        repair = Repair("remap", {"table": {255: 1}}, "255 becomes 1", question, answers)
        return [Finding("zero-255", mask_files(files), evidence, "warning", repair, {"pixels": survey.totals[255]})]
    return []


def _read_as_they_are(survey: Survey) -> tuple[Answer, ...]:
    """For two classes, 0 and 1, of which masks hold the second as 255."""
    named = survey.named or {}
    if sorted(named.values()) != [0, 1]:
        return ()
    return (
        Answer(
            "name the values as they are", {"classes": {name: 255 if value else 0 for name, value in named.items()}}
        ),
    )


def palette(survey: Survey) -> list[Finding]:
    """Palette masks are read by index; palettes that disagree mean that an index is not one class."""
    found = [] if survey.has_colours else [facts for facts in survey.readable if facts.mask_kind == "palette"]
    if not found:
        return []
    colours: dict[int, set[int]] = {}
    for facts in found:
        for index, colour in facts.palette.items():
            colours.setdefault(index, set()).add(colour)
    details = {
        "palette": {
            str(index): [f"#{colour:06x}" for colour in sorted(some)] for index, some in sorted(colours.items())
        }
    }
    differing = sorted(index for index, some in colours.items() if len(some) > 1)
    if differing and survey.config.classes is None:
        first = differing[0]
        shown = listed([f"#{colour:06x}" for colour in sorted(colours[first])], "and", 3)
        evidence = (
            f"the palettes of the masks disagree: index {first} is {shown} in different files, so it may not be one "
            "class."
        )
        named = name_values([f"#{colour:06x}" for colour in sorted(set().union(*colours.values()))])
        answers = (
            Answer("if equal colours mean one class, name them", {"classes": named}),
            Answer("if equal indices do, name those", {"classes": survey.named or survey.named_with(survey.labels)}),
        )
        table = {colour: label for label, colour in enumerate(named.values())}
        repair = Repair("colours", {"table": table}, "", "Do equal indices mean one class, or equal colours?", answers)
        return [Finding("palette", mask_files(found), evidence, "warning", repair, details)]
    if survey.named is not None:  # somebody has said what the indices are
        return []
    shown = ", ".join(f"{index} #{min(some):06x}" for index, some in sorted(colours.items())[:_SHOWN_COLOURS])
    evidence = f"{counted(len(found), 'mask has', 'masks have')} a palette and are read by index ({shown})."
    return [Finding("palette", (), evidence, "note", None, details)]


def off_by_one(survey: Survey) -> list[Finding]:
    """Labels 1 … n where classes are 0 … n-1."""
    labels = survey.labels if survey.named is None else sorted(set(survey.totals) - survey.ignored)
    if survey.totals[0]:  # it is there, though ignored
        return []
    if survey.has_colours or survey.config.foreground_from is not None or labels != list(range(1, len(labels) + 1)):
        return []
    table = {label: label - 1 for label in labels}
    details = {"labels": labels}
    files = mask_files(survey.valued)
    if survey.named is None and len(labels) > 1:
        evidence = f"masks hold {survey.format_values(labels)} and never 0, which stands for the first class."
        answers = (Answer("if they do", {"classes": survey.named_with(labels)}),)
        repair = Repair("remap", {"table": table}, "", "Do the labels begin at 1?", answers)
        return [Finding("off-by-one", files, evidence, "error", repair, details)]
    values = sorted((survey.named or {}).values())
    if values == list(range(len(labels))) and len(labels) > 1:
        held = f"the masks hold {labels[0]} to {labels[-1]} and never 0."
        evidence = f"the {len(values)} classes are 0 to {len(values) - 1}, {held}"
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
    only = survey.format_values(survey.labels) if survey.labels else "values that are ignored"
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
        f"{survey.format_values(odd)} {'is' if len(odd) == 1 else 'are'} no class and not ignored: "
        f"{counted(pixels, 'pixel')} in {counted(len(found), 'mask')}."
    )
    it, is_it = ("it", "it is") if len(odd) == 1 else ("them", "they are")
    answers = (
        Answer(f"if {is_it} unlabelled, leave {it} out", {"ignore_index": survey.ignoring(*odd)}),
        Answer(
            f"if {is_it} {'a class' if len(odd) == 1 else 'classes'}, name {it}", {"classes": survey.named_with(odd)}
        ),
    )
    question = f"What {'does' if len(odd) == 1 else 'do'} {survey.format_values(odd)} mean?"
    table = {survey.written(value): IGNORE for value in odd}
    repair = Repair("colours" if survey.has_colours else "remap", {"table": table}, "", question, answers)
    details = {"pixels": {survey.format_value(value): survey.totals[value] for value in odd}}
    return [Finding("unknown-values", mask_files(found), evidence, "error", repair, details)]


def odd_values(survey: Survey) -> list[int]:
    """Values beside the named classes; none where a threshold gives all values a meaning."""
    if survey.named is None or survey.config.foreground_from is not None:
        return []
    return list(survey.sorted_values.strange)


def next_value(survey: Survey) -> int:
    """The value right after the last named class, or -1 where classes are not 0 … n-1."""
    values = sorted((survey.named or {}).values())
    return len(values) if values and values == list(range(len(values))) else -1


def unclear_classes(survey: Survey) -> list[Finding]:
    """Whatever else keeps the classes from being decided."""
    trouble = survey.troubles.get("classes", "")
    others = (colour_masks, smoothed, off_by_one, one_class, unknown_values, zero_255)
    explained = any(finding.severity == "error" for rule in others for finding in rule(survey))
    if not trouble or explained or odd_values(survey) or not survey.valued:
        return []
    repair = None
    if survey.named is None and not survey.has_colours and 1 < len(survey.labels) <= IGNORE:
        answers = [Answer("name the values as the classes are called", {"classes": survey.named_with(survey.labels)})]
        if IGNORE in survey.totals and IGNORE not in survey.labels and len(survey.labels) < IGNORE:
            answers.append(
                Answer(f"if {IGNORE} is a class, too", {"classes": survey.named_with([*survey.labels, IGNORE])})
            )
        table = {value: label for label, value in enumerate(survey.labels)}
        repair = Repair("remap", {"table": table}, "", "Which class is each value?", tuple(answers))
    details = {"values": {survey.format_value(value): survey.totals[value] for value in survey.labels[:256]}}
    return [Finding("unclear-classes", mask_files(survey.valued), trouble, "error", repair, details)]


def pairs_with(survey: Survey, value: int) -> list[PairFacts]:
    """Pairs whose mask holds a value."""
    return [facts for facts in survey.valued if facts.values.get(value)]


RULES = (colour_masks, smoothed, zero_255, palette, off_by_one, one_class, unknown_values, unclear_classes)
