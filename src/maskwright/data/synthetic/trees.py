"""Tree crowns from above: domes of several sizes, lit from one side."""

from __future__ import annotations

import cv2
import numpy as np

from maskwright.data.synthetic.texture import Floats, Points, as_rgb, jitter_colour, mix, smooth_noise, white_noise

_GREENS = ((58, 82, 44), (48, 72, 46), (74, 92, 50), (42, 64, 48), (88, 96, 56))


def paint_trees(rng: np.random.Generator, tile: Floats, woods: Floats, clear: Floats, sun: Points, unit: float) -> Floats:
    """Plant a crown wherever a grid point wants to be forest and none of `clear` is near; returns the area covered."""
    height, width = woods.shape
    spacing = max(3.0, rng.uniform(3.8, 5.8) * unit)
    centres = _centres(rng, woods, clear, spacing)
    domes = np.zeros((height, width), np.float32)
    tones = np.zeros((height, width), np.float32)
    radii = spacing * np.where(rng.random(len(centres)) < 0.5, rng.uniform(0.5, 0.75), rng.uniform(0.7, 1.15))
    radii *= rng.uniform(0.85, 1.15, len(centres))
    for (x, y), radius, tone in zip(centres.tolist(), radii.tolist(), white_noise(rng, len(centres)), strict=True):
        _stamp(domes, tones, x, y, radius, tone)
    crowns = (domes > 0).astype(np.float32)
    closed = cv2.morphologyEx(crowns, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)))
    closed[clear > 0.5] = 0
    leaves = domes + 0.12 * smooth_noise(rng, height, width, 1.5)
    slope = cv2.Sobel(leaves, cv2.CV_32F, 1, 0) * sun[0] + cv2.Sobel(leaves, cv2.CV_32F, 0, 1) * sun[1]
    green = jitter_colour(rng, _GREENS[rng.integers(len(_GREENS))], 6)
    other = jitter_colour(rng, green * (1.25, 1.12, 0.9), 8)
    kinds = np.clip(0.4 + 0.35 * tones + 0.3 * smooth_noise(rng, height, width, 40 * unit), 0, 1)
    light = 0.58 + 0.36 * np.minimum(domes, 1) + 0.18 * slope + 0.08 * white_noise(rng, height, width)
    canopy = mix(green, other, kinds) * as_rgb(np.clip(light, 0.25, 1.6).astype(np.float32))
    tile[:] = mix(tile, canopy, closed)
    return closed


def _centres(rng: np.random.Generator, woods: Floats, clear: Floats, spacing: float) -> Points:
    """Jittered grid points (x, y) inside the woods, and a few lone trees outside."""
    height, width = woods.shape
    rows, columns = int(np.ceil(height / spacing)) + 1, int(np.ceil(width / spacing)) + 1
    x, y = np.meshgrid(np.arange(columns) * spacing, np.arange(rows) * spacing)
    x = (x + (np.arange(rows)[:, None] % 2) * spacing / 2 + rng.uniform(-0.3, 0.3, x.shape) * spacing).ravel()
    y = (y + rng.uniform(-0.3, 0.3, y.shape) * spacing).ravel()
    column, row = np.clip(x, 0, width - 1).astype(int), np.clip(y, 0, height - 1).astype(int)
    wanted = (woods[row, column] > 0) | (rng.random(len(x)) < 0.004)
    chosen = np.stack([x, y], 1)[wanted & (clear[row, column] < 0.1)]
    return chosen[rng.permutation(len(chosen))]


def _stamp(domes: Floats, tones: Floats, x: float, y: float, radius: float, tone: np.float32) -> None:
    """Raise one dome where it stands above its neighbours."""
    height, width = domes.shape
    left, right = max(0, int(x - radius)), min(width, int(x + radius) + 2)
    top, bottom = max(0, int(y - radius)), min(height, int(y + radius) + 2)
    if left >= right or top >= bottom:
        return
    across = (np.arange(left, right, dtype=np.float32) + np.float32(0.5 - x)) ** 2
    down = (np.arange(top, bottom, dtype=np.float32) + np.float32(0.5 - y)) ** 2
    dome = 1 - (across[None] + down[:, None]) / np.float32(radius**2)
    window = domes[top:bottom, left:right]
    higher = dome > window
    window[higher] = dome[higher]
    tones[top:bottom, left:right][higher] = tone
