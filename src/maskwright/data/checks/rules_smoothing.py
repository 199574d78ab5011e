"""Rules on values nobody drew: what soft borders, resizing and JPEG put between those of the classes."""

from __future__ import annotations

from maskwright.data.checks.facts import PairFacts
from maskwright.data.checks.findings import Answer, Finding, Repair
from maskwright.data.checks.smoothing import MIXED
from maskwright.data.checks.survey import Survey, is_lossy, mask_files
from maskwright.data.dataset import IGNORE
from maskwright.data.masks import looks_like_a_ramp
from maskwright.errors import counted

_LEAST_GREYS = 4  # between black and white: fewer may be classes
_ENDS = 0.8  # of the pixels are black or white
_SOLID = 0.0005  # of the pixels are of one grey and not between others: a class that a threshold would destroy
# a class between two others, as resizing with smoothing makes one: so much of its pixels, and of its border with either
# of them, and how seldom they touch each other at most; classes of street scenes, numbered at random, touch four times
# as often
_PARTLY, _ALONG, _DIRECT = 0.03, 0.5, 0.01
_FEW = 3  # values that may be classes as well as mixtures
_AT = 128  # values from here up are nearer to white
_ANEW = "make them anew as PNG, resized without smoothing"


def smoothed(survey: Survey) -> list[Finding]:
    """Two-valued masks with greys between, else mixtures of whatever the classes are."""
    if not survey.totals:
        return []
    if survey.config.foreground_from is not None:
        at, tinted = survey.config.foreground_from, _tinted(survey)
        repair = Repair("threshold", {"at": at}, f"values from {at} up become foreground, the others background")
        return [Finding("smoothed", mask_files(tinted), _tint(tinted), "error", repair)] if tinted else []
    return _binary(survey) if has_ramp(survey) else _mixtures(survey)


def _binary(survey: Survey) -> list[Finding]:
    found = [facts for facts in survey.valued if facts.grey_spread or not set(facts.values) <= {0, 255}]
    odd = sum(count for value, count in survey.totals.items() if value not in (0, 255))
    between = sum(count for value, count in survey.totals.items() if 16 <= value <= 239)
    evidence = (
        f"{len(found)} of {counted(len(survey.valued), 'mask')} hold greys beside 0 and 255: {len(survey.totals)} "
        f"values in all, {survey.share(odd):.1%} of the pixels, {survey.share(between):.2%} plainly between black and "
        "white."
    )
    message = "values from 128 up become foreground, the others background"
    way = Answer("have them read so, without a copy", {"foreground_from": _AT})
    details = {"values": len(survey.totals), "pixels": odd, "between": between}
    repair = Repair("threshold", {"at": _AT}, message, answers=(way,))
    return [Finding("smoothed", mask_files(found), evidence, "error", repair, details)]


