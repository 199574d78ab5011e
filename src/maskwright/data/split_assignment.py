"""Groups dealt onto sides: image counts near what was asked, each class's pixels alike on every side.

    side = assign_groups(Groups(names, sizes, pixels), targets=[4, 16], needs=[1, 2], seed=0)

Groups are put in an order that depends on the seed and their own names alone, and cut: the first so many images for
one side, the next for another. Then single groups are moved or exchanged, always the exchange that helps most, until
counts and classes are near enough. A group more or less moves the cuts by one and leaves most exchanges as they were,
so that a data set that grows keeps most of its split (tests/data/test_splits_quality.py measures all of this).
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_STARTS = 8  # orders tried while none is good; large sets need no second one
_SMALL = 250  # groups up to which all starts are tried
_BETTER = 0.8  # a later order is taken only when it is this much better: the first keeps the split stable
_GOOD = 3e-3  # a score at which shares are about 8 % of themselves away from what was asked: no other order is tried
_ENOUGH = 2e-4  # a score at which they are about 2 % away: no further exchange is tried
_LEAST_GAIN = 0.01  # an exchange that betters the score by less is not worth another change
_MOST_EXCHANGES = 300
_CANDIDATES = 400  # groups weighed in one exchange, over all sides
_COUNT_WEIGHT = 4.0  # image counts against the mean of all classes
_PRESENCE_WEIGHT = 0.5  # images that show a class against its pixels
_MISSING = 0.03  # a class that a side lacks and could have: as bad as a sixth of a fifth's images too few


@dataclass(frozen=True)
class Groups:
    """Groups to be dealt: names, images in each (G), pixels of each class (G K), images that show each class (G K)."""

    names: Sequence[str]
    sizes: np.ndarray
    pixels: np.ndarray
    showing: np.ndarray

    def only(self, chosen: np.ndarray) -> Groups:
        """Some of the groups."""
        return Groups(
            [self.names[int(index)] for index in chosen], self.sizes[chosen], self.pixels[chosen], self.showing[chosen]
        )


def assign_groups(
    groups: Groups, targets: Sequence[int], needs: Sequence[int], seed: int, stratify: bool = True
) -> np.ndarray:
    """The side of each group. `targets` are images a side should get, `needs` how many groups each must have. → G

    >>> one = np.ones((4, 1), int)
    >>> sorted(assign_groups(Groups("abcd", one[:, 0], one, one), [1, 3], [1, 1], seed=0).tolist())
    [0, 1, 1, 1]
    """
    assert sum(needs) <= len(groups.names), "the caller refuses what cannot be assigned"
    table = _Table.of(groups, targets, needs, stratify)
    best: _Assignment | None = None
    for start in range(max(1, min(_STARTS, _STARTS * _SMALL // len(groups.names)))):
        order = _order(groups.names, seed, start)
        found = _Assignment(table, _cut(order, groups.sizes, targets, needs))
        found.improve(order)
        if best is None or found.score() < _BETTER * best.score():
            best = found
        if best.within(_GOOD):
            break
    assert best is not None
    return best.side


def _order(names: Sequence[str], seed: int, start: int) -> np.ndarray:
    """Groups by a hash of seed and name: another group more leaves the order of all others as it is."""
    keys = [hashlib.sha256(f"{seed}/{start}/{name}".encode()).digest() for name in names]
    return np.array(sorted(range(len(names)), key=lambda group: keys[group]), int)


def _cut(order: np.ndarray, sizes: np.ndarray, targets: Sequence[int], needs: Sequence[int]) -> np.ndarray:
    """Laid end to end in their order, groups belong to the side their middle lies in."""
    middles = np.cumsum(sizes[order]) - sizes[order] / 2
    side = np.empty(len(order), int)
    side[order] = np.searchsorted(np.cumsum(targets)[:-1], middles, side="right")
    num = np.bincount(side, minlength=len(targets))
    while (lack := num < needs).any():  # large groups leave a side too few: it gets the smallest that can be spared
        goal = int(np.argmax(lack))
        spare = [group for group in order if num[side[group]] > needs[int(side[group])]]
        group = min(spare, key=lambda group: int(sizes[group]))
        num[side[group]] -= 1
        num[goal] += 1
        side[group] = goal
    return side


@dataclass(frozen=True)
class _Table:
    """What is balanced: each group's share of all images, of each class's pixels, of the images showing it. G C"""

    shares: np.ndarray
    weights: np.ndarray  # C
    holds: np.ndarray  # G K as floats: does the group hold the class
    wanted: np.ndarray  # S: share each side should get
    needs: np.ndarray  # S: groups each side must have; and, of each class, groups that hold it
    moves: bool  # with groups of one size, exchanges alone keep the counts exact

    @classmethod
    def of(cls, groups: Groups, targets: Sequence[int], needs: Sequence[int], stratify: bool) -> _Table:
        there = groups.pixels.sum(0) > 0 if stratify else np.zeros(groups.pixels.shape[1], bool)
        pixels, showing = groups.pixels[:, there].astype(float), groups.showing[:, there].astype(float)
        num = max(1, pixels.shape[1])
        columns = np.concatenate([groups.sizes[:, None].astype(float), pixels, showing], axis=1)
        weights = np.array([_COUNT_WEIGHT] + [1 / num] * pixels.shape[1] + [_PRESENCE_WEIGHT / num] * pixels.shape[1])
        wanted = np.array(targets, float) / sum(targets)
        moves = len(set(groups.sizes.tolist())) > 1 or bool(np.any(np.array(targets) % max(1, groups.sizes[0])))
        return cls(columns / columns.sum(0), weights, (pixels > 0).astype(float), wanted, np.array(needs), moves)


class _Assignment:
    """One assignment, and how to better it. Sums over sides are kept along with it."""

    def __init__(self, table: _Table, side: np.ndarray) -> None:
        self.table, self.side = table, side.copy()
        sides = range(len(table.wanted))
        self.sums = np.array([table.shares[side == one].sum(0) for one in sides])  # S C
        self.held = np.array([table.holds[side == one].sum(0) for one in sides])  # S K
        self.num = np.array([(side == one).sum() for one in sides])

    def spread(self) -> float:
        """Weighted distance of every share from what was asked, relative to it: zero when all sides are alike."""
        off = self.sums - self.table.wanted[:, None]
        return float((off**2 / self.table.wanted[:, None] * self.table.weights).sum())

    def missing(self) -> float:
        """How many groups too few hold a class, over sides and classes."""
        return float(np.maximum(0, self.table.needs[:, None] - self.held).sum())

    def score(self) -> float:
        return self.spread() + _MISSING * self.missing()

    def within(self, spread: float) -> bool:
        """Alike enough, and no class missing but those in fewer groups than there are sides, which nothing helps."""
        total = self.table.holds.sum(0)
        unavoidable = np.maximum(0, self.table.needs.sum() - total).sum()
        return self.spread() <= spread and self.missing() <= unavoidable

    def improve(self, order: np.ndarray) -> None:
        """Exchange groups while that helps."""
        for _ in range(_MOST_EXCHANGES):
            if self.within(_ENOUGH):
                return
            found = [self._best(one, two, order) for one, two in itertools.combinations(range(len(self.num)), 2)]
            gain, give, take, one, two = min(found, key=lambda exchange: exchange[0])
            if gain > -max(1e-9, _LEAST_GAIN * self.score()):
                return
            for group, origin, goal in ((give, one, two), (take, two, one)):
                if group >= 0:
                    self._move(group, origin, goal)

    def _move(self, group: int, origin: int, goal: int) -> None:
        self.side[group] = goal
        for sums, row in ((self.sums, self.table.shares), (self.held, self.table.holds)):
            sums[origin] -= row[group]
            sums[goal] += row[group]
        self.num[origin] -= 1
        self.num[goal] += 1

    def _best(self, one: int, two: int, order: np.ndarray) -> tuple[float, int, int, int, int]:
        """The best exchange between two sides: change of score, group given, group taken (-1: none), the sides."""
        table = self.table
        off = self.sums / table.wanted[:, None]
        pull = 2 * table.weights * (off[one] - off[two])
        stiff = 1 / table.wanted[one] + 1 / table.wanted[two]
        gives, takes = self._candidates(one, -pull, order), self._candidates(two, pull, order)
        (give, give_holds), (take, take_holds) = self._rows(gives), self._rows(takes)
        change = (take @ pull + stiff * take**2 @ table.weights)[None] + (
            stiff * give**2 @ table.weights - give @ pull
        )[:, None]
        change -= 2 * stiff * (give * table.weights) @ take.T
        change += _MISSING * self._lost(one, give_holds, take_holds)
        change += _MISSING * self._lost(two, take_holds, give_holds).T
        if not table.moves or self.num[one] <= table.needs[one]:
            change[:, -1] = np.inf  # nothing taken in return
        if not table.moves or self.num[two] <= table.needs[two]:
            change[-1, :] = np.inf
        # so that ties fall to the first in order, whatever the machine makes of the last digits
        change = change.round(10)
        row, column = np.unravel_index(int(np.argmin(change)), change.shape)
        return float(change[row, column]), int(gives[row]), int(takes[column]), one, two

    def _candidates(self, side: int, pull: np.ndarray, order: np.ndarray) -> np.ndarray:
        """Groups of a side worth weighing, and -1 for none: in large sets the most helpful and the first in order."""
        members = order[self.side[order] == side]
        most = max(32, _CANDIDATES // len(self.num))
        if len(members) > most:
            # groups with rare classes pull hardest when their share is off; the first in order give the rest its
            # variety
            helpful = members[np.argsort(self.table.shares[members] @ pull, kind="stable")[: most // 2]]
            members = np.unique(np.concatenate([helpful, members[: most // 2]]))
        return np.append(members, -1)

    def _rows(self, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Shares and held classes of each group; zeros for the none at the end."""
        shares, holds = self.table.shares[groups], self.table.holds[groups]
        shares[-1], holds[-1] = 0, 0
        return shares, holds

    def _lost(self, side: int, gives: np.ndarray, takes: np.ndarray) -> np.ndarray:
        """Groups with a needed class a side loses by giving one and taking another, less those it gains."""
        scarce = (self.held[side] <= self.table.needs[side]).astype(float)
        lacking = (self.held[side] < self.table.needs[side]).astype(float)
        lost = (gives @ scarce)[:, None] - (gives * scarce) @ takes.T
        return lost - ((takes @ lacking)[None] - (gives * lacking) @ takes.T)
