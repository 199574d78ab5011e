"""Prediction of images of any size, tile by tile: memory is bounded by a band of rows, not by the image.

    for top, probabilities in predict_bands(lambda top, bottom: image[top:bottom], height, width, view, forward):
        ...                                       # K h W float32, whole rows from `top` on

What the network runs on is not known here (torch, ONNX Runtime and OpenVINO are each a function), so neither is torch.

Legend: N tiles, K classes, C channels, H W the image's sides, h w those of what the network sees of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import cv2
import numpy as np

from maskwright.data.geometry import View, in_fours, shrink_to

Read = Callable[[int, int], np.ndarray]  # rows top … bottom of the image. → h W C uint8
Forward = Callable[[np.ndarray], np.ndarray]  # N h w C uint8 → N K h w float32, probabilities, which are written into
Block = tuple[int, int, np.ndarray]  # top, left, K h w

EVEN = 0.5  # the foreground threshold of two classes at which the likelier one is taken

_ROWS = 256  # of the source, resized at a time
_AT_ONCE = 1 << 26  # bytes: smaller images are resized in one piece, and pieces that were resized are no larger


def is_foreground(planes: Any, threshold: float) -> Any:
    """Where a pixel of two classes is foreground: its probability is above the threshold; at a half, it is the
    likelier.

    Of arrays and of tensors; with a threshold of a half of logits, too. … 2 H W → … H W bool
    """
    return planes[..., 1, :, :] > (planes[..., 0, :, :] if threshold == EVEN else threshold)


def predict_whole(
    pixels: np.ndarray,
    view: View,
    forward: Forward,
    reduce: Callable[[np.ndarray], np.ndarray] | None = None,
    batch_size: int = 1,
) -> np.ndarray:
    """What `predict_bands` gives of an image in memory, in one. H W C → K H W float32, or what `reduce` makes of it"""
    height, width = pixels.shape[:2]
    whole = np.empty(0)
    bands = predict_bands(lambda first, last: pixels[first:last], height, width, view, forward, batch_size, reduce)
    for top, band in bands:
        if band.shape[-2] == height:
            return band
        whole = whole if top else np.empty((*band.shape[:-2], height, width), band.dtype)
        whole[..., top : top + band.shape[-2], :] = band
    return whole


def predict_bands(
    read: Read, height: int, width: int, view: View, forward: Forward, batch_size: int = 1,
    reduce: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Iterator[tuple[int, np.ndarray]]:  # fmt: skip
    """Probabilities of whole rows, from the top on. → top, K h W float32

    `reduce` takes what is needed out of each block of probabilities (K h w → … h w, such as labels), so that a band
    takes no more memory than that.
    """
    blocks = predict_blocks(read, height, width, view, forward, batch_size)
    reduced = ((top, left, reduce(block) if reduce else block) for top, left, block in blocks)
    yield from _gather(reduced, width)


def predict_blocks(
    read: Read, height: int, width: int, view: View, forward: Forward, batch_size: int = 1
) -> Iterator[Block]:  # fmt: skip
    """Probabilities of rectangles that cover the image once: row by row of tiles, from left to right in each.

    `read` is asked for rows from the top on. A block is the caller's until the next one is asked for.
    """
    inner = view.inner_size(height, width)
    rows = _Rows(read, (height, width), inner)
    if view.tiled(height, width):
        blocks = _blend(rows, inner, view, forward, batch_size)
    else:
        blocks = iter([(0, 0, forward(rows.take(0, inner[0])[np.newaxis])[0])])
    yield from blocks if inner == (height, width) else _enlarged(_gather(blocks, inner[1]), inner, (height, width))


def _blend(rows: _Rows, inner: tuple[int, int], view: View, forward: Forward, batch_size: int) -> Iterator[Block]:
    """Tiles, faded into one another where they overlap.

    Each tile is used up to its end, and fades over its last `overlap` pixels into the next. Neighbours are mixed as
    a + t (b - a): where they agree, that is what they agree on, to the bit.
    """
    side, overlap = view.tiling.side, view.tiling.overlap
    tops, lefts = (view.tiling.starts(length) for length in inner)
    fade = (0.5 - 0.5 * np.cos(np.pi * (np.arange(overlap) + 0.5) / max(1, overlap))).astype(np.float32)
    row_cuts, column_cuts = (
        _cuts(starts, side, overlap, length) for starts, length in zip((tops, lefts), inner, strict=True)
    )
    shape = (side if len(tops) > 1 else inner[0], side if len(lefts) > 1 else inner[1])
    below: np.ndarray | None = None  # K overlap w: the ends of the row of tiles above
    columns = list(pairwise(column_cuts))
    for (top, bottom), first in zip(pairwise(row_cuts), tops, strict=True):
        band = rows.take(first, min(first + side, inner[0]))
        end = min(bottom + overlap, inner[0])
        beside: np.ndarray | None = None  # K h overlap: the end of the tile to the left
        for number, tile in enumerate(_tiles(band, lefts, shape, forward, batch_size)):
            left, right = columns[number]
            used = tile[:, top - first : end - first, left - lefts[number] :]
            if beside is not None:
                _fade(beside, used[..., :overlap], fade)
            block = used[..., : right - left]
            beside = used[..., right - left :].copy() if right < inner[1] and overlap else None
            if below is not None and top:
                _fade(below[..., left:right], block[:, :overlap], fade[:, np.newaxis])
            if end > bottom:
                if below is None:
                    below = np.empty((len(block), overlap, inner[1]), np.float32)
                below[..., left:right] = block[:, bottom - top :]
            yield top, left, block[:, : bottom - top]


def _cuts(starts: Sequence[int], side: int, overlap: int, length: int) -> list[int]:
    """From where on each tile is seen: the next takes over where one's fading begins; and the end."""
    return [0, *(start + side - overlap for start in starts[:-1]), length]


