"""Near-duplicates: pictures that are turned, changed, cropped or overlapping ones of others.

    nearly_the_same([signature(image) for image in images])     # sets of places
    for match in find_matches(signatures): ...                  # match.first, match.second, match.turn, match.overlap

SIFT features of thumbnails meet in a k-d forest, so that no picture is compared with every other. Pairs whose features
agree on one turn and one shift are laid over each other, and only what then agrees nearly everywhere is a match.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from maskwright.data.grouping import Clusters
from maskwright.data.signatures import SIDE, Signature
from maskwright.runs import usable_cores

_FEATURES = 32  # a picture; a quarter of them meet again where half of it is shared
_NEIGHBOURS = 5  # features each one meets, each way round
_NEAR = 0.25  # squared distance of square roots of SIFT descriptors: farther ones are two things
_UPRIGHT = 25  # degrees off a quarter turn
_TOLERANCE = 5  # pixels of the thumbnail within which shifts agree
_VOTES = 2  # features that must agree
_READINGS = 6  # turns and shifts looked at for a pair
_LAID = 1  # of those, laid over each other exactly: the one that agrees best coarsely
# correlation of coarse details, as the features lay them, that is worth a closer look; a change of scale may lower it
# where nearly all is shared
_PASSING, _PASSING_APART, _WHOLE = 0.45, 0.55, 0.8
_ALIKE = 0.6  # the same once laid exactly; what unrelated photographs reach at best
_FINE = (0.6, 0.45)  # correlation of fine details over the overlap, and in the quarter of it that agrees least
_FINE_APART = (0.7, 0.55)  # the same for pictures turned or far apart, where more places were tried
_PARTICULAR = 0.45  # correlation of what is left without lines: stripes that a camera draws on everything tell nothing
_ELSEWHERE = 0.6  # of what another shift or turn leaves unexplained, this one must leave less: a brick fits any brick
_LINE = 15  # pixels of the thumbnail over which a line is followed
_ROUND = 64  # side on which shifts are tried all at once: a power of two with room for shifts by nearly half a side
_ASIDE_BY = 3.5  # pixels from which on another shift is another
_SMALLEST = 0.4  # share of the smaller picture an overlap must have
_ASIDE = 0.85  # overlaps below this are far apart
_CERTAIN = 0.97  # from here on nothing is gained by looking for a change of scale
_HOPELESS = 0.3  # and below this neither
_BLOCKS = 6  # each way; a quarter of them may disagree
_STEPS = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 1e-2)
_LINEAR = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
# a SIFT descriptor of the mirrored picture: its rows the other way round, and the directions in them
_MIRRORED = np.arange(128).reshape(4, 4, 8)[::-1][:, :, -np.arange(8) % 8].ravel()


@dataclass(frozen=True)
class Match:
    """Picture `second` is `first` after `turn` (see `turned_picture`), enlarged by `scale` and moved by `shift`.

    shift: rows and columns, as shares of the second picture; overlap: share of the smaller picture that both show;
    same_view: sizes of both were taken as equal (else one pixel of both as equal); score: correlation over the overlap.
    """

    first: int
    second: int
    turn: int
    scale: float
    shift: tuple[float, float]
    overlap: float
    score: float
    same_view: bool = True


@dataclass(frozen=True)
class _Candidate:
    """The first picture after `turn`, moved by rows and columns of the thumbnail, may be the second."""

    first: int
    second: int
    turn: int
    rows: float
    columns: float


def nearly_the_same(signatures: Sequence[Signature | None]) -> list[list[int]]:
    """Sets of pictures (by their places) that a split has to keep together: equal, nearly equal or overlapping.

    Pictures without anything on them are left aside, as are those that have no signature.
    """
    clusters, first_of = Clusters(), {}
    places = []
    for place, signed in enumerate(signatures):
        if signed is None or signed.blank:
            continue
        first = first_of.setdefault(signed.exact, place)
        if first == place:
            places.append(place)
        else:
            clusters.join(first, place)
    chosen = [signed for place in places if (signed := signatures[place])]
    for match in find_matches(chosen):
        clusters.join(places[match.first], places[match.second])
    return clusters.lists()


def find_matches(
    signatures: Sequence[Signature], apart: Callable[[int, int], bool] = lambda one, two: False
) -> Iterator[Match]:
    """Matches that join what was not joined before, likelier ones first.

    Pairs that are `apart` (in two splits) are joined for themselves, and the others for themselves.
    """
    clusters = {True: Clusters(), False: Clusters()}
    views = [([one.small for one in signatures], True)]
    if len({tuple(sorted(one.size)) for one in signatures}) > 1:  # pieces of one scene may have different sizes
        views.append((_at_one_scale(signatures), False))
    for pictures, same_view in views:
        for candidate in _passing(pictures, _candidates(pictures)):
            first, second = candidate.first, candidate.second
            joined = clusters[apart(first, second)]
            match = None if joined.together(first, second) else _verified(pictures, candidate, same_view)
            if match:
                joined.join(first, second)
                yield match


def turned_picture(picture: np.ndarray, turn: int) -> np.ndarray:
    """A picture after a turn: mirrored left to right from 4 on, then turned to the left `turn % 4` times. H W"""
    return np.rot90(picture[:, ::-1] if turn & 4 else picture, turn & 3)


def turned(turn: np.ndarray, y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places, from the centre, after turns."""
    x = np.where(turn & 4, -x, x)
    quarter = turn & 3
    return np.choose(quarter, [y, -x, -y, x]), np.choose(quarter, [x, y, -x, -y])


