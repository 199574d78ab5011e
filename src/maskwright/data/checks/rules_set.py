"""Rules on the set as a whole: splits, classes across them, duplicates, groups in the names."""

from __future__ import annotations

from typing import Any

from maskwright.data.checks.findings import Finding, Repair, Severity
from maskwright.data.checks.survey import Survey
from maskwright.data.dataset import SPLITS, ClassMap
from maskwright.data.grouping import AUTO, contradicting
from maskwright.data.groups import guess_groups, torn
from maskwright.data.masks import pixels_of_labels
from maskwright.errors import counted, listed

_RARE = 0.01  # of the labelled pixels: a class that a loss sees too little of


def no_split(survey: Survey) -> list[Finding]:
    """Splits that cannot be dealt, or that leave nothing to train on."""
    trouble = survey.troubles.get("split", "")
    return (
        [Finding("no-split", (), trouble, "error")]
        if trouble and not any(g.code == "unlisted" for g in survey.gaps)
        else []
    )


def class_missing(survey: Survey) -> list[Finding]:
    """Classes that a split has no pixel of, or none of the masks at all."""
    if survey.classes is None:
        return []
    pixels = class_pixels(survey, survey.classes)
    names = survey.classes.names
    nowhere = [name for index, name in enumerate(names) if not any(counts[index] for counts in pixels.values())]
    absent = {
        split: [name for name, count in zip(names, pixels[split], strict=True) if not count and name not in nowhere]
        for split in SPLITS
        if split in pixels
    }
    lines = [f"{split} has no pixel of {listed(some, limit=8)}" for split, some in absent.items() if some]
    lines += [f"no mask holds {listed(nowhere, limit=8)}"] if nowhere else []
    if not lines:
        return []
    details = {"absent": {split: some for split, some in absent.items() if some}, "nowhere": nowhere}
    return [Finding("class-missing", (), f"{listed(lines)}.", "warning", None, details)]


def imbalance(survey: Survey) -> list[Finding]:
    """Classes that hold less than a hundredth of the labelled pixels."""
    if survey.classes is None:
        return []
    shares = class_shares(survey, survey.classes)
    rare = {name: share for name, share in zip(survey.classes.names, shares, strict=True) if 0 < share < _RARE}
    if not rare:
        return []
    message = listed([f"{name} {share:.2%}" for name, share in sorted(rare.items(), key=lambda item: item[1])], limit=6)
    largest = max(zip(shares, survey.classes.names, strict=True))
    evidence = f"of the labelled pixels {message} — against {largest[0]:.0%} of {largest[1]}."
    details = {"shares": {name: round(share, 6) for name, share in zip(survey.classes.names, shares, strict=True)}}
    return [Finding("imbalance", (), evidence, "note", None, details)]


def groups(survey: Survey) -> list[Finding]:
    """Videos, patients or scenes that names show (or the data set names) and that lie on several sides."""
    records = [facts.record for facts in survey.facts]
    splits = [record.split for record in records]
    if any(record.group for record in survey.listing.records):
        found = torn([record.group or record.id for record in records], splits)
        return [_torn(found, "groups the data set names lie in several splits", "warning", None)] if found else []
    guess = guess_groups([record.id for record in records])
    if guess is None or (guess.strength == "strong" and contradicting(guess.groups, survey.alike)):
        return []
    if survey.config.split.group not in (None, AUTO, guess.pattern):  # a person has said what stays together
        return []
    found = torn(guess.groups, splits)
    kept = survey.pattern == guess.pattern
    details = {"pattern": guess.pattern, "strength": guess.strength, "num_groups": guess.num_groups, "kept": kept}
    repair = Repair("regroup", {"groups": dict(survey.groups)}, "write the groups down") if kept else None
    message = f"names show groups by {guess.evidence}"
    if not found:
        note = f"{message}; each is on one side."
        return [Finding("groups", (), note, "note", repair, details)] if guess.strength == "strong" else []
    severity = "warning" if guess.strength == "strong" else "note"
    return [_torn(found, message, severity, repair, details)]


def _torn(
    found: dict[str, dict[str, int]],
    message: str,
    severity: Severity,
    repair: Repair | None,
    details: dict[str, Any] | None = None,
) -> Finding:
    name, sides = next(iter(found.items()))
    example = listed([f"{number} in {split}" for split, number in sides.items()])
    number = counted(len(found), "group is", "groups are")
    evidence = (
        f"{message}; {number} torn apart, such as {name!r}: {example}. Scores on them look better than on new ones."
    )
    return Finding("groups", (), evidence, severity, repair, {"torn": found, **(details or {})})


def class_pixels(survey: Survey, classes: ClassMap) -> dict[str | None, list[int]]:
    """Pixels of each class, by split."""
    found: dict[str | None, list[int]] = {}
    for facts in survey.valued:
        sums = found.setdefault(facts.record.split, [0] * classes.num_classes)
        for label, pixels in pixels_of_labels(classes, facts.values).items():
            if label < classes.num_classes:
                sums[label] += pixels
    return found


def class_shares(survey: Survey, classes: ClassMap) -> list[float]:
    """Share of the labelled pixels each class has."""
    totals = [sum(column) for column in zip(*class_pixels(survey, classes).values(), strict=True)] or [
        0
    ] * classes.num_classes
    return [total / max(1, sum(totals)) for total in totals]


RULES = (no_split, class_missing, imbalance, groups)
