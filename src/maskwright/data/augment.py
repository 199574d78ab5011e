"""Joint augmentation: all geometry as one matrix, all colour as one look-up, blur and noise after.

    plan = resolve("standard")
    image, mask = augment(image, mask, view, plan, sample_rng(seed=0, epoch=3, sample=17))

A step `albumentations: …` is applied after all of ours, as a part of the same plan. `augment: auto` is chosen by what
the training images are like. Random numbers come from (seed, epoch, sample) alone, so neither workers nor a resume
change them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from maskwright.config.augment import AlbumentationsOp, AugmentOp, CustomOp
from maskwright.data import albumentations
from maskwright.data.dataset import Bands, Dataset
from maskwright.data.geometry import (
    Aim,
    Size,
    View,
    about_centre,
    in_fours,
    perspective,
    rotation,
    sides_of,
    warp_pair,
)
from maskwright.data.traits import Traits
from maskwright.errors import ConfigError, listed, must, unknown

Rng = np.random.Generator


Joint = Callable[[np.ndarray, np.ndarray, Rng], tuple[np.ndarray, np.ndarray]]  # image, mask, rng → image, mask


@dataclass(frozen=True)
class Op:
    """One augmentation, its strength and how often it is applied. `joint` is set for one of another package."""

    name: str
    amount: float
    p: float
    joint: Joint | None = None

    @property
    def description(self) -> str:
        """In words.

        >>> Op("hflip", 1.0, 0.5).description, Op("rotate", 25.0, 1.0).description
        ('hflip (p 0.5)', 'rotate 25')
        """
        if self.joint is not None:
            return str(self.joint)
        amount = "" if self.name in FIXED else f" {self.amount:g}"
        return self.name + amount + ("" if self.p == 1 else f" (p {self.p:g})")


def _flip(x: float, y: float) -> Callable[[float, Rng, Size], np.ndarray]:
    return lambda amount, rng, size: np.diag([x, y, 1.0])


def _zoom(amount: float, rng: Rng, size: Size) -> np.ndarray:
    factor = float(np.exp(rng.uniform(-1, 1) * np.log1p(amount)))  # as often larger as smaller
    return np.diag([factor, factor, 1.0])


def _move(amount: float, rng: Rng, size: Size) -> np.ndarray:
    height, width = sides_of(size)
    dx, dy = rng.uniform(-amount, amount, 2) * (width, height)
    return np.array([[1, 0, dx], [0, 1, dy], [0, 0, 1.0]])


def _bend(amount: float, rng: Rng, size: Size) -> np.ndarray:
    height, width = sides_of(size)
    centre = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1.0]])
    return centre @ perspective(size, rng.uniform(-amount, amount, (4, 2))) @ np.linalg.inv(centre)


# name → (matrix about the output's centre from amount, rng, size), default amount, default p
GEOMETRIC: dict[str, tuple[Callable[[float, Rng, Size], np.ndarray], float, float]] = {
    "hflip": (_flip(-1, 1), 1.0, 0.5),
    "vflip": (_flip(1, -1), 1.0, 0.5),
    "rot90": (lambda amount, rng, size: rotation(90.0 * int(rng.integers(4))), 1.0, 1.0),
    "rotate": (lambda amount, rng, size: rotation(float(rng.uniform(-amount, amount))), 15.0, 1.0),
    "scale": (_zoom, 0.25, 1.0),
    "shift": (_move, 0.1, 1.0),
    "perspective": (_bend, 0.08, 0.5),
}

Curve = np.ndarray  # the tones 0 … 1 come out as, for each channel; 256 C, or 2 C for a straight line


# name → (curve → curve), default amount, default p; they compose into one line, or one look-up table with gamma
TONAL: dict[str, tuple[Callable[[Curve, float, Rng], Curve], float, float]] = {
    "brightness": (lambda curve, amount, rng: curve + rng.uniform(-amount, amount), 0.2, 1.0),
    "contrast": (lambda curve, amount, rng: (curve - 0.5) * (1 + rng.uniform(-amount, amount)) + 0.5, 0.2, 1.0),
    "gamma": (
        lambda curve, amount, rng: np.clip(curve, 0, 1) ** np.exp(rng.uniform(-1, 1) * np.log1p(amount)),
        0.25,
        1.0,
    ),
    "channel_shift": (lambda curve, amount, rng: curve + rng.uniform(-amount, amount, curve.shape[1]), 0.05, 1.0),
}

_GREY = np.array([0.299, 0.587, 0.114])


def _saturation(amount: float, rng: Rng) -> np.ndarray:
    factor = 1 + rng.uniform(-amount, amount)
    return np.eye(3) * factor + np.outer(np.ones(3), _GREY) * (1 - factor)


def _hue(amount: float, rng: Rng) -> np.ndarray:
    """Turn colours about the grey axis (Rodrigues' formula); greys stay as they are."""
    angle = np.radians(rng.uniform(-amount, amount))
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    return np.cos(angle) * np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) / 3


