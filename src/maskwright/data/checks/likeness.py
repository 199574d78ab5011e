"""Which pictures look alike: candidates by shared landmarks, each verified on the thumbnails.

    for pair in likenesses(signatures): ...   # pair.first, pair.second, pair.turn, pair.overlap, pair.score

Landmarks meet in buckets, so that no picture is compared with every other; pairs whose landmarks agree on one turn
and one shift are laid over each other, and only what then agrees nearly everywhere is alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from maskwright.data.checks.candidates import Candidates, promising
from maskwright.data.checks.landmarks import Landmarks, details, joined, landmarks, turned_picture
from maskwright.data.checks.signatures import SIDE, Signature
from maskwright.runs import usable_cores

_ALIKE = 0.6  # correlation of coarse details over the overlap; what unrelated photographs reach at best
_FINE = (0.6, 0.45)  # correlation of fine details over the overlap, and in the quarter of it that agrees least
_FINE_APART = (0.7, 0.55)  # the same for pictures turned or far apart, where more places were tried
_PARTICULAR = 0.45  # correlation of what is left without lines: stripes that a camera or a tool draws on everything tell nothing
_ELSEWHERE = 0.7  # of what another shift or turn leaves unexplained, this one must leave less: a brick fits any brick
_LINE = 15  # pixels of the thumbnail over which a line is followed
_ROUND = 64  # side on which shifts are tried all at once: a power of two that leaves room for shifts by nearly half a side
_ASIDE_BY = 3.5  # pixels from which on another shift is another
_SMALLEST = 0.4  # share of the smaller picture an overlap must have
_ASIDE = 0.85  # overlaps below this are far apart
_CERTAIN = 0.97  # from here on nothing is gained by looking for a change of scale
_HOPELESS = 0.3  # and below this neither
_LOT = 64  # pictures worked on at once: few enough for the processor's cache
_BLOCKS = 6  # each way; a quarter of them may disagree
_STEPS = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 1e-3)
_LINEAR = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


@dataclass(frozen=True)
class Likeness:
    """Picture `second` is `first` after `turn` (see `landmarks.turned`), enlarged by `scale` and moved by `shift`.

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


def likenesses(signatures: Sequence[Signature], settled: Callable[[int, int], bool] = lambda *_: False) -> Iterator[Likeness]:
    """Pairs of pictures that look alike, likelier ones first; pairs that are `settled` already are not looked at."""
    small = [signature.small for signature in signatures]
    whole = np.full((len(small), 2), SIDE)
    yield from _alike(small, whole, True, settled)
    frames = {tuple(sorted(signature.size)) for signature in signatures}
    if len(frames) > 1:  # pieces of one scene may have different sizes
        small, sizes = _at_one_scale(signatures)
        yield from _alike(small, sizes, False, settled)


def _alike(
    small: Sequence[np.ndarray], sizes: np.ndarray, same_view: bool, settled: Callable[[int, int], bool]
) -> Iterator[Likeness]:
    if len(small) < 2:
        return
    detail = np.empty((len(small), SIDE, SIDE), np.int8)

    def described(start: int) -> Landmarks:
        lot = slice(start, start + _LOT)
        detail[lot] = details(np.stack(small[lot]))
        return landmarks(detail[lot], sizes[lot]).renumbered(start)

    with ThreadPoolExecutor(usable_cores()) as pool:
        chosen = promising(joined(list(pool.map(described, range(0, len(small), _LOT)))), detail, sizes, pool)
    for place in range(len(chosen.first)):
        if not settled(int(chosen.first[place]), int(chosen.second[place])):
            likeness = _verified(small, detail, sizes, chosen, place, same_view)
            if likeness:
                yield likeness


def _at_one_scale(signatures: Sequence[Signature]) -> tuple[list[np.ndarray], np.ndarray]:
    """Thumbnails in which a pixel is as large in each picture, in the upper left corner; and their sizes."""
    longest = max(max(signature.size) for signature in signatures)
    small, sizes = [], []
    for signature in signatures:
        height, width = (max(2, round(SIDE * side / longest)) for side in signature.size)
        shrunk = cv2.resize(signature.small, (width, height), interpolation=cv2.INTER_AREA)
        below, right = SIDE - height, SIDE - width
        small.append(cv2.copyMakeBorder(shrunk, 0, below, 0, right, cv2.BORDER_REPLICATE))
        sizes.append((height, width))
    return small, np.array(sizes)


def _verified(
    small: Sequence[np.ndarray], detail: np.ndarray, sizes: np.ndarray, chosen: Candidates, place: int, same_view: bool
) -> Likeness | None:
    first, second, turn = int(chosen.first[place]), int(chosen.second[place]), int(chosen.turn[place])
    one, two = (detail[index, : sizes[index, 0], : sizes[index, 1]] for index in (first, second))
    one, two = np.ascontiguousarray(turned_picture(one, turn), np.float32), two.astype(np.float32)
    matrix, score = _laid(one, two, float(chosen.rows[place]), float(chosen.columns[place]))
    if score < _ALIKE:
        return None
    one, two = (_fine(small[index][: sizes[index, 0], : sizes[index, 1]]) for index in (first, second))
    one = np.ascontiguousarray(turned_picture(one, turn))
    score, weakest, overlap = _agreement(one, two, matrix)
    whole, quarter = _FINE if turn == 0 and overlap >= _ASIDE else _FINE_APART
    if score < whole or weakest < quarter or overlap < _SMALLEST or not _particular(one, two, matrix):
        return None
    scale = 1 / float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    return Likeness(first, second, turn, scale, _shift(matrix, one.shape, two.shape), overlap, score, same_view)


