"""Landmarks of thumbnails: places that stand out, described so that turning or mirroring the picture changes nothing.

All pictures are worked on at once. Arrays of pictures are S N S (rows, pictures, columns): blurring them is then
one matrix product along the rows and one along the columns.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cache

import cv2
import numpy as np

from maskwright.data.checks.signatures import SIDE

REACH = 5  # a landmark is described by the 11 × 11 pixels around it
_MOST = 24  # landmarks a picture; a quarter of them meet again where half of it is shared
_WAVES = 6  # cosines each way that describe a landmark
_DOUBT = 0.25  # below this share of the slope its sign is not sure: both readings are kept
_FAINT = 0.3  # landmarks less pronounced than this are noise
_DETAIL, _AROUND, _NOISE = 2.5, 4.0, 2.0  # widths of blurs in pixels of the thumbnail; grey values
_SCALE = 28  # detail as int8: four and a half standard deviations


@dataclass(frozen=True)
class Landmarks:
    """One entry a reading: picture, place (from the centre), which of the eight turns brings it into the common form, form.

    spot numbers the places, so that two readings of one place can be told from two places.
    """

    picture: np.ndarray
    spot: np.ndarray
    y: np.ndarray
    x: np.ndarray
    turn: np.ndarray
    form: np.ndarray

    def renumbered(self, first: int) -> Landmarks:
        """The same landmarks of pictures counted from `first`."""
        return replace(self, picture=self.picture + first, spot=self.spot + first * SIDE * SIDE)


def joined(parts: list[Landmarks]) -> Landmarks:
    """Landmarks of several lots of pictures as one; lots come in the order of their pictures."""
    return Landmarks(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Landmarks)))


def details(small: np.ndarray) -> np.ndarray:
    """What differs from its surroundings, measured by how much anything does there: light and contrast drop out.

    N S S uint8 → N S S int8, slightly blurred, so that half a pixel's shift changes little.
    """
    stack = np.ascontiguousarray(small.transpose(1, 0, 2), np.float32)
    stack -= _blurred(stack, _DETAIL)
    spread = _blurred(np.square(stack), _AROUND)
    np.sqrt(spread, out=spread)
    spread += _NOISE
    stack /= spread
    found = _blurred(stack, 1.0)
    found *= _SCALE
    return np.ascontiguousarray(np.clip(np.rint(found), -127, 127).astype(np.int8).transpose(1, 0, 2))


def landmarks(detail: np.ndarray, sizes: np.ndarray) -> Landmarks:
    """The most pronounced places of each picture, in the order of the pictures. N S S int8

    sizes: how many rows and columns of it are the picture. N 2
    """
    number = len(detail)
    tall = np.abs(detail).reshape(-1, SIDE).astype(np.uint8)
    # neighbours across two pictures don't matter: nothing so near the border is kept
    peaks = tall >= np.maximum(cv2.dilate(tall, np.ones((5, 5), np.uint8)), round(_FAINT * _SCALE))
    picture, y, x = np.nonzero(peaks.reshape(number, SIDE, SIDE))
    inside = (y >= REACH) & (x >= REACH) & (y < sizes[picture, 0] - REACH) & (x < sizes[picture, 1] - REACH)
    picture, y, x = picture[inside], y[inside], x[inside]
    picture, y, x = _foremost(picture, y, x, tall.reshape(number, SIDE, SIDE)[picture, y, x])
    around = np.arange(-REACH, REACH + 1)
    patches = detail[picture[:, None, None], y[:, None, None] + around[:, None], x[:, None, None] + around]
    waves = _cosines(2 * REACH + 1)
    forms = np.matmul(np.matmul(waves, patches.astype(np.float32)), waves.T) * _weights()
    entry, turn, forms = _common_form(forms)
    order = np.argsort(entry, kind="stable")  # so that entries are in the order of their pictures
    entry, turn, forms = entry[order], turn[order], forms[order]
    forms = forms.reshape(len(forms), _WAVES * _WAVES)[:, 1:]  # without the mean
    forms /= np.linalg.norm(forms, axis=1, keepdims=True) + 1e-6
    picture, y, x = picture[entry], y[entry], x[entry]
    spot = (picture * SIDE + y) * SIDE + x
    middle = (sizes[picture] - 1) / 2
    y, x = y - middle[:, 0], x - middle[:, 1]
    return Landmarks(picture, spot, y.astype(np.float32), x.astype(np.float32), turn, forms)


def turned(turn: np.ndarray, y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places (from the centre) after a turn: bit 0 mirrors columns, bit 1 mirrors rows, then bit 2 swaps both."""
    x, y = np.where(turn & 1, -x, x), np.where(turn & 2, -y, y)
    swap = (turn & 4) > 0
    return np.where(swap, x, y), np.where(swap, y, x)


