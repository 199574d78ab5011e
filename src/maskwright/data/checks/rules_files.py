"""Rules on files: can they be read, do they come in pairs, do image and mask lie on each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from maskwright.data.checks.facts import PairFacts, name_in, pair_folders
from maskwright.data.checks.findings import Answer, Finding, Repair
from maskwright.data.checks.repair_operations import same_aspect
from maskwright.data.checks.survey import Survey, mask_files
from maskwright.data.dataset import Gap
from maskwright.data.images import TURNED
from maskwright.errors import counted, listed

_MOST = 0.8  # of the pairs look swapped
_MANY_VALUES, _FEW_TONES = 64, 16  # in a mask: more are no classes; in an image: fewer are no photograph
_OTHERS = 0.5  # of a mask's pixels have none of its most frequent values: in a drawn one, whatever JPEG did, few have
_PLAINLY = 1.5  # a turned mask follows the image's edges so much better than the mask as it is


def swapped(survey: Survey) -> list[Finding]:
    """Photographs where the masks should be, and pictures of a few values where the photographs should be."""
    found = [facts for facts in survey.readable if facts.num_tones <= _FEW_TONES and _is_photograph(facts)]
    if not found or len(found) < _MOST * len(survey.facts):
        return []
    values, tones = min(facts.num_values for facts in found), max(facts.num_tones for facts in found)
    evidence = (
        f"images and masks look swapped: the masks hold {values:,} values and more each, as photographs do, the images "
        f"{tones if tones < 2 else f'no more than {tones}'}, as masks do."
    )
    named = survey.config.images, survey.config.masks
    folders = named if all(named) else pair_folders(survey.listing.records, survey.root)
    answers = (Answer("name them the other way round", {"images": folders[1], "masks": folders[0]}),) if folders else ()
    csv = "Exchange the columns `image` and `mask` of the list." if survey.listing.reader == "csv" else ""
    repair = Repair(
        "leave-out", {}, "", csv or "Are images and masks named the wrong way round?", () if csv else answers
    )
    return [Finding("swapped", mask_files(found), evidence, "error", repair, {"values": values, "tones": tones})]


def _is_photograph(facts: PairFacts) -> bool:
    """Whether a mask holds many values, and none of them much of it; one may be a frame's black or a sky's white."""
    most, *others = sorted(facts.values.values(), reverse=True) or [0]
    pixels = facts.mask_size[0] * facts.mask_size[1] - most if facts.mask_size else 0
    return facts.num_values > _MANY_VALUES and pixels - sum(others[:_FEW_TONES]) > _OTHERS * pixels


def unreadable(survey: Survey) -> list[Finding]:
    """Files that are missing, empty, truncated or something else under that name."""
    broken = [facts for facts in survey.facts if facts.problem]
    if not broken:
        return []
    files = tuple(dict.fromkeys(file for facts in broken for file in facts.broken))
    more = f" And {len(broken) - 1} more." if len(broken) > 1 else ""
    some_left = len(broken) < len(survey.facts)  # a copy of nothing is no repair
    proposal = Repair("leave-out", {}, f"leave {counted(len(broken), 'pair')} out of the copy") if some_left else None
    details = {"problems": {facts.image_file: facts.problem for facts in broken}}
    return [Finding("unreadable", files, broken[0].problem + more, "error", proposal, details)]


def gaps(survey: Survey) -> list[Finding]:
    """What the listing lacks or holds too much of: unpaired, listed-twice, unlisted."""
    found: dict[str, list[Gap]] = defaultdict(list)
    for gap in survey.gaps:
        found[gap.code].append(gap)
    return [_gap(survey, code, some) for code, some in found.items()]


def _gap(survey: Survey, code: str, some: Sequence[Gap]) -> Finding:
    files = tuple(dict.fromkeys(name_in(survey.root, path) for gap in some for path in gap.files))
    more = f" And {len(some) - 1} more." if len(some) > 1 else ""
    evidence = f"{some[0].message.rstrip('.')}.{more}"
    proposal = None
    if code == "unpaired" and survey.facts:  # a copy of nothing is no repair
        proposal = Repair("leave-out", {}, "leave out the files that have no partner")
    if code == "listed-twice":
        proposal = Repair(
            "leave-out", {}, "leave the item out", "Which of its rows is right? Remove the other one from the list."
        )
    return Finding(code, files, evidence, "error", proposal, {"problems": [gap.message for gap in some]})


def sizes(survey: Survey) -> list[Finding]:
    """Masks of another size: a row or column too many, turned, scaled, or something else altogether."""
    offsets: dict[tuple[int, int], list[PairFacts]] = defaultdict(list)
    turned: dict[int, list[PairFacts]] = defaultdict(list)
    scaled: list[PairFacts] = []
    others: list[PairFacts] = []
    for facts in survey.readable:
        if facts.fits or facts.head is None or facts.upright_mask is None:
            continue
        image, mask = (facts.head.height, facts.head.width), facts.upright_mask
        rows, columns = image[0] - mask[0], image[1] - mask[1]
        if max(abs(rows), abs(columns)) <= 1:
            offsets[rows, columns].append(facts)
        elif mask == image[::-1]:
            known = facts.head.orientation in TURNED and facts.mask_orientation == 1
            turned[facts.head.orientation if known else 0].append(facts)
        else:
            (scaled if same_aspect(image, mask) else others).append(facts)
    return [
        *(_offset(found, *key) for key, found in sorted(offsets.items())),
        *(_turned(found, orientation) for orientation, found in sorted(turned.items())),
        *([_scaled(scaled)] if scaled else []),
        *([_other_size(others)] if others else []),
    ]


def orientation(survey: Survey) -> list[Finding]:
    """Images with an EXIF turn whose mask, of the same size, follows them only when turned as well."""
    found: dict[int, list[PairFacts]] = defaultdict(list)
    for facts in survey.readable:
        if facts.edges is not None and facts.head is not None and facts.edges[1] > _PLAINLY * max(facts.edges[0], 1.0):
            found[facts.head.orientation].append(facts)
    return [_unlike_edges(some, number) for number, some in sorted(found.items())]


RULES = (unreadable, gaps, sizes, orientation)


def _format_sizes(facts: PairFacts) -> str:
    assert facts.head is not None and facts.upright_mask is not None
    image, mask = (facts.head.width, facts.head.height), facts.upright_mask[::-1]
    return f"{facts.mask_file} is {mask[0]}x{mask[1]}, its image {image[0]}x{image[1]}"


def _details(found: Sequence[PairFacts]) -> dict[str, object]:
    return {"sizes": {one.mask_file: {"image": [one.head.height, one.head.width] if one.head else None,
                                      "mask": list(one.upright_mask or ())} for one in found}}  # fmt: skip


def _more(found: Sequence[PairFacts]) -> str:
    return f", and {counted(len(found) - 1, 'more like it', 'more like it')}" if len(found) > 1 else ""


def _offset(found: Sequence[PairFacts], rows: int, columns: int) -> Finding:
    parts = [
        f"{word} {'more' if number < 0 else 'less'}"
        for number, word in ((rows, "a row"), (columns, "a column"))
        if number
    ]
    evidence = (
        f"{counted(len(found), 'mask has', 'masks have')} {listed(parts)} than the image: {_format_sizes(found[0])}."
    )
    verb = (
        "cut off or add"
        if rows * columns < 0
        else "cut off"
        if min(rows, columns) < 0
        else "add, as unlabelled pixels,"
    )
    message = f"{verb} the row or column at the bottom or right"
    repair = Repair("fit-mask", {"rows": rows, "columns": columns}, message)
    return Finding(
        "offset", mask_files(found), evidence, "error", repair, {"rows": rows, "columns": columns, **_details(found)}
    )


def _turned(found: Sequence[PairFacts], orientation: int) -> Finding:
    if orientation:
        evidence = (
            f"the image is turned by its EXIF orientation {orientation}, the mask is not: {_format_sizes(found[0])}"
        )
        repair = Repair("turn-mask", {"orientation": orientation}, "turn the masks as their images are")
    else:
        evidence = f"rows and columns of mask and image are exchanged: {_format_sizes(found[0])}"
        question = "Were the masks turned to the left or to the right? Turn them back, or make them anew."
        repair = Repair("turn-mask", {"orientation": 6}, "turn the masks", question)
    return Finding("orientation", mask_files(found), f"{evidence}{_more(found)}.", "error", repair, _details(found))


def _scaled(found: Sequence[PairFacts]) -> Finding:
    repair = Repair("resize-mask", {}, "bring the masks to their images' size, each pixel the nearest value")
    evidence = f"same shape, other size: {_format_sizes(found[0])}{_more(found)}."
    return Finding(
        "size-mismatch", mask_files(found), evidence, "error", repair, {"same_aspect": True, **_details(found)}
    )


def _other_size(found: Sequence[PairFacts]) -> Finding:
    question = (
        "Do these masks belong to these images, and which part of them do they show? Make them anew at the images' "
        "size."
    )
    repair = Repair("resize-mask", {}, "bring the masks to their images' size", question)
    evidence = f"other size and other shape: {_format_sizes(found[0])}{_more(found)}."
    return Finding(
        "size-mismatch", mask_files(found), evidence, "error", repair, {"same_aspect": False, **_details(found)}
    )


def _unlike_edges(found: Sequence[PairFacts], number: int) -> Finding:
    as_is, turned = found[0].edges or (0.0, 0.0)
    evidence = (
        f"the image is turned by its EXIF orientation {number}, the mask is not: turned as well, its borders meet "
        f"edges {turned / max(as_is, 0.1):.1f} times as strong in {found[0].mask_file}{_more(found)}."
    )
    repair = Repair("turn-mask", {"orientation": number}, "turn the masks as their images are")
    details = {"edges": {one.mask_file: list(one.edges or ()) for one in found}}
    return Finding("orientation", mask_files(found), evidence, "error", repair, details)
