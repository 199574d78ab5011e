"""Rules on what mask values seem to mean: void after the last class, foreground and background exchanged, nothing."""

from __future__ import annotations

from collections import Counter

from maskwright.data.checks.facts import PairFacts
from maskwright.data.checks.findings import Finding, Repair
from maskwright.data.checks.rules_masks import classes_flag, next_value, odd_values, off_by_one, pairs_with
from maskwright.data.checks.survey import Survey, mask_files
from maskwright.data.dataset import IGNORE
from maskwright.errors import counted

_BORDER = 0.25  # of all class borders touch the value: real classes touch far fewer, unless they are large
_LIFT = 4.0  # … compared with the value's share of the pixels
_TOUCHING = 0.8  # of the other values lie beside it
_MOST = 0.8  # of the images have foreground along most of their frame
_SHOWN = 8  # classes that a flag is written out for
_FRAME = 0.3  # background's share of the frame, at most


def void_after_last(survey: Survey) -> list[Finding]:
    """The highest value, where it lies along the borders of all others or comes right after the last named class."""
    if survey.has_colours or survey.config.foreground_from is not None:
        return []
    told = _lies_between(survey)
    if survey.named is not None:
        value = next_value(survey)
        if odd_values(survey) != [value] or off_by_one(survey):
            return []
        share = f"{survey.share(survey.totals[value]):.1%} of the pixels in {counted(len(pairs_with(survey, value)), 'mask')}"
        along = f" and {told[value]}" if value in told else ""
        evidence = (
            f"{value} comes right after the last of {len(survey.named)} classes, 0 to {value - 1}; it holds {share}{along}."
        )
        severity, question, instead = "error", "", f"if {value} is a class, name it: {_with_class(survey, value)}"
        if value not in told:  # nothing says that it is void rather than a class nobody named
            question = f"Is {value} a class? If so name it: {_with_class(survey, value)}; "
            question, instead = f"{question}if it marks unlabelled pixels say --data.ignore_index {value}.", ""
    else:
        value = suspected_void(survey)
        if value is None:
            return []
        evidence = f"{value}, the highest value, {told[value]}: it looks like unlabelled pixels, not like a class."
        question = (
            f"Is {value} void? If so say --data.ignore_index {value}; if it is a class, name all of them with --data.classes."
        )
        severity, instead = "warning", ""
    repair = Repair("remap", {"table": {value: IGNORE}}, f"{value} becomes {IGNORE}, which is ignored", question, instead)
    details = {"value": value, "pixels": survey.totals[value], "borders": _borders(survey, value)}
    return [Finding("void-after-last", mask_files(pairs_with(survey, value)), evidence, severity, repair, details)]


def _with_class(survey: Survey, value: int) -> str:
    """The flag that names one class more; where there are many, only which flag it is."""
    named = survey.named or {}
    return classes_flag({**named, "NAME": value}) if len(named) <= _SHOWN else "--data.classes, with all the others"


def suspected_void(survey: Survey) -> int | None:
    """The highest of values without names, if it looks like void and nobody has said what is."""
    index = survey.config.ignore_index
    answered = survey.config.classes is not None or ("ignore_index" in survey.config.model_fields_set and index != IGNORE)
    labels = survey.labels
    if survey.named is not None or answered or len(labels) < 3 or labels != list(range(labels[0], labels[0] + len(labels))):
        return None
    return labels[-1] if labels[-1] in _lies_between(survey) else None


def inverted(survey: Survey) -> list[Finding]:
    """Two classes of which background stays inside and foreground holds the frame of most images."""
    void = suspected_void(survey)
    values = [value for value in survey.labels if value != void]
    background = survey.background
    if survey.config.classes is not None or len(values) != 2 or background not in values or survey.classes is None:
        return []
    other = values[0] if values[1] == background else values[1]
    both = [facts for facts in survey.valued if facts.values.get(background) and facts.values.get(other)]
    turned = sum(1 for facts in both if facts.frame.get(other, 0) > facts.frame.get(background, 0))
    frame: Counter[int] = Counter()
    for facts in both:
        frame.update(facts.frame)
    on_frame = frame[background] / max(1, frame[background] + frame[other])
    inside = survey.totals[background] / max(1, survey.totals[background] + survey.totals[other])
    if len(both) < 3 or turned < _MOST * len(both) or on_frame > _FRAME or inside < 1.5 * on_frame:
        return []
    evidence = (
        f"{background} stands for background, yet it holds {on_frame:.0%} of the images' outermost pixels "
        f"and {inside:.0%} of all; {other} holds most of the frame in {turned} of {counted(len(both), 'image')}."
    )
    flags = f"--data.classes '{{background: {other}, foreground: {background}}}'"
    flags += f" --data.ignore_index {void}" if void is not None else ""
    question = f"Is {background} the foreground? If so say {flags}; if not, name the classes as they are."
    repair = Repair("remap", {"table": {background: 1, other: 0}}, "exchange foreground and background", question)
    details = {"value": background, "share_on_frame": round(on_frame, 4), "share": round(inside, 4), "images": turned}
    return [Finding("inverted", mask_files(both), evidence, "warning", repair, details)]


def empty_masks(survey: Survey) -> list[Finding]:
    """Masks that show nothing but background (or nothing that is labelled), where others show more."""
    background = survey.background
    if background is None or len(survey.labels) < 2 or background not in survey.labels:
        return []
    found = [facts for facts in survey.valued if set(facts.values) <= {background} | _ignored(survey)]
    if not found:
        return []
    unlabelled = sum(1 for facts in found if background not in facts.values)
    more = f" ({unlabelled} of them nothing that is labelled)" if unlabelled else ""
    evidence = (
        f"{len(found)} of {counted(len(survey.valued), 'mask')} hold background alone{more}: is there nothing to see, "
        "or was the mask never drawn?"
    )
    return [Finding("empty-masks", mask_files(found), evidence, "warning", None, {"masks": len(found), "unlabelled": unlabelled})]


RULES = (void_after_last, inverted, empty_masks)


def _ignored(survey: Survey) -> set[int]:
    return set(survey.classes.ignore_values) if survey.classes is not None else survey.ignored


def _borders(survey: Survey, value: int) -> float:
    """Share of all class borders that a value lies at."""
    touching = _touching(survey.valued)
    return round(sum(count for pair, count in touching.items() if value in pair) / max(1, sum(touching.values())), 4)


def _lies_between(survey: Survey) -> dict[int, str]:
    """Values that lie along the borders of the others: few pixels, much of all borders, beside nearly every other value."""
    touching = _touching(survey.valued)
    borders = max(1, sum(touching.values()))
    labels = [value for value in survey.totals if value not in survey.ignored]
    found: dict[int, str] = {}
    for value in labels:
        mine = {pair: count for pair, count in touching.items() if value in pair}
        beside = {one for pair in mine for one in pair} - {value}
        share, along = survey.share(survey.totals[value]), sum(mine.values()) / borders
        if along >= _BORDER and along >= _LIFT * share and len(beside) >= max(2, _TOUCHING * (len(labels) - 1)):
            words = f"holds {share:.1%} of the pixels but lies at {along:.0%} of all class borders"
            found[value] = f"{words}, beside {len(beside)} of the {len(labels) - 1} other values"
    return found


def _touching(facts: list[PairFacts]) -> Counter[tuple[int, int]]:
    total: Counter[tuple[int, int]] = Counter()
    for one in facts:
        total.update(one.touching)
    return total