def _at_one_scale(signatures: Sequence[Signature]) -> list[np.ndarray]:
    """Thumbnails in which a pixel is as large in each picture."""
    longest = max(max(one.size) for one in signatures)
    sides = [[max(2, round(SIDE * side / longest)) for side in one.size] for one in signatures]
    return [
        cv2.resize(one.small, (width, height), interpolation=cv2.INTER_AREA)
        for one, (height, width) in zip(signatures, sides, strict=True)
    ]


def _candidates(pictures: Sequence[np.ndarray]) -> Iterator[_Candidate]:
    """Pairs of pictures whose features agree on a turn and a shift, those with most votes first."""
    with ThreadPoolExecutor(usable_cores()) as pool:
        found = list(pool.map(_features, pictures))
    picture = np.repeat(np.arange(len(found)), [len(places) for places, _ in found])
    if len(picture) <= _NEIGHBOURS:
        return
    y, x, angle, size = np.concatenate([places for places, _ in found]).T
    descriptors = np.concatenate([described for _, described in found])
    cv2.setRNGSeed(0)  # the same pictures give the same findings
    forest = cv2.flann.Index(descriptors, {"algorithm": 1, "trees": 4})
    met = []
    for mirrored in (False, True):
        asked = descriptors[:, _MIRRORED] if mirrored else descriptors
        others, distances = forest.knnSearch(asked, _NEIGHBOURS, params={"checks": 32})
        one, two = np.repeat(np.arange(len(picture)), _NEIGHBOURS), others.ravel().astype(np.int64)
        turns = ((180 - angle[one] if mirrored else angle[one]) - angle[two]) / 90  # OpenCV's angles go clockwise
        quarter = np.rint(turns).astype(np.int64)
        near = (distances.ravel() < _NEAR) & (picture[one] != picture[two]) & (abs(turns - quarter) * 90 < _UPRIGHT)
        near &= abs(np.log(size[one] / size[two])) < np.log(1.6)
        met.append((one[near], two[near], quarter[near] % 4 + 4 * mirrored))
    one, two, turn = (np.concatenate(parts) for parts in zip(*met, strict=True))
    rows, columns = turned(turn, y[one], x[one])
    rows, columns = y[two] - rows, x[two] - columns
    back = picture[one] > picture[two]  # as the second is to the first: mirrored turns take themselves back
    turn = np.where(back & (turn < 4), -turn % 4, turn)
    undone = turned(turn, -rows, -columns)
    rows, columns = np.where(back, undone[0], rows), np.where(back, undone[1], columns)
    pair = np.minimum(picture[one], picture[two]) * len(found) + np.maximum(picture[one], picture[two])
    pair, turn, votes, rows, columns = _count_votes(pair, turn, rows, columns)
    order = np.lexsort((columns, rows, turn, -votes, pair))
    rank = np.arange(len(order)) - np.searchsorted(pair[order], pair[order])
    chosen = order[rank < _READINGS]
    for place in chosen[np.argsort(-votes[chosen], kind="stable")].tolist():
        first, second = divmod(int(pair[place]), len(found))
        yield _Candidate(first, second, int(turn[place]), float(rows[place]), float(columns[place]))