def _fade(old: np.ndarray, new: np.ndarray, share: np.ndarray) -> None:
    """Mix into `new` what was there before, by the share of the new."""
    new -= old
    new *= share
    new += old


def _tiles(
    band: np.ndarray, lefts: Sequence[int], shape: tuple[int, int], forward: Forward, batch: int
) -> Iterator[np.ndarray]:
    """The probabilities of each tile of a band, K h w. band h w C

    What reaches beyond the border, by less than a stride, repeats what is there, as a network's own padding does.
    """
    height, width = band.shape[:2]
    beyond = ((0, shape[0] - height), (0, lefts[-1] + shape[1] - width), (0, 0))
    band = np.pad(band, beyond, mode="edge") if any(map(any, beyond)) else band
    for at in range(0, len(lefts), batch):
        some = lefts[at : at + batch]
        for tile, left in zip(forward(np.stack([band[:, left : left + shape[1]] for left in some])), some, strict=True):
            yield tile[:, :height, : width - left]


def _gather(blocks: Iterable[Block], width: int) -> Iterator[tuple[int, np.ndarray]]:
    """Blocks of a row put together to whole rows."""
    band: np.ndarray | None = None
    for top, left, block in blocks:
        if block.shape[-1] == width:
            yield top, block
            continue
        if band is None or left == 0:
            band = np.empty((*block.shape[:-1], width), block.dtype)
        band[..., left : left + block.shape[-1]] = block
        if left + block.shape[-1] == width:
            yield top, band
            band = None


