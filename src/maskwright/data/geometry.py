"""One matrix, one warp: from the decoded source straight to the output crop.

Coordinates are continuous: pixel i covers i … i+1, so its centre is i + 0.5. A 3×3 matrix maps
places in the output to places in the source; geometric operations multiply into it, and the pixels
are read once, at the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from maskwright.data.dataset import IGNORE

_TO_CENTRES = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
_FROM_CENTRES = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
_FOUR_UP_TO = 4  # times the output's area: above, adding a channel to the source costs more than it saves
_AREA_FROM = 1.5  # source pixels an output pixel covers, from which averaging beats interpolating


Size = int | tuple[int, int]  # a side, or height and width
Aim = tuple[float, float]  # x, y in the source: a window is laid so that this place is in its middle half


@dataclass(frozen=True)
class Tiling:
    """How large images are cut for the network, in its own pixels: tiles of `side` whose neighbours share `overlap`.

    Images of up to `whole` pixels are seen in one pass. A rule of the run, not of a machine's free memory: the same
    image has the same prediction everywhere.
    """

    side: int = 512
    overlap: int = 64
    whole: int = 1 << 20

    def __post_init__(self) -> None:
        assert self.side >= 1 and 0 <= 2 * self.overlap <= self.side, "at most two neighbours may share a pixel"

    def starts(self, length: int) -> list[int]:
        """Where tiles begin: so that a network whose stride divides side and overlap sees the same grid in each."""
        step = self.side - self.overlap
        stride = math.gcd(step, 32)  # of the networks there are
        last = -(-max(0, length - self.side) // stride) * stride
        return [min(at, last) for at in range(0, last + step, step)]


@dataclass(frozen=True)
class View:
    """What one training input shows: `whole` images resized, or `crop` windows at `scale`."""

    kind: str
    size: Size
    scale: float = 1.0
    letterbox: bool = False
    outside: str = "reflect"
    tiling: Tiling = Tiling()

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of an input."""
        return sides_of(self.size)

    def halved(self) -> View:
        """The same picture, or a window of the same extent, at half the size."""
        height, width = (max(1, side // 2) for side in self.shape)
        return replace(self, size=(height, width), scale=self.scale * width / self.shape[1])

    def inner_size(self, height: int, width: int) -> tuple[int, int]:
        """Size at which the network sees a whole image of this size when it predicts."""
        if self.kind == "crop":
            return max(1, round(height * self.scale)), max(1, round(width * self.scale))
        if self.letterbox:
            step = _letterbox_step(height, width, self.shape)
            return max(1, round(height / step)), max(1, round(width / step))
        return self.shape

    def tiled(self, height: int, width: int) -> bool:
        """Whether an image of this size is predicted in tiles, not in one pass."""
        inner = self.inner_size(height, width)
        return self.kind == "crop" and math.prod(inner) > self.tiling.whole and max(inner) > self.tiling.side

    def inputs(self, height: int, width: int) -> float:
        """How many inputs an image's pixels come to."""
        return 1.0 if self.kind == "whole" else height * width * self.scale**2 / math.prod(self.shape)

    def windows(self, height: int, width: int) -> int:
        """How many inputs cover an image about once; so many an epoch draws from it."""
        return max(1, round(self.inputs(height, width)))

    def base_matrix(self, height: int, width: int, rng: np.random.Generator, aim: Aim | None = None) -> np.ndarray:
        """Output → source: the resize, or a window at a random place or about `aim`."""
        high, wide = self.shape
        if self.kind == "crop":
            step = 1 / self.scale
            x, y = aim or (None, None)
            left = _window_start(width, wide * step, rng, x)
            top = _window_start(height, high * step, rng, y)
            return np.array([[step, 0, left], [0, step, top], [0, 0, 1.0]])
        if self.letterbox:
            step = _letterbox_step(height, width, self.shape)
            return np.array([[step, 0, (width - step * wide) / 2], [0, step, (height - step * high) / 2], [0, 0, 1.0]])
        return np.diag([width / wide, height / high, 1.0])


def sides_of(size: Size) -> tuple[int, int]:
    """Height and width.

    >>> sides_of(384), sides_of((288, 384))
    ((384, 384), (288, 384))
    """
    height, width = (size, size) if isinstance(size, int) else size
    return height, width


def size_text(size: Size) -> str:
    """Height × width, as people write it.

    >>> size_text(384)
    '384 × 384'
    """
    height, width = sides_of(size)
    return f"{height} × {width}"


def _letterbox_step(height: int, width: int, shape: tuple[int, int]) -> float:
    """Source pixels an output pixel covers where the whole image is to fit in."""
    return max(height / shape[0], width / shape[1])


def _window_start(length: int, window: float, rng: np.random.Generator, aim: float | None = None) -> float:
    """A random start for a window that fits, `aim` in its middle half as far as the border allows; else centred."""
    spare = length - window
    if spare <= 0:
        return spare / 2
    if aim is None:
        return float(rng.uniform(0, spare))
    return min(max(0.0, aim - window * float(rng.uniform(0.25, 0.75))), spare)


def about_centre(matrix: np.ndarray, size: Size) -> np.ndarray:
    """The same transformation about the centre of the output instead of its corner."""
    height, width = sides_of(size)
    centre = np.array([[1, 0, width / 2], [0, 1, height / 2], [0, 0, 1.0]])
    corner = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1.0]])
    return centre @ matrix @ corner


