"""Groups that file names show: frames of a video, slices of a patient, tiles of a scene, copies of an image.

    guess = guess_groups(["vid01_f0005", "vid01_f0010", "vid02_f0001", "vid02_f0007"])
    guess.pattern              # goes into data.split.group
    guess.evidence             # why, in words

A guess is made by a regular expression alone, so that what is guessed is what data.split.group would do. It is refused
where it would put nearly all in one group or leave each image alone, as running numbers do. Quantifiers are possessive
(`++`) wherever what follows begins otherwise: none may try every way of cutting a long name.
"""

from __future__ import annotations

import itertools
import math
import os
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from maskwright.data.layout import SPLIT_NAMES

Strength = Literal["strong", "weak"]
Check = Callable[[Sequence[re.Match[str]]], bool]


@dataclass(frozen=True)
class Guess:
    """Groups of names: the pattern that finds them, the group of each name in their order, and why one may believe it.

    strong: the split goes by it; weak: it is only reported, because days or plain numbers need not mean anything.
    """

    pattern: str
    groups: tuple[str, ...]
    evidence: str
    strength: Strength = "strong"

    @property
    def num_groups(self) -> int:
        return len(set(self.groups))


@dataclass(frozen=True)
class _Rule:
    """One way in which names show groups. TAIL in the pattern stands for the ending all names share.

    company: least share of the images that are in a group with others; least: fewest groups to believe in.
    """

    pattern: str
    message: str
    strength: Strength = "strong"
    check: Check | None = None
    company: float = 0.5
    least: int = 2


_MOST_IN_ONE = 0.9  # of the images: beyond it a guess says nothing
_LEAST_NAMES = 4
_LEAST_STEP = 8  # pixels from one tile to the next
_PEOPLE = "patient|pat|subject|subj|sub|case|person|volunteer|donor|animal|mouse|specimen"
_FILMS = "video|vid|clip|movie|film|sequence|seq|recording|drive|flight|mission"
_PLACES = (
    "scene|scan|series|study|slide|wsi|volume|vol|stack|site|plot|field|farm|area|aoi|region|orbit|mosaic|ortho|roi|"
    "session|visit|sample|biopsy|plate|well|batch|group|grp"
)
_PARTS = (
    "slice|slc|frame|frm|fr|f|z|t|view|angle|crop|patch|tile|chip|window|win|part|piece|block|"
    "image|img|im|photo|pic|shot|layer|level|section|step|time|idx|no|nr|n|x|y|r|c|row|col|i|j"
)
_COPIES = (
    "augmented|augment|aug|flipped|flip|hflip|vflip|fliplr|flipud|mirrored|mirror|rotated|rotate|rot|copy|dup|"
    "duplicate|noisy|noise|blurred|blur|brightness|bright|dark|jitter|cropped|scaled|resized|zoomed|zoom|transposed|"
    "original|orig"
)
_LABELS = "class|cls|label|category|cat|type|grade|train|training|val|valid|validation|test|testing"
_FILE = "(?:^|(?<=/))"  # names are `folders/file`; all but the rules for folders look at the file's own name
_NOT_LABEL = rf"(?!(?:{_LABELS})[-_ ]?\d)"  # class3_12 is a class's twelfth image: its images must not stay together
_NOT_PART = rf"(?!(?:{_PARTS})[-_ ]?\d+[-_ .])"  # nor those of row 3 of one large picture
_NUMBER = r"[-_ ]?(?:[a-z]?\d+|[a-z](?![a-z]))"
_DATE = r"(?:19|20)\d\d[-_.]?(?:0[1-9]|1[0-2])[-_.]?(?:0[1-9]|[12]\d|3[01])"


def _restarts(found: Sequence[re.Match[str]]) -> bool:
    """The numbers after the groups begin anew in most of them: 1_1 1_2 2_1 2_2, not 1_1 1_2 2_3 2_4."""
    inside: dict[str, list[int]] = defaultdict(list)
    for match in found:
        inside[match.group(1)].append(int(match.group("number")))
    if any(len(set(numbers)) < len(numbers) for numbers in inside.values()):
        return False
    spans = sorted((min(numbers), max(numbers)) for numbers in inside.values())
    overlapping = sum(left[1] >= right[0] for left, right in itertools.pairwise(spans))
    return overlapping >= 0.7 * (len(spans) - 1)


