"""Rules on what images hold: bands, depth, and pictures of nothing."""

from __future__ import annotations

from collections import defaultdict

from maskwright.data.checks.facts import PairFacts
from maskwright.data.checks.findings import Finding
from maskwright.data.checks.survey import Survey, image_files
from maskwright.errors import counted, listed


def mixed_channels(survey: Survey) -> list[Finding]:
    """Grey among colour is remarked; bands that cannot be brought together stop."""
    kinds = _by(survey, "channels")
    if len(kinds) < 2:
        return []
    rare = min(kinds.values(), key=len)
    counts = listed([f"{len(some)} with {counted(int(kind), 'band')}" for kind, some in sorted(kinds.items())])
    details = {"channels": {kind: len(some) for kind, some in kinds.items()}}
    trouble = survey.troubles.get("bands", "")
    if trouble and len(_by(survey, "dtype")) < 2:
        return [Finding("mixed-channels", image_files(rare), trouble, "error", None, details)]
    if survey.config.bands is not None:
        return []
    evidence = f"there are images of different kinds, {counts}; grey ones are repeated to three bands."
    return [Finding("mixed-channels", image_files(rare), evidence, "note", None, details)]


def mixed_depth(survey: Survey) -> list[Finding]:
    """8 and 16 bits in one set have no common black and white, unless data.tones says so."""
    kinds = _by(survey, "dtype")
    trouble = survey.troubles.get("bands", "")
    if len(kinds) < 2 or not trouble:
        return []
    rare = min(kinds.values(), key=len)
    details = {"depths": {kind: len(some) for kind, some in kinds.items()}}
    return [Finding("mixed-depth", image_files(rare), trouble, "error", None, details)]


def constant_image(survey: Survey) -> list[Finding]:
    """Images all of one colour: a failed export, a covered lens."""
    found = [facts for facts in survey.readable if facts.constant]
    if not found:
        return []
    evidence = (
        f"{counted(len(found), 'image has', 'images have')} the same colour in every pixel: "
        f"{listed(image_files(found))}."
    )
    return [Finding("constant-image", image_files(found), evidence, "warning", None, {"images": len(found)})]


def not_finite(survey: Survey) -> list[Finding]:
    """NaN and infinite values of floating-point images: nothing can be learned there."""
    found = sorted(
        (facts for facts in survey.readable if facts.num_not_finite), key=lambda facts: -facts.num_not_finite
    )
    if not found:
        return []
    pixels = sum(facts.num_not_finite for facts in found)
    share = pixels / max(1, sum(facts.head.height * facts.head.width for facts in survey.readable if facts.head))
    holding = f"{counted(len(found), 'image holds', 'images hold')} {counted(pixels, 'pixel')} that are NaN or infinite"
    worst = f"{found[0].image_file} ({found[0].num_not_finite:,})"
    meant = "the network sees black there, and they are ignored: neither learned nor scored"
    evidence = f"{holding} ({share:.2%} of all pixels), most of them in {worst}; {meant}."
    details = {"images": len(found), "pixels": pixels, "share": share}
    return [Finding("not-finite", image_files(found), evidence, "warning", None, details)]


RULES = (mixed_channels, mixed_depth, constant_image, not_finite)


def _by(survey: Survey, attribute: str) -> dict[str, list[PairFacts]]:
    kinds: dict[str, list[PairFacts]] = defaultdict(list)
    for facts in survey.readable:
        if facts.head is not None:
            kinds[str(getattr(facts.head, attribute))].append(facts)
    return kinds
