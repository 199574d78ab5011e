"""What stays on one side of a split: groups the data set names, groups its file names show, near-duplicates.

    for grouping in groupings(records, "auto", near):     # the most careful first
        grouping.groups                                   # the group of each record

`near` are sets of indices of records whose images are nearly the same.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from maskwright.data.dataset import Record
from maskwright.data.groups import Guess, guess_groups, torn
from maskwright.errors import DataError, as_typed, counted, listed

AUTO = "auto"
# every name is a group of its own, and near-duplicates stay together: never a way back to what it replaces
EACH_ALONE = "--data.split.group '.+'"
_EXCEPTIONS = 0.1  # of the images: so many may resemble one of another group, whatever the names mean
_PATIENCE = 5.0  # seconds a person's pattern may take, and a thousandth more for each name
_SEARCH = """
import json, re, sys
pattern, *names = json.load(sys.stdin.buffer)
try:
    matches = map(re.compile(pattern).search, names)
    found = [match and [match[0], *match.groups()] for match in matches]
except Exception as error:
    found = str(error) or type(error).__name__
print(json.dumps(found))
"""
Near = Sequence[Sequence[int]]


class Clusters:
    """Things that belong together: joined in pairs, found as lists (union-find)."""

    def __init__(self) -> None:
        self._above: dict[int, int] = {}

    def head(self, one: int) -> int:
        """The one that stands for a thing's cluster: the least of them."""
        path = []
        while (above := self._above.get(one, one)) != one:
            path.append(one)
            one = above
        self._above.update(dict.fromkeys(path, one))
        return one

    def join(self, one: int, two: int) -> None:
        """The two and all that belong to them now belong together."""
        low, high = sorted((self.head(one), self.head(two)))
        self._above[low], self._above[high] = low, low

    def together(self, one: int, two: int) -> bool:
        """Whether they belong together already."""
        return self.head(one) == self.head(two)

    def lists(self) -> list[list[int]]:
        """All clusters of two or more, in order."""
        found: dict[int, list[int]] = defaultdict(list)
        for one in sorted(self._above):
            found[self.head(one)].append(one)
        return [cluster for cluster in found.values() if len(cluster) > 1]


@dataclass(frozen=True)
class Grouping:
    """The group of each record; the pattern and the guess it rests on; near-duplicates it keeps together.

    named: the data set or a person named the groups.
    """

    groups: tuple[str, ...]
    pattern: str | None = None
    guess: Guess | None = None
    near: Near = ()
    named: bool = False

    @property
    def message(self) -> str:
        """For the reason of a split; empty where every record is on its own."""
        if self.guess:
            return f"{len(set(self.groups))} groups, by the file names"
        return f"{len(set(self.groups))} groups" if self.named else ""


def groups_of(records: Sequence[Record], pattern: str | None) -> tuple[str, ...]:
    """The group each record stays with: what the pattern finds in its name, its own group, or itself."""
    if pattern is None:
        return tuple(record.group or record.id for record in records)
    found = _searched(pattern, [record.id for record in records])
    if isinstance(found, str):
        raise DataError(f"`data.split.group` must be a regular expression; got {pattern!r} ({found}). Fix it.")
    without = next((record.id for record, parts in zip(records, found, strict=True) if parts is None), None)
    if without is not None:
        raise DataError(
            f"`data.split.group` must find something in every name; {pattern!r} finds nothing in {without!r}. Fix it."
        )
    return tuple("|".join(part or "" for part in parts[1:]) or str(parts[0]) for parts in found if parts is not None)


def _searched(pattern: str, names: Sequence[str]) -> list[list[str | None] | None] | str:
    """What a person's pattern finds in each name, the whole and its brackets, or what is wrong with it.

    Python's `re` has no time limit and holds the interpreter's lock while it searches: only a process of its own can be
    stopped.
    """
    patience = _PATIENCE + len(names) / 1000
    words = [sys.executable, "-I", "-S", "-c", _SEARCH]
    try:
        done = subprocess.run(
            words, input=json.dumps([pattern, *names]).encode(), capture_output=True, timeout=patience
        )
    except subprocess.TimeoutExpired:
        raise DataError(
            f"`data.split.group` must find its part of a name quickly; {pattern!r} was still searching "
            f"{counted(len(names), 'name')} after {patience:.0f} s, because a repetition within a repetition, such as "
            "(a+)+, tries every way to cut a name. Write it without, or list the groups in pairs.csv "
            "(image,mask,group)."
        ) from None
    return json.loads(done.stdout) if done.returncode == 0 else "Python cannot search with it"


