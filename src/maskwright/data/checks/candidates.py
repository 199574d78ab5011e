"""Pairs of pictures worth a closer look: landmarks that meet in a bucket and agree on one turn and one shift."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
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
# pairs of pictures, landmarks, and pairs of landmarks worked on at once: memory stays flat
_LOT, _ENTRIES, _MATCHES = 128, 8192, 1 << 17


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
    """Pairs whose landmarks agree and whose thumbnails, laid over each other coarsely, do so too."""
    voted = _voted(marks, *_met(marks, pool))
    voted = voted.chosen(np.arange(min(len(voted.first), _LOOKS_EACH * len(detail))))
    lots = [voted.chosen(slice(start, start + _LOT)) for start in range(0, len(voted.first), _LOT)]
    if not lots:
        return voted
    agreed = np.concatenate(list(pool.map(lambda lot: _agreed_coarsely(detail, sizes, lot), lots)))
    passing = np.flatnonzero(agreed > 0)
    pair = voted.first[passing] * len(detail) + voted.second[passing]
    order = np.lexsort((-agreed[passing], pair))  # of each pair's readings the one that agrees best
    first = np.append(True, pair[order][1:] != pair[order][:-1])[: len(order)]
    return voted.chosen(np.sort(passing[order[first]]))


def _met(marks: Landmarks, pool: Executor) -> tuple[np.ndarray, np.ndarray]:
    """Entries of different pictures that are alike; the earlier picture's first."""
    number = len(marks.form)
    if number < 2:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    even = _evened(marks.form)
    bits = min(28, max(8, int(np.log2(number)) + _BITS))

    def table(seed: int) -> list[np.ndarray]:
        sides = even @ np.random.default_rng(seed).standard_normal((even.shape[1], bits)).astype(np.float32)
        packed = np.packbits(sides > 0, axis=1)
        bucket = np.pad(packed, ((0, 0), (0, 4 - packed.shape[1]))).view(np.int32).ravel()
        return [_alike(marks, one, two) for one, two in _within(bucket)]

    # fixed seeds: the same pictures give the same findings
    met = [pairs for found in pool.map(table, range(_TABLES)) for pairs in found]
    pairs = np.unique(np.concatenate(met))
    return pairs // number, pairs % number


def _alike(marks: Landmarks, one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Those of the pairs that are alike and of different pictures, each as one number; the earlier picture's entry first."""
    apart = marks.picture[one] != marks.picture[two]
    one, two = one[apart], two[apart]
    near = np.einsum("ij,ij->i", marks.form[one], marks.form[two]) >= _NEAR
    one, two = one[near], two[near]
    swap = marks.picture[one] > marks.picture[two]
    return np.where(swap, two, one) * len(marks.form) + np.where(swap, one, two)


def _evened(form: np.ndarray) -> np.ndarray:
    """Forms on axes of equal weight, around their mean, so that buckets fill evenly."""
    centred = form - form.mean(0)
    strength, axes = np.linalg.eigh(centred.T @ centred / len(form))
    return centred @ (axes / np.sqrt(np.sqrt(np.maximum(strength, strength.max() * 1e-3 + 1e-12)))).astype(np.float32)


def _within(bucket: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of entries in one bucket, each with at most _NEXT of those that come after it; some at a time."""
    order = np.argsort(bucket)
    ordered = bucket[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    lengths = np.diff(np.append(starts, len(ordered)))
    later = np.minimum(np.repeat(starts + lengths, lengths) - np.arange(len(ordered)) - 1, _NEXT)
    for start in range(0, len(ordered), _ENTRIES):
        some = later[start : start + _ENTRIES]
        one = np.repeat(np.arange(start, start + len(some)), some)
        step = np.arange(len(one)) - np.repeat(np.cumsum(some) - some, some) + 1
        yield order[one], order[one + step]


def _voted(marks: Landmarks, one: np.ndarray, two: np.ndarray) -> Candidates:
    """The turns and shifts most landmarks of a pair of pictures agree on, at least _AGREEING; best supported ones first.

    A pair comes several times where, say, several trees of one are like several trees of the other.
    """
    first = marks.picture[one]  # in order, as `one` is; no pair of pictures is cut in two
    cuts = np.unique(np.append(np.searchsorted(first, first[::_MATCHES]), len(one))) if len(one) else np.zeros(1, np.int64)
    parts = [_voted_in(marks, one[start:end], two[start:end]) for start, end in itertools.pairwise(cuts.tolist())]
    if not parts:
        return Candidates(*(np.zeros(0, np.int64) for _ in fields(Candidates)))
    found = Candidates(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Candidates)))
    return found.chosen(np.argsort(-found.votes, kind="stable"))


def _voted_in(marks: Landmarks, one: np.ndarray, two: np.ndarray) -> Candidates:
    """The same for some pairs of pictures, in their order."""
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
