"""The audit: list tolerantly, look at every pair once on all cores, decide classes and splits, ask every rule.

    audit = audit(config.data)
    audit.clean, [finding.code for finding in audit.findings]

Only small facts of each pair are kept, so memory does not grow with the pictures; and nothing is changed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from maskwright import runtime
from maskwright.config.data import DataConfig
from maskwright.data.checks import rules_files, rules_images, rules_masks, rules_meaning, rules_set
from maskwright.data.checks.duplicates import Pair, duplicate_findings, equal_pairs, near_pairs
from maskwright.data.checks.facts import PairFacts, folder_of, look
from maskwright.data.checks.findings import Audit, Finding, by_severity
from maskwright.data.checks.rules_set import class_shares
from maskwright.data.checks.survey import Survey
from maskwright.data.dataset import IGNORE, RGB, SPLITS, Bands, ClassMap, Gap, Item, Listing, PartialListing
from maskwright.data.decoding import map_ahead, quiet
from maskwright.data.description import described
from maskwright.data.grouping import AUTO, Clusters
from maskwright.data.images import Head
from maskwright.data.masks import decide_classes, known_values, pixels_of_labels, uses_colours
from maskwright.data.opening import Progress, as_colours, mask_name
from maskwright.data.raw import decide_bands, read_heads
from maskwright.data.readers import list_records
from maskwright.data.splits import assign_splits, indices_to_split
from maskwright.errors import DataError
from maskwright.runs import usable_cores

RULES = (*rules_files.RULES, *rules_masks.RULES, *rules_meaning.RULES, *rules_images.RULES, *rules_set.RULES)


def audit(config: DataConfig, progress: Progress | None = None, cheap_only: bool = False) -> Audit:
    """Look at a data set and say everything that is wrong with it; `cheap_only` leaves near-duplicates aside."""
    started = time.perf_counter()
    runtime.tune_allocator()  # pictures come and go: faulting their memory in anew takes a third of the time
    asked = config
    config, listing, gaps = list_tolerantly(config)
    heads = read_heads(listing.records)
    bands, troubles = RGB, {}
    try:
        bands = decide_bands(config, listing.records, heads)
    except DataError as error:
        troubles["bands"] = str(error)
    root = folder_of(config.root)
    facts = _look_at_all(config, listing, root, None if troubles else bands, heads, progress)
    # looked for once, before splitting, which keeps together what is nearly the same
    near = [] if cheap_only and not _assigns(listing, config) else near_pairs(facts)
    survey = _resolve(Survey(config, listing, root, tuple(facts), None, gaps, troubles), near)
    findings = judge(survey, None if cheap_only else near)
    if any(finding.code == "swapped" for finding in findings):
        survey = replace(survey, classes=None, notes=())
    classes = survey.classes
    return Audit(
        root=str(config.root),
        reader=listing.reader,
        reason="; ".join(part for part in (listing.reason, survey.assignment) if part),
        num_images=len(listing.records),
        splits={split: sum(one.record.split == split for one in survey.facts) for split in SPLITS},
        classes=classes.names if classes else (),
        class_shares=tuple(class_shares(survey, classes)) if classes else (),
        classes_reason=classes.reason if classes else survey.troubles.get("classes", ""),
        findings=findings,
        notes=(*listing.notes, *survey.notes),
        pairs=tuple(_page_facts(one, classes) for one in survey.facts),
        seconds=time.perf_counter() - started,
        records=tuple(one.record for one in survey.facts),
        class_map=classes,
        bands=bands,
        ignored=survey.ignored_shares,
        config=asked,
    )


def judge(survey: Survey, near: Sequence[Pair] | None = None) -> tuple[Finding, ...]:
    """Ask every rule, and for duplicates; errors come first. Without `near`, near-duplicates are left aside."""
    if exchanged := rules_files.swapped(survey):
        return tuple(exchanged)  # whatever else is found is found because of it
    found = [finding for rule in RULES for finding in rule(survey)]
    codes = {finding.code for finding in found}
    named = {record.split for record in survey.listing.records if record.split}
    doubles = duplicate_findings(survey.facts, near is None, named, near, survey.groups)
    return by_severity([*found, *(finding for finding in doubles if finding.code not in codes)])


def list_tolerantly(config: DataConfig) -> tuple[DataConfig, Listing, tuple[Gap, ...]]:
    """The listing as far as it is certain, and what is missing; where nothing can be listed, the reader's error."""
    config, notes = described(config)
    gaps: tuple[Gap, ...] = ()
    try:
        listing = list_records(config)
    except PartialListing as partial:
        listing, gaps = partial.listing, partial.gaps
    listing = replace(listing, notes=(*notes, *listing.notes))
    return config, as_colours(config, listing), gaps


