"""Which mask belongs to which image, by name: a proof or a refusal, never a guess.

Names are cut into tokens (runs of letters, runs of digits, folders). A *template* says which
tokens of an image's name and which of a mask's name must agree. A template counts only when it
pairs every image with exactly one mask; two templates that disagree are an ambiguity. So
`image-7.png` ↔ `mask-7_2.png` works: only the first number pairs all files one to one.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from maskwright.errors import DataError, listed

Key = tuple[str, ...]
Template = tuple[tuple[int, int], ...]
Candidate = tuple[tuple[int, ...], str, Template]  # the mask of each image, how it is reported, what must agree
_TOKEN = re.compile(r"\d+|[^\W\d_]+|/")
_MAX_TOKENS = 3  # how many varying tokens a template may use; names rarely need more than two
_MAX_SPOTS = 24  # keeps names made of many tokens (hashes, time stamps) quick


@dataclass(frozen=True)
class Pairing:
    """For each image the index of its mask, and the rule that says so."""

    masks: tuple[int, ...]
    rule: str


def pair(images: Sequence[str], masks: Sequence[str], where: str = "") -> Pairing:
    """Pair image names with mask names (paths inside their folders, no suffix).

    >>> pair(["image-0", "image-1"], ["mask-0_2", "mask-1_2"]).masks
    (0, 1)
    """
    rules: tuple[tuple[str, Callable[[Sequence[str]], Sequence[object]]], ...] = (
        ("the same name", list),
        ("the same name, upper and lower case aside", lambda names: [name.lower() for name in names]),
        ("the same name, a constant beginning and end aside", _without_constant_ends),
    )
    for rule, keys in rules:
        found = _match(keys(images), keys(masks))
        if found is not None:
            return Pairing(found, rule)
    candidates = _templates(images, masks)
    different = {found for found, _, _ in candidates}
    if len(different) == 1:
        contradiction = _contradiction(images, masks, [template for _, _, template in candidates])
        if contradiction:
            raise DataError(
                f"names must pair each image with one mask{where}; {candidates[0][1]} pairs all, but {contradiction}"
            )
        return Pairing(*candidates[0][:2])
    if len(different) > 1:
        raise DataError(_ambiguous(images, masks, candidates, where))
    raise DataError(_unpaired(images, masks, where))


def certain(images: Sequence[str], masks: Sequence[str]) -> dict[int, int]:
    """Of names that cannot all be paired, the image → mask pairs nothing speaks against.

    The reading that pairs most files is followed, where every reading that pairs half as many agrees with it.

    >>> certain(["image-1", "image-2", "image-3"], ["mask-1", "mask-3"])
    {0: 0, 2: 1}
    """
    readings = [_one_to_one(*keys) for keys in _readings(images, masks)]
    best = max(readings, key=len)
    most = len(best)
    if 2 * most < min(len(images), len(masks)):
        return {}
    for other in readings:
        if 2 * len(other) >= most:
            # one that pairs nearly all, and not these two, speaks against them
            silent = 4 * len(other) < 3 * most
            best = {one: two for one, two in best.items() if other.get(one, two if silent else None) == two}
    return best


def _one_to_one(image_keys: Sequence[object], mask_keys: Sequence[object]) -> dict[int, int]:
    """Pairs whose key no other image and no other mask has."""
    ours, theirs = Counter(image_keys), Counter(mask_keys)
    places = {key: index for index, key in enumerate(mask_keys)}
    single = [(index, key) for index, key in enumerate(image_keys) if ours[key] == theirs.get(key) == 1]
    return {index: places[key] for index, key in single}


def _match(image_keys: Sequence[object], mask_keys: Sequence[object]) -> tuple[int, ...] | None:
    """The mask of each image when the keys agree one to one, else None."""
    if len(image_keys) != len(mask_keys) or None in image_keys or None in mask_keys:
        return None
    found = _one_to_one(image_keys, mask_keys)
    return tuple(found.values()) if len(found) == len(image_keys) else None


def _tokens(name: str) -> Key:
    """Letters are compared without case, numbers without leading zeros."""
    return tuple(
        token.lower().lstrip("0") or "0" if token.isdigit() else token.lower() for token in _TOKEN.findall(name)
    )


def _without_constant_ends(names: Sequence[str]) -> list[object]:
    """Each name's tokens, less those that all names begin with and those that all end with.

    A name with nothing left, or a lone name, has no key of its own: None never pairs.
    """
    tokens = [_tokens(name) for name in names]
    if len(tokens) < 2 or len(set(tokens)) < len(tokens):
        return [None] * len(tokens)
    shortest = min(map(len, tokens))
    start = next((at for at in range(shortest) if len({name[at] for name in tokens}) > 1), shortest)
    rest = shortest - start
    end = next((at for at in range(rest) if len({name[-1 - at] for name in tokens}) > 1), rest)
    return [name[start : len(name) - end] or None for name in tokens]


def _templates(images: Sequence[str], masks: Sequence[str]) -> list[Candidate]:
    """Every template that pairs all files one to one."""
    ours, theirs = [_tokens(name) for name in images], [_tokens(name) for name in masks]
    # a template can pair everything only if each of its tokens takes the same values on both sides
    values = {(one, two): len(left) for one, two, left, right in _spot_values(ours, theirs) if left == right}
    found: list[Candidate] = []
    for count in range(1, _MAX_TOKENS + 1):
        for template in itertools.combinations(list(values)[:_MAX_SPOTS], count):
            if math.prod(values[spot] for spot in template) < len(ours):  # too few for each image to have its own
                continue
            left, right = zip(*template, strict=True)
            keys = [
                [tuple(tokens[spot] for spot in spots) for tokens in names]
                for names, spots in ((ours, left), (theirs, right))
            ]
            match = _match(*keys)
            if match is not None:
                parts = "-".join(repr(ours[0][spot]) for spot in left)
                found.append((match, f"matching {parts} in {images[0]!r} ↔ {masks[match[0]]!r}", template))
    return found


def _contradiction(images: Sequence[str], masks: Sequence[str], templates: Sequence[Template]) -> str:
    """Parts no template uses that nearly pair the files too: a running number beside ids, one missing or doubled."""
    used = [{pair[side] for template in templates for pair in template} for side in (0, 1)]
    ours, theirs = [_tokens(name) for name in images], [_tokens(name) for name in masks]
    for one, two, left, right in _spot_values(ours, theirs):
        shared = (left & right).total()
        if one in used[0] or two in used[1] or not len(images) <= 2 * shared < 2 * len(images):
            continue
        if 2 * min(len(left), len(right)) <= len(images):  # few values, often repeated: an annotator, a camera, a day
            continue
        odd = [repr(name) for name, tokens in zip(images, ours, strict=True) if tokens[one] not in right]
        odd += [repr(name) for name, tokens in zip(masks, theirs, strict=True) if tokens[two] not in left]
        odd = odd or [
            repr(name) for name, tokens in zip(images, ours, strict=True) if left[tokens[one]] != right[tokens[one]]
        ]
        fix = "Rename or remove them, or write the pairs down in pairs.csv (image,mask)."
        return f"another part of the names agrees for most files and not for {listed(odd)}. {fix}"
    return ""


def _spot_values(ours: Sequence[Key], theirs: Sequence[Key]) -> Iterator[tuple[int, int, Counter[str], Counter[str]]]:
    """All pairs of a token position in images and one in masks, with the values seen there."""
    left = [(spot, Counter(name[spot] for name in ours)) for spot in _varying(ours)]
    right = [(spot, Counter(name[spot] for name in theirs)) for spot in _varying(theirs)]
    for (one, values), (two, others) in itertools.product(left, right):
        yield one, two, values, others


def _varying(names: Sequence[Key]) -> list[int]:
    """Token positions, counted from the left or (negative) from the right, where the names differ.

    When all names have the same number of tokens, counting from the left is enough. Of very many positions those with
    the most values are kept: every one of the images is compared with every one of the masks.
    """
    lengths = {len(tokens) for tokens in names}
    if not lengths or min(lengths) == 0:
        return []
    shortest = min(lengths)
    spots = list(range(shortest)) + ([] if len(lengths) == 1 else list(range(-shortest, 0)))
    values = {spot: len({tokens[spot] for tokens in names}) for spot in spots}
    varying = [spot for spot in spots if values[spot] > 1 or len(names) == 1]
    most = sorted(varying, key=lambda spot: -values[spot])[:_MAX_SPOTS]
    return [spot for spot in varying if spot in most]


def _ambiguous(images: Sequence[str], masks: Sequence[str], candidates: Sequence[Candidate], where: str) -> str:
    first, second = candidates[0][0], next(found for found, _, _ in candidates if found != candidates[0][0])
    spot = next(index for index in range(len(images)) if first[index] != second[index])
    partners = f"{masks[first[spot]]!r} or {masks[second[spot]]!r}"
    return (
        f"names must pair each image with one mask{where}; {images[spot]!r} could belong to {partners}, "
        f"by different parts of the names. Write the pairs down in pairs.csv (image,mask)."
    )


def _unpaired(images: Sequence[str], masks: Sequence[str], where: str) -> str:
    """Name the files that have no partner or several, by the reading that pairs most of them."""
    keys = max(_readings(images, masks), key=lambda keys: (len(_one_to_one(*keys)), len(set(keys[0]) & set(keys[1]))))
    ours, theirs = list(zip(keys[0], images, strict=True)), list(zip(keys[1], masks, strict=True))
    count = Counter(keys[0])
    partners: dict[Any, list[str]] = defaultdict(list)
    for key, name in theirs:
        partners[key].append(name)
    problems = {
        "without a mask": [name for key, name in ours if key not in partners],
        "masks without an image": [name for key, name in theirs if key not in count],
        "with several masks": [
            f"{name} ({listed(partners[key])})" for key, name in ours if count[key] == 1 < len(partners.get(key, ()))
        ],
        "several images for one mask": [name for key, name in ours if count[key] > 1 and key in partners],
    }
    detail = [f"{label}: {listed(names, 'and', 8)}" for label, names in problems.items() if names]
    what = "; ".join(detail) or "no part of the names agrees"
    fix = "Rename or remove them, or write the pairs down in pairs.csv (image,mask)."
    return (
        f"names must pair each image with one mask{where}; {len(images)} images and {len(masks)} masks: {what}. {fix}"
    )


def _readings(images: Sequence[str], masks: Sequence[str]) -> list[tuple[Sequence[Any], Sequence[Any]]]:
    """Keys of images and masks by every way one part of the names can be read."""
    left, right = [_tokens(name) for name in images], [_tokens(name) for name in masks]
    readings: list[tuple[Sequence[Any], Sequence[Any]]] = [(images, masks), (left, right)]
    bare = (_without_constant_ends(images), _without_constant_ends(masks))
    if None not in bare[0] and None not in bare[1]:  # None is no key: it must not look like agreement
        readings.append(bare)
    for one, two, _, _ in _spot_values(left, right):
        readings.append(([name[one] for name in left], [name[two] for name in right]))
    return readings
