"""Pictures that are there twice: equal, nearly equal or overlapping, within a split and across splits.

    pairs = near_pairs(facts)                        # once: it looks at every thumbnail
    findings = duplicate_findings(facts, pairs=pairs)

A pair is reported under the code it belongs to; of pictures that are all alike only as many pairs are kept as join
them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from maskwright.data.checks.facts import PairFacts
from maskwright.data.checks.findings import CODES, Finding, Repair
from maskwright.data.grouping import Clusters
from maskwright.data.near_duplicates import Match, find_matches
from maskwright.data.signatures import Signature
from maskwright.errors import counted, listed

_SHOWN = 3  # pairs named in the evidence; all are in the details
_OTHER_MASK = 0.01  # share of the pixels by which masks of nearly equal pictures must differ to be called different
Kind = Literal["equal", "turned", "copy", "crop", "overlap", "scene"]

# by turn, as near_duplicates.turned_picture numbers them
TURNS = (
    "", "turned by 90° to the left", "turned by 180°", "turned by 90° to the right", "mirrored left to right",
    "mirrored along its diagonal", "mirrored top to bottom", "mirrored along its other diagonal",
)  # fmt: skip
_ALL, _SAME_SCALE, _STILL = 0.93, 0.025, 0.02  # share of the overlap; change of scale; shift as share of a side
_COPY, _RESIZED, _CROP = 0.99, 0.93, 0.8  # correlation of fine details: below, it is a scene a moment later
_TONE = 0.05  # share by which the mean must differ for a picture to be brighter or darker
_CLOSE: tuple[Kind, ...] = ("turned", "copy")  # matches in which every pixel has its counterpart


@dataclass(frozen=True)
class Pair:
    """Two facts (by their places), what the second is of the first, in a word and in words, and how alike they are."""

    first: int
    second: int
    kind: Kind
    message: str
    score: float = 1.0


def duplicate_findings(
    facts: Sequence[PairFacts],
    cheap: bool = False,
    named: Collection[str] | None = None,
    pairs: Sequence[Pair] | None = None,
    groups: Mapping[str, str] | None = None,
) -> list[Finding]:
    """Every finding about pictures that are there twice; `cheap` leaves near duplicates aside.

    named: splits the data set itself names (None: those of the records). What lies in two of them is for a person to
    decide; what only our own split tore apart is to be grouped. pairs: what `near_pairs` found, if it was asked
    before. groups: the group of each record (by its id) that the data set does not name and splitting keeps it in.
    """
    own = {split for one in facts if (split := one.record.split)} if named is None else set(named)
    same = equal_pairs(facts)
    near = [] if cheap else list(near_pairs(facts) if pairs is None else pairs)
    ungrouped = dict(groups or {})
    findings = [_listed_twice(facts)]
    for code, pairs_of in (
        ("exact-leak", same),
        ("exact-duplicates", same),
        ("near-leak", near),
        ("near-duplicates", near),
    ):
        chosen = [pair for pair in pairs_of if _crosses(facts, pair) == code.endswith("-leak")]
        finding = _finding(code, chosen, facts, own, ungrouped)
        if finding and finding.proposal and finding.proposal.op == "regroup":
            for name in finding.proposal.values["groups"]:  # each record is regrouped by one finding alone
                ungrouped.pop(name)
        findings.append(finding)
    findings.append(_different_masks(facts, [*_all_equal(facts), *near]))
    return [finding for finding in findings if finding]


def equal_pairs(facts: Sequence[PairFacts]) -> list[Pair]:
    """Pictures of equal pixels, joined to the first; one that is listed in two splits is not its own duplicate."""
    return [
        Pair(first, second, "equal", _format_equal(facts[first], facts[second]))
        for first, second in ((pair.first, pair.second) for pair in _all_equal(facts))
        if _item(facts[first]) != _item(facts[second]) or facts[first].record.split == facts[second].record.split
    ]


def near_pairs(facts: Sequence[PairFacts]) -> list[Pair]:
    """Pictures that are turned, changed, cropped or overlapping ones of others. Equal ones are looked at once."""
    seen = {pair.second for pair in _all_equal(facts)}
    places = [place for place, one in enumerate(facts) if place not in seen and one.signature and not one.constant]
    signatures = [signature for place in places if (signature := facts[place].signature)]
    splits = [facts[place].record.split for place in places]

    def pair_of(match: Match) -> Pair:
        first, second = places[match.first], places[match.second]
        both = signatures[match.first], signatures[match.second]
        words = describe(match, (facts[first].image_file, facts[second].image_file), both)
        return Pair(first, second, kind_of(match, both), words, round(match.score, 3))

    found = [pair_of(match) for match in find_matches(signatures, lambda one, two: splits[one] != splits[two])]
    return sorted(found, key=lambda pair: (pair.first, pair.second))


def _all_equal(facts: Sequence[PairFacts]) -> list[Pair]:
    first_of: dict[Hashable, int] = {}
    found: list[Pair] = []
    for place, one in enumerate(facts):
        key = one.signature.exact if one.signature else (one.hashes[0], one.record.window) if one.hashes[0] else None
        if key is None or one.constant:  # white tiles are no duplicates
            continue
        first = first_of.setdefault(key, place)
        if first != place:
            found.append(Pair(first, place, "equal", ""))
    return found


def _item(facts: PairFacts) -> Hashable:
    return facts.image_file, facts.record.window


def _format_equal(first: PairFacts, second: PairFacts) -> str:
    if _item(first) == _item(second):
        return f"{second.image_file} is listed twice"
    same_file = first.hashes[0] and first.hashes[0] == second.hashes[0]
    what = "the same file as" if same_file else "the same picture, pixel by pixel, as"
    return f"{second.image_file} is {what} {first.image_file}"


def _crosses(facts: Sequence[PairFacts], pair: Pair) -> bool:
    return facts[pair.first].record.split != facts[pair.second].record.split


def _listed_twice(facts: Sequence[PairFacts]) -> Finding | None:
    """The same image file listed in two splits."""
    splits: dict[Hashable, dict[str, None]] = defaultdict(dict)
    for one in facts:
        if one.record.split:
            splits[_item(one)][one.record.split] = None
    twice = {item: list(names) for item, names in splits.items() if len(names) > 1}
    if not twice:
        return None
    chosen = [one for one in facts if _item(one) in twice]
    files = tuple(dict.fromkeys(one.image_file for one in chosen))
    messages = {one.image_file: f"{one.image_file} is listed in {listed(twice[_item(one)])}" for one in chosen}
    question = f"{counted(len(files), 'image is', 'images are')} listed in two splits. List each in one."
    repair = Repair("leave-out", {"files": list(files)}, question=question)
    details = {"listed": {one.image_file: twice[_item(one)] for one in chosen}}
    return Finding(
        "listed-twice", files, _some(list(messages.values())), CODES["listed-twice"].severity, repair, details
    )


def _finding(
    code: str, pairs: Sequence[Pair], facts: Sequence[PairFacts], named: Collection[str], groups: Mapping[str, str]
) -> Finding | None:
    if not pairs:
        return None
    clusters = Clusters()
    for pair in pairs:
        clusters.join(pair.first, pair.second)
    lists = [[facts[place].image_file for place in cluster] for cluster in clusters.lists()]
    files = tuple(dict.fromkeys(file for cluster in lists for file in cluster))
    number = sum(map(len, lists))
    evidence = (
        f"{counted(number, 'picture')} in {counted(len(lists), 'cluster')}: {_some([pair.message for pair in pairs])}"
    )
    details = {"clusters": lists, "pairs": [_detail(pair, facts) for pair in pairs]}
    places = [place for cluster in clusters.lists() for place in cluster]
    repair = _repair(code, pairs, places, facts, named, groups)
    return Finding(code, files, evidence, CODES[code].severity, repair, details)


def _repair(
    code: str,
    pairs: Sequence[Pair],
    places: Sequence[int],
    facts: Sequence[PairFacts],
    named: Collection[str],
    groups: Mapping[str, str],
) -> Repair | None:
    """A question where the data set's own splits share pictures; groups where the splits are ours to deal."""
    if code.endswith("-leak"):
        given = [
            pair for pair in pairs if {facts[pair.first].record.split, facts[pair.second].record.split} <= set(named)
        ]
        if given:
            sides: dict[str, list[str]] = defaultdict(list)
            for place in sorted({place for pair in given for place in (pair.first, pair.second)}):
                sides[str(facts[place].record.split)].append(facts[place].image_file)
            counts = listed([f"{len(files)} in {split}" for split, files in sides.items()])
            where = f"The same pictures are in several splits ({counts})."
            question = f"{where} Decide which side goes without, and remove them there."
            return Repair("leave-out", {"sides": dict(sides)}, question=question)
    elif named:
        return None
    ids = {name: groups[name] for place in places if (name := facts[place].record.id) in groups}
    return Repair("regroup", {"groups": ids}, "written down as groups, which a split keeps together") if ids else None