def _several_each(found: Sequence[re.Match[str]]) -> bool:
    """Few ids with many numbers each, as videos have, rather than many ids now and then used twice."""
    sizes = Counter(match.group(1) for match in found)
    return len(found) >= 2 * len(sizes) and statistics.median(sizes.values()) >= 2


def _positions(found: Sequence[re.Match[str]]) -> bool:
    """The last two numbers are multiples of a step, as the corners of tiles are."""
    steps = [math.gcd(*(int(match.group(name)) for match in found)) for name in ("first", "second")]
    return any(steps) and all(step == 0 or step >= _LEAST_STEP for step in steps)


def _a_copy_of(found: Sequence[re.Match[str]]) -> bool:
    """Some names have an ending that says they are copies, and not all of them the same one."""
    return len({match.group("ending").lower() for match in found}) > 1


def _named(words: str, message: str, first: bool) -> tuple[_Rule, _Rule]:
    """Folders, then files, named by one of these words and a number; of several words the first or last counts."""
    upto = "[^/]*?" if first else "[^/]*"
    whole = rf"(?i)({_FILE}{upto}(?<![a-z])(?:{words}){_NUMBER})"
    return (
        _Rule(rf"{whole}(?=[^/\d][^/]*/|/)", f"their folders name {message}"),
        _Rule(rf"{whole}(?=[^/\d][^/]*$)", f"they name {message}, and something within it", company=0.3),
    )


_RULES: tuple[_Rule, ...] = (
    *_named(_PEOPLE, "a patient, a case or the like", first=True),
    *_named(_FILMS, "a video, a sequence or the like", first=True),
    *_named(_PLACES, "a scene, a slide, a plot or the like", first=False),
    _Rule(
        rf"({_FILE}[^/]*?)[-_ ]++(?P<first>\d++)[-_ x,]++(?P<second>\d++)(?:[-_ x,]++\d++[-_ x,]++\d++)?TAIL$",
        "they end in two numbers that are multiples of a step, as the corners of tiles cut from a scene are",
        check=_positions,
    ),
    _Rule(
        rf"(?i)({_FILE}[^/]*?)[-_ ]++(?:x|r|row|col|c|y)[-_ ]?\d++[-_ ]*+(?:x|r|row|col|c|y)[-_ ]?\d++TAIL$",
        "they end in a row and a column, as tiles cut from a scene do",
    ),
    _Rule(
        rf"(?i)({_FILE}{_NOT_LABEL}{_NOT_PART}[^/]*?)[-_ .]++"
        r"(?:slice|slc|frame|frm|fr|f|z|t|crop|patch|tile|chip|layer|section)[-_ ]?\d++TAIL$",
        "they end in the number of a frame, slice, tile or the like",
        check=_several_each,
    ),
    _Rule(
        rf"(?i)({_FILE}{_NOT_LABEL}{_NOT_PART}(?=(?:[a-z]++[-_ ])*+(?:[a-z]++\d|\d++[a-z])[a-z\d]*+[-_ ])[^/]*?)"
        r"[-_ ]++[a-z]{0,3}\d++TAIL$",
        "they begin with an id of letters and digits that many share, and end in a number, as frames of a few "
        "videos do",
        check=_several_each,
    ),
    _Rule(
        rf"(?i)({_FILE}[^/]+?)(?P<ending>(?:[-_ .(]++(?:{_COPIES})(?:[-_ ]?[a-z]?\d++)*\)?)*)TAIL$",
        "some end in a word for a changed copy of another, such as aug, flip or rot",
        check=_a_copy_of,
        company=0.05,
    ),
    _Rule(
        rf"(?i)({_FILE}{_NOT_LABEL}(?![^\d/]*+{_DATE}[-_ ]++\d++TAIL$)(?![^\d/]*+(?:19|20)\d\d[-_ ])[^/]*?(?<!\d)\d++)"
        r"[-_ ]++(?P<number>\d{1,6})TAIL$",
        "they hold two numbers, and the second begins anew with each first, as slices of patients do",
        check=lambda found: _several_each(found) and _restarts(found),
        least=3,
    ),
    _Rule(
        rf"{_FILE}[^/]*?(?<!\d)({_DATE})(?!\d)",
        "they hold a date that several share; images of one day may show the same things",
        "weak",
        check=_several_each,
    ),
    _Rule(
        rf"(?i)({_FILE}{_NOT_LABEL}[^/]*?(?<!\d)\d{{1,5}})[-_ ]++(?P<number>\d{{1,6}})TAIL$",
        "they hold two numbers, of which several share the first",
        "weak",
        check=_several_each,
        least=3,
    ),
    _Rule(r"([^/]+)/[^/]+$", "they lie in several folders", "weak", check=_several_each, least=3),
)


