"""Rules on what mask values seem to mean: void after the last class, foreground and background exchanged, nothing."""

from __future__ import annotations

from maskwright.data.checks.findings import Answer, Finding, Repair
from maskwright.data.checks.rules_masks import next_value, odd_values, off_by_one, pairs_with
from maskwright.data.checks.survey import Survey, mask_files
from maskwright.data.dataset import IGNORE
from maskwright.data.masks import summed
from maskwright.errors import counted, listed

_BORDER = 0.25  # of all class borders touch the value: real classes touch far fewer, unless they are large
_LIFT = 4.0  # … compared with the value's share of the pixels
_TOUCHING = 0.8  # of the other values lie beside it
_MOST = 0.8  # of the images have foreground along most of their frame
_FRAME = 0.3  # background's share of the frame, at most
_MUCH = 0.2  # of all pixels are ignored: more than borders and unclear places are


def void_after_last(survey: Survey) -> list[Finding]:
    """The highest value, where it lies along the borders of all others or comes right after the last named class."""
    if survey.has_colours or survey.config.foreground_from is not None:
        return []
    between = _lies_between(survey)
    if survey.named is not None:
        value = next_value(survey)
        if odd_values(survey) != [value] or off_by_one(survey):
            return []
        share = (
            f"{survey.share(survey.totals[value]):.1%} of the pixels in "
            f"{counted(len(pairs_with(survey, value)), 'mask')}"
        )
        along = f" and {between[value]}" if value in between else ""
        classes = f"{len(survey.named)} classes, 0 to {value - 1}"
        evidence = f"{value} comes right after the last of {classes}; it holds {share}{along}."
        severity = "error"
        # nothing says that it is void rather than a class
        question = f"Is {value} a class?" if value not in between else ""
        answers = (Answer(f"if {value} is a class, name it", {"classes": survey.named_with([value])}),)
        if question:
            answers += (Answer("if it marks unlabelled pixels", {"ignore_index": survey.ignoring(value)}),)
    else:
        value = suspected_void(survey)
        if value is None:
            return []
        evidence = f"{value}, the highest value, {between[value]}: it looks like unlabelled pixels, not like a class."
        severity, question = "warning", f"Is {value} void, that is, does it mark unlabelled pixels?"
        answers = (
            Answer("if it is void", {"ignore_index": survey.ignoring(value)}),
            Answer("if it is a class, name all of them", {"classes": survey.named_with(survey.labels)}),
        )
    repair = Repair(
        "remap", {"table": {value: IGNORE}}, f"{value} becomes {IGNORE}, which is ignored", question, answers
    )
    details = {"value": value, "pixels": survey.totals[value], "borders": _borders(survey, value)}
    return [Finding("void-after-last", mask_files(pairs_with(survey, value)), evidence, severity, repair, details)]


def suspected_void(survey: Survey) -> int | None:
    """The highest of values without names, if it looks like void and nobody has said what is."""
    index = survey.config.ignore_index
    answered = survey.config.classes is not None or (
        "ignore_index" in survey.config.model_fields_set and index != IGNORE
    )
    labels = survey.labels
    if (
        survey.named is not None
        or answered
        or len(labels) < 3
        or labels != list(range(labels[0], labels[0] + len(labels)))
    ):
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
    frame = summed(facts.frame for facts in both)
    on_frame = frame[background] / max(1, frame[background] + frame[other])
    inside = survey.totals[background] / max(1, survey.totals[background] + survey.totals[other])
    if len(both) < 3 or turned < _MOST * len(both) or on_frame > _FRAME or inside < 1.5 * on_frame:
        return []
    evidence = (
        f"{background} stands for background, yet it holds {on_frame:.0%} of the images' outermost pixels "
        f"and {inside:.0%} of all; {other} holds most of the frame in {turned} of {counted(len(both), 'image')}."
    )
    also = {"ignore_index": survey.ignoring(void)} if void is not None else {}
    answers = (
        Answer("if it is", {"classes": {"background": other, "foreground": background}, **also}),
        Answer(
            "if it is background, as it stands", {"classes": {"background": background, "foreground": other}, **also}
        ),
    )
    question = f"Is {background} the foreground?"
    repair = Repair(
        "remap", {"table": {background: 1, other: 0}}, "exchange foreground and background", question, answers
    )
    details = {"value": background, "share_on_frame": round(on_frame, 4), "share": round(inside, 4), "images": turned}
    return [Finding("inverted", mask_files(both), evidence, "warning", repair, details)]


def empty_masks(survey: Survey) -> list[Finding]:
    """Masks that show nothing but background (or nothing that is labelled), where others show more."""
    background, classes = survey.background, survey.classes
    if background is None or classes is None or len(survey.labels) < 2 or background not in survey.labels:
        return []  # what a value means may not be decided yet: 255 may be the foreground
    found = [facts for facts in survey.valued if set(facts.values) <= {background, *classes.ignore_values}]
    if not found:
        return []
    unlabelled = sum(1 for facts in found if background not in facts.values)
    more = f" ({unlabelled} of them nothing that is labelled)" if unlabelled else ""
    evidence = (
        f"{len(found)} of {counted(len(survey.valued), 'mask')} hold background alone{more}: is there nothing to see, "
        "or was the mask never drawn?"
    )
    return [
        Finding(
            "empty-masks", mask_files(found), evidence, "warning", None, {"masks": len(found), "unlabelled": unlabelled}
        )
    ]


def ignored(survey: Survey) -> list[Finding]:
    """A large part of the pixels that is left out, where nobody has said so in the configuration."""
    if survey.classes is None or "ignore_index" in survey.config.model_fields_set:
        return []
    many = {value: share for value, share in survey.ignored_shares.items() if share >= _MUCH}
    if not many:
        return []
    message = listed([f"{value} is read as ignored: {share:.1%} of all pixels" for value, share in many.items()])
    values = [value for value in survey.classes.ignore_values if survey.classes.format_value(value) in many]
    found = [facts for facts in survey.valued if any(facts.values.get(value) for value in values)]
    evidence = f"{message} are neither learned nor scored."
    repair = None
    if IGNORE in values and IGNORE not in survey.listing.ignore and survey.config.classes is None:
        answers = (
            Answer(
                f"if {IGNORE} is a class",
                {"classes": survey.named_with([*([] if survey.named else survey.labels), IGNORE])},
            ),
            Answer(f"if {IGNORE} marks unlabelled pixels", {"ignore_index": survey.ignoring(*values)}),
        )
        question = f"Is {IGNORE} a class, or does it mark unlabelled pixels?"
        repair = Repair("remap", {"table": {IGNORE: len(survey.labels)}}, "", question, answers)
    return [Finding("ignored", mask_files(found), evidence, "warning", repair, {"shares": many})]


RULES = (void_after_last, inverted, ignored, empty_masks)


def _borders(survey: Survey, value: int) -> float:
    """Share of all class borders that a value lies at."""
    touching = survey.touching
    return round(sum(count for pair, count in touching.items() if value in pair) / max(1, sum(touching.values())), 4)


def _lies_between(survey: Survey) -> dict[int, str]:
    """Values along the borders of the others: few pixels, much of all borders, beside nearly every other value."""
    touching = survey.touching
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