def _laid(one: np.ndarray, two: np.ndarray, rows: float, columns: float) -> tuple[np.ndarray, float]:
    """From the second picture's places to the first's: a shift, or one with a change of scale where that fits better."""
    right, down = columns + (two.shape[1] - one.shape[1]) / 2, rows + (two.shape[0] - one.shape[0]) / 2
    best = _better(one, two, np.array([[1, 0, -right], [0, 1, -down]], np.float32), cv2.MOTION_TRANSLATION)
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


def _over(one: np.ndarray, two: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first picture where the second is, and where both are."""
    size = (two.shape[1], two.shape[0])
    return cv2.warpAffine(one, matrix, size, flags=_LINEAR), cv2.warpAffine(np.ones_like(one), matrix, size, flags=_LINEAR) > 0.99


def _correlation(one: np.ndarray, two: np.ndarray, matrix: np.ndarray) -> float:
    moved, both = _over(one, two, matrix)
    if both.mean() < _SMALLEST / 2:
        return 0.0
    a, b = moved[both], two[both]
    return float(a @ b / max(1e-6, float(np.sqrt((a @ a) * (b @ b)))))


def _fine(small: np.ndarray) -> np.ndarray:
    """As `details`, but finer: what tells one retina, piece or road from the next of the same outline. H W float32"""
    grey = small.astype(np.float32)
    detail = grey - _soft(grey, 1.2)
    detail /= np.sqrt(_soft(detail * detail, 2.5)) + 1
    return _soft(detail, 0.5)


def _soft(picture: np.ndarray, width: float) -> np.ndarray:
    return cv2.GaussianBlur(picture, (0, 0), width, borderType=cv2.BORDER_REFLECT)


def _agreement(one: np.ndarray, two: np.ndarray, matrix: np.ndarray) -> tuple[float, float, float]:
    """Correlation over the overlap, in the quarter of its blocks that agrees least, and how much of the smaller one it is."""
    moved, both = _over(one, two, matrix)
    a, b = moved * both, two * both
    steps = [np.arange(0, side, -(-side // _BLOCKS)) for side in two.shape]
    agreed, power, covered = (
        np.add.reduceat(np.add.reduceat(values, steps[0], 0), steps[1], 1)
        for values in (a * b, (a * a + b * b) / 2, both.astype(np.float32))
    )
    filled = covered > covered.max() / 2
    if not filled.any():
        return 0.0, 0.0, 0.0
    score = float(agreed.sum() / max(1e-6, float(np.sqrt((a * a).sum() * (b * b).sum()))))
    weakest = float(np.quantile(agreed[filled] / (power[filled] + 1e-6), 0.25))
    return score, weakest, float(both.sum()) / min(one.size, two.size)


def _particular(one: np.ndarray, two: np.ndarray, matrix: np.ndarray) -> bool:
    """Whether what agrees is more than lines in one direction, and agrees nowhere else as well."""
    moved, both = _over(one, two, matrix)
    inside = both.astype(np.float32)
    a, b = _without_lines(moved * inside, two * inside, inside)
    score = float((a * b).sum() / max(1e-6, float(np.sqrt((a * a).sum() * (b * b).sum()))))
    return score >= _PARTICULAR and 1 - score <= _ELSEWHERE * (1 - _best_elsewhere(a, b, inside))


def _without_lines(one: np.ndarray, two: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two pictures less their means along the direction in which both change least."""
    core = cv2.erode(inside, np.ones((5, 5)))
    steps = [np.gradient(picture) for picture in (one, two)]
    down, right, both = (sum(float((step[i] * step[j] * core).sum()) for step in steps) for i, j in ((0, 0), (1, 1), (0, 1)))
    angle = np.degrees(np.arctan2(2 * both, right - down)) / 2 + 90
    line = np.zeros((_LINE, _LINE), np.float32)
    line[_LINE // 2] = 1
    line = cv2.warpAffine(line, cv2.getRotationMatrix2D((_LINE // 2, _LINE // 2), -angle, 1), line.shape)
    means = [cv2.filter2D(values, -1, line, borderType=cv2.BORDER_CONSTANT) for values in (one, two, inside)]
    share = np.maximum(means[2], 1e-3)
    return one - means[0] / share * inside, two - means[1] / share * inside


def _best_elsewhere(one: np.ndarray, two: np.ndarray, inside: np.ndarray) -> float:
    """The best correlation of two pictures that lie over each other after any other shift or turn that leaves a third of them."""

    def spectra(turn: int, *pictures: np.ndarray) -> list[np.ndarray]:
        whole = [np.ascontiguousarray(turned_picture(picture, turn)) for picture in pictures]
        return [
            cv2.dft(cv2.copyMakeBorder(p, 0, _ROUND - p.shape[0], 0, _ROUND - p.shape[1], cv2.BORDER_CONSTANT)) for p in whole
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