def _passing(pictures: Sequence[np.ndarray], candidates: Iterable[_Candidate]) -> list[_Candidate]:
    """Those whose coarse details agree at whole shifts: the best ones of each pair, in the order they came."""
    coarse = [[_coarse(turned_picture(picture, turn).astype(np.float32)) for turn in range(8)] for picture in pictures]
    found: dict[tuple[int, int], list[tuple[float, int, _Candidate]]] = defaultdict(list)
    for number, candidate in enumerate(candidates):
        one, two = coarse[candidate.first][candidate.turn], coarse[candidate.second][0]
        a, b = _shared(one, two, candidate.rows, candidate.columns)
        if a.size < _SMALLEST / 2 * two.size:
            continue
        agreed = float(np.vdot(a, b)) / max(1e-6, float(np.sqrt(np.vdot(a, a) * np.vdot(b, b))))
        if agreed >= (_PASSING if a.size >= _WHOLE * two.size else _PASSING_APART):
            found[candidate.first, candidate.second].append((-agreed, number, candidate))
    best = sorted(entry[1:] for entries in found.values() for entry in sorted(entries)[:_LAID])
    return [candidate for _, candidate in best]


def _shared(one: np.ndarray, two: np.ndarray, rows: float, columns: float) -> tuple[np.ndarray, np.ndarray]:
    """What both show, where the middle of one lies some rows and columns after that of the other."""
    parts = []
    for axis, shift in enumerate((rows, columns)):
        start = round(shift + (two.shape[axis] - one.shape[axis]) / 2)
        begin, end = max(0, start), min(two.shape[axis], start + one.shape[axis])
        parts.append((slice(begin - start, max(begin, end) - start), slice(begin, max(begin, end))))
    (one_rows, two_rows), (one_columns, two_columns) = parts
    return one[one_rows, one_columns], two[two_rows, two_columns]


