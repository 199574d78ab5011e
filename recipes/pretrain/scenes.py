"""An endless stream of made-up pictures with masks, so that a network can learn to see before it sees anybody's data.

    scenes = Scenes(np.random.default_rng(0))
    image, labels = scenes.draw(192)  # H W 3 uint8, and one mask a label scheme: 3 H W uint8
    python recipes/pretrain/scenes.py sheet.jpg

Nothing but formulas: materials (noise, stripes, bricks, cells …) cut into shapes (blobs, stars, rings, thin lines,
touching cells, standing boxes …), lit, blurred and made noisy. A picture has three label schemes at once: what shape a
pixel belongs to, what material it shows, and whether an edge of a thing runs through it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np

from maskwright.data.synthetic.texture import fractal_noise, smooth_noise, spline, white_noise

SHAPES = ("ground", "blob", "polygon", "star", "ring", "line", "cell", "box", "spot")
MATERIALS = ("flat", "cloud", "grain", "streak", "stripes", "checker", "dots", "pebbles", "marble", "bricks")
SCHEMES = {"shape": len(SHAPES), "material": len(MATERIALS), "edge": 2}
_SIDE = 512  # of a material's picture in the store
_EACH = 12  # pictures a material
_FIX = 4  # fractional bits of drawn points


@dataclass
class Canvas:
    """A picture in the making: float32 colours, and what each pixel is."""

    size: int
    picture: np.ndarray
    shape: np.ndarray
    material: np.ndarray
    thing: np.ndarray  # a number a thing, so that touching ones have an edge between them
    count: int = 0
    palette: list[np.ndarray] = field(default_factory=list)


class Scenes:
    """Draws pictures; the same generator state gives the same pictures."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.store = {name: [_material(rng, name) for _ in range(_EACH)] for name in MATERIALS[1:]}
        self.scenes: tuple[tuple[float, Callable[[Canvas], None]], ...] = (
            (0.34, self._objects), (0.16, self._cells), (0.14, self._lines), (0.16, self._street),
            (0.12, self._regions), (0.08, self._defects),
        )  # fmt: skip

    def draw(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """One picture H W 3 and its masks 3 H W, in the order of `SCHEMES`."""
        rng = self.rng
        canvas = self._canvas(size)
        chances = np.array([chance for chance, _ in self.scenes])
        self.scenes[rng.choice(len(chances), p=chances / chances.sum())][1](canvas)
        image = self._photograph(canvas.picture)
        labels = np.stack([canvas.shape, canvas.material, _edges(canvas.thing)])
        turn = rng.integers(4) if rng.random() < 0.3 else 0
        return np.ascontiguousarray(np.rot90(image, turn)), np.ascontiguousarray(np.rot90(labels, turn, (1, 2)))

    # scenes

    def _objects(self, canvas: Canvas) -> None:
        """Things of any shape and material on a ground of one to three materials."""
        rng = self.rng
        if rng.random() < 0.3:
            self._regions(canvas)
        largest = np.exp(rng.uniform(np.log(0.05), np.log(0.4)))
        kinds = rng.choice(("blob", "polygon", "star", "ring", "box"), rng.integers(1, 4))
        for _ in range(int(rng.integers(1, 3 + 1 / largest))):
            radius = canvas.size * largest * rng.uniform(0.4, 1.1)
            kind = str(rng.choice(kinds))
            self._add(canvas, kind, self._outline(kind, rng.uniform(0, canvas.size, 2), radius),
                      shadow=rng.random() < 0.4)

    def _cells(self, canvas: Canvas) -> None:
        """Many things of one kind that touch: cells, grains, seeds."""
        rng = self.rng
        radius = canvas.size * np.exp(rng.uniform(np.log(0.025), np.log(0.12)))
        layer = self._paint(canvas, material := self._some_material())
        bright, crowded = rng.uniform(-60, 60), rng.uniform(0.3, 1.6)
        for _ in range(int(min(120, crowded * 0.35 * (canvas.size / radius) ** 2 / np.pi)) + 1):
            points = _blob(rng, rng.uniform(0, canvas.size, 2), radius * rng.uniform(0.6, 1.2), rough=0.08)
            self._add(canvas, "cell", points, layer=layer + rng.normal(0, 12), material=material, rim=bright)

    def _lines(self, canvas: Canvas) -> None:
        """Thin branching curves: cracks, vessels, roads, roots."""
        rng = self.rng
        width = np.exp(rng.uniform(np.log(1.0), np.log(canvas.size / 30)))
        layer = self._paint(canvas, material := self._some_material(), like_ground=rng.random() < 0.4)
        layer = layer + rng.choice((-1, 1)) * rng.uniform(15, 70)
        for _ in range(int(rng.integers(1, 7))):
            self._line(canvas, layer, material, width * rng.uniform(0.7, 1.3))
        if rng.random() < 0.3:
            self._objects_small(canvas)

    def _street(self, canvas: Canvas) -> None:
        """Ground below, something above, boxes and posts that stand on it: layouts where place tells much."""
        rng, size = self.rng, canvas.size
        horizon = rng.uniform(0.25, 0.65) * size
        far = [(-9.0, horizon), *((x, horizon + rng.normal(0, 4)) for x in np.linspace(0, size, 6)),
               (size + 9.0, horizon)]
        self._add(canvas, "ground", np.array([*far, (size + 9.0, size + 9.0), (-9.0, size + 9.0)]))
        middle, half = rng.uniform(0.2, 0.8) * size, rng.uniform(0.2, 0.6) * size
        road = [(middle, horizon), (middle + half, size + 9.0), (middle - half, size + 9.0)]
        self._add(canvas, "polygon", np.array(road))
        for depth in np.sort(rng.uniform(0, 1, rng.integers(3, 16))):
            foot = horizon + depth**2 * (size - horizon)
            height = (0.12 + 0.5 * depth) * size * rng.uniform(0.4, 1.3)
            thin = rng.random() < 0.35
            half = height * (rng.uniform(0.01, 0.04) if thin else rng.uniform(0.15, 0.6))
            x = rng.uniform(0, size)
            if thin or rng.random() < 0.7:
                corners = [(x - half, foot), (x - half, foot - height), (x + half, foot - height), (x + half, foot)]
                self._add(canvas, "line" if thin else "box", np.array(corners))
            else:
                self._add(canvas, "blob", _blob(rng, np.array((x, foot - height / 2)), height / 2, rough=0.2))

    def _regions(self, canvas: Canvas) -> None:
        """The ground in patches of several materials, with straight or ragged borders."""
        rng, size = self.rng, canvas.size
        num = int(rng.integers(2, 7))
        if rng.random() < 0.5:
            field = smooth_noise(rng, size, size, size * rng.uniform(0.15, 0.6))
            field += 0.3 * smooth_noise(rng, size, size, 8.0)
            which = np.digitize(field, np.sort(rng.normal(0, 0.8, num - 1)))
        else:
            points = rng.uniform(0, size, (num + 3, 2)).astype(np.float32)
            y, x = np.mgrid[:size, :size].astype(np.float32)
            far = (x[..., None] - points[:, 0]) ** 2 + (y[..., None] - points[:, 1]) ** 2
            which = far.argmin(axis=2) % num
        for one in range(1, num):
            inside = (which == one).astype(np.float32)
            material = self._some_material()
            self._lay(canvas, (0, 0, size, size), inside, self._paint(canvas, material), "ground", material)

    def _defects(self, canvas: Canvas) -> None:
        """One material with a few places that are hardly other: dents, stains, scratches; often none."""
        rng = self.rng
        for _ in range(int(rng.integers(0, 4))):
            shade = canvas.picture + rng.choice((-1, 1)) * rng.uniform(10, 45)
            if rng.random() < 0.3:
                self._line(canvas, shade, None, rng.uniform(1, 4))
            else:
                radius = canvas.size * np.exp(rng.uniform(np.log(0.015), np.log(0.12)))
                points = _blob(rng, rng.uniform(0, canvas.size, 2), radius, rough=0.25)
                self._add(canvas, "spot", points, layer=shade, material=None, soft=rng.uniform(0.5, 3))

    # parts of scenes

    def _objects_small(self, canvas: Canvas) -> None:
        rng = self.rng
        for _ in range(int(rng.integers(1, 5))):
            kind = str(rng.choice(("blob", "polygon", "box")))
            radius = canvas.size * rng.uniform(0.03, 0.12)
            self._add(canvas, kind, self._outline(kind, rng.uniform(0, canvas.size, 2), radius))

    def _line(self, canvas: Canvas, layer: np.ndarray, material: str | None, width: float) -> None:
        rng, size = self.rng, canvas.size
        cover = np.zeros((size, size), np.uint8)
        paths = [_walk(rng, rng.uniform(0, size, 2), rng.uniform(0, 2 * np.pi), size)]
        paths += [_walk(rng, paths[0][rng.integers(len(paths[0]))], rng.uniform(0, 2 * np.pi), size / 2)
                  for _ in range(int(rng.integers(0, 4)))]  # fmt: skip
        for path in paths:
            points = np.rint(path * (1 << _FIX)).astype(np.int32)
            cv2.polylines(cover, [points], False, 255, max(1, round(width)), cv2.LINE_AA, _FIX)
        share = np.float32(min(1.0, width)) * cover.astype(np.float32) / 255
        self._lay(canvas, (0, 0, size, size), share, layer, "line", material, least=0.4 * min(1.0, width))

    def _add(
        self, canvas: Canvas, kind: str, outline: np.ndarray, *, layer: np.ndarray | None = None,
        material: str | None = "new", soft: float = 0.0, rim: float = 0.0, shadow: bool = False,
    ) -> None:  # fmt: skip
        """Cut a shape out of a material and lay it on the canvas."""
        rng, size = self.rng, canvas.size
        if material == "new":
            material = self._some_material()
        layer = self._paint(canvas, material or "flat") if layer is None else layer
        margin = int(np.ceil(4 * soft)) + 8
        left, top = np.maximum(np.floor(outline.min(axis=0)).astype(int) - margin, 0)
        right, bottom = np.minimum(np.ceil(outline.max(axis=0)).astype(int) + margin, size)
        if right <= left or bottom <= top:
            return
        box = (int(left), int(top), int(right), int(bottom))
        cover = np.zeros((bottom - top, right - left), np.uint8)
        cv2.fillPoly(cover, [np.rint((outline - (left, top)) * (1 << _FIX)).astype(np.int32)], 255, cv2.LINE_AA, _FIX)
        share = cover.astype(np.float32) / 255
        if kind == "ring":
            inner = outline.mean(axis=0) + (outline - outline.mean(axis=0)) * rng.uniform(0.4, 0.75)
            cover[:] = 0
            cv2.fillPoly(cover, [np.rint((inner - (left, top)) * (1 << _FIX)).astype(np.int32)], 255, cv2.LINE_AA, _FIX)
            share = np.maximum(share - cover.astype(np.float32) / 255, 0)
        if soft:
            share = cv2.GaussianBlur(share, (0, 0), soft)
        if shadow:
            step = rng.uniform(-7, 7, 2)
            moved = cv2.warpAffine(share, np.array([[1, 0, step[0]], [0, 1, step[1]]], np.float32), share.shape[::-1])
            dark = cv2.GaussianBlur(moved, (0, 0), rng.uniform(1, 4)) * np.float32(rng.uniform(0.2, 0.6))
            canvas.picture[top:bottom, left:right] *= (1 - dark)[..., None]
        if rim:
            near = cv2.distanceTransform((share > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
            shine = np.float32(rim) * np.exp(-near / max(1.0, 0.15 * float(near.max())))
            layer = layer.copy()
            layer[top:bottom, left:right] += shine[..., None]
        self._lay(canvas, box, share, layer, kind, material)

    def _lay(
        self, canvas: Canvas, box: tuple[int, int, int, int], share: np.ndarray, layer: np.ndarray, kind: str,
        material: str | None, least: float = 0.5,
    ) -> None:  # fmt: skip
        left, top, right, bottom = box
        part = np.s_[top:bottom, left:right]
        canvas.picture[part] += share[..., None] * (layer[part] - canvas.picture[part])
        inside = share > least
        canvas.count += 1
        canvas.shape[part][inside] = SHAPES.index(kind)
        canvas.thing[part][inside] = canvas.count
        if material is not None:
            canvas.material[part][inside] = MATERIALS.index(material)

    def _outline(self, kind: str, centre: np.ndarray, radius: float) -> np.ndarray:
        rng = self.rng
        if kind in ("blob", "ring"):
            return _blob(rng, centre, radius, rough=rng.uniform(0.02, 0.3))
        if kind == "box":
            half = radius * np.array((rng.uniform(0.3, 1), rng.uniform(0.3, 1)))
            corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * half
            return corners @ _turned(rng.normal(0, 0.1)) + centre
        num = int(rng.integers(3, 8)) if kind == "polygon" else 2 * int(rng.integers(4, 9))
        angles = np.sort(rng.uniform(0, 2 * np.pi, num)) if kind == "polygon" else np.arange(num) * 2 * np.pi / num
        radii = np.where(np.arange(num) % 2, rng.uniform(0.3, 0.7), 1.0) if kind == "star" else np.ones(num)
        turn = rng.uniform(0, 2 * np.pi)
        return centre + radius * radii[:, None] * np.stack([np.cos(angles + turn), np.sin(angles + turn)], axis=1)

    def _some_material(self) -> str:
        return str(self.rng.choice(MATERIALS))

    def _canvas(self, size: int) -> Canvas:
        blank = np.zeros((size, size), np.uint8)
        canvas = Canvas(size, np.zeros((size, size, 3), np.float32), blank, blank.copy(),
                        np.zeros((size, size), np.int32))
        base = self.rng.uniform(10, 245, (int(self.rng.integers(2, 6)), 3)).astype(np.float32)
        grey = base.mean(axis=1, keepdims=True)
        base = grey + (base - grey) * np.float32(self.rng.uniform(0.1, 1) if self.rng.random() < 0.8 else 0)
        canvas.palette = list(base)
        material = self._some_material()
        canvas.picture[:] = self._paint(canvas, material)
        canvas.material[:] = MATERIALS.index(material)
        return canvas

    def _paint(self, canvas: Canvas, material: str, like_ground: bool = False) -> np.ndarray:
        """A whole canvas of a material in two colours near one of the palette. H W 3 float32"""
        rng, size = self.rng, canvas.size
        first = canvas.palette[rng.integers(len(canvas.palette))] + rng.normal(0, 12, 3)
        if like_ground:
            first = canvas.picture.mean(axis=(0, 1))
        if material == "flat":
            return np.broadcast_to(first.astype(np.float32), (size, size, 3)).copy()
        tile = self.store[material][rng.integers(_EACH)]
        zoom = np.exp(rng.uniform(np.log(0.5), np.log(2.5)))
        matrix = np.hstack([_turned(rng.uniform(0, 2 * np.pi)) / zoom,
                            rng.uniform(0, _SIDE, (2, 1))]).astype(np.float32)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        plane = cv2.warpAffine(tile, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
        step = rng.normal(0, 1, 3) * 10 + rng.normal(0, 1) * 45 + rng.choice((-1, 1)) * 8
        table = first + (np.arange(256) / 255 - 0.5)[:, None] * step
        return np.clip(table, 0, 255).astype(np.float32)[plane]

    def _photograph(self, picture: np.ndarray) -> np.ndarray:
        """Uneven light, blur, noise, contrast: what stands between a scene and a picture of it."""
        rng = self.rng
        size = len(picture)
        if rng.random() < 0.5:
            light = 1 + rng.uniform(0.05, 0.35) * smooth_noise(rng, size, size, size * rng.uniform(0.5, 1.5))
            picture = picture * light[..., None]
        if rng.random() < 0.5:
            picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.8))
        low, high = picture.min(), picture.max()
        if rng.random() < 0.3:
            start = rng.uniform(0, 80)
            picture = start + (picture - low) * (rng.uniform(start + 60, 255) - start) / max(1.0, high - low)
        if rng.random() < 0.6:
            grain = rng.uniform(1, 14)
            plane = white_noise(rng, size, size) * np.float32(grain)
            picture = picture + plane[..., None]
        if rng.random() < 0.15:
            picture = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2)
        return np.clip(picture, 0, 255).astype(np.uint8)


def _turned(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _blob(rng: np.random.Generator, centre: np.ndarray, radius: float, rough: float) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    radii = radius * np.clip(1 + rough * rng.normal(0, 1, 10), 0.3, 1.8)
    points = np.stack([np.cos(angles), np.sin(angles) * rng.uniform(0.5, 1)], axis=1) * radii[:, None]
    return spline(points @ _turned(rng.uniform(0, 2 * np.pi)) + centre, steps=4, closed=True)


def _walk(rng: np.random.Generator, start: np.ndarray, angle: float, length: float) -> np.ndarray:
    """A wandering path of about `length` pixels."""
    num = 14
    turns = angle + np.cumsum(rng.normal(0, rng.uniform(0.1, 0.6), num))
    steps = np.stack([np.cos(turns), np.sin(turns)], axis=1) * (length * rng.uniform(0.4, 1.4) / num)
    return spline(start + np.cumsum(steps, axis=0), steps=3)


def _edges(thing: np.ndarray) -> np.ndarray:
    """1 within a pixel or two of where one thing ends and another begins."""
    edge = np.zeros(thing.shape, np.uint8)
    edge[1:] |= thing[1:] != thing[:-1]
    edge[:, 1:] |= thing[:, 1:] != thing[:, :-1]
    return cv2.dilate(edge, np.ones((2, 2), np.uint8))


def _material(rng: np.random.Generator, name: str) -> np.ndarray:
    """A picture of heights, 0 to 255, of one material."""
    side = _SIDE
    y, x = np.mgrid[:side, :side].astype(np.float32)
    bend = smooth_noise(rng, side, side, rng.uniform(40, 160)) * rng.uniform(0, 8)
    period = np.exp(rng.uniform(np.log(6), np.log(40)))
    if name == "cloud":
        plane = fractal_noise(rng, side, side, rng.uniform(30, 120))
    elif name == "grain":
        plane = fractal_noise(rng, side, side, rng.uniform(2, 6), octaves=2)
    elif name == "streak":
        plane = fractal_noise(rng, side, side, (rng.uniform(60, 200), rng.uniform(2, 8)), octaves=3)
    elif name == "stripes":
        plane = np.sin((x + bend) * np.float32(2 * np.pi / period)) * rng.uniform(0.8, 4)
    elif name == "checker":
        waves = np.sin((x + bend) * 2 * np.pi / period) * np.sin((y + bend) * 2 * np.pi / period)
        plane = np.sign(waves).astype(np.float32)
    elif name == "dots":
        dots = np.zeros((side, side), np.uint8)
        for centre in rng.integers(0, side, (int(0.3 * (side / period) ** 2) + 3, 2)):
            cv2.circle(
                dots, (int(centre[0]), int(centre[1])), max(1, int(period * rng.uniform(0.15, 0.35))), 255, -1,
                cv2.LINE_AA
            )
        plane = dots.astype(np.float32) / 128 - 1
    elif name == "pebbles":
        seeds = np.full((side, side), 255, np.uint8)
        spots = rng.integers(0, side, (int((side / period) ** 2) + 3, 2))
        seeds[spots[:, 0], spots[:, 1]] = 0
        plane = cv2.distanceTransform(seeds, cv2.DIST_L2, 5) * np.float32(-2 / period)
    elif name == "marble":
        plane = np.abs(fractal_noise(rng, side, side, rng.uniform(30, 90), octaves=5)) * -1.5 + 1
    else:
        row = np.floor(y / period)
        inside = np.minimum(np.mod(x + (row % 2) * period, 2 * period), np.mod(y, period))
        noise = fractal_noise(rng, side, side, 6, octaves=2)
        plane = np.where(inside < max(1.5, 0.12 * period), -1.5, 0.5) + 0.3 * noise
    return np.clip(128 + 64 * plane, 0, 255).astype(np.uint8)


def sheet(rows: int = 3, columns: int = 8, size: int = 144) -> np.ndarray:
    """Pictures, each above its shapes and its materials."""
    stream = Scenes(np.random.default_rng(0))
    colours = cv2.applyColorMap((np.arange(len(MATERIALS), dtype=np.uint8) * 25)[:, None], cv2.COLORMAP_TURBO)[:, 0]
    colours[0] = 40
    bands: list[np.ndarray] = []
    for _ in range(rows):
        drawn = [stream.draw(size) for _ in range(columns)]
        bands += [np.hstack([image for image, _ in drawn])]
        bands += [np.hstack([colours[labels[scheme]] for _, labels in drawn]) for scheme in (0, 1)]
    return np.vstack(bands)


if __name__ == "__main__":
    cv2.imwrite(sys.argv[1], sheet()[..., ::-1])