# name → 3×3 matrix on RGB, default amount, default p; they multiply into one
COLOUR: dict[str, tuple[Callable[[float, Rng], np.ndarray], float, float]] = {
    "saturation": (_saturation, 0.25, 0.5),
    "hue": (_hue, 12.0, 0.5),
}


def _blur(image: np.ndarray, amount: float, rng: Rng) -> np.ndarray:
    sigma = float(rng.uniform(0.3, max(0.3, amount)))
    return in_fours(lambda part: cv2.GaussianBlur(part, (0, 0), sigma), image)


def _noise(image: np.ndarray, amount: float, rng: Rng) -> np.ndarray:
    sigma = round(float(rng.uniform(0, amount)) * 255)
    if sigma == 0:
        return image
    bank = _noise_bank(sigma)
    start = int(rng.integers(bank.size))
    grain = bank[start:] if start + image.size <= bank.size else np.resize(np.roll(bank, -start), image.size)
    flat = image.reshape(len(image), -1)  # OpenCV has no pictures of many channels
    return cv2.add(flat, grain[: image.size].reshape(flat.shape), dtype=cv2.CV_8U).reshape(image.shape)


@functools.lru_cache(maxsize=64)
def _noise_bank(sigma: int) -> np.ndarray:
    """Gaussian noise drawn once for each strength: drawing it for each image would cost more than the warp."""
    return (np.random.default_rng(sigma).standard_normal(1 << 21) * sigma).round().clip(-255, 255).astype(np.int16)


# name → (image, amount, rng → image), default amount, default p; applied last, in this order
AFTER: dict[str, tuple[Callable[[np.ndarray, float, Rng], np.ndarray], float, float]] = {
    "blur": (_blur, 1.2, 0.2),
    "noise": (_noise, 0.04, 0.3),
}

# further on there is no picture left; of all others 10
_MOST = {"rotate": 360, "hue": 360, "blur": 100, "perspective": 0.45}
FIXED = ("hflip", "vflip", "rot90")  # there is no more or less of these
OPERATIONS = {**GEOMETRIC, **TONAL, **COLOUR, **AFTER}

_LIGHT = [("hflip", None), ("scale", 0.2), ("brightness", 0.05), ("contrast", 0.05)]
_STANDARD = [("hflip", None), ("rotate", 25.0), ("scale", 0.4), ("shift", 0.1), ("brightness", 0.06), ("contrast", 0.1)]
_HEAVY = [
    ("hflip", None), ("vflip", None), ("rotate", 180.0), ("scale", 0.5), ("shift", 0.1), ("perspective", 0.08),
    ("brightness", 0.1), ("contrast", 0.15), ("gamma", 0.15), ("channel_shift", 0.02), ("saturation", 0.15),
    ("hue", 5.0), ("blur", 1.0), ("noise", 0.03),
]  # fmt: skip
PRESETS: dict[str, list[tuple[str, float | None]]] = {
    "none": [],
    "light": _LIGHT,
    "standard": _STANDARD,
    "heavy": _HEAVY,
}


def resolve(wish: str | Sequence[AugmentOp | AlbumentationsOp | CustomOp]) -> tuple[Op, ...]:
    """A preset's name or a configured list as operations with all numbers filled in.

    >>> [op.name for op in resolve("light")]
    ['hflip', 'scale', 'brightness', 'contrast']
    """
    if wish == "auto":  # before any image was looked at
        return ()
    wanted = [AugmentOp(name=n, amount=a) for n, a in PRESETS[wish]] if isinstance(wish, str) else list(wish)
    problems: list[str] = []
    plan: list[Op] = []
    foreign: list[tuple[str, AlbumentationsOp | CustomOp]] = []
    for place, op in enumerate(wanted):
        if isinstance(op, AlbumentationsOp | CustomOp):
            foreign.append((f"augment.{place}", op))
        elif op.name not in OPERATIONS:
            problems.append(unknown("operation", op.name, OPERATIONS, key=f"augment.{place}.name"))
        elif op.amount is not None and op.amount > (most := _MOST.get(op.name, 10)):
            problems.append(must(f"augment.{place}.amount", f"at most {most:g} for {op.name}", f"{op.amount:g}"))
        else:
            _, amount, p = OPERATIONS[op.name]
            plan.append(Op(op.name, amount if op.amount is None else op.amount, p if op.p is None else op.p))
    if foreign:
        try:
            plan.append(Op("albumentations", 0.0, 1.0, albumentations.build(foreign)))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return tuple(plan)