def groupings(records: Sequence[Record], group: str | None, near: Near) -> list[Grouping]:
    """Ways to group the records, most careful first. The last is what the data set or a person says, and must do."""
    pattern = None if group == AUTO else group
    own = Grouping(
        groups_of(records, pattern), pattern, named=pattern is not None or any(record.group for record in records)
    )
    if group is None:
        return [own]
    guess = _guess(records, group)
    believed = guess is not None and guess.strength == "strong" and not contradicting(guess.groups, near)
    bases = [Grouping(guess.groups, guess.pattern, guess), own] if guess and believed else [own]
    found: list[Grouping] = []
    for base in bases:
        parted = parted_by(base.groups, near)
        if parted:
            found.append(replace(base, groups=_join(base.groups, near), near=parted))
        found.append(base)
    return found


def contradicting(groups: Sequence[str], near: Near) -> int:
    """How many images are nearly the same as one of another group, where that speaks against the groups; else 0.

    A video's frames resemble each other. Where more images resemble one of another group than of their own, and that is
    no exception, the names mean something else: how long each picture was exposed, say.
    """
    torn_apart = parted_by(groups, near)
    across = sum(len({groups[index] for index in alike}) - 1 for alike in torn_apart)
    inside = sum(map(len, near)) - len(near) - across
    return sum(map(len, torn_apart)) if across > max(inside, _EXCEPTIONS * len(groups)) else 0


def grouping_notes(
    records: Sequence[Record], group: str | None, near: Near, chosen: Grouping, sides: Sequence[str]
) -> list[str]:
    """What a person should know of the groups a split was dealt by, those that were given up among them."""
    notes: list[str] = []
    guess = _guess(records, group)
    if guess and guess.strength == "weak":
        say = as_typed("--data.split.group", guess.pattern)
        notes.append(f"groups may show in {guess.evidence}; to keep them whole, say {say}")
    elif guess and chosen.guess:
        notes.append(f"groups were guessed from {guess.evidence}; if they are none, say {EACH_ALONE}")
    elif guess and (against := contradicting(guess.groups, near)):
        notes.append(
            f"groups seem to show in {guess.evidence}, but {against} images are nearly the same as one of another of "
            "them: the names were not followed"
        )
    elif guess:
        notes.append(
            f"groups show in {guess.evidence}, but kept whole they leave a side too few images, so they were torn "
            "apart: scores on val and test will be better than on new groups"
        )
    if chosen.near:
        num = sum(map(len, chosen.near))
        notes.append(
            f"{num} images were kept together because they are nearly the same ({_example(records, chosen.near)})"
        )
    parted = parted_by(sides, near)
    if parted:
        num, why = (
            sum(map(len, parted)),
            "" if group is None else "; kept together they would leave a side too few images",
        )
        fix = f". To keep them together, say {EACH_ALONE}" if group is None else ""
        notes.append(
            f"{num} images are nearly the same as one in another split ({_example(records, parted)}){why}: "
            f"scores will be better than on new images{fix}"
        )
    return notes


def parted_by(groups: Sequence[str], near: Near) -> list[list[int]]:
    """The sets of near-duplicates that are in several groups (or splits)."""
    return [list(alike) for alike in near if torn(["alike"] * len(alike), [groups[index] for index in alike])]


def _guess(records: Sequence[Record], group: str | None) -> Guess | None:
    """What the names show; a data set that names groups of its own has said what counts."""
    if group != AUTO or any(record.group for record in records):
        return None
    return guess_groups([record.id for record in records])


def _join(groups: Sequence[str], near: Near) -> tuple[str, ...]:
    """Groups that share near-duplicates become one, named after the first of them by name."""
    names = sorted(set(groups))
    number = {name: place for place, name in enumerate(names)}
    clusters = Clusters()
    for first, *others in near:
        for index in others:
            clusters.join(number[groups[first]], number[groups[index]])
    return tuple(names[clusters.head(number[group])] for group in groups)


def _example(records: Sequence[Record], near: Near) -> str:
    """The first set by name."""
    first = min((sorted(records[index].id for index in alike) for alike in near), default=[])
    return listed(first, "and", 3)
