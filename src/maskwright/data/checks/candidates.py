"""Pairs of pictures worth a closer look: landmarks that meet in a bucket and agree on one turn and one shift."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, fields

import numpy as np

from maskwright.data.checks.landmarks import Landmarks, turn_between, turned
from maskwright.data.checks.signatures import SIDE

_TABLES = 5  # ways of dealing landmarks into buckets; one alone misses neighbours across a border
_BITS = 2  # beyond one bucket a landmark: a bucket then holds hardly more than what is alike
_NEAR = 0.86  # landmarks less alike than this are two things
_NEXT = 24  # in a crowded bucket (grass, bricks), how many of the others a landmark meets
_TOLERANCE = 4  # pixels of the thumbnail within which shifts agree
_AGREEING = 2  # landmarks that must agree
_READINGS = 6  # turns and shifts looked at for a pair
_LOOKS_EACH = 16  # of those, looked at in all, as a multiple of the pictures: the best supported ones
_PASSING = 0.45  # correlation on a coarse grid that is worth laying over exactly
_PASSING_WHOLE = 0.35  # the same where nearly all is shared: a change of scale, not seen yet, may lower it
_WHOLE, _SHARED = 0.8, 0.37  # shares of the smaller picture: nearly all of it, and the least that is looked at
_PICTURES, _ENTRIES = 16, 8192  # pictures and landmarks worked on at once: memory stays flat


@dataclass(frozen=True)
class Candidates:
    """One entry a pair, best supported first: the first picture after `turn`, moved by rows and columns, may be the second."""

    first: np.ndarray
    second: np.ndarray
    turn: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    votes: np.ndarray

    def chosen(self, which: np.ndarray | slice) -> Candidates:
        """Those at the places (or under the mask) given."""
        return Candidates(*(getattr(self, field.name)[which] for field in fields(self)))


def promising(marks: Landmarks, detail: np.ndarray, sizes: np.ndarray, pool: Executor) -> Candidates:
    """Pairs whose landmarks agree and whose thumbnails, laid over each other coarsely, do so too.

    Some pictures at a time, each with all that come after it: however many are alike, memory grows by what is kept of a picture.
    """
    if not len(marks.form):
        return Candidates(*(np.zeros(0, np.int64) for _ in fields(Candidates)))
    tables = list(pool.map(lambda seed: _Table.of(marks.form, seed), range(_TABLES)))

    def of_lot(start: int) -> Candidates:
        voted = _voted(marks, *_met(marks, tables, start, start + _PICTURES))
        voted = voted.chosen(np.argsort(-voted.votes, kind="stable")[: _LOOKS_EACH * _PICTURES])
        agreed = _agreed_coarsely(detail, sizes, voted)
        passing = np.flatnonzero(agreed > 0)
        pair = voted.first[passing] * len(detail) + voted.second[passing]
        order = np.lexsort((-agreed[passing], pair))  # of each pair's readings the one that agrees best
        best = np.append(True, pair[order][1:] != pair[order][:-1])[: len(order)]
        return voted.chosen(passing[order[best]])

    lots = list(pool.map(of_lot, range(0, len(detail), _PICTURES)))
    found = Candidates(*(np.concatenate([getattr(lot, field.name) for lot in lots]) for field in fields(Candidates)))
    return found.chosen(np.argsort(-found.votes, kind="stable"))


@dataclass(frozen=True)
class _Table:
    """Landmarks dealt into buckets: their order by bucket, the place of each in it, where its bucket begins and ends."""

    order: np.ndarray
    place: np.ndarray
    start: np.ndarray
    end: np.ndarray

    @classmethod
    def of(cls, form: np.ndarray, seed: int) -> _Table:
        rng = np.random.default_rng(seed)  # fixed seeds: the same pictures give the same findings
        bits = min(28, max(8, int(np.log2(len(form))) + _BITS))
        middle, even = _evened(form)
        sides = even @ rng.standard_normal((even.shape[1], bits)).astype(np.float32)
        packed = np.concatenate([np.packbits((lot - middle) @ sides > 0, axis=1) for lot in _lots(form)])
        bucket = np.pad(packed, ((0, 0), (0, 4 - packed.shape[1]))).view(np.int32).ravel()
        order = rng.permutation(len(form)).astype(np.int32)  # in a crowded bucket each table has other neighbours
        order = order[np.argsort(bucket[order], kind="stable")]
        place = np.empty_like(order)
        place[order] = np.arange(len(order), dtype=np.int32)
        begins = np.flatnonzero(np.append(True, bucket[order][1:] != bucket[order][:-1])).astype(np.int32)
        lengths = np.diff(np.append(begins, len(order)))
        return cls(order, place, np.repeat(begins, lengths), np.repeat(begins + lengths, lengths).astype(np.int32))

    def neighbours(self, entries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each entry with those of its bucket that lie at most _NEXT before or after it."""
        place = self.place[entries]
        first, last = np.maximum(self.start[place], place - _NEXT), np.minimum(self.end[place], place + _NEXT + 1)
        number = last - first
        step = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
        return np.repeat(entries, number), self.order[np.repeat(first, number) + step]


def _lots(form: np.ndarray) -> Iterator[np.ndarray]:
    """Some entries at a time: memory stays flat."""
    return (form[start : start + _ENTRIES] for start in range(0, len(form), _ENTRIES))