def _features(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows, columns (from the centre), angles and sizes of a thumbnail's SIFT features, and their descriptors."""
    sift = cv2.SIFT.create(_FEATURES, contrastThreshold=0.01, edgeThreshold=20)
    # of local contrast: soft pictures have as many as sharp ones
    even = np.clip(_detail(picture.astype(np.float32), 4.0, 6.0, 2.0, 0.5) * 40 + 128, 0, 255).astype(np.uint8)
    found, described = sift.detectAndCompute(even, None)  # type: ignore[call-overload]
    if described is None:
        return np.zeros((0, 4), np.float32), np.zeros((0, 128), np.float32)
    height, width = picture.shape
    places = [
        (one.pt[1] - (height - 1) / 2, one.pt[0] - (width - 1) / 2, one.angle, one.size) for one in found[:_FEATURES]
    ]
    described = described[:_FEATURES]
    # square roots of shares compare better than the numbers themselves (Arandjelović and Zisserman, 2012)
    return np.array(places, np.float32), np.sqrt(described / (described.sum(1, keepdims=True) + 1e-6))


def _count_votes(pair: np.ndarray, turn: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, ...]:
    """The turns and shifts that _VOTES features of a pair agree on; four grids leave no two close shifts apart."""
    found = []
    reach = 2 * SIDE // _TOLERANCE + 4
    for down in (0, _TOLERANCE / 2):
        for right in (0, _TOLERANCE / 2):
            cell = np.floor((rows + down) / _TOLERANCE).astype(np.int64) + reach // 2
            cell = cell * reach + np.floor((columns + right) / _TOLERANCE).astype(np.int64) + reach // 2
            key, entry, votes = np.unique(
                (pair * 8 + turn) * reach * reach + cell, return_inverse=True, return_counts=True
            )
            shifts = [np.bincount(entry, shift, len(key)) / np.maximum(votes, 1) for shift in (rows, columns)]
            enough = votes >= _VOTES
            key = key[enough] // (reach * reach)
            found.append((key // 8, key % 8, votes[enough], shifts[0][enough], shifts[1][enough]))
    return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))


def _verified(pictures: Sequence[np.ndarray], candidate: _Candidate, same_view: bool) -> Match | None:
    """The match, where the two pictures agree nearly everywhere once they are laid over each other exactly."""
    first = np.ascontiguousarray(turned_picture(pictures[candidate.first], candidate.turn), np.float32)
    second = pictures[candidate.second].astype(np.float32)
    matrix, score = _align(_coarse(first), _coarse(second), candidate.rows, candidate.columns)
    if score < _ALIKE:
        return None
    one, two = _detail(first, 1.2, 2.5, 1.0, 0.5), _detail(second, 1.2, 2.5, 1.0, 0.5)
    moved, both = _over(one, two, matrix)
    inside, overlap = both.astype(np.float32), float(both.sum()) / min(one.size, two.size)
    a, b = moved * inside, two * inside
    score, weakest = _agreement(a, b, inside)
    whole, quarter = _FINE if candidate.turn == 0 and overlap >= _ASIDE else _FINE_APART
    if score < whole or weakest < quarter or overlap < _SMALLEST or not _particular(a, b, inside):
        return None
    scale = 1 / float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    shift = _shift(matrix, one.shape, two.shape)
    return Match(candidate.first, candidate.second, candidate.turn, scale, shift, overlap, score, same_view)


def _align(one: np.ndarray, two: np.ndarray, rows: float, columns: float) -> tuple[np.ndarray, float]:
    """From the second picture's places to the first's: a shift, with a change of scale where that fits better."""
    right, down = columns + (two.shape[1] - one.shape[1]) / 2, rows + (two.shape[0] - one.shape[0]) / 2
    best = np.array([[1, 0, -right], [0, 1, -down]], np.float32)
    best = _better(one, two, best, cv2.MOTION_TRANSLATION)
    score = _correlation(one, two, best)
    if _HOPELESS <= score < _CERTAIN:
        warped = _better(one, two, best, cv2.MOTION_AFFINE)
        finer = _correlation(one, two, warped)
        if finer > score + 0.01 and _is_mild(warped):
            return warped, finer
    return best, score


def _better(one: np.ndarray, two: np.ndarray, start: np.ndarray, motion: int) -> np.ndarray:
    try:
        return cv2.findTransformECC(two, one, start.copy(), motion, _STEPS, None, 1)[1]  # type: ignore[call-overload]
    except cv2.error:  # it does not converge where there is nothing to be found
        return start


def _coarse(grey: np.ndarray) -> np.ndarray:
    return _detail(grey, 2.5, 4.0, 2.0, 1.0)


def _detail(grey: np.ndarray, width: float, around: float, noise: float, soft: float) -> np.ndarray:
    """What differs from its surroundings, by how much anything does there: light and contrast drop out. H W float32

    Fine details tell one retina, piece or road from the next of the same outline.
    """
    detail = grey - _blurred(grey, width)
    detail /= np.sqrt(_blurred(detail * detail, around)) + noise
    return _blurred(detail, soft)


def _over(one: np.ndarray, two: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first picture where the second is, and where both are."""
    size = (two.shape[1], two.shape[0])
    return cv2.warpAffine(one, matrix, size, flags=_LINEAR), cv2.warpAffine(
        np.ones_like(one), matrix, size, flags=_LINEAR
    ) > 0.99


def _correlation(one: np.ndarray, two: np.ndarray, matrix: np.ndarray) -> float:
    moved, both = _over(one, two, matrix)
    if both.mean() < _SMALLEST / 2:
        return 0.0
    a, b = moved[both], two[both]
    return float(a @ b / max(1e-6, float(np.sqrt((a @ a) * (b @ b)))))


def _blurred(picture: np.ndarray, width: float) -> np.ndarray:
    return cv2.GaussianBlur(picture, (0, 0), width, borderType=cv2.BORDER_REFLECT)


def _agreement(one: np.ndarray, two: np.ndarray, inside: np.ndarray) -> tuple[float, float]:
    """Correlation of two pictures over their overlap, and in the quarter of its blocks that agrees least."""
    steps = [np.arange(0, side, -(-side // _BLOCKS)) for side in two.shape]
    agreed, power, covered = (
        np.add.reduceat(np.add.reduceat(values, steps[0], 0), steps[1], 1)
        for values in (one * two, (one * one + two * two) / 2, inside)
    )
    filled = covered > covered.max() / 2
    if not filled.any():
        return 0.0, 0.0
    score = float(agreed.sum() / max(1e-6, float(np.sqrt((one * one).sum() * (two * two).sum()))))
    return score, float(np.quantile(agreed[filled] / (power[filled] + 1e-6), 0.25))


def _particular(one: np.ndarray, two: np.ndarray, inside: np.ndarray) -> bool:
    """Whether what agrees is more than lines in one direction, and agrees nowhere else as well."""
    a, b = _without_lines(one, two, inside)
    score = float((a * b).sum() / max(1e-6, float(np.sqrt((a * a).sum() * (b * b).sum()))))
    return score >= _PARTICULAR and 1 - score <= _ELSEWHERE * (1 - _best_elsewhere(a, b, inside))


def _without_lines(one: np.ndarray, two: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two pictures less their means along the direction in which both change least."""
    core = cv2.erode(inside, np.ones((5, 5)))
    steps = [np.gradient(picture) for picture in (one, two)]
    down, right, both = (
        sum(float((step[i] * step[j] * core).sum()) for step in steps) for i, j in ((0, 0), (1, 1), (0, 1))
    )
    angle = np.degrees(np.arctan2(2 * both, right - down)) / 2 + 90
    line = np.zeros((_LINE, _LINE), np.float32)
    line[_LINE // 2] = 1
    line = cv2.warpAffine(line, cv2.getRotationMatrix2D((_LINE // 2, _LINE // 2), -angle, 1), line.shape)
    means = [cv2.filter2D(values, -1, line, borderType=cv2.BORDER_CONSTANT) for values in (one, two, inside)]
    share = np.maximum(means[2], 1e-3)
    return one - means[0] / share * inside, two - means[1] / share * inside


def _best_elsewhere(one: np.ndarray, two: np.ndarray, inside: np.ndarray) -> float:
    """The best correlation of the two after any other shift or turn that leaves a third of them."""

    def spectra(turn: int, *pictures: np.ndarray) -> list[np.ndarray]:
        whole = [np.ascontiguousarray(turned_picture(picture, turn)) for picture in pictures]
        return [
            cv2.dft(cv2.copyMakeBorder(p, 0, _ROUND - p.shape[0], 0, _ROUND - p.shape[1], cv2.BORDER_CONSTANT))
            for p in whole
        ]

    def summed(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return cv2.idft(cv2.mulSpectrums(second, first, 0, conjB=True), flags=cv2.DFT_SCALE)

    shift = (np.arange(_ROUND) + _ROUND // 2) % _ROUND - _ROUND // 2
    within = np.maximum(abs(shift[:, None]), abs(shift)) <= _ROUND - SIDE  # farther ones come round again
    away = within & (np.hypot(shift[:, None], shift) > _ASIDE_BY)
    other, other_power, other_inside = spectra(0, two, two * two, inside)
    best = -1.0
    for turn in range(8):
        first, power, place = spectra(turn, one, one * one, inside)
        enough = (summed(place, other_inside) > inside.sum() / 3) & (within if turn else away)
        powers = summed(power, other_inside)[enough] * summed(place, other_power)[enough]
        found = summed(first, other)[enough] / np.sqrt(np.maximum(powers, 1e-6))
        best = max(best, float(found.max(initial=-1.0)))
    return best


def _is_mild(matrix: np.ndarray) -> bool:
    """A change of scale by at most a third, hardly turned, hardly sheared."""
    stretch = np.linalg.svd(matrix[:, :2], compute_uv=False)
    skew = abs(matrix[0, 1]) + abs(matrix[1, 0])
    return bool(stretch.min() > 0.74 and stretch.max() < 1.35 and stretch.max() / stretch.min() < 1.2 and skew < 0.25)


def _shift(matrix: np.ndarray, one: tuple[int, ...], two: tuple[int, ...]) -> tuple[float, float]:
    """Where the first picture's middle lies off the second's, as shares of the second's rows and columns."""
    middle = np.array([(one[1] - 1) / 2, (one[0] - 1) / 2])
    x, y = np.linalg.solve(matrix[:, :2].astype(np.float64), middle - matrix[:, 2])
    return float((y - (two[0] - 1) / 2) / two[0]), float((x - (two[1] - 1) / 2) / two[1])