def guess_groups(names: Sequence[str]) -> Guess | None:
    """What groups the names show, or None. Names are records' ids: paths inside the data set, without suffix.

    >>> guess_groups([f"image-{n}" for n in range(18)]) is None
    True
    >>> guess_groups(["p1_slice1", "p1_slice2", "p2_slice1", "p2_slice2"]).groups
    ('p1', 'p1', 'p2', 'p2')
    """
    if len(names) < _LEAST_NAMES:
        return None
    tail = re.escape(_common_tail(names))
    for rule in _RULES:
        pattern = rule.pattern.replace("TAIL", tail)
        found = _all_found(pattern, names)
        if found is None or (rule.check and not rule.check(found)):
            continue
        groups = tuple(match.group(1) for match in found)
        if _believable(groups, rule) and not _splits_only(groups):
            return Guess(_without_names(pattern), groups, _evidence(rule, names, groups), rule.strength)
    return None


def torn(groups: Sequence[str], splits: Sequence[str | None]) -> dict[str, dict[str, int]]:
    """Groups that are in several splits, and how many images each split has of them.

    >>> torn(["a", "a", "b"], ["train", "val", "val"])
    {'a': {'train': 1, 'val': 1}}
    """
    places: dict[str, Counter[str]] = defaultdict(Counter)
    for group, split in zip(groups, splits, strict=True):
        if split is not None:
            places[group][split] += 1
    return {group: dict(found) for group, found in places.items() if len(found) > 1}


def _all_found(pattern: str, names: Sequence[str]) -> list[re.Match[str]] | None:
    """The match in each name, or None as soon as one has none."""
    matcher, found = re.compile(pattern), []
    for name in names:
        match = matcher.search(name)
        if match is None:
            return None
        found.append(match)
    return found


def _without_names(pattern: str) -> str:
    """Only the first bracket may catch anything: named ones serve our checks alone."""
    return re.sub(r"\(\?P<\w+>", "(?:", pattern)


def _common_tail(names: Sequence[str]) -> str:
    """The ending all names share, from its first sign that is no digit on: `_leftImg8bit` of street_1_leftImg8bit."""
    ending = os.path.commonprefix([name[::-1] for name in names])[::-1]  # noqa: RUF071
    found = re.search(r"[^\d].*", ending)
    tail = found.group(0) if found else ""
    return "" if re.search(r"\d$", tail) or "/" in tail else tail


def _believable(groups: Sequence[str], rule: _Rule) -> bool:
    sizes = Counter(groups)
    in_company = sum(size for size in sizes.values() if size > 1)
    return (
        len(sizes) >= rule.least
        and max(sizes.values()) <= _MOST_IN_ONE * len(groups)
        and in_company >= max(2.0, rule.company * len(groups))
    )


def _splits_only(groups: Sequence[str]) -> bool:
    """Folders that are train, val and test are no groups."""
    return all(re.sub(r"[^a-z]", "", group.lower().rpartition("/")[2]) in SPLIT_NAMES for group in set(groups))


def _evidence(rule: _Rule, names: Sequence[str], groups: Sequence[str]) -> str:
    sizes = Counter(groups)
    largest = min(sizes, key=lambda group: (-sizes[group], group))
    example = min(name for name, group in zip(names, groups, strict=True) if group == largest)
    few, many = min(sizes.values()), max(sizes.values())
    each = f"{few} to {many}" if few < many else str(few)
    message = f"names such as {example!r}: {rule.message}"
    return f"{message} ({len(sizes)} groups of {each} {'image' if many == 1 else 'images'}; {largest!r} is one)"