def _evened(form: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean of all forms, and what brings them onto axes of equal weight, so that buckets fill evenly."""
    middle = form.mean(0)
    strength, axes = np.linalg.eigh(sum((lot - middle).T @ (lot - middle) for lot in _lots(form)) / len(form))
    return middle, (axes / np.sqrt(np.sqrt(np.maximum(strength, strength.max() * 1e-3 + 1e-12)))).astype(np.float32)


def _met(marks: Landmarks, tables: Sequence[_Table], start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    """Entries of the pictures from `start` to `end`, and those of later pictures that are alike."""
    entries = np.arange(*np.searchsorted(marks.picture, (start, end)))
    met: list[np.ndarray] = []
    for table in tables:
        one, two = table.neighbours(entries)
        later = marks.picture[two] > marks.picture[one]
        one, two = one[later], two[later]
        near = np.einsum("ij,ij->i", marks.form[one], marks.form[two]) >= _NEAR
        met.append(one[near] * len(marks.form) + two[near])
    pairs = np.unique(np.concatenate(met))
    return pairs // len(marks.form), pairs % len(marks.form)


def _voted(marks: Landmarks, one: np.ndarray, two: np.ndarray) -> Candidates:
    """The turns and shifts most landmarks of a pair of pictures agree on, at least _AGREEING.

    A pair comes several times where, say, several trees of one are like several trees of the other.
    """
    turn = turn_between()[marks.turn[one], marks.turn[two]]
    spots = [np.unique(marks.spot[index], return_inverse=True)[1] for index in (one, two)]
    # two readings of one place count once
    _, once = np.unique((spots[0] * (len(one) + 1) + spots[1]) * 8 + turn, return_index=True)
    one, two, turn = one[once], two[once], turn[once]
    y, x = turned(turn, marks.y[one], marks.x[one])
    rows, columns = marks.y[two] - y, marks.x[two] - x
    picture = int(marks.picture[-1]) + 1
    pair = marks.picture[one].astype(np.int64) * picture + marks.picture[two]
    found = [_agreeing(pair, turn, rows, columns, down, right) for down in (0, _TOLERANCE / 2) for right in (0, _TOLERANCE / 2)]
    pairs, turns, votes, shifts_y, shifts_x = (np.concatenate(parts) for parts in zip(*found))
    order = np.lexsort((shifts_x, shifts_y, turns, -votes, pairs))
    rank = np.arange(len(order)) - np.searchsorted(pairs[order], pairs[order])
    best = order[rank < _READINGS]
    return Candidates(pairs[best] // picture, pairs[best] % picture, turns[best], shifts_y[best], shifts_x[best], votes[best])


def _agreeing(
    pair: np.ndarray, turn: np.ndarray, rows: np.ndarray, columns: np.ndarray, down: float, right: float
) -> tuple[np.ndarray, ...]:
    """Votes counted on one grid of shifts; four grids, each half a step on, leave no two close shifts apart."""
    reach = 2 * SIDE // _TOLERANCE + 4
    cell = np.floor((rows + down) / _TOLERANCE).astype(np.int64) + reach // 2
    cell = cell * reach + np.floor((columns + right) / _TOLERANCE).astype(np.int64) + reach // 2
    key = (pair * 8 + turn) * reach * reach + cell
    order = np.argsort(key)
    key = key[order]
    starts = np.flatnonzero(np.append(True, key[1:] != key[:-1])) if len(key) else np.zeros(0, np.int64)
    votes = np.diff(np.append(starts, len(key)))
    means = [np.add.reduceat(shift[order], starts) / votes if len(starts) else shift[order] for shift in (rows, columns)]
    kept, first = votes >= _AGREEING, order[starts]
    return pair[first][kept], turn[first][kept], votes[kept], means[0][kept], means[1][kept]


def _agreed_coarsely(detail: np.ndarray, sizes: np.ndarray, lot: Candidates) -> np.ndarray:
    """Correlation of each pair on every second pixel of every second row, at whole shifts; 0 where it is too little."""
    grid = np.arange(0, SIDE, 2)
    second = sizes[lot.second]
    y = (grid - (second[:, :1] - 1) / 2 - lot.rows[:, None])[:, :, None]  # from the middle of the first, turned
    x = (grid - (second[:, 1:] - 1) / 2 - lot.columns[:, None])[:, None, :]
    turn = lot.turn[:, None, None]
    swap = (turn & 4) > 0
    y, x = np.where(swap, x, y), np.where(swap, y, x)  # a turn undone: swapped first, then mirrored
    first = sizes[lot.first][:, :, None, None]
    y = np.rint(np.where(turn & 2, -y, y) + (first[:, 0] - 1) / 2).astype(np.int64)
    x = np.rint(np.where(turn & 1, -x, x) + (first[:, 1] - 1) / 2).astype(np.int64)
    both = (y >= 0) & (x >= 0) & (y < first[:, 0]) & (x < first[:, 1])
    both &= (grid[:, None] < second[:, 0, None, None]) & (grid < second[:, 1, None, None])
    one = detail[lot.first[:, None, None], np.clip(y, 0, SIDE - 1), np.clip(x, 0, SIDE - 1)] * both.astype(np.float32)
    two = detail[:, ::2, ::2][lot.second] * both.astype(np.float32)
    power = np.einsum("nyx,nyx->n", one, one) * np.einsum("nyx,nyx->n", two, two)
    agreed = np.einsum("nyx,nyx->n", one, two) / np.sqrt(np.maximum(power, 1e-6))
    smaller = np.minimum(sizes[lot.first].prod(1), sizes[lot.second].prod(1))
    shared = both.sum((1, 2)) * 4 / smaller
    passing = (shared >= _SHARED) & (agreed >= np.where(shared >= _WHOLE, _PASSING_WHOLE, _PASSING))
    return np.where(passing, agreed, 0)