class _Rows:
    """The rows of an image as the network sees them, resized by the same grid whichever of them are asked for.

    Rows that were asked for last are kept, as far as they are asked for again.
    """

    def __init__(self, read: Read, source: tuple[int, int], target: tuple[int, int]) -> None:
        self.read, self.source, self.target = read, source, target
        self.kept: np.ndarray | None = None
        self.at = 0

    def take(self, top: int, bottom: int) -> np.ndarray:
        """Rows of the resized image. → h w C uint8"""
        if self.kept is not None and self.at <= top < self.at + len(self.kept):
            old = self.kept[top - self.at :]
            self.kept = np.concatenate([old, self._fresh(top + len(old), bottom)])
        else:
            self.kept = self._fresh(top, bottom)
        self.at = top
        return self.kept

    def _fresh(self, top: int, bottom: int) -> np.ndarray:
        if self.source == self.target:
            return self.read(top, bottom)
        (height, width), (to_height, to_width) = self.source, self.target
        if (top, bottom) == (0, to_height) and height * width <= _AT_ONCE:
            return shrink_to(self.read(0, height), to_height, to_width)
        step = max(1, int(_ROWS * to_height / height))
        parts = [self._resized(at, min(at + step, bottom)) for at in range(top, bottom, step)]
        return np.concatenate(parts)

    def _resized(self, top: int, bottom: int) -> np.ndarray:
        """A few rows: across by OpenCV, down by weights, because OpenCV knows no rows that begin between two."""
        first, weights = _row_weights(self.source[0], self.target[0], top, bottom)
        rows = self.read(first, first + weights.shape[1])
        how = cv2.INTER_AREA if self.target[1] < self.source[1] else cv2.INTER_LINEAR
        size = (self.target[1], len(rows))
        across = in_fours(lambda part: cv2.resize(part.astype(np.float32), size, interpolation=how), rows)
        down = weights @ across.reshape(len(rows), -1)
        return np.clip(np.rint(down), 0, 255).astype(np.uint8).reshape(bottom - top, self.target[1], -1)


def _row_weights(length: int, target: int, top: int, bottom: int) -> tuple[int, np.ndarray]:
    """What rows top … bottom of `target` are made of among `length`: the first row read, and the weights. → n m float32

    A mean over what a row covers when shrinking, linear between two when growing, as `shrink_to` does.
    """
    ratio = length / target
    rows = np.arange(top, bottom)[:, np.newaxis]
    if target < length:
        first, last = math.floor(top * ratio), min(length, math.ceil(bottom * ratio))
        source = np.arange(first, last)[np.newaxis]
        covered = np.minimum(source + 1, (rows + 1) * ratio) - np.maximum(source, rows * ratio)
        weights = np.maximum(covered, 0)
    else:
        centre = np.clip((rows + 0.5) * ratio - 0.5, 0, length - 1)
        first, last = math.floor(centre[0, 0]), min(length, math.floor(centre[-1, 0]) + 2)
        weights = np.maximum(1 - np.abs(np.arange(first, last)[np.newaxis] - centre), 0)
    return first, (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _enlarged(
    bands: Iterable[tuple[int, np.ndarray]], inner: tuple[int, int], outer: tuple[int, int]
) -> Iterator[Block]:
    """Bands of the network's grid brought to the image's own size: linear, by the same grid wherever a band is cut."""
    done = 0
    above: np.ndarray | None = None
    for top, band in bands:
        rows = band if above is None else np.concatenate([above, band], axis=1)
        start = top if above is None else top - above.shape[1]
        known = top + band.shape[1]
        # the last row between two that are both known
        end = outer[0] if known == inner[0] else max(done, math.floor((known - 0.5) * outer[0] / inner[0] - 0.5))
        step = max(1, _AT_ONCE // (len(band) * outer[1] * 4))
        for first in range(done, end, step):
            yield first, 0, _stretched(rows, start, inner[0], outer, first, min(first + step, end))
        lowest = math.floor(max(0.0, (end + 0.5) * inner[0] / outer[0] - 0.5))  # what the rows to come begin with
        done, above = end, rows[:, lowest - start :].copy()


def _stretched(
    rows: np.ndarray, start: int, length: int, outer: tuple[int, int], first: int, last: int
) -> np.ndarray:  # fmt: skip
    """Rows first … last of the enlarged picture. rows K h w, which begin at `start` → K last-first W"""
    centre = np.clip((np.arange(first, last) + 0.5) * length / outer[0] - 0.5, 0, length - 1)
    upper = np.floor(centre).astype(int)
    lower = np.minimum(upper + 1, length - 1)
    share = (centre - upper).astype(np.float32)[:, np.newaxis]
    mixed = np.take(rows, lower - start, axis=1)
    _fade(np.take(rows, upper - start, axis=1), mixed, share)
    flat = mixed.reshape(-1, rows.shape[2])
    wide = cv2.resize(flat, (outer[1], len(flat)), interpolation=cv2.INTER_LINEAR)
    return wide.reshape(len(rows), last - first, outer[1])