def validate_augment(plan: Sequence[Op], size: Size, num_channels: int, num_classes: int) -> None:
    """Stop where a transform of another package can't be applied to such inputs, or changes their form."""
    for op in plan:
        if isinstance(op.joint, albumentations.Pipeline):
            op.joint.validate(size, num_channels, num_classes)


def unused_settings(wish: str | Sequence[AugmentOp | AlbumentationsOp | CustomOp], bands: Bands) -> list[str]:
    """Operations and numbers somebody set that change nothing on these images, in words."""
    plan = resolve(wish)
    notes: list[str] = []
    idle = [op.name for op in plan if op.name in COLOUR]
    if idle and bands.num_channels != 3:
        detail = f"{bands.num_channels} band{'s' if bands.num_channels > 1 else ''}"
        notes.append(f"augment {listed(dict.fromkeys(idle))}: no effect on images of {detail}, which have no hue")
    elif idle and len(set(bands.chosen)) == 1:
        notes.append(f"augment {listed(dict.fromkeys(idle))}: no effect on grey images")
    steps = [] if isinstance(wish, str) else list(wish)
    fixed = [
        step.name for step in steps if isinstance(step, AugmentOp) and step.name in FIXED and step.amount is not None
    ]
    if fixed:
        notes.append(f"augment {listed(dict.fromkeys(fixed))}: amount has no effect")
    never = [op.name for op in plan if op.p == 0]
    if never:
        notes.append(f"augment {listed(dict.fromkeys(never))}: no effect with p 0")
    kinds = [isinstance(step, AlbumentationsOp | CustomOp) for step in steps]
    if kinds != sorted(kinds):
        notes.append(
            "augment: steps of albumentations or your own come after all others, whatever their place in the list"
        )
    return notes


def sample_rng(seed: int, epoch: int, sample: int) -> Rng:
    """The random numbers of one sample of one epoch."""
    return np.random.default_rng((seed, epoch, sample))


