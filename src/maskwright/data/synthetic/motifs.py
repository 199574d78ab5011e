"""Cartoon things that a printed picture shows. Each draws itself at a centre with a radius, in colours it is given."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from maskwright.data.synthetic.texture import Bytes, Floats, Points, at, ellipse, fill, jitter_colour, spline, stroke

Motif = Callable[[np.random.Generator, Bytes, Points, float, list[Floats]], None]

_SKIN = ((238, 200, 178), (222, 172, 146), (186, 132, 104), (142, 96, 72))
_IRIS = ((86, 140, 190), (92, 132, 84), (120, 84, 56), (88, 96, 108))


def _pick(rng: np.random.Generator, tones: list[Floats]) -> Floats:
    return tones[rng.integers(len(tones))]


def _on_circle(count: int, turn: float = 0.0) -> Points:
    angles = turn + np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([np.cos(angles), np.sin(angles)], 1)


def face(rng: np.random.Generator, canvas: Bytes, centre: Points, radius: float, tones: list[Floats]) -> None:
    """Head with hair, eyes, brows, nose, mouth and cheeks, turned a little."""
    skin = jitter_colour(rng, _SKIN[rng.integers(4)], 6)
    iris = jitter_colour(rng, _IRIS[rng.integers(4)], 8)
    hair = jitter_colour(rng, _pick(rng, tones) * 0.7, 10)
    radius *= 1.5
    tilt, looking = rng.normal(0, 0.25), rng.uniform(-0.25, 0.25)
    turn = np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])

    def on_head(x: float, y: float) -> Points:
        return centre + radius * (at(x, y) @ turn)

    fill(canvas, ellipse(on_head(0, -0.18), (1.06 * radius, 1.1 * radius), tilt), hair)
    jaw = np.array(
        [(-0.82, -0.3), (-0.8, 0.2), (-0.45, 0.82), (0, 1.0), (0.45, 0.82), (0.8, 0.2), (0.82, -0.3), (0, -0.9)]
    )
    fill(canvas, spline(centre + radius * (jaw @ turn), closed=True), skin)
    for sign in (-1, 1):
        fill(canvas, ellipse(on_head(sign * 0.5, 0.34), (0.2 * radius, 0.14 * radius), tilt), skin * (1, 0.86, 0.84))
        _draw_eye(canvas, on_head(sign * 0.36, -0.08), 0.24 * radius, iris, looking)
    fringe = np.array(
        [(-0.95, -0.15), (-0.85, -0.75), (0, -1.15), (0.85, -0.75), (0.95, -0.15), (0.4, -0.55), (-0.3, -0.5)]
    )
    fill(canvas, spline(centre + radius * (fringe @ turn), closed=True), hair)
    nose = np.array([(0.02, 0.1), (0.1, 0.3), (-0.02, 0.36)])
    stroke(canvas, spline(centre + radius * (nose @ turn)), skin * 0.7, radius * 0.045)
    mouth = np.array([(-0.3, 0.55), (0, 0.66 + rng.uniform(-0.06, 0.1)), (0.3, 0.55)])
    stroke(canvas, spline(centre + radius * (mouth @ turn)), (150, 60, 64), radius * 0.07)


def eye(rng: np.random.Generator, canvas: Bytes, centre: Points, radius: float, tones: list[Floats]) -> None:
    """One large cartoon eye on a patch of skin."""
    skin = jitter_colour(rng, _SKIN[rng.integers(4)], 6)
    fill(canvas, ellipse(centre, (1.9 * radius, 1.7 * radius), rng.uniform(0, 3)), skin)
    shade = skin * (0.84, 0.72, 0.78)
    fill(canvas, ellipse(centre - (0, 0.35 * radius), (1.2 * radius, 0.62 * radius), 0.0), shade)
    _draw_eye(canvas, centre, radius, jitter_colour(rng, _IRIS[rng.integers(4)], 8), rng.uniform(-0.25, 0.25))


def _draw_eye(canvas: Bytes, centre: Points, radius: float, iris: Floats, looking: float) -> None:
    """White, iris, pupil, glint, upper lid and brow."""
    lid = np.array([(-1, 0.12), (-0.5, -0.5), (0.1, -0.62), (0.7, -0.36), (1, 0.1), (0.5, 0.48), (-0.4, 0.5)])
    fill(canvas, spline(centre + radius * lid, closed=True), (246, 246, 244))
    middle = centre + radius * np.array([looking, -0.02])
    fill(canvas, ellipse(middle, (0.46 * radius, 0.5 * radius), 0.0), iris * 0.55)
    fill(canvas, ellipse(middle, (0.38 * radius, 0.42 * radius), 0.0), iris)
    glow = ellipse(middle + at(0, 0.16 * radius), (0.3 * radius, 0.22 * radius), 0.0)
    fill(canvas, glow, np.minimum(iris * 1.3, 255))
    fill(canvas, ellipse(middle, (0.2 * radius, 0.22 * radius), 0.0), (18, 16, 20))
    glint = ellipse(middle - (0.14 * radius, 0.16 * radius), (0.1 * radius, 0.1 * radius), 0.0)
    fill(canvas, glint, (255, 255, 255))
    stroke(canvas, spline(centre + radius * lid[:5]), (36, 24, 26), radius * 0.13)
    brow = np.array([(-1, -0.85), (-0.2, -1.15), (0.9, -0.95)])
    stroke(canvas, spline(centre + radius * brow), (66, 46, 38), radius * 0.17)


def flower(rng: np.random.Generator, canvas: Bytes, centre: Points, radius: float, tones: list[Floats]) -> None:
    """Petals round a disc."""
    petal, count = _pick(rng, tones), int(rng.integers(5, 9))
    for direction in _on_circle(count, rng.uniform(0, 1)):
        angle = float(np.arctan2(direction[1], direction[0]))
        fill(canvas, ellipse(centre + 0.58 * radius * direction, (0.46 * radius, 0.25 * radius), angle), petal * 0.86)
        fill(canvas, ellipse(centre + 0.6 * radius * direction, (0.4 * radius, 0.18 * radius), angle), petal)
    fill(canvas, ellipse(centre, (0.26 * radius, 0.26 * radius), 0.0), (236, 190, 70))
    fill(canvas, ellipse(centre + 0.05 * radius, (0.16 * radius, 0.16 * radius), 0.0), (190, 130, 50))


def snowflake(rng: np.random.Generator, canvas: Bytes, centre: Points, radius: float, tones: list[Floats]) -> None:
    """Six branched arms."""
    tone, width = tones[2] * rng.uniform(0.9, 1.0), max(1.0, radius * 0.07)
    branches = rng.uniform(0.25, 0.9, 3)
    for direction in _on_circle(6, rng.uniform(0, 1)):
        side = np.array([-direction[1], direction[0]])
        stroke(canvas, np.stack([centre, centre + radius * direction]), tone, width)
        for where in branches:
            foot, length = centre + radius * where * direction, radius * 0.36 * (1.1 - 0.6 * where)
            for sign in (-1, 1):
                stroke(canvas, np.stack([foot, foot + length * (0.7 * direction + sign * 0.7 * side)]), tone, width)


def star(rng: np.random.Generator, canvas: Bytes, centre: Points, radius: float, tones: list[Floats]) -> None:
    """Five-pointed star with a darker rim."""
    reach = np.where(np.arange(10) % 2 == 0, 1.0, 0.45)[:, None]
    points = _on_circle(10, rng.uniform(0, 1)) * reach
    tone = _pick(rng, tones)
    fill(canvas, centre + radius * points, tone * 0.7)
    fill(canvas, centre + 0.8 * radius * points, tone)


def leaf(rng: np.random.Generator, canvas: Bytes, centre: Points, radius: float, tones: list[Floats]) -> None:
    """A twig with leaves on both sides."""
    green = jitter_colour(rng, (92, 128, 58), 16)
    angle = rng.uniform(0, 2 * np.pi)
    forward = np.array([np.cos(angle), np.sin(angle)])
    side = np.array([-forward[1], forward[0]])
    stem = spline(np.stack([centre - radius * forward, centre + 0.15 * radius * side, centre + radius * forward]))
    stroke(canvas, stem, green * 0.55, max(1.0, radius * 0.06))
    for where in np.linspace(0.1, 0.95, 5):
        foot = stem[int(where * (len(stem) - 1))]
        for sign in (-1, 1):
            tip = forward * 0.5 + sign * side * 0.8
            turn = float(np.arctan2(tip[1], tip[0]))
            blade = ellipse(foot + 0.3 * radius * tip, (0.32 * radius, 0.12 * radius), turn, 14)
            fill(canvas, blade, jitter_colour(rng, green, 8))


def button(rng: np.random.Generator, canvas: Bytes, centre: Points, radius: float, tones: list[Floats]) -> None:
    """Round coat button with four holes."""
    tone = _pick(rng, tones)
    fill(canvas, ellipse(centre + 0.08 * radius, (radius, radius), 0.0), tone * 0.5)
    fill(canvas, ellipse(centre, (0.95 * radius, 0.95 * radius), 0.0), tone)
    fill(canvas, ellipse(centre, (0.68 * radius, 0.68 * radius), 0.0), tone * 0.84)
    for direction in _on_circle(4, np.pi / 4):
        fill(canvas, ellipse(centre + 0.28 * radius * direction, (0.12 * radius, 0.12 * radius), 0.0, 10), tone * 0.35)


# Strokes of a few letters in a box one unit high, y downwards; True draws them as curves.
_LETTERS: tuple[tuple[bool, tuple[tuple[tuple[float, float], ...], ...]], ...] = (
    (False, (((0, 1), (0.3, 0), (0.6, 1)), ((0.12, 0.62), (0.48, 0.62)))),
    (False, (((0.5, 0), (0, 0), (0, 1), (0.5, 1)), ((0, 0.5), (0.4, 0.5)))),
    (False, (((0, 0), (0, 1)), ((0.55, 0), (0.55, 1)), ((0, 0.5), (0.55, 0.5)))),
    (False, (((0, 1), (0, 0), (0.3, 0.6), (0.6, 0), (0.6, 1)),)),
    (False, (((0, 1), (0, 0), (0.55, 1), (0.55, 0)),)),
    (False, (((0, 0), (0.6, 0)), ((0.3, 0), (0.3, 1)))),
    (False, (((0, 0), (0, 1), (0.5, 1)),)),
    (True, (((0.3, 0), (0.58, 0.3), (0.56, 0.75), (0.3, 1), (0.03, 0.7), (0.03, 0.28), (0.3, 0)),)),
    (True, (((0.52, 0.12), (0.25, 0), (0.06, 0.25), (0.3, 0.5), (0.54, 0.75), (0.3, 1), (0.04, 0.88)),)),
    (True, (((0.54, 0.15), (0.26, 0), (0.02, 0.45), (0.22, 1), (0.54, 0.85)),)),
    (True, (((0, 0), (0.02, 0.7), (0.28, 1), (0.54, 0.7), (0.56, 0)),)),
    (True, (((0, 1), (0, 0)), ((0, 0), (0.5, 0.12), (0.45, 0.45), (0, 0.52)))),
)


def lettering(rng: np.random.Generator, canvas: Bytes, centre: Points, radius: float, tones: list[Floats]) -> None:
    """Rows of letters that spell nothing, upright or slanted."""
    tone, rows = _pick(rng, tones), int(rng.integers(1, 4))
    height, slant = radius * rng.uniform(0.3, 0.6), rng.uniform(-0.35, 0.0)
    shear = np.array([[1.0, 0.0], [slant, 1.0]]) * height
    for row in range(rows):
        pen = centre + np.array([-1.7 * radius, (row - rows / 2) * height * 1.6])
        while pen[0] < centre[0] + 1.7 * radius:
            curved, strokes = _LETTERS[rng.integers(len(_LETTERS))]
            if rng.random() > 0.14:
                for knots in strokes:
                    points = pen + np.array(knots) @ shear
                    stroke(canvas, spline(points, 5) if curved else points, tone, max(1.0, height * 0.14))
            pen = pen + at(0.84 * height, 0)


def tree(rng: np.random.Generator, canvas: Bytes, centre: Points, radius: float, tones: list[Floats]) -> None:
    """Fir tree: overlapping skirts on a trunk."""
    green = jitter_colour(rng, ((62, 98, 66), (112, 140, 150), (84, 116, 54))[rng.integers(3)], 8)
    fill(canvas, centre + radius * np.array([(-0.1, 0.8), (0.1, 0.8), (0.1, 1.25), (-0.1, 1.25)]), (96, 70, 50))
    for step in range(4):
        low, width = 0.9 - 0.5 * step, 0.75 - 0.15 * step
        skirt = np.array(
            [(-width, low), (-width / 2, low + 0.08), (0, low), (width / 2, low + 0.08), (width, low), (0, low - 0.85)]
        )
        fill(canvas, centre + radius * skirt, green * (0.8 + 0.1 * step))
        snow = skirt * (0.6, 1) - (0.1, 0.14)
        fill(canvas, centre + radius * snow, green * (0.92 + 0.1 * step) + 6)


def balloon(rng: np.random.Generator, canvas: Bytes, centre: Points, radius: float, tones: list[Floats]) -> None:
    """Two or three balloons with highlight and string."""
    for _ in range(rng.integers(1, 4)):
        tone, spot = _pick(rng, tones), centre + rng.normal(0, 0.7, 2) * radius
        string = spot + radius * np.array([(0, 0.9), (0.2, 1.5), (-0.1, 2.2)])
        stroke(canvas, spline(string), (60, 54, 54), max(1.0, radius * 0.04))
        fill(canvas, ellipse(spot, (0.72 * radius, 0.9 * radius), 0.0), tone * 0.8)
        fill(canvas, ellipse(spot - 0.06 * radius, (0.62 * radius, 0.78 * radius), 0.0), tone)
        glint = ellipse(spot - (0.26 * radius, 0.36 * radius), (0.12 * radius, 0.22 * radius), 0.5, 14)
        fill(canvas, glint, np.minimum(tone * 0.5 + 128, 255))


def house(rng: np.random.Generator, canvas: Bytes, centre: Points, radius: float, tones: list[Floats]) -> None:
    """Gable front with door and windows."""
    wall, roof = _pick(rng, tones), jitter_colour(rng, (158, 78, 62), 18)
    box = np.array([(-0.8, -0.2), (0.8, -0.2), (0.8, 1), (-0.8, 1)])
    fill(canvas, centre + radius * box, wall)
    fill(canvas, centre + radius * np.array([(-1, -0.1), (0, -1.05), (1, -0.1)]), roof)
    fill(canvas, centre + radius * (box * (0.2, 0.5) + (0, 0.5)), (92, 64, 48))
    for x, y in ((-0.48, 0.15), (0.48, 0.15), (-0.48, 0.65), (0.48, 0.65)):
        pane = np.array([(-0.16, -0.16), (0.16, -0.16), (0.16, 0.16), (-0.16, 0.16)]) + at(x, y)
        fill(canvas, centre + radius * pane, (236, 226, 170))
        stroke(canvas, centre + radius * np.concatenate([pane, pane[:1]]), (70, 56, 50), max(1.0, radius * 0.05))


MOTIFS: dict[str, Motif] = {
    "face": face,
    "eye": eye,
    "flower": flower,
    "snowflake": snowflake,
    "star": star,
    "leaf": leaf,
    "button": button,
    "lettering": lettering,
    "tree": tree,
    "balloon": balloon,
    "house": house,
}