def _different_masks(facts: Sequence[PairFacts], pairs: Sequence[Pair]) -> Finding | None:
    """Equal pictures whose masks differ at all, and close copies whose masks differ by a hundredth and more."""
    messages: dict[tuple[int, int], str] = {}
    for pair in pairs:
        one, two = facts[pair.first], facts[pair.second]
        if not (one.mask_hash and two.mask_hash and one.fits and two.fits) or one.mask_hash == two.mask_hash:
            continue
        share = _values_apart(one.values, two.values)
        if pair.kind == "equal" or (pair.kind in _CLOSE and share >= _OTHER_MASK):
            elsewhere = "hold the same values in other places"
            differ = f"differ in at least {share:.1%} of the pixels" if share >= 0.0005 else elsewhere
            messages[pair.first, pair.second] = f"masks of {one.image_file} and {two.image_file} {differ}"
    if not messages:
        return None
    files = tuple(dict.fromkeys(facts[place].mask_file for pair in messages for place in pair))
    shown = [[facts[place].mask_file for place in pair] for pair in messages]
    evidence = (
        f"{counted(len(messages), 'pair of pictures', 'pairs of pictures')} alike: {_some(list(messages.values()))}"
    )
    return Finding("different-masks", files, evidence, CODES["different-masks"].severity, None, {"pairs": shown})