def _mixtures(survey: Survey) -> list[Finding]:
    """Values between those of the classes: taken back where these have names, else asked about."""
    classes = survey.sorted_values.classes
    mixed = [value for value in survey.sorted_values.mixed if value not in survey.ignored]
    if survey.named is None and survey.classes is not None and not survey.lossy:
        return _partly_between(survey)
    targets = {"values": [survey.written(value) for value in classes]}
    found = [facts for facts in survey.valued if any(value in facts.values for value in mixed)] or _tinted(survey)
    if not found:
        return []
    pixels = sum(survey.totals[value] for value in mixed)
    word = "colour" if survey.has_colours else "value"
    message = (
        f"{counted(len(mixed), word)} ({survey.format_values(mixed)})"
        if len(mixed) > 1
        else survey.format_values(mixed)
    )
    evidence = (
        f"{message} {'lies' if len(mixed) == 1 else 'lie'} between or near {survey.format_values(classes)}, as soft "
        f"borders, resizing or JPEG leave them: {survey.share(pixels):.2%} of the pixels, in {len(found)} of "
        f"{counted(len(survey.valued), 'mask')}."
    ) if mixed else _tint(found)  # fmt: skip
    details = {
        "mixed": {survey.format_value(value): survey.totals[value] for value in mixed[:IGNORE]},
        "pixels": pixels,
    }
    code = (
        "lossy-masks"
        if mixed and survey.named is None and all(is_lossy(facts) for facts in survey.valued)
        else "smoothed"
    )
    files = mask_files(found)
    if survey.named is not None or (survey.classes is not None and not mixed):
        message = f"each pixel of another {word} becomes the nearest of the classes around it"
        other = (
            Answer(f"if {survey.format_value(mixed[0])} is a class, name it", {"classes": survey.named_with(mixed)}),
        )
        repair = Repair("nearest", targets, message, answers=other if len(mixed) == 1 else ())
        return [Finding(code, files, evidence, "error", repair, details)]
    if not 2 <= len(classes) <= IGNORE:
        masks = counted(len(found), "mask is", "masks are")
        evidence = f"{masks} JPEG, which changes values: most of the {len(survey.totals)} that "
        evidence += "they hold are no labels."
        question = f"Which values were drawn? They lie so near each other that JPEG has mixed them up: {_ANEW}."
        return [Finding(code, files, evidence, "error", Repair("nearest", targets, "", question), details)]
    question = f"Were only {survey.format_values(classes, 12)} drawn? If not, name the values that were; or {_ANEW}."
    answers = [
        Answer("if only these are classes (--fix then takes the others back)", {"classes": survey.named_with(classes)})
    ]
    if len(classes) == 2:
        middle = -(-sum(classes) // 2)
        answers.append(
            Answer(f"if they are background and foreground, read from {middle} up", {"foreground_from": middle})
        )
    if not survey.lossy and len(mixed) <= _FEW:
        answers.append(Answer("if all of them are classes", {"classes": survey.named_with(sorted(survey.totals))}))
    return [Finding(code, files, evidence, "error", Repair("nearest", targets, "", question, tuple(answers)), details)]


def _tinted(survey: Survey) -> list[PairFacts]:
    return [facts for facts in survey.valued if facts.grey_spread]


def _tint(found: list[PairFacts]) -> str:
    return (
        f"{counted(len(found), 'mask holds', 'masks hold')} greys that JPEG has tinted, which cannot be read as values."
    )


def _partly_between(survey: Survey) -> list[Finding]:
    """A class that stands wherever a lower and a higher one would touch, as resizing with smoothing draws it."""
    index = survey.config.ignore_index
    if survey.config.classes is not None or ("ignore_index" in survey.config.model_fields_set and index != IGNORE):
        return []
    labels = survey.labels
    odd = [value for value in labels[1:-1] if _stands_between(survey, value)]
    if not odd:
        return []
    others = [label for label in labels if label not in odd]
    share = sum(survey.between[value] for value in odd) / sum(survey.totals[value] for value in odd)
    one = len(odd) == 1
    it, them, was = survey.format_values(odd), "it" if one else "them", "was" if one else "were"
    evidence = (
        f"{it} {'stands' if one else 'stand'} between lower and higher values with {share:.0%} of the pixels, which "
        "hardly ever touch themselves: a border class looks so, and so do masks that were resized with smoothing."
    )
    question = (
        f"{was.capitalize()} {it} drawn wherever {'it stands' if one else 'they stand'}, or did resizing mix other "
        "values "
    )
    question += f"into {them}? If it did, {_ANEW}."
    answers = [
        Answer(f"if {it} {was} drawn", {"classes": survey.named_with(labels)}),
        Answer(f"if {it} {'marks' if one else 'mark'} what is to be left out", {"ignore_index": survey.ignoring(*odd)}),
    ]
    if share >= MIXED and len(others) > 1:
        answers.append(
            Answer(f"if no mask had {it} (--fix then takes {them} back)", {"classes": survey.named_with(others)})
        )
    repair = Repair("nearest", {"values": others}, "", question, tuple(answers))
    found = mask_files(facts for facts in survey.valued if any(value in facts.between for value in odd))
    details = {"between": {str(value): survey.between[value] for value in odd}}
    return [Finding("smoothed", found, evidence, "warning", repair, details)]


def _stands_between(survey: Survey, value: int) -> bool:
    """Whether a class lies where a lower and a higher one would touch, and these touch nowhere."""
    lower = sum(count for pair, count in survey.touching.items() if pair[1] == value)
    higher = sum(count for pair, count in survey.touching.items() if pair[0] == value)
    direct = sum(count for pair, count in survey.touching.items() if pair[0] < value < pair[1])
    between = survey.between[value]
    along = between >= max(_PARTLY * survey.totals[value], _ALONG * min(lower, higher))
    return between > 0 and along and direct <= _DIRECT * (lower + higher)


def has_ramp(survey: Survey) -> bool:
    """Mostly 0 and 255 with greys between, where no names or thresholds explain them."""
    binary = survey.named is None or sorted(survey.named.values()) in ([0, 1], [0, 255])
    if not binary or survey.has_colours or survey.config.foreground_from is not None or not survey.totals:
        return False
    if any(
        survey.totals[value] - survey.between[value] >= _SOLID * sum(survey.totals.values()) for value in range(16, 240)
    ):
        return False
    return looks_like_a_ramp(survey.totals) or _small_ramp(survey)


def _small_ramp(survey: Survey) -> bool:
    """The same in small masks, largely borders: several greys, none of them as much as a class holds."""
    greys = {value: count for value, count in survey.totals.items() if 0 < value < 255}
    ends = survey.totals[0], survey.totals[255]
    return (
        len(greys) >= _LEAST_GREYS
        and any(value > 127 for value in greys)
        and min(ends) > max(greys.values())
        and survey.share(sum(ends)) >= _ENDS
    )


RULES = (smoothed,)