def augment(
    image: np.ndarray, mask: np.ndarray, view: View, plan: Sequence[Op], rng: Rng, aim: Aim | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """One training input from a decoded pair. H W C and H W → h w C and h w."""
    chosen, matrix = place(mask.shape, view, plan, rng, aim)
    image, mask = warp_pair(image, mask, matrix, view.size, view.outside)
    image = _recolour(image, chosen, rng)
    for op in chosen:
        if op.joint is not None:
            image, mask = op.joint(image, mask, rng)
    return image, mask


def place(
    shape: tuple[int, ...], view: View, plan: Sequence[Op], rng: Rng, aim: Aim | None = None
) -> tuple[list[Op], np.ndarray]:
    """Which operations are applied, and the matrix from the input to the source of this shape (H W)."""
    chosen = [op for op in plan if rng.random() < op.p]
    height, width = shape
    matrix = view.base_matrix(height, width, rng, aim)
    for op in chosen:
        if op.name in GEOMETRIC:
            move, _, _ = GEOMETRIC[op.name]
            matrix = matrix @ about_centre(move(op.amount, rng, view.size), view.size)
    return chosen, matrix


def _recolour(image: np.ndarray, chosen: Sequence[Op], rng: Rng) -> np.ndarray:
    """Tones, then colours, as one 3×4 matrix; gamma alone is no straight line and makes the tones a look-up table."""
    tonal = [op for op in chosen if op.name in TONAL]
    curved = any(op.name == "gamma" for op in tonal)
    channels = image.shape[2]
    curve = np.repeat(np.linspace(0, 1, 256 if curved else 2)[:, None], channels, axis=1)
    for op in tonal:
        tone, _, _ = TONAL[op.name]
        curve = tone(curve, op.amount, rng)
    if channels != 3:
        return _retone(image, curve, tonal, chosen, rng)
    straight = np.hstack([np.diag(curve[-1] - curve[0]), 255 * curve[:1].T])  # 3 4
    if curved:
        image = cv2.LUT(image, (np.clip(curve, 0, 1) * 255 + 0.5).astype(np.uint8)[None])
        straight = np.eye(3, 4)
    colour = [op for op in chosen if op.name in COLOUR]
    matrix = np.eye(3)
    for op in colour:
        mix, _, _ = COLOUR[op.name]
        matrix = mix(op.amount, rng) @ matrix
    if colour or (tonal and not curved):
        image = cv2.transform(image, matrix @ straight)  # five times faster than a look-up
    return _finish(image, chosen, rng)


def _retone(image: np.ndarray, curve: Curve, tonal: Sequence[Op], chosen: Sequence[Op], rng: Rng) -> np.ndarray:
    """Bands that are no RGB have tones but no hue: one look-up a band."""
    if tonal:
        levels = np.linspace(0, len(curve) - 1, 256)
        table = np.stack([np.interp(levels, range(len(curve)), band) for band in curve.T], axis=1)  # 256 C
        table = (np.clip(table, 0, 1) * 255 + 0.5).astype(np.uint8)
        image = np.stack([table[:, band][image[..., band]] for band in range(image.shape[2])], axis=2)
    return _finish(image, chosen, rng)


def _finish(image: np.ndarray, chosen: Sequence[Op], rng: Rng) -> np.ndarray:
    """Blur and noise, in that order."""
    for name, (apply, _, _) in AFTER.items():
        for op in chosen:
            if op.name == name:
                image = apply(image, op.amount, rng).reshape(image.shape)
    return image


_ZOOM, _SHIFT = 0.4, 0.1
_THIN = 6.0  # pixels: blurred, a thinner line is gone
_UPRIGHT_TURN = 10.0  # degrees a camera is held askew
_MIRROR_MOST = (
    1.0  # of the surprise at an image's classes: where a mirrored one surprises so much more, sides mean something
)
_TONES = {"brightness": 0.1, "contrast": 0.25, "channel_shift": 0.05}
_STRONG = _TONES | {"gamma": 0.3, "saturation": 0.4, "hue": 15.0, "blur": 1.0, "noise": 0.03}
_OF_COLOUR = ("channel_shift", "saturation", "hue")  # grey images have none


def choose_augment(dataset: Dataset, traits: Traits | None) -> tuple[list[dict[str, Any]], str]:
    """Steps with their strengths, and why these; without traits what harms no photograph."""
    geometry, why = _geometry(traits)
    tones, why_tones = _tones(dataset, traits)
    steps = [{"name": name, "amount": amount} for name, amount in (geometry | tones).items()]
    return steps, f"{why}; {why_tones}"


def _tones(dataset: Dataset, traits: Traits | None) -> tuple[dict[str, float], str]:
    """Colour helps to tell sky from road and wood from water; of one thing that lies anywhere shape and texture tell
    more.

    Measured (docs/log.md): strong changes gained up to 0.03 IoU on nuclei, skin and puzzles, and lost 0.02 on streets.
    """
    if traits is None or traits.has_upside or dataset.classes.num_classes > 2:
        tones, why = dict(_TONES), "tones vary mildly, since colours tell classes apart"
    else:
        tones, why = dict(_STRONG), "tones and colours vary strongly, since one thing is sought whatever the light"
        if traits.thinness < _THIN:
            del tones["blur"]
    if len(set(dataset.bands.chosen)) == 1 or dataset.bands.num_channels != 3:
        tones = {name: amount for name, amount in tones.items() if name not in _OF_COLOUR}
    return tones, why


def _geometry(traits: Traits | None) -> tuple[dict[str, float | None], str]:
    upright = {"hflip": None, "rotate": _UPRIGHT_TURN, "scale": _ZOOM, "shift": _SHIFT}
    if traits is None:
        return upright, "images are not looked at, so they stay upright"
    more, _ = traits.places["hflip"]
    if more > _MIRROR_MOST:
        del upright["hflip"]
        return (
            upright,
            f"mirrored, classes would lie where they never do ({more:.0%} more surprising): nothing is mirrored",
        )
    if traits.has_upside:
        more, errors = traits.places["vflip"]
        return (
            upright,
            f"upside down, classes would lie elsewhere ({more:.0%} more surprising, {errors:.0f} standard errors)",
        )
    if traits.has_grain:
        detail = "all images are streaked the same way, so they are mirrored and hardly turned"
        return {"hflip": None, "vflip": None, "rotate": _UPRIGHT_TURN, "scale": _ZOOM, "shift": _SHIFT}, detail
    free = {"hflip": None, "vflip": None, "rotate": 180.0, "scale": _ZOOM, "shift": _SHIFT}
    return free, "classes lie alike in images turned upside down, so all are turned and mirrored"