def _resolve(survey: Survey, near: Sequence[Pair] = ()) -> Survey:
    """Classes and splits, where they can be decided; where not, the sentence why."""
    troubles = dict(survey.troubles)
    classes = None
    if survey.valued:
        values = {mask_name(one.record): one.values for one in survey.valued}
        try:
            classes = decide_classes(survey.config, survey.listing, values)
        except DataError as error:
            troubles["classes"] = str(error)
    facts = survey.facts
    if facts:
        try:
            items, split, alike = [_item(one, classes) for one in facts], survey.config.split, alike_sets(facts, near)
            assignment = assign_splits(items, split, alike, classes.names if classes else ())
            # what a list of groups has to say, where the configuration looks at none
            kept = (
                assignment
                if split.group is not None
                else assign_splits(items, split.model_copy(update={"group": AUTO}), alike)
            )
            groups = {
                now.record.id: str(now.record.group)
                for now, was in zip(kept.items, items, strict=True)
                if now.record.group != was.record.group
            }
            facts = tuple(replace(one, record=item.record) for one, item in zip(facts, assignment.items, strict=True))
            reason = f"split {assignment.split_info.reason}"
            survey = replace(
                survey,
                assignment=reason,
                notes=assignment.notes,
                near=alike,
                groups=groups,
                pattern=kept.split_info.group,
            )
            troubles |= _without_images(facts)
        except DataError as error:
            troubles["split"] = str(error)
    return replace(survey, facts=facts, classes=classes, troubles=troubles)


def _assigns(listing: Listing, config: DataConfig) -> bool:
    """Whether any image's split is ours to assign; what cannot be is reported when it is tried."""
    try:
        return bool(indices_to_split(listing.records, config.split))
    except DataError:
        return False


def alike_sets(facts: Sequence[PairFacts], near: Sequence[Pair]) -> list[list[int]]:
    """Sets of pictures that splitting keeps together."""
    clusters = Clusters()
    for pair in (*equal_pairs(facts), *near):
        clusters.join(pair.first, pair.second)
    return clusters.lists()


def _without_images(facts: Sequence[PairFacts]) -> dict[str, str]:
    """Training needs something to learn from and something to be judged by."""
    splits = {one.record.split for one in facts}
    empty = [split for split in ("train", "val") if split not in splits]
    fix = "Name some, or set data.split.val above 0."
    return {"split": f"`data.split` must be such that {empty[0]} has images; got none. {fix}"} if empty else {}


def _look_at_all(
    config: DataConfig,
    listing: Listing,
    root: Path,
    bands: Bands | None,
    heads: Sequence[Head | None],
    progress: Progress | None,
) -> list[PairFacts]:
    """Decode every pair once, on all cores, and keep its facts."""
    found: list[PairFacts] = []
    named = sorted(known_values(config, listing)) if uses_colours(config, listing) else []
    with quiet(), ThreadPoolExecutor(usable_cores()) as pool:
        looks = map_ahead(pool, lambda record, head: look(record, root, bands, head, named), listing.records, heads)
        for one in looks:
            found.append(one)
            if progress:
                progress(len(found), len(listing.records))
    return found


def _item(facts: PairFacts, classes: ClassMap | None) -> Item:
    """What assigning splits asks of a pair."""
    height, width = (facts.head.height, facts.head.width) if facts.head else (0, 0)
    pixels = pixels_of_labels(classes, facts.values) if classes else {}
    counts = tuple(pixels.get(label, 0) for label in range(classes.num_classes)) if classes else (0,)
    return Item(facts.record, height, width, *facts.hashes, counts, pixels.get(IGNORE, 0))


def _page_facts(facts: PairFacts, classes: ClassMap | None) -> dict[str, object]:
    """The small facts of a pair that pages show."""
    pixels = pixels_of_labels(classes, facts.values) if classes else {}
    names = dict(enumerate(classes.names)) if classes else {}
    return {
        "id": facts.record.id,
        "image": facts.image_file,
        "mask": facts.mask_file,
        "split": facts.record.split,
        "height": facts.head.height if facts.head else 0,
        "width": facts.head.width if facts.head else 0,
        "pixels": {names[label]: count for label, count in pixels.items() if label in names},
    }
