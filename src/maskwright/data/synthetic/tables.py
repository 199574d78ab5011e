"""Table tops for the puzzle photographs: cardboard, wood, cloth and stone.

Each function returns the bare surface, evenly lit; its mean is the colour a print may hide in.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from maskwright.data.synthetic.texture import (
    Floats,
    as_rgb,
    colour,
    coordinates,
    fractal_noise,
    jitter_colour,
    mix,
    ramp,
    smooth_noise,
    white_noise,
)

Surface = Callable[[np.random.Generator, int, int], Floats]

_CARDBOARD = ((172, 158, 138), (188, 170, 142), (150, 142, 130), (164, 140, 112), (196, 188, 174))
_WOOD = (
    ((206, 168, 118), (164, 118, 72)),
    ((150, 104, 66), (98, 62, 38)),
    ((186, 160, 130), (146, 118, 90)),
    ((96, 72, 58), (58, 42, 34)),
    ((216, 196, 166), (184, 158, 124)),
    ((142, 130, 118), (104, 94, 86)),
)
_CLOTH = (
    (186, 176, 158), (92, 108, 136), (128, 138, 122), (168, 92, 86), (70, 78, 96), (214, 208, 196), (150, 128, 112),
)  # fmt: skip
_STONE = ((168, 166, 162), (112, 112, 116), (196, 188, 176), (84, 88, 92), (150, 138, 128), (206, 206, 204))


def random_table(rng: np.random.Generator, height: int, width: int) -> Floats:
    """One of the surfaces, cardboard a little more often than the others."""
    kinds: list[Surface] = [cardboard, cloth, wood, stone]
    return kinds[rng.choice(4, p=(0.34, 0.2, 0.26, 0.2))](rng, height, width)


def cardboard(rng: np.random.Generator, height: int, width: int) -> Floats:
    """Grey-beige board: fibres that run one way, darker specks, now and then a crease."""
    unit = min(height, width) / 384
    base = jitter_colour(rng, _CARDBOARD[rng.integers(len(_CARDBOARD))], 6)
    fibre_cell = (14 * unit, 1.6 * unit) if rng.random() < 0.5 else (1.6 * unit, 14 * unit)
    fibres = smooth_noise(rng, height, width, fibre_cell) + 0.8 * smooth_noise(rng, height, width, 2.2 * unit)
    relief = fibres + 0.8 * fractal_noise(rng, height, width, 9 * unit, 2)
    blotches = fractal_noise(rng, height, width, 120 * unit, 3)
    level = np.float32(rng.uniform(2.2, 4.2)) * relief + 4 * blotches
    stain = smooth_noise(rng, height, width, 60 * unit)
    board = cv2.merge([base[0] + level + 1.5 * stain, base[1] + level, base[2] + level - 2 * stain])
    _speckle(rng, board, round(height * width / 2600 / unit**2), unit)
    if rng.random() < 0.35:
        _crease(rng, board, unit)
    return board


def _speckle(rng: np.random.Generator, board: Floats, count: int, unit: float) -> None:
    """Short dark and a few pale flecks of pulp."""
    height, width = board.shape[:2]
    flecks = np.zeros((height, width), np.float32)
    for _ in range(count):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        angle, length = rng.uniform(0, np.pi), rng.exponential(2.2 * unit)
        stop = (round(x + length * np.cos(angle)), round(y + length * np.sin(angle)))
        depth = -rng.uniform(12, 60) if rng.random() < 0.75 else rng.uniform(8, 26)
        cv2.line(flecks, (round(x), round(y)), stop, depth, 1 + (rng.random() < 0.2 * unit))
    board += as_rgb(cv2.GaussianBlur(flecks, (0, 0), max(0.5, 0.6 * unit)))


def _crease(rng: np.random.Generator, board: Floats, unit: float) -> None:
    """A fold parallel to the upper edge: one side lies a little deeper."""
    height, width = board.shape[:2]
    x, y = coordinates(height, width)
    line = height * rng.uniform(0.03, 0.12) + (x - width / 2) * rng.normal(0, 0.02)
    away = (y - line) / np.float32(3 * unit)
    board *= as_rgb(1 - 0.09 * ramp(-away, -0.5, 1.5))
    board += as_rgb(10 * np.exp(-((away - 0.8) ** 2)))


def wood(rng: np.random.Generator, height: int, width: int) -> Floats:
    """Boards with year rings, pores and gaps between the planks."""
    unit = min(height, width) / 384
    flip = rng.random() < 0.3
    rows, columns = (width, height) if flip else (height, width)
    light, dark = (jitter_colour(rng, tone, 7) for tone in _WOOD[rng.integers(len(_WOOD))])
    _, y = coordinates(rows, columns)
    plank, edges = _planks(rng, rows, unit)
    # Each plank is cut from another place of the trunk: its rings start elsewhere and are spaced otherwise.
    warp = fractal_noise(rng, rows, columns, (70 * unit, 420 * unit), 3, 0.5)
    spacing = rng.uniform(9, 22, len(edges))[plank].astype(np.float32) * np.float32(unit)
    phase = y / spacing[:, None] + rng.uniform(1.0, 2.4) * warp + rng.uniform(0, 9, len(edges))[plank][:, None]
    rings = np.abs((phase % 1).astype(np.float32) * 2 - 1)
    streaks = smooth_noise(rng, rows, columns, (1.3 * unit, 60 * unit)) * 0.16
    streaks += smooth_noise(rng, rows, columns, (5 * unit, 200 * unit)) * 0.14
    surface = mix(light, dark, np.clip(0.15 + 0.5 * rings**1.6 + streaks, 0, 1.15))
    pores = smooth_noise(rng, rows, columns, (1.0, 16 * unit))
    gap = np.float32(max(0.8, 1.3 * unit))
    row = (1 + 0.07 * white_noise(rng, len(edges)))[plank][:, None]
    for edge in edges[1:]:
        row = row * (1 - 0.62 * np.exp(-(((y - np.float32(edge)) / gap) ** 2)))
    surface *= as_rgb((1 - 0.22 * ramp(pores, 1.1, 2.2)) * row)
    return _tilt(rng, surface.transpose(1, 0, 2) if flip else surface)


def _planks(rng: np.random.Generator, rows: int, unit: float) -> tuple[np.ndarray, np.ndarray]:
    """Which plank each row belongs to, and the row at which each plank starts."""
    breadth = rng.uniform(90, 260) * unit
    edges = np.arange(-rng.uniform(0.1, 0.9) * breadth, rows, breadth)
    return np.searchsorted(edges, np.arange(rows), side="right") - 1, edges


def cloth(rng: np.random.Generator, height: int, width: int) -> Floats:
    """Woven threads, plain, striped or checked, with soft folds."""
    unit = min(height, width) / 384
    base = jitter_colour(rng, _CLOTH[rng.integers(len(_CLOTH))], 8)
    x, y = coordinates(height, width)
    pitch = np.float32(max(2.6, rng.uniform(3.0, 5.5) * unit))
    wobble = smooth_noise(rng, height, width, 50 * unit) * 0.35
    across, down = np.sin(np.pi * x / pitch + wobble), np.sin(np.pi * y / pitch + wobble)
    over = np.sign(across * down)
    weave = np.where(over > 0, np.abs(across) ** 0.6, np.abs(down) ** 0.6) - 0.6
    threads = 0.5 * white_noise(rng, 1, width) + 0.5 * white_noise(rng, height, 1)
    slub = smooth_noise(rng, height, width, (1.5 * unit, 24 * unit)) + smooth_noise(
        rng, height, width, (24 * unit, 1.5)
    )
    surface = mix(colour(0, 0, 0), base, 1 + 0.16 * weave + 0.03 * threads + 0.025 * slub)
    if rng.random() < 0.45:
        surface = _checks(rng, surface, unit)
    folds = smooth_noise(rng, height, width, (260 * unit, 90 * unit))
    surface *= as_rgb(1 + 0.06 * np.tanh(folds) + 0.03 * fractal_noise(rng, height, width, 90 * unit, 2))
    return _tilt(rng, surface)


def _checks(rng: np.random.Generator, surface: Floats, unit: float) -> Floats:
    """Stripes of a second yarn, along one or both directions."""
    height, width = surface.shape[:2]
    x, y = coordinates(height, width)
    period, breadth = rng.uniform(40, 110) * unit, rng.uniform(0.12, 0.5)
    second = colour(*(surface.mean((0, 1)) * rng.uniform(0.62, 1.3) + white_noise(rng, 3) * 12))
    vertical = ramp(np.abs((x / period) % 1 - 0.5), breadth / 2 + 0.02, breadth / 2 - 0.02)
    horizontal = ramp(np.abs((y / period) % 1 - 0.5), breadth / 2 + 0.02, breadth / 2 - 0.02)
    share = (vertical + horizontal) / 2 if rng.random() < 0.6 else vertical + 0 * horizontal
    shading = surface / surface.mean((0, 1))
    return mix(surface, np.clip(second, 10, 245) * shading, 0.75 * share.astype(np.float32))


def stone(rng: np.random.Generator, height: int, width: int) -> Floats:
    """Granite (grains of several minerals) or marble (clouds and veins)."""
    unit = min(height, width) / 384
    base = jitter_colour(rng, _STONE[rng.integers(len(_STONE))], 8)
    clouds = fractal_noise(rng, height, width, 90 * unit, 4)
    level = (5 if rng.random() < 0.5 else 0) * clouds
    if level.any():
        for depth, size in ((18, 5.0), (-24, 3.6), (-38, 2.6), (26, 2.2)):
            grains = smooth_noise(rng, height, width, size * max(unit, 0.5))
            level += np.float32(rng.uniform(0.5, 1) * depth) * ramp(grains, 0.5, 1.0)
        return base + as_rgb(level)
    level = 9 * clouds + 2 * smooth_noise(rng, height, width, 2 * unit)
    for cell, depth, breadth in ((170, 34, 0.05), (90, 20, 0.035), (60, -16, 0.03)):
        field = fractal_noise(rng, height, width, cell * unit, 5)
        strength = ramp(smooth_noise(rng, height, width, 140 * unit), -0.6, 1.0)
        vein = np.exp(-((field / np.float32(breadth)) ** 2)) + 0.5 * np.exp(-((field / np.float32(0.2)) ** 2))
        level -= np.float32(depth) * strength * vein
    return cv2.merge([base[0] + level, base[1] + 0.97 * level, base[2] + 0.9 * level])


def _tilt(rng: np.random.Generator, surface: Floats) -> Floats:
    """Turn a surface by a few degrees, enlarged just enough to keep the corners filled."""
    height, width = surface.shape[:2]
    degrees = float(np.clip(rng.normal(0, 4), -9, 9))
    turn = np.radians(abs(degrees))
    zoom = np.cos(turn) + np.sin(turn) * max(height / width, width / height)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, float(zoom))
    return cv2.warpAffine(surface.astype(np.float32), matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