def turned_picture(picture: np.ndarray, turn: int) -> np.ndarray:
    """A picture after a turn. H W"""
    picture = picture[:, ::-1] if turn & 1 else picture
    picture = picture[::-1] if turn & 2 else picture
    return picture.T if turn & 4 else picture


@cache
def turn_between() -> np.ndarray:
    """Which turn makes of a what has the common form after turn j, when a has it after turn i. 8 8"""
    table = np.zeros((8, 8), np.int64)
    probe = np.arange(6).reshape(2, 3)
    for one in range(8):
        for two in range(8):
            wanted = turned_picture(probe, one).tolist()
            made = [turned_picture(turned_picture(probe, turn), two).tolist() for turn in range(8)]
            table[one, two] = made.index(wanted)
    return table


def _foremost(picture: np.ndarray, y: np.ndarray, x: np.ndarray, how: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The _MOST most pronounced places of each picture."""
    order = np.lexsort((-how.astype(np.int16), picture))
    sorted_picture = picture[order]
    rank = np.arange(len(order)) - np.searchsorted(sorted_picture, sorted_picture)
    kept = order[rank < _MOST]
    return picture[kept], y[kept], x[kept]


def _common_form(forms: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mirrored and swapped so that it grows to the right and down, more so to the right.

    → which entry, by which turn, the form; entries whose slopes leave a doubt come twice or more.
    """
    right, down = forms[:, 0, 1], forms[:, 1, 0]
    little = _DOUBT * np.hypot(right, down)
    # a cosine's odd waves fall where even ones are alike: the first falls to the right where the picture grows
    mirror_x, mirror_y, swap = right > 0, down > 0, np.abs(down) > np.abs(right)
    nothing = np.zeros(len(forms), bool)
    readings = (
        (~nothing, nothing, nothing, nothing),
        (np.abs(right) < little, ~nothing, nothing, nothing),
        (np.abs(down) < little, nothing, ~nothing, nothing),
        (np.abs(np.abs(right) - np.abs(down)) < little, nothing, nothing, ~nothing),
    )
    entries, turns, found = [], [], []
    odd = np.where(np.arange(_WAVES) % 2, -1, 1).astype(np.float32)
    for chosen, other_x, other_y, other_swap in readings:
        entry = np.flatnonzero(chosen)
        by_x, by_y, by_swap = (a[entry] ^ b[entry] for a, b in ((mirror_x, other_x), (mirror_y, other_y), (swap, other_swap)))
        form = forms[entry]
        form = np.where(by_x[:, None, None], form * odd, form)
        form = np.where(by_y[:, None, None], form * odd[:, None], form)
        found.append(np.where(by_swap[:, None, None], form.transpose(0, 2, 1), form))
        turns.append(by_x * 1 + by_y * 2 + by_swap * 4)
        entries.append(entry)
    return np.concatenate(entries), np.concatenate(turns), np.concatenate(found)


def _blurred(stack: np.ndarray, width: float) -> np.ndarray:
    """S N S float32"""
    blur = _blur(width)
    rows = blur @ stack.reshape(SIDE, -1)
    return (rows.reshape(-1, SIDE) @ blur.T).reshape(stack.shape)


@cache
def _blur(width: float) -> np.ndarray:
    """A Gaussian blur of a column of SIDE pixels, mirrored at its ends, as a matrix."""
    each = np.eye(SIDE, dtype=np.float32)
    return cv2.GaussianBlur(each, (1, 2 * round(4 * width) + 1), sigmaX=1, sigmaY=width, borderType=cv2.BORDER_REFLECT)


@cache
def _cosines(length: int) -> np.ndarray:
    place = (np.arange(length) + 0.5) / length
    return np.cos(np.pi * np.arange(_WAVES)[:, None] * place).astype(np.float32)


@cache
def _weights() -> np.ndarray:
    """Fine waves are weaker in any picture: weighted up, they tell as much as coarse ones."""
    wave = np.arange(_WAVES, dtype=np.float32)
    weights = np.sqrt(np.hypot(wave[:, None], wave))
    return np.where(np.hypot(wave[:, None], wave) == 0, 1, weights)