def _values_apart(one: dict[int, int], two: dict[int, int]) -> float:
    """The least share of pixels that must differ, for the values to be as often as they are."""
    totals = max(1, sum(one.values())), max(1, sum(two.values()))
    return (
        sum(abs(one.get(value, 0) / totals[0] - two.get(value, 0) / totals[1]) for value in one.keys() | two.keys()) / 2
    )


def _detail(pair: Pair, facts: Sequence[PairFacts]) -> dict[str, object]:
    one, two = facts[pair.first], facts[pair.second]
    return {
        "files": [one.image_file, two.image_file],
        "splits": [one.record.split, two.record.split],
        "kind": pair.kind,
        "score": pair.score,
        "message": pair.message,
    }


def _some(sentences: Sequence[str]) -> str:
    more = len(sentences) - _SHOWN
    return "; ".join(sentences[:_SHOWN]) + (f"; and {more:,} more." if more > 0 else ".")


def kind_of(match: Match, signatures: tuple[Signature, Signature]) -> Kind:
    """Which kind of match it is."""
    moved = max(map(abs, match.shift)) > _STILL
    if match.overlap < _ALL and moved:
        return "overlap"
    if abs(match.scale - 1) > _SAME_SCALE or not match.same_view or moved:
        return "crop" if match.score >= _CROP else "scene"
    if match.turn:
        return "turned"
    resized = signatures[0].size != signatures[1].size
    return "copy" if match.score >= (_RESIZED if resized else _COPY) else "scene"


def describe(match: Match, names: tuple[str, str], signatures: tuple[Signature, Signature]) -> str:
    """One sentence without its full stop, such as "b.png is a.png turned by 180°"."""
    (first, second), kind, turned = names, kind_of(match, signatures), TURNS[match.turn]
    with_turn = f" {turned}" if turned else ""
    if kind == "scene":
        return f"{second} shows nearly what {first} shows"
    if kind == "overlap":
        moved = _moved(match, signatures[1].size)
        after = f" ({first} {turned})" if turned else ""
        return f"{second} overlaps {first} by about {5 * round(20 * match.overlap)} %{moved}{after}"
    if kind == "crop":
        return _cropped(match, names, signatures, turned)
    changes = _changes(match, signatures)
    return f"{second} is {first}{with_turn}{', ' if with_turn and changes else ' ' if changes else ''}{changes}" + (
        "" if with_turn or changes else " saved again"
    )


def _cropped(match: Match, names: tuple[str, str], signatures: tuple[Signature, Signature], turned: str) -> str:
    first, second = names
    after = f" ({first} {turned})" if turned else ""
    if not match.same_view:
        sizes = [signature.size[0] * signature.size[1] for signature in signatures]
        small, large = (second, first) if sizes[1] <= sizes[0] else (first, second)
        return f"{small} is cut out of {large}{after}"
    if abs(match.scale - 1) <= _SAME_SCALE:
        moved = _moved(match, signatures[1].size)
        return f"{second} shows what {first}{' ' + turned if turned else ''} shows{moved}"
    small, large, scale = (second, first, 1 / match.scale) if match.scale > 1 else (first, second, match.scale)
    return f"{small} shows what {large} shows, cropped to about {100 * scale:.0f} % of its sides{after}"


def _moved(match: Match, size: tuple[int, int]) -> str:
    """The shift in pixels of the second picture; nothing for less than a hundredth."""
    pixels = [round(abs(share) * side) for share, side in zip(match.shift, size, strict=True)]
    parts = [
        (number, word) for number, word in zip(pixels, ("row", "column"), strict=True) if number > 0.01 * max(size)
    ]
    messages = " and ".join(counted(number, word) for number, word in parts)
    return f", shifted by {messages}" if messages else ""


def _changes(match: Match, signatures: tuple[Signature, Signature]) -> str:
    """Another size, another brightness."""
    one, two = signatures
    upright = one.size if match.turn % 2 == 0 else (one.size[1], one.size[0])
    changes = [f"resized from {_size(upright)} to {_size(two.size)}"] if upright != two.size else []
    before, after = float(one.small.mean()), float(two.small.mean())
    change = (after - before) / max(before, 1.0)
    if abs(change) >= _TONE:
        changes.append(f"{'brighter' if change > 0 else 'darker'} by about {abs(change):.0%}")
    return " and ".join(changes)


def _size(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"
