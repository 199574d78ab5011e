"""Masks of LabelMe files: an image's shapes, drawn in the order of the file, as LabelMe itself does.

Later shapes lie on earlier ones. `_background_` and `background` are background wherever they are drawn, so a hole can
be cut into a shape; `__ignore__` is neither learned nor scored. The record's form key tells each label's value.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.data.dataset import Record
from maskwright.data.decoding import load_json, open_picture
from maskwright.data.forms.outlines import Patch, disc, fill
from maskwright.data.forms.pictures import LoadedMask
from maskwright.errors import DataError, counted, listed

BACKGROUND_NAMES = ("_background_", "background")
IGNORE_NAME = "__ignore__"
IGNORED = 65535  # the value of what is labelled __ignore__
CORNERED = {
    "polygon": 3,
    "rectangle": 2,
    "rotation": 4,
    "oriented_rectangle": 4,
}  # types that are outlines: fewest points
_LINES = ("point", "points", "line", "linestrip")
_FARTHEST = 1e9  # a coordinate beyond is none


@dataclass(frozen=True)
class LabelMeFile:
    """One file's shapes, each {"label", "shape_type", "points", "mask"}; one without a label is ignored where it lies.

    left_out: what has no area, or is of a type nobody knows, and how often
    """

    path: Path
    image_path: str
    size: tuple[int, int] | None
    shapes: list[dict[str, Any]]
    left_out: dict[str, int]
    num_nameless: int
    embedded: bool

    @property
    def labels(self) -> set[str]:
        """Labels that stand for classes."""
        return {shape["label"] for shape in self.shapes} - {*BACKGROUND_NAMES, IGNORE_NAME}


def parse(path: Path) -> LabelMeFile:
    """A LabelMe file checked whole: every shape is one that can be drawn."""
    tree = load_json(path, "Save it again in LabelMe.")
    if not is_labelme(tree):
        raise DataError(
            f"`{path}` must be a LabelMe file with shapes and imagePath; it has neither. Remove it, or fix it."
        )
    shapes: list[dict[str, Any]] = []
    left_out: Counter[str] = Counter()
    problems: list[str] = []
    num_nameless = 0
    for place, shape in enumerate(tree["shapes"], start=1):
        shape = shape if isinstance(shape, dict) else {}
        kind = shape.get("shape_type") or "polygon"  # files of before 2018 have polygons only, and don't say so
        if not _is_sound(shape, kind):
            problems.append(f"shape {place} has points that are no list of [x, y]")
        elif without := _without_area(kind, shape):
            left_out[without] += 1
        else:
            label = shape.get("label")
            num_nameless += not isinstance(label, str)
            label = label if isinstance(label, str) else IGNORE_NAME
            shapes.append({"label": label, "points": shape["points"], "mask": shape.get("mask"), "shape_type": kind})
    if problems:
        raise DataError(
            f"`{path}` must be a sound LabelMe file; {listed(problems, 'and', 4)}. Fix it, or save it again."
        )
    sides = [
        tree.get(side) if type(tree.get(side)) is int and tree[side] > 0 else 0
        for side in ("imageHeight", "imageWidth")
    ]
    size = (sides[0], sides[1]) if all(sides) else None
    name = str(tree["imagePath"]).replace("\\", "/")
    return LabelMeFile(path, name, size, shapes, dict(left_out), num_nameless, bool(tree.get("imageData")))


def is_labelme(tree: object) -> bool:
    """Whether a JSON document has the parts of a LabelMe file."""
    return isinstance(tree, dict) and isinstance(tree.get("shapes"), list) and isinstance(tree.get("imagePath"), str)


def load(record: Record, size: tuple[int, int]) -> LoadedMask:
    """The value of each label as the form's key tells it, 0 or the background's own elsewhere. → H W uint16"""
    file = parse(record.mask)
    if file.size and file.size != size:
        detail = f"{file.size[1]}x{file.size[0]}; the image is {size[1]}x{size[0]}"
        fix = "Use the image the shapes were drawn on (was it resized, or turned by its EXIF?)."
        raise DataError(f"`{record.mask}` must tell the size of {record.image.name} as it is; it tells {detail}. {fix}")
    values: dict[str, int] = json.loads(record.form.key)
    background = next((values[name] for name in BACKGROUND_NAMES if name in values), 0)
    meaning = {**values, **dict.fromkeys(BACKGROUND_NAMES, background), IGNORE_NAME: IGNORED}
    new = sorted(file.labels - meaning.keys())
    if new:
        raise DataError(
            f"`{record.mask}` must hold labels that are known; {listed(new)} are new. Put the file back as it was."
        )
    raw = np.full(size, background, np.uint16)
    twice = np.zeros(size, bool)
    for shape in file.shapes:
        patch = _pixels(shape, size, record.mask)
        there, value = raw[patch.place], meaning[shape["label"]]
        if value not in (background, IGNORED):
            twice[patch.place] |= patch.inside & (there != background) & (there != IGNORED) & (there != value)
        there[patch.inside] = value
    whole = [list(size), file.shapes, sorted(values.items())]

    def digest() -> str:
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()

    return LoadedMask(raw, digest, claimed_twice=int(twice.sum()))


def _is_sound(shape: dict[str, Any], kind: Any) -> bool:
    """Whether a shape's points are places in a picture."""
    points = shape.get("points")
    if not isinstance(kind, str) or not isinstance(points, list):
        return False
    if not all(isinstance(point, list) and len(point) == 2 for point in points):
        return False
    return all(type(part) in (int, float) and abs(part) < _FARTHEST for point in points for part in point)


def _without_area(kind: str, shape: dict[str, Any]) -> str:
    """What a shape is that cannot be drawn; empty where it can."""
    if kind in _LINES:
        return kind
    if kind not in (*CORNERED, "circle", "mask"):
        return f"shape of the unknown type {kind[:40]!r}"
    if len(shape["points"]) < CORNERED.get(kind, 2):
        return f"{kind} of {counted(len(shape['points']), 'point')}"
    return "mask without its picture" if kind == "mask" and not isinstance(shape.get("mask"), str) else ""


def _pixels(shape: dict[str, Any], size: tuple[int, int], path: Path) -> Patch:
    points = np.array(shape["points"], np.float64)
    if shape["shape_type"] == "circle":
        return disc((points[0, 0], points[0, 1]), float(np.hypot(*(points[1] - points[0]))), *size)
    if shape["shape_type"] == "mask":
        return _stamp(shape, points, size, path)
    if shape["shape_type"] == "rectangle" and len(points) == 2:
        (left, top), (right, bottom) = points
        points = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    return fill(points, *size)


def _stamp(shape: dict[str, Any], points: np.ndarray, size: tuple[int, int], path: Path) -> Patch:
    """A mask shape: a small picture whose first pixel lies at its first point."""
    left, top = (int(part) for part in points[0])
    try:
        with open_picture(base64.b64decode(shape["mask"], validate=True), path) as picture:
            width, height = picture.size
            fits = left >= 0 and top >= 0 and top + height <= size[0] and left + width <= size[1]
            inside = np.asarray(picture.convert("L")) > 0 if fits else None
    except (DataError, ValueError):
        raise DataError(
            f"`{path}` must hold mask shapes as PNG; that of {shape['label']} is none. Save it again."
        ) from None
    if inside is None:
        detail = f"that of {shape['label']} is {width}x{height} at {left}, {top}"
        raise DataError(f"`{path}` must hold mask shapes that lie in the image; {detail}. Save it again.")
    return Patch(top, left, inside)
