"""The picture printed on a jigsaw piece: areas with hard edges, each with its own fill, and cartoon things on top."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from maskwright.data.synthetic.motifs import MOTIFS
from maskwright.data.synthetic.texture import (
    Bytes,
    Floats,
    Points,
    as_rgb,
    coordinates,
    ellipse,
    fill,
    fractal_noise,
    jitter_colour,
    mix,
    ramp,
    smooth_noise,
    spline,
    stroke,
    white_noise,
)

# Each: three area colours, a light one, a dark one (ink), an accent.
_PALETTES = (
    ((176, 190, 216), (92, 132, 186), (214, 210, 226), (244, 246, 250), (38, 40, 52), (168, 58, 110)),
    ((122, 162, 74), (150, 196, 226), (238, 206, 92), (248, 244, 226), (48, 66, 38), (206, 74, 58)),
    ((238, 162, 98), (206, 96, 92), (120, 82, 128), (252, 232, 196), (44, 34, 58), (250, 204, 86)),
    ((46, 122, 152), (128, 200, 206), (232, 214, 176), (246, 250, 246), (22, 48, 72), (240, 120, 88)),
    ((236, 196, 172), (222, 160, 140), (150, 104, 72), (252, 240, 232), (56, 40, 40), (86, 140, 190)),
    ((186, 110, 54), (142, 66, 44), (222, 176, 104), (248, 232, 204), (58, 42, 34), (96, 110, 60)),
    ((36, 48, 92), (66, 76, 130), (28, 28, 50), (232, 226, 196), (14, 16, 26), (246, 206, 96)),
    ((58, 76, 168), (112, 34, 48), (200, 168, 96), (238, 236, 236), (28, 24, 28), (150, 170, 180)),
    ((132, 124, 118), (92, 88, 92), (176, 164, 150), (236, 230, 222), (44, 42, 46), (180, 62, 52)),
    ((240, 160, 184), (150, 212, 206), (250, 222, 130), (255, 248, 244), (84, 60, 92), (226, 74, 110)),
    ((42, 42, 46), (30, 30, 34), (88, 92, 98), (226, 228, 232), (16, 16, 18), (126, 160, 204)),
)


@dataclass(frozen=True)
class Palette:
    """Colours of one picture."""

    areas: Floats  # 3 x RGB
    light: Floats
    dark: Floats
    accent: Floats


def random_palette(rng: np.random.Generator, hidden: Floats | None) -> Palette:
    """A palette; with `hidden` (a table's colour) its first area colour is a near match of that."""
    tones = [jitter_colour(rng, tone, 9) for tone in _PALETTES[rng.integers(len(_PALETTES))]]
    areas = np.stack(tones[:3])[rng.permutation(3)]
    if hidden is not None:
        areas[0] = jitter_colour(rng, hidden, 5)
    return Palette(areas, tones[3], tones[4], tones[5])


def random_print(rng: np.random.Generator, side: int, hidden: Floats | None) -> Floats:
    """A square picture with `side` pixels; `hidden` is a colour that a large part of it takes."""
    palette = random_palette(rng, hidden)
    picture = _area(rng, side, palette, palette.areas[0], quiet=hidden is not None)
    borders = [_REGIONS[rng.choice(3, p=(0.5, 0.25, 0.25))](rng) * side for _ in range(rng.integers(1, 5))]
    outlined = side / rng.uniform(70, 130) if rng.random() < 0.35 else 0.0
    for number, border in enumerate(borders):
        tones = (palette.areas[(number + 1) % 3], palette.light, palette.dark)
        tone = tones[rng.choice(3, p=(0.72, 0.14, 0.14))]
        picture = _overlay(rng, picture, border, _area(rng, side, palette, tone))
        if outlined:
            line = np.zeros((side, side), np.uint8)
            stroke(line, border, (255.0,), outlined)
            picture = mix(picture, palette.dark, line.astype(np.float32) / 255)
    canvas = np.clip(picture, 0, 255).astype(np.uint8)
    return _ink(rng, _things(rng, canvas, palette))


def _overlay(rng: np.random.Generator, picture: Floats, border: Points, area: Floats) -> Floats:
    """Lay an area over the picture; it throws a soft shade on what lies beneath."""
    side = picture.shape[0]
    mask = np.zeros((side, side), np.uint8)
    fill(mask, border, (255.0,))
    share = mask.astype(np.float32) / 255
    # Blurred at a quarter of the size: the result is smooth anyway.
    small = cv2.resize(share, (max(1, side // 4), max(1, side // 4)), interpolation=cv2.INTER_AREA)
    soft = cv2.resize(cv2.GaussianBlur(small, (0, 0), max(0.5, side / 140)), (side, side))
    depth = np.float32(rng.uniform(0.1, 0.45))
    inner = np.float32(rng.uniform(0, 0.3))
    return mix(picture * as_rgb(1 - depth * soft), area * as_rgb(1 - inner * (1 - soft)), share)


def _things(rng: np.random.Generator, canvas: Bytes, palette: Palette) -> Floats:
    """One large motif near the middle, often a handful of small ones."""
    side = canvas.shape[0]
    tones = [*palette.areas[1:], palette.light, palette.dark, palette.accent]
    picture = canvas.astype(np.float32)
    if rng.random() < 0.85:
        drawn = canvas.copy()
        centre, radius = rng.uniform(0.3, 0.7, 2) * side, side * rng.uniform(0.14, 0.26)
        MOTIFS[rng.choice(list(MOTIFS))](rng, drawn, centre, radius, tones)
        changed = cv2.cvtColor(cv2.absdiff(drawn, canvas), cv2.COLOR_RGB2GRAY) > 0
        picture = drawn * as_rgb(_roundness(rng, changed, radius))
        canvas = np.clip(picture, 0, 255).astype(np.uint8)
    if rng.random() < 0.6:
        small = MOTIFS[rng.choice(("star", "snowflake", "flower", "leaf", "button"))]
        for _ in range(rng.integers(2, 8)):
            small(rng, canvas, rng.uniform(0.1, 0.9, 2) * side, side * rng.uniform(0.025, 0.06), tones)
        picture = canvas.astype(np.float32)
    return picture


def _roundness(rng: np.random.Generator, drawn: np.ndarray, radius: float) -> Floats:
    """Shade that makes a flat drawing bulge: darker towards its rim, brighter on one side."""
    inside = drawn.astype(np.float32)
    soft = cv2.GaussianBlur(inside, (0, 0), max(0.6, 0.14 * radius))
    x, y = coordinates(*drawn.shape)
    angle = rng.uniform(0, 2 * np.pi)
    along = ((x - drawn.shape[1] / 2) * np.cos(angle) + (y - drawn.shape[0] / 2) * np.sin(angle)) / (2 * radius)
    return 1 - inside * (0.42 * (1 - soft) - 0.09 * np.clip(along, -1, 1).astype(np.float32))


def _ink(rng: np.random.Generator, picture: Floats) -> Floats:
    """What printing does: less contrast and saturation, a faint screen of dots, uneven ink, paper grain."""
    side = picture.shape[0]
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    x, y = coordinates(side, side)
    pitch = np.float32(rng.uniform(2.6, 3.6))
    screen = np.sin((x + y) * (np.pi / pitch)) * np.sin((x - y) * (np.pi / pitch))
    middle = 1 - np.abs(grey / np.float32(127.5) - 1)
    relief = np.float32(rng.uniform(2, 7)) * screen * (0.3 + middle) + 1.8 * white_noise(rng, side, side)
    relief += 1.6 * smooth_noise(rng, side, side, side / 60) * (0.4 + middle)
    tooth = as_rgb(1 + 0.04 * smooth_noise(rng, side, side, side / 4))
    pale = np.float32(rng.uniform(0.02, 0.16))
    return (20 + np.float32(0.89) * (picture + (as_rgb(grey) - picture) * pale)) * tooth + as_rgb(relief)


# -- areas: where one colour ends and the next begins ---


def _half_plane(rng: np.random.Generator) -> Points:
    """Everything on one side of a wavy line: a hill, a shoulder, a curtain."""
    angle, offset = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.16)
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    t = np.linspace(-0.9, 0.9, 7)
    waves = offset + rng.normal(0, 0.07, 7)
    edge = spline(0.5 + t[:, None] * along + waves[:, None] * across)
    return np.concatenate([edge, edge[-1:] + 2 * across, edge[:1] + 2 * across])


def _band(rng: np.random.Generator) -> Points:
    """A strip that crosses the picture: a scarf, a river, an arm."""
    angle, offset = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.2)
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    t = np.linspace(-0.9, 0.9, 6)
    middle, breadth = offset + rng.normal(0, 0.06, 6), rng.uniform(0.05, 0.16) * rng.uniform(0.7, 1.3, 6)
    upper = spline(0.5 + t[:, None] * along + (middle - breadth)[:, None] * across)
    lower = spline(0.5 + t[:, None] * along + (middle + breadth)[:, None] * across)
    return np.concatenate([upper, lower[::-1]])


def _blob(rng: np.random.Generator) -> Points:
    """A rounded island."""
    turn = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    radius = rng.uniform(0.16, 0.34) * rng.uniform(0.72, 1.28, 8)
    points = rng.uniform(0.25, 0.75, 2) + np.stack([np.cos(turn), np.sin(turn)], 1) * radius[:, None]
    return spline(points, closed=True)


_REGIONS: tuple[Callable[[np.random.Generator], Points], ...] = (_half_plane, _band, _blob)


# -- fills: what an area is made of ---


def _area(rng: np.random.Generator, side: int, palette: Palette, tone: Floats, quiet: bool = False) -> Floats:
    """One fill over the whole square; `quiet` keeps to those that leave the tone as it is."""
    fills = (_gradient, _clouds, _knit, _stripes, _dots, _bokeh, _leaves, _strands)
    weights = np.array((6, 3, 1, 0, 0, 0, 0, 0) if quiet else (5, 3, 3, 2, 2, 3, 3, 3), float)
    chosen = fills[rng.choice(len(fills), p=weights / weights.sum())]
    return chosen(rng, side, tone, jitter_colour(rng, tone, 8 if quiet else 26), palette)


def _gradient(rng: np.random.Generator, side: int, tone: Floats, other: Floats, palette: Palette) -> Floats:
    x, y = coordinates(side, side)
    angle = rng.uniform(0, 2 * np.pi)
    along = ((x / side - 0.5) * np.cos(angle) + (y / side - 0.5) * np.sin(angle)).astype(np.float32)
    return mix(tone, other, ramp(along + 0.06 * smooth_noise(rng, side, side, side / 3), -0.5, 0.5))


def _clouds(rng: np.random.Generator, side: int, tone: Floats, other: Floats, palette: Palette) -> Floats:
    return mix(tone, other, ramp(fractal_noise(rng, side, side, side / 4, 4), -1.4, 1.4))


def _stripes(rng: np.random.Generator, side: int, tone: Floats, other: Floats, palette: Palette) -> Floats:
    x, y = coordinates(side, side)
    angle, period = rng.uniform(0, 2 * np.pi), side / rng.uniform(9, 26)
    bend = 0.35 * smooth_noise(rng, side, side, side / 3)
    wave = np.sin(2 * np.pi * ((x * np.cos(angle) + y * np.sin(angle)) / period + bend))
    second = (other, palette.light, palette.accent)[rng.integers(3)]
    return mix(tone, second, ramp(wave.astype(np.float32), -0.2, 0.2) * np.float32(rng.uniform(0.5, 1)))


def _dots(rng: np.random.Generator, side: int, tone: Floats, other: Floats, palette: Palette) -> Floats:
    """Comic-book halftone: dots that grow along a gradient."""
    x, y = coordinates(side, side)
    pitch = side / rng.uniform(26, 44)
    cells = np.cos(np.pi * (x + y) / pitch) * np.cos(np.pi * (x - y) / pitch)
    grow = (x * rng.uniform(-1, 1) + y * rng.uniform(-1, 1)) / side
    second = (other, palette.light, palette.dark)[rng.integers(3)]
    return mix(tone, second, ramp((cells + 0.9 * grow).astype(np.float32), 0.05, 0.45) * np.float32(0.8))


def _knit(rng: np.random.Generator, side: int, tone: Floats, other: Floats, palette: Palette) -> Floats:
    """Coarse fabric with folds."""
    x, y = coordinates(side, side)
    pitch = np.float32(max(3.0, side / rng.uniform(40, 80)))
    shift = smooth_noise(rng, side, side, side / 6) * 0.8
    rib = np.sin(2 * np.pi * (x + np.abs((y % (2 * pitch)) - pitch)) / (2 * pitch) + shift)
    fold = ramp(smooth_noise(rng, side, side, (side / 2, side / 6)), -1.2, 1.2)
    return mix(tone * 0.86, other, fold) + as_rgb(9 * rib + 5 * white_noise(rng, side, side))


def _bokeh(rng: np.random.Generator, side: int, tone: Floats, other: Floats, palette: Palette) -> Floats:
    """Soft see-through discs and sparks, as in a snowy or glittering background."""
    base = _clouds(rng, side, tone, other, palette)
    glow = np.zeros((side, side), np.uint8)
    for _ in range(rng.integers(8, 22)):
        radius = side * rng.uniform(0.015, 0.06)
        fill(glow, ellipse(rng.uniform(0, side, 2), (radius, radius), 0.0), (float(rng.uniform(40, 120)),))
    for _ in range(rng.integers(20, 70)):
        radius = side * rng.uniform(0.002, 0.006)
        fill(glow, ellipse(rng.uniform(0, side, 2), (radius, radius), 0.0, 8), (210.0,))
    return mix(base, palette.light, glow.astype(np.float32) / 255)


def _leaves(rng: np.random.Generator, side: int, tone: Floats, other: Floats, palette: Palette) -> Floats:
    """Foliage: many small leaves, the later ones brighter because they hang in front."""
    canvas = np.empty((side, side, 3), np.uint8)
    canvas[:] = np.clip(tone * 0.62, 0, 255)
    count = 130
    for step in range(count):
        shade = np.clip(mix(tone * 0.7, other * 1.12, float(rng.uniform(0, 1)) * (0.35 + 0.65 * step / count)), 0, 255)
        length = side * rng.uniform(0.025, 0.06)
        leaf = ellipse(rng.uniform(0, side, 2), (length, length * rng.uniform(0.3, 0.5)), rng.uniform(0, np.pi), 10)
        fill(canvas, leaf, shade)
    return canvas.astype(np.float32)


def _strands(rng: np.random.Generator, side: int, tone: Floats, other: Floats, palette: Palette) -> Floats:
    """Hair, fur or grass: noise drawn out along a direction that bends."""
    across = smooth_noise(rng, side, side, (side / 3, side / 90)) + smooth_noise(rng, side, side, (side / 2, side / 30))
    x, y = coordinates(side, side)
    bend = side * rng.uniform(0.04, 0.14)
    offset = (bend * np.sin(2 * np.pi * (y / side * rng.uniform(0.4, 1.0) + rng.uniform()))).astype(np.float32)
    from_x, from_y = x + offset, np.repeat(y, side, 1)
    flow = cv2.remap(across, from_x, from_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    if rng.random() < 0.5:
        flow = np.ascontiguousarray(flow.T)
    return mix(tone * 0.72, other * 1.1, ramp(flow, -1.8, 1.8))