def rotation(degrees: float) -> np.ndarray:
    """Turn about the origin."""
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])


def perspective(size: Size, shifts: np.ndarray) -> np.ndarray:
    """Move the output's four corners by `shifts` (4 2), shares of its width and height."""
    height, width = sides_of(size)
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    moved = (corners + shifts * (width, height)).astype(np.float32)
    return cv2.getPerspectiveTransform(corners, moved).astype(np.float64)


def corners_of(matrix: np.ndarray, size: Size) -> np.ndarray:
    """Where the output's corners lie in the source. → 4 2"""
    height, width = sides_of(size)
    corners = matrix @ np.array([[0, width, width, 0], [0, 0, height, height], [1, 1, 1, 1.0]])
    return (corners[:2] / corners[2]).T


def warp_pair(
    image: np.ndarray, mask: np.ndarray, matrix: np.ndarray, size: Size, outside: str
) -> tuple[np.ndarray, np.ndarray]:
    """Read the output crop from source image (linear, area when shrinking) and mask (nearest).

    image H W C uint8, mask H W uint8 → h w C, h w of the size
    """
    border = cv2.BORDER_REFLECT if outside == "reflect" else cv2.BORDER_CONSTANT
    labels = _warp(mask, matrix, size, cv2.INTER_NEAREST, border, IGNORE)
    source, inner = _shrink(image, matrix, size)
    if image.shape[2] == 3 and source.shape[0] * source.shape[1] > _FOUR_UP_TO * math.prod(sides_of(size)):
        return _warp(source, inner, size, cv2.INTER_LINEAR, border, (0, 0, 0)), labels
    if image.shape[2] != 3:
        return in_fours(lambda part: _warp(part, inner, size, cv2.INTER_LINEAR, border, (0, 0, 0, 0)), source), labels
    # OpenCV warps four channels more than twice as fast as three; adding and dropping one costs little
    four = _warp(cv2.cvtColor(source, cv2.COLOR_RGB2RGBA), inner, size, cv2.INTER_LINEAR, border, (0, 0, 0, 0))
    return cv2.cvtColor(four, cv2.COLOR_RGBA2RGB), labels


def shrink_to(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize a whole image: area when shrinking, linear when growing."""
    if image.shape[:2] == (height, width):
        return image
    smaller = image.shape[0] * image.shape[1] > height * width
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return _resize(image, height, width, how)


def _resize(image: np.ndarray, height: int, width: int, how: int) -> np.ndarray:
    """Resize with any number of channels. H W C → h w C"""
    return in_fours(lambda part: cv2.resize(part, (width, height), interpolation=how), image)


def in_fours(apply: Callable[[np.ndarray], np.ndarray], image: np.ndarray) -> np.ndarray:
    """Apply a function of OpenCV to any number of channels: it averages four at most, and has none at all for over 128.

    H W C → h w C
    """
    parts = (
        [image]
        if image.shape[2] <= 4
        else [np.ascontiguousarray(image[..., at : at + 4]) for at in range(0, image.shape[2], 4)]
    )
    done = [apply(part) for part in parts]
    done = [part.reshape(*part.shape[:2], -1) for part in done]
    return done[0] if len(done) == 1 else np.concatenate(done, axis=2)


def _warp(source: np.ndarray, matrix: np.ndarray, size: Size, how: int, border: int, fill: object) -> np.ndarray:
    centred = _FROM_CENTRES @ matrix @ _TO_CENTRES
    how_to: dict[str, Any] = {"flags": how | cv2.WARP_INVERSE_MAP, "borderMode": border, "borderValue": fill}
    height, width = sides_of(size)
    if abs(matrix[2, 0]) + abs(matrix[2, 1]) > 0:
        return cv2.warpPerspective(source, centred, (width, height), **how_to)
    return cv2.warpAffine(source, centred[:2] / centred[2, 2], (width, height), **how_to)


def _shrink(image: np.ndarray, matrix: np.ndarray, size: Size) -> tuple[np.ndarray, np.ndarray]:
    """Where the output is much coarser than the source, average the source's part down first.

    Linear interpolation reads four pixels; at a third of the size it would skip most of the source.
    """
    steps = np.hypot(matrix[:2, 0], matrix[:2, 1])  # source pixels along x and y an output pixel covers
    if steps.max() < _AREA_FROM:
        return image, matrix
    height, width = image.shape[:2]
    left, top, right, bottom = _part(matrix, size, height, width)
    part = image[top:bottom, left:right]
    new_width = max(1, round(part.shape[1] / max(1.0, steps[0])))
    new_height = max(1, round(part.shape[0] / max(1.0, steps[1])))
    small = _resize(part, new_height, new_width, cv2.INTER_AREA)
    fx, fy = new_width / part.shape[1], new_height / part.shape[0]
    return small, np.array([[fx, 0, -left * fx], [0, fy, -top * fy], [0, 0, 1.0]]) @ matrix


def _part(matrix: np.ndarray, size: Size, height: int, width: int) -> tuple[int, int, int, int]:
    """The source rectangle the output needs; all of it when the output reaches outside (reflection needs it)."""
    xs, ys = corners_of(matrix, size).T
    left, right, top, bottom = xs.min() - 2, xs.max() + 2, ys.min() - 2, ys.max() + 2
    if left < 0 or top < 0 or right > width or bottom > height:
        return 0, 0, width, height
    return math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)
